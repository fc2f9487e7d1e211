//! Other people's programs before and after sluice, and the Autobahn|Testsuite.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod autobahn;
mod interop;
