//! Resolving, against a small DNS server of our own on loopback.

use super::*;
use crate::config::Balance;
use crate::upstream::connect::connect;
use crate::upstream::tests::config as upstream_config;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::UdpSocket;

/// What the server says about every name.
#[derive(Clone)]
enum Zone {
    Addresses(Vec<IpAddr>),
    NxDomain,
    ServFail,
    Silence,
}

struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    queries: watch::Receiver<usize>,
    _task: JoinSet<()>,
}

impl Dns {
    async fn start(addresses: &[&str], ttl: u32) -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Dns::at(addresses)));
        let (count, queries) = watch::channel(0);
        let mut task = JoinSet::new();
        let shown = zone.clone();
        task.spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let zone = shown.lock().unwrap().clone();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(answer) = answer(query, &zone, ttl) {
                    socket
                        .send_to(&answer.to_vec().unwrap(), client)
                        .await
                        .unwrap();
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Dns {
            address,
            zone,
            queries,
            _task: task,
        }
    }

    fn at(addresses: &[&str]) -> Zone {
        Zone::Addresses(addresses.iter().map(|ip| ip.parse().unwrap()).collect())
    }

    fn say(&self, zone: Zone) {
        *self.zone.lock().unwrap() = zone;
    }

    fn asked(&self) -> usize {
        *self.queries.borrow()
    }

    /// Waits for queries that came after this call: both types of at least one look-up.
    async fn asked_again(&mut self) {
        let before = self.asked();
        let again = self.queries.wait_for(|count| *count >= before + 4);
        tokio::time::timeout(Duration::from_secs(10), again)
            .await
            .expect("in time")
            .unwrap();
    }

    fn config(&self) -> ResolverConfig {
        ResolverConfig {
            nameservers: vec![self.address],
            min_ttl: Duration::from_millis(20),
            max_ttl: Duration::from_millis(50),
            timeout: Duration::from_millis(400),
        }
    }
}

fn answer(query: Message, zone: &Zone, ttl: u32) -> Option<Message> {
    let asked = query.queries[0].clone();
    let mut answer = query.into_response();
    answer.metadata.message_type = MessageType::Response;
    match zone {
        Zone::Silence => return None,
        Zone::NxDomain => answer.metadata.response_code = ResponseCode::NXDomain,
        Zone::ServFail => answer.metadata.response_code = ResponseCode::ServFail,
        Zone::Addresses(addresses) => {
            for ip in addresses {
                let data = match (ip, asked.query_type()) {
                    (IpAddr::V4(ip), RecordType::A) => RData::A((*ip).into()),
                    (IpAddr::V6(ip), RecordType::AAAA) => RData::AAAA((*ip).into()),
                    _ => continue,
                };
                answer.add_answer(Record::from_rdata(asked.name().clone(), ttl, data));
            }
        }
    }
    Some(answer)
}

fn upstream(endpoint: &str) -> (Arc<Upstream>, Arc<Registry>) {
    let registry = Arc::new(Registry::default());
    let config = upstream_config(&[endpoint], Balance::Least);
    (Arc::new(Upstream::new(config, registry.clone())), registry)
}

fn addresses(upstream: &Upstream) -> Vec<String> {
    upstream
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.name().to_string())
        .collect()
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A TTL that no test lives to see: `max_ttl` makes the look-ups go on.
const HOUR: u32 = 3600;

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn new_connections_follow_an_address_that_changes_after_its_ttl() {
    let first = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let second = tokio::net::TcpListener::bind(("127.0.0.3", port))
        .await
        .unwrap();
    let dns = Dns::start(&["127.0.0.2"], HOUR).await;
    let (upstream, registry) = upstream(&format!("app.test:{port}"));
    let discovery = Discovery::start(std::slice::from_ref(&upstream), &registry, &dns.config());
    discovery.settled(LONG).await;

    let lease = upstream.pick(&[]).expect("resolved");
    let _old = connect(lease.endpoint(), LONG).await.unwrap();
    first.accept().await.unwrap();
    let tunnel = lease.into_tunnel();

    dns.say(Dns::at(&["127.0.0.3"]));
    let moved = format!("127.0.0.3:{port}");
    eventually("the new address", || {
        addresses(&upstream) == [moved.clone()]
    })
    .await;
    let lease = upstream.pick(&[]).unwrap();
    connect(lease.endpoint(), LONG).await.unwrap();
    second.accept().await.unwrap();

    // The tunnel still counts for its endpoint when the address comes back.
    dns.say(Dns::at(&["127.0.0.2", "127.0.0.3"]));
    eventually("both", || addresses(&upstream).len() == 2).await;
    let back = upstream
        .endpoints()
        .iter()
        .find(|e| e.id() == tunnel.endpoint().id())
        .cloned();
    assert_eq!(back.expect("the same endpoint").tunnels(), 1);
}

#[tokio::test]
async fn failures_keep_the_last_good_answer() {
    let mut dns = Dns::start(&["127.0.0.2", "::1"], HOUR).await;
    let (upstream, registry) = upstream("app.test:80");
    let discovery = Discovery::start(std::slice::from_ref(&upstream), &registry, &dns.config());
    discovery.settled(LONG).await;
    let good = ["127.0.0.2:80", "[::1]:80"];
    assert_eq!(addresses(&upstream), good);
    for failure in [Zone::NxDomain, Zone::ServFail, Zone::Silence, Dns::at(&[])] {
        dns.say(failure);
        dns.asked_again().await;
        assert_eq!(addresses(&upstream), good);
    }
    dns.say(Dns::at(&["127.0.0.9"]));
    eventually("it recovers", || addresses(&upstream) == ["127.0.0.9:80"]).await;
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_yet_does_not_hold_up_the_start() {
    let dns = Dns::start(&[], HOUR).await;
    dns.say(Zone::NxDomain);
    let (upstream, registry) = upstream("late.test:80");
    let discovery = Discovery::start(std::slice::from_ref(&upstream), &registry, &dns.config());
    discovery.settled(LONG).await;
    assert!(dns.asked() > 0 && upstream.is_unresolved() && upstream.pick(&[]).is_none());
    dns.say(Dns::at(&["127.0.0.2"]));
    eventually("it appears", || !upstream.is_unresolved()).await;
}

#[tokio::test]
async fn the_ttl_says_when_to_ask_again() {
    let dns = Dns::start(&["127.0.0.2"], 1).await;
    let (upstream, registry) = upstream("app.test:80");
    let config = ResolverConfig {
        max_ttl: Duration::from_secs(300),
        ..dns.config()
    };
    let began = Instant::now();
    let discovery = Discovery::start(&[upstream], &registry, &config);
    discovery.settled(LONG).await;
    let once = dns.asked();
    eventually("asked again", || dns.asked() > once).await;
    // Not before: a machine that is busy only makes it later.
    assert!(
        began.elapsed() >= Duration::from_millis(990),
        "the TTL is one second"
    );
}

#[tokio::test]
async fn hosts_and_localhost_are_never_asked_for() {
    let dns = Dns::start(&["127.0.0.66"], HOUR).await;
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    std::fs::write(
        &hosts,
        "# old\n127.0.0.4 other APP.test # app\n::1 app.test\nbad app.test\n",
    )
    .unwrap();
    let registry = Arc::new(Registry::default());
    let names = [
        "app.test:1",
        "localhost:2",
        "db.localhost:3",
        "127.0.0.5:4",
        "[::1]:5",
    ];
    let upstream = Upstream::new(upstream_config(&names, Balance::Least), registry.clone());
    let upstream = Arc::new(upstream);
    let discovery = Discovery::with_hosts(
        std::slice::from_ref(&upstream),
        &registry,
        &dns.config(),
        &hosts,
    );
    discovery.settled(LONG).await;
    let expected = [
        "127.0.0.4:1",
        "127.0.0.1:2",
        "127.0.0.1:3",
        "127.0.0.5:4",
        "[::1]:5",
        "[::1]:1",
        "[::1]:2",
        "[::1]:3",
    ];
    assert_eq!(addresses(&upstream), expected);
    assert_eq!(dns.asked(), 0);

    std::fs::write(&hosts, "127.0.0.7 app.test\n").unwrap();
    let moved = || addresses(&upstream).contains(&"127.0.0.7:1".to_owned());
    eventually("an edit of the file is seen", moved).await;
}

#[tokio::test]
async fn dropping_the_discovery_ends_the_questions() {
    let dns = Dns::start(&["127.0.0.2"], HOUR).await;
    let (upstream, registry) = upstream("app.test:80");
    let discovery = Discovery::start(std::slice::from_ref(&upstream), &registry, &dns.config());
    discovery.settled(LONG).await;
    drop(discovery);
    eventually("the tasks let go of the upstream", || {
        Arc::strong_count(&upstream) == 1
    })
    .await;
}

#[tokio::test]
async fn an_edit_of_the_hosts_file_is_seen_long_before_the_ttl() {
    let dns = Dns::start(&["127.0.0.66"], HOUR).await;
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    let (upstream, registry) = upstream("app.test.:1");
    let config = ResolverConfig {
        min_ttl: Duration::from_secs(300),
        max_ttl: Duration::from_secs(300),
        ..dns.config()
    };
    let all = std::slice::from_ref(&upstream);
    let discovery = Discovery::with_hosts(all, &registry, &config, &hosts);
    discovery.settled(LONG).await;
    assert_eq!(addresses(&upstream), ["127.0.0.66:1"], "there is no file");
    std::fs::write(&hosts, "127.0.0.7 app.test\n").unwrap();
    eventually("the file", || addresses(&upstream) == ["127.0.0.7:1"]).await;
    // As an editor does it: another file under the same name.
    let new = dir.path().join("new");
    std::fs::write(&new, "127.0.0.8 app.test\n").unwrap();
    std::fs::rename(&new, &hosts).unwrap();
    eventually("another", || addresses(&upstream) == ["127.0.0.8:1"]).await;
    std::fs::remove_file(&hosts).unwrap();
    eventually("no file again", || addresses(&upstream) == ["127.0.0.66:1"]).await;
}

#[tokio::test]
async fn a_name_that_gives_one_address_at_a_time_keeps_its_endpoints() {
    let mut dns = Dns::start(&["127.0.0.2"], HOUR).await;
    let (upstream, registry) = upstream("app.test:80");
    let discovery = Discovery::start(std::slice::from_ref(&upstream), &registry, &dns.config());
    discovery.settled(LONG).await;
    let ids = || -> Vec<usize> { upstream.endpoints().iter().map(|e| e.id()).collect() };
    let both = || ids().len() == 2;
    for n in 0.. {
        assert!(n < 100, "it is never noticed");
        dns.say(Dns::at(&[["127.0.0.3", "127.0.0.2"][n % 2]]));
        dns.asked_again().await;
        if both() {
            break;
        }
    }
    let known = ids();
    for n in 0..6 {
        dns.say(Dns::at(&[["127.0.0.3", "127.0.0.2"][n % 2]]));
        dns.asked_again().await;
        assert_eq!(ids(), known);
    }
    // The word of a server that no longer changes it counts.
    eventually("one address", || ids().len() == 1).await;
}

#[tokio::test]
async fn a_look_up_that_stood_still_is_not_judged_by_its_timers() {
    let dns = Dns::start(&[], HOUR).await;
    dns.say(Zone::Silence);
    let (upstream, registry) = upstream("app.test:80");
    let config = ResolverConfig {
        // After a failure nothing is asked before the test's own deadline.
        min_ttl: Duration::from_secs(300),
        max_ttl: Duration::from_secs(300),
        timeout: Duration::from_secs(1),
        ..dns.config()
    };
    let discovery = Discovery::start(std::slice::from_ref(&upstream), &registry, &config);
    eventually("the question", || dns.asked() > 0).await;
    dns.say(Dns::at(&["127.0.0.9"]));
    // The whole runtime stands still: the span is what is tested.
    std::thread::sleep(Duration::from_millis(2500));
    discovery.settled(LONG).await;
    assert_eq!(addresses(&upstream), ["127.0.0.9:80"]);
}
