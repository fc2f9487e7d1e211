//! Streams that make more trouble than a socket does, that take back what they seemed to have
//! taken, and whose end has to wait; and what is asked of a descriptor where there is none.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::*;
use crate::config::DrainConfig;
use crate::tunnel::splice;
use crate::tunnel::tests::closing::close_frame;
use crate::tunnel::tests::handover::{received, try_hand_off};

#[tokio::test]
async fn it_stays_at_a_hand_over_and_is_drained() {
    for (client_is_socket, upstream_is_socket) in [(false, false), (true, false), (false, true)] {
        let (_client, near_client) = tcp_pair().await;
        let (_upstream, near_upstream) = tcp_pair().await;
        let io = |stream, is_socket| match is_socket {
            true => Io::from(stream),
            false => Io::foreign(stream),
        };
        let handle = spawn(mixed(
            io(near_client, client_is_socket),
            io(near_upstream, upstream_is_socket),
        ));
        let why = try_hand_off().await.map(drop);
        assert_eq!(why, Err("a side has no socket of its own"));
        // Left where it is, it is closed as the drain has it.
        let config = DrainConfig::default();
        let drain = DrainOrder::from_config(&config, Selection::All, Instant::now());
        registry::drain(&drain, Instant::now());
        tick_at(config.over + SECOND);
        assert_eq!(
            (drain.progress.total(), handle.order().is_some()),
            (1, true)
        );
        registry::undrain(drain.id);
        handle.cut(Cut::Command);
        ended().await;
    }
}

fn mixed(client: impl Into<Io>, upstream: impl Into<Io>) -> TunnelSpec<()> {
    super::super::spec(client, upstream)
}

#[tokio::test]
async fn a_drain_closes_it_at_a_boundary() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    let frame = server_frame(0x82, b"0123456789");
    upstream.write_all(&frame[..6]).await.expect("write");
    assert_eq!(read(&mut client, 6).await, frame[..6]);
    let config = DrainConfig::default();
    handle.close(Arc::new(CloseOrder::drain(&config, ClosedBy::Drain, None)));
    until("the phase", || handle.phase() == Phase::Boundary).await;
    upstream.write_all(&frame[6..]).await.expect("write");
    let close = close_frame(config.client_code, &config.reason);
    let rest = read(&mut client, 6 + close.len()).await;
    assert_eq!(rest, [&frame[6..], &close].concat());
    drop((client, upstream));
    assert_eq!(ended().await.closed_by, ClosedBy::Drain);
}

#[tokio::test]
async fn large_frames_are_copied_where_one_side_is_no_socket() {
    for client_is_socket in [true, false] {
        let (client, near_client) = tcp_pair().await;
        let (upstream, near_upstream) = tcp_pair().await;
        let handle = spawn(match client_is_socket {
            true => mixed(near_client, Io::foreign(near_upstream)),
            false => mixed(Io::foreign(near_client), near_upstream),
        });
        let up = client_frame(0x82, &noise(6, 3 << 20));
        let down = server_frame(0x82, &noise(5, 3 << 20));
        let mut most = 0;
        for (from, to, bytes) in [(&client, &upstream, &up), (&upstream, &client, &down)] {
            let (mut seen, mut written) = (Vec::<u8>::new(), 0);
            until("all of it", || {
                most = most.max(splice::lent());
                written += from.try_write(&bytes[written..]).unwrap_or(0);
                let mut part = [0; 64 * 1024];
                let n = to.try_read(&mut part).unwrap_or(0);
                seen.extend(&part[..n]);
                seen.len() == bytes.len()
            })
            .await;
            assert!(seen == *bytes);
        }
        assert_eq!(most, 0, "no pipe was filled that could not be emptied");
        drop((client, upstream));
        let ended = ended().await;
        assert_eq!(
            (ended.from_client.binary, ended.from_upstream.binary),
            (1, 1)
        );
        drop(handle);
    }
}

/// Says `Pending` for all that it is to write and counts on the same bytes when it is asked again,
/// as a stream does that makes records of them. Its end is said when the test lets it.
#[derive(Debug)]
struct Records {
    inner: DuplexStream,
    /// The bytes taken on, and how many of them are out.
    record: (Vec<u8>, usize),
    random: fastrand::Rng,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct End {
    asked: AtomicBool,
    allowed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl End {
    fn allow(&self) {
        self.allowed.store(true, Relaxed);
        let waker = self.waker.lock().expect("lock").take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The far end of such a stream, and itself.
fn records(seed: u64) -> (DuplexStream, Records) {
    let (far, inner) = duplex(1000);
    let records = Records {
        inner,
        record: Default::default(),
        random: fastrand::Rng::with_seed(seed),
        end: Arc::default(),
    };
    (far, records)
}

impl AsyncRead for Records {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.random.usize(1..600);
        let mut part = buf.take(most);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let n = part.filled().len();
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Records {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let (record, at) = &mut this.record;
        if record.is_empty() {
            let most = this.random.usize(1..600);
            record.extend(&buf[..buf.len().min(most)]);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        assert!(buf.starts_with(record), "other bytes than before");
        while *at < record.len() {
            *at += ready!(Pin::new(&mut this.inner).poll_write(cx, &record[*at..]))?;
        }
        let n = record.len();
        this.record = Default::default();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        assert!(
            self.record.0.is_empty(),
            "the end overtakes what was written"
        );
        *self.end.waker.lock().expect("lock") = Some(cx.waker().clone());
        self.end.asked.store(true, Relaxed);
        if !self.end.allowed.load(Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A tunnel between two such streams.
async fn open_records(seed: u64) -> ([DuplexStream; 2], [Arc<End>; 2], Arc<TunnelHandle>) {
    let ((client, near_client), (upstream, near_upstream)) = (records(seed), records(seed + 1));
    let ends = [near_client.end.clone(), near_upstream.end.clone()];
    let handle = spawn(super::spec(near_client, near_upstream));
    ([client, upstream], ends, handle)
}

#[tokio::test]
async fn every_byte_passes_streams_that_make_records() {
    for seed in 0..20 {
        let ([client, upstream], ends, handle) = open_records(seed).await;
        ends.iter().for_each(|end| end.allow());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut frames = |frame: fn(u8, &[u8]) -> Vec<u8>| -> Vec<u8> {
            let sizes = std::iter::repeat_with(|| random.usize(0..3000)).take(30);
            sizes
                .flat_map(|size| frame(0x82, &noise(seed, size)))
                .collect()
        };
        let (up, down) = (frames(client_frame), frames(server_frame));
        let pinged = async {
            for _ in 0..50 {
                handle.ask(command::PING_CLIENT | command::PING_UPSTREAM);
                tokio::task::yield_now().await;
            }
        };
        let closes = (
            client_frame(0x88, b"\x03\xe8"),
            server_frame(0x88, b"\x03\xe8"),
        );
        let sides = {
            let ((mut from_client, mut to_client), (mut from_upstream, mut to_upstream)) =
                (tokio::io::split(client), tokio::io::split(upstream));
            let writes = async {
                to_client.write_all(&up).await.expect("write");
                to_client.write_all(&closes.0).await.expect("write");
                to_upstream.write_all(&down).await.expect("write");
                to_upstream.write_all(&closes.1).await.expect("write");
                to_upstream.shutdown().await.expect("shutdown");
            };
            let reads = async {
                let mut seen = (Vec::new(), Vec::new());
                let reading = async {
                    tokio::try_join!(
                        from_client.read_to_end(&mut seen.0),
                        from_upstream.read_to_end(&mut seen.1)
                    )
                };
                tokio::time::timeout(10 * SECOND, reading)
                    .await
                    .expect("in time")
                    .expect("read");
                seen
            };
            let ((), (), seen) = tokio::join!(pinged, writes, reads);
            assert_eq!(without_pings(&seen.0), [&down[..], &closes.1].concat());
            assert_eq!(without_pings(&seen.1), [&up[..], &closes.0].concat());
            (
                from_client.unsplit(to_client),
                from_upstream.unsplit(to_upstream),
            )
        };
        drop(sides);
        let ended = ended().await;
        assert_eq!(
            (ended.from_client.binary, ended.from_upstream.binary),
            (30, 30)
        );
    }
}

/// Whole frames, but Pings.
fn without_pings(mut bytes: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    while let [first, second, ..] = *bytes {
        let mask = if second & 0x80 != 0 { 4 } else { 0 };
        let (header, length) = match second & 0x7F {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            short => (2, usize::from(short)),
        };
        let (frame, next) = bytes.split_at(header + mask + length);
        if first != 0x89 {
            rest.extend(frame);
        }
        bytes = next;
    }
    rest
}

#[tokio::test]
async fn an_end_that_has_to_wait_is_said_when_it_can_be() {
    let ([mut client, mut upstream], ends, handle) = open_records(7).await;
    client
        .write_all(&client_frame(0x81, b"last"))
        .await
        .expect("write");
    client.shutdown().await.expect("shutdown");
    read(&mut upstream, 10).await;
    until("the end", || ends[1].asked.load(Relaxed)).await;
    assert_eq!(handle.phase(), Phase::Open, "it was not said");
    // The other direction goes on meanwhile, and wakes the task.
    upstream
        .write_all(&server_frame(0x81, b"more"))
        .await
        .expect("write");
    read(&mut client, 6).await;
    ends[1].allow();
    // A masked Close comes before the end.
    assert_eq!(read_to_end(&mut upstream).await.len(), 23);
    until("the phase", || handle.phase() == Phase::Half).await;
    ends[0].allow();
    drop(upstream);
    read_to_end(&mut client).await;
    assert_eq!(ended().await.closed_by, ClosedBy::Client);
}

#[tokio::test]
async fn an_end_waits_though_its_source_goes_on() {
    // A socket, which wakes nothing while it is silent.
    let (mut client, near_client) = tcp_pair().await;
    let (mut upstream, near_upstream) = records(8);
    let end = near_upstream.end.clone();
    let handle = spawn(mixed(near_client, Io::foreign(near_upstream)));
    let garbage = b"\x83\xff no frame";
    client.write_all(garbage).await.expect("write");
    assert_eq!(read(&mut upstream, garbage.len()).await, garbage);
    let config = DrainConfig::default();
    handle.close(Arc::new(CloseOrder::drain(&config, ClosedBy::Drain, None)));
    until("the end", || end.asked.load(Relaxed)).await;
    // What comes is dropped, and its source waited for.
    client.write_all(&[0; 5000]).await.expect("write");
    received(&handle, Side::Client, garbage.len() + 5000).await;
    end.allow();
    assert_eq!(read_to_end(&mut upstream).await, b"");
    let close = close_frame(config.client_code, &config.reason);
    assert_eq!(read(&mut client, close.len()).await, close);
    client.shutdown().await.expect("shutdown");
    assert_eq!(read_to_end(&mut client).await, b"");
    drop((client, upstream));
    assert_eq!(ended().await.closed_by, ClosedBy::Drain);
}
