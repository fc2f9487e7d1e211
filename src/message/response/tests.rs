//! Heads whole, in every split, and broken.

use http::{StatusCode, Version};
use proptest::prelude::*;

use super::{BodyKind, HeadError, HeadRules, ResponseHead};

const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Set-Cookie: a=1\r\nset-cookie:  b=2 \r\n\r\n\x81\x05Hello\r\n\r\n";

fn parse(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    ResponseHead::parse(bytes, HeadRules::default())
}

fn body(fields: &str) -> Result<BodyKind, HeadError> {
    body_of("HTTP/1.1 200 OK", fields)
}

fn body_of(status_line: &str, fields: &str) -> Result<BodyKind, HeadError> {
    let head = format!("{status_line}\r\n{fields}\r\n");
    Ok(parse(head.as_bytes())?.expect("complete").0.body)
}

#[test]
fn a_101_ends_where_the_tunnel_begins() {
    let (head, end) = parse(SWITCHING).unwrap().unwrap();
    assert_eq!(head.status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.body, BodyKind::None);
    assert_eq!(head.headers["upgrade"], "websocket");
    let cookies: Vec<_> = head.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(&SWITCHING[end..], b"\x81\x05Hello\r\n\r\n");
    assert!(!head.is_interim());
}

#[test]
fn every_split_gives_the_same_head() {
    let whole = parse(SWITCHING).unwrap().unwrap();
    for cut in 0..=SWITCHING.len() {
        match parse(&SWITCHING[..cut]).unwrap() {
            Some(head) => assert_eq!(head, whole),
            None => assert!(cut < whole.1, "{cut}"),
        }
    }
}

#[test]
fn interim_heads_are_told_apart() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let (hints, end) = parse(bytes).unwrap().unwrap();
    assert!(hints.is_interim());
    assert_eq!(hints.headers["link"], "</a>");
    let (answer, _) = parse(&bytes[end..]).unwrap().unwrap();
    assert!(!answer.is_interim());
    assert_eq!(answer.body, BodyKind::UntilClose);
}

#[test]
fn body_kinds() {
    assert_eq!(body("Content-Length: 12\r\n"), Ok(BodyKind::Length(12)));
    assert_eq!(body("Content-Length: 0\r\n"), Ok(BodyKind::Length(0)));
    assert_eq!(
        body("Content-Length: 18446744073709551615\r\n"),
        Ok(BodyKind::Length(u64::MAX))
    );
    assert_eq!(
        body("Transfer-Encoding: Chunked\r\n"),
        Ok(BodyKind::Chunked)
    );
    assert_eq!(body(""), Ok(BodyKind::UntilClose));
    assert_eq!(
        body_of("HTTP/1.0 400 Bad Request", ""),
        Ok(BodyKind::UntilClose)
    );
    assert_eq!(body_of("HTTP/1.1 204", ""), Ok(BodyKind::None));
    assert_eq!(
        body_of("HTTP/1.1 304 ", "Content-Length: 5\r\n"),
        Ok(BodyKind::None)
    );
    assert_eq!(
        body_of("HTTP/1.1 101 X", "Content-Length: 0\r\n"),
        Ok(BodyKind::None)
    );
}

#[test]
fn a_connection_persists_as_its_options_say() {
    let persists = |status_line: &str, fields: &str| {
        let head = format!("{status_line}\r\n{fields}\r\n");
        let (head, _) = parse(head.as_bytes()).unwrap().expect("complete");
        (head.persists(), head.headers.contains_key("connection"))
    };
    let length = "Content-Length: 0\r\n";
    for (version, option, expected) in [
        ("1.1", "", (true, false)),
        ("1.1", "Connection: Keep-Alive\r\n", (true, false)),
        ("1.1", "Connection: keep-alive, x\r\n", (true, true)),
        ("1.1", "Connection: x, Close\r\n", (false, true)),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            (false, true),
        ),
        ("1.0", "", (false, false)),
        ("1.0", "Connection: keep-alive\r\n", (true, false)),
        ("1.0", "Connection: x , keep-alive\r\n", (true, true)),
    ] {
        let status_line = format!("HTTP/{version} 200 OK");
        let fields = format!("{option}{length}");
        assert_eq!(
            persists(&status_line, &fields),
            expected,
            "{version} {option}"
        );
        // The end of the connection is the end of the answer.
        assert!(!persists(&status_line, option).0, "{version} {option}");
    }
    let switching = persists("HTTP/1.1 101 X", "Connection: keep-alive\r\n");
    assert_eq!(switching, (true, true), "kept for the handshake's judge");
}

#[test]
fn unclear_lengths_are_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5, 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5,,5\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert!(
            matches!(body(fields), Err(HeadError::Framing(_))),
            "{fields}"
        );
        // On a 101 too: the bytes after it must not be read in two ways.
        let switching = body_of("HTTP/1.1 101 X", fields);
        assert!(matches!(switching, Err(HeadError::Framing(_))), "{fields}");
    }
    let old = body_of("HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n");
    assert!(matches!(old, Err(HeadError::Framing(_))));
}

#[test]
fn broken_grammar_is_refused() {
    for (bytes, error) in [
        (
            &b"HTTP/1.1 200 OK\nA: b\r\n\r\n"[..],
            HeadError::BareLineFeed,
        ),
        (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", HeadError::BareLineFeed),
        (b"HTTP/1.1 200 OK\r\n\n", HeadError::BareLineFeed),
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n",
            HeadError::Malformed("field value"),
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
            HeadError::Malformed("field value"),
        ),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HeadError::Folded),
        (
            b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            HeadError::Malformed("field name"),
        ),
        (
            b"HTTP/1.1 200 OK\x01\r\n\r\n",
            HeadError::Malformed("status line"),
        ),
        (
            b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            HeadError::Malformed("field name"),
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
            HeadError::Malformed("field value"),
        ),
        (
            b"HTTP/1.1 099 OK\r\n\r\n",
            HeadError::Malformed("status line"),
        ),
        (
            b"HTTP/1.1 20 OK\r\n\r\n",
            HeadError::Malformed("status line"),
        ),
        (
            b"HTTP/1.1  200 OK\r\n\r\n",
            HeadError::Malformed("status line"),
        ),
        (
            b"HTTP/1.2 200 OK\r\n\r\n",
            HeadError::Malformed("status line"),
        ),
        (b"HTTP/2 200\r\n\r\n", HeadError::NotHttp),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", HeadError::NotHttp),
        (b"\x15\x03\x01", HeadError::NotHttp),
        (b"h", HeadError::NotHttp),
    ] {
        assert_eq!(parse(bytes), Err(error), "{}", bytes.escape_ascii());
    }
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn copies_of_one_length_are_that_length() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "content-length: 5\t,5 , 5\r\nA: b\r\nCONTENT-LENGTH:5\r\n",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let (head, _) = parse(bytes.as_bytes()).unwrap().expect("complete");
        assert_eq!(head.body, BodyKind::Length(5), "{fields}");
        let lines: Vec<_> = head.headers.get_all("content-length").iter().collect();
        assert_eq!(lines, ["5"], "{fields}");
    }
}

#[test]
fn a_blank_in_front_of_a_colon_is_removed() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\nA \t : b c \r\n\r\n";
    let (head, _) = parse(bytes).unwrap().expect("complete");
    assert_eq!(head.body, BodyKind::Length(5));
    assert_eq!(head.headers["a"], "b c");
}

#[test]
fn the_reason_is_kept_as_it_came() {
    for (line, reason, unusual) in [
        ("HTTP/1.1 200 OK", &b"OK"[..], false),
        (
            "HTTP/1.1 529 Site is overloaded",
            b"Site is overloaded",
            true,
        ),
        ("HTTP/1.0 400 Name is required", b"Name is required", true),
        ("HTTP/1.1 200 ", b"", true),
        ("HTTP/1.1 200", b"", true),
        ("HTTP/1.1 200  a\tb ", b" a\tb ", true),
    ] {
        let bytes = format!("{line}\r\n\r\n");
        let (head, _) = parse(bytes.as_bytes()).unwrap().expect("complete");
        assert_eq!(head.reason, reason, "{line}");
        assert_eq!(head.unusual_reason().is_some(), unusual, "{line}");
    }
    let (head, _) = parse(b"HTTP/1.1 404 Pas trouv\xe9\r\n\r\n")
        .unwrap()
        .unwrap();
    assert_eq!(head.reason, &b"Pas trouv\xe9"[..]);
}

#[test]
fn a_connection_with_content_that_may_not_be_there_does_not_persist() {
    for (line, fields, persists) in [
        ("204 No Content", "Content-Length: 3\r\n", false),
        ("204 No Content", "Transfer-Encoding: chunked\r\n", false),
        ("204 No Content", "Content-Length: 0\r\n", true),
        ("304 Not Modified", "Content-Length: 3\r\n", true),
        ("304 Not Modified", "Transfer-Encoding: chunked\r\n", false),
        ("200 OK", "Content-Length: 3\r\n", true),
    ] {
        let bytes = format!("HTTP/1.1 {line}\r\n{fields}\r\n");
        let (head, _) = parse(bytes.as_bytes()).unwrap().expect("complete");
        assert_eq!(head.persists(), persists, "{line} {fields}");
    }
}

#[test]
fn lenient_takes_line_ends_folds_and_blanks_and_nothing_about_the_length() {
    let lenient = HeadRules::new(64, true);
    let of = |bytes: &'static str| ResponseHead::parse(bytes.as_bytes(), lenient);
    let (head, end) = of("HTTP/1.1  200   OK\nA: b\n c\r\n\t d\nContent-Length: 2\n\nok")
        .unwrap()
        .unwrap();
    assert_eq!(head.headers["a"], "b c d");
    assert_eq!(
        (head.body, &*head.reason),
        (BodyKind::Length(2), &b"OK"[..])
    );
    assert_eq!(end, 51);
    for bytes in [
        "HTTP/1.1 200 OK\nContent-Length: 1\n 2\n\n",
        "HTTP/1.1 200 OK\nContent-Length:\n 2\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n , x\n\n",
        "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\n",
        "HTTP/1.1 200 OK\n\u{9}A: b\n\n",
        "HTTP/1.1 200 OK\nA: b\rContent-Length: 3\n\n",
    ] {
        assert!(of(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_fold_of_no_line_is_not_said_to_be_taken() {
    for lenient in [false, true] {
        for blank in [" ", "\t"] {
            let head = format!("HTTP/1.1 200 OK\r\n{blank}X: a\r\nB: c\r\n\r\n");
            let error = ResponseHead::parse(head.as_bytes(), HeadRules::new(64, lenient));
            let text = error.unwrap_err().to_string();
            assert!(text.contains("before the first field"), "{text}");
            assert!(!text.contains("lenient"), "{text}");
        }
    }
}

#[test]
fn lenient_is_advised_where_it_takes_the_head() {
    for (head, advised) in [
        ("HTTP/1.1 200 OK\nA: b\n\n", true),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", true),
        ("HTTP/1.1  200 OK\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length :\r\n\t2\r\n\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\nConnection: a,\r\n close\r\n\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nConnection:\r\n close\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: x\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\n",
            false,
        ),
        ("HTTP/1.1 200 OK\nA b\n\n", false),
        ("HTTP/1.1  OK\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nA b\r\n\r\n", false),
    ] {
        let of = |lenient| ResponseHead::parse(head.as_bytes(), HeadRules::new(64, lenient));
        let strict = HeadRules::new(64, false);
        let error = of(false).unwrap_err();
        let error = ResponseHead::what_remains(error, head.as_bytes(), strict);
        assert_eq!(error.is_taken_by_lenient(), advised, "{head:?}: {error}");
        assert_eq!(error.to_string().contains("lenient"), advised, "{error}");
        assert_eq!(of(true).is_ok(), advised, "{head:?}");
    }
}

#[test]
fn heads_are_bounded() {
    let head = |filler: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(filler));
    let rules = |max_bytes| HeadRules {
        max_bytes,
        ..HeadRules::default()
    };
    let overhead = head(0).len();
    let fits = head(1000 - overhead);
    assert_eq!(
        ResponseHead::parse(fits.as_bytes(), rules(1000))
            .unwrap()
            .unwrap()
            .1,
        1000
    );
    let larger = head(1001 - overhead);
    assert_eq!(
        ResponseHead::parse(larger.as_bytes(), rules(1000)),
        Err(HeadError::TooLarge)
    );
    assert_eq!(
        ResponseHead::parse(&larger.as_bytes()[..1000], rules(1000)),
        Err(HeadError::TooLarge)
    );
    assert_eq!(
        ResponseHead::parse(&larger.as_bytes()[..999], rules(1000)),
        Ok(None)
    );

    let fields = |n| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(n));
    assert!(parse(fields(1024).as_bytes()).is_ok());
    let one_more = fields(1025);
    assert_eq!(parse(one_more.as_bytes()), Err(HeadError::TooManyFields));
    let many = HeadRules::new(10_000, false);
    assert!(ResponseHead::parse(one_more.as_bytes(), many).is_ok());
}

/// Bytes that look enough like a head to get past the first check.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[A-Za-z-]{1,12}: [ -~]{0,12}\r\n".prop_map(String::into_bytes),
        1 => Just(b"Content-Length: 7\r\n".to_vec()),
        1 => Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        2 => Just(b"\r\n".to_vec()),
    ];
    prop::collection::vec(piece, 0..8)
        .prop_map(|pieces| [b"HTTP/1.1 101 X\r\n".to_vec(), pieces.concat()].concat())
}

proptest! {
    #[test]
    fn more_bytes_never_change_a_verdict(
        bytes in prop_oneof![nearly_a_head(), prop::collection::vec(any::<u8>(), 0..64)],
        max_bytes in 1_usize..200,
        lenient in any::<bool>(),
    ) {
        let max = HeadRules { max_bytes, ..HeadRules::new(4, lenient) };
        let whole = ResponseHead::parse(&bytes, max);
        for cut in 0..bytes.len() {
            match ResponseHead::parse(&bytes[..cut], max) {
                Ok(None) => {}
                verdict => prop_assert_eq!(&verdict, &whole),
            }
        }
        if let Ok(Some((_, end))) = whole {
            prop_assert!(end <= max_bytes && bytes[..end].ends_with(b"\n"));
            prop_assert!(lenient || bytes[..end].ends_with(b"\r\n\r\n"));
        }
    }
}
