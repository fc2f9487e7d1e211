//! `[[listen]]`: where clients are accepted.

use super::address::ListenAddress;
use super::form::address::Bind;
use super::form::file::FileMode;
use crate::setting::scalar::words;
use crate::setting::table::table;
use crate::vocabulary::Scheme;

table! {
    /// A `[[listen]]` block: where clients are accepted.
    ListenTable in "`[[listen]]`" {
        /// `IP:port`, `:port` for all addresses (IPv6 and IPv4), or `unix:/path`.
        address: Bind [required],
        /// Permission bits of a unix socket, in octal.
        mode: FileMode = "0660",
    } => Listener {
        /// The scheme that clients use to reach this listener: `https` where a balancer in
        /// front terminates TLS.
        scheme: Scheme as Scheme = "http",
    } with {
        /// The bound address, with the mode of a unix socket.
        address: ListenAddress = ListenAddress::Tcp(([0, 0, 0, 0], 0).into()),
    }
}

words!(Scheme, "`\"http\"` or `\"https\"`",
    "http" => Scheme::Http,
    "https" => Scheme::Https,
);
