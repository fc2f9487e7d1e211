//! What an operator sees: the admin interface, metrics, logs, traces, taps and the commands.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/collector.rs"]
mod collector;

mod admin;
mod admin_commands;
mod admin_tunnels;
mod crowd;
mod dashboard;
mod events;
mod instances;
mod log_forms;
mod logs;
mod metrics;
mod metrics_formats;
mod metrics_state;
mod openapi;
mod plain_http;
mod tap;
mod top;
mod trace;
