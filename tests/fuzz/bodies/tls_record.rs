//! Fuzz body of TLS records: the input is a state that may be taken, and the script of a peer with
//! the right keys, who says what it likes. Read whole, cut and from state to state, the same comes of
//! it; nothing is read after the end, and no memory grows beyond a record.

use aws_lc_rs::aead::{self, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, KeyType, Prk};
use sluice::tls_record::{
    Extracted, MAX_RECORD, Reading, Role, SEAL_BUFFER, Secret, Session, Suite,
};

/// Runs one input.
pub fn run(data: &[u8]) {
    if let Ok(session) = Session::import(data) {
        let again = session.export().expect("it has not failed");
        assert_eq!(&*again, data);
    }
    let Some((&[choice, piece], script)) = data.split_first_chunk() else {
        return;
    };
    let suite = Suite::ALL[usize::from(choice) % 3];
    let role = match choice & 4 {
        0 => Role::Server,
        _ => Role::Client,
    };
    let records = Peer::new(suite).records(script);
    let mut session = begin(suite, role);
    let whole = read(&mut session, &records, usize::MAX, false);
    let piece = usize::from(piece).max(1);
    let mut cut = begin(suite, role);
    assert_eq!(
        whole,
        read(&mut cut, &records, piece, false),
        "pieces of {piece}"
    );
    let mut moved = begin(suite, role);
    assert_eq!(whole, read(&mut moved, &records, piece, true), "moved");
    finish(session, &whole);
}

/// The data that comes of records, and how it ends.
fn read(session: &mut Session, records: &[u8], piece: usize, moves: bool) -> (Vec<u8>, Reading) {
    let mut buffer = vec![0; records.len() + MAX_RECORD];
    let mut data = Vec::new();
    for piece in records.chunks(piece) {
        if moves && let Some(bytes) = session.export() {
            *session = Session::import(&bytes).expect("what was written is read");
        }
        let begun = session.begin(&mut buffer);
        assert!(begun < MAX_RECORD, "no more than a record is kept");
        let filled = begun + piece.len();
        buffer[begun..filled].copy_from_slice(piece);
        let n = session.open(&mut buffer, filled);
        data.extend_from_slice(&buffer[..n]);
    }
    (data, session.reading())
}

/// What we send in the end: nothing after a close, and no data to a peer that broke the protocol.
fn finish(mut session: Session, seen: &(Vec<u8>, Reading)) {
    let mut out = vec![0; SEAL_BUFFER];
    if !matches!(seen.1, Reading::Failed(_)) {
        let sealed = session
            .seal(&seen.0, &mut out)
            .expect("the other direction is open");
        assert_eq!(sealed.taken, seen.0.len(), "the buffer is large enough");
    }
    session.close(&mut out).expect("sealed");
    assert_eq!(session.close(&mut out), Ok(0), "once");
}

/// A peer of whom we know the keys.
struct Peer {
    suite: Suite,
    secret: Vec<u8>,
    sequence: u64,
}

impl Peer {
    fn new(suite: Suite) -> Peer {
        Peer {
            suite,
            secret: vec![1; suite.secret_length()],
            sequence: 0,
        }
    }

    /// Each step is a byte for what it is, one for its length, and its bytes.
    fn records(mut self, mut script: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        while let Some((&[step, length], rest)) = script.split_first_chunk() {
            let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
            script = rest;
            match step % 4 {
                0 => records.extend(self.seal(bytes)),
                1 => records.extend(self.seal(&[bytes, &[23]].concat())),
                2 => {
                    records.extend(self.seal(&[24, 0, 0, 1, length & 1, 22]));
                    self.secret = self.expand(b"traffic upd", self.secret.len());
                    self.sequence = 0;
                }
                _ => records.extend_from_slice(bytes),
            }
        }
        records
    }

    /// A record whose inside is anything: content, its type, padding.
    fn seal(&mut self, inner: &[u8]) -> Vec<u8> {
        let body = inner.len() + 16;
        let header = [23, 3, 3, (body >> 8) as u8, body as u8];
        let mut nonce: [u8; 12] = self.iv().try_into().expect("12 bytes");
        for (byte, count) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence += 1;
        let key = UnboundKey::new(self.algorithm(), &self.key()).expect("a key");
        let mut sealed = inner.to_vec();
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header),
                &mut sealed,
            )
            .expect("sealed");
        [&header[..], &sealed].concat()
    }

    fn algorithm(&self) -> &'static Algorithm {
        match self.suite {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::Aes256Gcm => &aead::AES_256_GCM,
            Suite::Chacha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    fn key(&self) -> Vec<u8> {
        self.expand(b"key", self.algorithm().key_len())
    }

    fn iv(&self) -> Vec<u8> {
        self.expand(b"iv", 12)
    }

    fn expand(&self, label: &[u8], length: usize) -> Vec<u8> {
        let hash = match self.suite {
            Suite::Aes256Gcm => hkdf::HKDF_SHA384,
            Suite::Aes128Gcm | Suite::Chacha20Poly1305 => hkdf::HKDF_SHA256,
        };
        let (size, label) = ([0, length as u8], [b"tls13 ", label].concat());
        let info: [&[u8]; 4] = [&size, &[label.len() as u8], &label, &[0]];
        let mut out = vec![0; length];
        let secret = Prk::new_less_safe(hash, &self.secret);
        let expanded = secret.expand(&info, Length(length)).expect("short");
        expanded.fill(&mut out).expect("its length");
        out
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn begin(suite: Suite, role: Role) -> Session {
    let peer = Peer::new(suite);
    let (key, iv) = (peer.key(), peer.iv());
    let half = || {
        let secret = Secret::new(suite, &peer.secret).expect("its length");
        let extracted = Extracted {
            sequence: 0,
            key: &key,
            iv: &iv,
        };
        (secret, extracted)
    };
    Session::new(role, half(), half()).expect("the keys follow from the secret")
}
