//! The tricks by name, then properties over texts made of the pieces that tricks are made of.

use super::*;
use proptest::prelude::*;

#[test]
fn a_normal_path_is_borrowed() {
    for path in [
        "/",
        "/ws",
        "/a/b.c/",
        "/.well-known/x",
        "/...",
        "/a/..b",
        "/%C3%A9%20",
        "/a%2Fb",
        "/x;v=1",
        "/@a:b!$&'()*+,=",
    ] {
        assert!(
            matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path),
            "{path}"
        );
    }
}

#[test]
fn other_spellings_become_the_normal_one() {
    for (raw, normal) in [
        ("//ws", "/ws"),
        ("/ws/../admin", "/admin"),
        ("/ws/%2e%2e/admin", "/admin"),
        ("/ws/%2E./admin", "/admin"),
        ("/a//..//b", "/b"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/./.", "/"),
        ("/%77%73", "/ws"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a[1]|\"", "/a%5B1%5D%7C%22"),
        ("/a%2fb", "/a%2Fb"),
        ("/%7Euser///", "/~user/"),
    ] {
        assert_eq!(normalise(raw).as_deref(), Ok(normal), "{raw}");
    }
}

#[test]
fn tricks_are_refused() {
    use PathProblem::*;
    for (raw, problem) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("ws", NotAbsolute),
        ("/..", AboveRoot),
        ("/%2e%2e/", AboveRoot),
        ("/a/../../b", AboveRoot),
        ("//../b", AboveRoot),
        ("/%", BadEscape),
        ("/%4", BadEscape),
        ("/%zz", BadEscape),
        ("/%u002e", BadEscape),
        ("/%+1", BadEscape),
        ("/a%00", Nul),
        ("/a%2500", Nul),
        ("/a\\..\\b", ForbiddenByte(b'\\')),
        ("/a b", ForbiddenByte(b' ')),
        ("/a\n", ForbiddenByte(b'\n')),
        ("/a?b", ForbiddenByte(b'?')),
        ("/a#b", ForbiddenByte(b'#')),
        ("/%c0%ae%c0%ae/", OverlongUtf8),
        ("/%e0%80%af", OverlongUtf8),
        ("/ws%2f..%2fadmin", HiddenDotSegment),
        ("/ws%5c..%5cadmin", HiddenDotSegment),
        ("/ws/..%2fadmin", HiddenDotSegment),
        ("/ws/..;/admin", HiddenDotSegment),
        ("/ws/..;x=1/admin", HiddenDotSegment),
        ("/ws/.;/admin", HiddenDotSegment),
        ("/ws/..%3b/admin", HiddenDotSegment),
        ("/ws/%252e%252e/admin", HiddenDotSegment),
        ("/ws/%252525252e./admin", HiddenDotSegment),
        ("/ws%252f..%252fadmin", HiddenDotSegment),
        ("/ws;x%2f..%2fadmin", HiddenDotSegment),
        ("/a%2fb/../c", HiddenDotSegment),
        ("/ws/..%3f/admin", HiddenDotSegment),
        ("/a;x%2fb", AnotherRoute),
        ("/a%3bx%252fb", AnotherRoute),
        ("/%25c0%25ae/", OverlongUtf8),
    ] {
        assert_eq!(normalise(raw), Err(problem), "{raw}");
    }
}

#[test]
fn readings_show_what_a_backend_may_see() {
    assert_eq!(readings("/plain/path"), None);
    assert_eq!(readings("/caf%C3%A9%20"), None);
    let both = |full: &str, cut: &str| Some([full, cut].map(str::to_owned));
    assert_eq!(readings("/a%2Fb"), both("/a/b", "/a/b"));
    assert_eq!(readings("/%5C%2Fa"), both("/a", "/a"));
    assert_eq!(readings("/%252Fa%2561"), both("/aa", "/aa"));
    assert_eq!(readings("/a;x/b;y"), both("/a/b", "/a/b"));
    assert_eq!(readings("/%40x"), both("/@x", "/@x"));
    assert_eq!(readings("/a%2Fb%3Fx/c"), both("/a/b%3Fx/c", "/a/b"));
}

#[test]
fn plain_bytes_are_the_rfc_ones_but_the_semicolon() {
    for byte in 0..=255u8 {
        let listed = is_unreserved(byte) || b"/:@!$&'()*+,=".contains(&byte);
        assert_eq!(is_plain_byte(byte), listed, "0x{byte:02x}");
    }
}

/// A fixpoint that was sought pass by pass would take seconds for this.
#[test]
fn deep_encoding_is_decoded_in_linear_time() {
    let deep = format!("/%{}2Fx", "25".repeat(500_000));
    assert_eq!(
        readings(&deep).map(|both| both[0].clone()),
        Some("/x".to_owned())
    );
}

#[test]
fn patterns_have_one_reading() {
    for pattern in ["", "/", "/ws", "/a/b/", "/caf%C3%A9", "/@scope/x:y"] {
        assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
    }
    for (pattern, hint) in [
        ("//ws", "write `/ws`"),
        ("/é", "write `/%C3%A9`"),
        ("/a%2fb", "write `/a/b`"),
        ("/a;x", "write `/a`"),
        ("/%40x", "write `/@x`"),
        ("ws", "begin with /"),
    ] {
        let message = check_pattern(pattern).expect_err(pattern);
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn a_prefix_is_replaced_on_a_segment_border() {
    for (path, prefix, replacement, result) in [
        ("/api/x", "/api", "", "/x"),
        ("/api", "/api", "", "/"),
        ("/api/", "/api", "", "/"),
        ("/apix", "/api", "", "/apix"),
        ("/api/x", "/api", "/v2", "/v2/x"),
        ("/api", "/api", "/v2", "/v2"),
        ("/api/", "/api", "/v2", "/v2/"),
        ("/x", "", "/v2", "/v2/x"),
        ("/x", "", "", "/x"),
        ("/other", "/api", "/v2", "/other"),
    ] {
        assert_eq!(
            rewrite(path, prefix, replacement),
            result,
            "{path} {prefix} {replacement}"
        );
    }
}

/// Texts out of the pieces that matter.
pub(in crate::route) fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", "//", ".", "..", "%2e", "%2E%2e", "%252e", "%2f", "%2F", "%252f", "%5c",
        "\\", ";", ";x=1", "%3b", "%00", "%", "%4", "a", "b", "%61", "%2561", "é", "[", "%5b", "@",
        "%40", "%c0%ae", "?", " ", "%20", "%3f",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn any_text_is_refused_or_brought_into_one_form(raw in prop_oneof![tricky_path(), "\\PC*", "/\\PC*"]) {
        let Ok(normal) = normalise(&raw) else { return Ok(()) };
        prop_assert!(normal.starts_with('/'));
        prop_assert!(!normal.contains("//"));
        prop_assert!(normal.split('/').all(|segment| !is_dot_segment(segment.as_bytes())));
        prop_assert!(normal.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
        prop_assert!(is_normalised(&normal), "{normal}");
        for reading in readings(&normal).into_iter().flatten() {
            prop_assert!(reading.starts_with('/') && !reading.contains("//"));
            prop_assert!(reading.split('/').all(|segment| !is_dot_segment(segment.as_bytes())));
        }
    }

    #[test]
    fn the_plain_test_agrees_with_the_rebuilt_text(raw in prop_oneof![tricky_path(), "/[a-c/.]{0,8}"]) {
        if is_plain(raw.as_bytes()) {
            prop_assert_eq!(rebuild(&raw), Ok(raw.clone()));
        }
    }

    #[test]
    fn escapes_of_a_segment_make_no_other_path(segment in "[a-zA-Z0-9_~-]{1,8}", mask in any::<u8>(), lower in any::<bool>()) {
        let mut spelt = String::from("/x/");
        for (at, byte) in segment.bytes().enumerate() {
            match (mask >> (at % 8) & 1, lower) {
                (0, _) => spelt.push(char::from(byte)),
                (_, true) => spelt.push_str(&format!("%{byte:02x}")),
                (_, false) => spelt.push_str(&format!("%{byte:02X}")),
            }
        }
        prop_assert_eq!(normalise(&spelt).unwrap(), format!("/x/{segment}"));
    }

    #[test]
    fn a_rewritten_path_is_still_normal(raw in tricky_path(), replacement in prop::sample::select(vec!["", "/v2", "/v/w"])) {
        let Ok(normal) = normalise(&raw) else { return Ok(()) };
        let prefix = normal.find('/').and_then(|_| normal[1..].find('/')).map_or("", |at| &normal[..at + 1]);
        let result = rewrite(&normal, prefix, replacement);
        prop_assert!(is_normalised(&result), "{normal} {prefix} {result}");
    }
}
