//! The same stream, cut in every way, and written down at every cut.

use super::super::limits::content;
use super::super::{MAX_PLAIN, Reading, Session, Suite};
use super::stage::{close, feed, key_update, moved, pair_at, record, record_of, seal};

/// Data, padding, empty records, KeyUpdates in every form, and the end; and what it says.
fn stream(from: &mut Session) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = seal(from, b"one");
    bytes.extend(record(from, b"two\x17\0\0\0\0\0"));
    bytes.extend(record_of(from, content::DATA, b""));
    bytes.extend(record(from, b"\x17\0\0"));
    bytes.extend(key_update(from, true));
    bytes.extend(seal(from, b"three"));
    bytes.extend(key_update(from, false));
    bytes.extend(key_update(from, true));
    for piece in [&[24][..], &[0, 0], &[1], &[0]] {
        bytes.extend(record_of(from, content::HANDSHAKE, piece));
    }
    from.outgoing.protection.update().expect("keys");
    bytes.extend(record_of(from, content::ALERT, &[1, 90]));
    bytes.extend(seal(from, b"four"));
    bytes.extend(close(from));
    (bytes, b"onetwothreefour".to_vec())
}

#[test]
fn every_cut_in_two_reads_alike_and_so_does_every_size_of_pieces() {
    for suite in Suite::ALL {
        let (server, mut client) = pair_at(suite, 0);
        let (bytes, data) = stream(&mut client);
        for at in 0..=bytes.len() {
            let mut server = moved(&server);
            let mut seen = feed(&mut server, &bytes[..at], usize::MAX);
            seen.extend(feed(&mut server, &bytes[at..], usize::MAX));
            assert_eq!(
                (seen, server.reading()),
                (data.clone(), Reading::Ended),
                "cut at {at}"
            );
        }
        for piece in 1..=bytes.len() {
            let mut server = moved(&server);
            assert_eq!(feed(&mut server, &bytes, piece), data, "pieces of {piece}");
            assert_eq!(server.reading(), Reading::Ended);
        }
    }
}

#[test]
fn a_session_goes_on_from_every_cut_in_another_process() {
    let (mut server, mut client) = pair_at(Suite::Aes256Gcm, 5);
    let (bytes, data) = stream(&mut client);
    let mut seen = Vec::new();
    for byte in &bytes {
        server = moved(&server);
        seen.extend(feed(&mut server, &[*byte], 1));
    }
    assert_eq!((seen, moved(&server).reading()), (data, Reading::Ended));
    // What the client asked for is answered there.
    let mut server = moved(&server);
    let answer = seal(&mut server, b"five");
    assert_eq!(feed(&mut client, &answer, 7), b"five");
    assert_eq!(client.incoming.protection.sequence(), 1, "under new keys");
}

#[test]
fn data_of_every_length_around_a_record_passes_both_ways() {
    let (mut server, mut client) = pair_at(Suite::Chacha20Poly1305, 0);
    let around = |size: usize| size.saturating_sub(2)..=size + 2;
    for size in [2, MAX_PLAIN, 4 * MAX_PLAIN, 5 * MAX_PLAIN]
        .map(around)
        .into_iter()
        .flatten()
    {
        let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let bytes = seal(&mut server, &data);
        assert!(feed(&mut client, &bytes, 60_000) == data, "{size} bytes");
        let bytes = seal(&mut client, &data);
        assert!(feed(&mut server, &bytes, 16_400) == data, "{size} bytes");
    }
}

#[test]
fn an_idle_session_keeps_no_memory_but_its_own() {
    let (mut server, mut client) = pair_at(Suite::Aes128Gcm, 0);
    let bytes = seal(&mut client, &[7; 3 * MAX_PLAIN]);
    let (first, last) = bytes.split_at(bytes.len() - 1);
    feed(&mut server, first, 40_000);
    assert!(!server.is_at_rest() && server.incoming.half.capacity() > 0);
    feed(&mut server, last, 1);
    assert!(server.is_at_rest());
    assert_eq!(server.incoming.half.capacity(), 0);
    server.keep(b"records", 3);
    server.put_back(b"data");
    assert!(!server.is_at_rest());
    assert_eq!(server.taken(100), 0, "they are not written");
    server.sent(7);
    assert_eq!(
        (server.taken(2), server.taken(100), server.taken(100)),
        (2, 1, 0)
    );
    let mut room = [0; 3];
    assert_eq!((server.take_back(&mut room), &room), (3, b"dat"));
    assert_eq!((server.take_back(&mut room), room[0]), (1, b'a'));
    assert!(server.is_at_rest());
    assert_eq!(server.outgoing.unsent.bytes.capacity(), 0);
    assert_eq!(server.incoming.surplus.capacity(), 0);
}
