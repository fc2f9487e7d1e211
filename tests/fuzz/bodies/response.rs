//! Fuzz body of the heads of upstreams' answers and of what follows them: what the strict
//! rules take is taken by the lenient ones and by another parser, and means the same to each;
//! a head in other letters is the same head.

use http::{HeaderMap, StatusCode};
use sluice::message::response::{BodyKind, HeadRules, ResponseHead};
use sluice::message::spelling::{Speller, push_spelled, respell};

/// Small, so that the limit is met too.
const MAX_LINES: usize = 16;

/// The input is the head, and perhaps more.
pub fn run(data: &[u8]) {
    let strict = ResponseHead::parse(data, HeadRules::new(MAX_LINES, false));
    let lenient = ResponseHead::parse(data, HeadRules::new(MAX_LINES, true));
    if let Ok(Some((head, end))) = &strict {
        let (mut same, length) = lenient.clone().expect("taken").expect("complete");
        // Blanks in front of the reason are its own for the strict rules.
        let blanks = head.reason.iter().take_while(|byte| **byte == b' ').count();
        assert_eq!(same.reason, head.reason[blanks..]);
        same.reason = head.reason.clone();
        assert_eq!((&same, length), (head, *end));
        assert_eq!(head.lines, data[end - 2 - head.lines.len()..end - 2]);
        agrees_with_httparse(data, head, *end);
    }
    if let Ok(Some((head, end))) = &lenient {
        assert!(*end <= data.len() && data[..*end].ends_with(b"\n"));
        check(head);
        written_again(head);
    }
}

/// A second opinion, of a parser that is as strict about the end of lines.
fn agrees_with_httparse(data: &[u8], head: &ResponseHead, end: usize) {
    let mut slots = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut other = httparse::Response::new(&mut slots);
    let config = {
        let mut config = httparse::ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        config
    };
    let parsed = config.parse_response(&mut other, data);
    assert_eq!(parsed, Ok(httparse::Status::Complete(end)), "{head:?}");
    assert_eq!(other.code, Some(head.status.as_u16()));
    for name in head.headers.keys() {
        let is_own = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name.as_str());
        let theirs = other.headers.iter().filter(is_own);
        let theirs: Vec<&[u8]> = theirs.map(|field| field.value.trim_ascii()).collect();
        for value in head.headers.get_all(name) {
            let value = value.as_bytes().trim_ascii();
            // A list of equal lengths is one of them, and `keep-alive` is for us, in any case.
            let is_it = |theirs: &&[u8]| {
                let same = match *name == http::header::CONNECTION {
                    true => theirs.eq_ignore_ascii_case(value),
                    false => *theirs == value,
                };
                same || theirs.contains(&b',')
            };
            assert!(theirs.iter().any(is_it), "{name}: {value:?}");
        }
    }
}

fn check(head: &ResponseHead) {
    let lengths = head.headers.get_all("content-length").iter().count();
    assert_eq!(lengths, usize::from(head.length.is_some()), "{head:?}");
    match head.body {
        BodyKind::Length(length) => assert_eq!(head.length, Some(length)),
        BodyKind::Chunked => assert_eq!(head.length, None),
        BodyKind::UntilClose => assert!(!head.persists(), "{head:?}"),
        BodyKind::None => assert!(
            head.status.is_informational()
                || matches!(
                    head.status,
                    StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
                )
        ),
    }
    for (name, value) in &head.headers {
        let bytes = value.as_bytes();
        let is_sound = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        assert!(bytes.iter().all(is_sound), "{name}: {value:?}");
        assert!(!bytes.starts_with(b" ") && !bytes.ends_with(b" "));
    }
}

/// The fields as they are sent on, in the letters that they came in, are the same fields.
fn written_again(head: &ResponseHead) {
    let plain = write(&head.headers, b"");
    let spelled = write(&head.headers, &head.lines);
    assert!(plain.eq_ignore_ascii_case(&spelled));
    let parse = |bytes: &[u8]| {
        ResponseHead::parse(bytes, HeadRules::new(MAX_LINES, false))
            .expect("it is strict")
            .expect("it is complete")
    };
    let (again, end) = parse(&spelled);
    assert_eq!(end, spelled.len());
    assert_eq!(parse(&plain).0.headers, again.headers);
    for name in head.headers.keys().filter(|name| *name != "connection") {
        let values = |headers: &HeaderMap| {
            let values = headers.get_all(name).iter().cloned();
            values.collect::<Vec<_>>()
        };
        assert_eq!(values(&again.headers), values(&head.headers), "{name}");
    }
    let mut respelled = plain.clone();
    respelled.extend_from_slice(b"Content: not a head\r\n");
    let (end, length) = (
        respell(&mut respelled, Speller::new(&head.lines)),
        plain.len(),
    );
    assert_eq!(end, length);
    assert!(respelled[..length].eq_ignore_ascii_case(&plain));
    assert_eq!(&respelled[length..], b"Content: not a head\r\n");
}

fn write(headers: &HeaderMap, lines: &[u8]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
    let mut speller = Speller::new(lines);
    for (name, value) in headers {
        push_spelled(&mut out, &mut speller, name.as_ref(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}
