//! Foreign text made fit for a log line: printable, on one line, short.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::vocabulary::visible::is_hidden;

/// The longest quotation, in characters.
const LONGEST: usize = 80;

/// The first words of an answer's content, without markup, at most 80 characters. Empty for
/// content that is compressed.
pub fn first_words(headers: &HeaderMap, body: &[u8]) -> String {
    let readable = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !readable {
        return String::new();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let mut inside_tag = false;
    printable(text.chars().map(move |c| {
        let markup = inside_tag || c == '<';
        match c {
            '<' => inside_tag = true,
            '>' => inside_tag = false,
            _ => {}
        }
        if markup { ' ' } else { c }
    }))
}

/// A header's value or other bytes, made printable.
pub(super) fn shown(bytes: &[u8]) -> String {
    printable(String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).chars())
}

/// Whitespace runs become one space; what is neither a letter, a digit nor ASCII is dropped, and
/// letters without width are too, so that no control or direction mark reaches a terminal.
fn printable(text: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut space = false;
    for c in text {
        if c.is_whitespace() || c.is_control() {
            space = length > 0;
            continue;
        }
        if !c.is_ascii() && (!c.is_alphanumeric() || is_hidden(c)) {
            continue;
        }
        if length + usize::from(space) >= LONGEST {
            out.push('…');
            break;
        }
        if space {
            out.push(' ');
            length += 1;
            space = false;
        }
        out.push(c);
        length += 1;
    }
    out
}
