//! The choice of an endpoint: by load or in turn, failed ones last. Takes no lock, allocates
//! nothing, and reads the clock only while an endpoint counts as failed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::Balance;

use super::{Endpoint, Lease, Upstream};

/// Up to this many endpoints are compared with each other; of more, two at random. Two are
/// nearly as even, and a look at each endpoint is a cache line that other cores write.
const COMPARE_ALL: usize = 8;

impl Upstream {
    /// A share of the endpoint that is next, none of `exclude` (endpoint ids that this
    /// request has tried) and none that is being drained. `None`: nothing is left, or nothing is resolved yet
    /// ([`is_unresolved`](Upstream::is_unresolved)).
    ///
    /// Nothing has been sent when a connect fails, so trying the next one is always safe.
    pub fn pick(&self, exclude: &[usize]) -> Option<Lease> {
        self.pick_usable(exclude).or_else(|| {
            let list = self.endpoints();
            let last_resort = [&list.preferred, &list.spare].into_iter().find_map(|half| {
                self.choose(half, |endpoint| {
                    !endpoint.is_draining() && !exclude.contains(&endpoint.id())
                })
            });
            last_resort.map(|endpoint| Lease::exchange(endpoint.clone(), self.config().retry_after))
        })
    }

    /// The same without the endpoints of last resort.
    pub fn pick_usable(&self, exclude: &[usize]) -> Option<Lease> {
        let list = self.endpoints();
        let retry_after = self.config().retry_after;
        for half in [&list.preferred, &list.spare] {
            while let Some(endpoint) = self.choose(half, |endpoint| {
                endpoint.is_usable() && !endpoint.is_draining() && !exclude.contains(&endpoint.id())
            }) {
                // Another thread may have taken the trial that was due; then it no longer
                // counts as usable.
                if endpoint.claim(retry_after) {
                    return Some(Lease::exchange(endpoint.clone(), retry_after));
                }
            }
        }
        None
    }

    fn choose<'a>(
        &self,
        list: &'a [Arc<Endpoint>],
        eligible: impl Fn(&Endpoint) -> bool,
    ) -> Option<&'a Arc<Endpoint>> {
        if list.is_empty() {
            return None;
        }
        match self.config().balance {
            Balance::RoundRobin => {
                let first = self.turn.fetch_add(1, Relaxed) % list.len();
                from(list, first).find(|endpoint| eligible(endpoint))
            }
            Balance::Least => {
                if list.len() > COMPARE_ALL {
                    let (one, other) = two_of(list);
                    let best = least([one, other].into_iter().filter(|e| eligible(e)));
                    if best.is_some() {
                        return best;
                    }
                }
                // A random start spreads requests over equal ones.
                let first = if list.len() == 1 {
                    0
                } else {
                    fastrand::usize(..list.len())
                };
                least(from(list, first).filter(|endpoint| eligible(endpoint)))
            }
        }
    }
}

/// All of `list` once, beginning at `first`.
fn from(list: &[Arc<Endpoint>], first: usize) -> impl Iterator<Item = &Arc<Endpoint>> {
    let (head, tail) = list.split_at(first);
    tail.iter().chain(head)
}

/// Two different ones of at least two.
fn two_of(list: &[Arc<Endpoint>]) -> (&Arc<Endpoint>, &Arc<Endpoint>) {
    let one = fastrand::usize(..list.len());
    let step = fastrand::usize(1..list.len());
    (&list[one], &list[(one + step) % list.len()])
}

fn least<'a>(endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Option<&'a Arc<Endpoint>> {
    endpoints.min_by_key(|endpoint| endpoint.load())
}

#[cfg(test)]
mod tests {
    use super::super::{Registry, tests::config};
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn upstream(count: usize, balance: Balance) -> Upstream {
        let addresses: Vec<String> = (1..=count).map(|n| format!("10.0.0.{n}:80")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        Upstream::new(config(&addresses, balance), Arc::default())
    }

    fn tally<'a>(leases: impl IntoIterator<Item = &'a Lease>) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for lease in leases {
            *tally
                .entry(lease.endpoint().name().to_string())
                .or_default() += 1;
        }
        tally
    }

    #[test]
    fn least_keeps_the_counts_level() {
        let upstream = upstream(4, Balance::Least);
        let mut leases: Vec<Lease> = (0..40).map(|_| upstream.pick(&[]).unwrap()).collect();
        assert!(
            tally(&leases).values().all(|n| *n == 10),
            "{:?}",
            tally(&leases)
        );

        // All of one endpoint's shares end: the next ones go there until it is level again.
        let gone = leases[0].endpoint().id();
        leases.retain(|lease| lease.endpoint().id() != gone);
        for _ in 0..10 {
            leases.push(upstream.pick(&[]).unwrap().into_tunnel());
        }
        assert!(
            tally(&leases).values().all(|n| *n == 10),
            "tunnels count: {:?}",
            tally(&leases)
        );
    }

    #[test]
    fn least_spreads_ties() {
        let upstream = upstream(3, Balance::Least);
        let picked: Vec<String> = (0..200)
            .map(|_| upstream.pick(&[]).unwrap().endpoint().name().to_string())
            .collect();
        assert!((1..=3).all(|n| picked.contains(&format!("10.0.0.{n}:80"))));
    }

    #[test]
    fn two_choices_stay_close_with_many() {
        let upstream = upstream(50, Balance::Least);
        let leases: Vec<Lease> = (0..5000).map(|_| upstream.pick(&[]).unwrap()).collect();
        let tally = tally(&leases);
        assert_eq!(tally.len(), 50);
        assert!(tally.values().all(|n| (85..=115).contains(n)), "{tally:?}");
    }

    #[test]
    fn round_robin_takes_turns() {
        let upstream = upstream(3, Balance::RoundRobin);
        let order: Vec<String> = (0..6)
            .map(|_| upstream.pick(&[]).unwrap().endpoint().name().to_string())
            .collect();
        assert_eq!(order[..3], order[3..]);
        assert_eq!(
            order
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            3
        );
    }

    #[test]
    fn failed_ones_are_used_only_when_no_other_is_left() {
        for balance in [Balance::Least, Balance::RoundRobin] {
            for count in [2, 20] {
                let upstream = upstream(count, balance);
                let mut tried = Vec::new();
                for _ in 1..count {
                    let lease = upstream.pick(&[]).unwrap();
                    lease.failed("refused");
                    tried.push(lease.endpoint().id());
                }
                let healthy: Vec<Lease> = (0..20).map(|_| upstream.pick(&[]).unwrap()).collect();
                assert!(
                    healthy
                        .iter()
                        .all(|lease| !tried.contains(&lease.endpoint().id()))
                );

                let last = healthy[0].endpoint().id();
                let resort = upstream
                    .pick(&[last])
                    .expect("a failed one is better than none");
                assert!(tried.contains(&resort.endpoint().id()));
                resort.ok();
                assert_eq!(
                    upstream.pick(&[last]).unwrap().endpoint().id(),
                    resort.endpoint().id(),
                    "one that answered again comes before those that did not"
                );
            }
        }
    }

    #[test]
    fn excluded_ones_are_never_picked() {
        let upstream = upstream(3, Balance::Least);
        let mut tried = Vec::new();
        while let Some(lease) = upstream.pick(&tried) {
            tried.push(lease.endpoint().id());
        }
        assert_eq!(tried.len(), 3);
    }

    #[test]
    fn after_retry_after_one_request_makes_the_trial() {
        let mut slow = (*config(&["10.0.0.1:80", "10.0.0.2:80"], Balance::RoundRobin)).clone();
        slow.retry_after = Duration::ZERO;
        let registry = Arc::new(Registry::default());
        let eager = Upstream::new(Arc::new(slow), registry.clone());
        let down = eager.pick(&[]).unwrap();
        down.failed("refused");
        // The same endpoints with a long retry_after: the trial that is due is taken once.
        let upstream = Upstream::new(
            config(&["10.0.0.1:80", "10.0.0.2:80"], Balance::RoundRobin),
            registry,
        );
        let trials = (0..20)
            .map(|_| upstream.pick(&[]).unwrap())
            .filter(|lease| lease.endpoint().id() == down.endpoint().id())
            .count();
        assert_eq!(trials, 1);
    }

    #[test]
    fn spare_ones_wait_for_the_preferred_to_fail() {
        let registry = Arc::new(Registry::default());
        registry.learn(
            "app.test",
            &["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        );
        let upstream = Upstream::new(config(&["app.test:80"], Balance::Least), registry);
        for _ in 0..10 {
            assert_eq!(
                &**upstream.pick(&[]).unwrap().endpoint().name(),
                "10.0.0.1:80"
            );
        }
        upstream.pick(&[]).unwrap().failed("refused");
        assert_eq!(
            &**upstream.pick(&[]).unwrap().endpoint().name(),
            "[fd00::1]:80"
        );
    }

    #[test]
    fn an_unresolved_upstream_has_nothing_to_pick() {
        let upstream = Upstream::new(config(&["app.test:80"], Balance::Least), Arc::default());
        assert!(upstream.pick(&[]).is_none() && upstream.is_unresolved());
    }
}
