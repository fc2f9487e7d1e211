//! The scanner against lists of good and bad requests, each split at every place.

mod progress;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    max_head: 4096,
    max_header_lines: 20,
    max_target: 256,
};

pub(super) fn scan(pieces: &[&[u8]]) -> (RequestScanner, usize, Result<(), Refusal>) {
    let mut scanner = RequestScanner::new(LIMITS);
    let mut passed = 0;
    for piece in pieces {
        match scanner.feed(piece) {
            Ok(()) => passed += piece.len(),
            Err(Violation { safe, refusal }) => return (scanner, passed + safe, Err(refusal)),
        }
    }
    (scanner, passed, Ok(()))
}

fn refusal(bytes: &[u8]) -> Option<Refusal> {
    scan(&[bytes]).2.err()
}

/// The result with the bytes in one slice, after checking it against other splits.
fn stable(bytes: &[u8]) -> Option<Refusal> {
    let (whole, safe, result) = scan(&[bytes]);
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    let mut splits = vec![each, bytes.chunks(2).collect(), bytes.chunks(7).collect()];
    splits.extend((1..bytes.len().min(400)).map(|at| vec![&bytes[..at], &bytes[at..]]));
    for split in splits {
        let (scanner, passed, split_result) = scan(&split);
        assert_eq!(
            split_result,
            result,
            "{:?} split {split:?}",
            bytes.escape_ascii().to_string()
        );
        assert!(passed >= safe);
        assert_eq!(scanner.phase(), whole.phase());
        assert_eq!(
            (scanner.heads(), scanner.body_bytes()),
            (whole.heads(), whole.body_bytes())
        );
    }
    result.err()
}

fn field(line: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n").into_bytes()
}

fn line(request_line: &str) -> Vec<u8> {
    format!("{request_line}\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn good_requests_pass() {
    let good: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a:8080\r\n\r\n",
        "GET /a?b=c%20d HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET http://a.example:80/x HTTP/1.1\r\nhost:a.example:80\r\n\r\n",
        "GET /\u{fc} HTTP/1.1\r\nHOST: \ta_b.example \r\nX: \u{fc}\t\"q\"\r\nEmpty:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nT: v\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for request in good {
        assert_eq!(stable(request.as_bytes()), None, "{request:?}");
        let (scanner, ..) = scan(&[request.as_bytes()]);
        assert_eq!(scanner.phase(), Phase::Idle, "{request:?}");
        assert!(scanner.heads() > 0 && scanner.carry.capacity() == 0);
    }
}

#[test]
fn bad_fields_are_refused() {
    use Refusal::*;
    let bad: &[(&str, Refusal)] = &[
        (
            "Content-Length: 5\r\nContent-Length: 5",
            ContentLengthRepeated,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6",
            ContentLengthRepeated,
        ),
        ("Content-Length: 5, 5", ContentLength),
        ("Content-Length: +5", ContentLength),
        ("Content-Length: -5", ContentLength),
        ("Content-Length: 5 5", ContentLength),
        ("Content-Length: 0x5", ContentLength),
        ("Content-Length:", ContentLength),
        ("Content-Length: 9223372036854775808", ContentLength),
        ("Content-Length: 18446744073709551617", ContentLength),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            LengthAndEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            LengthAndEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            TransferEncoding,
        ),
        ("Transfer-Encoding: chunked, chunked", TransferEncoding),
        ("Transfer-Encoding: chunked, identity", TransferEncoding),
        ("Transfer-Encoding: xchunked", TransferEncoding),
        ("Transfer-Encoding: \"chunked\"", TransferEncoding),
        ("Transfer-Encoding:", TransferEncoding),
        ("Transfer-Encoding: gzip, chunked", TransferCoding),
        ("Transfer-Encoding: chunked\u{b}", FieldValue),
        ("X: a\r\n b", ObsFold),
        ("X: a\rb", BareCr),
        ("X: a\r\r", BareCr),
        ("X: a\nY: b", BareLf),
        ("X\nY: b", BareLf),
        ("X : a", SpaceBeforeColon),
        ("X\t: a", SpaceBeforeColon),
        (": a", EmptyName),
        ("X", FieldName),
        ("X(: a", FieldName),
        ("X\0: a", FieldName),
        ("\u{fc}: a", FieldName),
        ("X: a\0b", FieldValue),
        ("X: a\u{7f}b", FieldValue),
        ("Host: a", HostRepeated),
        ("host: b", HostRepeated),
    ];
    for (line, expected) in bad {
        assert_eq!(stable(&field(line)), Some(*expected), "{line:?}");
    }
}

#[test]
fn an_empty_port_and_the_empty_host_of_a_url_are_valid() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:\r\n\r\n",
        "GET ws://a/ HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://a/ HTTP/1.0\r\nHost:\r\n\r\n",
        "GET http://a: HTTP/1.1\r\nHost: b\r\n\r\n",
    ] {
        assert_eq!(stable(head.as_bytes()), None, "{head}");
    }
}

#[test]
fn bad_hosts_are_refused() {
    use Refusal::*;
    let bad: &[(&str, Refusal)] = &[
        ("Host: a@b", Userinfo),
        ("Host:", HostEmpty),
        ("Host: \t", HostEmpty),
        ("X: y", HostMissing),
        ("Host: a b", Host),
        ("Host: a,b", Host),
        ("Host: a/b", Host),
        ("Host: a:65536", Host),
        ("Host: a:8x", Host),
        ("Host: :80", Host),
        ("Host: [::1", Host),
        ("Host: [::1]x", Host),
        ("Host: [g]", Host),
        ("Host: a%2fb", Host),
        ("Host: a\\b", Host),
        ("Host: \u{fc}", Host),
    ];
    for (line, expected) in bad {
        let request = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
        assert_eq!(stable(request.as_bytes()), Some(*expected), "{line:?}");
        // HTTP/1.0 may leave Host out (RFC 9112 section 3.2), but what it sends must be valid.
        let older = format!("GET / HTTP/1.0\r\n{line}\r\n\r\n");
        let expected = Some(*expected).filter(|refusal| *refusal != HostMissing);
        assert_eq!(stable(older.as_bytes()), expected, "{line:?}");
    }
}

#[test]
fn bad_request_lines_are_refused() {
    use Refusal::*;
    let bad: &[(&str, Refusal)] = &[
        ("GET  / HTTP/1.1", RequestLine),
        ("GET /  HTTP/1.1", RequestLine),
        ("GET /a b HTTP/1.1", RequestLine),
        ("GET /\tHTTP/1.1", TargetCharacter),
        ("GET / HTTP/1.1 ", RequestLine),
        ("GET /", RequestLine),
        ("GET", RequestLine),
        ("GET / http/1.1", RequestLine),
        ("G\0T / HTTP/1.1", Method),
        ("G@T / HTTP/1.1", Method),
        ("\u{7f}GET / HTTP/1.1", NotHttp),
        (" GET / HTTP/1.1", NotHttp),
        ("\u{16}\u{3}\u{1}", Tls),
        ("GET /a\0b HTTP/1.1", TargetCharacter),
        ("GET /a\u{7f} HTTP/1.1", TargetCharacter),
        ("GET /a#b HTTP/1.1", TargetCharacter),
        ("GET /a#b?c HTTP/1.1", TargetCharacter),
        ("GET http://a#b HTTP/1.1", TargetCharacter),
        ("GET wss:///x HTTP/1.1", TargetForm),
        ("GET ws:/a HTTP/1.1", TargetForm),
        ("GET /a\"?b c HTTP/1.1", RequestLine),
        ("GET a HTTP/1.1", TargetForm),
        ("GET * HTTP/1.1", TargetForm),
        ("GET ftp://a/ HTTP/1.1", TargetForm),
        ("GET http:///x HTTP/1.1", TargetForm),
        ("GET http://u:p@a/x HTTP/1.1", Userinfo),
        ("CONNECT a:443 HTTP/1.1", Connect),
        ("TRACE / HTTP/1.1", Trace),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/2.0", Version),
        ("GET / HTTP/11.1", Version),
        ("PRI * HTTP/2.0", Http2Preface),
        ("\r\n\r\nGET / HTTP/1.1", EmptyLines),
        ("\r\n\r\n\r\nGET / HTTP/1.1", EmptyLines),
        ("\r\n\r\n\0\r\nQUIC\n", EmptyLines),
        ("\r\n\r\n\0\r\nQUIT\n!\x11", ProxyProtocol2),
        ("\rGET / HTTP/1.1", BareCr),
        ("\nGET / HTTP/1.1", BareLf),
    ];
    for (request_line, expected) in bad {
        assert_eq!(
            stable(&line(request_line)),
            Some(*expected),
            "{request_line:?}"
        );
    }
    assert_eq!(stable(b"GET / HTTP/1.1\nHost: a\n\n"), Some(BareLf));
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(stable(old), Some(EncodingOnHttp10));
}

#[test]
fn sizes_are_bounded_exactly() {
    use Refusal::*;
    let target = |length: usize| line(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)));
    assert_eq!(stable(&target(256)), None);
    assert_eq!(stable(&target(257)), Some(TargetTooLong));
    assert_eq!(
        stable(&[b"GET /".as_slice(), &[b'a'; 300]].concat()),
        Some(TargetTooLong)
    );

    let rest = field("X: ").len();
    let head = |length: usize| field(&format!("X: {}", "a".repeat(length - rest)));
    assert_eq!(stable(&head(4096)), None);
    assert_eq!(stable(&head(4097)), Some(HeadTooLarge));
    assert_eq!(stable(&head(4098)), Some(HeadTooLarge));
    assert_eq!(refusal(&[b'G'; 5000]), Some(HeadTooLarge));

    let lines = |count: usize| field(&vec!["X: y"; count - 1].join("\r\n"));
    assert_eq!(stable(&lines(20)), None);
    assert_eq!(stable(&lines(21)), Some(TooManyLines));
}

#[test]
fn chunked_bodies_are_strict() {
    use Refusal::*;
    let bad: &[(&str, Refusal)] = &[
        ("\r\n", ChunkSize),
        ("x\r\n", ChunkSize),
        ("0x3\r\nabc\r\n", ChunkSize),
        ("+3\r\nabc\r\n", ChunkSize),
        ("3 \r\nabc\r\n", ChunkSize),
        (" 3\r\nabc\r\n", ChunkSize),
        ("3\nabc\r\n", ChunkEnd),
        ("3\rabc\r\n", ChunkEnd),
        ("3\r\nabcd\r\n", ChunkEnd),
        ("3\r\nabc\n", ChunkEnd),
        ("3\r\nabc\rX", ChunkEnd),
        ("3;a\n\r\nabc\r\n", ChunkExtension),
        ("3;a\0\r\nabc\r\n", ChunkExtension),
        ("1000000000000000\r\n", ChunkSize),
        ("0\r\n\n", Trailer),
        ("0\r\n\rX", ChunkEnd),
        ("0\r\nA\r\n\r\n", Trailer),
        ("0\r\nA : b\r\n\r\n", Trailer),
        ("0\r\nA: b\r\n c\r\n\r\n", Trailer),
        ("0\r\nA: b\nX", Trailer),
        ("0\r\nContent-Length: 5\r\n\r\n", TrailerField),
        ("0\r\nTRANSFER-ENCODING: chunked\r\n\r\n", TrailerField),
    ];
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, expected) in bad {
        assert_eq!(
            stable(format!("{head}{body}").as_bytes()),
            Some(*expected),
            "{body:?}"
        );
    }
    let long = format!("{head}3;{}\r\nabc", "e".repeat(257));
    assert_eq!(stable(long.as_bytes()), Some(ChunkExtension));
    let some = format!(
        "{head}{}0\r\n\r\n",
        format!("1;{}\r\na\r\n", "e".repeat(200)).repeat(3)
    );
    assert_eq!(refusal(some.as_bytes()), None);
    let many = format!(
        "{head}{}",
        format!("1;{}\r\na\r\n", "e".repeat(200)).repeat(90)
    );
    assert_eq!(refusal(many.as_bytes()), Some(ChunkExtension));
    let trailer = format!("{head}0\r\n{}", "A: b\r\n".repeat(1400));
    assert_eq!(refusal(trailer.as_bytes()), Some(TrailerTooLarge));
}

#[test]
fn what_stands_before_the_offence_may_pass() {
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let two = [good.as_slice(), b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"].concat();
    let mut scanner = RequestScanner::new(LIMITS);
    let violation = scanner.feed(&two).unwrap_err();
    assert_eq!(
        violation,
        Violation {
            safe: good.len(),
            refusal: Refusal::SpaceBeforeColon
        }
    );
    let again = scanner.feed(good).unwrap_err();
    assert_eq!(
        again,
        Violation {
            safe: 0,
            refusal: Refusal::SpaceBeforeColon
        }
    );

    let mut scanner = RequestScanner::new(LIMITS);
    scanner.feed(&two[..good.len() + 3]).unwrap();
    assert_eq!(scanner.feed(&two[good.len() + 3..]).unwrap_err().safe, 0);
}

#[test]
fn every_refusal_is_a_client_error_or_501_or_505() {
    assert!(!Refusal::ALL.is_empty());
    for refusal in Refusal::ALL {
        assert!(matches!(
            refusal.status().as_u16(),
            400 | 405 | 414 | 431 | 501 | 505
        ));
        assert!(!refusal.reason().is_empty());
        assert_eq!(refusal.allow().is_some(), refusal.status() == 405);
    }
}
