//! What may not come: each thing ends the session with the alert that the RFC names, after the data
//! that came before it.

use super::super::limits::{HEADER, MAX_BODY, content};
use super::super::{Alert, Fault, MAX_PLAIN, Reading, Session};
use super::stage::{close, feed, is_open, key_update, pair, record, record_of, seal};

/// How a server reads what its client makes of `attack`.
fn read(attack: impl FnOnce(&mut Session) -> Vec<u8>) -> (Session, Session) {
    let (mut server, mut client) = pair();
    let mut bytes = seal(&mut client, b"before");
    bytes.extend(attack(&mut client));
    // What follows is not looked at.
    let mut after = bytes.clone();
    after.extend(seal(&mut client, b"after"));
    assert_eq!(feed(&mut server, &bytes, usize::MAX), b"before");
    let (mut other, mut pieces) = (pair().0, pair().0);
    assert_eq!(feed(&mut other, &after, usize::MAX), b"before");
    assert_eq!(feed(&mut pieces, &after, 1), b"before");
    assert_eq!(other.reading(), server.reading());
    assert_eq!(pieces.reading(), server.reading());
    (server, client)
}

/// It ends with this alert, which the client can read.
fn refused(alert: Alert, attack: impl FnOnce(&mut Session) -> Vec<u8>) {
    let (mut server, mut client) = read(attack);
    let fault = server.reading();
    assert!(
        matches!(fault, Reading::Failed(Fault::Broken(sent, _)) if sent == alert),
        "{fault:?} instead of {alert}"
    );
    assert!(server.export().is_none(), "it goes nowhere");
    let last = close(&mut server);
    assert_eq!(feed(&mut client, &last, usize::MAX), b"");
    assert_eq!(client.reading(), Reading::Failed(Fault::Told(alert)));
    assert_eq!(close(&mut server), b"", "once");
    assert_eq!(close(&mut client), b"", "an alert is not answered");
    let sealed = server.seal(b"x", &mut [0; 1000]);
    assert_eq!(sealed.expect_err("nothing may follow"), Fault::Closed);
}

fn handshake(messages: &'static [u8]) -> impl FnOnce(&mut Session) -> Vec<u8> {
    |client| record_of(client, content::HANDSHAKE, messages)
}

#[test]
fn handshake_messages_but_for_key_updates_are_unexpected() {
    for first in (0..=u8::MAX).filter(|kind| *kind != 24) {
        refused(Alert::UNEXPECTED_MESSAGE, |client| {
            record_of(client, content::HANDSHAKE, &[first, 0, 0, 1, 0])
        });
    }
    refused(Alert::UNEXPECTED_MESSAGE, handshake(&[]));
    refused(Alert::UNEXPECTED_MESSAGE, handshake(&[1]));
}

#[test]
fn a_key_update_has_its_length_and_one_of_two_values() {
    for wrong in [
        &[24, 0, 0, 0][..],
        &[24, 0, 0, 2, 0, 0],
        &[24, 1],
        &[24, 0, 7],
    ] {
        refused(Alert::DECODE_ERROR, |client| {
            record_of(client, content::HANDSHAKE, wrong)
        });
    }
    for value in 2..=u8::MAX {
        refused(Alert::ILLEGAL_PARAMETER, |client| {
            record_of(client, content::HANDSHAKE, &[24, 0, 0, 1, value])
        });
    }
}

#[test]
fn a_key_update_ends_its_record() {
    let update = [24, 0, 0, 1, 0];
    for after in [&[0][..], &[24], &update, &[1, 2, 3]] {
        refused(Alert::UNEXPECTED_MESSAGE, |client| {
            record_of(client, content::HANDSHAKE, &[&update, after].concat())
        });
    }
    refused(Alert::UNEXPECTED_MESSAGE, |client| {
        let mut bytes = record_of(client, content::HANDSHAKE, &update[..2]);
        bytes.extend(record_of(client, content::HANDSHAKE, &[0, 1, 0, 24]));
        bytes
    });
}

#[test]
fn nothing_comes_between_the_pieces_of_a_key_update() {
    for pieces in 1..5 {
        for between in [
            (content::DATA, &b"data"[..]),
            (content::DATA, b""),
            (content::ALERT, &[1, 0]),
            (content::HANDSHAKE, b""),
        ] {
            refused(Alert::UNEXPECTED_MESSAGE, |client| {
                let begun = &[24, 0, 0, 1][..pieces];
                let mut bytes = record_of(client, content::HANDSHAKE, begun);
                bytes.extend(record_of(client, between.0, between.1));
                bytes
            });
        }
    }
}

#[test]
fn the_keys_change_with_the_update_and_not_later() {
    refused(Alert::BAD_RECORD_MAC, |client| {
        let mut bytes = record_of(client, content::HANDSHAKE, &[24, 0, 0, 1, 0]);
        bytes.extend(seal(client, b"under the old keys"));
        bytes
    });
    refused(Alert::BAD_RECORD_MAC, |client| {
        client.outgoing.protection.update().expect("keys");
        seal(client, b"under keys of the future")
    });
}

#[test]
fn records_are_in_order_and_whole() {
    refused(Alert::BAD_RECORD_MAC, |client| {
        let (one, two) = (seal(client, b"one"), seal(client, b"two"));
        [two, one].concat()
    });
    refused(Alert::BAD_RECORD_MAC, |client| {
        seal(client, b"lost");
        seal(client, b"next")
    });
    refused(Alert::BAD_RECORD_MAC, |client| {
        let empty = record_of(client, content::DATA, b"");
        [&empty[..], &empty].concat()
    });
    for at in 0..HEADER + 20 {
        // The lowest bits of what is no length: that would only make it wait.
        if (3..5).contains(&at) {
            continue;
        }
        let alert = match at {
            0 => Alert::UNEXPECTED_MESSAGE,
            _ => Alert::BAD_RECORD_MAC,
        };
        refused(alert, |client| {
            let mut bytes = seal(client, b"abc");
            bytes[at] ^= 1;
            bytes
        });
    }
    for body in 0..16 {
        refused(Alert::BAD_RECORD_MAC, |_| {
            [&[23, 3, 3, 0, body][..], &vec![0; body.into()]].concat()
        });
    }
}

#[test]
fn only_encrypted_records_come() {
    for kind in (0..=u8::MAX).filter(|kind| *kind != content::DATA) {
        refused(Alert::UNEXPECTED_MESSAGE, |_| vec![kind, 3, 3, 0, 2, 1, 0]);
    }
    // The compatibility record of the handshake, an alert in the clear, a new hello, HTTP.
    for clear in [
        &[20, 3, 3, 0, 1, 1][..],
        &[21, 3, 3, 0, 2, 2, 80],
        &[22, 3, 1, 2, 0],
        b"GET /",
    ] {
        refused(Alert::UNEXPECTED_MESSAGE, |_| clear.to_vec());
    }
}

#[test]
fn what_is_in_a_record_is_data_an_alert_or_a_message() {
    for kind in (0..=u8::MAX).filter(|kind| !(21..=23).contains(kind)) {
        refused(Alert::UNEXPECTED_MESSAGE, |client| {
            record_of(client, kind, b"x")
        });
    }
    refused(Alert::UNEXPECTED_MESSAGE, |client| record(client, &[0; 1]));
    refused(Alert::UNEXPECTED_MESSAGE, |client| {
        record(client, &[0; 1000])
    });
}

#[test]
fn records_and_their_plaintext_have_a_largest_size() {
    let (mut server, mut client) = pair();
    // The largest: data, and data with padding.
    let largest = record_of(&mut client, content::DATA, &[7; MAX_PLAIN]);
    assert_eq!(feed(&mut server, &largest, 1000), [7; MAX_PLAIN]);
    let mut padded = vec![0; MAX_PLAIN + 1];
    padded[..3].copy_from_slice(b"ab\x17");
    let padded = record(&mut client, &padded);
    assert_eq!(feed(&mut server, &padded, 1000), b"ab");
    assert!(is_open(&server));
    for inner in [vec![7; MAX_PLAIN + 2], {
        let mut padded = vec![0; MAX_PLAIN + 2];
        padded[0] = content::DATA;
        padded
    }] {
        refused(Alert::RECORD_OVERFLOW, |client| record(client, &inner));
    }
    for body in [MAX_BODY + 1, usize::from(u16::MAX)] {
        let header = [23, 3, 3, (body >> 8) as u8, body as u8];
        // It is not waited for.
        refused(Alert::RECORD_OVERFLOW, |_| header.to_vec());
    }
    refused(Alert::BAD_RECORD_MAC, |_| {
        let header = [23, 3, 3, (MAX_BODY >> 8) as u8, MAX_BODY as u8];
        [&header[..], &[0; MAX_BODY]].concat()
    });
}

#[test]
fn an_alert_is_two_bytes() {
    refused(Alert::UNEXPECTED_MESSAGE, |client| {
        record(client, &[content::ALERT, 0, 0])
    });
    for wrong in [&[1][..], &[1, 0, 1], &[1, 0, 1, 0]] {
        refused(Alert::DECODE_ERROR, |client| {
            record_of(client, content::ALERT, wrong)
        });
    }
}

#[test]
fn every_alert_but_two_ends_the_session_without_an_answer() {
    for description in (0..=u8::MAX).filter(|alert| ![0, 90].contains(alert)) {
        for level in [0, 1, 2] {
            let (mut server, _) =
                read(|client| record_of(client, content::ALERT, &[level, description]));
            let told = Fault::Told(Alert(description));
            assert_eq!(server.reading(), Reading::Failed(told));
            assert!(
                told.to_string()
                    .starts_with("TLS: the peer sent the alert ")
            );
            assert_eq!(close(&mut server), b"");
        }
    }
    let (mut server, mut client) = read(|client| record_of(client, content::ALERT, &[2, 0]));
    assert_eq!(
        server.reading(),
        Reading::Ended,
        "a close_notify, whatever its level"
    );
    // The other direction goes on until we say the same.
    let bytes = [seal(&mut server, b"still"), close(&mut server)].concat();
    assert_eq!(feed(&mut client, &bytes, 1), b"still");
    assert_eq!(client.reading(), Reading::Ended);
}

#[test]
fn records_without_data_are_bounded_in_a_row() {
    let fruitless: [fn(&mut Session) -> Vec<u8>; 4] = [
        |client| record_of(client, content::DATA, b""),
        |client| record(client, &[&[content::DATA][..], &[0; 500]].concat()),
        |client| key_update(client, true),
        |client| record_of(client, content::ALERT, &[1, 90]),
    ];
    for make in fruitless {
        let (mut server, mut client) = pair();
        for _ in 0..3 {
            for _ in 0..32 {
                let bytes = make(&mut client);
                assert_eq!(feed(&mut server, &bytes, usize::MAX), b"");
            }
            let bytes = seal(&mut client, b"x");
            assert_eq!(feed(&mut server, &bytes, usize::MAX), b"x");
        }
        refused(Alert::UNEXPECTED_MESSAGE, |client| {
            (0..33).flat_map(|_| make(client)).collect()
        });
    }
}

#[test]
fn a_server_may_send_tickets_and_nothing_else() {
    let ticket = [&[4, 0, 0, 30][..], &[9; 30]].concat();
    let (mut server, mut client) = pair();
    let both = [&ticket[..], &ticket].concat();
    let mut bytes = record_of(&mut server, content::HANDSHAKE, &ticket);
    bytes.extend(record_of(&mut server, content::HANDSHAKE, &both));
    bytes.extend(key_update(&mut server, false));
    bytes.extend(seal(&mut server, b"data"));
    assert_eq!(feed(&mut client, &bytes, 11), b"data");
    assert!(is_open(&client));
    for wrong in [
        &ticket[..20],
        &[&ticket[..], &[4, 0, 0]].concat(),
        &[&ticket[..], &[24, 0, 0, 1, 0]].concat(),
        // A request for a certificate, which was not agreed on.
        &[13, 0, 0, 1, 0],
    ] {
        let (mut server, mut client) = pair();
        let bytes = record_of(&mut server, content::HANDSHAKE, wrong);
        feed(&mut client, &bytes, 100);
        let broken = matches!(
            client.reading(),
            Reading::Failed(Fault::Broken(Alert::UNEXPECTED_MESSAGE, _))
        );
        assert!(broken, "{wrong:?}");
    }
}
