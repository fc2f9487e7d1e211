//! `[admin]`: where commands and questions are taken, and what may be seen.

use std::path::PathBuf;

use super::address::ListenAddress;
use super::form::address::AdminAddress;
use super::form::file::{FileMode, FilePath};
use crate::setting::scalar::{Optional, words};
use crate::setting::table::table;

table! {
    /// `[admin]`: where commands such as `sluice reload` are taken.
    AdminTable in "`[admin]`" {
        /// `auto` (a unix socket in the runtime directory), `off`, `unix:/path`, or a TCP
        /// address: a loopback one, which every user of the machine reaches, or with
        /// `token_file` any.
        listen: AdminAddress = "auto",
    } => AdminConfig {
        /// Permission bits of the unix socket, in octal.
        mode: FileMode as u32 = "0600",
        /// The file whose first line requests over TCP have to bring as a bearer token, 16
        /// characters or more; `off` for none.
        token_file: Optional<FilePath> as Option<PathBuf> = "off",
        /// What `sluice tap` may see of the tunnels: `headers` (opcodes, sizes, directions,
        /// times, close codes and reasons), `payload` (what the users send too), or `off`.
        tap: TapLevel as TapLevel = "headers",
    } with {
        /// Where commands and questions are taken.
        listen: AdminListen = AdminListen::Auto,
    }
}

/// Where the admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdminListen {
    /// A unix socket at the usual place, see `admin::default_socket`; where that cannot be
    /// had sluice runs without.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// Here, or sluice does not start.
    At(ListenAddress),
}

/// How much of the frames of tunnels is shown by the admin interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TapLevel {
    /// Nothing.
    Off,
    /// Opcodes, sizes, directions, times, and what Closes say.
    Headers,
    /// Payloads too: whatever the users send.
    Payload,
}
words!(TapLevel, "`\"off\"`, `\"headers\"` or `\"payload\"`",
    "off" => TapLevel::Off,
    "headers" => TapLevel::Headers,
    "payload" => TapLevel::Payload,
);
