//! A value that is rarely present. Seeing that it is absent costs no lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::system::lock::lock;

/// A value that is rarely present.
#[derive(Debug, Default)]
pub struct Aside<T> {
    value: Mutex<T>,
    is_there: AtomicBool,
}

impl<T: Default> Aside<T> {
    /// Whether it is present.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// Sets it.
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

    /// Applies `reduce` where it is present; `is_empty` tells whether it still is afterwards.
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
