//! `[[listen]]`: where clients are accepted.

use std::sync::Arc;

use super::address::ListenAddress;
use super::form::address::Bind;
use super::form::file::FileMode;
use super::form::listener::{HttpsPort, ListenerName};
use super::tls::{TlsConfig, TlsTable};
use crate::setting::scalar::words;
use crate::setting::table::table;
use crate::vocabulary::Scheme;

table! {
    /// A `[[listen]]` block: where clients are accepted.
    ListenTable in "`[[listen]]`" {
        /// `IP:port`, `:port` for all addresses (IPv6 and IPv4), or `unix:/path`.
        address: Bind [required],
        /// The name that routes call it by, in their `listen`.
        name: ListenerName,
        /// Permission bits of a unix socket, in octal.
        mode: FileMode = "0660",
        /// Speak TLS, with these certificates.
        tls: TlsTable,
    } => Listener {
        /// The scheme that clients use to reach this listener: `https` where a balancer in
        /// front terminates TLS, and with `[listen.tls]`.
        scheme: Scheme as Scheme = "http",
        /// Answer every request with a redirect (308) to https: `true`, or the port of https.
        redirect_to_https: HttpsPort as Option<u16> = "off",
    } with {
        /// The bound address, with the mode of a unix socket.
        address: ListenAddress = ListenAddress::Tcp(([0, 0, 0, 0], 0).into()),
        /// The name, if it has one.
        name: Option<Arc<str>> = None,
        /// TLS, where this listener speaks it.
        tls: Option<Arc<TlsConfig>> = None,
    }
}

words!(Scheme, "`\"http\"` or `\"https\"`",
    "http" => Scheme::Http,
    "https" => Scheme::Https,
);
