//! The tunnel against a bare epoll relay that knows nothing: CPU time for an echoed message
//! and for bulk, and private memory for an idle tunnel. One process relays, pinned to one
//! core; this one is client and backend on another.
//!
//! `cargo bench --bench relay [-- ROW...]`, rows: echo64, echo4k, many, up, down, idle.
//! The relay alone, for strace or callgrind: `relay serve floor|tunnel BACKEND`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench that cannot go on ends"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use sluice::config::WebSocketConfig;
use sluice::metrics::slots;
use sluice::tunnel::{self, TunnelSpec};
use sluice::tunnel_info::{IdentityParts, TunnelIdentity, TunnelReport};
use sluice::tunnel_registry;

#[global_allocator]
static ALLOCATOR: sluice::system::allocator::Allocator = sluice::system::allocator::Allocator;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", kind, backend] => serve(kind, backend.parse().expect("an address")),
        _ => measure(&args),
    }
}

// The relays.

fn serve(kind: &str, backend: SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("{}", listener.local_addr().expect("address"));
    match kind {
        "floor" => floor(&listener, backend),
        _ => tunnels(listener, backend),
    }
}

/// Level-triggered epoll, one buffer, one receive and one send for each event.
fn floor(listener: &TcpListener, backend: SocketAddr) {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let watch = |fd: &dyn AsFdDyn, key: u64| {
        let data = epoll::EventData::new_u64(key);
        epoll::add(&poll, fd.fd(), data, epoll::EventFlags::IN).expect("watch");
    };
    watch(listener, u64::MAX);
    let mut ends: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).expect("wait");
        for event in &events {
            let key = event.data.u64();
            if key == u64::MAX {
                for end in [listener.accept().expect("accept").0, connect(backend)] {
                    end.set_nodelay(true).expect("nodelay");
                    watch(&end, ends.len() as u64);
                    ends.push(Some(end));
                }
                continue;
            }
            let (from, to) = (key as usize, key as usize ^ 1);
            let Some(mut source) = ends[from].as_ref() else {
                continue;
            };
            let n = source.read(&mut buffer).unwrap_or(0);
            if n == 0 {
                ends[from] = None;
                ends[to] = None;
            } else if let Some(mut sink) = ends[to].as_ref() {
                // The floor may block on a slow reader.
                let _ = sink.write_all(&buffer[..n]);
            }
        }
    }
}

trait AsFdDyn {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdDyn for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    TcpStream::connect(to).expect("connect")
}

fn no_report(_: &TunnelReport<'_>) {}

/// Our tunnels, as a worker runs them.
fn tunnels(listener: TcpListener, backend: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async move {
        tokio::spawn(async {
            let mut ticks = tokio::time::interval(tunnel_registry::TICK);
            loop {
                tunnel_registry::tick(ticks.tick().await.into_std());
            }
        });
        listener.set_nonblocking(true).expect("nonblocking");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let settings = Arc::new(WebSocketConfig::default());
        let name: Arc<str> = "app".into();
        let (route, endpoint) = (slots::route(&name), slots::endpoint(&name, &name));
        loop {
            let (client, peer) = listener.accept().await.expect("accept");
            let upstream = tokio::net::TcpStream::connect(backend)
                .await
                .expect("connect");
            client.set_nodelay(true).expect("nodelay");
            upstream.set_nodelay(true).expect("nodelay");
            tunnel::spawn(TunnelSpec {
                client: client.into(),
                upstream: upstream.into(),
                from_client: Default::default(),
                from_upstream: Default::default(),
                settings: settings.clone(),
                identity: TunnelIdentity::new(IdentityParts {
                    request_id: "0123456789abcdef0123456789abcdef",
                    route: route.clone(),
                    endpoint: endpoint.clone(),
                    client: &peer.to_string(),
                    host: "example.com:8080",
                    path: "/chat/socket",
                    subprotocol: None,
                    upgrade: None,
                    origin: Some("https://example.com:8080"),
                    traceparent: "",
                    deflate: None,
                }),
                report: no_report,
                guard: (),
            });
        }
    });
}

// The load.

/// A relay under test.
struct Relay {
    child: Child,
    address: SocketAddr,
}

impl Relay {
    fn start(kind: &str, backend: SocketAddr) -> Relay {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(["serve", kind, &backend.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the relay");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its address");
        Relay {
            child,
            address: line.trim().parse().expect("an address"),
        }
    }

    /// CPU time so far.
    fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = std::fs::read_to_string(path).expect("schedstat");
        let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
        Duration::from_nanos(nanos.expect("a number"))
    }

    /// Private memory in bytes.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("status");
        let line = text
            .lines()
            .find(|line| line.starts_with("RssAnon"))
            .expect("RssAnon");
        let number = line
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse::<u64>().ok());
        number.expect("a number") * 1024
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ROWS: [&str; 6] = ["echo64", "echo4k", "many", "up", "down", "idle"];
const ROUNDS: usize = 3;

fn measure(wanted: &[&str]) {
    // This thread and those it starts leave core 0 to the relay.
    let me = std::process::id().to_string();
    let _ = Command::new("taskset")
        .args(["-cp", "1", &me])
        .stdout(Stdio::null())
        .status();
    let backend = backend();
    for row in ROWS
        .iter()
        .filter(|row| wanted.is_empty() || wanted.contains(row))
    {
        let mut results: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..if *row == "idle" { 1 } else { ROUNDS } {
            for kind in ["floor", "tunnel"] {
                let relay = Relay::start(kind, backend);
                results.entry(kind).or_default().push(run(row, &relay));
            }
        }
        let median = |kind: &str| {
            let mut values = results[kind].clone();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (floor, tunnel) = (median("floor"), median("tunnel"));
        println!(
            "{row:8} floor {floor:9.3}  tunnel {tunnel:9.3}  ratio {:.3}",
            tunnel / floor
        );
    }
}

fn run(row: &str, relay: &Relay) -> f64 {
    match row {
        "echo64" => echo(relay, 64, 64, 150_000),
        "echo4k" => echo(relay, 64, 4096, 100_000),
        "many" => echo(relay, 2000, 64, 100_000),
        "up" => bulk(relay, b'u', 1 << 30),
        "down" => bulk(relay, b'd', 1 << 30),
        _ => idle(relay, 8000),
    }
}

/// A client's binary frame.
fn frame(size: usize, masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    match size {
        0..126 => frame.push(mask | size as u8),
        126..65_536 => {
            frame.push(mask | 126);
            frame.extend((size as u16).to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend((size as u64).to_be_bytes());
        }
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.resize(frame.len() + size, b'x');
    frame
}

/// Bytes of payload in a bulk frame.
fn bulk_frame() -> usize {
    std::env::var("BULK_FRAME")
        .ok()
        .and_then(|size| size.parse().ok())
        .unwrap_or(1 << 20)
}

/// The backend: a connection's first frame says what it is for.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        watch(&poll, &listener, u64::MAX);
        let mut ends: Vec<Option<TcpStream>> = Vec::new();
        let (mut events, mut buffer) = (Vec::with_capacity(1024), vec![0; 1 << 18]);
        loop {
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).expect("wait");
            for event in &events {
                let key = event.data.u64();
                if key == u64::MAX {
                    let end = listener.accept().expect("accept").0;
                    end.set_nodelay(true).expect("nodelay");
                    watch(&poll, &end, ends.len() as u64);
                    ends.push(Some(end));
                    continue;
                }
                let slot = &mut ends[key as usize];
                let Some(mut end) = slot.as_ref() else {
                    continue;
                };
                let n = end.read(&mut buffer).unwrap_or(0);
                if n == 0 {
                    *slot = None;
                } else if n == 7 && matches!(buffer[6], b'u' | b'd') {
                    let end = slot.take().expect("it is there");
                    let up = buffer[6] == b'u';
                    std::thread::spawn(move || if up { swallow(end) } else { pour(end) });
                } else {
                    // A client's frame becomes a server's: without its mask of zeros.
                    let _ = end.write_all(&unmask(&buffer[..n]));
                }
            }
        }
    });
    address
}

fn watch(poll: &impl AsFd, fd: &impl AsFd, key: u64) {
    let data = epoll::EventData::new_u64(key);
    epoll::add(poll, fd, data, epoll::EventFlags::IN).expect("watch");
}

fn unmask(message: &[u8]) -> Vec<u8> {
    let header = if message[1] & 0x7F == 126 { 4 } else { 2 };
    let mut answer = message[..header].to_vec();
    answer[1] &= 0x7F;
    answer.extend_from_slice(&message[header + 4..]);
    answer
}

fn swallow(mut end: TcpStream) {
    let mut buffer = vec![0; 1 << 18];
    let mut left = 1 << 30;
    while left > 0 {
        match end.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => left -= n.min(left),
        }
    }
    let _ = end.write_all(&frame(1, false));
}

fn pour(mut end: TcpStream) {
    let message = frame(bulk_frame(), false);
    let mut left = 1 << 30;
    while left > 0 && end.write_all(&message).is_ok() {
        left -= message.len().min(left);
    }
}

/// Microseconds of CPU for a message echoed, which crosses the relay twice.
fn echo(relay: &Relay, tunnels: usize, size: usize, messages: usize) -> f64 {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let mut ends: Vec<TcpStream> = (0..tunnels).map(|_| connect(relay.address)).collect();
    let message = frame(size, true);
    let answer = message.len() - 4;
    let mut got = vec![0; tunnels];
    for (i, end) in ends.iter_mut().enumerate() {
        end.set_nodelay(true).expect("nodelay");
        watch(&poll, end, i as u64);
        end.write_all(&message).expect("write");
    }
    let (mut done, mut start, mut events) = (0, Duration::ZERO, Vec::with_capacity(1024));
    let (warm, mut buffer) = (messages / 5, vec![0; 1 << 16]);
    while done < messages + warm {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).expect("wait");
        for event in &events {
            let i = event.data.u64() as usize;
            got[i] += ends[i].read(&mut buffer).expect("read");
            if got[i] == answer {
                got[i] = 0;
                done += 1;
                if done == warm {
                    start = relay.cpu();
                }
                ends[i].write_all(&message).expect("write");
            }
        }
    }
    (relay.cpu() - start).as_secs_f64() * 1e6 / messages as f64
}

/// Seconds of CPU for a gigabyte.
fn bulk(relay: &Relay, direction: u8, total: usize) -> f64 {
    let mut end = connect(relay.address);
    end.write_all(&[0x82, 0x81, 0, 0, 0, 0, direction])
        .expect("write");
    std::thread::sleep(Duration::from_millis(50));
    let start = relay.cpu();
    if direction == b'u' {
        let message = frame(bulk_frame(), true);
        let mut left = total;
        while left > 0 {
            end.write_all(&message).expect("write");
            left -= message.len().min(left);
        }
        end.read_exact(&mut [0; 3]).expect("read");
    } else {
        let mut buffer = vec![0; 1 << 18];
        let mut left = total;
        while left > 0 {
            match end.read(&mut buffer).expect("read") {
                0 => break,
                n => left -= n.min(left),
            }
        }
    }
    (relay.cpu() - start).as_secs_f64() * 1e9 / total as f64
}

/// Bytes of private memory for a tunnel that has carried one message and is idle.
fn idle(relay: &Relay, tunnels: usize) -> f64 {
    let message = frame(64, true);
    let mut ask = |end: &mut TcpStream| {
        end.write_all(&message).expect("write");
        end.read_exact(&mut [0; 66]).expect("read");
    };
    let mut first = connect(relay.address);
    ask(&mut first);
    let before = relay.memory();
    let mut ends: Vec<TcpStream> = (0..tunnels).map(|_| connect(relay.address)).collect();
    ends.iter_mut().for_each(&mut ask);
    let bytes = (relay.memory() - before) as f64 / tunnels as f64;
    // At five seconds of age each tunnel switches TCP keep-alive on, once.
    std::thread::sleep(Duration::from_secs(6));
    let (start, cpu) = (Instant::now(), relay.cpu());
    std::thread::sleep(Duration::from_secs(30));
    let share = (relay.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    eprintln!(
        "         {tunnels} idle tunnels: {:.4} % of a core",
        share * 100.0
    );
    bytes
}
