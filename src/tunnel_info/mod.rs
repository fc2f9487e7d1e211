//! What is known of a tunnel, as values: whose it is, and what became of it. Records, events,
//! spans, taps and the admin interface speak of tunnels in these words; none of them needs
//! the tunnel itself.

pub mod identity;
pub mod report;

pub use self::identity::{IdentityParts, TunnelIdentity};
pub use self::report::{Closes, PeerClose, TunnelReport};
