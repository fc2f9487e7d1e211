//! The process that this one has taken over from, while it finishes what it has: what is left
//! there, and the way to tell it that the service ends or that an operator drains.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::handover::channel::Channel;
use crate::handover::protocol::{self, Message};
use crate::process::Shared;
use crate::process::order::Remaining;
use crate::system::lock::lock;

/// What is known of it; nothing once it has ended.
#[derive(Debug, Default)]
pub struct Predecessor(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    left: Remaining,
    orders: UnboundedSender<Message>,
}

impl Predecessor {
    /// It and those before it, the last first.
    pub fn all(&self) -> Vec<Remaining> {
        let mut all = Vec::new();
        let mut next: Vec<Remaining> = lock(&self.0).iter().map(|one| one.left.clone()).collect();
        while let Some(mut one) = next.pop() {
            next.append(&mut one.predecessors);
            all.push(one);
        }
        all
    }

    /// As it tells the process that takes over from this one.
    pub(super) fn nested(&self) -> Vec<Remaining> {
        lock(&self.0).iter().map(|one| one.left.clone()).collect()
    }

    /// Whether it has ended, or never was.
    pub(super) fn is_gone(&self) -> bool {
        lock(&self.0).is_none()
    }

    /// Tells it something, if it is there.
    pub(super) fn tell(&self, message: Message) {
        if let Some(one) = &*lock(&self.0) {
            // It is about to be forgotten otherwise.
            let _ = one.orders.send(message);
        }
    }
}

/// Stays in touch with it until it ends.
pub async fn follow(shared: Arc<Shared>, mut channel: Channel, left: Remaining) {
    let known = shared.state.predecessor();
    let (orders, mut given) = unbounded_channel();
    let pid = left.pid;
    *lock(&known.0) = Some(Known { left, orders });
    loop {
        let heard = tokio::select! {
            heard = protocol::receive(&mut channel) => heard,
            Some(order) = given.recv() => {
                // Where that fails the end is read next.
                let _ = protocol::send(&channel, order, &[]).await;
                continue;
            }
        };
        match heard {
            Ok(Some((Message::Left(left), _))) => {
                if let Some(one) = &mut *lock(&known.0) {
                    one.left = left;
                }
            }
            // A later version may say more.
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    *lock(&known.0) = None;
    tracing::info!(pid, "the process that this one took over from has ended");
}
