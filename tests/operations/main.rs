//! What an operator does to a running process: reload, drain, upgrade, supervision.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod abstract_sockets;
mod certificates;
mod cut;
mod descriptors;
mod drain;
mod drain_command;
mod drain_spread;
mod image;
mod last_moments;
mod odd_files;
mod places;
mod reload;
mod signals;
mod standstill;
mod supervise;
mod upgrade;
