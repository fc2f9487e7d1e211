//! The last bytes of a connection: written as a whole, and kept from being thrown away. Every wait
//! has a limit, which does not count the time that the process stood still.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::io::Io;

/// How long and how much a closing connection is read, so that the client's kernel does
/// not throw away our answer because its own bytes were never read.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;
/// Between two looks at the clock, and at the other side.
const LOOK: Duration = Duration::from_millis(250);

/// Why not everything was written.
#[derive(Debug)]
pub enum Unwritten {
    /// The connection broke.
    Gone(io::Error),
    /// The peer does not read.
    Unread,
    /// The other side's connection broke meanwhile.
    Other(io::Error),
}

/// Writes everything, or gives up after the linger time.
///
/// # Errors
/// [`Unwritten`], which never speaks of another side.
pub async fn write_all(io: &mut Io, bytes: &[u8]) -> Result<(), Unwritten> {
    write_while(io, bytes, LINGER, || None).await
}

/// Writes everything, within `limit`, and only while `broken` knows of no reason to give up.
///
/// # Errors
/// [`Unwritten`].
pub async fn write_while(
    io: &mut Io,
    mut bytes: &[u8],
    limit: Duration,
    broken: impl Fn() -> Option<io::Error>,
) -> Result<(), Unwritten> {
    let write = poll_fn(|cx| {
        while !bytes.is_empty() {
            let n = ready!(io.poll_write(cx, bytes))?;
            bytes = &bytes[n..];
        }
        Poll::Ready(Ok(()))
    });
    match within(limit, write, broken).await {
        Ok(written) => written.map_err(Unwritten::Gone),
        Err(Missed::Late) => Err(Unwritten::Unread),
        Err(Missed::GivenUp(error)) => Err(Unwritten::Other(error)),
    }
}

/// Ends our direction and reads what the client still sends, within bounds, so that its
/// kernel does not answer our last bytes with a reset (RFC 9112 section 9.6).
pub async fn linger(io: Io) {
    linger_for(io, LINGER).await;
}

async fn linger_for(mut io: Io, limit: Duration) {
    let drain = async {
        if poll_fn(|cx| io.poll_shutdown(cx)).await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        let mut buf = [0; 4096];
        while left > 0 {
            match io.read(&mut buf).await {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    };
    let _ = within(limit, drain, || None::<()>).await;
}

/// Why something waited for did not come.
pub(super) enum Missed<T> {
    /// The limit is over.
    Late,
    /// There was a reason to give up.
    GivenUp(T),
}

/// Waits within `limit`, and only while `give_up` knows of no reason not to.
pub(super) async fn within<T, R>(
    limit: Duration,
    waited: impl Future<Output = T>,
    give_up: impl Fn() -> Option<R>,
) -> Result<T, Missed<R>> {
    let mut waited = pin!(waited);
    let mut left = limit;
    while !left.is_zero() {
        // A look that comes late is one look.
        let span = left.min(LOOK);
        match tokio::time::timeout(span, &mut waited).await {
            Ok(done) => return Ok(done),
            Err(_) => left -= span,
        }
        if let Some(reason) = give_up() {
            return Err(Missed::GivenUp(reason));
        }
    }
    Err(Missed::Late)
}

#[cfg(test)]
mod tests;
