//! One exchange of any protocol: `exchange` decides, `forward`, `upgrade` and `switch` authorise it
//! and carry it to an upstream. No protocol is known here: that of the client (`h1`) gives a head,
//! an `incoming` body and a `stream`, and carries out the `outcome`. What a tunnel does is not known
//! either; `pending` starts it with two streams.

pub mod acceptance;
pub mod answer;
pub mod body;
pub mod clock;
pub mod drain;
pub mod encode;
pub mod exchange;
pub mod forward;
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
