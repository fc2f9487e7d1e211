//! A reload: the whole new configuration is checked, its listeners are bound and its names
//! resolved before anything changes. What comes of that is a [`Transition`]; where anything
//! fails before, the old configuration stays.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::build;
use super::certificates;
use super::changes::{changes, needs_restart};
use super::control::Control;
use super::transition::Transition;
use super::warnings;
use crate::access_log::AccessLog;
use crate::config::{AccessLog as AccessTarget, Config, ListenAddress, LogConfig, Problems};
use crate::config_file;
use crate::events::{self, Event};
use crate::logging::structured;
use crate::net::listen;
use crate::net::listen::Listener;
use crate::process::order::{OrderError, Reloaded};
use crate::process::review::Reviewer;
use crate::snapshot::Snapshot;
use crate::supervise::own_files;
use crate::system::files;
use crate::trace::Tracer;
use crate::worker::listeners::same;

impl Control {
    /// Puts in force what was prepared.
    ///
    /// # Errors
    /// Why the old one stays.
    pub(super) async fn reload(
        &mut self,
        prepared: Result<Transition, OrderError>,
    ) -> Result<Reloaded, OrderError> {
        let transition = match prepared {
            Ok(transition) => transition,
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
        let report = transition.apply(self).await;
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
    /// yet, so that this can be given up. What takes time is done on threads of its own.
    ///
    /// # Errors
    /// Why it cannot be put in force.
    pub(super) async fn prepare(&self) -> Result<Transition, OrderError> {
        let file = self.source.as_deref().ok_or_else(|| {
            OrderError::new("sluice was started without a configuration file: nothing to reload")
        })?;
        let config = Arc::new(read(file).await?);
        let old = self.shared.snapshot.load_full();
        let (next, before) = (config.clone(), old.clone());
        let servers = apart(move || certificates::load(&next, Some(&before)).map_err(refused));
        let servers = servers.await??;
        let bound = self.bind(&config)?;
        let access_log = self.next_log(&old.config, &config).await?;
        let tracer = match config.trace != old.config.trace {
            true => Some(Tracer::start(&config.trace).map_err(refused)?),
            false => None,
        };
        let registry = self.shared.registry.clone();
        let (next, before) = (config.clone(), old.clone());
        let built = apart(move || {
            let upstreams = build::upstreams(&next, Some(&before), &registry);
            (upstreams, changes(&before.config, &next))
        });
        let (upstreams, changes) = built.await?;
        let discovery = build::resolve(&upstreams, &self.shared.registry, &config, false).await;
        let report = Reloaded {
            needs_restart: needs_restart(&old.config, &config),
            changes,
            ..Reloaded::default()
        };
        let before = old.clone();
        let built = apart(move || {
            let mut new = before.next(config, upstreams);
            new.servers = servers;
            let new = Arc::new(new);
            let reviewer = Arc::new(Reviewer::new(Some(&before), &new));
            (new, reviewer)
        });
        let (new, reviewer): (Arc<Snapshot>, _) = built.await?;
        Ok(Transition {
            old,
            new,
            reviewer,
            discovery,
            bound,
            access_log,
            tracer,
            report,
        })
    }

    /// The access log of the next configuration, where it is another. Opened even where
    /// nothing has changed: its file may have been rotated.
    async fn next_log(&self, old: &Config, new: &Config) -> Result<Option<AccessLog>, OrderError> {
        let reopens = matches!(new.log.access, AccessTarget::File(_));
        if !reopens && new.log == old.log {
            return Ok(None);
        }
        let opened = self.open_log(new.log.clone()).await;
        opened.map(Some).map_err(refused)
    }

    /// Binds the addresses that are not among the present ones.
    fn bind(&self, config: &Config) -> Result<Vec<Arc<Listener>>, OrderError> {
        let listening = self.listeners.listening().iter().map(|one| &one.listener);
        let present = listening.chain(self.listeners.unused());
        let mut present: Vec<&ListenAddress> = present.map(|one| one.address()).collect();
        let mut bound = Vec::new();
        for listener in &config.listeners {
            let found = present.iter().position(|one| same(one, &listener.address));
            if let Some(at) = found {
                present.remove(at);
                continue;
            }
            let new = listen::bind(&listener.address).map_err(|error| {
                let overlap = match self.listeners.listening().is_empty() {
                    true => "",
                    false => {
                        " (an address of the configuration in force that overlaps is only given \
                         up by a reload that succeeds: remove it in one of its own)"
                    }
                };
                OrderError::new(format!("{error}{overlap}"))
            })?;
            bound.push(Arc::new(new));
        }
        Ok(bound)
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
}

/// Reads and checks the configuration.
async fn read(file: &Path) -> Result<Config, OrderError> {
    let source = file.to_owned();
    let loaded = files::apart(move || {
        let (config, warnings) = config_file::load(&source)?;
        let own = own_files::check(&config, Some(&source));
        Ok((config, warnings, own))
    });
    let loaded = loaded.await.map_err(|error| {
        let file = file.display();
        OrderError::new(format!("can't read {file}: {error}"))
    })?;
    let (config, warnings, own) = loaded.map_err(|problems: Problems| OrderError {
        error: problems.summary(),
        details: problems.render(false),
    })?;
    own.map_err(refused)?;
    warnings::tell(warnings.as_ref());
    Ok(config)
}

/// Does what takes time, or may hang with its file system, on a thread of its own: the control
/// thread accepts meanwhile.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OrderError> {
    files::apart(work).await.map_err(refused)
}

fn refused(error: impl ToString) -> OrderError {
    OrderError::new(error.to_string())
}

/// How it went, in a line for the service manager.
pub(super) fn status(outcome: &Result<Reloaded, OrderError>) -> String {
    match outcome {
        Ok(report) => format!("Serving configuration {}", report.generation),
        Err(refused) => {
            let error = &refused.error;
            format!("Serving; the last reload was refused, the old configuration stays: {error}")
        }
    }
}
