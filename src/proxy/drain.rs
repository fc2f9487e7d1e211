//! The drain of a worker at the process's end: its exchanges open no more tunnels, its
//! connections close after the exchanges that they are in, and what has not ended is cut.

use std::cell::Cell;

use http::StatusCode;

use crate::fault::error::{Kind, ProxyError};
use crate::tunnel_registry::Cut;

thread_local! {
    static UNDER_WAY: Cell<bool> = const { Cell::new(false) };
    static CUT: Cell<Option<Cut>> = const { Cell::new(None) };
}

/// Begins the drain of this thread's worker; its connections are to be woken.
pub fn begin() {
    UNDER_WAY.set(true);
}

/// Whether the worker of this thread drains.
pub fn is_under_way() -> bool {
    UNDER_WAY.get()
}

/// Cuts the exchanges of this thread's worker, whose connections are to be woken. The first
/// reason stays.
pub fn cut(why: Cut) {
    CUT.set(CUT.get().or(Some(why)));
}

/// Why the exchanges of this thread's worker are cut, if they are.
#[inline]
pub fn cut_error() -> Option<ProxyError> {
    CUT.get().map(error)
}

#[cold]
fn error(why: Cut) -> ProxyError {
    let rule = match why {
        Cut::Upgrade => "this process was replaced, and upgrade.deadline was reached",
        Cut::Signal => "sluice was told by a signal to end at once",
        _ => "sluice was ending, and drain.deadline was reached",
    };
    ProxyError::sluice(StatusCode::SERVICE_UNAVAILABLE, Kind::Stopped, rule)
        .publicly("this proxy is shutting down")
        .closing()
}
