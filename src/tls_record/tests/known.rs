//! Known answers: the trace of RFC 8448 section 3, and records of all suites that were made with
//! another implementation of the ciphers and of HKDF.

use data_encoding::HEXLOWER;

use super::super::{Extracted, Reading, Role, Secret, Session, Suite};
use super::stage::{close, feed, record_of, seal, secret};

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    HEXLOWER.decode(hex.as_bytes()).expect("hex")
}

fn suite() -> Suite {
    Suite::Aes128Gcm
}

/// The secrets of the trace, with the keys and vectors that it says follow from them.
fn of_the_trace(role: Role) -> Session {
    let client = Secret::new(
        suite(),
        &bytes("9e40646ce79a7f9dc05af8889bce6552 875afa0b06df0087f792ebb7c17504a5"),
    );
    let server = Secret::new(
        suite(),
        &bytes("a11af9f05531f856ad47116b45a95032 8204b4f44bfb6b3a4b4f1f3fcb631643"),
    );
    let (client, server) = (client.expect("32 bytes"), server.expect("32 bytes"));
    let [client_key, client_iv] = [
        "17422dda596ed5d9acd890e3c63f5051",
        "5b78923dee08579033e523d9",
    ]
    .map(bytes);
    let [server_key, server_iv] = [
        "9f02283b6c9c07efc26bb9f2ac92e356",
        "cf782b88dd83549aadf1e984",
    ]
    .map(bytes);
    let client = (
        client,
        Extracted {
            sequence: 0,
            key: &client_key,
            iv: &client_iv,
        },
    );
    // Its first record is a ticket.
    let server = (
        server,
        Extracted {
            sequence: 1,
            key: &server_key,
            iv: &server_iv,
        },
    );
    match role {
        Role::Server => Session::new(role, server, client),
        Role::Client => Session::new(role, client, server),
    }
    .expect("the keys follow from the secrets")
}

const CLIENT: [&str; 2] = [
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20\
     441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
    "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3",
];
const SERVER: [&str; 2] = [
    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb50\
     1a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
    "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9",
];

#[test]
fn the_trace_of_rfc_8448_is_read_and_written_to_the_byte() {
    let data: Vec<u8> = (0..50).collect();
    for (role, theirs, ours) in [
        (Role::Server, CLIENT, SERVER),
        (Role::Client, SERVER, CLIENT),
    ] {
        let mut session = of_the_trace(role);
        assert_eq!(feed(&mut session, &bytes(theirs[0]), 1000), data);
        assert_eq!(seal(&mut session, &data), bytes(ours[0]));
        assert_eq!(feed(&mut session, &bytes(theirs[1]), 1000), b"");
        assert_eq!(session.reading(), Reading::Ended);
        assert_eq!(close(&mut session), bytes(ours[1]));
        assert_eq!(close(&mut session), b"", "once");
    }
}

#[test]
fn keys_that_do_not_follow_from_the_secrets_begin_no_session() {
    let own = || secret(suite(), 1);
    let (key, iv) = (
        own().expand_key().expect("a key")[..16].to_vec(),
        own().iv().expect("an iv"),
    );
    let extracted = |key, iv| Extracted {
        sequence: 0,
        key,
        iv,
    };
    let other = [7; 32];
    let begins = |writing: Extracted<'_>, reading: Extracted<'_>| {
        Session::new(Role::Server, (own(), writing), (own(), reading)).is_ok()
    };
    let right = extracted(&key, &iv);
    assert!(begins(right, right));
    for wrong in [
        extracted(&other[..16], &iv),
        extracted(&key, &other[..12]),
        extracted(&key[..15], &iv),
        extracted(&key, &iv[..8]),
        extracted(&[], &[]),
        extracted(&other, &iv),
    ] {
        assert!(!begins(wrong, right) && !begins(right, wrong));
    }
    let elsewhere = secret(Suite::Chacha20Poly1305, 1);
    assert!(Session::new(Role::Server, (own(), right), (elsewhere, right)).is_err());
    assert!(Secret::new(suite(), &[0; 48]).is_none());
    assert!(Secret::new(Suite::Aes256Gcm, &[0; 32]).is_none());
}

/// Two records, a KeyUpdate, and a record under the next keys.
const ANSWERS: [(Suite, [&str; 4]); 3] = [
    (
        Suite::Aes128Gcm,
        [
            "170303001a1be5933b0d153a37ee0e36a5c098e529648ed824b7935df9d361",
            "170303001839a27e3eb0910b6e161551da8258eb2ab63afaad1f1bb851",
            "17030300160d4bec78c8b7bcc94b7e3d2a71ce8ba51b6aace85de1",
            "1703030023f94191d3b871faded24319b9bd45071cd10caf242f33e9cb1db2930e13e48267d39733",
        ],
    ),
    (
        Suite::Aes256Gcm,
        [
            "170303001a912f0e5bf294a455b3b6060472d719c51d66c92147f82354ba6c",
            "1703030018beae78ac83b3cfe430c3dce878801f965cb393c50005e886",
            "1703030016c1429a71d06d659614d957cc2194129be31f73fd915c",
            "170303002381f0b6f0173d2f71dd4e294d65d7df1b44004c7be3e0cbb3e6debe16c37f5652eeb781",
        ],
    ),
    (
        Suite::Chacha20Poly1305,
        [
            "170303001a7126cfc6739a0d95af29c2d752fdf9e4b6be260792993aa4ada2",
            "170303001888b5df95981bcf4169b1b4810091220ed8dd3a471eb360b9",
            "17030300167df67b638dc2d13f0dea3e41f296ca4feb3cbb3eb2b9",
            "1703030023f9440e96a5757d830ed2aa2ea40badecc3bfe2c24b77855187b6560ff56a6867c07862",
        ],
    ),
];

#[test]
fn records_of_every_suite_and_the_keys_after_an_update_are_known() {
    for (suite, answers) in ANSWERS {
        let (mut writer, mut reader) = super::stage::pair_at(suite, 0);
        let answers = answers.map(bytes);
        assert_eq!(seal(&mut writer, b"a message"), answers[0]);
        assert_eq!(seal(&mut writer, b"another"), answers[1]);
        writer.incoming.asked = true;
        let both = seal(&mut writer, b"under the next key");
        assert_eq!(both, [&answers[2][..], &answers[3]].concat());
        let data = feed(&mut reader, &answers.concat(), usize::MAX);
        assert_eq!(data, b"a messageanotherunder the next key");
        assert_eq!(
            feed(&mut reader, &record_of(&mut writer, 23, b"x"), 9),
            b"x"
        );
    }
}
