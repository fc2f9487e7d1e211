//! One place that a request can be sent to, the shares that exchanges and tunnels hold of
//! it, and the registry that lets both survive a reload or a change of its name's addresses.
//!
//! Connecting, pooling and choosing among endpoints are done elsewhere in `upstream`.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tracing::field::Empty;

use super::health::Health;
use crate::events::{self, HealthState};
use crate::metrics;
use crate::system::lock::lock;
use crate::vocabulary::stamp::rfc3339;

/// What a connect needs: an address with nothing left to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// TCP to an IPv6 address in the zone of an interface (RFC 4007 section 11), which is
    /// looked up for each connect: its number changes when it comes back.
    Zoned(Ipv6Addr, Arc<str>, u16),
    /// A unix stream socket; one in the abstract namespace where it begins with `@`.
    Unix(Arc<Path>),
}

impl Address {
    /// The address that [`Display`](fmt::Display) shows as this text.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(Address::Unix(Path::new(path).into()));
        }
        if let Some((ip, rest)) = text.strip_prefix('[').and_then(|text| text.split_once('%')) {
            let (zone, port) = rest.rsplit_once("]:")?;
            return Some(Address::Zoned(
                ip.parse().ok()?,
                zone.into(),
                port.parse().ok()?,
            ));
        }
        text.parse().ok().map(Address::Tcp)
    }

    /// The address as `Host`: a zone means nothing to others (RFC 6874 section 4), and a socket's
    /// path is no host.
    pub fn authority(&self) -> Cow<'static, str> {
        match self {
            Address::Tcp(address) => address.to_string().into(),
            Address::Zoned(ip, _, port) => format!("[{ip}]:{port}").into(),
            Address::Unix(_) => "localhost".into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Zoned(ip, zone, port) => write!(f, "[{ip}%{zone}]:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address of an upstream with its live counts and health. The atomics are relaxed: they
/// guide a choice and guard no memory.
#[derive(Debug)]
pub struct Endpoint {
    id: usize,
    upstream: Arc<str>,
    name: Arc<str>,
    address: Address,
    /// Where it is counted.
    slot: Arc<metrics::Slot>,
    in_flight: AtomicU32,
    tunnels: AtomicU32,
    /// What its requests experienced.
    health: Health,
    /// Why it fails and since when; only written when it does.
    failure: Mutex<Option<Failure>>,
    /// An operator drains it: it gets nothing new.
    draining: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(upstream: Arc<str>, address: Address) -> Endpoint {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = address.to_string().into();
        Endpoint {
            id: NEXT.fetch_add(1, Relaxed),
            slot: metrics::slots::endpoint(&upstream, &name),
            upstream,
            name,
            address,
            in_flight: AtomicU32::new(0),
            tunnels: AtomicU32::new(0),
            health: Health::default(),
            failure: Mutex::new(None),
            draining: AtomicBool::new(false),
        }
    }

    /// A number that no other endpoint of this process has or will have.
    pub fn id(&self) -> usize {
        self.id
    }

    /// The address as logs show it: `10.0.0.3:9000`, `unix:/run/app.sock`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Name of the upstream that this endpoint belongs to.
    pub fn upstream(&self) -> &Arc<str> {
        &self.upstream
    }

    /// Where it is counted.
    pub fn slot(&self) -> &Arc<metrics::Slot> {
        &self.slot
    }

    /// Where to connect.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Exchanges under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Tunnels open.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Relaxed)
    }

    /// What [`Balance::Least`](crate::config::Balance::Least) compares.
    pub fn load(&self) -> u32 {
        self.in_flight().saturating_add(self.tunnels())
    }

    /// False while it counts as failed, or a connect to it hangs, and no trial is due.
    pub fn is_usable(&self) -> bool {
        self.health.is_usable()
    }

    /// Whether it has failed and has not been found sound since.
    pub fn has_failed(&self) -> bool {
        self.health.has_failed()
    }

    /// The age that a kept connection must have to be used again.
    pub(super) fn age(&self) -> u32 {
        self.health.age()
    }

    /// Why it has failed and since when; `None`: it has not, or has recovered.
    pub fn failure(&self) -> Option<Failure> {
        *lock(&self.failure)
    }

    /// Whether it gets nothing new, by an operator's command.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Sets whether it gets nothing new.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Relaxed);
    }

    /// Takes the endpoint for use; after a failure only one caller gets the trial.
    pub(super) fn claim(&self, retry_after: Duration) -> bool {
        self.health.claim(retry_after)
    }

    fn count(&self, share: Share) -> &AtomicU32 {
        match share {
            Share::Exchange => &self.in_flight,
            Share::Tunnel => &self.tunnels,
        }
    }
}

/// What keeps an endpoint from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Why it failed last, in a word: `refused`, `timeout`, …
    pub why: &'static str,
    /// When it failed first since it was last in order.
    pub since: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Exchange,
    Tunnel,
}

/// A share of an endpoint, given back by `Drop`. What is reported through it is the only
/// input of passive health.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    retry_after_ms: u32,
    share: Share,
}

impl Lease {
    /// A share for one exchange. `retry_after`: how long a failure reported through it
    /// makes the endpoint a last resort.
    pub fn exchange(endpoint: Arc<Endpoint>, retry_after: Duration) -> Lease {
        endpoint.in_flight.fetch_add(1, Relaxed);
        Lease {
            endpoint,
            retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
            share: Share::Exchange,
        }
    }

    /// The exchange became a tunnel and is counted as one from now on.
    pub fn into_tunnel(mut self) -> Lease {
        if self.share == Share::Exchange {
            self.endpoint.tunnels.fetch_add(1, Relaxed);
            self.endpoint.in_flight.fetch_sub(1, Relaxed);
            self.share = Share::Tunnel;
        }
        self
    }

    /// Whose share this is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The endpoint could not be reached: it is a last resort for a while, and the
    /// connections that are kept to it are dropped by every worker.
    pub fn failed(&self, why: &'static str) {
        let retry_after = Duration::from_millis(self.retry_after_ms.into());
        let since = {
            let mut failure = lock(&self.endpoint.failure);
            let since = failure.map_or_else(SystemTime::now, |failure| failure.since);
            *failure = Some(Failure { why, since });
            since
        };
        if self.endpoint.health.failed(retry_after) {
            let endpoint = &self.endpoint;
            let state = HealthState::Avoided;
            events::health(&endpoint.upstream, &endpoint.name, state, Some(why));
            tracing::warn!(
                left_out = Empty,
                upstream = %self.endpoint.upstream,
                endpoint = %self.endpoint.name,
                why,
                since = rfc3339(since),
                retry_after_ms = self.retry_after_ms,
                "endpoint failed: used only when no other is left"
            );
        }
    }

    /// The connect hangs. True for the one request that waits on; the others go elsewhere
    /// where they can, for `rest` or until that one has reported.
    pub fn suspect(&self, rest: Duration) -> bool {
        self.endpoint.health.suspect(rest)
    }

    /// The endpoint was reached.
    pub fn ok(&self) {
        if self.endpoint.health.connected() {
            self.say_up();
        }
    }

    /// Something of an answer came from the endpoint.
    pub fn heard(&self) {
        if self.endpoint.health.heard() {
            self.say_up();
        }
    }

    /// No answer began within `limit`: repeated, with nothing else heard of the endpoint, it
    /// is a failure.
    pub fn unanswered(&self, limit: Duration) {
        if self.endpoint.health.unanswered(limit) {
            self.failed("no answer");
        }
    }

    /// An answer stopped for `limit`.
    pub fn fell_silent(&self, limit: Duration) {
        self.endpoint.health.fell_silent(limit);
    }

    fn say_up(&self) {
        let endpoint = &self.endpoint;
        let failure = lock(&endpoint.failure).take();
        let down = failure.and_then(|failure| failure.since.elapsed().ok());
        events::health(&endpoint.upstream, &endpoint.name, HealthState::Up, None);
        tracing::info!(
            left_out = Empty,
            upstream = %self.endpoint.upstream,
            endpoint = %self.endpoint.name,
            after_ms = down.map(|down| u64::try_from(down.as_millis()).unwrap_or(u64::MAX)),
            "endpoint is back"
        );
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.count(self.share).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::registry::Registry;

    fn address(port: u16) -> Address {
        Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn an_address_survives_its_spelling() {
        for text in [
            "10.0.0.1:80",
            "[fd00::1]:9000",
            "[fe80::1%eth0]:9000",
            "unix:/run/app.sock",
            "unix:@app",
        ] {
            assert_eq!(Address::parse(text).expect("an address").to_string(), text);
        }
        assert_eq!(Address::parse("app.test:80"), None);
    }

    #[test]
    fn shares_are_counted_by_kind_and_given_back() {
        let endpoint = Registry::default().endpoint(&"app".into(), address(1));
        let first = Lease::exchange(endpoint.clone(), Duration::ZERO);
        let second = Lease::exchange(endpoint.clone(), Duration::ZERO).into_tunnel();
        assert_eq!(
            (endpoint.in_flight(), endpoint.tunnels(), endpoint.load()),
            (1, 1, 2)
        );
        drop(first);
        assert_eq!((endpoint.in_flight(), endpoint.tunnels()), (0, 1));
        drop(second.into_tunnel());
        assert_eq!((endpoint.in_flight(), endpoint.tunnels()), (0, 0));
    }

    #[test]
    fn a_lease_is_small_enough_to_live_in_every_tunnel() {
        assert_eq!(size_of::<Lease>(), 16);
    }
}
