//! A stream of which nothing is known but that it is polled: what lacks a descriptor has to work
//! wherever a socket does.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Io;

/// Any stream of the runtime's; what it has written needs no flush.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin> Stream for S {}

impl Io {
    /// A stream of this kind; the descriptor that it may have is not seen.
    pub fn foreign(stream: impl Stream + 'static) -> Io {
        Io::Foreign(Box::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::net::close::{Unwritten, linger, write_all};

    #[tokio::test]
    async fn silence_is_known_without_a_descriptor() {
        let (mut far, near) = duplex(8);
        let mut near = Io::foreign(near);
        assert!(near.is_silent() && near.broken(false).is_none());
        far.write_all(b"x").await.expect("write");
        assert!(!near.is_silent());
        drop(far);
        assert!(!near.is_silent(), "an end is something, too");
        assert!(near.into_fd().is_err());
    }

    #[tokio::test]
    async fn last_bytes_are_written_whole_and_the_rest_is_read() {
        let (far, near) = duplex(1);
        let mut near = Io::foreign(near);
        let (mut from, mut to) = tokio::io::split(far);
        let mut seen = Vec::new();
        let (written, read, late) = tokio::join!(
            async {
                write_all(&mut near, b"goodbye").await?;
                linger(near).await;
                Ok::<_, Unwritten>(())
            },
            from.read_to_end(&mut seen),
            async {
                to.write_all(b"late").await?;
                to.shutdown().await
            },
        );
        written.expect("written");
        read.and(late).expect("a stream");
        assert_eq!(seen, b"goodbye");
    }
}
