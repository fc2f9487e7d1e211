//! One receive for one wake-up: the waker is registered only where it may not be, and
//! readiness is given up after a short read without asking the kernel again.

use std::io;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, recv};
use tokio::io::{Interest, ReadBuf};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop;

use crate::net::io::{Io, Socket};

/// Whether the task's waker stands at a source. To ask again, which takes a lock and a copy
/// of the waker, costs more than all else that a direction does when it has nothing to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Not known.
    Unarmed,
    /// The last poll found nothing, and so left the waker at the source. It stays there until the
    /// source is ready, and only [`receive`] and callers of [`Watch::disarm`] clear that
    /// readiness. So: armed, and the source is not ready, means that the waker is there.
    Armed,
    /// Never known. It is only where the task sees readiness and wake-up as one: where the thread
    /// that runs the tasks also waits for events.
    Unknowable,
}

impl Watch {
    pub(super) fn new() -> Watch {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        match flavor {
            Ok(RuntimeFlavor::CurrentThread) => Watch::Unarmed,
            _ => Watch::Unknowable,
        }
    }

    #[inline]
    fn is_armed(self) -> bool {
        self == Watch::Armed
    }

    #[inline]
    fn arm(&mut self) {
        if *self == Watch::Unarmed {
            *self = Watch::Armed;
        }
    }

    /// Whether the waker is there.
    #[inline]
    pub(super) fn is_waiting(self, from: &Io) -> bool {
        self.is_armed() && from.awaited().is_some_and(|socket| !socket.is_readable())
    }

    /// To be called before other code polls or reads the source, and where there is
    /// something else to do than to wait for it.
    #[inline]
    pub(super) fn disarm(&mut self) {
        if self.is_armed() {
            *self = Watch::Unarmed;
        }
    }
}

/// Reads once, as `AsyncRead` does: 0 is the end of the stream. `Pending` leaves the waker
/// at the source.
#[inline]
pub(super) fn receive(
    from: &mut Io,
    watch: &mut Watch,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match from.descriptor() {
        Some(socket) => receive_from(socket, watch, buffer, cx),
        None => {
            let read = poll_read(from, buffer, cx);
            // Of other streams it is not known where the waker is; see also `asked` below.
            let awaits = coop::has_budget_remaining() && from.awaited().is_some();
            watch.disarm();
            if read.is_pending() && awaits {
                watch.arm();
            }
            read
        }
    }
}

fn poll_read(from: &mut Io, buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    from.poll_read(cx, &mut buffer)
        .map_ok(|()| buffer.filled().len())
}

#[inline]
fn receive_from(
    from: &Socket,
    watch: &mut Watch,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        if !watch.is_armed() {
            // Without budget it is not the source that says `Pending`.
            let asked = coop::has_budget_remaining();
            match from.poll_read_ready(cx) {
                Poll::Pending => {
                    if asked {
                        watch.arm();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
        }
        let mut tried = false;
        let mut short = 0;
        let result = from.try_io(Interest::READABLE, |fd| {
            tried = true;
            let (n, _) = recv(fd, &mut *buffer, RecvFlags::empty())?;
            if n > 0 && n < buffer.len() {
                // The socket is empty: the next bytes are a new event of the kernel's, and
                // an end that has come already keeps its own readiness.
                short = n;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        if tried {
            watch.disarm();
        }
        match result {
            _ if short > 0 => return Poll::Ready(Ok(short)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if watch.is_armed() {
                    return Poll::Pending;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::ready;

    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::net::records::Records;

    fn pair() -> (UnixStream, Io) {
        let (far, near) = UnixStream::pair().expect("a pair");
        (far, near.into())
    }

    #[tokio::test]
    async fn a_wake_up_is_had_for_every_record() {
        let (mut far, near) = UnixStream::pair().expect("a pair");
        let (server, mut client) = crate::tls_record::pair();
        let mut near = Io::from(Records::new(Socket::Unix(near), server));
        let (mut watch, mut buffer, mut sealed) = (Watch::new(), [0; 64], [0; 200]);
        for n in 1..64 {
            let length = client
                .seal(&[7; 64][..n], &mut sealed)
                .expect("sealed")
                .length;
            // The first half wakes for nothing.
            let (first, last) = sealed[..length].split_at(length / 2);
            far.write_all(first).await.expect("write");
            poll_fn(|cx| {
                assert!(receive(&mut near, &mut watch, &mut buffer, cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let (written, read) = tokio::join!(
                far.write_all(last),
                poll_fn(|cx| receive(&mut near, &mut watch, &mut buffer, cx))
            );
            written.expect("write");
            assert_eq!(read.expect("read"), n);
            poll_fn(|cx| {
                assert!(receive(&mut near, &mut watch, &mut buffer, cx).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(watch.is_waiting(&near));
        }
    }

    #[tokio::test]
    async fn a_wake_up_is_had_for_every_write() {
        let (mut far, mut near) = pair();
        let mut watch = Watch::new();
        let mut buffer = [0; 64];
        for n in 1..64 {
            let (written, read) = tokio::join!(
                far.write_all(&[7; 64][..n]),
                poll_fn(|cx| receive(&mut near, &mut watch, &mut buffer, cx))
            );
            written.expect("write");
            assert_eq!(read.expect("read"), n);
            // Twice Pending: registered, and still so.
            for _ in 0..2 {
                poll_fn(|cx| {
                    assert!(receive(&mut near, &mut watch, &mut buffer, cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                assert!(watch.is_waiting(&near));
            }
        }
        drop(far);
        let end = poll_fn(|cx| receive(&mut near, &mut watch, &mut buffer, cx)).await;
        assert_eq!(end.expect("read"), 0);
    }

    #[tokio::test]
    async fn a_task_out_of_budget_has_left_no_waker() {
        let (_far, mut near) = pair();
        let mut watch = Watch::new();
        poll_fn(|cx| {
            while coop::has_budget_remaining() {
                ready!(coop::poll_proceed(cx)).made_progress();
            }
            assert!(receive(&mut near, &mut watch, &mut [0; 8], cx).is_pending());
            assert!(!watch.is_armed());
            Poll::Ready(())
        })
        .await;
    }
}
