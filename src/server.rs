//! The composition root: binds, builds the first snapshot, starts the workers, and stays as
//! the control thread that accepts for several workers, resolves names and heeds signals.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::access_log::AccessLog;
use crate::config::{Config, ListenAddress, Scheme};
use crate::lifecycle;
use crate::listen::{self, BindError, Listener};
use crate::snapshot::Snapshot;
use crate::upstream::discover::Discovery;
use crate::upstream::{Registry, Upstream};
use crate::worker::{self, Command, Worker};

/// What all workers see: nothing else is shared between cores.
#[derive(Debug)]
pub struct Shared {
    /// The configuration in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// Client connections and tunnels of the whole process.
    pub connections: Arc<AtomicUsize>,
    /// Where access records go.
    pub access_log: AccessLog,
}

/// What clients of a listener see of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Front {
    /// The scheme of the public URL.
    pub scheme: Scheme,
    /// The listener's TCP port; 0 on a unix socket.
    pub port: u16,
}

/// Why sluice did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener could not be bound.
    Bind(BindError),
    /// A thread, a runtime or the access log could not be made.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(f),
            StartError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::Io(error)
    }
}

/// Runs until a signal ends it. `json`: the form of access records.
///
/// # Errors
/// [`StartError`], before anything was accepted.
pub fn run(config: Config, json: bool) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let access_log = AccessLog::open(&config.log, json)?;
    let config = Arc::new(config);
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let bound = listen::bind(&listener.address).map_err(StartError::Bind)?;
        let port = bound.local_addr().map_or(0, |address| address.port());
        listeners.push((
            bound,
            Front {
                scheme: listener.scheme,
                port,
            },
        ));
    }
    let addresses: Vec<String> = listeners.iter().map(|(bound, _)| address(bound)).collect();
    runtime.block_on(async {
        let signals = lifecycle::Signals::listen()?;
        let registry = Arc::<Registry>::default();
        let (snapshot, discovery) = first_snapshot(config.clone(), &registry).await;
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            connections: Arc::default(),
            access_log,
        });
        let mut site = Site::start(&config, shared.clone(), listeners)?;
        for address in &addresses {
            tracing::info!(address, "listening");
        }
        tracing::info!(
            workers = config.workers,
            routes = config.routes.len(),
            "ready"
        );
        let code = lifecycle::run(signals, &mut site, &shared).await;
        drop(discovery);
        Ok(code)
    })
}

fn address(listener: &Listener) -> String {
    match (listener.local_addr(), listener.address()) {
        (Some(address), _) => address.to_string(),
        (None, ListenAddress::Unix { path, .. }) => format!("unix:{}", path.display()),
        (None, ListenAddress::Tcp(address)) => address.to_string(),
    }
}

/// Builds upstreams and routes, and asks for every name once.
async fn first_snapshot(config: Arc<Config>, registry: &Arc<Registry>) -> (Snapshot, Discovery) {
    let upstreams: BTreeMap<String, Arc<Upstream>> = config
        .upstreams
        .iter()
        .map(|(name, upstream)| {
            (
                name.clone(),
                Arc::new(Upstream::new(upstream.clone(), registry.clone())),
            )
        })
        .collect();
    let all: Vec<Arc<Upstream>> = upstreams.values().cloned().collect();
    let discovery = Discovery::start(&all, registry, &config.resolver);
    discovery
        .settled(config.resolver.timeout.min(Duration::from_secs(5)))
        .await;
    (Snapshot::new(1, config, upstreams), discovery)
}

/// The workers, and with several of them the tasks that accept on their behalf.
#[derive(Debug)]
pub struct Site {
    workers: Arc<Vec<Worker>>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
}

impl Site {
    fn start(
        config: &Config,
        shared: Arc<Shared>,
        listeners: Vec<(Listener, Front)>,
    ) -> io::Result<Site> {
        if config.workers.get() == 1 {
            let worker = Worker::start(0, shared, listeners)?;
            return Ok(Site {
                workers: Arc::new(vec![worker]),
                accepting: Vec::new(),
            });
        }
        let workers = (0..config.workers.get())
            .map(|index| Worker::start(index, shared.clone(), Vec::new()))
            .collect::<io::Result<Vec<Worker>>>()?;
        let workers = Arc::new(workers);
        let accepting = listeners.into_iter().map(|(listener, front)| {
            let (workers, shared) = (workers.clone(), shared.clone());
            let hand_out = move |accepted| {
                // Not hashing: long-lived connections would stay as uneven as they fell.
                if let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) {
                    worker.serve(&shared, accepted, front);
                }
            };
            tokio::spawn(worker::accept(listener, hand_out))
        });
        let accepting = accepting.collect();
        Ok(Site { workers, accepting })
    }

    /// Stops accepting; connections that wait in the kernel's queue are refused by it. No
    /// accept task is left when this returns, nor its share of the workers.
    pub async fn stop_accepting(&mut self) {
        for task in self.accepting.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }

    /// Waits for the workers' threads, which have been told to stop.
    pub fn join(&mut self) {
        // The accept tasks held the other shares; they were waited for.
        if let Some(workers) = Arc::get_mut(&mut self.workers) {
            workers.iter_mut().for_each(Worker::join);
        }
    }

    /// Tells every worker.
    pub fn tell(&self, command: impl Fn() -> Command) {
        self.workers
            .iter()
            .for_each(|worker| worker.tell(command()));
    }
}
