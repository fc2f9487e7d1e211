//! Fuzz body for `http::handshake` and `http::diagnosis`: an upstream's answer in every split,
//! judged and explained, and the same bytes as header lines of a client's request. Owns no
//! entry point: the fuzzer and the corpus test call `run`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use sluice::fault::diagnosis::{HandshakeAnswer, Sent, diagnose};
use sluice::websocket::handshake::{
    Accepted, ClientHandshake, HeadRules, ResponseHead, UpgradeRequest, classify, encode_101,
    encode_request, validate_101,
};

/// Small, so that the limit is met too.
const MAX_HEAD: usize = 2048;

/// Panics when an invariant of the handshake is broken.
pub fn run(data: &[u8]) {
    upstream(data);
    client(data);
}

fn upstream(data: &[u8]) {
    for lenient in [true, false] {
        answer(data, lenient);
    }
}

fn answer(data: &[u8], lenient: bool) {
    let rules = HeadRules {
        max_bytes: MAX_HEAD,
        ..HeadRules::new(64, lenient)
    };
    let whole = ResponseHead::parse(data, rules);
    for cut in 0..data.len().min(MAX_HEAD + 1) {
        match ResponseHead::parse(&data[..cut], rules) {
            Ok(None) => {}
            verdict => assert_eq!(verdict, whole, "more bytes changed the verdict"),
        }
    }
    let host = HeaderValue::from_static("a.example");
    let sent = Sent {
        host: &host,
        replaced_host: None,
        origin: Some(&host),
        path: b"/ws",
    };
    match &whole {
        Ok(None) => drop(diagnose(&sent, &HandshakeAnswer::Closed(data))),
        Err(error) => drop(diagnose(
            &sent,
            &HandshakeAnswer::Garbage {
                error: *error,
                bytes: data,
            },
        )),
        Ok(Some((head, end))) => {
            assert!(*end <= MAX_HEAD);
            let body = &data[*end..];
            let (status, headers) = (head.status, &head.headers);
            diagnose(
                &sent,
                &HandshakeAnswer::Status {
                    status,
                    headers,
                    body,
                },
            );
            relay(head, &sent);
        }
    }
}

/// What we would send the client must again be a valid 101, whatever the upstream sent.
fn relay(head: &ResponseHead, sent: &Sent<'_>) {
    let handshake = ClientHandshake {
        key: HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        subprotocols: vec![HeaderValue::from_static("chat, v2")],
        extensions: vec![HeaderValue::from_static(
            "permessage-deflate; client_max_window_bits",
        )],
    };
    let accepted = match validate_101(head, &handshake) {
        Ok(accepted) => accepted,
        Err(problem) => {
            diagnose(
                sent,
                &HandshakeAnswer::Invalid101 {
                    problem,
                    headers: &head.headers,
                },
            );
            if !problem.can_be_waived() {
                return;
            }
            Accepted::unchecked(head, &handshake)
        }
    };
    let strict = validate_101(head, &handshake).is_ok();
    let mut out = Vec::new();
    encode_101(&mut out, &head.reason, &head.headers, &accepted);
    let (ours, end) = ResponseHead::parse(&out, HeadRules::default())
        .expect("valid")
        .expect("complete");
    assert_eq!(end, out.len());
    assert!(!strict || validate_101(&ours, &handshake) == Ok(accepted));
}

/// Lines of `name: value` as a request's fields; lines that are none are left out.
fn client(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n').take(64) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let UpgradeRequest::WebSocket(handshake) =
        classify(&Method::GET, Version::HTTP_11, &headers, false)
    else {
        return;
    };
    let mut out = Vec::new();
    let host = HeaderValue::from_static("a.example");
    encode_request(&mut out, b"/ws", &host, &headers, &handshake.key);
    let mut slots = [httparse::EMPTY_HEADER; 96];
    let mut request = httparse::Request::new(&mut slots);
    assert_eq!(
        request.parse(&out),
        Ok(httparse::Status::Complete(out.len()))
    );
    for name in [
        "Host",
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ] {
        let count = request
            .headers
            .iter()
            .filter(|h| h.name.eq_ignore_ascii_case(name))
            .count();
        assert_eq!(count, 1, "{name} must be sent once");
    }
    for name in ["Content-Length", "Transfer-Encoding"] {
        assert!(
            !request
                .headers
                .iter()
                .any(|h| h.name.eq_ignore_ascii_case(name))
        );
    }
}
