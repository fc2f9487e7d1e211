//! Keeps the names of upstreams resolved: asked at the start and again whenever the answer's
//! TTL ends. A failure keeps the last good answer; `localhost` (RFC 6761 section 6.3), names
//! in `/etc/hosts` and IP literals are never asked for.
//!
//! Runs on the control thread. What is done with the addresses is decided in `upstream`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config as hickory;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::ResolverConfig;
use crate::logging::structured;
use crate::metrics;
use crate::system::lock::lock;
use crate::system::{alarm, files};
use crate::vocabulary::span;

use super::connect::STOOD_STILL;
use super::registry::Learnt;
use super::{Registry, Upstream};

/// The largest `/etc/hosts` that is read.
const LARGEST_HOSTS: u64 = 16 << 20;

/// How often a look-up under way checks whether the process stood still.
const BEAT: Duration = Duration::from_millis(250);

/// Longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The look-ups of one configuration: one small task a name on the runtime that it was
/// started in. Dropping it ends them.
#[derive(Debug)]
pub struct Discovery {
    _tasks: JoinSet<()>,
    /// Names that have not been asked for yet.
    pending: watch::Receiver<usize>,
}

impl Discovery {
    /// Begins to resolve the names of `upstreams`, all of which were built on `registry`.
    pub fn start(
        upstreams: &[Arc<Upstream>],
        registry: &Arc<Registry>,
        config: &ResolverConfig,
    ) -> Discovery {
        Discovery::with_hosts(upstreams, registry, config, Path::new("/etc/hosts"))
    }

    fn with_hosts(
        upstreams: &[Arc<Upstream>],
        registry: &Arc<Registry>,
        config: &ResolverConfig,
        hosts: &Path,
    ) -> Discovery {
        let mut users: BTreeMap<&str, Vec<Arc<Upstream>>> = BTreeMap::new();
        for upstream in upstreams {
            for name in upstream.names() {
                users.entry(name).or_default().push(upstream.clone());
            }
        }
        let (asked, pending) = watch::channel(users.len());
        let names = Arc::new(Names {
            config: config.clone(),
            hosts: hosts.into(),
            resolver: Mutex::new(None),
        });
        let mut tasks = JoinSet::new();
        let (changes, changed) = watch::channel(());
        if !users.is_empty() {
            // As it is before the first look-up reads it.
            let known = stamp(std::fs::metadata(hosts));
            tasks.spawn(watch_file(hosts.into(), known, changes));
        }
        for (name, users) in users {
            let follower = Follower {
                name: name.to_owned(),
                users,
                registry: registry.clone(),
                names: names.clone(),
                failures: 0,
                hosts: changed.clone(),
            };
            tasks.spawn(follower.run(asked.clone()));
        }
        Discovery {
            _tasks: tasks,
            pending,
        }
    }

    /// Returns when every name has been asked for once, with or without success, or after
    /// `within`: a start waits for this so that its first requests find addresses, and does
    /// not fail without them.
    pub async fn settled(&self, within: Duration) {
        let mut pending = self.pending.clone();
        let _ = tokio::time::timeout(within, pending.wait_for(|names| *names == 0)).await;
    }
}

/// Follows one name.
struct Follower {
    name: String,
    users: Vec<Arc<Upstream>>,
    registry: Arc<Registry>,
    names: Arc<Names>,
    failures: u32,
    /// Sends that `/etc/hosts` has changed.
    hosts: watch::Receiver<()>,
}

impl Follower {
    async fn run(mut self, asked: watch::Sender<usize>) {
        let mut first = true;
        loop {
            let pause = match self.names.look_up(&self.name).await {
                Ok(answer) => self.learn(answer),
                Err(error) => self.fail(&error),
            };
            if std::mem::take(&mut first) {
                asked.send_modify(|names| *names -= 1);
            }
            // Whichever comes first; without a sender nothing changes any more.
            let _ = tokio::time::timeout(pause, async {
                if self.hosts.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
            .await;
        }
    }

    fn learn(&mut self, answer: Resolved) -> Duration {
        let name = &self.name;
        if answer.whole {
            self.registry.begin_anew(name);
        }
        let learnt = self.registry.learn(name, &answer.addresses);
        let addresses = self.registry.addresses(name).unwrap_or_default();
        let (addresses, ttl_ms) = (structured(&addresses), span::millis(answer.ttl));
        match learnt {
            Learnt::Same if self.failures == 0 => {}
            Learnt::Same => tracing::info!(%name, "resolves again"),
            Learnt::Changed => tracing::info!(%name, addresses, ttl_ms, "resolved"),
            Learnt::Rotates => tracing::info!(
                %name, addresses, ttl_ms,
                "the name gives some of its addresses at a time: those of the last look-ups are \
                 used together"
            ),
            Learnt::Turned => tracing::debug!(%name, addresses, ttl_ms, "resolved"),
        }
        // Also without a change: another configuration's task may have learnt it first.
        self.users.iter().for_each(|upstream| upstream.rebuild());
        self.failures = 0;
        let ResolverConfig {
            min_ttl, max_ttl, ..
        } = self.names.config;
        answer.ttl.min(max_ttl).max(min_ttl)
    }

    fn fail(&mut self, error: &LookupError) -> Duration {
        metrics::dns_failed();
        self.failures = self.failures.saturating_add(1);
        let min_ttl = self.names.config.min_ttl.max(Duration::from_millis(10));
        let pause = min_ttl.saturating_mul(1 << (self.failures - 1).min(16));
        let pause = pause.min(RETRY_MAX.max(min_ttl));
        // The 1st, 2nd, 4th, 8th … failure in a row.
        if self.failures.is_power_of_two() {
            tracing::warn!(
                name = %self.name,
                %error,
                failures = self.failures,
                keeps = structured(&self.registry.addresses(&self.name).unwrap_or_default()),
                retry_in_ms = span::millis(pause),
                "cannot resolve"
            );
        }
        pause
    }
}

/// What distinguishes a file from another one and from its own past.
type Stamp = Option<(Option<SystemTime>, u64, u64)>;

fn stamp(found: io::Result<Metadata>) -> Stamp {
    let found = found.ok()?;
    Some((found.modified().ok(), found.len(), found.ino()))
}

/// Tells whenever the file is no longer as `known`; looks every second.
async fn watch_file(path: Box<Path>, mut known: Stamp, changes: watch::Sender<()>) {
    let mut seconds = alarm::seconds();
    loop {
        seconds.tick().await;
        let now = stamp(tokio::fs::metadata(&path).await);
        if now != known {
            known = now;
            let _ = changes.send(());
        }
    }
}

/// Waits, and says whether the process stood still in the meantime.
async fn noticing<T>(waited: impl Future<Output = T>) -> (T, bool) {
    let mut waited = pin!(waited);
    let mut stood_still = false;
    loop {
        let due = Instant::now() + BEAT;
        let done = tokio::time::timeout(BEAT, &mut waited).await;
        stood_still |= due.elapsed() >= STOOD_STILL;
        if let Ok(done) = done {
            return (done, stood_still);
        }
    }
}

/// At least one address.
struct Resolved {
    addresses: Vec<IpAddr>,
    ttl: Duration,
    /// It comes from a file, and not from a server that might have more addresses.
    whole: bool,
}

#[derive(Debug)]
enum LookupError {
    Dns(NetError),
    Timeout,
    /// An answer without an address.
    Empty,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupError::Dns(error) if error.is_nx_domain() => f.write_str("no such name"),
            LookupError::Dns(error) if error.is_no_records_found() => {
                f.write_str("the name has no address")
            }
            LookupError::Dns(error) => error.fmt(f),
            LookupError::Timeout => f.write_str("no answer in time"),
            LookupError::Empty => f.write_str("the name has no address"),
        }
    }
}

/// Where a name's addresses come from.
struct Names {
    config: ResolverConfig,
    hosts: Box<Path>,
    /// Built when first needed, and anew after a failure: `/etc/resolv.conf` may have been
    /// missing or may have changed.
    resolver: Mutex<Option<TokioResolver>>,
}

impl Names {
    async fn look_up(&self, name: &str) -> Result<Resolved, LookupError> {
        let known = self.without_asking(name);
        if !known.is_empty() {
            return Ok(Resolved {
                addresses: known,
                ttl: self.config.max_ttl,
                whole: true,
            });
        }
        let found = loop {
            let resolver = self.resolver().map_err(LookupError::Dns)?;
            let asked = tokio::time::timeout(self.config.timeout, resolver.lookup_ip(name));
            let (asked, stood_still) = noticing(asked).await;
            let failed = match asked {
                Ok(Ok(found)) => break found,
                Ok(Err(error)) => LookupError::Dns(error),
                Err(_) => LookupError::Timeout,
            };
            *self.slot() = None;
            // Then what the server said may have come, and every timer ran out before it was read.
            if !stood_still {
                return Err(failed);
            }
        };
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(LookupError::Empty);
        }
        let seconds = found
            .as_lookup()
            .answers()
            .iter()
            .map(|record| record.ttl)
            .min();
        Ok(Resolved {
            addresses,
            ttl: Duration::from_secs(seconds.unwrap_or(0).into()),
            whole: false,
        })
    }

    /// `/etc/hosts`, read anew each time, and `localhost`.
    fn without_asking(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut found = match files::read(&self.hosts, LARGEST_HOSTS) {
            Ok(text) => in_hosts(&String::from_utf8_lossy(&text), name),
            Err(_) => Vec::new(),
        };
        let (_, top) = name.rsplit_once('.').unwrap_or(("", name));
        if found.is_empty() && top.eq_ignore_ascii_case("localhost") {
            found.extend([
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ]);
        }
        found
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut slot = self.slot();
        if let Some(resolver) = &*slot {
            return Ok(resolver.clone());
        }
        let resolver = build(&self.config)?;
        *slot = Some(resolver.clone());
        Ok(resolver)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<TokioResolver>> {
        lock(&self.resolver)
    }
}

/// The addresses of `name` in the text of a hosts(5) file.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or("")
            .split_ascii_whitespace();
        if let Some(Ok(ip)) = words.next().map(str::parse)
            && words.any(|word| word.eq_ignore_ascii_case(name))
        {
            found.push(ip);
        }
    }
    found
}

fn build(config: &ResolverConfig) -> Result<TokioResolver, NetError> {
    let mut builder = if config.nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = config.nameservers.iter().map(|server| {
            let mut ways = [
                hickory::ConnectionConfig::udp(),
                hickory::ConnectionConfig::tcp(),
            ];
            ways.iter_mut().for_each(|way| way.port = server.port());
            hickory::NameServerConfig::new(server.ip(), true, ways.into())
        });
        let servers = hickory::ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.ip_strategy = hickory::LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = hickory::ResolveHosts::Never;
    // Each look-up asks: when to do one is decided here, by the TTL.
    options.cache_size = 0;
    // A lost datagram leaves time for a second try.
    options.timeout = config.timeout / 2;
    options.attempts = 1;
    builder.build()
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
