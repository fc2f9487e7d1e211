//! The one client that does no harm: a request and a message each 100 ms, on connections that
//! it has from the start. It fails the test where one of them is not answered.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use crate::support::websocket::{connect, exchange};
use crate::support::{Proxy, Wire};

/// Between two requests.
const EACH: Duration = Duration::from_millis(100);

/// See the module.
pub struct Quiet {
    requests: Wire,
    messages: WebSocket<TcpStream>,
    latencies: Latencies,
}

/// How long answers took.
#[derive(Default)]
pub struct Latencies {
    pub requests: Vec<Duration>,
    pub messages: Vec<Duration>,
}

impl Quiet {
    pub fn open(proxy: &Proxy) -> Quiet {
        Quiet {
            requests: proxy.connect(),
            messages: connect(proxy, "/quiet-messages"),
            latencies: Latencies::default(),
        }
    }

    /// Asks and says something for so long.
    pub fn talk(&mut self, span: Duration) {
        let begun = Instant::now();
        let mut n = 0;
        while begun.elapsed() < span {
            std::thread::sleep((EACH * n).saturating_sub(begun.elapsed()));
            self.ask(n);
            self.say(n);
            n += 1;
        }
    }

    fn ask(&mut self, n: u32) {
        let begun = Instant::now();
        self.requests
            .send(format!("GET /quiet/{n} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let answer = self.requests.read_response();
        self.latencies.requests.push(begun.elapsed());
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.json()["target"], format!("/quiet/{n}"));
    }

    fn say(&mut self, n: u32) {
        let begun = Instant::now();
        exchange(&mut self.messages, Message::text(format!("message {n}")));
        self.latencies.messages.push(begun.elapsed());
    }

    /// The tunnel ends with a Close that says why, and not in any other way.
    pub fn told_to_go(mut self) -> Latencies {
        match self.messages.read() {
            Ok(Message::Close(Some(close))) => assert_eq!(u16::from(close.code), 1012),
            other => panic!("instead of a Close came {other:?}"),
        }
        // The answer to it is sent while the end is waited for.
        let end = self.messages.read();
        assert!(matches!(end, Err(Error::ConnectionClosed)), "{end:?}");
        self.latencies
    }
}

impl Latencies {
    pub fn print(mut self) {
        for (name, all) in [
            ("requests", &mut self.requests),
            ("messages", &mut self.messages),
        ] {
            all.sort();
            let at = |share: usize| all[(all.len() - 1) * share / 100];
            println!(
                "{} {name}, all answered: p50 {:?}, p99 {:?}, max {:?}",
                all.len(),
                at(50),
                at(99),
                at(100)
            );
        }
    }
}
