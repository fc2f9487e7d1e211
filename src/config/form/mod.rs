//! The values of settings as they are written in the file, one file a subject: what is read,
//! what is refused, and what would be right instead.

pub(crate) mod address;
pub(crate) mod close;
pub(crate) mod field;
pub(crate) mod log;
pub(crate) mod pattern;
pub(crate) mod trace;
pub(crate) mod variable;
pub(crate) mod word;
