//! A drain of a thousand tunnels, seen by the clients' clock: closes are spread evenly over
//! the span, and none stands inside another frame, while half of the tunnels are in the
//! middle of a large frame at any moment, some of them in both directions.

use crate::support;

mod spread {
    pub mod even;
    pub mod raw;
}

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use support::Proxy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use self::spread::even::{chi_square, distance};
use self::spread::raw::{self, Frame, Peer};

const TUNNELS: usize = 1000;
const OVER: Duration = Duration::from_secs(4);
/// In how many spans of a quarter of a second closes are counted.
const BINS: usize = 16;
/// How much later than the span a Close may come: a frame takes half a second, and machines
/// are busy.
const SLACK: Duration = Duration::from_secs(2);
/// The code for clients.
const SERVICE_RESTART: u16 = 1012;

/// How a tunnel is used, by its number.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Its backend is always in the middle of a frame, and so is its client where that is
    /// ours.
    busy: bool,
    /// Its client is tungstenite, which is strict; else ours, which is stricter.
    library: bool,
}

impl Kind {
    fn of(number: usize) -> Kind {
        Kind {
            busy: number % 2 == 1,
            library: number % 4 < 2,
        }
    }
}

#[test]
fn a_thousand_closes_are_spread_evenly_and_stand_at_boundaries() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (started, closes, held_up) = runtime.block_on(drain());
    let after = |at: &Instant| {
        at.checked_duration_since(started)
            .expect("no close before the drain")
    };
    let all: Vec<Duration> = closes.iter().map(|(_, at)| after(at)).collect();
    assert_eq!(all.len(), TUNNELS);
    let last = all.iter().max().expect("a thousand");
    assert!(
        *last < OVER + SLACK + held_up,
        "the last Close came after {last:?}"
    );
    // Busy tunnels wait for a boundary, so only the others show the moments that were chosen.
    let quiet = closes.iter().filter(|(kind, _)| !kind.busy);
    let quiet: Vec<Duration> = quiet.map(|(_, at)| after(at)).collect();
    let (chi, counts) = chi_square(&quiet, OVER, BINS);
    let (of_quiet, of_all) = (distance(&quiet, OVER), distance(&all, OVER));
    println!(
        "{counts:?}: chi-square {chi:.1}, distances {of_quiet:.3} and {of_all:.3}, held up for \
         {held_up:?}"
    );
    // 15 degrees of freedom: 57 has a chance of one in a million; what is not spread comes to
    // thousands. A busy machine holds closes up and lets them through at once, which this
    // squares: then the distances speak, which such a moment shifts by its length.
    if held_up < OVER / BINS as u32 / 4 {
        assert!(chi < 150.0, "not even: {counts:?}, chi-square {chi}");
    }
    let shift = held_up.as_secs_f64() / OVER.as_secs_f64();
    // 500 and 1000 draws: 0.12 has a chance of one in a million; frames take half a second.
    assert!(of_quiet < 0.15 + shift, "not even: {quiet:?}");
    assert!(of_all < 0.2 + shift, "not even: {all:?}");
}

/// Opens the tunnels, drains them, and gives the drain's start, each Close's moment, and for
/// how long at most the machine held this process up meanwhile.
async fn drain() -> (Instant, Vec<(Kind, Instant)>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(serve(listener));
    let mut proxy = Proxy::start(&format!(
        "workers = 2\n[log]\naccess = \"off\"\n[admin]\nlisten = \"off\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{address}\"\n\
         [drain]\nover = \"{}s\"\ndeadline = \"20s\"\n",
        OVER.as_secs()
    ));
    let (open, opened) = watch::channel(0_usize);
    let mut clients = JoinSet::new();
    for number in 0..TUNNELS {
        let stream = TcpStream::connect(proxy.address()).await.expect("a place");
        stream.set_nodelay(true).expect("an option");
        let url = proxy.ws_url(&format!("/{number}"));
        clients.spawn(client(stream, url, number, open.clone()));
        let (mut opened, enough) = (opened.clone(), number.saturating_sub(50));
        opened
            .wait_for(|count| *count >= enough)
            .await
            .expect("open");
    }
    let mut all = opened;
    all.wait_for(|count| *count == TUNNELS).await.expect("open");
    let (held_up, longest) = watch::channel(Duration::ZERO);
    let pulse = tokio::spawn(pulse(held_up));
    let started = Instant::now();
    proxy.terminate();
    let mut closes = Vec::new();
    while let Some(ended) = clients.join_next().await {
        let (number, at) = ended.expect("a client that ends well");
        closes.push((Kind::of(number), at));
    }
    pulse.abort();
    assert!(proxy.wait_exit().success(), "nothing had to be cut");
    let held_up = *longest.borrow();
    (started, closes, held_up)
}

/// Notes by how much this runtime is late at most.
async fn pulse(late: watch::Sender<Duration>) {
    const BEAT: Duration = Duration::from_millis(5);
    loop {
        let due = Instant::now() + BEAT;
        tokio::time::sleep(BEAT).await;
        late.send_modify(|late| *late = due.elapsed().max(*late));
    }
}

/// One client; it has heard from its backend when it counts as open.
async fn client(
    stream: TcpStream,
    url: String,
    number: usize,
    open: watch::Sender<usize>,
) -> (usize, Instant) {
    let kind = Kind::of(number);
    let at = if kind.library {
        let (mut socket, _) = client_async(url, stream).await.expect("a 101");
        let mut messages = 0;
        loop {
            let message = socket.next().await.expect("a Close before the end");
            match message.unwrap_or_else(|error| panic!("tunnel {number}: {error}")) {
                Message::Binary(payload) => raw::check(&payload, messages),
                Message::Close(Some(close)) => {
                    assert_eq!(u16::from(close.code), SERVICE_RESTART, "tunnel {number}");
                    let at = Instant::now();
                    // The library's answer goes out while the end is awaited.
                    while let Some(Ok(_)) = socket.next().await {}
                    break at;
                }
                other => panic!("tunnel {number}: nobody sent {other:?}"),
            }
            if messages == 0 {
                open.send_modify(|count| *count += 1);
            }
            messages += 1;
        }
    } else {
        let mut peer = Peer::connect(stream, &url, number).await;
        assert!(matches!(peer.next().await, Some(Frame::Data(_))));
        open.send_modify(|count| *count += 1);
        peer.run(kind.busy, SERVICE_RESTART).await
    };
    (number, at)
}

async fn serve(listener: TcpListener) {
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = tunnels.join_next() => ended.expect("a backend that ends well"),
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("descriptors are left");
                stream.set_nodelay(true).expect("an option");
                tunnels.spawn(async move {
                    let (mut peer, number) = Peer::accept(stream).await;
                    peer.send(0).await;
                    peer.run(Kind::of(number).busy, 1001).await;
                });
            }
        }
    }
}
