//! The record limit of AES-GCM keys, and who updates them.

use super::super::limits::OVERHEAD;
use super::super::{MAX_PLAIN, SEAL_BUFFER, Session, Suite};
use super::stage::{close, feed, pair_at, seal};

/// RFC 8446 section 5.5: 2^24.5 records, here rounded down.
const MOST: u64 = 23_726_566;

fn sequence(session: &Session) -> u64 {
    session.outgoing.protection.sequence()
}

#[test]
fn an_aes_key_is_updated_before_it_has_sealed_all_that_it_may() {
    for suite in [Suite::Aes128Gcm, Suite::Aes256Gcm] {
        let (mut server, mut client) = pair_at(suite, (1 << 24) - 4);
        let mut highest = 0;
        for n in 0_u8..10 {
            let bytes = seal(&mut server, &[n]);
            highest = highest.max(sequence(&server));
            assert_eq!(feed(&mut client, &bytes, 50), [n]);
        }
        assert!(highest < MOST && sequence(&server) == 7, "{highest}");
        assert_eq!(sequence(&client), (1 << 24) - 4, "ours are our own affair");
        // Within one write, too, and however late it begins.
        for begin in [(1 << 24) - 3, 1 << 24, MOST] {
            let (mut server, mut client) = pair_at(suite, begin);
            let data = vec![5; 3 * MAX_PLAIN + 9];
            let bytes = seal(&mut server, &data);
            assert!(feed(&mut client, &bytes, 50_000) == data);
            assert!(sequence(&server) <= 4);
        }
    }
}

#[test]
fn a_chacha_key_needs_no_update_and_no_number_is_used_twice() {
    let (mut server, mut client) = pair_at(Suite::Chacha20Poly1305, MOST + 10);
    let bytes = seal(&mut server, b"data");
    assert_eq!(feed(&mut client, &bytes, 50), b"data");
    assert_eq!(sequence(&server), MOST + 11);
    let (mut server, mut client) = pair_at(Suite::Chacha20Poly1305, u64::MAX - 2);
    for _ in 0..9 {
        let bytes = seal(&mut server, b"last");
        assert_eq!(feed(&mut client, &bytes, 50), b"last");
    }
    assert_eq!(sequence(&server), 8);
    // A peer that does not update its keys in time is not followed.
    let (mut server, mut client) = pair_at(Suite::Aes128Gcm, u64::MAX);
    server.outgoing.protection.update().expect("keys");
    assert_eq!(feed(&mut client, &seal(&mut server, b"x"), 50), b"");
    assert!(client.export().is_none());
}

#[test]
fn what_was_asked_for_goes_before_the_next_data_once() {
    let (mut server, mut client) = pair_at(Suite::Aes128Gcm, 0);
    let mut asks = super::stage::key_update(&mut client, true);
    asks.extend(super::stage::key_update(&mut client, true));
    feed(&mut server, &asks, 100);
    assert_eq!(sequence(&server), 0, "not before there is data");
    let bytes = [seal(&mut server, b"a"), seal(&mut server, b"b")].concat();
    assert_eq!(bytes.len(), 3 * OVERHEAD + 5 + 2);
    assert_eq!(feed(&mut client, &bytes, 100), b"ab");
    assert!(!client.incoming.asked, "it is not asked in return");
    // After our close_notify there is no data, and no answer.
    feed(
        &mut server,
        &super::stage::key_update(&mut client, true),
        100,
    );
    let last = close(&mut server);
    assert_eq!(last.len(), OVERHEAD + 2);
    feed(&mut client, &last, 100);
    assert_eq!(client.reading(), super::super::Reading::Ended);
}

#[test]
fn a_small_buffer_takes_what_fits() {
    let (mut server, mut client) = pair_at(Suite::Aes128Gcm, 0);
    let data: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
    let sealed = server.seal(&data, &mut [0; SEAL_BUFFER]).expect("sealed");
    assert_eq!(sealed.taken, 4 * MAX_PLAIN);
    let (mut server, mut buffer) = (pair_at(Suite::Aes128Gcm, 0).0, vec![0; MAX_PLAIN + 100]);
    let sealed = server.seal(&data, &mut buffer).expect("sealed");
    assert_eq!(sealed.taken, MAX_PLAIN);
    assert_eq!(
        feed(&mut client, &buffer[..sealed.length], 999),
        data[..MAX_PLAIN]
    );
    let none = server.seal(&data, &mut [0; 100]).expect("nothing to do");
    assert_eq!((none.taken, none.length), (0, 0));
    let none = server.seal(&[], &mut buffer).expect("nothing to do");
    assert_eq!((none.taken, none.length), (0, 0));
}
