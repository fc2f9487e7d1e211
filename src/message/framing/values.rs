//! The values of the fields that decide where a message ends (RFC 9112 section 6) or where it goes
//! (RFC 9110 section 7.2).

use std::net::Ipv6Addr;

use super::Refusal;
use crate::message::octets;

#[cold]
pub(super) fn host_refusal(value: &[u8]) -> Refusal {
    match trimmed(value) {
        [] => Refusal::HostEmpty,
        host if host.contains(&b'@') => Refusal::Userinfo,
        _ => Refusal::Host,
    }
}

pub(super) struct NotAnAuthority;

/// `host[:port]` with a host that is not empty and, after a colon, none or a port from 0 to
/// 65535.
pub(super) fn authority(value: &[u8]) -> Result<(), NotAnAuthority> {
    let end = if let [b'[', rest @ ..] = value {
        let close = rest
            .iter()
            .position(|&byte| byte == b']')
            .ok_or(NotAnAuthority)?;
        let address = std::str::from_utf8(&rest[..close]).map_err(|_| NotAnAuthority)?;
        address.parse::<Ipv6Addr>().map_err(|_| NotAnAuthority)?;
        close + 2
    } else {
        value
            .iter()
            .position(|&byte| !octets::is_host(byte))
            .unwrap_or(value.len())
    };
    match &value[end..] {
        [] if end > 0 => Ok(()),
        // The port may be empty (RFC 3986 section 3.2.3).
        [b':', port @ ..] if end > 0 && port.len() <= 5 => {
            let number = port.iter().try_fold(0u32, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + u32::from(digit - b'0'))
            });
            number
                .filter(|&number| number <= 65535)
                .map(|_| ())
                .ok_or(NotAnAuthority)
        }
        _ => Err(NotAnAuthority),
    }
}

/// Content-Length's value: digits only, below 2^63 (RFC 9110 section 8.6).
pub(super) fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = trimmed(value);
    if digits.is_empty() || digits.len() > 19 {
        return Err(Refusal::ContentLength);
    }
    let length = digits.iter().try_fold(0u64, |length, digit| {
        // Nineteen digits fit into 64 bits.
        digit
            .is_ascii_digit()
            .then(|| length * 10 + u64::from(digit - b'0'))
    });
    length
        .filter(|&length| length <= i64::MAX as u64)
        .ok_or(Refusal::ContentLength)
}

/// Accepts exactly `chunked`. An unknown coding in front of a final `chunked` is 501; anything
/// else leaves the length unknown and is 400 (RFC 9112 sections 6.1 and 6.3).
pub(super) fn transfer_encoding(value: &[u8]) -> Result<(), Refusal> {
    if trimmed(value).eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut elements = value
        .split(|&byte| byte == b',')
        .map(|element| trimmed(element).eq_ignore_ascii_case(b"chunked"));
    let last = elements.next_back();
    if last == Some(true) && !elements.any(|chunked| chunked) {
        Err(Refusal::TransferCoding)
    } else {
        Err(Refusal::TransferEncoding)
    }
}

/// Whether an `Upgrade` value lists `websocket`, in any case (RFC 9110 section 7.8).
pub fn names_websocket(value: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|token| trimmed(token).eq_ignore_ascii_case(b"websocket"))
}

/// Without the white space around it.
pub(super) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
