//! `[drain]`: what a shutdown does with live tunnels.

use std::time::Duration;

use super::form::close::{CloseCode, DrainReason};
use crate::setting::table::table;
use crate::setting::units::AnyTime;

table! {
    /// `[drain]`: what a shutdown does with live tunnels.
    DrainTable in "`[drain]`" => DrainConfig {
        /// From the signal, when readiness is given up, to the end of accepting: time for a
        /// balancer to notice. `over` and `deadline` count from its end.
        delay: AnyTime as Duration = "0s",
        /// Closes are spread at random over this time; `"0s"` closes all at once.
        over: AnyTime as Duration = "15s",
        /// What has not ended by then, counted from the end of accepting, is cut. At least
        /// `over`.
        deadline: AnyTime as Duration = "25s",
        /// WebSocket close code sent to clients; 1012 is "service restart".
        client_code: CloseCode as u16 = 1012,
        /// WebSocket close code sent to upstreams; 1001 is "going away".
        upstream_code: CloseCode as u16 = 1001,
        /// The close reason, at most 123 bytes; `{retry_after}` in it stands for the whole
        /// seconds of `retry_after`.
        reason: DrainReason as String = "service restart",
        /// `Retry-After` of the 503 that new handshakes get meanwhile.
        retry_after: AnyTime as Duration = "5s",
    }
}
