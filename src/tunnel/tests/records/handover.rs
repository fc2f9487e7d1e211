//! Live tunnels that leave and go on, their TLS with them.

use super::super::handover::{go_on, hand_off, move_on, received, soon};
use super::*;

#[path = "../handover/bytes.rs"]
mod bytes;
#[path = "../handover/traffic.rs"]
mod traffic;
