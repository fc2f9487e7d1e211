//! What a client sees: requests, handshakes, tunnels, refusals and time limits, over real sockets.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod client_certificates;
mod conditions;
mod endpoints;
mod expect;
mod floods;
mod forwarded;
mod half_close;
mod hostile;
mod hostless;
mod http_basic;
mod http_refuse;
mod http_upstream;
mod large_answers;
mod listeners;
mod logins;
mod loops;
mod lost;
mod origins;
mod spelling;
mod standstill;
mod switch;
mod targets;
mod timeouts;
mod tls;
mod tls_records;
mod tls_tunnel;
mod tunnel;
mod unread_end;
mod waits;
mod websocket;
