//! Tunnels over real sockets: a client's end and an upstream's end in the test's hands,
//! the tunnel between them. Time is set by hand: `tick_at`.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::pump::Direction;
use super::relay::Tunnel;
use super::task::Task;
use super::*;
use crate::config::WebSocketConfig;
use crate::metrics::slots;
use crate::net::io::Io;
use crate::tunnel_info::{Closes, IdentityParts, TunnelIdentity, TunnelReport};
use crate::tunnel_registry::{
    self as registry, CloseOrder, Cut, DrainOrder, Phase, Selection, TunnelHandle, command,
    next_id, reserve_ids,
};
use crate::vocabulary::counters::Tally;
use crate::vocabulary::{ClosedBy, Side};

mod activity;
mod bare;
mod bulk;
mod bytes;
mod closing;
mod drain;
mod flood;
mod handover;
mod lost;
mod records;
mod settings;
mod sockets;
mod strict;
mod tap;
mod time;
mod websocket;

const SECOND: Duration = Duration::from_secs(1);

/// What a test wants to know of an ended tunnel.
#[derive(Debug, Clone)]
struct Ended {
    closed_by: ClosedBy,
    detail: Option<String>,
    closes: Closes,
    from_client: Tally,
    from_upstream: Tally,
    client_rtt: Option<Duration>,
}

thread_local! {
    static ENDED: RefCell<Vec<Ended>> = const { RefCell::new(Vec::new()) };
}

fn record(report: &TunnelReport<'_>) {
    ENDED.with_borrow_mut(|ended| {
        ended.push(Ended {
            closed_by: report.closed_by,
            detail: report.detail.map(str::to_owned),
            closes: report.closes.clone(),
            from_client: report.from_client,
            from_upstream: report.from_upstream,
            client_rtt: report.client_rtt,
        });
    });
}

fn identity() -> Box<TunnelIdentity> {
    identity_of("chat", "app", "127.0.0.1:9000")
}

fn identity_of(route: &str, upstream: &str, endpoint: &str) -> Box<TunnelIdentity> {
    TunnelIdentity::new(IdentityParts {
        request_id: "0123456789abcdef",
        route: slots::route(&route.into()),
        endpoint: slots::endpoint(&upstream.into(), &endpoint.into()),
        client: "127.0.0.1:50000",
        host: "example.com",
        path: "/ws",
        upgrade: None,
        subprotocol: None,
        origin: None,
        traceparent: "",
        deflate: None,
    })
}

fn spec(client: impl Into<Io>, upstream: impl Into<Io>) -> TunnelSpec<()> {
    TunnelSpec {
        client: client.into(),
        upstream: upstream.into(),
        from_client: Bytes::new(),
        from_upstream: Bytes::new(),
        settings: Arc::default(),
        identity: identity(),
        report: record,
        guard: (),
    }
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (far, near) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (far, (near, _)) = (far.expect("connect"), near.expect("accept"));
    far.set_nodelay(true).expect("nodelay");
    near.set_nodelay(true).expect("nodelay");
    (far, near)
}

/// The outer ends of a TCP tunnel: the client's and the upstream's.
async fn open(settings: WebSocketConfig) -> (TcpStream, TcpStream, Arc<TunnelHandle>) {
    open_over(spec, settings).await
}

/// The same, of what `spec` makes of the tunnel's ends.
async fn open_over(
    spec: impl Fn(TcpStream, TcpStream) -> TunnelSpec<()>,
    settings: WebSocketConfig,
) -> (TcpStream, TcpStream, Arc<TunnelHandle>) {
    let (client, near_client) = tcp_pair().await;
    let (upstream, near_upstream) = tcp_pair().await;
    let mut spec = spec(near_client, near_upstream);
    spec.settings = Arc::new(settings);
    let handle = spawn(spec);
    (client, upstream, handle)
}

/// A tunnel between two pairs, and its outer ends, which stay open as long as it is held.
struct Small {
    client: UnixStream,
    upstream: UnixStream,
    handle: Arc<TunnelHandle>,
}

fn small(settings: WebSocketConfig, identity: Box<TunnelIdentity>) -> Small {
    small_over(spec, settings, identity)
}

/// The same, of what `spec` makes of the tunnel's ends.
fn small_over(
    spec: impl Fn(UnixStream, UnixStream) -> TunnelSpec<()>,
    settings: WebSocketConfig,
    identity: Box<TunnelIdentity>,
) -> Small {
    let (client, near_client) = UnixStream::pair().expect("pair");
    let (upstream, near_upstream) = UnixStream::pair().expect("pair");
    let mut spec = spec(near_client, near_upstream);
    spec.settings = Arc::new(settings);
    spec.identity = identity;
    Small {
        client,
        upstream,
        handle: spawn(spec),
    }
}

/// How many of this thread's tunnels have been told to close.
fn told() -> usize {
    let handles = registry::handles();
    handles.iter().filter(|h| h.order().is_some()).count()
}

/// Checks that 200 tunnels are told to close evenly over a span.
fn told_evenly(start: Instant, span: Duration) {
    let mut before = told();
    assert_eq!((before, registry::count()), (0, 200));
    for tenth in 1..=10 {
        registry::tick(start + tenth * span / 10 + SECOND / 5);
        let now = told();
        // 20 are expected in each tenth; six standard deviations are 25.
        let more = now - before;
        assert!((1..=45).contains(&more), "{more} in tenth {tenth}");
        before = now;
    }
    assert_eq!(before, 200);
}

/// Waits for a condition, for at most ten seconds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The record of the thread's only tunnel, once it has ended.
async fn ended() -> Ended {
    until("the tunnel's end", || {
        ENDED.with_borrow(|ended| !ended.is_empty())
    })
    .await;
    assert_eq!(registry::count(), 0, "an ended tunnel is not registered");
    ENDED.with_borrow_mut(|ended| ended.remove(0))
}

/// Reads exactly `n` bytes, for at most ten seconds.
async fn read(stream: &mut (impl AsyncReadExt + Unpin), n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    let reading = stream.read_exact(&mut bytes);
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("in time")
        .expect("read");
    bytes
}

/// Reads to the end of the stream, for at most ten seconds.
async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("in time")
        .expect("read");
    bytes
}

/// A client's frame, masked with zeros so that the payload is readable.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = server_frame(first, payload);
    frame[1] |= 0x80;
    let header = frame.len() - payload.len();
    frame.splice(header..header, [0; 4]);
    frame
}

/// An upstream's frame.
fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        medium @ 126..65_536 => {
            frame.push(126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// Ticks as if it were `after` from now.
fn tick_at(after: Duration) {
    registry::tick(Instant::now() + after);
}

/// Bytes that look like none others.
fn noise(seed: u64, n: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(n).collect()
}
