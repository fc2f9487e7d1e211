//! The last bytes of a connection: written as a whole, and kept from being thrown away.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::io::Io;

/// How long and how much a closing connection is read, so that the client's kernel does
/// not throw away our answer because its own bytes were never read.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// Writes everything, or gives up after the linger time.
pub async fn write_all(io: &Io, mut bytes: &[u8]) -> std::io::Result<()> {
    let write = async {
        while !bytes.is_empty() {
            match io.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| io.poll_write_ready(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    tokio::time::timeout(LINGER, write).await?
}

/// Ends our direction and reads what the client still sends, within bounds, so that its
/// kernel does not answer our last bytes with a reset (RFC 9112 section 9.6).
pub async fn linger(mut io: Io) {
    if io.shutdown_write().is_err() {
        return;
    }
    let drain = async {
        let mut left = LINGER_BYTES;
        let mut buf = [0; 4096];
        while left > 0 {
            match io.read(&mut buf).await {
                Ok(n) if n > 0 => left = left.saturating_sub(n),
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}
