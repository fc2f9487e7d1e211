//! Whatever stands in a configuration file, reading it and rendering what is wrong with it
//! never panics.

use proptest::prelude::*;
use sluice::config_file;

const REFERENCE: &str = include_str!("../../config/reference.toml");

/// Parses and, where it fails, renders: neither may panic.
fn survives(source: &str) {
    if let Err(problems) = config_file::parse(source, "test.toml") {
        assert!(!problems.list().is_empty());
        problems.render(true);
        assert!(problems.to_string().contains("error"));
    }
}

#[test]
fn odd_texts_are_survived() {
    survives("\u{feff}workers = 1");
    survives("\r\n[http]\r\nmax_head = 1\r\n");
    survives("a = \"\0\t\u{202e}\"");
    survives(&"[".repeat(50_000));
    survives(&format!("a = {}", "[".repeat(50_000)));
    survives(&format!("a = {}", "{a=".repeat(50_000)));
    survives(&format!("{}a = 1", "a.".repeat(50_000)));
    survives(&format!("[{}a]", "a.".repeat(50_000)));
    survives(&format!("a = {}", "9".repeat(50_000)));
    survives("workers = 0x_\nhttp.max_header_lines = -0\n");
    survives("[[route]]\nwebsocket.max_age_jitter = nan\n");
}

/// Pieces of which most files are nearly right.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[[listen]]\n",
        "[[route]]\n",
        "[route.websocket]\n",
        "[upstream.app]\n",
        "[http]\n",
        "address",
        "to",
        "upstream",
        "endpoints",
        "max_age_jitter",
        "origin",
        "path",
        "host",
        "respond",
        "status",
        "match",
        "redirect",
        "headers",
        "set",
        "reason",
        "level",
        "mode",
        " = ",
        "\n",
        ".",
        ",",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "#",
        "true",
        "0",
        "-1",
        "1e400",
        "'app:1'",
        "':1'",
        "'unix:/a'",
        "'app'",
        "'1h'",
        "'1KiB'",
        "'/ü'",
        "'off'",
        "'*.'",
        "'[::1]:0'",
        "'{host}'",
        "1979-05-27",
        "\r\n",
        "\u{feff}",
        "\t",
        "😀",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_survived(source in any::<String>()) {
        survives(&source);
    }

    #[test]
    fn texts_that_are_nearly_configurations_are_survived(source in pieces()) {
        survives(&source);
    }

    #[test]
    fn a_damaged_reference_is_survived(
        start in 0..REFERENCE.len(),
        length in 0..40usize,
        insert in "[\\PC\n]{0,4}",
    ) {
        let start = REFERENCE.floor_char_boundary(start);
        let end = REFERENCE.ceil_char_boundary(start + length);
        survives(&format!("{}{insert}{}", &REFERENCE[..start], &REFERENCE[end..]));
    }
}
