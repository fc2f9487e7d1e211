//! A reload of many routes, and how long new connections and messages wait meanwhile.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Message;

use crate::support::websocket::{connect, exchange};
use crate::support::{EchoBackend, Proxy};

use super::quiet::Latencies;

const ROUTES: usize = 10_000;
const RELOADS: usize = 4;
/// How long it is quiet before.
const BEFORE: Duration = Duration::from_secs(3);
/// Between two connections or messages.
const EACH: Duration = Duration::from_millis(1);

/// All routes but three are other ones in each configuration.
fn toml(echo: &EchoBackend, n: usize) -> String {
    let to = echo.address();
    let routes = (0..ROUTES)
        .map(|route| format!("[[route]]\npath_prefix = \"/{route}/{n}\"\nto = \"{to}\"\n"));
    format!(
        "workers = 2\n[log]\naccess = \"off\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/here\"\nrespond = {{ status = 204 }}\n\
         [[route]]\npath = \"/messages\"\nto = \"{to}\"\n{}",
        routes.collect::<String>()
    )
}

/// Does this again and again until it is over, and gives how long each took.
fn again(over: &AtomicBool, mut act: impl FnMut()) -> Vec<Duration> {
    let mut took = Vec::new();
    while !over.load(Relaxed) {
        let begun = Instant::now();
        act();
        took.push(begun.elapsed());
        std::thread::sleep(EACH);
    }
    took
}

/// What a client finds while `act` runs: each connection is accepted and answered, each message.
fn meanwhile(proxy: &Proxy, act: impl FnOnce()) -> Latencies {
    let over = AtomicBool::new(false);
    let mut messages = connect(proxy, "/messages");
    std::thread::scope(|scope| {
        let requests = scope.spawn(|| {
            again(&over, || {
                let mut wire = proxy.send("GET /here HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(wire.read_head().status(), 204);
            })
        });
        let messages =
            scope.spawn(|| again(&over, || exchange(&mut messages, Message::text("message"))));
        act();
        over.store(true, Relaxed);
        Latencies {
            requests: requests.join().expect("all are answered"),
            messages: messages.join().expect("all are answered"),
        }
    })
}

#[test]
#[ignore = "measures, with all of a machine"]
fn a_reload_of_many_routes_holds_up_nothing() {
    let echo = EchoBackend::start();
    let proxy = Proxy::start(&toml(&echo, 0));
    println!("before, for {BEFORE:?}:");
    // The span is what is measured.
    meanwhile(&proxy, || std::thread::sleep(BEFORE)).print();
    for n in 1..=RELOADS {
        let toml = toml(&echo, n);
        let begun = Instant::now();
        let found = meanwhile(&proxy, || drop(proxy.reload(&toml)));
        println!("reload of {ROUTES} routes, {:?}:", begun.elapsed());
        found.print();
    }
}
