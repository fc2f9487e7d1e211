//! The tricks by name, then properties over texts made of the pieces that tricks are made of.

use super::text::is_unreserved;
use super::*;
use proptest::prelude::*;

/// A path as it is sent, or why it is not.
fn sent(raw: &str) -> Result<String, PathProblem> {
    let path = read(raw.as_bytes())?;
    Ok(String::from_utf8_lossy(&path.sent).into_owned())
}

#[test]
fn a_path_is_sent_as_it_was_received() {
    for path in [
        "/",
        "/ws",
        "/a/b.c/",
        "/.well-known/x",
        "/...",
        "/a/..b",
        "/%C3%A9%20",
        "/%c3%a9",
        "/é",
        "/a%2Fb",
        "/a%2fb%7e",
        "/x;v=1",
        "/@a:b!$&'()*+,=",
        "/a[1]|\"<>{}^`",
        "//ws",
        "/a\\b",
        "/%77%73",
        "/unsafe/300x200/https://www.example.com/a.jpg",
        "/r/a;b%2Fc",
        "/r/data:image%2Fpng;base64,iV%2FA==",
        "/fetch/https%3A%2F%2Fe.com%2Fa%2F..%2Fb",
        "/wiki/..%3F",
        "/files/.%2Fa.rs",
        "/job/feature%252Fx",
        "//x/..%2fy",
        "/..%2f",
        "/..%2f..%5c..%2fb",
        "/..;/b",
        "/%252e%252e/b",
    ] {
        assert_eq!(sent(path).as_deref(), Ok(path), "{path}");
    }
    let latin1 = b"/\xe9";
    assert_eq!(*read(latin1).unwrap().sent, *latin1);
}

#[test]
fn dot_segments_are_resolved_and_nothing_else() {
    for (raw, resolved) in [
        ("/ws/../admin", "/admin"),
        ("/ws/%2e%2E/admin", "/admin"),
        ("/ws/%2E./%7e", "/%7e"),
        ("/a//..//b", "/a//b"),
        ("/a/../b//c", "/b//c"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/./.", "/"),
        ("//../b", "/b"),
        ("/a/.%2e/b%2fc", "/b%2fc"),
    ] {
        assert_eq!(sent(raw).as_deref(), Ok(resolved), "{raw}");
    }
}

#[test]
fn patterns_are_compared_with_the_normal_form() {
    for (raw, normal) in [
        ("/ws", "/ws"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/a[1]|\"", "/a%5B1%5D%7C%22"),
        ("/a\\b", "/a%5Cb"),
        ("/%61%2fb", "/%61%2Fb"),
        ("/a/../%7E", "/%7E"),
    ] {
        assert_eq!(read(raw.as_bytes()).unwrap().normal, normal, "{raw}");
    }
}

#[test]
fn what_has_no_harmless_reading_is_refused() {
    use PathProblem::*;
    for (raw, problem) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("ws", NotAbsolute),
        ("/..", AboveRoot),
        ("/%2e%2e/", AboveRoot),
        ("/a/../../b", AboveRoot),
        ("/a/%2E./.%2e/b", AboveRoot),
        ("/%", BadEscape),
        ("/%4", BadEscape),
        ("/%zz", BadEscape),
        ("/%u002e", BadEscape),
        ("/%+1", BadEscape),
        ("/a%00", Nul),
        ("/a%2500", Nul),
        ("/a b", ForbiddenByte(b' ')),
        ("/a\n", ForbiddenByte(b'\n')),
        ("/a?b", ForbiddenByte(b'?')),
        ("/a#b", ForbiddenByte(b'#')),
        ("/%c0%ae%c0%ae/", OverlongUtf8),
        ("/%e0%80%af", OverlongUtf8),
        ("/%25c0%25ae/", OverlongUtf8),
    ] {
        assert_eq!(sent(raw), Err(problem), "{raw}");
    }
    assert_eq!(read(b"/\xc0\xae\xc0\xae/"), Err(OverlongUtf8));
}

#[test]
fn readings_show_what_a_backend_may_see() {
    for (raw, shown) in [
        ("/plain/path", vec![]),
        ("/caf%C3%A9%20[1]", vec![]),
        ("/a%2Fb", vec!["/a/b"]),
        ("//a", vec!["/a"]),
        ("/%61", vec!["/a"]),
        ("/%40x", vec!["/@x"]),
        ("/a;x/b;y", vec!["/a/b"]),
        ("/a\\b", vec!["/a/b"]),
        ("/%252Fa", vec!["/%2Fa", "//a", "/a"]),
        ("/x/..%2fadmin", vec!["/x/../admin", "/admin"]),
        ("/x/..;y/admin", vec!["/x/../admin", "/admin"]),
        ("/a;x%2fb", vec!["/a;x/b", "/a", "/a/b"]),
        ("/a%2Fb%3Fx/c", vec!["/a/b%3Fx/c", "/a%2Fb", "/a/b"]),
        ("//x", vec!["/"]),
        ("//x@y:1/%61dmin", vec!["/admin"]),
        ("///x/admin", vec!["/x/admin", "/admin"]),
        ("/\\x\\admin", vec!["/admin"]),
        ("/.//x/admin", vec!["/admin"]),
        ("/%2fx/admin", vec!["/admin"]),
        ("/y/..%2f/x/admin", vec!["/admin"]),
        // Above the root nothing is lost but the dots.
        ("//x/..%2fadmin", vec!["/admin"]),
        ("/..%2fadmin", vec!["/admin", "/../admin"]),
        ("/x/..%2f..%2f../%2fadmin", vec!["/admin"]),
        // One takes only `\` for a slash, another only `%5C`.
        ("/a%5cb\\../admin", vec!["/admin", "/a/b\\../admin"]),
        ("/a\\b%5c../admin", vec!["/admin", "/a/b%5C../admin"]),
        ("/admin%253fx", vec!["/admin"]),
        ("/admin%25253fx", vec!["/admin"]),
        ("/admin%252523x", vec!["/admin"]),
        ("/caf%25c3%25a9", vec!["/caf%C3%A9"]),
        ("/x%23/..%2fadmin%3f%2f..%2fz", vec!["/admin"]),
        // Resolved after slashes are decoded, the same would be `/a/c`.
        ("/a%2Fb/../c", vec!["/a/c"]),
    ] {
        let path = read(raw.as_bytes()).unwrap();
        for reading in &shown {
            let found = path.readings.iter().any(|found| found == reading);
            assert!(found, "{raw}: {reading} is not in {:?}", path.readings);
        }
        assert!(
            path.readings.is_empty() || !shown.is_empty(),
            "{raw}: {path:?}"
        );
    }
}

/// Every blank at which Python splits what it reads as Latin-1, and what is one in UTF-8.
#[test]
fn a_request_line_may_be_split_at_any_blank() {
    for byte in (0..=b' ').chain([0x7f]) {
        let problem = Err(PathProblem::ForbiddenByte(byte));
        assert_eq!(read(&[b'/', byte]), problem, "0x{byte:02x}");
    }
    for blank in [
        &b"\x85"[..],
        b"\xa0",
        "\u{85}".as_bytes(),
        "\u{3000}".as_bytes(),
    ] {
        let parts: [&[&[u8]]; 4] = [
            &[b"/admin", blank],
            &[b"/admin", blank, b"/x"],
            &[b"/x/../admin", blank, blank],
            &[b"/a", blank, b"/..%2fadmin", blank],
        ];
        for raw in parts.map(<[&[u8]]>::concat) {
            let path = read(&raw).unwrap();
            let found = path.readings.iter().any(|found| found == "/admin");
            assert!(found, "{path:?}");
        }
    }
    let encoded = read(b"/admin%85%A0").unwrap();
    assert!(encoded.readings.is_empty(), "{encoded:?}");
}

#[test]
fn plain_bytes_are_the_rfc_ones_but_the_semicolon() {
    for byte in 0..=255u8 {
        let listed = is_unreserved(byte) || b"/:@!$&'()*+,=".contains(&byte);
        assert_eq!(is_plain_byte(byte), listed, "0x{byte:02x}");
    }
}

/// Names of objects, packages, branches and URLs in a path, with all that stands in them.
#[test]
fn realistic_paths_have_few_readings() {
    let key = "tenants%2Facme%2F2026%2F11%2F28%2F".repeat(20);
    for path in [
        format!("/bucket/{key}report%20%28final%29%3B%20v2~1.pdf"),
        format!("/bucket//{key}/a%7Eb//c;v=1/%40scope%2Fpkg"),
        format!("/bucket/{key}what%3F%23%26%2B%25.txt"),
        "/npm/@scope%2Fname/-/name-1.0.0.tgz;rev=2//x".to_owned(),
        "/fetch/https%3A%2F%2Fe.com%2Fa%2F..%2Fb%3Fq%3D1%26r%3D%2520%23top".to_owned(),
        "/fetch/https://e.com//a/../b;c=d%3Fq%3D%257E%2523//%2e%2e/x".to_owned(),
        "/v1/objects/C%3A%5CUsers%5Cme%5Ca%2Fb%3B1%2F%2Fc%3Fd%23e~f%7Eg".to_owned(),
        "/matrix/%21room%3Aserver.org/%24event%2Fid//x;y/%2540user".to_owned(),
        "/a;b/c//d%2F%2Fe%5Cf%7Eg%3Fh%23i%252Fj%253Bk%2525l/../m%2F..%2Fn".to_owned(),
    ] {
        let read = read(path.as_bytes()).expect(&path);
        assert!(read.readings.len() < 64, "{path}: {}", read.readings.len());
    }
    // All of it at once: more than anything real.
    let all = read(b"//cdn//x;v=1%2F%2F;w%3B%2540%5C..%5Cy%253F%2523").unwrap();
    assert!(all.readings.len() > 256);
}

/// Each level of encoding is a reading; a megabyte of them must not take seconds.
#[test]
fn deep_encoding_is_refused_at_once() {
    let deep = format!("/%{}2Fx", "25".repeat(500_000));
    assert_eq!(sent(&deep), Err(PathProblem::TooManyReadings));
    let some = format!("/%{}2Fx", "25".repeat(20));
    assert_eq!(sent(&some), Ok(some));
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
fn a_prefix_is_replaced_on_a_segment_boundary() {
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
        ("/api/%7e//[", "/api", "/v2", "/v2/%7e//["),
        // Where the prefix does not stand literally, the normal form is what is left.
        ("/caf%c3%a9/%7e[", "/caf%C3%A9", "/v2", "/v2/%7E%5B"),
        ("/café", "/caf%C3%A9", "", "/"),
    ] {
        let read = read(path.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&rewrite(&read.sent, &read.normal, prefix, replacement)),
            result,
            "{path} {prefix} {replacement}"
        );
    }
}

#[test]
fn what_is_sent_for_a_prefix_stays_below_the_new_one() {
    use PathProblem::*;
    for (rewritten, prefix, replacement, asked) in [
        ("/v2/x", "/api", "/v2", Ok(vec![])),
        ("/%5bx", "/api", "", Ok(vec!["/api/%5Bx"])),
        (
            "//x/z",
            "/api",
            "",
            Ok(vec!["/api/x/z", "/api/z", "/api//x/z"]),
        ),
        ("/v2//x", "/api", "/v2", Ok(vec!["/api/x", "/api//x"])),
        (
            "/v2/a%2f..%2fx",
            "/api",
            "/v2",
            Ok(vec!["/api/a/../x", "/api/x", "/api/a%2F..%2Fx"]),
        ),
        (
            "/..%2fapi/z",
            "/api",
            "",
            Ok(vec!["/api/../api/z", "/api/api/z", "/api/..%2Fapi/z"]),
        ),
        ("/v2/..%2fapi/z", "/api", "/v2", Err(AbovePrefix)),
        ("/v2/..%2f..%2f..%2fz", "/api", "/v2", Err(AbovePrefix)),
        ("/a/b/..%5cc", "/old", "/a/b", Err(AbovePrefix)),
        ("/a/b/..%2fbc", "/old", "/a/b", Err(AbovePrefix)),
        ("/a/b/..;/c", "/old", "/a/b", Err(AbovePrefix)),
    ] {
        let found = before_rewrite(rewritten.as_bytes(), prefix, replacement);
        let found = found
            .as_ref()
            .map(|all| all.iter().map(String::as_str).collect());
        assert_eq!(found.map_err(|problem| *problem), asked, "{rewritten}");
    }
}

/// Texts out of the pieces that matter.
pub(in crate::route) fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", "//", "///", ".", "..", "%2e", "%2E%2e", "%252e", "%2f", "%2F", "%252f",
        "%5c", "\\", ";", ";x=1", "%3b", "%00", "%", "%4", "a", "b", "%61", "%2561", "é", "[",
        "%5b", "@", "%40", "%c0%ae", "?", " ", "%20", "%3f", "<", "{", "\"",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn any_text_is_refused_or_sent_without_dot_segments(raw in prop_oneof![tricky_path(), "\\PC*", "/\\PC*"]) {
        let Ok(path) = read(raw.as_bytes()) else { return Ok(()) };
        prop_assert!(path.sent.starts_with(b"/"));
        prop_assert!(readings::without_dots(&path.sent).is_none());
        for text in path.readings.iter().map(String::as_str).chain([&*path.normal]) {
            prop_assert!(text.starts_with('/'), "{text}");
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        }
        // What is sent is sent again as it is.
        let again = read(&path.sent).unwrap();
        prop_assert_eq!(&again.sent, &path.sent);
        prop_assert_eq!(again.normal, path.normal);
        if readings::without_dots(raw.as_bytes()).is_none() {
            prop_assert_eq!(&*path.sent, raw.as_bytes());
        }
    }

    #[test]
    fn the_plain_test_means_one_reading(raw in prop_oneof![tricky_path(), "/[a-c/.]{0,8}"]) {
        if is_plain(raw.as_bytes()) {
            prop_assert_eq!(canonical(raw.as_bytes()), Ok(raw.clone()));
            prop_assert_eq!(readings::all(vec![raw.clone()]), Ok(vec![raw.clone()]));
        }
    }

    #[test]
    fn a_rewritten_path_is_still_one(raw in tricky_path(), replacement in prop::sample::select(vec!["", "/v2", "/v/w"])) {
        let Ok(path) = read(raw.as_bytes()) else { return Ok(()) };
        let first = path.normal[1..].find('/').map_or(path.normal.len(), |end| end + 1);
        let result = rewrite(&path.sent, &path.normal, &path.normal[..first], replacement);
        prop_assert!(result.starts_with(b"/"));
        prop_assert!(readings::without_dots(&result).is_none());
        if before_rewrite(&result, &path.normal[..first], replacement).is_ok() {
            for text in read(&result).unwrap().readings {
                prop_assert!(below(text.as_bytes(), replacement.as_bytes()).is_some(), "{}", text);
            }
        }
    }
}
