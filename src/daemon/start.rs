//! The composition root: binds or takes over listeners, builds the first snapshot, starts the
//! workers, and stays as the control thread that accepts for several workers, resolves names
//! and obeys orders.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedReceiver;

use super::background::Background;
use super::build;
use super::certificates::{self, Servers};
use super::control::Control;
use super::listeners::{self, Bound};
use super::signals::Signals;
use super::start_error::StartError;
use super::take_over::{self, Service};
use super::watch::Signature;
use crate::access_log::AccessLog;
use crate::admin::{self, Admin};
use crate::config::{Config, LogFormat};
use crate::handover::launch::Launch;
use crate::handover::protocol::Failed;
use crate::handover::take::{Inherited, Taking};
use crate::net::listen::Listener;
use crate::net::tls::tickets;
use crate::process::Shared;
use crate::process::order::{Handle, Order};
use crate::process::state::ProcessState;
use crate::snapshot::Snapshot;
use crate::supervise::own_files;
use crate::supervise::pid_file::PidFile;
use crate::supervise::sockets;
use crate::system::descriptors;
use crate::trace::Tracer;
use crate::tunnel_registry;
use crate::upstream::Registry;
use crate::upstream::discover::Discovery;
use crate::worker::{listeners::Listeners, workers::Workers};

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

/// What can fail or has to come first, before anything is served.
struct Prepared {
    signals: Signals,
    access_log: AccessLog,
    tracer: Tracer,
    token: Option<admin::Token>,
    servers: Servers,
    listeners: Vec<Bound>,
    admin: Option<Arc<Listener>>,
    pid_file: Option<PidFile>,
}

impl Prepared {
    fn new(
        config: &Config,
        source: Option<&Path>,
        format: LogFormat,
        taking: Option<&mut Taking>,
    ) -> Result<Prepared, StartError> {
        // Before anything else opens descriptors.
        let activated = sockets::Inherited::take_all()?;
        let signals = Signals::listen()?;
        own_files::check(config, source)?;
        let access_log = AccessLog::open(&config.log, format)?;
        let tracer = Tracer::start(&config.trace)?;
        let token = admin::Token::configured(&config.admin)?;
        let servers = certificates::load(config, None)?;
        let (listeners, admin) = listeners::bind(config, &servers, source, activated, taking)?;
        let pid_file = config.pid_file.as_deref().map(PidFile::prepare);
        Ok(Prepared {
            signals,
            access_log,
            tracer,
            token,
            servers,
            listeners,
            admin,
            pid_file: pid_file.transpose()?,
        })
    }
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
    let prepared = Prepared::new(&config, source.as_deref(), format, taking.as_deref_mut())?;
    let config = Arc::new(config);
    let registry = Arc::<Registry>::default();
    let (mut snapshot, discovery) = first_snapshot(&config, &registry, taking.as_deref()).await;
    snapshot.servers = prepared.servers;
    let shared = Arc::new(Shared {
        snapshot: ArcSwap::from_pointee(snapshot),
        registry,
        connections: Arc::default(),
        access_log: ArcSwap::from_pointee(prepared.access_log),
        tracer: ArcSwap::from_pointee(prepared.tracer),
        state: ProcessState::default(),
    });
    let workers = Workers::start(config.workers.get(), &shared)?;
    let takes_over = taking.is_some();
    let mut pid_file = prepared.pid_file;
    if let Some(pid_file) = pid_file.as_mut().filter(|_| !takes_over) {
        pid_file.publish()?;
    }
    let mut control = Control {
        listeners: Listeners::new(shared.clone(), workers),
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
    accept(&mut control, prepared.listeners, taking).await?;
    let (handle, orders) = Handle::new();
    if let Some(listener) = prepared.admin {
        control.admin = Some(start_admin(&control, listener, prepared.token, &handle));
    }
    tell_ready(&control, &config);
    if let Some(first) = control.listeners.listening().first() {
        descriptors::check_room(&first.listener);
    }
    let service = Service {
        workers: control.listeners.workers().clone(),
        generation: control.shared.snapshot.load().generation,
        pid_file,
    };
    if !takes_over {
        service.announce();
    }
    Ok(Begun {
        control,
        signals: prepared.signals,
        handle,
        orders,
        service,
    })
}

/// Begins to accept. Where this process takes over from another one, that has stopped by then, its
/// drains are in force here, and there is room for its tunnels.
async fn accept(
    control: &mut Control,
    listeners: Vec<Bound>,
    mut taking: Option<&mut Taking>,
) -> Result<(), StartError> {
    if let Some(taking) = &mut taking {
        control.continue_drains(&taking.hello().drains).await;
        taking.ready().await?;
        taking.make_room().await;
    }
    for bound in listeners {
        let activated = bound.activated.then_some(true);
        tracing::info!(address = %bound.listener, activated, "listening");
        control
            .listeners
            .listen(bound.listener, bound.listener_info);
    }
    if let Some(taking) = taking {
        for listener in taking.take_unused() {
            control.listeners.keep_unused(listener);
        }
    }
    Ok(())
}

fn start_admin(
    control: &Control,
    listener: Arc<Listener>,
    token: Option<admin::Token>,
    handle: &Handle,
) -> Admin {
    tracing::info!(address = %listener, "admin interface listening");
    let context = admin::Context {
        shared: control.shared.clone(),
        workers: control.listeners.workers().clone(),
        orders: handle.clone(),
        source: control.source.clone(),
        token,
    };
    Admin::start(listener, context)
}

fn tell_ready(control: &Control, config: &Config) {
    let file = control.source.as_deref();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = file.map(|file| file.display().to_string()),
        workers = config.workers,
        routes = config.routes.len(),
        "ready"
    );
}

/// Everything at work.
struct Begun {
    control: Control,
    signals: Signals,
    handle: Handle,
    orders: UnboundedReceiver<Order>,
    service: Service,
}

/// Builds upstreams and routes, and asks for every name once. A process that takes over counts
/// generations and tunnels on.
async fn first_snapshot(
    config: &Arc<Config>,
    registry: &Arc<Registry>,
    taking: Option<&Taking>,
) -> (Snapshot, Discovery) {
    let upstreams = build::upstreams(config, None, registry);
    let discovery = build::resolve(&upstreams, registry, config, true).await;
    let mut snapshot = Snapshot::new(config.clone(), upstreams);
    if let Some(taking) = taking {
        let hello = taking.hello();
        snapshot.generation = hello.generation.saturating_add(1);
        tunnel_registry::reserve_ids(hello.next_tunnel_id);
        tickets::adopt(&hello.ticket_keys);
    }
    (snapshot, discovery)
}
