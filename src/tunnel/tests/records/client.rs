//! A client's TLS, as a task between its stream in the clear and its tunnel's.

use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::net::io::{Io, Socket};
use crate::net::records::Records;
use crate::tls_record;

/// What a tunnel has of a client that says this in the clear.
pub(super) fn behind_tls(clear: Io) -> Io {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("an address");
    let far = TcpStream::connect(address).expect("connect");
    let (near, _) = listener.accept().expect("accept");
    let [far, near] = [far, near].map(|stream| {
        stream.set_nonblocking(true).expect("fcntl");
        stream.set_nodelay(true).expect("setsockopt");
        Socket::from_fd(stream.into()).expect("a stream")
    });
    let (server, client) = tls_record::pair();
    tokio::spawn(Between {
        clear,
        sealed: Records::new(far, client).into(),
        ways: [Way::default(), Way::default()],
    });
    Records::new(near, server).into()
}

/// Passes everything on, each end included; gone with the first failure.
struct Between {
    clear: Io,
    sealed: Io,
    ways: [Way; 2],
}

#[derive(Default)]
struct Way {
    held: Vec<u8>,
    has_ended: bool,
    is_over: bool,
}

impl Way {
    fn poll_pass(
        &mut self,
        from: &mut Io,
        to: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        while !self.is_over {
            while !self.held.is_empty() {
                let n = ready!(to.poll_write(cx, &self.held))?;
                self.held.drain(..n);
            }
            if self.has_ended {
                ready!(to.poll_shutdown(cx))?;
                self.is_over = true;
                break;
            }
            let mut room = vec![0; 100_000];
            let mut room = ReadBuf::new(&mut room);
            ready!(from.poll_read(cx, &mut room))?;
            self.held.extend_from_slice(room.filled());
            self.has_ended = self.held.is_empty();
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Between {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Between {
            clear,
            sealed,
            ways: [up, down],
        } = self.get_mut();
        let up = up.poll_pass(clear, sealed, cx);
        let down = down.poll_pass(sealed, clear, cx);
        match (up, down) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => {
                // As a client that is killed: its kernel ends its connection with a reset.
                clear.reset();
                sealed.reset();
                Poll::Ready(())
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}
