//! The workers and the listeners: who accepts where, what every worker is told, and how a
//! listener stops accepting without losing what waits in its queue.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::ListenAddress;
use crate::net::listen::Front;
use crate::net::listen::{Accepted, Listener, Whom};
use crate::process::Shared;
use crate::worker::{self, Command, Worker};

/// All workers.
#[derive(Debug, Clone)]
pub struct Workers(Arc<[Worker]>);

impl Workers {
    /// Starts so many.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(count: usize, shared: &Arc<Shared>) -> io::Result<Workers> {
        (0..count)
            .map(|index| Worker::start(index, shared.clone()))
            .collect::<io::Result<Vec<Worker>>>()
            .map(|workers| Workers(workers.into()))
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Worker> {
        self.0.iter()
    }

    /// The one with the fewest connections. Not by hashing: long-lived connections would
    /// stay as uneven as they fell.
    pub fn least_loaded(&self) -> Option<&Worker> {
        self.iter().min_by_key(|worker| worker.load())
    }

    /// Has every worker do something on its thread.
    pub fn each<F: FnOnce() + Send + 'static>(&self, what: impl Fn() -> F) {
        for worker in self.iter() {
            worker.tell(Command::Do(Box::new(what())));
        }
    }

    /// Has every worker do something, and waits for the answers. A worker that has stopped
    /// gives none.
    pub async fn ask<R, F>(&self, what: impl Fn() -> F) -> Vec<R>
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.each(|| {
            let (sender, what) = (sender.clone(), what());
            move || {
                let _ = sender.send(what());
            }
        });
        drop(sender);
        let mut all = Vec::with_capacity(self.0.len());
        while let Some(answer) = answers.recv().await {
            all.push(answer);
        }
        all
    }

    /// Tells every worker to leave its thread, and waits until it has.
    pub fn stop(&self) {
        self.iter().for_each(|worker| worker.tell(Command::Stop));
        self.iter().for_each(Worker::join);
    }
}

/// One listener and whether somebody accepts from it.
#[derive(Debug)]
pub struct Listening {
    /// The bound socket.
    pub listener: Arc<Listener>,
    /// What clients see of it.
    pub front: Front,
    number: u64,
    accepting: Accepting,
}

#[derive(Debug)]
enum Accepting {
    /// Nobody does; clients wait in the kernel's queue.
    Paused,
    /// The only worker.
    Worker,
    /// This task of the control thread, on behalf of several workers.
    Control(JoinHandle<()>),
}

/// The workers and the listeners.
#[derive(Debug)]
pub struct Site {
    shared: Arc<Shared>,
    workers: Workers,
    listening: Vec<Listening>,
    /// The service manager's sockets that no listener of the configuration has.
    unused: Vec<Unused>,
    next: u64,
}

/// A socket that the service manager goes on listening on, though nobody is served there:
/// clients are turned away instead of waiting in its queue for ever.
#[derive(Debug)]
struct Unused {
    listener: Arc<Listener>,
    /// Turns clients away; `None` while that is paused.
    refusing: Option<JoinHandle<()>>,
}

impl Unused {
    fn refuse(&mut self) {
        let listener = self.listener.clone();
        let refusing = worker::accept(listener, Whom::Clients, Accepted::refuse);
        self.refusing = Some(tokio::spawn(refusing));
    }

    async fn pause(&mut self) {
        if let Some(task) = self.refusing.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Site {
    /// Without a listener yet.
    pub fn new(shared: Arc<Shared>, workers: Workers) -> Site {
        Site {
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
    pub fn listen(&mut self, listener: Arc<Listener>, front: Front) {
        self.next += 1;
        let mut listening = Listening {
            listener,
            front,
            number: self.next,
            accepting: Accepting::Paused,
        };
        self.accept(&mut listening);
        self.listening.push(listening);
    }

    fn accept(&self, listening: &mut Listening) {
        let (listener, front) = (listening.listener.clone(), listening.front);
        if let [only] = &*self.workers.0 {
            only.tell(Command::Accept(listening.number, listener, front));
            listening.accepting = Accepting::Worker;
            return;
        }
        let (workers, shared) = (self.workers.clone(), self.shared.clone());
        let hand_out = move |accepted| {
            if let Some(worker) = workers.least_loaded() {
                worker.serve(&shared, accepted, front);
            }
        };
        let task = tokio::spawn(worker::accept(listener, Whom::Clients, hand_out));
        listening.accepting = Accepting::Control(task);
    }

    /// Ends accepting from one listener. When this returns no task accepts from it, and
    /// nobody but `listening` holds it; clients wait in the kernel's queue.
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
    pub async fn replace(&mut self, wanted: &[(ListenAddress, Front)], bound: Vec<Arc<Listener>>) {
        let mut old = std::mem::take(&mut self.listening);
        let mut bound = bound;
        for (address, front) in wanted {
            if let Some(at) = old
                .iter()
                .position(|one| same(one.listener.address(), address))
            {
                let mut kept = old.remove(at);
                kept.listener.set_mode(address);
                let front = Front {
                    port: kept.front.port,
                    ..*front
                };
                if kept.front != front {
                    self.pause_one(&mut kept).await;
                    kept.front = front;
                    self.accept(&mut kept);
                }
                self.listening.push(kept);
            } else if let Some(at) = bound.iter().position(|new| same(new.address(), address)) {
                let new = bound.remove(at);
                let port = new.local_addr().map_or(0, |address| address.port());
                self.listen(new, Front { port, ..*front });
            } else if let Some(again) = self.take_unused(address).await {
                let port = again.local_addr().map_or(0, |address| address.port());
                self.listen(again, Front { port, ..*front });
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
