//! Text from outside, made harmless to read: the one place that says which characters a terminal
//! acts on, reorders by or does not show, and how they are written instead. Access records,
//! events and every command go through it; `dashboard.html` has the same list.

use std::borrow::Cow;
use std::io::Write as _;

/// Whether a character is not what it seems: controls (C0, DEL, C1), the line breaks of Unicode,
/// what changes the direction of text, and what takes no room.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every hidden character as `\u{202e}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    push_escaped(&mut out, text);
    Cow::Owned(String::from_utf8(out).unwrap_or_default())
}

/// The same for a text of several lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) || !text.contains(|c| c != '\n' && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    push(&mut out, text, laid_out, push_code);
    Cow::Owned(String::from_utf8(out).unwrap_or_default())
}

/// Appends what [`escaped`] gives.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    push(out, text, |_| None, push_code);
}

/// Appends the text as a JSON string, quotes included; hidden characters are `\u202e`.
pub fn push_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push(out, text, in_quotes, push_json_code);
    out.push(b'"');
}

/// A JSON text whose strings hold no hidden character as it is: `\u202e`. Outside of strings
/// there is nothing but ASCII (RFC 8259 section 2), so that no string has to be found.
pub fn json(text: String) -> String {
    if text.bytes().all(|byte| is_plain(byte) || byte == b'\n') {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    push(&mut out, &text, laid_out, push_json_code);
    String::from_utf8(out).unwrap_or_default()
}

/// Line breaks between members, which strings do not have.
fn laid_out(c: char) -> Option<&'static str> {
    (c == '\n').then_some("\n")
}

/// What stands in the place of a character between quotes.
fn in_quotes(c: char) -> Option<&'static str> {
    match c {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        '\t' => Some("\\t"),
        _ => None,
    }
}

/// The text in quotes, for a person.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    push(&mut out, text, in_quotes, push_code);
    out.push(b'"');
    String::from_utf8(out).unwrap_or_default()
}

/// Printable ASCII, which nearly every text consists of.
fn is_plain(byte: u8) -> bool {
    (b' '..0x7f).contains(&byte)
}

/// Copies what needs no change in pieces; `special` has the characters with a spelling of
/// their own.
fn push(
    out: &mut Vec<u8>,
    text: &str,
    special: impl Fn(char) -> Option<&'static str>,
    code: impl Fn(&mut Vec<u8>, char),
) {
    let mut copied = 0;
    for (at, c) in text.char_indices() {
        let spelled = special(c);
        if spelled.is_none() && !is_hidden(c) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        copied = at + c.len_utf8();
        match spelled {
            Some(spelled) => out.extend_from_slice(spelled.as_bytes()),
            None => code(out, c),
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

/// `\u{202e}`.
fn push_code(out: &mut Vec<u8>, c: char) {
    let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
}

/// `\u202e`; two of them outside the basic plane (RFC 8259 section 7).
fn push_json_code(out: &mut Vec<u8>, c: char) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(DIGITS[usize::from(*unit >> shift) & 15]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader would not see, or would see somewhere else.
    const HIDDEN: [char; 14] = [
        '\0',
        '\x1b',
        '\x7f',
        '\u{80}',
        '\u{9b}',
        '\u{9f}',
        '\u{ad}',
        '\u{200b}',
        '\u{202e}',
        '\u{2028}',
        '\u{2029}',
        '\u{2066}',
        '\u{feff}',
        '\u{e0041}',
    ];

    #[test]
    fn what_is_not_seen_is_spelled() {
        assert_eq!(
            escaped("/ws\u{9b}2J\u{202e}x\n"),
            "/ws\\u{9b}2J\\u{202e}x\\u{a}"
        );
        assert_eq!(escaped("\u{e0041}"), "\\u{e0041}");
        for c in HIDDEN {
            let text = escaped(&format!("a{c}b")).into_owned();
            assert!(text.chars().all(|c| c.is_ascii_graphic()), "{text:?}");
        }
    }

    #[test]
    fn what_is_seen_stays_as_it_is() {
        for text in ["", "GET /", "say \"so\" \\ é", "日本語", "Ω ≠ ∅ 🙂"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn a_whole_json_text_keeps_its_layout_and_means_the_same() {
        let hidden: String = HIDDEN.iter().collect();
        let value = serde_json::json!({ "a": [hidden, "é🙂"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let out = json(text.clone());
        assert_eq!(out.lines().count(), text.lines().count());
        assert!(!out.contains(|c| c != '\n' && is_hidden(c)), "{out}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&out).unwrap(),
            value
        );
    }

    #[test]
    fn json_gives_back_what_it_was_given() {
        let mut text: String = HIDDEN.iter().collect();
        text.push_str("\"quoted\" back\\slash\nline\ttab é🙂");
        let mut out = Vec::new();
        push_json(&mut out, &text);
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains(is_hidden), "{out}");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
