//! How every mutex here is taken: a panic while one is held leaves a value that is whole, so
//! that the next one goes on with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the mutex, whatever became of who held it before.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
