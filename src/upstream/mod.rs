//! Upstreams.
pub mod discover;
