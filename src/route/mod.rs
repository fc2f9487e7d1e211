//! Routing: what a request's host, path and origin mean, and which route takes it.
//! Pure functions and tables over the configuration; no socket, no clock.
//!
//! The steps of a request: [`path::read`] → [`matcher::RouteTable::find`] → (a handshake)
//! [`origin::check`] → [`path::rewrite`].

pub mod hop;
pub mod host;
pub mod matcher;
pub mod matches;
pub mod origin;
pub mod path;
pub mod tables;
pub mod target;
