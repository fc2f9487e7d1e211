//! What outlives snapshots: endpoints by upstream and address, and what names resolved to.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};

use super::endpoint::{Address, Endpoint};
use super::rotation::Rotation;
use crate::system::lock::lock;

/// Name of the upstream, and the address.
type Key = (Arc<str>, Address);

/// What outlives snapshots: endpoints by (upstream, address) for as long as they are
/// held, and the last good addresses of every name. Used when configurations or addresses
/// change, never by a request.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: Mutex<Endpoints>,
    answers: Mutex<HashMap<Box<str>, Known>>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    addresses: Arc<[IpAddr]>,
    rotation: Rotation,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// Nothing.
    Same,
    /// The name's addresses.
    Changed,
    /// That the name gives some of its addresses at a time is known from now on.
    Rotates,
    /// The addresses of a name of which that was known.
    Turned,
}

#[derive(Debug, Default)]
struct Endpoints {
    known: HashMap<Key, Weak<Endpoint>>,
    /// With so many, those that are gone are forgotten: twice what lived then, so that many
    /// new ones are not each looked for among all.
    full: usize,
}

impl Registry {
    /// The endpoint of this upstream at this address: the one in use, or a new one.
    pub fn endpoint(&self, upstream: &Arc<str>, address: Address) -> Arc<Endpoint> {
        let mut all = lock(&self.endpoints);
        let key = (upstream.clone(), address);
        if let Some(living) = all.known.get(&key).and_then(Weak::upgrade) {
            return living;
        }
        if all.known.len() >= all.full {
            all.known.retain(|_, endpoint| endpoint.strong_count() > 0);
            all.full = 2 * all.known.len() + 1;
        }
        let endpoint = Arc::new(Endpoint::new(key.0.clone(), key.1.clone()));
        all.known.insert(key, Arc::downgrade(&endpoint));
        endpoint
    }

    /// The endpoint that is still held, by the names that logs show.
    pub fn living(&self, upstream: &str, name: &str) -> Option<Arc<Endpoint>> {
        let all = lock(&self.endpoints);
        let living = all.known.values().filter_map(Weak::upgrade);
        { living }.find(|endpoint| &**endpoint.upstream() == upstream && &**endpoint.name() == name)
    }

    /// The endpoints besides these that still have exchanges or tunnels, by the names that logs
    /// show.
    pub(super) fn others(&self, present: &HashSet<usize>) -> Vec<Arc<Endpoint>> {
        let all = lock(&self.endpoints);
        let living = all.known.values().filter_map(Weak::upgrade);
        let mut others: Vec<_> = living
            .filter(|endpoint| endpoint.load() > 0 && !present.contains(&endpoint.id()))
            .collect();
        drop(all);
        others.sort_by(|a, b| (a.upstream(), a.name()).cmp(&(b.upstream(), b.name())));
        others
    }

    /// Remembers an answer for `host`, and says what it changed.
    pub fn learn(&self, host: &str, answer: &[IpAddr]) -> Learnt {
        let mut answers = lock(&self.answers);
        let known = match answers.get_mut(host) {
            Some(known) => known,
            None => answers.entry(host.into()).or_default(),
        };
        let rotated = known.rotation.rotates();
        let addresses = known.rotation.take(answer);
        let learnt = match (rotated, known.rotation.rotates()) {
            (false, true) => Learnt::Rotates,
            _ if *known.addresses == *addresses => return Learnt::Same,
            (true, true) => Learnt::Turned,
            (_, false) => Learnt::Changed,
        };
        known.addresses = addresses.into();
        learnt
    }

    /// The next answer for `host` is not compared with those before: they came from elsewhere.
    pub fn begin_anew(&self, host: &str) {
        if let Some(known) = lock(&self.answers).get_mut(host) {
            known.rotation = Rotation::default();
        }
    }

    /// Forgets the addresses of every other name.
    pub fn keep_names<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let kept: HashSet<&str> = names.collect();
        lock(&self.answers).retain(|host, _| kept.contains(&**host));
    }

    /// The last good addresses of `host`.
    pub fn addresses(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let answers = lock(&self.answers);
        answers.get(host).map(|known| known.addresses.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::upstream::Lease;

    fn address(port: u16) -> Address {
        Address::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn an_endpoint_lives_as_long_as_it_is_held() {
        let registry = Registry::default();
        let app: Arc<str> = "app".into();
        let first = registry.endpoint(&app, address(1));
        let lease = Lease::exchange(first.clone(), Duration::ZERO);
        let id = first.id();
        drop(first);
        assert_eq!(
            registry.endpoint(&app, address(1)).id(),
            id,
            "held by a lease"
        );
        assert_ne!(registry.endpoint(&"other".into(), address(1)).id(), id);
        drop(lease);
        assert_ne!(
            registry.endpoint(&app, address(1)).id(),
            id,
            "it was not held"
        );
        assert!(
            lock(&registry.endpoints).known.len() <= 2,
            "the dead ones are forgotten"
        );
    }

    #[test]
    fn learning_the_same_addresses_in_another_order_is_no_change() {
        let registry = Registry::default();
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert_eq!(registry.learn("app", &[b, a]), Learnt::Changed);
        assert_eq!(registry.learn("app", &[a, b, a]), Learnt::Same);
        assert_eq!(registry.learn("app", &[a]), Learnt::Changed);
        assert_eq!(registry.addresses("app").as_deref(), Some(&[a][..]));
    }
}
