//! The bytes of a path (RFC 3986 section 3.3), their escapes, and the one spelling of these.

use super::problem::PathProblem;

/// The byte may stand raw in a path and has one reading: a `pchar` (RFC 3986 section 3.3)
/// other than `;`, or `/`. Ranges and `|` instead of a table or a match: these vectorise.
pub(super) const fn is_plain_byte(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let from_ampersand_to_colon = byte.wrapping_sub(b'&') <= b':' - b'&';
    letter
        | from_ampersand_to_colon
        | (byte == b'_')
        | (byte == b'=')
        | (byte == b'@')
        | (byte == b'~')
        | (byte == b'!')
        | (byte == b'$')
}

pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The text in canonical escapes, its segments as they are: `%c3` as `%C3`, and encoded what a
/// path may not hold raw, but for `\`.
pub(super) fn canonical(received: &[u8]) -> Result<String, PathProblem> {
    if received.first() != Some(&b'/') {
        return Err(PathProblem::NotAbsolute);
    }
    let mut out = String::with_capacity(received.len() + 8);
    let mut at = 0;
    while at < received.len() {
        match received[at] {
            b'%' => {
                push_escape(
                    &mut out,
                    escape_at(received, at).ok_or(PathProblem::BadEscape)?,
                );
                at += 2;
            }
            byte @ (0..=b' ' | b'?' | b'#' | 0x7f) => return Err(PathProblem::ForbiddenByte(byte)),
            byte if is_plain_byte(byte) || matches!(byte, b';' | b'\\') => {
                out.push(char::from(byte))
            }
            byte => push_escape(&mut out, byte),
        }
        at += 1;
    }
    Ok(out)
}

/// The byte that `%XX` at `at` stands for.
pub(super) fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..at + 3)? {
        [b'%', high, low] => {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            u8::try_from(digit(high)? * 16 + digit(low)?).ok()
        }
        _ => None,
    }
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}
