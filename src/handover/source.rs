//! The workers as the source of a hand-over: what they let go of arrives here, and goes back if it
//! is not taken.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::item::Item;
use crate::h1::connections;
use crate::h1::hand_off;
use crate::tunnel::{self, Export};
use crate::tunnel_registry;
use crate::vocabulary::hand_off::HandOff;
use crate::worker::Command;
use crate::worker::workers::Workers;

/// All workers, each with a queue of what arrives from it.
#[derive(Debug)]
pub(super) struct Sources {
    workers: Workers,
    each: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    tunnels: (UnboundedSender<Export>, UnboundedReceiver<Export>),
    connections: (
        UnboundedSender<hand_off::Export>,
        UnboundedReceiver<hand_off::Export>,
    ),
    /// Asked, and not arrived yet: tunnels and connections.
    asked: usize,
}

impl Sources {
    /// Nothing is asked for yet.
    pub(super) fn new(workers: Workers) -> Sources {
        let source = |_| Source {
            tunnels: unbounded_channel(),
            connections: unbounded_channel(),
            asked: 0,
        };
        Sources {
            each: workers.iter().map(source).collect(),
            workers,
        }
    }

    /// How many were asked and have not arrived.
    pub(super) fn asked(&self) -> usize {
        self.each.iter().map(|source| source.asked).sum()
    }

    /// What was asked and did not answer is not waited for any more.
    pub(super) fn give_up(&mut self) {
        for source in &mut self.each {
            source.asked = 0;
        }
    }

    /// Tunnels of this process.
    pub(super) async fn tunnels(&self) -> u64 {
        let counts = self.workers.ask(|| tunnel_registry::count).await;
        counts.iter().map(|count| *count as u64).sum()
    }

    /// Asks every worker for its share of `room` tunnels, or of as many idle `connections` where it
    /// has no more tunnels that could go: what the other process has no room for is to be an idle
    /// connection. Returns whether anything was asked.
    pub(super) async fn ask(&mut self, room: usize, connections: bool) -> bool {
        let share = room.div_ceil(self.each.len().max(1)).max(1);
        let mut answers = Vec::with_capacity(self.each.len());
        for (worker, source) in self.workers.iter().zip(&self.each) {
            let (answer, answered) = tokio::sync::oneshot::channel();
            let (tunnels, idle) = (source.tunnels.0.clone(), source.connections.0.clone());
            let most = if connections { share } else { 0 };
            worker.tell(Command::Do(Box::new(move || {
                let asked = match tunnel::export(share, &tunnels) {
                    0 => hand_off::export(most, &idle),
                    tunnels => tunnels,
                };
                let _ = answer.send(asked);
            })));
            answers.push(answered);
        }
        let mut any = false;
        for (source, answered) in self.each.iter_mut().zip(answers) {
            let asked = answered.await.unwrap_or(0);
            source.asked += asked;
            any |= asked > 0;
        }
        any
    }

    /// From now on connections come as soon as they are idle.
    pub(super) fn export_all_connections(&self) {
        for (worker, source) in self.workers.iter().zip(&self.each) {
            let idle = source.connections.0.clone();
            worker.tell(Command::Do(Box::new(move || hand_off::export_all(&idle))));
        }
    }

    /// Connections stay, and close after their exchange.
    pub(super) fn close_connections(&self) {
        self.workers.each(|| {
            || {
                hand_off::end();
                connections::drain();
            }
        });
    }

    /// What arrives next, and from which worker. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> (usize, HandOff<Item>) {
        poll_fn(|cx| {
            for (worker, source) in self.each.iter_mut().enumerate() {
                if let Some(arrived) = source.poll(cx) {
                    source.asked = source.asked.saturating_sub(1);
                    return Poll::Ready((worker, arrived));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Lets an item go on where it came from.
    pub(super) fn restore(&self, worker: usize, item: Item) {
        if let Some(worker) = self.workers.iter().nth(worker) {
            worker.tell(Command::Do(Box::new(move || item.restore())));
        }
    }

    /// Ends it: what arrives too late, or has arrived already, goes on where it was.
    pub(super) async fn end(&mut self) {
        let end = || {
            hand_off::end();
            tunnel::end_export();
        };
        self.workers.ask(|| end).await;
        for (worker, source) in self.each.iter_mut().enumerate() {
            while let Some(arrived) = source.try_next() {
                if let (HandOff::Exported(item), Some(worker)) =
                    (arrived, self.workers.iter().nth(worker))
                {
                    worker.tell(Command::Do(Box::new(move || item.restore())));
                }
            }
        }
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<HandOff<Item>> {
        if let Poll::Ready(Some(export)) = self.tunnels.1.poll_recv(cx) {
            return Some(export.map(Item::Tunnel));
        }
        if let Poll::Ready(Some(export)) = self.connections.1.poll_recv(cx) {
            return Some(export.map(Item::Connection));
        }
        None
    }

    fn try_next(&mut self) -> Option<HandOff<Item>> {
        let tunnel = self.tunnels.1.try_recv().ok();
        let tunnel = tunnel.map(|export| export.map(Item::Tunnel));
        tunnel.or_else(|| {
            let idle = self.connections.1.try_recv().ok()?;
            Some(idle.map(Item::Connection))
        })
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
