//! Traffic secrets and what follows from them (RFC 8446 sections 7.1 to 7.3).

use std::fmt;

use aws_lc_rs::aead::{self, Algorithm, LessSafeKey, NONCE_LEN, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{self, KeyType, Prk};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The longest hash of a suite, in bytes.
const MAX_HASH: usize = 48;
const MAX_KEY: usize = 32;

/// A cipher suite of TLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// `TLS_AES_128_GCM_SHA256`.
    Aes128Gcm,
    /// `TLS_AES_256_GCM_SHA384`.
    Aes256Gcm,
    /// `TLS_CHACHA20_POLY1305_SHA256`.
    Chacha20Poly1305,
}

impl Suite {
    /// All of them.
    pub const ALL: [Suite; 3] = [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::Chacha20Poly1305];

    /// Its number (section B.4).
    pub fn number(self) -> u16 {
        match self {
            Suite::Aes128Gcm => 0x1301,
            Suite::Aes256Gcm => 0x1302,
            Suite::Chacha20Poly1305 => 0x1303,
        }
    }

    /// The suite of this number, where it is one of these.
    pub fn from_number(number: u16) -> Option<Suite> {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.number() == number)
    }

    /// Length of its traffic secrets, in bytes.
    pub fn secret_length(self) -> usize {
        self.hash().len()
    }

    /// The most records that a key may seal: of the 2^24.5 of AES-GCM (section 5.5), what a whole
    /// exponent leaves.
    pub(super) fn most_records(self) -> u64 {
        match self {
            Suite::Aes128Gcm | Suite::Aes256Gcm => 1 << 24,
            Suite::Chacha20Poly1305 => u64::MAX,
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::Aes256Gcm => &aead::AES_256_GCM,
            Suite::Chacha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    fn hash(self) -> hkdf::Algorithm {
        match self {
            Suite::Aes256Gcm => hkdf::HKDF_SHA384,
            Suite::Aes128Gcm | Suite::Chacha20Poly1305 => hkdf::HKDF_SHA256,
        }
    }
}

/// A traffic secret; wiped when it is dropped.
pub struct Secret {
    suite: Suite,
    bytes: [u8; MAX_HASH],
}

impl Secret {
    /// `None` where the suite's secrets have another length.
    pub fn new(suite: Suite, secret: &[u8]) -> Option<Secret> {
        if secret.len() != suite.secret_length() {
            return None;
        }
        let mut bytes = [0; MAX_HASH];
        bytes[..secret.len()].copy_from_slice(secret);
        Some(Secret { suite, bytes })
    }

    pub(super) fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.suite.secret_length()]
    }

    /// Whether the handshake's library has come from it to this key and this vector.
    pub(super) fn leads_to(&self, key: &[u8], iv: &[u8]) -> Result<bool, Unspecified> {
        let own = self.expand_key()?;
        let same = own[..self.suite.algorithm().key_len()].ct_eq(key) & self.iv()?.ct_eq(iv);
        Ok(same.into())
    }

    pub(super) fn key(&self) -> Result<LessSafeKey, Unspecified> {
        let algorithm = self.suite.algorithm();
        let key = self.expand_key()?;
        let key = UnboundKey::new(algorithm, &key[..algorithm.key_len()])?;
        Ok(LessSafeKey::new(key))
    }

    pub(super) fn iv(&self) -> Result<[u8; NONCE_LEN], Unspecified> {
        let mut iv = [0; NONCE_LEN];
        self.expand(b"iv", &mut iv)?;
        Ok(iv)
    }

    /// The secret after a KeyUpdate; this one is forgotten.
    pub(super) fn advance(&mut self) -> Result<(), Unspecified> {
        let mut next = Zeroizing::new([0; MAX_HASH]);
        let length = self.suite.secret_length();
        self.expand(b"traffic upd", &mut next[..length])?;
        self.bytes.copy_from_slice(&*next);
        Ok(())
    }

    pub(super) fn expand_key(&self) -> Result<Zeroizing<[u8; MAX_KEY]>, Unspecified> {
        let mut key = Zeroizing::new([0; MAX_KEY]);
        self.expand(b"key", &mut key[..self.suite.algorithm().key_len()])?;
        Ok(key)
    }

    /// HKDF-Expand-Label without a context; `label` is shorter than 250 bytes.
    fn expand(&self, label: &[u8], out: &mut [u8]) -> Result<(), Unspecified> {
        let length = u16::try_from(out.len()).map_err(|_| Unspecified)?;
        let full = u8::try_from(PREFIX.len() + label.len()).map_err(|_| Unspecified)?;
        let info: [&[u8]; 5] = [&length.to_be_bytes(), &[full], PREFIX, label, &[0]];
        let secret = Prk::new_less_safe(self.suite.hash(), self.as_bytes());
        secret.expand(&info, Length(out.len()))?.fill(out)
    }
}

const PREFIX: &[u8] = b"tls13 ";

/// How much is to be expanded.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}
