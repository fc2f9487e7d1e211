//! What is decided about a request before it goes anywhere.

pub mod admitted;
pub mod offer;
