//! Routing: which route takes a request.
pub mod matcher;
pub mod origin;
pub mod path;
