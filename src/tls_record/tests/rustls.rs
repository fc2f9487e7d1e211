//! Against rustls in both roles: a real handshake, secrets taken out of one side, which goes on as a
//! session of ours, while the other stays.

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, ConnectionTrafficSecrets, ExtractedSecrets, KeyLog,
    RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version,
};

use super::super::{Extracted, Reading, Role, Secret, Session, Suite};
use super::stage::{close, feed, moved, seal};

/// What one handshake has logged: the secrets of the client and of the server.
#[derive(Debug, Default)]
struct Log(Mutex<[Vec<u8>; 2]>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let mut secrets = self.0.lock().expect("a lock");
        match label {
            "CLIENT_TRAFFIC_SECRET_0" => secrets[0] = secret.to_vec(),
            "SERVER_TRAFFIC_SECRET_0" => secrets[1] = secret.to_vec(),
            _ => {}
        }
    }
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Both ends after a handshake with this suite, and its secrets.
fn handshake(suite: Suite) -> (ClientConnection, ServerConnection, Arc<Log>) {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let number = suite.number();
    provider
        .cipher_suites
        .retain(|one| u16::from(one.suite()) == number);
    assert_eq!(provider.cipher_suites.len(), 1);
    let provider = Arc::new(provider);
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).expect("a root");
    let log = Arc::new(Log::default());
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(VERSIONS)
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a pair");
    server.enable_secret_extraction = true;
    server.key_log = log.clone();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(VERSIONS)
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let hello = written(&mut client);
        received(&mut server, &hello);
        let answer = written(&mut server);
        received(&mut client, &answer);
    }
    (client, server, log)
}

/// What rustls has to send.
fn written<D>(connection: &mut rustls::ConnectionCommon<D>) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut out).expect("a vector");
    }
    out
}

/// What rustls makes of records.
fn received<D>(connection: &mut rustls::ConnectionCommon<D>, mut records: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while !records.is_empty() {
        connection.read_tls(&mut records).expect("room");
        connection.process_new_packets().expect("sound records");
        match connection.reader().read_to_end(&mut data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => assert!(done.is_ok(), "{done:?}"),
        }
    }
    data
}

fn session(role: Role, suite: Suite, secrets: &ExtractedSecrets, log: &Log) -> Session {
    let logged = log.0.lock().expect("a lock");
    let [client, server] = logged.each_ref().map(|one| Secret::new(suite, one));
    let (client, server) = (client.expect("logged"), server.expect("logged"));
    let (own, other) = match role {
        Role::Server => (server, client),
        Role::Client => (client, server),
    };
    let extracted = |(sequence, secrets): &'_ (u64, ConnectionTrafficSecrets)| {
        let (key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => panic!("another cipher"),
        };
        (*sequence, key.as_ref().to_vec(), iv.as_ref().to_vec())
    };
    let (tx, rx) = (extracted(&secrets.tx), extracted(&secrets.rx));
    let as_extracted = |one: &'_ (u64, Vec<u8>, Vec<u8>)| one.0;
    let writing = Extracted {
        sequence: as_extracted(&tx),
        key: &tx.1,
        iv: &tx.2,
    };
    let reading = Extracted {
        sequence: as_extracted(&rx),
        key: &rx.1,
        iv: &rx.2,
    };
    Session::new(role, (own, writing), (other, reading)).expect("the keys are those of the secrets")
}

/// A session of ours in this role, and the rustls at its other end.
fn stage(role: Role, suite: Suite) -> (Session, Connection) {
    let (mut client, mut server, log) = handshake(suite);
    // Records before the switch: their numbers go along.
    client.writer().write_all(b"request").expect("a buffer");
    let request = written(&mut client);
    assert_eq!(received(&mut server, &request), b"request");
    server.writer().write_all(b"answer").expect("a buffer");
    let answer = written(&mut server);
    assert_eq!(received(&mut client, &answer), b"answer");
    match role {
        Role::Server => {
            let secrets = server.dangerous_extract_secrets().expect("secrets");
            (session(role, suite, &secrets, &log), client.into())
        }
        Role::Client => {
            let secrets = client.dangerous_extract_secrets().expect("secrets");
            (session(role, suite, &secrets, &log), server.into())
        }
    }
}

fn peer_writes(peer: &mut Connection) -> Vec<u8> {
    match peer {
        Connection::Client(peer) => written(peer),
        Connection::Server(peer) => written(peer),
    }
}

fn peer_reads(peer: &mut Connection, records: &[u8]) -> Vec<u8> {
    match peer {
        Connection::Client(peer) => received(peer, records),
        Connection::Server(peer) => received(peer, records),
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// The peer sends so many bytes.
    Receive(usize),
    /// We do.
    Send(usize),
    /// The peer changes its keys, and asks us to.
    PeerUpdates,
    /// We change ours.
    Update,
    /// The session goes to another process.
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = || prop_oneof![4 => 0..200_usize, 1 => 16_000..50_000_usize];
    let step = prop_oneof![
        4 => length().prop_map(Step::Receive),
        4 => length().prop_map(Step::Send),
        1 => Just(Step::PeerUpdates),
        1 => Just(Step::Update),
        1 => Just(Step::Move),
    ];
    prop::collection::vec(step, 0..20)
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31) as u8).collect()
}

fn talk(role: Role, suite: Suite, steps: &[Step], piece: usize) {
    let (mut own, mut peer) = stage(role, suite);
    for step in steps {
        match step {
            Step::Receive(length) => {
                let data = data(*length);
                let mut seen = Vec::new();
                for data in data.chunks(10_000) {
                    peer.writer().write_all(data).expect("a buffer");
                    seen.extend(feed(&mut own, &peer_writes(&mut peer), piece));
                }
                assert!(seen == data, "{length} bytes were received");
            }
            Step::Send(length) => {
                let data = data(*length);
                let records = seal(&mut own, &data);
                assert!(
                    peer_reads(&mut peer, &records) == data,
                    "{length} bytes were sent"
                );
            }
            Step::PeerUpdates => {
                peer.refresh_traffic_keys().expect("TLS 1.3");
                assert_eq!(feed(&mut own, &peer_writes(&mut peer), piece), b"");
            }
            Step::Update => own.incoming.asked = true,
            Step::Move => own = moved(&own),
        }
        assert_eq!(own.reading(), Reading::Open);
        assert!(own.is_at_rest());
    }
    peer.send_close_notify();
    assert_eq!(feed(&mut own, &peer_writes(&mut peer), piece), b"");
    assert_eq!(own.reading(), Reading::Ended);
    // Only the peer has ended.
    let mut last = seal(&mut own, b"last words");
    last.extend(close(&mut own));
    assert_eq!(peer_reads(&mut peer, &last), b"last words");
    match peer {
        Connection::Client(peer) => assert!(has_ended(peer)),
        Connection::Server(peer) => assert!(has_ended(peer)),
    }
}

/// rustls has seen our close_notify: its reader is at the end, not waiting.
fn has_ended<D>(mut peer: impl std::ops::DerefMut<Target = rustls::ConnectionCommon<D>>) -> bool {
    matches!(peer.reader().read(&mut [0]), Ok(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_client_of_rustls_talks_to_us(
        suite in prop::sample::select(&Suite::ALL[..]), steps in steps(), piece in 1..20_000_usize,
    ) {
        talk(Role::Server, suite, &steps, piece);
    }

    #[test]
    fn we_talk_to_a_server_of_rustls(
        suite in prop::sample::select(&Suite::ALL[..]), steps in steps(), piece in 1..20_000_usize,
    ) {
        talk(Role::Client, suite, &steps, piece);
    }
}

#[test]
fn every_cut_of_what_rustls_sends_reads_alike() {
    for role in [Role::Server, Role::Client] {
        for suite in Suite::ALL {
            let (own, mut peer) = stage(role, suite);
            peer.writer().write_all(b"hello").expect("a buffer");
            peer.refresh_traffic_keys().expect("TLS 1.3");
            peer.writer().write_all(b", world").expect("a buffer");
            peer.send_close_notify();
            let bytes = peer_writes(&mut peer);
            for at in 0..=bytes.len() {
                let mut own = moved(&own);
                let mut seen = feed(&mut own, &bytes[..at], usize::MAX);
                let mut own = moved(&own);
                seen.extend(feed(&mut own, &bytes[at..], usize::MAX));
                assert_eq!(
                    (&*seen, own.reading()),
                    (&b"hello, world"[..], Reading::Ended)
                );
            }
            for piece in 1..bytes.len() {
                assert_eq!(feed(&mut moved(&own), &bytes, piece), b"hello, world");
            }
        }
    }
}

#[test]
fn rustls_understands_our_alerts_and_we_understand_its() {
    let (mut own, mut peer) = stage(Role::Server, Suite::Aes128Gcm);
    assert_eq!(feed(&mut own, &[23, 3, 3, 0, 20, 1, 2, 3], 3), b"");
    feed(&mut own, &[0; 17], 100);
    let alert = close(&mut own);
    peer.read_tls(&mut &alert[..]).expect("room");
    let told = peer.process_new_packets().expect_err("a fatal alert");
    assert_eq!(told.to_string(), "received fatal alert: BadRecordMac");

    let (mut own, mut peer) = stage(Role::Server, Suite::Aes128Gcm);
    peer.read_tls(&mut &[23, 3, 3, 0, 17][..]).expect("room");
    peer.read_tls(&mut &[0; 17][..]).expect("room");
    peer.process_new_packets().expect_err("no record");
    let alert = peer_writes(&mut peer);
    feed(&mut own, &alert, 5);
    let told = "TLS: the peer sent the alert bad_record_mac";
    assert!(matches!(own.reading(), Reading::Failed(fault) if fault.to_string() == told));
}

#[test]
fn keys_that_were_updated_before_are_found() {
    for updates in [1, 2, 9] {
        let (mut client, mut server, log) = handshake(Suite::Aes128Gcm);
        for _ in 0..updates {
            client.refresh_traffic_keys().expect("TLS 1.3");
            received(&mut server, &written(&mut client));
            // Its answer, and an update of its own.
            server.writer().write_all(b"x").expect("a buffer");
            server.refresh_traffic_keys().expect("TLS 1.3");
            received(&mut client, &written(&mut server));
            client.writer().write_all(b"y").expect("a buffer");
            received(&mut server, &written(&mut client));
        }
        let secrets = server.dangerous_extract_secrets().expect("secrets");
        let mut own = session(Role::Server, Suite::Aes128Gcm, &secrets, &log);
        client.writer().write_all(b"data").expect("a buffer");
        assert_eq!(feed(&mut own, &written(&mut client), 9), b"data");
        assert_eq!(received(&mut client, &seal(&mut own, b"back")), b"back");
    }
}
