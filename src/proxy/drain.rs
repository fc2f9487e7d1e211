//! The drain of a worker at the process's end: its exchanges open no more tunnels, and its
//! connections close after the exchanges that they are in.

use std::cell::Cell;

thread_local! {
    static UNDER_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Begins the drain of this thread's worker; its connections are to be woken.
pub fn begin() {
    UNDER_WAY.set(true);
}

/// Whether the worker of this thread drains.
pub fn is_under_way() -> bool {
    UNDER_WAY.get()
}
