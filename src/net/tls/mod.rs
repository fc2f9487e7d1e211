//! TLS over sockets, by rustls: what a listener serves with, handshakes, and the stream that
//! comes of one. What is about certificates and not about the protocol is in `certificate`.

mod border;
mod certificates;
mod client;
pub mod failure;
pub mod handshake;
mod leave;
mod provider;
pub mod review;
mod secrets;
pub mod server;
mod settings;
pub mod stream;
pub mod tickets;

pub use self::certificates::Certificate;
pub use self::client::ClientCertificate;
pub use self::failure::{Failure, Kind};
pub use self::handshake::{Handshake, Session};
pub use self::server::Server;
