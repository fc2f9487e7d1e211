//! One exchange, whatever protocol carries it: `exchange` decides and authorises, `forward` and
//! `upgrade` carry it to an upstream, `h1` serves the clients' connections of HTTP/1.1.
//!
//! Outside of `h1` no protocol is known: its requests come as a head, an `incoming` body and a
//! `stream`, and it carries the `outcome` out. Nothing here knows what a tunnel does; `pending`
//! hands it two sockets and is done.

pub mod acceptance;
pub mod answer;
pub mod body;
pub mod clock;
pub mod drain;
pub mod encode;
pub mod exchange;
pub mod forward;
pub mod h1;
pub mod incoming;
pub mod load;
pub mod open;
pub mod outcome;
pub mod pending;
pub mod record;
pub mod request_body;
pub mod send;
pub mod spelling;
pub mod stream;
pub mod switch;
pub mod tunnel_record;
pub mod underway;
pub mod untrusted;
pub mod upgrade;
