//! The composition root: binds or takes over listeners, builds the first snapshot, starts the
//! workers, and stays as the control thread that accepts for several workers, resolves names
//! and obeys orders.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedReceiver;

use super::background::Background;
use super::control::Control;
use super::signals::Signals;
use super::take_over::{self, Service};
use super::watch::Signature;
use crate::access_log::AccessLog;
use crate::admin::{self, Admin};
use crate::config::{Config, LogFormat};
use crate::handover::launch::Launch;
use crate::handover::protocol::Failed;
use crate::handover::take::{Inherited, Taking};
use crate::net::listen;
use crate::net::listen::{BindError, Front, Listener};
use crate::process::Shared;
use crate::process::order::{Handle, Order};
use crate::process::state::State;
use crate::snapshot::Snapshot;
use crate::supervise::own_files;
use crate::supervise::pid_file::{PidFile, PidFileError};
use crate::supervise::sockets::{self, ActivationError};
use crate::system::descriptors;
use crate::trace::Tracer;
use crate::tunnel;
use crate::upstream::discover::Discovery;
use crate::upstream::{Registry, Upstream};
use crate::worker::site::{Site, Workers};

/// Why sluice did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener could not be bound.
    Bind(BindError),
    /// A socket that the service manager passed cannot be used.
    Activation(ActivationError),
    /// The PID file cannot be written.
    PidFile(PidFileError),
    /// A thread, a runtime or the access log could not be made.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(f),
            StartError::Activation(error) => error.fmt(f),
            StartError::PidFile(error) => error.fmt(f),
            StartError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        StartError::Bind(error)
    }
}

impl From<ActivationError> for StartError {
    fn from(error: ActivationError) -> Self {
        StartError::Activation(error)
    }
}

impl From<PidFileError> for StartError {
    fn from(error: PidFileError) -> Self {
        StartError::PidFile(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::Io(error)
    }
}

/// What a process starts with.
#[derive(Debug)]
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// The file that it came from, which a reload reads again.
    pub source: Option<PathBuf>,
    /// The format of logs, which stays until the end.
    pub format: LogFormat,
    /// How this process was started; `None`: it cannot be upgraded.
    pub launch: Option<Launch>,
    /// The way to the process that this one takes over from, if it does.
    pub inherited: Option<Inherited>,
}

/// Runs until a signal ends it.
///
/// # Errors
/// [`StartError`], before anything was accepted.
pub fn run(mut start: Start) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let read = start.source.as_deref().and_then(Signature::of);
    runtime.block_on(async {
        descriptors::raise_limit();
        let _watch = Background::spawn(descriptors::watch());
        let mut taking = match start.inherited.take() {
            Some(inherited) => Some(Taking::begin(inherited).await?),
            None => None,
        };
        match begin(start, taking.as_mut()).await {
            Ok(begun) => {
                let Begun {
                    mut control,
                    signals,
                    handle,
                    orders,
                    service,
                } = begun;
                control.read = read;
                let _service = match taking {
                    Some(taking) => {
                        control.taking = Some(take_over::take(taking, &control, service));
                        None
                    }
                    None => Some(service),
                };
                Ok(control.run(signals, handle, orders).await)
            }
            Err(error) => {
                if let Some(taking) = taking {
                    let reason = error.to_string();
                    let details = String::new();
                    taking.fail(Failed { reason, details }).await;
                }
                Err(error)
            }
        }
    })
}

/// Starts everything; when this returns, clients are served.
async fn begin(start: Start, mut taking: Option<&mut Taking>) -> Result<Begun, StartError> {
    let Start {
        config,
        source,
        format,
        launch,
        inherited: _,
    } = start;
    // Before anything else opens descriptors.
    let activated = sockets::Inherited::take_all()?;
    let signals = Signals::listen()?;
    own_files::check(&config, source.as_deref())?;
    let access_log = AccessLog::open(&config.log, format)?;
    let tracer = Tracer::start(&config.trace)?;
    let token = admin::Token::configured(&config.admin)?;
    let config = Arc::new(config);
    let (listeners, admin) = bind(&config, source.as_deref(), activated, taking.as_deref_mut())?;
    let mut pid_file = config
        .pid_file
        .as_deref()
        .map(PidFile::prepare)
        .transpose()?;
    let registry = Arc::<Registry>::default();
    let (mut snapshot, discovery) = first_snapshot(config.clone(), &registry).await;
    if let Some(taking) = &taking {
        let hello = taking.hello();
        snapshot.generation = hello.generation.saturating_add(1);
        tunnel::reserve_ids(hello.next_tunnel_id);
    }
    let shared = Arc::new(Shared {
        snapshot: ArcSwap::from_pointee(snapshot),
        registry,
        connections: Arc::default(),
        access_log: ArcSwap::from_pointee(access_log),
        tracer: ArcSwap::from_pointee(tracer),
        state: State::default(),
    });
    let workers = Workers::start(config.workers.get(), &shared)?;
    if taking.is_none()
        && let Some(pid_file) = &mut pid_file
    {
        pid_file.publish()?;
    }
    let mut control = Control {
        site: Site::new(shared.clone(), workers),
        shared,
        discovery,
        source,
        read: None,
        format,
        admin: None,
        launch,
        pid_file: config.pid_file.clone(),
        taking: None,
    };
    if let Some(taking) = &taking {
        control.continue_drains(&taking.hello().drains).await;
    }
    for Bound {
        listener,
        front,
        activated,
    } in listeners
    {
        let activated = activated.then_some(true);
        tracing::info!(address = %listener, activated, "listening");
        control.site.listen(listener, front);
    }
    let takes_over = taking.is_some();
    if let Some(taking) = taking {
        taking.ready().await?;
        for listener in taking.take_unused() {
            control.site.keep_unused(listener);
        }
    }
    let (handle, orders) = Handle::new();
    control.admin = admin.map(|listener| {
        tracing::info!(address = %listener, "admin interface listening");
        let context = admin::Context {
            shared: control.shared.clone(),
            workers: control.site.workers().clone(),
            orders: handle.clone(),
            source: control.source.clone(),
            token,
        };
        Admin::start(listener, context)
    });
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = control
            .source
            .as_deref()
            .map(|file| file.display().to_string()),
        workers = config.workers,
        routes = config.routes.len(),
        "ready"
    );
    let service = Service {
        workers: control.site.workers().clone(),
        generation: control.shared.snapshot.load().generation,
        pid_file,
    };
    if !takes_over {
        service.announce();
    }
    Ok(Begun {
        control,
        signals,
        handle,
        orders,
        service,
    })
}

/// Everything at work.
struct Begun {
    control: Control,
    signals: Signals,
    handle: Handle,
    orders: UnboundedReceiver<Order>,
    service: Service,
}

/// A listener that nobody accepts from yet.
struct Bound {
    listener: Arc<Listener>,
    front: Front,
    /// The service manager opened it.
    activated: bool,
}

/// Takes the listeners and that of the admin interface from the old process or from what
/// the service manager opened, and binds the others.
fn bind(
    config: &Config,
    source: Option<&Path>,
    mut activated: sockets::Inherited,
    mut taking: Option<&mut Taking>,
) -> Result<(Vec<Bound>, Option<Arc<Listener>>), StartError> {
    let mut all = Vec::with_capacity(config.listeners.len());
    for wanted in &config.listeners {
        let address = &wanted.address;
        let from_manager = activated.take(address)?;
        let is_activated = from_manager.is_some();
        let taken = match &mut taking {
            Some(taking) => taking.listener(address)?,
            None => from_manager.map(Arc::new),
        };
        let listener = match taken {
            Some(taken) => taken,
            None => Arc::new(listen::bind(address)?),
        };
        let front = Front {
            scheme: wanted.scheme,
            port: listener.local_addr().map_or(0, |address| address.port()),
        };
        all.push(Bound {
            listener,
            front,
            activated: is_activated,
        });
    }
    let places = admin::addresses(&config.admin, source);
    let mut admin = None;
    for address in &places {
        if admin.is_none() {
            admin = match &mut taking {
                Some(taking) => taking.admin(address)?,
                None => activated.take(address)?.map(Arc::new),
            };
        }
    }
    let wanted = config.listeners.iter().map(|one| &one.address);
    activated.finish(wanted.chain(places.first()))?;
    let admin = match admin {
        Some(taken) => Some(taken),
        None => admin::bind(&config.admin, source)?.map(Arc::new),
    };
    Ok((all, admin))
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
    (Snapshot::new(config, upstreams), discovery)
}
