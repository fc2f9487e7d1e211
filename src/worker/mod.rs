//! One core: a thread with a runtime of its own, on which its connections, tunnels, pool and
//! clock live. Nothing that belongs to a worker is seen by another.

pub mod listeners;
pub mod workers;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle as TaskHandle;
use tracing::field::Empty;

use crate::h1::context::Context;
use crate::h1::secure::{self, Arrived};
use crate::h1::{connection, connections};
use crate::net::io::{Io, Socket};
use crate::net::listen::ListenerInfo;
use crate::net::listen::{Accepted, Listener, Peer, Whom};
use crate::process::Shared;
use crate::proxy::load::{Guard, Load};
use crate::system::alarm::Alarm;
use crate::system::allocator;
use crate::system::lock::lock;
use crate::system::shortage::{Over, Shortage};
use crate::tunnel_registry::{self, Cut, FINE_TICK, TICK};
use crate::upstream::pool;
use crate::{access_log, events, metrics, tap};

/// A tick that comes this much too late is counted: something held the worker up.
const LATE: Duration = Duration::from_millis(125);

/// A tick that comes this much too late says that the worker stood still: a stopped process, a
/// frozen cgroup, a host without time for it. That time is not held against any peer.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// What a worker is told.
pub enum Command {
    /// Serve this client.
    Serve(Accepted, ListenerInfo, Guard),
    /// Accept from this listener, until told to stop by its number.
    Accept(u64, Arc<Listener>, ListenerInfo),
    /// Accept from this listener no more; the sender is dropped when that is so.
    StopAccepting(u64, Sender<()>),
    /// Do this on the worker's thread, inside its runtime.
    Do(Box<dyn FnOnce() + Send>),
    /// Leave the thread.
    Stop,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::Serve(..) => "Serve",
            Command::Accept(..) => "Accept",
            Command::StopAccepting(..) => "StopAccepting",
            Command::Do(_) => "Do",
            Command::Stop => "Stop",
        })
    }
}

/// A handle on a running worker.
#[derive(Debug)]
pub struct Worker {
    commands: UnboundedSender<Command>,
    load: Arc<Load>,
    pulse: Arc<Pulse>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts a worker that accepts nothing yet.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(index: usize, shared: Arc<Shared>) -> io::Result<Worker> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let alarm = {
            let _inside = runtime.enter();
            Alarm::new()?
        };
        let (commands, receiver) = unbounded_channel();
        let load = Load::new(shared.connections.clone());
        let pulse = Arc::new(Pulse::new(Instant::now()));
        let state = State {
            shared,
            load: load.clone(),
            pulse: pulse.clone(),
            accepting: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                runtime.block_on(state.run(receiver, alarm));
                // What still runs is cut here, and leaves its records.
                drop(runtime);
                access_log::tick();
            })?;
        Ok(Worker {
            commands,
            load,
            pulse,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Connections and tunnels that it has.
    pub fn load(&self) -> usize {
        self.load.worker()
    }

    /// How long ago its clock ticked.
    pub fn silence(&self, now: Instant) -> Duration {
        self.pulse.silence(now)
    }

    /// Counts one more connection on it, whatever `max_connections` says.
    pub fn admit(&self) -> Option<Guard> {
        Guard::take(&self.load, None)
    }

    /// Hands it a client; it is counted at once, so that the next one finds the new load.
    pub fn serve(&self, shared: &Shared, accepted: Accepted, info: ListenerInfo) {
        if let Some(guard) = admit(shared, &self.load, &accepted) {
            self.tell(Command::Serve(accepted, info, guard));
        }
    }

    /// Tells it something. A worker that has stopped hears nothing.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Waits for the thread; to be called after [`Command::Stop`].
    pub fn join(&self) {
        let thread = lock(&self.thread);
        let thread = { thread }.take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("a worker thread panicked");
        }
    }
}

/// When a worker's clock last ticked, for those who watch that it does.
#[derive(Debug)]
struct Pulse {
    started: Instant,
    /// Milliseconds from `started` to the last tick.
    beat: AtomicU64,
}

impl Pulse {
    fn new(started: Instant) -> Pulse {
        Pulse {
            started,
            beat: AtomicU64::new(0),
        }
    }

    fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        self.beat.store(since.as_millis() as u64, Relaxed);
    }

    fn silence(&self, now: Instant) -> Duration {
        let beat = self.started + Duration::from_millis(self.beat.load(Relaxed));
        now.saturating_duration_since(beat)
    }
}

struct State {
    shared: Arc<Shared>,
    load: Arc<Load>,
    pulse: Arc<Pulse>,
    accepting: Vec<(u64, TaskHandle<()>)>,
}

impl State {
    async fn run(mut self, mut commands: UnboundedReceiver<Command>, alarm: Alarm) {
        self.shared.access_log.load().install();
        self.shared.tracer.load().install();
        tokio::spawn(tick(alarm, self.pulse.clone(), self.load.clone()));
        while let Some(command) = commands.recv().await {
            match command {
                Command::Serve(accepted, info, guard) => {
                    serve(&self.shared, accepted, info, guard);
                }
                Command::Accept(number, listener, info) => {
                    let (shared, load) = (self.shared.clone(), self.load.clone());
                    let task = tokio::spawn(accept(listener, Whom::Clients, move |accepted| {
                        if let Some(guard) = admit(&shared, &load, &accepted) {
                            serve(&shared, accepted, info.clone(), guard);
                        }
                    }));
                    self.accepting.push((number, task));
                }
                Command::StopAccepting(number, _stopped) => {
                    for (_, task) in self.accepting.extract_if(.., |(own, _)| *own == number) {
                        task.abort();
                        let _ = task.await;
                    }
                }
                Command::Do(what) => what(),
                Command::Stop => {
                    connections::cut(Cut::Signal);
                    break;
                }
            }
        }
    }
}

/// Accepts for ever; ends when the listener is broken.
pub async fn accept(listener: Arc<Listener>, whom: Whom, mut serve: impl FnMut(Accepted)) {
    let mut acceptor = match listener.start(whom) {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(%error, "a listener cannot be served"),
    };
    loop {
        match acceptor.accept().await {
            Ok(accepted) => {
                serve(accepted);
                if whom == Whom::Operators {
                    // What came is read before the next one may take its place.
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                let listen = acceptor.listener().address();
                return tracing::error!(%listen, %error, "the listener is broken");
            }
        }
    }
}

/// Clients that were turned away.
static OVER_LIMIT: Shortage = Shortage::new();

/// Tells when clients begin to be turned away because of `http.max_connections`, and when that has
/// ended. Never returns.
pub async fn watch_limit(shared: Arc<Shared>) {
    let begins = || {
        let limit = shared.snapshot.load().http.max_connections;
        tracing::warn!(
            limit,
            "as many connections as `http.max_connections` allows are open: clients are turned away"
        );
    };
    let ends = |Over { failed, lasted_ms }| {
        let turned_away = failed;
        tracing::info!(turned_away, lasted_ms, "clients are turned away no more");
    };
    OVER_LIMIT.watch(begins, ends).await;
}

/// Counts the connection on the worker, or drops it where there are too many.
fn admit(shared: &Shared, load: &Arc<Load>, accepted: &Accepted) -> Option<Guard> {
    let max = shared.snapshot.load().http.max_connections;
    let guard = Guard::take(load, max);
    if guard.is_none() {
        metrics::over_limit();
        OVER_LIMIT.note();
        tracing::debug!(peer = %accepted.peer(), "refused: max_connections are open");
    }
    guard
}

fn serve(shared: &Arc<Shared>, accepted: Accepted, info: ListenerInfo, guard: Guard) {
    let peer = accepted.peer();
    match accepted.into_socket() {
        Ok(socket) => {
            metrics::accepted();
            begin(shared, socket, peer, info, guard);
        }
        Err(error) => {
            tracing::warn!(left_out = Empty, %error, "an accepted socket cannot be served");
        }
    }
}

fn begin(shared: &Arc<Shared>, socket: Socket, peer: Peer, info: ListenerInfo, guard: Guard) {
    let shared = shared.clone();
    if let Some(server) = info.tls.clone() {
        let arrived = Arrived {
            socket,
            peer,
            listener_info: info,
            shared,
            guard,
        };
        tokio::spawn(secure::serve(arrived, server));
        return;
    }
    let context = Arc::new(Context::new(peer, info, shared));
    tokio::spawn(connection::serve(Io::from(socket), context, guard));
}

/// Gives memory back when a rush of connections is over, and once more when its last ones have
/// had time to end.
#[derive(Default)]
struct IdleTrim {
    /// The most connections since it last did.
    peak: usize,
    again: Option<Instant>,
}

impl IdleTrim {
    /// Fewer connections are no rush: the memory that they leave is not worth the walk.
    const RUSH: usize = 256;
    const REST: Duration = Duration::from_secs(5);

    fn tick(&mut self, load: usize, now: Instant) {
        self.peak = self.peak.max(load);
        let is_over = self.peak >= Self::RUSH && load <= self.peak / 4;
        if is_over || self.again.is_some_and(|again| now >= again) {
            self.peak = load;
            self.again = is_over.then(|| now + Self::REST);
            allocator::collect();
        }
    }
}

/// The worker goes on after it stood still for `span`. No time-out is judged at this tick: what
/// has arrived meanwhile is read before the next one, and every clock goes on as if the span
/// had not been.
#[cold]
fn stood_still(span: Duration) {
    let worker = std::thread::current().name().unwrap_or_default().to_owned();
    tracing::warn!(
        worker,
        ms = span.as_millis() as u64,
        "the worker stood still: its time-outs do not count that time"
    );
    metrics::stood_still();
    events::stood_still(worker, span);
    tunnel_registry::forgive(span);
    connections::forgive(span);
}

/// The worker's clock.
async fn tick(mut alarm: Alarm, pulse: Arc<Pulse>, load: Arc<Load>) {
    let mut trim = IdleTrim::default();
    let mut last = Instant::now();
    let mut was_late = false;
    loop {
        let pause = match tunnel_registry::is_draining() {
            true => FINE_TICK,
            false => TICK,
        };
        alarm.after(pause).await;
        let now = Instant::now();
        let late = now.saturating_duration_since(last + pause);
        last = now;
        metrics::ticked(late > LATE);
        // Time-outs are not judged by a tick that comes late: what has arrived meanwhile is read
        // first. But not twice in a row, or a busy worker would judge none.
        let is_late = late > LATE && !was_late;
        was_late = is_late;
        if late >= STOOD_STILL {
            stood_still(late);
        } else if !is_late {
            connections::tick(now);
            tunnel_registry::tick(now);
            pool::tick(now);
        }
        access_log::tick();
        events::tick();
        tap::tick(now);
        trim.tick(load.worker(), now);
        pulse.beat(Instant::now());
    }
}
