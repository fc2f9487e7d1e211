//! Session tickets (RFC 8446 section 4.6.1, RFC 5077): the state of a session, sealed for the client
//! to keep. Keys are made of one secret of the process, which rotates; each use has its own, so
//! that a ticket of one listener says nothing to another with other rules for clients.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use data_encoding::HEXLOWER;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::system::lock::lock;

/// How long a secret makes new tickets; those of the one before are still taken.
const ROTATION: Duration = Duration::from_secs(6 * 60 * 60);

/// How long clients may keep a ticket, in seconds.
const LIFETIME: u32 = 2 * 6 * 60 * 60;

const NAME: usize = 16;
const NONCE: usize = 12;

/// One secret, with the name that its tickets begin with.
struct Secret {
    name: [u8; NAME],
    key: Zeroizing<[u8; 32]>,
    made: Instant,
}

impl Secret {
    fn fresh(now: Instant) -> Option<Arc<Secret>> {
        let (mut name, mut key) = ([0; NAME], Zeroizing::new([0; 32]));
        rand::fill(&mut name).ok()?;
        rand::fill(&mut *key).ok()?;
        Some(Arc::new(Secret {
            name,
            key,
            made: now,
        }))
    }

    /// The key for one use.
    fn key_for(&self, usage: &[u8]) -> Option<RandomizedNonceKey> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &*self.key);
        let key = hmac::sign(&secret, usage);
        RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()
    }
}

/// The secrets of the process: the present one, and the one before it.
#[derive(Default)]
pub(super) struct Secrets(Mutex<[Option<Arc<Secret>>; 2]>);

/// Those of this process.
pub(super) static SECRETS: Secrets = Secrets(Mutex::new([None, None]));

impl Secrets {
    fn present(&self, now: Instant) -> Option<Arc<Secret>> {
        let mut all = lock(&self.0);
        let is_old = |secret: &Arc<Secret>| now.duration_since(secret.made) >= ROTATION;
        if all[0].as_ref().is_none_or(is_old) {
            let fresh = Secret::fresh(now)?;
            all[1] = all[0].replace(fresh);
        }
        all[0].clone()
    }

    fn named(&self, name: &[u8], now: Instant) -> Option<Arc<Secret>> {
        let all = lock(&self.0);
        let mut known = all.iter().flatten();
        let found = known.find(|secret| secret.name == name)?;
        (now.duration_since(found.made) < 2 * ROTATION).then(|| found.clone())
    }
}

/// A secret on its way to the process that takes over, so that its clients go on with their
/// sessions there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    name: String,
    key: Zeroizing<String>,
    /// How long it has been in use.
    age_s: u64,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey")
            .field("age_s", &self.age_s)
            .finish_non_exhaustive()
    }
}

/// The secrets of this process, the present one first.
pub fn export() -> Vec<TicketKey> {
    SECRETS.export(Instant::now())
}

/// Goes on with the secrets of another process.
pub fn adopt(keys: &[TicketKey]) {
    SECRETS.adopt(keys, Instant::now());
}

impl Secrets {
    fn export(&self, now: Instant) -> Vec<TicketKey> {
        let all = lock(&self.0);
        let known = all.iter().flatten().map(|secret| TicketKey {
            name: HEXLOWER.encode(&secret.name),
            key: Zeroizing::new(HEXLOWER.encode(&*secret.key)),
            age_s: now.duration_since(secret.made).as_secs(),
        });
        known.collect()
    }

    fn adopt(&self, keys: &[TicketKey], now: Instant) {
        let mut all = lock(&self.0);
        for (place, key) in all.iter_mut().zip(keys) {
            *place = key.secret(now).map(Arc::new);
        }
    }
}

impl TicketKey {
    fn secret(&self, now: Instant) -> Option<Secret> {
        let name = HEXLOWER.decode(self.name.as_bytes()).ok()?;
        let key = Zeroizing::new(HEXLOWER.decode(self.key.as_bytes()).ok()?);
        Some(Secret {
            name: name.try_into().ok()?,
            key: Zeroizing::new(key.as_slice().try_into().ok()?),
            // A machine that has just started knows no earlier time: the key is older than it
            // seems, for once.
            made: now
                .checked_sub(Duration::from_secs(self.age_s))
                .unwrap_or(now),
        })
    }
}

/// Makes and reads the tickets of one use.
pub(super) struct Tickets {
    secrets: &'static Secrets,
    usage: Vec<u8>,
}

impl Tickets {
    /// For servers that have `usage` in common, which says all that a resumed session is not
    /// asked again.
    pub(super) fn new(usage: Vec<u8>) -> Tickets {
        Tickets {
            secrets: &SECRETS,
            usage,
        }
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        let secret = self.secrets.present(now)?;
        let mut sealed = plain.to_vec();
        let nonce = secret
            .key_for(&self.usage)?
            .seal_in_place_append_tag(Aad::from(&secret.name), &mut sealed)
            .ok()?;
        Some([&secret.name[..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let secret = self.secrets.named(name, now)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = secret
            .key_for(&self.usage)?
            .open_in_place(nonce, Aad::from(&secret.name), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(usage: &[u8]) -> [Tickets; 2] {
        let secrets: &'static Secrets = Box::leak(Box::default());
        [usage, b"another"].map(|usage| Tickets {
            secrets,
            usage: usage.to_vec(),
        })
    }

    #[test]
    fn a_ticket_is_read_by_its_own_use_and_no_other() {
        let [own, other] = tickets(b"own");
        let now = Instant::now();
        let ticket = own.seal(b"state", now).unwrap();
        assert_eq!(own.open(&ticket, now).as_deref(), Some(&b"state"[..]));
        assert_eq!(other.open(&ticket, now), None);
        assert_ne!(own.seal(b"state", now).unwrap(), ticket, "nonces differ");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(own.open(&changed, now), None, "byte {at}");
            assert_eq!(own.open(&ticket[..at], now), None, "cut at {at}");
        }
    }

    #[test]
    fn a_successor_reads_the_tickets_of_its_predecessor() {
        let [own, _] = tickets(b"own");
        let [next, other] = tickets(b"own");
        let now = Instant::now();
        let first = own.seal(b"state", now).unwrap();
        let second = own.seal(b"state", now + ROTATION).unwrap();
        let keys = own.secrets.export(now + ROTATION);
        let sent = serde_json::to_string(&keys).unwrap();
        let keys: Vec<TicketKey> = serde_json::from_str(&sent).unwrap();
        assert!(!format!("{keys:?}").contains(&*keys[0].key));
        next.secrets.adopt(&keys, now + ROTATION);
        for ticket in [&first, &second] {
            assert!(next.open(ticket, now + ROTATION).is_some());
            assert!(other.open(ticket, now + ROTATION).is_none());
        }
        assert_eq!(
            next.seal(b"x", now + ROTATION).unwrap()[..NAME],
            second[..NAME]
        );
        next.secrets.adopt(&[], now);
        next.secrets.adopt(
            &[TicketKey {
                name: "x".into(),
                key: Zeroizing::default(),
                age_s: 0,
            }],
            now,
        );
        assert!(
            next.seal(b"x", now + ROTATION).is_some(),
            "broken keys are no reason to fail"
        );
    }

    #[test]
    fn keys_rotate_and_the_one_before_is_still_read() {
        let [own, _] = tickets(b"own");
        let begin = Instant::now();
        let ticket = own.seal(b"state", begin).unwrap();
        let second = own.seal(b"state", begin + ROTATION).unwrap();
        assert_ne!(ticket[..NAME], second[..NAME]);
        let late = begin + 2 * ROTATION - Duration::from_secs(1);
        assert!(own.open(&ticket, late).is_some());
        assert!(own.open(&ticket, begin + 2 * ROTATION).is_none());
        own.seal(b"state", begin + 2 * ROTATION).unwrap();
        assert!(own.open(&ticket, begin + ROTATION).is_none(), "forgotten");
        assert!(own.open(&second, begin + 2 * ROTATION).is_some());
    }
}
