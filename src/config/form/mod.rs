//! The values of settings as they are written in the file, one file a subject: what is read,
//! what is refused, and what would be right instead.

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod close;
pub(crate) mod endpoint;
pub(crate) mod field;
pub(crate) mod file;
pub(crate) mod listener;
pub(crate) mod network;
pub(crate) mod origin;
pub(crate) mod path;
pub(crate) mod request;
pub(crate) mod variable;
