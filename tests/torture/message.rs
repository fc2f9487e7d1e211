//! Numbered messages. What a message must be follows from its tunnel, its direction and its
//! number alone, so that the receiver can tell a lost, doubled, displaced or changed one.

use std::sync::LazyLock;

/// Tunnel (4 bytes), number (4 bytes), direction (1 byte); at least one byte follows.
const HEAD: usize = 9;
const PATTERN: usize = 1 << 20;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the backend.
    Up,
    /// From the backend to the client.
    Down,
}

/// How large messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// From 10 bytes to 300 KiB, most of them small.
    Mixed,
    /// From 64 KiB to 300 KiB.
    Large,
}

/// Bytes in no order, of which each message shows a part.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..))
        .take(PATTERN)
        .collect()
});

/// A number that follows from the message alone, the same on both sides.
pub fn dice(tunnel: u32, way: Way, number: u32) -> fastrand::Rng {
    let seed = (u64::from(tunnel) << 33) | (u64::from(number) << 1) | way as u64;
    fastrand::Rng::with_seed(seed)
}

/// The message.
pub fn payload(tunnel: u32, way: Way, number: u32, sizes: Sizes) -> Vec<u8> {
    let body = body(tunnel, way, number, sizes);
    let mut payload = Vec::with_capacity(HEAD + body.len());
    payload.extend_from_slice(&tunnel.to_be_bytes());
    payload.extend_from_slice(&number.to_be_bytes());
    payload.push(way as u8);
    payload.extend_from_slice(body);
    payload
}

fn body(tunnel: u32, way: Way, number: u32, sizes: Sizes) -> &'static [u8] {
    let mut dice = dice(tunnel, way, number);
    let length = match (sizes, dice.u32(..100)) {
        (Sizes::Mixed, 0..70) => dice.usize(1..200),
        (Sizes::Mixed, 70..95) => dice.usize(200..4 << 10),
        (Sizes::Mixed, 95..99) => dice.usize(8 << 10..64 << 10),
        _ => dice.usize(64 << 10..300 << 10),
    };
    let start = dice.usize(..PATTERN - length);
    &BYTES[start..start + length]
}

fn is_this(got: &[u8], tunnel: u32, way: Way, number: u32, body: &[u8]) -> bool {
    got.len() == HEAD + body.len()
        && got[..4] == tunnel.to_be_bytes()
        && got[4..8] == number.to_be_bytes()
        && got[8] == way as u8
        && got[HEAD..] == *body
}

/// Says what is wrong with a message that should be this one.
pub fn check(got: &[u8], tunnel: u32, way: Way, number: u32, sizes: Sizes) -> Result<(), String> {
    let body = body(tunnel, way, number, sizes);
    if is_this(got, tunnel, way, number, body) {
        return Ok(());
    }
    let expected = format!("expected message {number} {way:?} of tunnel {tunnel}");
    if got.len() <= HEAD {
        return Err(format!("{expected}, got {} bytes: {got:?}", got.len()));
    }
    let of_tunnel = u32::from_be_bytes([got[0], got[1], got[2], got[3]]);
    let came = u32::from_be_bytes([got[4], got[5], got[6], got[7]]);
    if (of_tunnel, came, got[8]) != (tunnel, number, way as u8) {
        let kind = match came {
            _ if of_tunnel != tunnel || got[8] != way as u8 => "another stream's, or torn",
            _ if came > number => "some are lost or late",
            _ => "doubled or late",
        };
        let direction = got[8];
        return Err(format!(
            "{expected}, got {came} of tunnel {of_tunnel} in direction {direction}: {kind}"
        ));
    }
    if got[HEAD..].len() != body.len() {
        let (is, should) = (got.len() - HEAD, body.len());
        return Err(format!("{expected} with {should} bytes, got {is}"));
    }
    let at = got[HEAD..]
        .iter()
        .zip(body)
        .position(|(is, should)| is != should);
    Err(format!("{expected}: its bytes differ from {at:?} on"))
}
