//! What many clients do to it at once, each kind on a thread of its own, until it is told to
//! stop or the process is gone: they expect nothing, and say what they got.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{Proxy, Wire};

use super::noise::{stall, tiny_frames};
use super::stage::DESCRIPTORS;

/// How long a client waits for a connection or an answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two clients that come to stay.
const HOARD: Duration = Duration::from_millis(2);
/// Between two bytes of a slow head.
const DRIP: Duration = Duration::from_millis(100);
const SLOW: usize = 20;
const STALLED: usize = 40;

/// What clients got.
#[derive(Debug, Default)]
pub struct Tally {
    /// Handshakes that were answered with 400.
    pub refused: AtomicU64,
    /// Slow heads whose connection was closed.
    pub cut: AtomicU64,
    /// Clients that came to stay.
    pub came: AtomicU64,
}

/// All of them.
pub struct Floods {
    pub tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    stalled: Vec<Wire>,
}

impl Floods {
    pub fn start(proxy: &Proxy) -> Floods {
        let address = proxy.address();
        // Before there are no descriptors left for them.
        for _ in 0..2 {
            tiny_frames(proxy, "/noise/pings", &[0x89, 0x80, 1, 2, 3, 4]);
            tiny_frames(proxy, "/noise/empty", &[0x82, 0x80, 1, 2, 3, 4]);
        }
        let stalled = (0..STALLED).map(|n| {
            let path = ["/noise/length", "/noise/chunked"][n % 2];
            stall(address, path).expect("the listener accepts")
        });
        let mut floods = Floods {
            tally: Arc::default(),
            over: Arc::default(),
            threads: Vec::new(),
            stalled: stalled.collect(),
        };
        floods.spawn(address, refusals);
        floods.spawn(address, hoarders);
        floods.spawn(address, slow_heads);
        floods
    }

    fn spawn(&mut self, address: SocketAddr, flood: fn(SocketAddr, &Tally, &AtomicBool)) {
        let (tally, over) = (self.tally.clone(), self.over.clone());
        let thread = std::thread::spawn(move || flood(address, &tally, &over));
        self.threads.push(thread);
    }

    /// The stalled clients go.
    pub fn let_go(&mut self) {
        self.stalled.clear();
    }

    pub fn end(self) {
        self.over.store(true, Relaxed);
        for thread in self.threads {
            thread.join().expect("a flood ends well");
        }
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// Handshakes without a key, one after the other.
fn refusals(address: SocketAddr, tally: &Tally, over: &AtomicBool) {
    let handshake = b"GET /noise/pings HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
    while !over.load(Relaxed) {
        let mut status = [0; 12];
        let refused = connect(address).is_some_and(|mut stream| {
            stream.write_all(handshake).is_ok() && stream.read_exact(&mut status).is_ok()
        });
        if refused && status.ends_with(b"400") {
            tally.refused.fetch_add(1, Relaxed);
        }
    }
}

/// Clients that come, ask and stay, more than there are descriptors; then most of them go.
fn hoarders(address: SocketAddr, tally: &Tally, over: &AtomicBool) {
    let mut held = Vec::new();
    while !over.load(Relaxed) {
        if let Some(mut stream) = connect(address) {
            let _ = stream.write_all(b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n");
            held.push(stream);
            tally.came.fetch_add(1, Relaxed);
        }
        if held.len() > DESCRIPTORS {
            held.drain(..DESCRIPTORS * 3 / 4);
        }
        std::thread::sleep(HOARD);
    }
}

/// Heads of which a byte comes now and then.
fn slow_heads(address: SocketAddr, tally: &Tally, over: &AtomicBool) {
    let head = b"GET /here HTTP/1.1\r\nHost: x\r\nX-Long: ";
    let mut slow: Vec<(TcpStream, usize)> = Vec::new();
    while !over.load(Relaxed) {
        while slow.len() < SLOW
            && let Some(stream) = connect(address)
        {
            slow.push((stream, 0));
        }
        let before = slow.len();
        slow.retain_mut(|(stream, at)| {
            let byte = head.get(*at).copied().unwrap_or(b'x');
            *at += 1;
            stream.write_all(&[byte]).is_ok()
        });
        tally.cut.fetch_add((before - slow.len()) as u64, Relaxed);
        std::thread::sleep(DRIP);
    }
}
