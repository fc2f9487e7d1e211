//! The configuration, the command line and what the documents say about them.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod check;
mod cli;
mod config;
mod config_survives;
mod hidden;
mod links;
mod readme;
mod round_trip;
mod shapes;
