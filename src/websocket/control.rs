//! The frames that sluice itself sends, Ping and Close (RFC 6455 sections 5.5 and 7.4),
//! and what a Close payload says. Towards the upstream we are a client, so frames are
//! masked; towards the client they are not.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::frame::{MAX_CONTROL, Opcode, Side, Violation};

/// The longest close reason in bytes.
pub const MAX_REASON: usize = MAX_CONTROL - 2;

/// Whether an endpoint may send this code (RFC 6455 section 7.4, IANA's registry).
pub fn sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What a peer's Close says: `None` where it has no code.
pub fn close_payload(payload: &[u8]) -> Option<(u16, Box<str>)> {
    let (code, reason) = payload.split_first_chunk::<2>()?;
    let reason = String::from_utf8_lossy(reason).into();
    Some((u16::from_be_bytes(*code), reason))
}

/// What is wrong with a Close's payload (RFC 6455 sections 5.5.1 and 7.4).
pub fn close_violation(payload: &[u8]) -> Option<Violation> {
    match payload.split_first_chunk::<2>() {
        None => (!payload.is_empty()).then_some(Violation::CloseLength),
        Some((code, _)) if !sendable(u16::from_be_bytes(*code)) => Some(Violation::CloseCode),
        Some((_, reason)) => str::from_utf8(reason).err().map(|_| Violation::CloseReason),
    }
}

/// A Close for `to`. The reason is cut at a character boundary to 123 bytes.
pub fn close(to: Side, code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON)]);
    control(to, Opcode::Close, &payload)
}

/// A Ping for `to`. The payload has at most 125 bytes.
pub fn ping(to: Side, payload: &[u8]) -> Vec<u8> {
    control(to, Opcode::Ping, payload)
}

fn control(to: Side, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() <= MAX_CONTROL);
    let mut frame = Vec::with_capacity(6 + payload.len());
    frame.push(0x80 | opcode as u8);
    match to {
        Side::Client => {
            frame.push(payload.len() as u8);
            frame.extend_from_slice(payload);
        }
        Side::Upstream => {
            frame.push(0x80 | payload.len() as u8);
            let key = (unpredictable() as u32).to_be_bytes();
            frame.extend_from_slice(&key);
            frame.extend(
                payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        }
    }
    frame
}

/// A number that peers cannot foresee, for masking keys (RFC 6455 section 5.3) and for the
/// payload of our Pings: SipHash under keys from the system.
pub fn unpredictable() -> u64 {
    RandomState::new().build_hasher().finish()
}
