//! A reload: the whole new configuration is checked, its listeners are bound and its names
//! resolved before anything changes. Then routes are swapped, listeners switched and live
//! tunnels reviewed. Where anything fails before that, the old configuration stays.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Control;
use crate::access_log::AccessLog;
use crate::config::{
    self, AccessLog as AccessTarget, AdminConfig, Config, ListenAddress, LogConfig,
};
use crate::events::{self, Event};
use crate::logging::{self, structured};
use crate::net::listen;
use crate::net::listen::Front;
use crate::net::listen::Listener;
use crate::process::order::{Refused, Reloaded};
use crate::process::review::Reviewer;
use crate::snapshot::Snapshot;
use crate::supervise::own_files;
use crate::system::files;
use crate::trace::Tracer;
use crate::tunnel::registry;
use crate::upstream::discover::Discovery;
use crate::upstream::{Registry, Upstream};
use crate::worker::site::same;

/// Longest wait for names that were not asked for before.
const NAMES: Duration = Duration::from_secs(5);

/// How long requests may take to let go of the old configuration, and how often is looked.
const RETIRED: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(250);

/// Everything that a reload needs, made before anything changes.
pub(super) struct Prepared {
    config: Arc<Config>,
    bound: Vec<Arc<Listener>>,
    access_log: Option<AccessLog>,
    tracer: Option<Tracer>,
    report: Reloaded,
}

impl Control {
    /// Puts in force what was prepared.
    ///
    /// # Errors
    /// Why the old one stays.
    pub(super) async fn reload(
        &mut self,
        prepared: Result<Prepared, Refused>,
    ) -> Result<Reloaded, Refused> {
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(refused) => {
                tracing::error!(
                    error = refused.error,
                    details = refused.details,
                    generation = self.shared.snapshot.load().generation,
                    "reload refused: the configuration in force stays"
                );
                self.shared.state.reloaded(Some(refused.error.clone()));
                self.tell_reload(Some(refused.error.clone()));
                return Err(refused);
            }
        };
        let report = self.put_in_force(prepared).await;
        self.shared.state.reloaded(None);
        self.tell_reload(None);
        tracing::info!(
            generation = report.generation,
            changes = structured(&report.changes),
            needs_restart = structured(&report.needs_restart),
            tunnels_changed = report.tunnels_changed,
            tunnels_drained = report.tunnels_drained,
            tunnels_closed = report.tunnels_closed,
            "reloaded"
        );
        Ok(report)
    }

    fn tell_reload(&self, error: Option<String>) {
        events::publish(Event::Reload(events::Reload {
            time: events::now(),
            generation: self.shared.snapshot.load().generation,
            ok: error.is_none(),
            error,
        }));
    }

    /// Reads the configuration again, and makes everything that it asks for. Nothing changes
    /// yet, so that this can be given up. Files are opened and read on a thread of their own.
    ///
    /// # Errors
    /// Why it cannot be put in force.
    pub(super) async fn prepare(&self) -> Result<Prepared, Refused> {
        let file = self.source.clone().ok_or_else(|| {
            Refused::new("sluice was started without a configuration file: nothing to reload")
        })?;
        let name = file.display().to_string();
        let loaded = files::apart(move || config::load(&file)).await;
        let loaded = loaded.map_err(|error| Refused::new(format!("can't read {name}: {error}")))?;
        let config = loaded.map_err(|problems| Refused {
            error: problems.summary(),
            details: problems.render(false),
        })?;
        let (config, own) = {
            let source = self.source.clone();
            let check = move || {
                let own = own_files::check(&config, source.as_deref());
                (config, own)
            };
            let checked = files::apart(check).await;
            checked.map_err(|error| Refused::new(error.to_string()))?
        };
        own.map_err(|error| Refused::new(error.to_string()))?;
        let old = self.shared.snapshot.load().config.clone();
        let bound = self.bind(&config)?;
        // Opened even where nothing has changed: somebody may have rotated the file.
        let reopens = matches!(config.log.access, AccessTarget::File(_));
        let access_log = if reopens || config.log != old.log {
            let opened = self.open_log(config.log.clone()).await;
            Some(opened.map_err(|error| Refused::new(error.to_string()))?)
        } else {
            None
        };
        let tracer = if config.trace != old.trace {
            Some(Tracer::start(&config.trace).map_err(|e| Refused::new(e.to_string()))?)
        } else {
            None
        };
        let report = Reloaded {
            needs_restart: needs_restart(&old, &config),
            ..Reloaded::default()
        };
        Ok(Prepared {
            config: Arc::new(config),
            bound,
            access_log,
            tracer,
            report,
        })
    }

    /// Binds the addresses that are not among the present ones.
    fn bind(&self, config: &Config) -> Result<Vec<Arc<Listener>>, Refused> {
        let listening = self.site.listening().iter().map(|one| &one.listener);
        let present = listening.chain(self.site.unused());
        let mut present: Vec<&ListenAddress> = present.map(|one| one.address()).collect();
        let mut bound = Vec::new();
        for listener in &config.listeners {
            let found = present.iter().position(|one| same(one, &listener.address));
            if let Some(at) = found {
                present.remove(at);
                continue;
            }
            let new = listen::bind(&listener.address).map_err(|error| {
                let overlap = match self.site.listening().is_empty() {
                    true => "",
                    false => {
                        " (an address of the configuration in force that overlaps is only given \
                         up behind a reload that succeeds: remove it in one of its own)"
                    }
                };
                Refused::new(format!("{error}{overlap}"))
            })?;
            bound.push(Arc::new(new));
        }
        Ok(bound)
    }

    /// Nothing fails from here on.
    async fn put_in_force(&mut self, prepared: Prepared) -> Reloaded {
        let Prepared {
            config,
            bound,
            access_log,
            tracer,
            mut report,
        } = prepared;
        let old = self.shared.snapshot.load_full();
        let (next, before, registry) = (config.clone(), old.clone(), self.shared.registry.clone());
        let (upstreams, changes) = apart(move || {
            let upstreams = upstreams(&next, &before, &registry);
            (upstreams, changes(&before.config, &next))
        })
        .await;
        report.changes = changes;
        let all: Vec<Arc<Upstream>> = upstreams.values().cloned().collect();
        self.shared
            .registry
            .keep_names(all.iter().flat_map(|upstream| upstream.names()));
        let discovery = Discovery::start(&all, &self.shared.registry, &config.resolver);
        if all.iter().any(|upstream| upstream.is_unresolved()) {
            discovery.settled(config.resolver.timeout.min(NAMES)).await;
        }
        let (next, before) = (config.clone(), old.clone());
        let (snapshot, reviewer) = apart(move || {
            let snapshot = Arc::new(before.next(next, upstreams));
            let reviewer = Arc::new(Reviewer::new(Some(&before), &snapshot));
            (snapshot, reviewer)
        })
        .await;
        report.generation = snapshot.generation;
        self.shared.state.drains().mark_routes(&snapshot);
        for address in bound.iter().map(|listener| listener.to_string()) {
            tracing::info!(address, "listening");
        }
        self.shared.snapshot.store(snapshot.clone());
        self.discovery = discovery;
        let fronts: Vec<(ListenAddress, Front)> = config
            .listeners
            .iter()
            .map(|listener| {
                let front = Front {
                    scheme: listener.scheme,
                    port: 0,
                };
                (listener.address.clone(), front)
            })
            .collect();
        self.site.replace(&fronts, bound).await;
        logging::set_level(&config.log);
        if let Some(log) = access_log {
            self.log_to(log);
        }
        if let Some(tracer) = tracer {
            self.shared.tracer.store(Arc::new(tracer.clone()));
            self.site.workers().each(|| {
                let tracer = tracer.clone();
                move || tracer.install()
            });
        }
        self.review(reviewer, &snapshot, &mut report).await;
        retire(old);
        report
    }

    /// Opens the access log's file anew, for rotation (SIGUSR1); the old one is kept where
    /// that cannot be done.
    pub(super) async fn reopen_logs(&self) {
        let config = self.shared.snapshot.load().config.log.clone();
        if !matches!(config.access, AccessTarget::File(_)) {
            return tracing::info!("SIGUSR1: no log of this configuration is a file");
        }
        match self.open_log(config).await {
            Ok(log) => {
                self.log_to(log);
                tracing::info!("the access log was opened anew");
            }
            Err(error) => tracing::error!(%error, "the access log stays what it was"),
        }
    }

    /// On a thread of its own: a file system may hang.
    async fn open_log(&self, log: LogConfig) -> io::Result<AccessLog> {
        let format = self.format;
        files::apart(move || AccessLog::open(&log, format))
            .await
            .and_then(|opened| opened)
    }

    fn log_to(&self, log: AccessLog) {
        self.shared.access_log.store(Arc::new(log.clone()));
        self.site.workers().each(|| {
            let log = log.clone();
            move || log.install()
        });
    }

    /// Tells live tunnels what the new configuration means for them.
    async fn review(&self, reviewer: Arc<Reviewer>, new: &Snapshot, report: &mut Reloaded) {
        self.shared.state.set_reviewer(reviewer.clone());
        self.site
            .workers()
            .ask(|| {
                let reviewer = reviewer.clone();
                move || registry::review(Instant::now(), &|tunnel| reviewer.judge(tunnel))
            })
            .await;
        report.tunnels_changed = reviewer.changed();
        report.tunnels_closed = reviewer.closed();
        let mut drains = self.shared.state.drains();
        for drain in reviewer.drains() {
            report.tunnels_drained += drain.progress.total();
            drains.note_reload(new.generation, drain.clone());
        }
    }
}

/// Does what takes time with many routes on a thread of its own: the control thread accepts
/// meanwhile.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Frees a configuration that is not in force any more, once no request has it: not on the
/// thread of the last one.
fn retire(old: Arc<Snapshot>) {
    drop(tokio::spawn(async move {
        let give_up = Instant::now() + RETIRED;
        while Arc::strong_count(&old) > 1 && Instant::now() < give_up {
            tokio::time::sleep(MOMENT).await;
        }
        tokio::task::spawn_blocking(move || drop(old));
    }));
}

/// One for each name; what has not changed is the old one.
fn upstreams(
    config: &Config,
    old: &Snapshot,
    registry: &Arc<Registry>,
) -> BTreeMap<String, Arc<Upstream>> {
    let upstream = |(name, config): (&String, &Arc<config::UpstreamConfig>)| {
        let same = old.upstreams.get(name).filter(|old| old.config() == config);
        let upstream = same
            .cloned()
            .unwrap_or_else(|| Arc::new(Upstream::new(config.clone(), registry.clone())));
        (name.clone(), upstream)
    };
    config.upstreams.iter().map(upstream).collect()
}

/// How it went, in a line for the service manager.
pub(super) fn status(outcome: &Result<Reloaded, Refused>) -> String {
    match outcome {
        Ok(report) => format!("Serving configuration {}", report.generation),
        Err(refused) => {
            let error = &refused.error;
            format!("Serving; the last reload was refused, the old configuration stays: {error}")
        }
    }
}

/// What a reload cannot change.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    // What a tap may see is looked up whenever it is about to tell something.
    let admin = AdminConfig {
        tap: new.admin.tap,
        ..old.admin.clone()
    };
    let settings = [
        ("workers", old.workers != new.workers),
        ("log.format", old.log.format != new.log.format),
        ("admin", admin != new.admin),
        ("pid_file", old.pid_file != new.pid_file),
    ];
    let changed = settings.iter().filter(|(_, changed)| *changed);
    changed.map(|(name, _)| (*name).to_owned()).collect()
}

/// What has changed, a line each.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    compare(
        &mut changes,
        "listener",
        old.listeners
            .iter()
            .map(|one| (one.address.to_string(), one)),
        new.listeners
            .iter()
            .map(|one| (one.address.to_string(), one)),
        |old, new| old == new,
    );
    compare(
        &mut changes,
        "upstream",
        old.upstreams.iter().map(|(name, one)| (name.clone(), one)),
        new.upstreams.iter().map(|(name, one)| (name.clone(), one)),
        |old, new| old == new,
    );
    compare(
        &mut changes,
        "route",
        old.routes.iter().map(|one| (one.name.clone(), one)),
        new.routes.iter().map(|one| (one.name.clone(), one)),
        |old, new| old.equals(new),
    );
    let tables = [
        ("[log]", old.log != new.log),
        ("[trace]", old.trace != new.trace),
        ("[http]", old.http != new.http),
        ("[drain]", old.drain != new.drain),
        ("[resolver]", old.resolver != new.resolver),
        ("[reload]", old.reload != new.reload),
        ("[upgrade]", old.upgrade != new.upgrade),
    ];
    for (table, _) in tables.iter().filter(|(_, changed)| *changed) {
        changes.push(format!("{table} changed"));
    }
    changes
}

fn compare<T>(
    changes: &mut Vec<String>,
    what: &str,
    old: impl Iterator<Item = (String, T)>,
    new: impl Iterator<Item = (String, T)>,
    equal: impl Fn(&T, &T) -> bool,
) {
    let mut old: BTreeMap<String, T> = old.collect();
    for (name, new) in new {
        match old.remove(&name) {
            None => changes.push(format!("{what} {name} added")),
            Some(old) if !equal(&old, &new) => changes.push(format!("{what} {name} changed")),
            Some(_) => {}
        }
    }
    changes.extend(old.keys().map(|name| format!("{what} {name} removed")));
}
