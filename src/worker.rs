//! One core: a thread with a runtime of its own, on which its connections, tunnels, pool and
//! clock live. Nothing that belongs to a worker is seen by another.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle as TaskHandle;

use crate::config::DrainConfig;
use crate::http::connection::{self, Context};
use crate::http::live;
use crate::listen::{Accepted, Listener};
use crate::server::{Front, Shared};
use crate::tunnel::registry::TICK;
use crate::upstream::pool;
use crate::{access_log, tunnel};

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Serve this client.
    Serve(Accepted, Front, live::Guard),
    /// Stop accepting and begin to close; the sender is dropped when nothing more can come.
    Drain(Arc<DrainConfig>, Sender<()>),
    /// End every tunnel at once.
    Cut,
    /// Leave the thread.
    Stop,
}

/// A handle on a running worker.
#[derive(Debug)]
pub struct Worker {
    commands: UnboundedSender<Command>,
    live: Arc<live::Load>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker that accepts from `listeners` by itself; with several workers the
    /// control thread accepts, and they are given none.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(
        index: usize,
        shared: Arc<Shared>,
        listeners: Vec<(Listener, Front)>,
    ) -> io::Result<Worker> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, receiver) = unbounded_channel();
        let live = live::Load::new(shared.connections.clone());
        let state = State {
            shared,
            live: live.clone(),
            accepting: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                runtime.block_on(state.run(receiver, listeners));
                // What still runs is cut here, and leaves its records.
                drop(runtime);
                access_log::tick();
            })?;
        Ok(Worker {
            commands,
            live,
            thread: Some(thread),
        })
    }

    /// Connections and tunnels that it has.
    pub fn load(&self) -> usize {
        self.live.worker()
    }

    /// Hands it a client; it is counted at once, so that the next one finds the new load.
    pub fn serve(&self, shared: &Shared, accepted: Accepted, front: Front) {
        if let Some(guard) = admit(shared, &self.live, &accepted) {
            self.tell(Command::Serve(accepted, front, guard));
        }
    }

    /// Tells it something. A worker that has stopped hears nothing.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Waits for the thread; to be called behind [`Command::Stop`].
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a worker thread panicked");
        }
    }
}

struct State {
    shared: Arc<Shared>,
    live: Arc<live::Load>,
    accepting: Vec<TaskHandle<()>>,
}

impl State {
    async fn run(
        mut self,
        mut commands: UnboundedReceiver<Command>,
        listeners: Vec<(Listener, Front)>,
    ) {
        self.shared.access_log.install();
        tokio::spawn(tick());
        for (listener, front) in listeners {
            let (shared, live) = (self.shared.clone(), self.live.clone());
            let task = tokio::spawn(accept(listener, move |accepted| {
                if let Some(guard) = admit(&shared, &live, &accepted) {
                    serve(&shared, accepted, front, guard);
                }
            }));
            self.accepting.push(task);
        }
        while let Some(command) = commands.recv().await {
            match command {
                Command::Serve(accepted, front, guard) => {
                    serve(&self.shared, accepted, front, guard);
                }
                Command::Drain(config, _heard) => {
                    for task in self.accepting.drain(..) {
                        task.abort();
                        let _ = task.await;
                    }
                    live::drain();
                    pool::clear();
                    tunnel::registry::drain(&config, Instant::now());
                }
                Command::Cut => {
                    tunnel::registry::cut_all(tunnel::Cut::Drain);
                }
                Command::Stop => break,
            }
        }
    }
}

/// Accepts for ever; ends when the listener is broken.
pub async fn accept(listener: Listener, mut serve: impl FnMut(Accepted)) {
    let mut acceptor = match listener.start() {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(%error, "a listener cannot be served"),
    };
    loop {
        match acceptor.accept().await {
            Ok(accepted) => serve(accepted),
            Err(error) => {
                let listen = acceptor.listener().address();
                return tracing::error!(?listen, %error, "the listener is broken");
            }
        }
    }
}

/// Counts the connection on the worker, or drops it where there are too many.
fn admit(shared: &Shared, load: &Arc<live::Load>, accepted: &Accepted) -> Option<live::Guard> {
    let max = shared.snapshot.load().http.max_connections;
    let guard = live::Guard::take(load, max);
    if guard.is_none() {
        tracing::debug!(peer = %accepted.peer(), "refused: max_connections are open");
    }
    guard
}

fn serve(shared: &Arc<Shared>, accepted: Accepted, front: Front, guard: live::Guard) {
    let peer = accepted.peer();
    match accepted.into_io() {
        Ok(io) => {
            let context = Arc::new(Context::new(peer, front, shared.clone()));
            tokio::spawn(connection::serve(io, context, guard));
        }
        Err(error) => tracing::warn!(%error, "an accepted socket cannot be served"),
    }
}

/// The worker's clock.
async fn tick() {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = interval.tick().await.into_std();
        live::tick(now);
        tunnel::registry::tick(now);
        pool::tick(now);
        access_log::tick();
    }
}
