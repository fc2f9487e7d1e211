//! The request id: a trusted peer's, or one of our own.

use http::header::{HeaderMap, HeaderValue};

use super::peer::PeerFields;
use super::policy::ForwardingPolicy;

/// Longest request id taken from a trusted peer, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// A request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    /// Made here. Kept as bytes: most ids are only written out.
    Made([u8; 32]),
    /// A field's value.
    Field(HeaderValue),
}

impl RequestId {
    /// The id.
    pub fn as_str(&self) -> &str {
        match self {
            RequestId::Made(text) => std::str::from_utf8(text).unwrap_or(""),
            RequestId::Field(value) => value.to_str().unwrap_or(""),
        }
    }

    /// The id as a field's value.
    pub fn to_value(&self) -> HeaderValue {
        match self {
            RequestId::Made(text) => {
                HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("0"))
            }
            RequestId::Field(value) => value.clone(),
        }
    }
}

/// Takes a trusted peer's id if it is sane, else makes one of 128 random bits.
pub(super) fn choose(
    headers: &mut HeaderMap,
    policy: &ForwardingPolicy,
    peer: &PeerFields,
) -> Option<HeaderValue> {
    let name = policy.request_id.as_ref()?;
    if peer.trusted
        && let Some(id) = headers.get(name)
        && (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.as_bytes().iter().all(u8::is_ascii_graphic)
    {
        let id = id.clone();
        headers.insert(name, id.clone());
        return Some(id);
    }
    let id = RequestId::Made(fresh()).to_value();
    headers.insert(name, id.clone());
    Some(id)
}

/// 128 random bits in hexadecimal: unique, not secret.
pub(super) fn fresh() -> [u8; 32] {
    let bits = fastrand::u128(..);
    let mut text = [0; 32];
    let (low, high) = text.split_at_mut(16);
    // The order of the bits does not matter.
    low.copy_from_slice(&hexadecimal(bits & NIBBLES).to_ne_bytes());
    high.copy_from_slice(&hexadecimal((bits >> 4) & NIBBLES).to_ne_bytes());
    text
}

/// A half of every byte.
const NIBBLES: u128 = u128::from_ne_bytes([0x0f; 16]);

/// The digits for sixteen bytes below 16, all at once: no byte's sum reaches its neighbour.
pub(super) fn hexadecimal(nibbles: u128) -> u128 {
    let each = |byte: u8| u128::from_ne_bytes([byte; 16]);
    let letters = ((nibbles + each(6)) >> 4) & each(1);
    nibbles + each(b'0') + letters * u128::from(b'a' - b'0' - 10)
}
