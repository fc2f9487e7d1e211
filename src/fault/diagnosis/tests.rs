//! Golden answers: heads and bodies as gorilla/websocket, node `ws` 8.23, python `websockets`
//! 17.4, nginx 1.22 and Go's and node's own HTTP servers send them, dates left out.

use std::time::Duration;

use http::HeaderValue;

use super::*;
use crate::websocket::handshake::{HeadRules, ResponseHead};

const GORILLA_400: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 12\r\n\r\n\
    Bad Request\n";
const GORILLA_403: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 10\r\n\r\n\
    Forbidden\n";
const GO_404: &str = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n\r\n404 page not found\n";
const GO_TLS: &str =
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const WS_426: &str = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 16\r\n\
    Content-Type: text/plain\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n\
    Upgrade Required";
const WS_PATH: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/html\r\nContent-Length: 11\r\n\r\nBad Request";
const WS_KEY: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/html\r\nContent-Length: 43\r\n\r\n\
    Missing or invalid Sec-WebSocket-Key header";
const PYTHON_426: &str = "HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\
    Content-Length: 155\r\nContent-Type: text/plain; charset=utf-8\r\nUpgrade: websocket\r\n\r\n\
    Failed to open a WebSocket connection: missing Upgrade header.\n\n\
    You cannot access a WebSocket server directly with a browser. You need a WebSocket client.\n";
const PYTHON_VERSION: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Length: 80\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
    Failed to open a WebSocket connection: invalid Sec-WebSocket-Version header: 8.\n";
const PYTHON_403: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 89\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\n\
    Failed to open a WebSocket connection: invalid Origin header: http://other.example:8080.\n";
const NODE_200: &str = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
    Content-Length: 5\r\n\r\nhello";
const NGINX_TLS: &str = "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\n\
    Content-Type: text/html\r\nContent-Length: 255\r\nConnection: close\r\n\r\n<html>\r\n\
    <head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>\r\n";
const NGINX_301: &str = "HTTP/1.1 301 Moved Permanently\r\nServer: nginx/1.22.1\r\n\
    Content-Length: 169\r\nConnection: keep-alive\r\nLocation: https://h.example/ws?token=secret\
    \r\n\r\n";
const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\n\
    Content-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n";
const NGINX_HTTP2: &[u8] = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80";
const NODE_HTTP2: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07";

static HOST: HeaderValue = HeaderValue::from_static("a.example:81");

fn sent<'a>(host: &'a HeaderValue, origin: Option<&'a HeaderValue>) -> Sent<'a> {
    Sent {
        host,
        replaced_host: None,
        origin,
        path: b"/ws",
    }
}

/// Diagnoses a recorded answer the way the exchange does.
fn answered(sent: &Sent<'_>, answer: &str) -> Diagnosis {
    let (head, end) = ResponseHead::parse(answer.as_bytes(), HeadRules::default())
        .unwrap()
        .expect("complete");
    let body = &answer.as_bytes()[end..];
    diagnose(
        sent,
        &HandshakeAnswer::Status {
            status: head.status,
            headers: &head.headers,
            body,
        },
    )
}

fn cause(answer: &str) -> &'static str {
    answered(&sent(&HOST, None), answer).cause
}

#[test]
fn recorded_answers_have_their_cause() {
    for (answer, expected) in [
        (GORILLA_400, "upgrade-not-seen"),
        (WS_426, "upgrade-not-seen"),
        (PYTHON_426, "upgrade-not-seen"),
        (WS_PATH, "path-or-handshake-rejected"),
        (WS_KEY, "handshake-rejected"),
        (PYTHON_VERSION, "handshake-rejected"),
        (GORILLA_403, "forbidden"),
        (GO_404, "path-not-found"),
        (GO_TLS, "tls-expected"),
        (NGINX_TLS, "tls-expected"),
        (NODE_200, "not-a-websocket-endpoint"),
        (NGINX_301, "redirect-to-https"),
        (NGINX_502, "gateway-behind-failed"),
    ] {
        assert_eq!(cause(answer), expected, "{answer}");
    }
}

#[test]
fn every_other_status_has_a_cause() {
    let bare = |line: &str| cause(&format!("HTTP/1.1 {line}\r\n\r\n"));
    assert_eq!(bare("401 X\r\nWWW-Authenticate: Basic"), "credentials");
    assert_eq!(bare("407 X"), "credentials");
    assert_eq!(bare("405 X"), "path-not-websocket");
    assert_eq!(bare("421 X"), "host-unknown");
    assert_eq!(bare("426 X\r\nUpgrade: TLS/1.2"), "other-protocol-required");
    assert_eq!(
        bare("426 X\r\nSec-WebSocket-Version: 8, 7"),
        "version-unsupported"
    );
    assert_eq!(
        bare("400 X\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13"),
        "upgrade-not-seen"
    );
    assert_eq!(bare("429 X"), "overloaded");
    assert_eq!(bare("503 X\r\nRetry-After: 5"), "overloaded");
    assert_eq!(bare("501 X"), "upgrade-unsupported");
    assert_eq!(bare("504 X"), "gateway-behind-failed");
    assert_eq!(bare("500 X"), "backend-error");
    assert_eq!(bare("418 X"), "refused");
    assert_eq!(bare("302 X\r\nLocation: /ws/"), "redirect-slash");
    assert_eq!(
        bare("302 X\r\nLocation: http://b.example/login"),
        "redirect"
    );
    assert_eq!(bare("308 X"), "redirect");
}

#[test]
fn missing_upgrade_names_the_proxy_in_between() {
    let diagnosis = answered(&sent(&HOST, None), GORILLA_400);
    assert!(diagnosis.likely.contains("another proxy"), "{diagnosis:?}");
    assert!(
        diagnosis.fix.contains("proxy_set_header Connection"),
        "{diagnosis:?}"
    );
}

#[test]
fn refused_origin_names_both_values() {
    let origin = HeaderValue::from_static("http://public.example:8080");
    let host = HeaderValue::from_static("backend:9000");
    let client_host = HeaderValue::from_static("Public.example:8080");
    let replaced = Sent {
        replaced_host: Some(&client_host),
        ..sent(&host, Some(&origin))
    };
    let diagnosis = answered(&replaced, GORILLA_403);
    assert_eq!(diagnosis.cause, "origin-refused");
    assert_eq!(
        diagnosis.likely,
        "the upstream probably compares the Origin \"http://public.example:8080\" with the Host \
         \"backend:9000\" that it was given, and they differ (gorilla/websocket does so by \
         default)"
    );
    assert!(
        diagnosis.fix.starts_with("remove set_host"),
        "{diagnosis:?}"
    );

    let listed = answered(&replaced, PYTHON_403);
    assert_eq!(listed.cause, "origin-refused");
    for value in [
        "\"http://public.example:8080\"",
        "\"backend:9000\"",
        "its own list",
    ] {
        assert!(listed.likely.contains(value), "{listed:?}");
    }
}

#[test]
fn refused_origin_tells_whether_set_host_is_to_blame() {
    let origin = HeaderValue::from_static("http://public.example:8080");
    let other = HeaderValue::from_static("public.example");
    let kept = answered(&sent(&other, Some(&origin)), GORILLA_403);
    assert!(
        kept.fix.contains("proxy_set_header Host $http_host"),
        "{kept:?}"
    );
    let both_differ = Sent {
        replaced_host: Some(&other),
        ..sent(&HOST, Some(&origin))
    };
    let diagnosis = answered(&both_differ, GORILLA_403);
    assert!(diagnosis.fix.contains("which differs too"), "{diagnosis:?}");
    let same = HeaderValue::from_static("public.example:8080");
    let diagnosis = answered(&sent(&same, Some(&origin)), GORILLA_403);
    assert!(
        diagnosis.likely.contains("although it matches that Host"),
        "{diagnosis:?}"
    );
    assert!(diagnosis.fix.contains("backend's list"), "{diagnosis:?}");
}

#[test]
fn location_is_named_without_its_query() {
    let diagnosis = answered(&sent(&HOST, None), NGINX_301);
    assert!(
        diagnosis.likely.contains("\"https://h.example/ws\""),
        "{diagnosis:?}"
    );
    assert!(!format!("{diagnosis:?}").contains("secret"));
    assert!(diagnosis.fix.contains("X-Forwarded-Proto"), "{diagnosis:?}");
}

#[test]
fn bytes_of_other_protocols() {
    let garbage = |bytes| {
        let error = ResponseHead::parse(bytes, HeadRules::default()).unwrap_err();
        diagnose(
            &sent(&HOST, None),
            &HandshakeAnswer::Garbage { error, bytes },
        )
    };
    assert_eq!(
        garbage(b"\x15\x03\x01\x00\x02\x02\x46").cause,
        "tls-expected"
    );
    assert_eq!(garbage(NGINX_HTTP2).cause, "http2-only");
    assert_eq!(garbage(NODE_HTTP2).cause, "http2-only");
    assert_eq!(
        garbage(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").cause,
        "http2-only"
    );
    let ssh = garbage(b"SSH-2.0-OpenSSH_9.2\r\n");
    assert_eq!(ssh.cause, "not-http");
    assert!(ssh.likely.contains("\"SSH-2.0-OpenSSH_9.2\""), "{ssh:?}");
    assert_eq!(
        garbage(b"HTTP/1.1 101 X\r\nA b: c\r\n\r\n").cause,
        "malformed-answer"
    );
    let bare = garbage(b"HTTP/1.1 101 X\nA: b\n\n");
    assert_eq!(bare.cause, "malformed-answer");
    assert!(bare.fix.contains("lenient = true"), "{bare:?}");
}

#[test]
fn no_answer_at_all() {
    let closed = |bytes| diagnose(&sent(&HOST, None), &HandshakeAnswer::Closed(bytes));
    assert_eq!(closed(b"").cause, "closed-without-answer");
    assert_eq!(closed(b"\x15\x03\x03\x00\x02").cause, "tls-expected");
    assert_eq!(closed(b"HTTP/1.1 101 Swit").cause, "closed-in-answer");
    let late = diagnose(
        &sent(&HOST, None),
        &HandshakeAnswer::TimedOut(Duration::from_secs(10)),
    );
    assert_eq!(late.cause, "no-answer-in-time");
    assert!(
        late.likely.contains("10s") && late.fix.contains("handshake_timeout"),
        "{late:?}"
    );
}

#[test]
fn broken_101_names_the_value_and_the_way_out() {
    let wrong = "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: abc\r\n\
                 Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Extensions: mux\r\n\r\n";
    let (head, _) = ResponseHead::parse(wrong.as_bytes(), HeadRules::default())
        .unwrap()
        .unwrap();
    let judged = |problem| {
        diagnose(
            &sent(&HOST, None),
            &HandshakeAnswer::Invalid101 {
                problem,
                headers: &head.headers,
            },
        )
    };
    for (problem, value) in [
        (UpstreamProblem::UpgradeOther, "\"h2c\""),
        (UpstreamProblem::AcceptWrong, "\"abc\""),
        (UpstreamProblem::SubprotocolNotOffered, "\"mqtt\""),
        (UpstreamProblem::ExtensionNotOffered, "\"mux\""),
    ] {
        let diagnosis = judged(problem);
        assert_eq!(diagnosis.cause, problem.name());
        assert!(diagnosis.likely.contains(value), "{diagnosis:?}");
        assert_eq!(
            diagnosis.fix.contains("accept_invalid_101"),
            problem.can_be_waived()
        );
    }
}

#[test]
fn client_problems_name_the_hop_in_front() {
    let diagnosis = diagnose_client(HandshakeProblem::ConnectionRemoved);
    assert_eq!(diagnosis.cause, "client-connection-removed");
    assert!(
        diagnosis.likely.contains("a proxy in front removed"),
        "{diagnosis:?}"
    );
    assert!(
        diagnosis.fix.contains("in front of sluice"),
        "{diagnosis:?}"
    );
    assert!(
        diagnose_client(HandshakeProblem::KeyInvalid)
            .fix
            .contains("client")
    );
}

#[test]
fn first_words_are_printable_and_short() {
    let plain = HeaderMap::new();
    let words = |body: &[u8]| first_words(&plain, body);
    assert_eq!(words(b"Bad Request\n"), "Bad Request");
    assert_eq!(
        words(b"<html>\r\n<h1>502 Bad</h1><hr>nginx"),
        "502 Bad nginx"
    );
    assert_eq!(
        words(b"a\x1b[31m\r\nlevel=error\0b"),
        "a [31m level=error b"
    );
    assert_eq!(words("zażółć \u{202e}\u{2028}x".as_bytes()), "zażółć x");
    assert_eq!(words("a\u{3164}b\u{115f}c\u{ffa0}d".as_bytes()), "abcd");
    assert_eq!(words(b"\xff\xfe caf\xc3"), "caf");
    let long = words("word ".repeat(100).as_bytes());
    assert!(long.chars().count() <= 81 && long.ends_with('…'), "{long}");
    assert_eq!(words(&b"x".repeat(80)), "x".repeat(80));
    let mut gzip = HeaderMap::new();
    gzip.insert("content-encoding", HeaderValue::from_static("gzip"));
    assert_eq!(first_words(&gzip, b"\x1f\x8bjunk"), "");
}

proptest::proptest! {
    #[test]
    fn never_panics_and_stays_on_one_line(
        status in 100_u16..1000,
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        value in "[ -~]{0,100}",
    ) {
        let value = HeaderValue::from_str(&value).unwrap();
        let mut headers = HeaderMap::new();
        for name in ["location", "upgrade", "retry-after", "sec-websocket-version"] {
            headers.insert(name, value.clone());
        }
        let sent = sent(&value, Some(&value));
        let status = StatusCode::from_u16(status).unwrap();
        let error = HeadError::NotHttp;
        for answer in [
            HandshakeAnswer::Status { status, headers: &headers, body: &bytes },
            HandshakeAnswer::Garbage { error, bytes: &bytes },
            HandshakeAnswer::Closed(&bytes),
        ] {
            let Diagnosis { cause, likely, fix } = diagnose(&sent, &answer);
            assert!(!cause.is_empty() && !likely.contains(char::is_control) && !fix.contains(char::is_control));
            assert!(likely.len() < 800 && fix.len() < 800);
        }
    }
}
