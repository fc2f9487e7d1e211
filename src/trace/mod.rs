//! Tracing: sluice as a participant in W3C traces, and its spans on their way to an OTLP
//! collector. Off by default; then `traceparent` is a field like any other, and an exchange
//! reads one thread-local.
//!
//! `context` reads and writes the fields, `exchange` and `tunnel` gather what their spans
//! say, `span` spells it, `export` and `collector` carry it away. What is not sampled
//! allocates nothing.

mod collector;
pub mod context;
mod exchange;
mod export;
mod finished;
mod span;
mod tracer;
mod tunnel;

use http::request::Parts;

pub use self::context::TraceParent;
pub use self::exchange::Trace;
pub use self::finished::Ended;
pub use self::tracer::Tracer;
pub use self::tunnel::tunnel_ended;

/// This request's place in its trace; `None` while tracing is off.
pub fn begin(parts: &Parts, peer_is_trusted: bool) -> Option<Trace> {
    tracer::with(|tracer| Trace::begin(tracer, parts, peer_is_trusted))
}
