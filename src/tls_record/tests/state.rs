//! A session that is written down: what is not one is refused, and nothing shows its secrets.

use proptest::prelude::*;

use super::super::{MAX_PLAIN, Session, Suite};
use super::stage::{feed, moved, pair, pair_at, seal};

/// Sessions with everything that one can have.
fn full(suite: Suite) -> Session {
    let (mut server, mut client) = pair_at(suite, 77);
    let bytes = seal(&mut client, &[1; 500]);
    feed(&mut server, &bytes[..300], 100);
    server.put_back(b"opened");
    server.keep(b"sealed", 5);
    server.incoming.asked = true;
    server.incoming.fruitless = 9;
    server
}

#[test]
fn whatever_is_kept_goes_along() {
    for suite in Suite::ALL {
        let mut server = moved(&full(suite));
        assert_eq!(server.unsent(), b"sealed");
        server.sent(6);
        assert_eq!(server.taken(100), 5);
        let mut room = [0; 100];
        assert_eq!(server.take_back(&mut room), 6);
        let mut client = pair_at(suite, 77).1;
        let rest = &seal(&mut client, &[1; 500])[300..];
        assert_eq!(feed(&mut server, rest, 7), [1; 500]);
        assert_eq!(feed(&mut client, &seal(&mut server, b"x"), 7), b"x");
        assert!(server.is_at_rest());
    }
    let (mut server, mut client) = pair();
    server.close(&mut [0; 64]).expect("sealed");
    let mut server = moved(&server);
    assert!(
        server.seal(b"x", &mut [0; 100]).is_err(),
        "its end was said"
    );
    assert_eq!(feed(&mut server, &seal(&mut client, b"y"), 7), b"y");
    assert_eq!(moved(&client).incoming.role, client.incoming.role);
}

#[test]
fn what_is_cut_or_has_more_is_refused() {
    for suite in Suite::ALL {
        let bytes = full(suite).export().expect("a session");
        for at in 0..bytes.len() {
            assert!(Session::import(&bytes[..at]).is_err(), "{at} bytes");
        }
        let more = [&bytes[..], &[0]].concat();
        assert!(Session::import(&more).is_err());
    }
}

#[test]
fn what_no_session_can_be_is_refused_with_a_reason() {
    let bytes = full(Suite::Aes128Gcm).export().expect("a session");
    let half = 22 + 64;
    let surplus = half + 4 + 300;
    let plain = surplus + 4 + 6;
    for (at, byte, why) in [
        (0, 2, "an unknown version"),
        (1, 0, "an unknown cipher suite"),
        (2, 9, "an unknown cipher suite"),
        (3, 0x10, "an unknown flag"),
        (3, 0x02, "a record after the end"),
        (5, 5, "half a message that is whole"),
        (half, 1, "a part is too long"),
        (half + 4, 22, "what is half read is no half record"),
        (half + 7, 0, "what is half read is no half record"),
        (half + 7, 0xff, "what is half read is no half record"),
        (surplus, 1, "a part is too long"),
        (plain, 1, "too much plaintext"),
        (plain + 4, 1, "a part is too long"),
    ] {
        let mut wrong = bytes.to_vec();
        wrong[at] = byte;
        let refused = Session::import(&wrong).expect_err(why);
        assert!(refused.to_string().ends_with(why), "{refused} at {at}");
    }
    Session::import(&[]).expect_err("nothing is no session");
}

#[test]
fn the_largest_state_is_still_one() {
    let (mut server, mut client) = pair();
    let bytes = seal(&mut client, &[1; MAX_PLAIN]);
    feed(&mut server, &bytes[..bytes.len() - 1], usize::MAX);
    server.put_back(&[2; MAX_PLAIN]);
    let mut room = vec![0; super::super::SEAL_BUFFER];
    let sealed = server.seal(&[3; 4 * MAX_PLAIN], &mut room).expect("sealed");
    server.keep(&room[..sealed.length], sealed.taken);
    let server = moved(&server);
    assert_eq!(server.unsent(), &room[..sealed.length]);
}

#[test]
fn secrets_are_shown_nowhere() {
    let (server, _) = pair();
    let shown = format!("{server:?} {:?}", server.outgoing.protection.secret());
    assert!(shown.contains("Aes128Gcm"), "{shown}");
    // The secret is 1, 2, 3, …, as numbers or as hex.
    for part in ["1, 2, 3", "010203", "5, 6, 7"] {
        assert!(!shown.contains(part), "{shown}");
    }
    let iv = server.outgoing.protection.secret().iv().expect("an iv");
    assert!(!shown.contains(&format!("{}, {}, {}", iv[0], iv[1], iv[2])));
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0..1000_usize,
        byte in any::<u8>(),
    ) {
        let _ = Session::import(&bytes);
        let mut nearly = full(Suite::Aes256Gcm).export().expect("a session").to_vec();
        let at = at % nearly.len();
        nearly[at] = byte;
        if let Ok(session) = Session::import(&nearly) {
            let again = session.export().expect("it has not failed");
            prop_assert_eq!(&*again, &nearly);
        }
    }
}
