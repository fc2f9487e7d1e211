//! A value that is rarely there: to see that it is not costs no lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::system::lock::lock;

/// A value that is rarely there.
#[derive(Debug, Default)]
pub struct Aside<T> {
    value: Mutex<T>,
    is_there: AtomicBool,
}

impl<T: Default> Aside<T> {
    /// Whether there is something.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// Puts it there.
    pub fn set(&self, value: T) {
        *lock(&self.value) = value;
        self.is_there.store(true, Relaxed);
    }

    /// Takes it.
    pub fn take(&self) -> Option<T> {
        self.is_there().then(|| {
            self.is_there.store(false, Relaxed);
            std::mem::take(&mut *lock(&self.value))
        })
    }

    /// Adds to it.
    pub fn add(&self, add: impl FnOnce(&mut T)) {
        add(&mut lock(&self.value));
        self.is_there.store(true, Relaxed);
    }

    /// Works on it where it is there; `is_empty` tells whether anything is left.
    pub fn reduce<R>(
        &self,
        reduce: impl FnOnce(&mut T) -> R,
        is_empty: impl FnOnce(&T) -> bool,
    ) -> Option<R> {
        if !self.is_there() {
            return None;
        }
        let mut value = lock(&self.value);
        let result = reduce(&mut value);
        self.is_there.store(!is_empty(&value), Relaxed);
        Some(result)
    }
}
