//! The HTTP/1.1 side: hyper serves a client's connection, `exchange` takes each request
//! through its phases, `forward` and `upgrade` carry it to an upstream.
//!
//! Nothing here knows what a tunnel does; `upgrade` hands it two sockets and is done.

pub mod answer;
pub mod body;
pub mod exchange;
pub mod forward;
pub mod h1;
pub mod hand_off;
pub mod live;
pub mod outcome;
pub mod pending;
pub mod record;
pub mod spelling;
pub mod switch;
pub mod tunnel_record;
pub mod untrusted;
pub mod upgrade;
