//! The checks of RFC 6455 section 4.1, one broken 101 each.

use http::{HeaderValue, StatusCode};

use super::super::{Accepted, ClientHandshake, HeadRules, ResponseHead};
use super::{Deflate, UpstreamProblem, extension_names, validate_101};

const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

fn offered(subprotocols: &[&'static str], extensions: &[&'static str]) -> ClientHandshake {
    let lines =
        |lines: &[&'static str]| lines.iter().map(|l| HeaderValue::from_static(l)).collect();
    ClientHandshake {
        key: HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        subprotocols: lines(subprotocols),
        extensions: lines(extensions),
    }
}

fn head(status_line: &str, fields: &[&str]) -> ResponseHead {
    let bytes = format!("{status_line}\r\n{}\r\n", fields.concat());
    ResponseHead::parse(bytes.as_bytes(), HeadRules::default())
        .unwrap()
        .unwrap()
        .0
}

fn judge(fields: &[&str], handshake: &ClientHandshake) -> Result<Accepted, UpstreamProblem> {
    validate_101(&head("HTTP/1.1 101 Switching Protocols", fields), handshake)
}

#[test]
fn example_of_the_rfc_is_accepted() {
    let accepted = judge(&[UPGRADE, ACCEPT], &offered(&[], &[])).unwrap();
    assert_eq!(accepted.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((accepted.subprotocol, accepted.extensions), (None, vec![]));
}

#[test]
fn upgrade_and_connection_in_any_case() {
    let fields = [
        "UPGRADE: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n",
        ACCEPT,
    ];
    assert!(judge(&fields, &offered(&[], &[])).is_ok());
}

#[test]
fn what_is_not_the_switch_that_was_asked_for() {
    use UpstreamProblem::*;
    let wrong = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n";
    let lower = "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n";
    for (fields, problem) in [
        (&["Connection: Upgrade\r\n", ACCEPT][..], UpgradeMissing),
        (
            &["Upgrade: h2c\r\nConnection: Upgrade\r\n", ACCEPT],
            UpgradeOther,
        ),
        (
            &["Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n", ACCEPT],
            UpgradeOther,
        ),
        (&[UPGRADE, "Upgrade: h2c\r\n", ACCEPT], UpgradeOther),
        (&["Upgrade: websocket\r\n", ACCEPT], ConnectionMissing),
        (
            &["Upgrade: websocket\r\nConnection: close\r\n", ACCEPT],
            ConnectionMissing,
        ),
        (&[UPGRADE], AcceptMissing),
        (&[UPGRADE, wrong], AcceptWrong),
        (&[UPGRADE, lower], AcceptWrong),
        (&[UPGRADE, ACCEPT, ACCEPT], AcceptWrong),
    ] {
        assert_eq!(
            judge(fields, &offered(&[], &[])),
            Err(problem),
            "{fields:?}"
        );
    }
    let verdict = |line| validate_101(&head(line, &[UPGRADE, ACCEPT]), &offered(&[], &[]));
    assert_eq!(verdict("HTTP/1.0 101 X"), Err(HttpVersion));
    assert_eq!(verdict("HTTP/1.1 200 OK"), Err(NotSwitching));
    assert_eq!(verdict("HTTP/1.1 100 X"), Err(NotSwitching));
}

#[test]
fn subprotocol_must_be_one_that_was_offered() {
    use UpstreamProblem::*;
    let chosen = |fields: &str, offers: &[&'static str]| {
        judge(&[UPGRADE, ACCEPT, fields], &offered(offers, &[])).map(|a| a.subprotocol)
    };
    let chat = "Sec-WebSocket-Protocol: chat\r\n";
    assert_eq!(chosen(chat, &["x, chat"]).unwrap().unwrap(), "chat");
    assert_eq!(chosen(chat, &["x", " chat ,y"]).unwrap().unwrap(), "chat");
    assert_eq!(chosen("", &["chat"]), Ok(None));
    assert_eq!(chosen(chat, &[]), Err(SubprotocolNotOffered));
    assert_eq!(
        chosen(chat, &["Chat, chat2, cha"]),
        Err(SubprotocolNotOffered)
    );
    assert_eq!(
        chosen("Sec-WebSocket-Protocol: x, chat\r\n", &["x, chat"]),
        Err(SubprotocolNotOffered)
    );
    assert_eq!(
        chosen("Sec-WebSocket-Protocol:\r\n", &[]),
        Err(SubprotocolNotOffered)
    );
    assert_eq!(chosen(&chat.repeat(2), &["chat"]), Err(SubprotocolRepeated));
}

#[test]
fn extensions_must_have_been_offered() {
    let judge = |fields: &str, offers: &[&'static str]| {
        judge(&[UPGRADE, ACCEPT, fields], &offered(&[], offers)).map(|a| a.extensions)
    };
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n";
    let offer = "x-other, permessage-deflate; client_max_window_bits";
    assert_eq!(judge(deflate, &[offer]).unwrap().len(), 1);
    assert_eq!(judge("", &[offer]).unwrap().len(), 0);
    assert_eq!(
        judge(deflate, &[]),
        Err(UpstreamProblem::ExtensionNotOffered)
    );
    assert_eq!(
        judge(
            "Sec-WebSocket-Extensions: permessage-deflate, mux\r\n",
            &[offer]
        ),
        Err(UpstreamProblem::ExtensionNotOffered)
    );
    // A name inside a quoted parameter offers nothing.
    assert_eq!(
        judge(
            "Sec-WebSocket-Extensions: mux\r\n",
            &["a; p=\"x, mux, \\\", mux\""]
        ),
        Err(UpstreamProblem::ExtensionNotOffered)
    );
}

#[test]
fn extension_names_respect_quotes() {
    let lines = ["a; x=\"1,2\\\",3\"; y , b", ",, c;z,\td"].map(HeaderValue::from_static);
    let names: Vec<_> = extension_names(&lines).collect();
    assert_eq!(names, [b"a", b"b", b"c", b"d"]);
}

#[test]
fn waiver_covers_sloppiness_but_no_other_protocol() {
    use UpstreamProblem::*;
    for problem in [
        UpgradeMissing,
        ConnectionMissing,
        AcceptMissing,
        AcceptWrong,
    ] {
        assert!(problem.can_be_waived(), "{problem:?}");
    }
    for problem in [NotSwitching, HttpVersion, UpgradeOther] {
        assert!(!problem.can_be_waived(), "{problem:?}");
    }
    let sloppy = head(
        "HTTP/1.1 101 X",
        &["Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: y\r\n"],
    );
    assert_eq!(sloppy.status, StatusCode::SWITCHING_PROTOCOLS);
    let accepted = Accepted::unchecked(&sloppy, &offered(&[], &[]));
    assert_eq!(accepted.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(accepted.subprotocol.unwrap(), "y");
}

#[test]
fn what_was_agreed_on_about_compression() {
    let agreed = |lines: &[&str]| {
        let offer = offered(&[], &["permessage-deflate, x-other"]);
        let fields = lines
            .iter()
            .map(|line| format!("Sec-WebSocket-Extensions: {line}\r\n"));
        let fields = [UPGRADE.to_owned(), ACCEPT.to_owned()]
            .into_iter()
            .chain(fields);
        let fields: Vec<String> = fields.collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let deflate = judge(&fields, &offer).unwrap().deflate();
        deflate.map(|deflate| {
            let Deflate {
                client_no_context_takeover,
                server_no_context_takeover,
            } = deflate;
            (client_no_context_takeover, server_no_context_takeover)
        })
    };
    assert_eq!(agreed(&[]), None);
    assert_eq!(agreed(&["x-other; permessage-deflate"]), None);
    assert_eq!(agreed(&["permessage-deflate"]), Some((false, false)));
    assert_eq!(
        agreed(&[
            "x-other",
            "Permessage-Deflate; server_max_window_bits=10;client_no_context_takeover"
        ]),
        Some((true, false))
    );
    assert_eq!(
        agreed(&[
            "permessage-deflate ; server_no_context_takeover, x-other; client_no_context_takeover"
        ]),
        Some((false, true))
    );
}
