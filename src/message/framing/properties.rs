//! Properties of the scanner: any split gives the same, hyper agrees, nothing panics.

use proptest::prelude::*;

use super::tests::scan;
use super::*;

/// Pieces from which requests are put together, most of them good, some not.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n", "GET /x HTTP/1.0\r\n", "Host: a\r\n",
            "Content-Length: 3\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n",
            "X-Y: z\r\n", "Accept: */*\r\n", "\r\n", "abc", "3\r\nabc\r\n", "0\r\n\r\n", "\r\n\r\n",
            "Upgrade: websocket\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]).prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(prop::sample::select(b"\r\n \t:,;a0\0\x7f\xff".to_vec()), 1..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_split_gives_the_same(parts in prop::collection::vec(fragment(), 0..12),
                                cuts in prop::collection::vec(1usize..30, 1..30)) {
        let bytes = parts.concat();
        let (whole, safe, result) = scan(&[&bytes]);
        let (mut pieces, mut rest, mut cut) = (Vec::new(), &bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(rest.len().min(*cut.next().unwrap()));
            pieces.push(piece);
            rest = next;
        }
        let (split, passed, split_result) = scan(&pieces);
        prop_assert_eq!(split_result, result);
        prop_assert!(passed >= safe);
        prop_assert_eq!(split.phase(), whole.phase());
        prop_assert_eq!((split.heads(), split.body_bytes()), (whole.heads(), whole.body_bytes()));
    }

    #[test]
    fn what_is_accepted_hyper_takes_and_reads_alike(parts in prop::collection::vec(fragment(), 0..8),
                                                    flip in any::<(prop::sample::Index, u8, bool)>()) {
        let mut bytes = b"POST /p?q=r HTTP/1.1\r\nHost: a\r\n".to_vec();
        bytes.extend(parts.concat());
        bytes.extend(b"\r\n");
        if flip.2 {
            let at = flip.0.index(bytes.len());
            bytes[at] = flip.1;
        }
        let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { return Ok(()) };
        let (mut scanner, _, result) = scan(&[&bytes[..end + 4]]);
        if result.is_ok() && scanner.heads() == 1 {
            let mut end = end;
            for Carried { head, place } in scanner.take_carried() {
                prop_assert_eq!(head, 1);
                let place = place.start as usize..place.end as usize;
                end -= place.len() - 1;
                bytes.splice(place, *b"/");
            }
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(&bytes).unwrap();
            prop_assert_eq!(parsed, httparse::Status::Complete(end + 4));
            // Everything else that hyper answers with a 4xx of its own.
            prop_assert!(http::Method::from_bytes(request.method.unwrap().as_bytes()).is_ok());
            let target = request.path.unwrap();
            let uri = http::Uri::from_maybe_shared(bytes::Bytes::copy_from_slice(target.as_bytes())).unwrap();
            prop_assert_eq!(uri.path_and_query().map(|held| held.as_str()), Some(target));
            for field in request.headers.iter() {
                prop_assert!(http::HeaderName::from_bytes(field.name.as_bytes()).is_ok());
                prop_assert!(http::HeaderValue::from_bytes(field.value).is_ok());
            }
            // The request line and the empty line are no fields; one empty line may lead.
            let lines = bytes[..end + 4].split(|&b| b == b'\n').filter(|l| l.len() > 1).count();
            prop_assert_eq!(request.headers.len(), lines - 1);
            let has = |name: &str| request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
            prop_assert!(has("content-length") + has("transfer-encoding") <= 1);
            prop_assert_eq!(has("host"), 1);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>()) {
        let at = at.index(bytes.len() + 1);
        let _ = scan(&[&bytes[..at], &bytes[at..]]);
        let _ = Chunks::default().next(&bytes);
    }
}
