//! Backends that authenticate the connection instead of each request, as NTLM and Negotiate do
//! (RFC 4559 section 6): each client has its upstream connection for itself.

use crate::support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use support::{Proxy, RawBackend, Response, Wire, websocket};

fn proxy(backend: &RawBackend) -> Proxy {
    Proxy::start(&format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{}\"\n",
        backend.address()
    ))
}

fn get(wire: &mut Wire, more: &str) -> Response {
    wire.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{more}\r\n"));
    wire.read_response()
}

fn answer(status: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n{body}")
}

/// Remembers on each connection who has logged in on it, in three legs as NTLM does; a leg
/// counts only on the connection of the one before.
fn backend(scheme: &'static str, open: Arc<AtomicUsize>) -> RawBackend {
    RawBackend::start(move |n, mut wire| {
        open.fetch_add(1, SeqCst);
        let (mut challenged, mut user) = (false, None::<String>);
        while let Some(head) = wire.try_read_head() {
            let said = head.field("authorization").unwrap_or_default();
            let token = said.strip_prefix(scheme).map(str::trim);
            let denied = |token: &str| {
                let asks =
                    format!("WWW-Authenticate: Basic\r\nWWW-Authenticate: {scheme}{token}\r\n");
                answer("401 Unauthorized", &asks, "")
            };
            wire.send(match (token, &user) {
                (Some("hello"), _) => {
                    challenged = true;
                    denied(&format!(" challenge{n}"))
                }
                (Some(proof), _) if challenged => match proof.split_once(&format!("-{n}")) {
                    Some((name, _)) => {
                        user = Some(name.to_owned());
                        answer("200 OK", "", name)
                    }
                    None => denied(""),
                },
                (None, Some(user)) => answer("200 OK", "", user),
                _ => denied(""),
            });
        }
        open.fetch_sub(1, SeqCst);
    })
}

/// Logs in as `name`; the connection must be the same for all legs.
fn login(wire: &mut Wire, scheme: &str, name: &str) {
    assert_eq!(get(wire, "").status(), 401);
    let challenge = get(wire, &format!("Authorization: {scheme} hello\r\n"));
    assert_eq!(challenge.status(), 401);
    let asked = challenge.head.all("www-authenticate")[1].to_owned();
    let number = asked.rsplit_once("challenge").expect("a challenge").1;
    let proof = format!("Authorization: {scheme} {name}-{number}\r\n");
    let done = get(wire, &proof);
    assert_eq!((done.status(), done.text()), (200, name.to_owned()));
}

#[test]
fn each_client_is_who_it_said_it_is() {
    for scheme in ["NTLM", "Negotiate"] {
        let open = Arc::new(AtomicUsize::new(0));
        let backend = backend(scheme, open.clone());
        let proxy = proxy(&backend);
        let (mut anna, mut bert, mut nobody) = (proxy.connect(), proxy.connect(), proxy.connect());
        login(&mut anna, scheme, "anna");
        login(&mut bert, scheme, "bert");
        for _ in 0..10 {
            assert_eq!(get(&mut anna, "").text(), "anna");
            assert_eq!(get(&mut bert, "").text(), "bert");
            assert_eq!(get(&mut nobody, "").status(), 401);
            assert_eq!(get(&mut proxy.connect(), "").status(), 401);
        }
        drop((anna, bert, nobody));
        // What they leave is closed, not given to the next one.
        eventually!(open.load(SeqCst) == 0, "their connections are closed");
        assert_eq!(get(&mut proxy.connect(), "").status(), 401);
    }
}

#[test]
fn a_login_in_one_leg_belongs_to_its_client_too() {
    // Kerberos needs no challenge: the first request brings the ticket.
    let backend = RawBackend::start(|_, mut wire| {
        let mut user = "nobody".to_owned();
        while let Some(head) = wire.try_read_head() {
            if let Some(said) = head.field("authorization") {
                user = said.rsplit_once(' ').expect("a ticket").1.to_owned();
            }
            wire.send(answer("200 OK", "", &user));
        }
    });
    let proxy = proxy(&backend);
    let mut anna = proxy.connect();
    assert_eq!(
        get(&mut anna, "Authorization: negotiate anna\r\n").text(),
        "anna"
    );
    assert_eq!(get(&mut proxy.connect(), "").text(), "nobody");
    assert_eq!(get(&mut anna, "").text(), "anna");
    // Other schemes authenticate requests; their connections are shared as ever.
    let mut cora = proxy.connect();
    assert_eq!(
        get(&mut cora, "Authorization: Basic cora\r\n").text(),
        "cora"
    );
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_login_that_the_backend_has_closed_is_asked_for_again() {
    let (closed, was_closed) = mpsc::channel();
    let closed = std::sync::Mutex::new(closed);
    let backend = RawBackend::start(move |n, mut wire| {
        let status = ["200 OK", "401 Unauthorized"][n.min(1)];
        let asks = "WWW-Authenticate: NTLM\r\n";
        for _ in 0..2 {
            if wire.try_read_head().is_none() {
                return;
            }
            wire.send(answer(status, asks, ""));
        }
        drop(wire);
        closed.lock().unwrap().send(()).expect("the test goes on");
    });
    let proxy = proxy(&backend);
    let mut anna = proxy.connect();
    assert_eq!(get(&mut anna, "Authorization: NTLM a\r\n").status(), 200);
    assert_eq!(get(&mut anna, "").status(), 200);
    was_closed.recv_timeout(support::DEADLINE).unwrap();
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    anna.send(post);
    assert_eq!(anna.read_response().status(), 401);
}

#[test]
fn a_handshake_logs_in_and_its_connection_becomes_the_tunnel() {
    for scheme in ["NTLM", "Negotiate"] {
        let backend = RawBackend::start(move |n, mut wire| {
            let mut challenged = false;
            while let Some(head) = wire.try_read_head() {
                let said = head.field("authorization").unwrap_or_default();
                let ask = |token: String| {
                    let asks = format!("WWW-Authenticate: {scheme}{token}\r\n");
                    answer("401 Unauthorized", &asks, "log in")
                };
                match said.strip_prefix(scheme).map(str::trim) {
                    Some("hello") => {
                        challenged = true;
                        wire.send(ask(format!(" challenge{n}")));
                    }
                    Some("proof") if challenged => {
                        wire.send(websocket::switching(""));
                        let said = wire.read_exact(5);
                        wire.send(said);
                        return;
                    }
                    _ => wire.send(ask(String::new())),
                }
            }
        });
        let proxy = proxy(&backend);
        let mut wire = proxy.connect();
        let ask = |wire: &mut Wire, more: &str| {
            wire.send(websocket::handshake("x", "/ws", more));
            let head = wire.read_head();
            assert!(!head.has_token("connection", "close"), "{head:?}");
            head
        };
        for leg in ["", &format!("Authorization: {scheme} hello\r\n")] {
            let head = ask(&mut wire, leg);
            assert_eq!(head.status(), 401);
            assert_eq!(wire.read_body(head).text(), "log in");
        }
        let head = ask(&mut wire, &format!("Authorization: {scheme} proof\r\n"));
        assert_eq!(head.status(), 101, "{scheme}: {head:?}");
        wire.send(b"\x81\x80\0\0\0\0");
        assert_eq!(wire.read_exact(5), b"\x81\x80\0\0\0");
        assert_eq!(backend.accepted(), 1);
        let records = proxy.wait_for_log("the opening", |line| line.json["kind"] == "tunnel_open");
        assert!(records.text.contains("/ws"));
        let steps = proxy.access();
        assert_eq!(steps[1]["detail"], "a step of an NTLM or Negotiate login");
        assert!(steps[1]["cause"].is_null(), "{}", steps[1]);
        wire.reset();
        proxy.wait_for_tunnel_close();
        assert_eq!(refused(&proxy), 0);
    }
}

/// Refused handshakes, by the metrics; and by the events, which say the same.
fn refused(proxy: &Proxy) -> usize {
    let (_, metrics) = proxy.metrics("text/plain");
    let lines = metrics.lines();
    let lines = lines.filter(|line| line.starts_with("sluice_handshakes_refused_total{"));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    values.sum()
}

/// A client that goes on is not refused; one that leaves is, once, with the last answer.
#[test]
fn a_login_that_is_given_up_is_one_refusal() {
    let open = Arc::new(AtomicUsize::new(0));
    let backend = backend("NTLM", open);
    let proxy = proxy(&backend);
    let steps = [
        "",
        "Authorization: NTLM hello\r\n",
        "Authorization: NTLM wrong\r\n",
    ];
    for (given_up_after, counted) in [(1, 0), (2, 0), (3, 1)] {
        let before = refused(&proxy);
        let mut wire = proxy.connect();
        for step in &steps[..given_up_after] {
            wire.send(websocket::handshake("x", "/ws", step));
            assert_eq!(wire.read_response().status(), 401);
        }
        let records = proxy.access().len();
        assert_eq!(refused(&proxy) - before, counted, "while it may go on");
        drop(wire);
        eventually!(refused(&proxy) == before + 1);
        assert_eq!(proxy.access().len(), records, "no record of its own");
    }
}

#[test]
fn a_client_that_has_logged_in_upgrades_on_the_connection_that_knows_it() {
    let backend = RawBackend::start(|_, mut wire| {
        let mut user = None;
        while let Some(head) = wire.try_read_head() {
            user = head.field("authorization").or(user);
            match (&user, head.field("upgrade")) {
                (None, _) => {
                    wire.send(answer("401 Unauthorized", "WWW-Authenticate: NTLM\r\n", ""))
                }
                (Some(_), None) => wire.send(answer("200 OK", "", "in")),
                (Some(_), Some(_)) => {
                    wire.send(websocket::switching(""));
                    wire.read_until_close();
                    return;
                }
            }
        }
    });
    let proxy = proxy(&backend);
    let mut anna = proxy.connect();
    assert_eq!(get(&mut anna, "Authorization: NTLM anna\r\n").text(), "in");
    anna.send(websocket::handshake("x", "/ws", ""));
    assert_eq!(anna.read_head().status(), 101);
    // The connection is the tunnel's; another client has none of it.
    let mut bert = proxy.connect();
    bert.send(websocket::handshake("x", "/ws", ""));
    assert_eq!(bert.read_response().status(), 401);
    assert_eq!(backend.accepted(), 2);
}
