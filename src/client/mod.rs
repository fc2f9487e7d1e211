//! A running sluice as its commands see it: which one is meant, how it is reached, and what is
//! asked of its admin interface.

pub mod api;
pub mod find;
pub(crate) mod speak;
pub mod sse;
pub mod target;
