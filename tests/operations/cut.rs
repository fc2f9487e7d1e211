//! What sluice cuts at its own end is sluice's doing: an error and a cause of its own, and a 503
//! where no answer has begun.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::proxy::field;
use crate::support::websocket::{handshake, open, tunnel_backend};
use crate::support::{Proxy, RawBackend, held};

const GET: &str = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";
const SOON: &str = "[drain]\nover = \"0s\"\ndeadline = \"1s\"\n";
const LATE: &str = "[drain]\nover = \"0s\"\ndeadline = \"20m\"\n";

/// Ends it: at the deadline, or by a second signal.
fn end(proxy: &mut Proxy, twice: bool) {
    proxy.terminate();
    if twice {
        proxy.wait_for_log("the drain", |line| line.text.contains("draining"));
        proxy.signal(Signal::TERM);
    }
    assert_eq!(proxy.wait_exit().code(), Some(3));
}

fn record(proxy: &Proxy) -> Value {
    let record = proxy.wait_for_access("its record", |json| json["kind"] == "exchange");
    assert_eq!(record["error"], "stopped", "{record}");
    assert_eq!(record["cause"], "stopped", "{record}");
    record
}

#[test]
fn an_exchange_that_waits_for_its_answer_is_answered() {
    for (drain, twice, why) in [
        (SOON, false, "drain.deadline was reached"),
        (LATE, true, "by a signal"),
    ] {
        for handshakes in [false, true] {
            let (backend, gate) = held();
            let mut proxy = Proxy::with(backend.address(), drain);
            let head = match handshakes {
                true => handshake(proxy.address(), "/held", ""),
                false => GET.to_owned(),
            };
            let mut wire = proxy.send(head);
            gate.reached();
            end(&mut proxy, twice);
            let answer = wire.read_response();
            assert_eq!(answer.status(), 503, "{answer:?}");
            assert!(answer.head.has_token("connection", "close"), "{answer:?}");
            let record = record(&proxy);
            assert_eq!(field(&record, "level"), "WARN", "{record}");
            assert_eq!(record["status"], 503, "{record}");
            let detail = record["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(why), "{record}");
            // The backend's script goes on to its end.
            gate.open();
        }
    }
}

#[test]
fn an_answer_that_is_cut_has_its_reason() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
        wire.read_until_close();
    });
    let mut proxy = Proxy::with(backend.address(), SOON);
    let mut wire = proxy.send(GET);
    assert_eq!(wire.read_head().status(), 200);
    end(&mut proxy, false);
    let record = record(&proxy);
    assert_eq!(record["status"], 200, "{record}");
}

#[test]
fn a_tunnel_that_is_cut_says_by_what() {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    for (drain, twice, why) in [
        (SOON, false, "drain deadline"),
        (LATE, true, "stopped by a signal"),
    ] {
        let more = format!("websocket = {{ close_timeout = \"10m\" }}\n{drain}");
        let mut proxy = Proxy::with(backend.address(), &more);
        let _wire = open(&proxy, "/ws");
        end(&mut proxy, twice);
        let record = proxy.wait_for_tunnel_close();
        assert_eq!(record["closed_by"], "drain", "{record}");
        assert_eq!(record["detail"], why, "{record}");
    }
}
