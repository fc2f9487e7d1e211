//! A request's body that always has more: its sending is bounded by pieces and yields.

use std::convert::Infallible;
use std::io::Read;

use http_body::Frame;
use tokio::net::UnixStream;

use super::*;

/// So many chunks of a byte, all of them there.
struct Tiny(usize);

impl Body for Tiny {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 -= usize::from(self.0 > 0);
        let frame = (self.0 > 0).then(|| Ok(Frame::data(Bytes::from_static(b"x"))));
        Poll::Ready(frame)
    }
}

impl RequestContent for Tiny {
    fn trailer_lines(&self) -> Vec<u8> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_body_in_tiny_chunks_leaves_others_their_turn() {
    const CHUNKS: usize = 50_000;
    let (near, far) = UnixStream::pair().expect("a pair");
    let far = far.into_std().expect("a socket");
    far.set_nonblocking(false).expect("an option");
    // The upstream has a thread of its own, as it has a process elsewhere.
    let upstream = std::thread::spawn(move || {
        let mut far = far;
        let mut came = Vec::new();
        far.read_to_end(&mut came).map(|_| came)
    });
    let connection = Connection {
        io: near.into(),
        reused: false,
        owner: None,
        large: false,
    };
    let body = Some((Tiny(CHUNKS), BodyFraming::Chunked));
    let mut flight = InFlight::new(connection, Vec::new(), body, HeadRules::default());
    let mut between = Vec::new();
    while !flight.is_sent() {
        let before = flight.sent();
        let polled = std::future::poll_fn(|cx| Poll::Ready(flight.poll_send(cx)));
        let _ = polled.await;
        between.push((flight.sent() - before) / 6);
        tokio::task::yield_now().await;
    }
    drop(flight);
    let came = upstream.join().expect("it reads").expect("to the end");
    assert!(came.ends_with(b"1\r\nx\r\n0\r\n\r\n"), "all of it came");
    let most = between.iter().max().expect("turns");
    assert!(*most <= (TURN / PIECE_COST) as u64, "{most} in one turn");
}
