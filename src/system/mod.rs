//! Small tools over the operating system: descriptors, files, memory, locks, time.

pub mod alarm;
pub mod allocator;
pub mod descriptors;
pub mod files;
pub mod lock;
pub mod shortage;
