//! A frame's header (RFC 6455 section 5.2): parsing it, and every way in which it can be
//! wrong. Knows one header, not the frames around it.

use crate::vocabulary::Side;

/// Opcodes of RFC 6455 section 11.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment.
    Continuation = 0x0,
    /// Text.
    Text = 0x1,
    /// Binary.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A ping.
    Ping = 0x9,
    /// Its answer.
    Pong = 0xA,
}

impl Opcode {
    pub(crate) fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    pub(crate) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// Why bytes are not valid framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Opcodes 3 to 7 and 11 to 15.
    ReservedOpcode,
    /// A control frame without FIN.
    FragmentedControl,
    /// A control payload above 125 bytes.
    LongControl,
    /// A continuation without a message to continue.
    UnexpectedContinuation,
    /// A new message inside a fragmented one.
    UnfinishedMessage,
    /// A client's frame without a mask.
    NotMasked,
    /// A server's frame with one.
    Masked,
    /// A length in more bytes than it needs.
    NonMinimalLength,
    /// A 64-bit length with its highest bit set.
    LengthTooLarge,
    /// A Close payload of one byte.
    CloseLength,
    /// A close code that must not be sent.
    CloseCode,
    /// A close reason that is not UTF-8.
    CloseReason,
    /// A data frame after a Close.
    DataAfterClose,
}

impl Violation {
    /// What is wrong, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Violation::ReservedOpcode => "reserved opcode",
            Violation::FragmentedControl => "fragmented control frame",
            Violation::LongControl => "control frame above 125 bytes",
            Violation::UnexpectedContinuation => "continuation without a message",
            Violation::UnfinishedMessage => "new message inside a fragmented one",
            Violation::NotMasked => "client frame without a mask",
            Violation::Masked => "server frame with a mask",
            Violation::NonMinimalLength => "length not minimally encoded",
            Violation::LengthTooLarge => "length with its highest bit set",
            Violation::CloseLength => "close payload of one byte",
            Violation::CloseCode => "close code that must not be sent",
            Violation::CloseReason => "close reason that is not UTF-8",
            Violation::DataAfterClose => "data frame after a close",
        }
    }
}

/// A frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    /// Bytes of payload.
    pub(crate) length: u64,
    /// Bytes of header, 2 to 14.
    pub(crate) size: usize,
}

impl Header {
    /// Reads a header of `sender`; `None` when more bytes are needed. The checks stand in
    /// the order of the bytes they need, so that every split finds the same violation.
    #[inline]
    pub(crate) fn parse(
        bytes: &[u8],
        sender: Side,
        open: bool,
    ) -> Result<Option<Header>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let opcode = Opcode::from_bits(first & 0x0F).ok_or(Violation::ReservedOpcode)?;
        match opcode {
            Opcode::Continuation if !open => return Err(Violation::UnexpectedContinuation),
            Opcode::Text | Opcode::Binary if open => return Err(Violation::UnfinishedMessage),
            _ if opcode.is_control() && !fin => return Err(Violation::FragmentedControl),
            _ => {}
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        match sender {
            Side::Client if !masked => return Err(Violation::NotMasked),
            Side::Upstream if masked => return Err(Violation::Masked),
            _ => {}
        }
        let short = second & 0x7F;
        if opcode.is_control() && short > 125 {
            return Err(Violation::LongControl);
        }
        let (length, end) = match short {
            126 => {
                let Some(raw) = bytes.get(2..).and_then(|rest| rest.first_chunk::<2>()) else {
                    return Ok(None);
                };
                let length = u64::from(u16::from_be_bytes(*raw));
                if length < 126 {
                    return Err(Violation::NonMinimalLength);
                }
                (length, 4)
            }
            127 => {
                if bytes.get(2).is_some_and(|byte| byte & 0x80 != 0) {
                    return Err(Violation::LengthTooLarge);
                }
                let Some(raw) = bytes.get(2..).and_then(|rest| rest.first_chunk::<8>()) else {
                    return Ok(None);
                };
                let length = u64::from_be_bytes(*raw);
                if length <= u64::from(u16::MAX) {
                    return Err(Violation::NonMinimalLength);
                }
                (length, 10)
            }
            short => (u64::from(short), 2),
        };
        let size = if masked { end + 4 } else { end };
        if bytes.len() < size {
            return Ok(None);
        }
        Ok(Some(Header {
            fin,
            opcode,
            length,
            size,
        }))
    }
}
