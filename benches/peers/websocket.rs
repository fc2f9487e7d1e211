//! The little of RFC 6455 that both ends of the load need: frames written
//! whole (section 5.2), a scanner that follows a stream of them, and the
//! client's opening handshake (section 4.1). No I/O, no policy.

/// A binary message (section 5.6).
pub const BINARY: u8 = 0x2;
/// Close (section 5.5.1).
pub const CLOSE: u8 = 0x8;
/// Ping (section 5.5.2).
pub const PING: u8 = 0x9;
/// Pong (section 5.5.3).
pub const PONG: u8 = 0xA;

/// The client's masking key. A constant: nothing here needs it to be
/// unpredictable, and what the proxy sees is a legal frame.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame header.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Header {
    /// The low four bits of the first byte.
    pub opcode: u8,
    /// The first byte, for those who pass it on (FIN, RSV, opcode).
    pub first: u8,
    /// The masking key, if there is one.
    pub mask: Option<[u8; 4]>,
    /// Payload length in bytes.
    pub length: u64,
}

/// Appends a frame's header with FIN set.
pub fn put_header(out: &mut Vec<u8>, first: u8, length: u64, mask: Option<[u8; 4]>) {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    out.push(first);
    match length {
        0..=125 => out.push(bit | length as u8),
        126..=0xffff => {
            out.push(bit | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
}

/// One whole frame, its payload masked where `mask` is given.
pub fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    put_header(&mut out, 0x80 | opcode, payload.len() as u64, mask);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[start..], mask, 0);
    }
    out
}

/// Masks or unmasks `data`, which begins `offset` bytes into its payload
/// (section 5.3).
pub fn apply_mask(data: &mut [u8], mask: [u8; 4], offset: u64) {
    let turned = [0, 1, 2, 3].map(|i| mask[((offset + i) % 4) as usize]);
    let wide = u64::from_ne_bytes([turned, turned].concat().try_into().unwrap_or([0; 8]));
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks
        .into_remainder()
        .iter_mut()
        .zip(turned.iter().cycle())
    {
        *byte ^= key;
    }
}

/// What the scanner found at the front of its input.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The header of the next frame is complete.
    Header(Header),
    /// Payload bytes of the current frame, `offset` bytes into it.
    Payload {
        /// Where in the frame's payload these bytes stand.
        offset: u64,
    },
    /// The input ended inside a header.
    Partial,
}

/// Follows the frames of one direction, however its bytes are split.
#[derive(Default)]
pub struct Scanner {
    bytes: [u8; 14],
    have: usize,
    /// The frame whose payload is running, or ran last.
    pub header: Header,
    remaining: u64,
}

impl Scanner {
    /// True when the current frame's payload is complete.
    pub fn frame_done(&self) -> bool {
        self.remaining == 0
    }

    /// Looks at non-empty input; says how many bytes of it the step covers.
    pub fn step(&mut self, input: &[u8]) -> (usize, Step) {
        if self.remaining > 0 {
            let taken = self.remaining.min(input.len() as u64);
            let offset = self.header.length - self.remaining;
            self.remaining -= taken;
            return (taken as usize, Step::Payload { offset });
        }
        let mut taken = 0;
        loop {
            let wanted = self.wanted();
            if self.have == wanted {
                break;
            }
            let part = (wanted - self.have).min(input.len() - taken);
            if part == 0 {
                return (taken, Step::Partial);
            }
            self.bytes[self.have..self.have + part].copy_from_slice(&input[taken..taken + part]);
            self.have += part;
            taken += part;
        }
        self.header = self.decode();
        self.remaining = self.header.length;
        self.have = 0;
        (taken, Step::Header(self.header))
    }

    /// Bytes of the header, as far as those seen tell.
    fn wanted(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.bytes[1] & 0x80 != 0 { 4 } else { 0 };
        mask + match self.bytes[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn decode(&self) -> Header {
        let bytes = &self.bytes[..self.have];
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
        let (length, end) = match bytes[1] & 0x7f {
            126 => (number(&bytes[2..4]), 4),
            127 => (number(&bytes[2..10]), 10),
            short => (u64::from(short), 2),
        };
        Header {
            opcode: bytes[0] & 0xf,
            first: bytes[0],
            mask: bytes.get(end..end + 4).and_then(|key| key.try_into().ok()),
            length,
        }
    }
}

/// The client's opening handshake, as a browser on the same origin sends it.
pub fn handshake(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Origin: http://{host}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// What section 1.3 says that the key above is answered with.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
