//! The process that this one has taken over from, while it finishes what it has: what is left
//! there, and the way to tell it that the service ends or that an operator drains. Staying in
//! touch with it is the daemon's.

use std::sync::Mutex;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::order::{DrainRequest, Remaining};
use crate::system::lock::lock;

/// What is known of it; nothing once it has ended.
#[derive(Debug, Default)]
pub struct Predecessor(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    left: Remaining,
    orders: UnboundedSender<PassedOn>,
}

/// What is passed on to it.
#[derive(Debug, Clone)]
pub enum PassedOn {
    /// End as at SIGTERM.
    Stop,
    /// A drain that an operator has ordered.
    Drain(DrainRequest),
}

impl Predecessor {
    /// It and those before it, the last first.
    pub fn all(&self) -> Vec<Remaining> {
        let mut all = Vec::new();
        let mut next = self.nested();
        while let Some(mut one) = next.pop() {
            next.append(&mut one.predecessors);
            all.push(one);
        }
        all
    }

    /// As the process is told that takes over from this one.
    pub fn nested(&self) -> Vec<Remaining> {
        lock(&self.0).iter().map(|one| one.left.clone()).collect()
    }

    /// Whether it has ended, or never was.
    pub fn is_gone(&self) -> bool {
        lock(&self.0).is_none()
    }

    /// Tells it something, if it is there.
    pub fn tell(&self, what: PassedOn) {
        if let Some(one) = &*lock(&self.0) {
            // It is about to be forgotten otherwise.
            let _ = one.orders.send(what);
        }
    }

    /// It is there, with so much left; gives what it is to be told.
    pub fn begin(&self, left: Remaining) -> UnboundedReceiver<PassedOn> {
        let (orders, given) = unbounded_channel();
        *lock(&self.0) = Some(Known { left, orders });
        given
    }

    /// What is left there now.
    pub fn note(&self, left: Remaining) {
        if let Some(one) = &mut *lock(&self.0) {
            one.left = left;
        }
    }

    /// It has ended.
    pub fn forget(&self) {
        *lock(&self.0) = None;
    }
}
