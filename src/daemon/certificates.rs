//! The certificates of the listeners: read before a configuration is in force, and again when
//! their files change. A change is seen as one of the configuration file is: by what `stat` says.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::watch::Signature;
use crate::certificate::Unusable;
use crate::config::Config;
use crate::net::tls::Server;
use crate::process::Shared;
use crate::snapshot::Snapshot;
use crate::system::{alarm, files};
use crate::worker::listeners::same;

/// How often is said which certificates end soon.
const WARN: Duration = Duration::from_secs(24 * 60 * 60);

/// What each listener of a configuration serves TLS with, if it does.
pub(super) type Servers = Vec<Option<Arc<Server>>>;

/// Reads every certificate of a configuration. A listener whose settings have not changed keeps
/// its server, so that its clients' sessions go on; a certificate that was in force stays where its
/// files cannot be used now. Waits for files.
///
/// # Errors
/// The first certificate that can neither be used nor was in force.
pub(super) fn load(config: &Config, before: Option<&Snapshot>) -> Result<Servers, Unusable> {
    let old = || before.into_iter().flat_map(Snapshot::secured);
    let in_force: Vec<_> = old()
        .flat_map(|(_, server)| server.certificates())
        .collect();
    let mut all = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        let Some(settings) = &listener.tls else {
            all.push(None);
            continue;
        };
        let kept = old().find(|(address, server)| {
            same(address, &listener.address) && server.settings() == settings
        });
        all.push(Some(match kept {
            Some((_, server)) => {
                server.read_again();
                server.clone()
            }
            None => Arc::new(Server::load(settings.clone(), &in_force)?),
        }));
    }
    Ok(all)
}

/// Reads certificates again whose files have changed, and warns of their ends. Never returns.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut known = Known::default();
    let mut seconds = alarm::seconds();
    let mut warned = SystemTime::now();
    loop {
        seconds.tick().await;
        let snapshot = shared.snapshot.load_full();
        let servers: Vec<_> = snapshot
            .secured()
            .map(|(_, server)| server.clone())
            .collect();
        drop(snapshot);
        if servers.is_empty() {
            continue;
        }
        let now = SystemTime::now();
        // A clock that was set back warns, too.
        if now.duration_since(warned).is_ok_and(|since| since < WARN) {
            // Said today, or at the start.
        } else {
            warned = now;
            servers.iter().for_each(|server| server.warn_of_ends(now));
        }
        // One that hangs is no change.
        let Ok(after) = files::apart(move || known.look(&servers)).await else {
            known = Known::default();
            continue;
        };
        known = after;
    }
}

/// How the files of certificates were found.
#[derive(Debug, Default)]
struct Known(HashMap<PathBuf, Found>);

#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// When they were last read.
    taken_up: Option<Signature>,
    /// At the last look. A change is taken up when the next look finds the same.
    before: Option<Signature>,
}

impl Known {
    /// Looks at every file, and reads the certificates again of which one has changed.
    fn look(mut self, servers: &[Arc<Server>]) -> Known {
        let mut now = HashMap::new();
        for server in servers.iter().filter(|server| server.settings().watch) {
            let mut has_changed = false;
            for file in server.files() {
                let signature = Signature::of(&file);
                // One that is seen for the first time may have changed since it was read.
                let found = self.0.remove(&file).unwrap_or_default();
                let settled = signature.is_some() && signature == found.before;
                let changed = settled && signature != found.taken_up;
                has_changed |= changed;
                let found = Found {
                    taken_up: if changed { signature } else { found.taken_up },
                    before: signature,
                };
                now.insert(file, found);
            }
            if has_changed {
                server.read_again();
            }
        }
        Known(now)
    }
}
