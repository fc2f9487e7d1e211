//! What is written, byte for byte, and what never is.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::super::Accepted;
use super::{encode_101, encode_request, encode_request_with};
use crate::message::spelling::Speller;

const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn request(target: &str, headers: &HeaderMap) -> String {
    let mut out = Vec::new();
    encode_request(
        &mut out,
        target.as_bytes(),
        &HeaderValue::from_static("a.example:81"),
        headers,
        &KEY,
    );
    String::from_utf8(out).unwrap()
}

#[test]
fn request_is_written_in_the_spelling_of_the_rfc() {
    let headers = map(&[
        ("origin", "http://a.example:81"),
        ("sec-websocket-protocol", "chat, SuperChat"),
        (
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        ),
        ("sec-websocket-extensions", "x"),
        ("x-forwarded-for", "192.0.2.1"),
    ]);
    assert_eq!(
        request("/chat?token=a%20b", &headers),
        "GET /chat?token=a%20b HTTP/1.1\r\n\
         Host: a.example:81\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Origin: http://a.example:81\r\n\
         Sec-WebSocket-Protocol: chat, SuperChat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Sec-WebSocket-Extensions: x\r\n\
         X-Forwarded-For: 192.0.2.1\r\n\r\n"
    );
}

#[test]
fn request_never_copies_what_would_change_it() {
    let headers = map(&[
        ("host", "evil"),
        ("connection", "close"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("expect", "100-continue"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("sec-websocket-version", "8"),
        ("sec-websocket-accept", "x"),
    ]);
    assert_eq!(request("/", &headers), request("/", &HeaderMap::new()));
    assert!(request("?q", &HeaderMap::new()).starts_with("GET /?q HTTP/1.1\r\n"));
}

fn accepted() -> Accepted {
    Accepted {
        accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(),
        subprotocol: Some(HeaderValue::from_static("chat")),
        extensions: vec![HeaderValue::from_static("permessage-deflate")],
    }
}

#[test]
fn switching_answer_keeps_end_to_end_fields_only() {
    let headers = map(&[
        ("upgrade", "WebSocket"),
        ("connection", "upgrade, X-Hop"),
        ("sec-websocket-accept", "of the upstream"),
        ("sec-websocket-protocol", "chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("x-hop", "nominated"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("server", "x"),
    ]);
    let mut out = Vec::new();
    encode_101(&mut out, b"Switching Protocols", &headers, &accepted());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\
         Set-Cookie: a=1\r\n\
         Set-Cookie: b=2\r\n\
         Server: x\r\n\r\n"
    );
}

#[test]
fn names_have_their_registered_spelling() {
    for (name, spelled) in [
        ("sec-websocket-key", "Sec-WebSocket-Key"),
        ("sec-websocket-x-y", "Sec-WebSocket-X-Y"),
        ("sec-fetch-mode", "Sec-Fetch-Mode"),
        ("x-request-id", "X-Request-Id"),
        ("www-authenticate", "WWW-Authenticate"),
        ("etag", "ETag"),
        ("dnt", "DNT"),
        ("x--a-", "X--A-"),
        ("1st_x", "1st_x"),
    ] {
        let mut out = Vec::new();
        Speller::new(b"").push(&mut out, name.as_bytes());
        assert_eq!(String::from_utf8(out).unwrap(), spelled);
    }
}

proptest! {
    #[test]
    fn spelling_changes_nothing_but_case(name in "(sec-websocket-)?[a-z0-9!#$&'*+.^_`|~-]{1,20}") {
        let mut out = Vec::new();
        Speller::new(b"").push(&mut out, name.as_bytes());
        prop_assert!(out.eq_ignore_ascii_case(name.as_bytes()));
    }

    #[test]
    fn what_is_written_parses_back_to_one_request(
        fields in prop::collection::vec(("[a-z][a-z0-9-]{0,12}", "[!-~]([ -~\t]{0,20}[!-~])?"), 0..8),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let mut out = Vec::new();
        encode_request(&mut out, b"/x", &HeaderValue::from_static("h"), &headers, &KEY);
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut slots);
        prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
        let count = |name: &str| parsed.headers.iter().filter(|h| h.name == name).count();
        for name in ["Host", "Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
            prop_assert_eq!(count(name), 1, "{}", name);
        }
    }
}

#[test]
fn a_handshake_is_written_as_the_map_would_have_it() {
    use crate::config::{HttpConfig, Scheme};
    use crate::message::forwarded::{
        Forwarding, ForwardingPolicy, PeerFields, apply, gives_way, write_direct,
    };
    use http::{Version, header};
    let policy = ForwardingPolicy::new(&HttpConfig::default());
    let peer = PeerFields::new(
        &policy,
        Some("192.0.2.7:4711".parse().unwrap()),
        8443,
        Scheme::Https,
    );
    let mut fields = HeaderMap::new();
    fields.append("host", HeaderValue::from_static("app.example.com:8443"));
    fields.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
    fields.append(
        "origin",
        HeaderValue::from_static("https://app.example.com"),
    );
    let host = fields[header::HOST].clone();
    let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    let target = b"/ws";
    let mut direct = Vec::new();
    let mut id = None;
    encode_request_with(
        &mut direct,
        target,
        &host,
        (&fields).into(),
        &key,
        |name| gives_way(&policy, name),
        |out| id = write_direct(out, &policy, &peer, Some(&host)),
    );
    let forwarding = Forwarding {
        policy: &policy,
        peer: &peer,
        version: Version::HTTP_11,
    };
    apply(&mut fields, &forwarding);
    fields.insert("x-request-id", id.unwrap().to_value());
    let mut mapped = Vec::new();
    encode_request(&mut mapped, target, &host, &fields, &key);
    let lines = |head: Vec<u8>| {
        let mut lines: Vec<String> = String::from_utf8(head)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(direct), lines(mapped));
}
