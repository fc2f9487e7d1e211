//! Fuzz body of what is shown to persons and machines of foreign text: nothing hidden is left,
//! JSON gives the text back, a page's first words are one short printable line.

use std::borrow::Cow;

use http::HeaderMap;
use sluice::fault::diagnosis::first_words;
use sluice::vocabulary::visible::{escaped, is_hidden, push_escaped, push_json, quoted};

/// The input is the text.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = escaped(&text);
    assert!(!shown.contains(is_hidden), "{shown:?}");
    let plain = !text.contains(is_hidden);
    assert_eq!(plain, matches!(&shown, Cow::Borrowed(_)));
    assert!(!plain || shown == text);
    assert_eq!(escaped(&shown), shown);
    let mut out = b"before".to_vec();
    push_escaped(&mut out, &text);
    assert_eq!(out.strip_prefix(b"before"), Some(shown.as_bytes()));

    let quoted = quoted(&text);
    assert!(!quoted.contains(is_hidden), "{quoted:?}");
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.expect("quotes").replace("\\\\", "");
    assert!(!inner.replace("\\\"", "").contains('"'), "{quoted:?}");

    let mut json = Vec::new();
    push_json(&mut json, &text);
    let back: String = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(back, text);
    assert!(!String::from_utf8_lossy(&json).contains(is_hidden));

    let words = first_words(&HeaderMap::new(), data);
    assert!(!words.contains(is_hidden), "{words:?}");
    assert!(words.chars().count() <= 81, "{words:?}");
}
