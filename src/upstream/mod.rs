//! Upstreams: where requests go. An `Upstream` turns its configuration and what its names
//! resolve to into a list of endpoints, from which `balance` picks without a lock.
//!
//! `endpoint` holds counts, `health` judges an endpoint by its requests, `discover` keeps names resolved,
//! `registry` holds what outlives configurations. `connect` opens sockets; a `connection` is
//! kept in the `pool`, or by the one client whose `login` it carries; `client` speaks HTTP/1.1
//! on one, with `body` and `chunked` for what comes back.

pub mod balance;
pub mod body;
pub mod chunked;
pub mod client;
pub mod connect;
pub mod connection;
pub mod discover;
pub mod endpoint;
mod health;
pub mod lent;
pub mod login;
pub mod pool;
mod registry;
mod rotation;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::{ArcSwap, Guard};

use crate::config::{EndpointAddress, UpstreamConfig};

pub use endpoint::{Address, Endpoint, Failure, Lease};
pub use registry::Registry;

use crate::message::response::HeadRules;

/// The endpoints that are in none of these upstreams any more and still have exchanges or
/// tunnels, by the names that logs show.
pub fn leaving<'u>(
    registry: &Registry,
    upstreams: impl Iterator<Item = &'u Arc<Upstream>>,
) -> Vec<Arc<Endpoint>> {
    let mut present = HashSet::new();
    for upstream in upstreams {
        present.extend(upstream.endpoints().iter().map(|endpoint| endpoint.id()));
    }
    registry.others(&present)
}

/// One `[upstream.NAME]` at work.
#[derive(Debug)]
pub struct Upstream {
    config: Arc<UpstreamConfig>,
    name: Arc<str>,
    registry: Arc<Registry>,
    list: ArcSwap<EndpointList>,
    /// The turn of [`Balance::RoundRobin`](crate::config::Balance::RoundRobin).
    turn: AtomicUsize,
}

/// The endpoints of an upstream at one moment.
#[derive(Debug, Default)]
pub struct EndpointList {
    preferred: Box<[Arc<Endpoint>]>,
    /// IPv6 addresses of names that have IPv4 ones too. The two are nearly always the same
    /// servers, and often one of the families leads nowhere; so this half is used when
    /// nothing in the other works, instead of failing every second connect.
    spare: Box<[Arc<Endpoint>]>,
}

impl EndpointList {
    /// Every endpoint, in the order of the configuration, spare ones last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.preferred.iter().chain(&self.spare)
    }

    /// True when there is none: no configured name has been resolved so far.
    pub fn is_empty(&self) -> bool {
        self.preferred.is_empty()
    }
}

impl Upstream {
    /// Builds the upstream from what is known: literal addresses, unix sockets, and names
    /// that `registry` has addresses of. Endpoints that another `Upstream` of this name
    /// holds are shared with it, with their counts and health.
    pub fn new(config: Arc<UpstreamConfig>, registry: Arc<Registry>) -> Upstream {
        let upstream = Upstream {
            name: config.name.as_str().into(),
            config,
            registry,
            list: ArcSwap::default(),
            turn: AtomicUsize::new(0),
        };
        upstream.rebuild();
        upstream
    }

    /// The name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The configuration that this was built from.
    pub fn config(&self) -> &Arc<UpstreamConfig> {
        &self.config
    }

    /// The limits and leniency for the head of an answer.
    pub fn head_rules(&self) -> HeadRules {
        HeadRules::new(self.config.max_header_lines, self.config.lenient)
    }

    /// The current endpoints. Not to be held across an await.
    pub fn endpoints(&self) -> Guard<Arc<EndpointList>> {
        self.list.load()
    }

    /// True while no configured name has been resolved: the `dns_error` of RFC 9209
    /// section 2.3.2 where [`pick`](Upstream::pick) finds nothing.
    pub fn is_unresolved(&self) -> bool {
        self.list.load().is_empty()
    }

    /// The host names that have to be resolved.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.config
            .endpoints
            .iter()
            .filter_map(|endpoint| match endpoint {
                EndpointAddress::Host { host, .. } if host.parse::<IpAddr>().is_err() => {
                    Some(host.as_str())
                }
                _ => None,
            })
    }

    /// Takes over what the registry knows now. Endpoints that stay keep their counts; those
    /// that go get nothing new and end with their last lease.
    pub fn rebuild(&self) {
        // rcu builds again when another thread got in between, so no newer answer is lost.
        self.list.rcu(|_| Arc::new(self.build()));
    }

    fn build(&self) -> EndpointList {
        let (mut preferred, mut spare) = (Vec::new(), Vec::new());
        for endpoint in &self.config.endpoints {
            let (host, port) = match endpoint {
                EndpointAddress::Unix(path) => {
                    preferred.push(Address::Unix(path.as_path().into()));
                    continue;
                }
                EndpointAddress::Zoned { ip, zone, port } => {
                    preferred.push(Address::Zoned(*ip, zone.as_str().into(), *port));
                    continue;
                }
                EndpointAddress::Host { host, port } => (host, *port),
            };
            let tcp = |ip: IpAddr| Address::Tcp(SocketAddr::new(ip, port));
            if let Ok(ip) = host.parse::<IpAddr>() {
                preferred.push(tcp(ip));
            } else if let Some(ips) = self.registry.addresses(host) {
                let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = ips.iter().partition(|ip| ip.is_ipv4());
                let v6_home = if v4.is_empty() {
                    &mut preferred
                } else {
                    &mut spare
                };
                v6_home.extend(v6.into_iter().map(tcp));
                preferred.extend(v4.into_iter().map(tcp));
            }
        }
        let mut seen = HashSet::new();
        let mut share = |addresses: Vec<Address>| -> Box<[Arc<Endpoint>]> {
            let mut once = addresses;
            once.retain(|address| seen.insert(address.clone()));
            once.into_iter()
                .map(|address| self.registry.endpoint(&self.name, address))
                .collect()
        };
        EndpointList {
            preferred: share(preferred),
            spare: share(spare),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Balance;
    use std::time::Duration;

    pub(crate) fn config(endpoints: &[&str], balance: Balance) -> Arc<UpstreamConfig> {
        let endpoints = endpoints
            .iter()
            .map(|text| match text.strip_prefix("unix:") {
                Some(path) => EndpointAddress::Unix(path.into()),
                None => {
                    let (host, port) = text.rsplit_once(':').expect("host:port");
                    let host = host.trim_matches(['[', ']']).to_owned();
                    EndpointAddress::Host {
                        host,
                        port: port.parse().expect("a port"),
                    }
                }
            });
        Arc::new(UpstreamConfig {
            name: "app".into(),
            endpoints: endpoints.collect(),
            balance,
            connect_timeout: Duration::from_secs(5),
            retry_after: Duration::from_secs(60),
            max_idle: 64,
            idle_timeout: Duration::from_secs(55),
            max_header_lines: 1024,
            lenient: false,
        })
    }

    fn names(upstream: &Upstream) -> Vec<String> {
        upstream
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.name().to_string())
            .collect()
    }

    #[test]
    fn literals_and_unix_sockets_need_no_resolver() {
        let config = config(
            &["10.0.0.1:80", "[::1]:81", "unix:/a/b", "10.0.0.1:80"],
            Balance::Least,
        );
        let upstream = Upstream::new(config, Arc::default());
        assert_eq!(names(&upstream), ["10.0.0.1:80", "[::1]:81", "unix:/a/b"]);
        assert_eq!(upstream.names().count(), 0);
    }

    #[test]
    fn a_name_expands_to_its_addresses_and_ipv6_comes_after_ipv4() {
        let registry = Arc::new(Registry::default());
        let upstream = Upstream::new(config(&["app.test:80"], Balance::Least), registry.clone());
        assert!(upstream.is_unresolved());
        assert_eq!(upstream.names().collect::<Vec<_>>(), ["app.test"]);

        let ips: Vec<IpAddr> = ["fd00::1", "10.0.0.2", "10.0.0.1"]
            .map(|ip| ip.parse().unwrap())
            .into();
        registry.learn("app.test", &ips);
        upstream.rebuild();
        assert_eq!(
            names(&upstream),
            ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]
        );
        assert_eq!(upstream.endpoints().spare.len(), 1);

        registry.learn("app.test", &ips[..1]);
        upstream.rebuild();
        assert_eq!(
            upstream.endpoints().preferred.len(),
            1,
            "IPv6 alone is not spare"
        );
    }

    #[test]
    fn counts_and_answers_survive_a_reload() {
        let registry = Arc::new(Registry::default());
        registry.learn("app.test", &[[10, 0, 0, 1].into(), [10, 0, 0, 2].into()]);
        let old = Upstream::new(config(&["app.test:80"], Balance::Least), registry.clone());
        let lease = old.pick(&[]).expect("an endpoint");

        let new = Upstream::new(
            config(&["app.test:80", "10.0.0.9:80"], Balance::RoundRobin),
            registry,
        );
        drop(old);
        let load = |upstream: &Upstream| upstream.endpoints().iter().map(|e| e.load()).sum::<u32>();
        assert_eq!(
            new.endpoints().iter().count(),
            3,
            "resolved without asking again"
        );
        assert_eq!(load(&new), 1);
        drop(lease);
        assert_eq!(load(&new), 0);
    }
}
