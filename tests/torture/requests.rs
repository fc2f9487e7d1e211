//! Plain requests at a constant rate, on connections that are kept and on fresh ones. None
//! is ever sent twice: a connection that ends without an answer is a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::backend::{PLAIN, Request};
use super::message::{self, Sizes, Way};
use super::peer::World;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// Sends requests through the proxy.
#[derive(Clone)]
pub struct Requester {
    pub world: World,
    pub proxy: SocketAddr,
    next: Arc<AtomicU32>,
}

impl Requester {
    pub fn new(world: World, proxy: SocketAddr) -> Requester {
        Requester {
            world,
            proxy,
            next: Arc::default(),
        }
    }

    /// One request each `interval`, so many on a connection before the next is opened;
    /// fewer where the proxy says `Connection: close`.
    pub async fn run(self, interval: Duration, on_each: u32) {
        let mut next = Instant::now() + interval.mul_f64(fastrand::f64());
        let mut stream = None;
        let mut left = 0;
        while !*self.world.stop.borrow() {
            sleep_until(next).await;
            next += interval;
            if left == 0 || stream.is_none() {
                left = on_each;
                stream = match TcpStream::connect(self.proxy).await {
                    Ok(stream) => Some(stream),
                    Err(error) => {
                        self.world.tally.fail(format!("no connection: {error}"));
                        continue;
                    }
                };
                self.world.tally.connections.add();
            }
            left -= 1;
            let number = self.next.fetch_add(1, Relaxed);
            let path = format!("/keep/plain/{number}");
            let Some(open) = stream.take() else { continue };
            let nth = on_each - left;
            let answer = timeout(ANSWER, exchange(open, self.proxy, &path, number)).await;
            match answer.unwrap_or_else(|_| Err("no answer in time".into())) {
                Ok(kept) => stream = kept,
                Err(error) => self.world.tally.fail(format!(
                    "request {path} , the {nth}. on its connection: {error}"
                )),
            }
            self.world.tally.requests.add();
        }
    }
}

/// Sends one request and reads its answer. Gives the connection back where it may be used
/// again.
async fn exchange(
    mut stream: TcpStream,
    proxy: SocketAddr,
    path: &str,
    number: u32,
) -> Result<Option<TcpStream>, String> {
    let from = stream.local_addr().map_err(|error| error.to_string())?;
    let request = if number.is_multiple_of(4) {
        let body = message::payload(PLAIN, Way::Up, number, Sizes::Mixed);
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {proxy}\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), &body].concat()
    } else {
        format!("GET {path} HTTP/1.1\r\nHost: {proxy}\r\n\r\n").into_bytes()
    };
    let sent = stream.write_all(&request).await;
    sent.map_err(|error| format!("not sent from {from}: {error}"))?;
    let head = Request::read(&mut stream, Vec::new()).await;
    let head = head.ok_or_else(|| format!("the connection from {from} ended without answer"))?;
    if !head.head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the answer is {}", head.head));
    }
    let length = head.field("content-length").and_then(|l| l.parse().ok());
    let length: usize = length.ok_or("no length")?;
    let mut body = head.rest.clone();
    while body.len() < length {
        let n = stream.read_buf(&mut body).await;
        let n = n.map_err(|error| format!("the answer broke off: {error}"))?;
        if n == 0 {
            return Err(format!("{} of {length} bytes of the answer", body.len()));
        }
    }
    message::check(&body, PLAIN, Way::Down, number, Sizes::Mixed)?;
    let closes = head.field("connection") == Some("close");
    Ok((!closes).then_some(stream))
}
