//! Other people's programs before and after sluice, and the Autobahn|Testsuite.

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod autobahn;
mod interop;
