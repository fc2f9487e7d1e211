//! HTTP/1.1 on the client's side: a socket that hyper serves, with a strict scanner in front.
//! What a connection with one exchange at a time needs is here and nowhere else.

mod aside;
pub mod client_io;
pub mod connection;
pub mod connections;
pub mod context;
pub mod glimpse;
pub mod hand_off;
mod input;
mod interim;
mod pace;
mod refused;
pub mod secure;
mod sent_body;
pub mod service;
mod stream;
mod switching;
pub mod turn;
pub mod watch;
