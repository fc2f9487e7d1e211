//! A WebSocket peer of our own, for either side, that fails the test on any byte that is not
//! where it must be: every frame here is a whole binary message whose bytes follow from its
//! number, or a Close behind which nothing comes (RFC 6455 sections 5.2 and 5.5.1).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const LENGTH: usize = 8_000;
/// Between two parts of a frame.
const PAUSE: Duration = Duration::from_millis(120);
/// Where a frame is torn: inside its header, behind it, and twice in its payload.
const PARTS: [usize; 4] = [1, 5, 2_000, 6_000];
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Bytes in no order, of which each message shows a part.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(11);
    std::iter::repeat_with(|| random.u8(..))
        .take(2 * LENGTH)
        .collect()
});

/// The message of this number.
fn message(number: usize) -> &'static [u8] {
    &BYTES[number % LENGTH..][..LENGTH]
}

/// Fails the test unless this is the message of this number.
pub fn check(payload: &[u8], number: usize) {
    assert!(payload == message(number), "message {number} is torn");
}

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Data(Vec<u8>),
    Close(u16),
}

/// See the module.
pub struct Peer {
    reader: Reader,
    writer: Option<Writer>,
}

struct Reader {
    stream: OwnedReadHalf,
    bytes: Vec<u8>,
    /// Frames that come are masked.
    masked: bool,
    /// Messages so far.
    messages: usize,
    tunnel: usize,
}

struct Writer {
    stream: OwnedWriteHalf,
    masks: bool,
}

impl Peer {
    /// The client's end, behind its handshake.
    pub async fn connect(mut stream: TcpStream, url: &str, tunnel: usize) -> Peer {
        let rest = url.trim_start_matches("ws://");
        let (host, path) = rest.split_once('/').expect("a path");
        let head = format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it is read");
        let (head, rest) = head_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Peer::new(stream, rest, tunnel, false)
    }

    /// The backend's end, and the tunnel's number, which is its path.
    pub async fn accept(mut stream: TcpStream) -> (Peer, usize) {
        let (head, rest) = head_of(&mut stream).await;
        let number = head.split([' ', '/']).nth(2).and_then(|n| n.parse().ok());
        let key = head.lines().filter_map(|line| line.split_once(": "));
        let key = key.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
        let (_, key) = { key }.next().expect("a key");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        let sent = stream.write_all(answer.as_bytes()).await;
        sent.expect("it is read");
        let number = number.expect("a number");
        (Peer::new(stream, rest, number, true), number)
    }

    fn new(stream: TcpStream, bytes: Vec<u8>, tunnel: usize, masked: bool) -> Peer {
        let (reader, writer) = stream.into_split();
        Peer {
            reader: Reader {
                stream: reader,
                bytes,
                masked,
                messages: 0,
                tunnel,
            },
            writer: Some(Writer {
                stream: writer,
                masks: !masked,
            }),
        }
    }

    /// Sends a message in one piece.
    pub async fn send(&mut self, number: usize) {
        let writer = self.writer.as_mut().expect("not running");
        let frame = writer.frame(BINARY, message(number));
        writer.stream.write_all(&frame).await.expect("it is read");
    }

    /// The next frame; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        self.reader.next().await
    }

    /// Reads until a Close with this code, answers it behind the frame that is being sent,
    /// and waits for the end. Says when the Close came.
    pub async fn run(&mut self, busy: bool, code: u16) -> Instant {
        let writer = self.writer.take().expect("run once");
        let sends_first = usize::from(!writer.masks);
        let (closed, heard) = tokio::sync::watch::channel(false);
        let write = tokio::spawn(writer.run(busy, sends_first, heard));
        let at = loop {
            match self.next().await {
                Some(Frame::Data(_)) => {}
                Some(Frame::Close(came)) => {
                    assert_eq!(came, code, "tunnel {}", self.reader.tunnel);
                    break Instant::now();
                }
                None => panic!("tunnel {} ended without a Close", self.reader.tunnel),
            }
        };
        let _ = closed.send(true);
        let end = self.next().await;
        assert_eq!(end, None, "tunnel {}: behind a Close", self.reader.tunnel);
        write.await.expect("the writer ends well");
        at
    }
}

impl Writer {
    async fn run(
        mut self,
        busy: bool,
        mut number: usize,
        mut closed: tokio::sync::watch::Receiver<bool>,
    ) {
        while busy && !*closed.borrow() {
            let frame = self.frame(BINARY, message(number));
            let mut at = 0;
            for end in PARTS.into_iter().chain([frame.len()]) {
                if self.stream.write_all(&frame[at..end]).await.is_err() {
                    return;
                }
                at = end;
                // Not behind the last part: there is no moment without a frame under way.
                if end < frame.len() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            number += 1;
        }
        let _ = closed.wait_for(|closed| *closed).await;
        let close = self.frame(CLOSE, &1000_u16.to_be_bytes());
        let _ = self.stream.write_all(&close).await;
        if !self.masks {
            let _ = self.stream.shutdown().await;
        }
        // A client's end follows its server's.
    }

    fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = if self.masks { 0x80 } else { 0 };
        let mut frame = vec![first];
        match payload.len() {
            0..=125 => frame.push(mask | payload.len() as u8),
            _ => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
        }
        if self.masks {
            frame.extend_from_slice(&MASK);
        }
        let bytes = payload.iter().enumerate();
        frame.extend(bytes.map(|(i, byte)| byte ^ if self.masks { MASK[i % 4] } else { 0 }));
        frame
    }
}

impl Reader {
    async fn fill(&mut self, count: usize) -> bool {
        while self.bytes.len() < count {
            // A reset behind a Close is an end like another.
            if !matches!(self.stream.read_buf(&mut self.bytes).await, Ok(1..)) {
                return false;
            }
        }
        true
    }

    async fn next(&mut self) -> Option<Frame> {
        let tunnel = self.tunnel;
        if !self.fill(2).await {
            assert!(self.bytes.is_empty(), "tunnel {tunnel}: torn at its end");
            return None;
        }
        let [first, second] = [self.bytes[0], self.bytes[1]];
        let mask = if self.masked { 0x80 } else { 0 };
        assert_eq!(
            second & 0x80,
            mask,
            "tunnel {tunnel}: {first:02x} {second:02x}"
        );
        let extended = if second & 0x7f == 126 { 2 } else { 0 };
        let head = 2 + extended + if self.masked { 4 } else { 0 };
        assert!(self.fill(head).await, "tunnel {tunnel}: torn in a header");
        let length = match extended {
            0 => usize::from(second & 0x7f),
            _ => usize::from(u16::from_be_bytes([self.bytes[2], self.bytes[3]])),
        };
        assert!(
            self.fill(head + length).await,
            "tunnel {tunnel}: torn frame"
        );
        let mut payload: Vec<u8> = self.bytes.drain(..head + length).collect();
        let header: Vec<u8> = payload.drain(..head).collect();
        if self.masked {
            let key = &header[head - 4..];
            for (i, byte) in payload.iter_mut().enumerate() {
                *byte ^= key[i % 4];
            }
        }
        match first {
            BINARY => {
                assert_eq!(payload.len(), LENGTH, "tunnel {tunnel}: a message's length");
                check(&payload, self.messages);
                self.messages += 1;
                Some(Frame::Data(payload))
            }
            CLOSE => {
                assert!(length >= 2, "tunnel {tunnel}: a Close without a code");
                std::str::from_utf8(&payload[2..]).expect("a reason in UTF-8");
                Some(Frame::Close(u16::from_be_bytes([payload[0], payload[1]])))
            }
            other => panic!("tunnel {tunnel}: a frame begins with {other:02x}"),
        }
    }
}

async fn head_of(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return (String::from_utf8(bytes).expect("a head in ASCII"), rest);
        }
        let read = stream.read_buf(&mut bytes).await;
        assert!(read.expect("a head") > 0, "closed inside a head");
    }
}
