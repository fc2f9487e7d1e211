//! A socket that takes and gives bytes slowly, so that frames are torn over many segments
//! and wait half written at any moment.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How a peer treats its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it goes.
    Free,
    /// Writes a few bytes, or a few thousand, at a time: a header in parts, a payload in
    /// many.
    Trickle,
    /// Reads now and then, so that everything before it fills up.
    Sluggish,
}

impl Pace {
    /// Of this tunnel: a few of each hundred are slow.
    pub fn of(tunnel: u32) -> Pace {
        match tunnel % 100 {
            7 | 40 | 73 => Pace::Trickle,
            55 => Pace::Sluggish,
            _ => Pace::Free,
        }
    }
}

/// Sizes of the pieces written, in turn.
const PIECES: [usize; 9] = [1, 4096, 2, 8192, 5, 16384, 13, 1024, 8192];
const TRICKLE: Duration = Duration::from_millis(40);
const SLUGGISH: Duration = Duration::from_millis(250);
/// The most a sluggish peer reads before its next pause.
const GULP: usize = 64 << 10;

/// See the module.
pub struct Paced {
    stream: TcpStream,
    pace: Pace,
    /// Once set the pace is free.
    lifted: Arc<AtomicBool>,
    pause: Option<Pin<Box<Sleep>>>,
    piece: usize,
    gulped: usize,
}

impl Paced {
    pub fn new(stream: TcpStream, pace: Pace, lifted: Arc<AtomicBool>) -> Paced {
        if pace == Pace::Sluggish {
            let socket = socket2::SockRef::from(&stream);
            socket.set_recv_buffer_size(256 << 10).expect("an option");
        }
        Paced {
            stream,
            pace,
            lifted,
            pause: None,
            piece: 0,
            gulped: 0,
        }
    }

    fn is(&self, pace: Pace) -> bool {
        self.pace == pace && !self.lifted.load(Relaxed)
    }

    /// Ready when the last pause is over.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn rest(&mut self, span: Duration) {
        self.pause = Some(Box::pin(tokio::time::sleep_until(Instant::now() + span)));
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is(Pace::Sluggish) {
            ready!(this.poll_pause(cx));
            let before = into.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, into))?;
            this.gulped += into.filled().len() - before;
            if this.gulped >= GULP {
                this.gulped = 0;
                this.rest(SLUGGISH);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is(Pace::Trickle) {
            ready!(this.poll_pause(cx));
            let most = PIECES[this.piece % PIECES.len()].min(bytes.len());
            let n = ready!(Pin::new(&mut this.stream).poll_write(cx, &bytes[..most]))?;
            this.piece += 1;
            this.rest(TRICKLE);
            return Poll::Ready(Ok(n));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
