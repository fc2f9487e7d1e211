//! The listeners and who accepts from each: how one is added, replaced and closed, and how it
//! stops accepting without losing what waits in its queue.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::workers::Workers;
use super::{Command, accept};
use crate::config::ListenAddress;
use crate::net::listen::{Accepted, Listener, ListenerInfo, Whom};
use crate::process::Shared;

/// One listener and who accepts from it.
#[derive(Debug)]
pub struct Listening {
    /// The bound socket.
    pub listener: Arc<Listener>,
    /// What clients see of it.
    pub listener_info: ListenerInfo,
    number: u64,
    accepting: Accepting,
}

#[derive(Debug)]
enum Accepting {
    /// No one: clients wait in the kernel's queue.
    Paused,
    /// The only worker.
    Worker,
    /// This task of the control thread, on behalf of several workers.
    Control(JoinHandle<()>),
}

/// The listeners, and the workers that serve their clients.
#[derive(Debug)]
pub struct Listeners {
    shared: Arc<Shared>,
    workers: Workers,
    listening: Vec<Listening>,
    /// The service manager's sockets that no listener of the configuration has.
    unused: Vec<Unused>,
    next: u64,
}

/// A socket that the service manager goes on listening on, though no client is served there:
/// they are turned away instead of waiting in its queue for ever.
#[derive(Debug)]
struct Unused {
    listener: Arc<Listener>,
    /// Turns clients away; `None` while that is paused.
    refusing: Option<JoinHandle<()>>,
}

impl Unused {
    fn refuse(&mut self) {
        let listener = self.listener.clone();
        let refusing = accept(listener, Whom::Clients, Accepted::refuse);
        self.refusing = Some(tokio::spawn(refusing));
    }

    async fn pause(&mut self) {
        if let Some(task) = self.refusing.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Listeners {
    /// Without a listener yet.
    pub fn new(shared: Arc<Shared>, workers: Workers) -> Listeners {
        Listeners {
            shared,
            workers,
            listening: Vec::new(),
            unused: Vec::new(),
            next: 0,
        }
    }

    /// The workers.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The listeners.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The service manager's sockets that no listener of the configuration has.
    pub fn unused(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.unused.iter().map(|unused| &unused.listener)
    }

    /// Keeps a socket of the service manager's that is not listened on any more. Must be
    /// called inside the control thread's runtime.
    pub fn keep_unused(&mut self, listener: Arc<Listener>) {
        tracing::info!(
            address = %listener,
            "clients of this socket of the service manager's are turned away: no `[[listen]]` \
             has it any more"
        );
        let mut unused = Unused {
            listener,
            refusing: None,
        };
        unused.refuse();
        self.unused.push(unused);
    }

    /// The unused socket with this address, to be listened on again.
    async fn take_unused(&mut self, address: &ListenAddress) -> Option<Arc<Listener>> {
        let at = self.unused.iter();
        let mut at = at.map(|unused| unused.listener.address());
        let mut unused = self.unused.remove(at.position(|own| same(own, address))?);
        unused.pause().await;
        Some(unused.listener)
    }

    /// Begins to accept from one more listener. Must be called inside the control thread's
    /// runtime.
    pub fn listen(&mut self, listener: Arc<Listener>, listener_info: ListenerInfo) {
        self.next += 1;
        let mut listening = Listening {
            listener,
            listener_info,
            number: self.next,
            accepting: Accepting::Paused,
        };
        self.accept(&mut listening);
        self.listening.push(listening);
    }

    fn accept(&self, listening: &mut Listening) {
        let listener = listening.listener.clone();
        let listener_info = listening.listener_info.clone();
        if let Some(only) = self.workers.only() {
            only.tell(Command::Accept(listening.number, listener, listener_info));
            listening.accepting = Accepting::Worker;
            return;
        }
        let (workers, shared) = (self.workers.clone(), self.shared.clone());
        let hand_out = move |accepted| {
            if let Some(worker) = workers.least_loaded() {
                worker.serve(&shared, accepted, listener_info.clone());
            }
        };
        let task = tokio::spawn(accept(listener, Whom::Clients, hand_out));
        listening.accepting = Accepting::Control(task);
    }

    /// Ends accepting from one listener. When this returns no task accepts from it, and
    /// only `listening` holds it; clients wait in the kernel's queue.
    async fn pause_one(&self, listening: &mut Listening) {
        match std::mem::replace(&mut listening.accepting, Accepting::Paused) {
            Accepting::Paused => {}
            Accepting::Worker => {
                let (stopped, mut heard) = mpsc::channel(1);
                for worker in self.workers.iter() {
                    worker.tell(Command::StopAccepting(listening.number, stopped.clone()));
                }
                drop(stopped);
                let _ = heard.recv().await;
            }
            Accepting::Control(task) => {
                task.abort();
                let _ = task.await;
            }
        }
    }

    /// Stops accepting everywhere; the sockets stay open, and clients wait in their queues.
    pub async fn pause(&mut self) {
        let mut all = std::mem::take(&mut self.listening);
        for listening in &mut all {
            self.pause_one(listening).await;
        }
        self.listening = all;
        for unused in &mut self.unused {
            unused.pause().await;
        }
    }

    /// Accepts again where that was paused.
    pub fn resume(&mut self) {
        let mut all = std::mem::take(&mut self.listening);
        for listening in &mut all {
            if matches!(listening.accepting, Accepting::Paused) {
                self.accept(listening);
            }
        }
        self.listening = all;
        let paused = self.unused.iter_mut();
        paused
            .filter(|unused| unused.refusing.is_none())
            .for_each(Unused::refuse);
    }

    /// Stops accepting everywhere and closes the sockets: connections that wait in the
    /// kernel's queue are refused by it.
    pub async fn close(&mut self) {
        self.pause().await;
        self.listening.clear();
        self.unused.clear();
    }

    /// Makes `wanted` the listeners: those whose address is among the present ones keep
    /// their socket and queue, `bound` are the new ones, and the others are closed, or kept where
    /// they are the service manager's.
    pub async fn replace(
        &mut self,
        wanted: &[(ListenAddress, ListenerInfo)],
        bound: Vec<Arc<Listener>>,
    ) {
        let mut old = std::mem::take(&mut self.listening);
        let mut bound = bound;
        for (address, listener_info) in wanted {
            if let Some(at) = old
                .iter()
                .position(|one| same(one.listener.address(), address))
            {
                let mut kept = old.remove(at);
                kept.listener.set_mode(address);
                let listener_info = ListenerInfo {
                    port: kept.listener_info.port,
                    ..listener_info.clone()
                };
                if kept.listener_info != listener_info {
                    self.pause_one(&mut kept).await;
                    kept.listener_info = listener_info;
                    self.accept(&mut kept);
                }
                self.listening.push(kept);
            } else if let Some(at) = bound.iter().position(|new| same(new.address(), address)) {
                let new = bound.remove(at);
                let port = new.local_addr().map_or(0, |address| address.port());
                self.listen(
                    new,
                    ListenerInfo {
                        port,
                        ..listener_info.clone()
                    },
                );
            } else if let Some(again) = self.take_unused(address).await {
                let port = again.local_addr().map_or(0, |address| address.port());
                self.listen(
                    again,
                    ListenerInfo {
                        port,
                        ..listener_info.clone()
                    },
                );
            }
        }
        for mut gone in old {
            self.pause_one(&mut gone).await;
            if gone.listener.is_of_manager() {
                self.keep_unused(gone.listener);
            }
        }
    }
}

/// Whether two addresses mean the same socket, whatever its permission bits.
pub fn same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => one == other,
        (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: other, .. }) => {
            one == other
        }
        _ => false,
    }
}
