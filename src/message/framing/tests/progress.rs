//! What the scanner says of good requests: where they stand, what hyper cannot hold of them, and
//! what it keeps.

use std::ops::Range;

use super::*;

/// The targets that are pointed out, as (number of the head, text).
fn carried(pieces: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
    let (all, mut scanner) = (pieces.concat(), RequestScanner::new(LIMITS));
    let mut found = Vec::new();
    for piece in pieces {
        scanner.feed(piece).unwrap();
        found.extend(scanner.take_carried());
    }
    let text = |Carried { head, place }: Carried| {
        let place = place.start as usize..place.end as usize;
        (head, all[place].to_vec())
    };
    found.into_iter().map(text).collect()
}

#[test]
fn targets_that_hyper_cannot_hold_are_pointed_out() {
    for target in [
        "/x?startkey=\"doc2\"",
        "/x?q=`a`",
        "/x?a>b",
        "/x?ecl=<<250|a|",
        "/x?#",
        "/\u{fc}?\u{fc}",
        "/<`>",
        "http://a",
        "ws://a:80/x?y",
        "WSS://[::1]:/?#x",
    ] {
        let odd = line(&format!("GET {target} HTTP/1.1"));
        let plain = line("GET /plain HTTP/1.1");
        let all = [&plain[..], b"\r\n", &odd, &plain, &odd].concat();
        let found = vec![(2, target.into()), (4, target.into())];
        assert_eq!(carried(&[&all]), found, "{target}");
        let bytes: Vec<_> = all.chunks(1).collect();
        assert_eq!(carried(&bytes), found, "{target}");
    }
    for target in ["/", "/a?b=c&d=%22{|}^\\~'", "/{a}|^\\[b]"] {
        assert_eq!(
            carried(&[&line(&format!("GET {target} HTTP/1.1"))]),
            [],
            "{target}"
        );
    }
    assert_eq!(carried(&[&line("OPTIONS * HTTP/1.1")]), []);
    let latin1 = b"GET /\xfc HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(carried(&[latin1]), [(1, b"/\xfc".to_vec())]);
}

#[test]
fn phases_and_counters_follow_the_bytes() {
    let mut scanner = RequestScanner::new(LIMITS);
    let mut step = |bytes: &[u8]| {
        scanner.feed(bytes).unwrap();
        (scanner.phase(), scanner.heads(), scanner.body_bytes())
    };
    assert_eq!(step(b""), (Phase::Idle, 0, 0));
    assert_eq!(step(b"P"), (Phase::Head, 0, 0));
    assert_eq!(step(b"OST / HTTP/1.1\r\n"), (Phase::Head, 0, 0));
    assert_eq!(
        step(b"Host: a\r\nContent-Length: 4\r\n\r\nab"),
        (Phase::Body, 1, 2)
    );
    assert_eq!(step(b"cd"), (Phase::Idle, 1, 4));
    assert_eq!(step(b"\r\n"), (Phase::Idle, 1, 4));
    // What follows a request for another protocol is held until that is decided.
    let held = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\nGET";
    assert_eq!(step(held), (Phase::Held, 2, 0));
    assert_eq!(step(b" /"), (Phase::Held, 2, 0));
    assert_eq!(scanner.held(), 2);
    scanner.resume();
    let mut step = |bytes: &[u8]| {
        scanner.feed(bytes).unwrap();
        (scanner.phase(), scanner.heads(), scanner.body_bytes())
    };
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nUpgrade: x, WebSocket\r\n\r\n";
    assert_eq!(step(upgrade), (Phase::Upgrade, 3, 0));
    assert_eq!(step(b"\x81\x80\0\0\0\0\n"), (Phase::Upgrade, 3, 0));
    assert_eq!(scanner.held(), 7);
    scanner.resume();
    scanner.feed(b"GET").unwrap();
    assert_eq!(scanner.phase(), Phase::Head);
}

#[test]
fn lines_with_names_in_other_capitals_are_pointed_out() {
    let usual = "GET / HTTP/1.1\r\nHost: a\r\nETag: x\r\nX-Api: y\r\n\r\n";
    let fields = "hOst: a\r\nX-Api: b\r\n";
    let other = format!("\r\nGET / HTTP/1.1\r\n{fields}\r\n");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let none = format!("{chunked}\r\n");
    let trailer = format!("{chunked}x-A: b\r\n\r\n");
    let bytes = [usual, &other, &none, &trailer, &other].concat();
    for cut in 1..bytes.len() {
        let mut scanner = RequestScanner::new(LIMITS);
        let (mut spelled, mut trailers) = (Vec::new(), Vec::new());
        for piece in bytes.as_bytes().chunks(cut) {
            scanner.feed(piece).unwrap();
            spelled.extend(scanner.take_spelled());
            trailers.extend(scanner.take_trailers());
        }
        let at = |place: Range<u64>| &bytes[place.start as usize..place.end as usize];
        let seen: Vec<_> = spelled
            .into_iter()
            .map(|part| (part.head, at(part.place)))
            .collect();
        assert_eq!(seen, [(2, fields), (5, fields)], "{cut}");
        assert_eq!(trailers, [(4, b"x-A: b\r\n\r\n".to_vec())], "{cut}");
    }
}

#[test]
fn an_idle_scanner_is_small_and_keeps_no_buffer() {
    let mut scanner = RequestScanner::new(LIMITS);
    scanner.feed(b"GET / HTTP/1.1\r\nHo").unwrap();
    assert!(scanner.carry.capacity() > 0);
    scanner.feed(b"st: a\r\n\r\n").unwrap();
    assert_eq!(scanner.carry.capacity(), 0);
    assert!(
        size_of::<RequestScanner>() <= 256,
        "{}",
        size_of::<RequestScanner>()
    );
}
