//! Messages with their descriptors over a unix stream socket (unix(7), `SCM_RIGHTS`).
//! Receiving can be abandoned and resumed; a descriptor that was received is closed unless it is
//! taken out of its message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zeroize::Zeroize;

use super::wire::{Decoder, Frame, MAX_DESCRIPTORS};

/// How long the other process may take to make room for a message.
const SEND: Duration = Duration::from_secs(10);

const CONTROL: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));

/// One end of the connection between two processes.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    decoder: Decoder,
    /// The descriptors of the message under way.
    descriptors: Vec<OwnedFd>,
    scratch: Box<[u8]>,
}

/// A message that was received. There may be fewer descriptors than its frame says: a process
/// that has run out of them loses those that it is sent.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub frame: Frame,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Takes a connected unix stream socket into the current runtime.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn new(socket: OwnedFd) -> io::Result<Channel> {
        let stream = std::os::unix::net::UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Channel {
            stream: UnixStream::from_std(stream)?,
            decoder: Decoder::default(),
            descriptors: Vec::new(),
            scratch: vec![0; 16 * 1024].into(),
        })
    }

    /// Sends a message with copies of these descriptors. The future must not be dropped: half a
    /// message would have been sent.
    ///
    /// # Errors
    /// When it is too large, the other process is gone, or it does not read.
    pub async fn send(&self, frame: &Frame, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        debug_assert_eq!(usize::from(frame.descriptors), descriptors.len());
        let header = frame.header().map_err(invalid)?;
        let parts = &mut [&header[..], &frame.json, &frame.bytes].map(IoSlice::new);
        let mut parts = &mut parts[..];
        let mut descriptors = descriptors;
        let write = async {
            // The header first, so that there is something to write even for the shortest.
            while !parts.is_empty() {
                let sent = self
                    .stream
                    .async_io(Interest::WRITABLE, || {
                        Ok(send(self.stream.as_fd(), parts, descriptors)?)
                    })
                    .await?;
                // They were sent with the first byte.
                descriptors = &[];
                IoSlice::advance_slices(&mut parts, sent);
            }
            Ok(())
        };
        tokio::time::timeout(SEND, write)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next message; `None`: the other process has ended the stream between two.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the stream broke or carries something else.
    pub async fn receive(&mut self) -> io::Result<Option<Received>> {
        loop {
            let wants = self.decoder.wants().min(self.scratch.len());
            let (stream, buf) = (&self.stream, &mut self.scratch[..wants]);
            let descriptors = &mut self.descriptors;
            let at_header = self.decoder.at_header();
            let read = stream.async_io(Interest::READABLE, || match at_header {
                true => receive(stream.as_fd(), buf, descriptors),
                // The kernel closes descriptors that come with other bytes than those of a header.
                false => Ok(rustix::net::recv(stream, &mut *buf, RecvFlags::empty())?.0),
            });
            let n = read.await?;
            if n == 0 {
                return match self.decoder.at_boundary() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            let fed = self.decoder.feed(&self.scratch[..n]);
            // There may be secrets among it.
            self.scratch[..n].zeroize();
            let (_, frame) = fed.map_err(invalid)?;
            if let Some(frame) = frame {
                let descriptors = std::mem::take(&mut self.descriptors);
                if descriptors.len() > usize::from(frame.descriptors) {
                    return Err(invalid("descriptors came that no message told of"));
                }
                return Ok(Some(Received { frame, descriptors }));
            }
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn send(
    stream: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(rustix::io::Errno::INVAL);
    }
    rustix::net::sendmsg(stream, parts, &mut control, SendFlags::NOSIGNAL)
}

fn receive(
    stream: BorrowedFd<'_>,
    buf: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(buf)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(stream, parts, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
impl Channel {
    /// Sends any bytes with any descriptors.
    pub(super) async fn send_raw(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let write = || {
            Ok(send(
                self.stream.as_fd(),
                &[IoSlice::new(bytes)],
                descriptors,
            )?)
        };
        let sent = self.stream.async_io(Interest::WRITABLE, write).await;
        assert_eq!(sent.expect("there is room"), bytes.len());
    }
}
