//! Decisions without a socket: each case is a request, a connection and a configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::Request;

use super::*;
use crate::config;
use crate::config_file;
use crate::net::listen::{ListenerInfo, Peer};
use crate::policy::facts::Facts;
use crate::policy::grounds::Drain;
use crate::route::target::Target;
use crate::snapshot::Snapshot;
use crate::upstream::Upstream;

const ROUTES: &str = r#"
listen = [{ address = "127.0.0.1:1" }]
[http]
trusted_proxies = ["127.0.0.9"]
[[route]]
name = "old"
path_prefix = "/old"
redirect = "{scheme}://{host}/new{query}"
[[route]]
name = "said"
path = "/said"
respond = { status = 200, body = "ok" }
[[route]]
name = "chat"
path = "/chat"
to = "127.0.0.1:2"
[[route]]
name = "raw"
path = "/raw"
to = "127.0.0.1:2"
upgrade = ["tcp"]
[[route]]
name = "api"
path_prefix = "/api"
to = "127.0.0.1:2"
strip_prefix = true
set_host = "inner.test"
max_body = 10
"#;

fn snapshot() -> Snapshot {
    let config = config_file::parse(ROUTES, "test").unwrap_or_else(|problems| panic!("{problems}"));
    let upstream = |(name, config): (&String, &Arc<config::UpstreamConfig>)| {
        let upstream = Upstream::new(config.clone(), Arc::default());
        (name.clone(), Arc::new(upstream))
    };
    let upstreams: BTreeMap<_, _> = config.upstreams.iter().map(upstream).collect();
    Snapshot::new(Arc::new(config), upstreams)
}

/// `text` is a request line without its version, and field lines.
fn head(text: &str, content: Content) -> RequestHead {
    let mut lines = text.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let target = Target::from(&parts.uri);
    RequestHead::new(parts, target, content)
}

struct Case {
    snapshot: Snapshot,
    facts: Facts,
    drain: Drain,
}

impl Case {
    fn of(peer: &str) -> Case {
        let snapshot = snapshot();
        let info = ListenerInfo::plain(80);
        let peer = Peer::Tcp(peer.parse().unwrap());
        Case {
            facts: Facts::new(peer, info, &snapshot),
            snapshot,
            drain: Drain::None,
        }
    }

    fn decide(&self, head: RequestHead) -> Decision {
        let grounds = Grounds {
            facts: &self.facts,
            snapshot: &self.snapshot,
            drain: self.drain,
            trace: None,
        };
        decide(Box::new(head), grounds)
    }
}

fn case() -> Case {
    Case::of("127.0.0.1:9")
}

fn text(fields: &str) -> String {
    format!("{fields}\nHost: app.test")
}

const HANDSHAKE: &str = "GET /chat\nHost: app.test\nConnection: Upgrade\nUpgrade: websocket\n\
    Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

fn handshake(more: &str) -> RequestHead {
    head(&format!("{HANDSHAKE}{more}"), Content::None)
}

fn status(decision: Decision) -> u16 {
    match decision.way {
        Ok(Way::Answer(response, _)) => response.status().as_u16(),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.status.as_u16(),
    }
}

#[test]
fn a_request_goes_to_its_routes_upstream_as_the_route_sends_it() {
    let asked = text("POST /api/v1?q\nX-Forwarded-For: 10.0.0.1\nConnection: x-hop\nx-hop: 1");
    let decision = case().decide(head(&asked, Content::AtLeast(10)));
    let Ok(Way::Forward(admitted)) = decision.way else {
        panic!("{decision:?}");
    };
    assert_eq!(admitted.target.as_bytes(), b"/v1?q");
    assert_eq!(admitted.host(), "inner.test");
    assert_eq!(admitted.asked_host(), "app.test");
    assert!(!admitted.parts.headers.contains_key("x-hop"));
    assert!(!admitted.is_handshake);
    let found = decision.found;
    assert_eq!(found.authority.unwrap(), "app.test");
    assert_eq!(&*found.route.unwrap().name, "api");
    assert!(!found.expects_tunnel);
}

#[test]
fn what_needs_no_upstream_is_answered() {
    for (asked, expected) in [
        ("GET /said", 200),
        ("OPTIONS /nowhere\nMax-Forwards: 0", 204),
        ("GET /old/x?y", 308),
        ("GET /nowhere", 404),
    ] {
        let decision = case().decide(head(&text(asked), Content::None));
        let known = status(decision);
        assert_eq!(known, expected, "{asked}");
    }
}

#[test]
fn a_redirect_tells_what_a_trusted_proxy_vouches_for() {
    let asked = text("GET /old/x?y\nX-Forwarded-Proto: https\nX-Forwarded-Host: public.test");
    for (peer, location) in [
        ("127.0.0.1:9", "http://app.test/new?y"),
        ("127.0.0.9:9", "https://public.test/new?y"),
    ] {
        let decision = Case::of(peer).decide(head(&asked, Content::None));
        let Ok(Way::Answer(response, _)) = decision.way else {
            panic!("{decision:?}");
        };
        assert_eq!(response.headers()[header::LOCATION], location);
    }
}

#[test]
fn more_content_than_the_route_takes_is_refused_before_it_comes() {
    let asked = text("POST /api/v1");
    let decision = case().decide(head(&asked, Content::AtLeast(11)));
    assert_eq!(status(decision), 413);
}

#[test]
fn a_handshake_is_one_and_a_bad_one_says_why() {
    let decision = case().decide(handshake("\nOrigin: http://app.test"));
    assert!(decision.found.expects_tunnel);
    assert!(matches!(decision.way, Ok(Way::WebSocket(..))));
    let decision = case().decide(handshake("\nSec-WebSocket-Key: again"));
    assert!(decision.found.expects_tunnel);
    let diagnosis = decision.found.diagnosis.as_ref().unwrap();
    assert_eq!(diagnosis.cause, "client-key-repeated");
    assert_eq!(status(decision), 400);
    // A page of another origin.
    let decision = case().decide(handshake("\nOrigin: http://other.test"));
    assert!(decision.way.as_ref().unwrap_err().close);
    assert_eq!(status(decision), 403);
}

#[test]
fn a_drain_refuses_tunnels_and_nothing_else() {
    let mut case = case();
    let plain = || head(&text("GET /api/v1"), Content::None);
    for drain in [Drain::Tunnels, Drain::Process] {
        case.drain = drain;
        let decision = case.decide(handshake(""));
        assert!(decision.way.as_ref().unwrap_err().retry_after.is_some());
        assert_eq!(status(decision), 503);
        assert!(case.decide(plain()).way.is_ok());
    }
    case.drain = Drain::None;
    assert!(case.decide(handshake("")).way.is_ok());
    let route = case.snapshot.route("chat").unwrap();
    route.draining.store(true, Relaxed);
    assert_eq!(status(case.decide(handshake(""))), 503);
}

#[test]
fn another_protocol_is_offered_where_the_route_lets_it() {
    let asked = text("GET /raw\nConnection: upgrade\nUpgrade: h2c, tcp");
    let decision = case().decide(head(&asked, Content::None));
    assert!(decision.found.expects_tunnel);
    let Ok(Way::Switch(admitted, offer)) = decision.way else {
        panic!("{decision:?}");
    };
    assert!(admitted.is_handshake);
    assert_eq!(offer.value(), b"tcp");
    let asked = asked.replace("/raw", "/api/v1");
    let decision = case().decide(head(&asked, Content::None));
    assert!(!decision.found.expects_tunnel);
    assert!(matches!(decision.way, Ok(Way::Forward(_))));
}

#[test]
fn a_request_that_came_back_is_refused() {
    let first = case().decide(head(&text("GET /api/v1"), Content::None));
    let Ok(Way::Forward(admitted)) = first.way else {
        panic!("{first:?}");
    };
    let mut hops = String::new();
    admitted.hops.with(&admitted.route.mark, |sent| {
        hops = String::from_utf8(sent.to_vec()).unwrap();
    });
    let field = crate::route::hop::FIELD;
    let again = text(&format!("GET /api/v1\n{field}: {hops}"));
    assert_eq!(status(case().decide(head(&again, Content::None))), 508);
}
