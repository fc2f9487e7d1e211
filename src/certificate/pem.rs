//! Chains and keys from PEM files (RFC 7468). Each is read as every file that a configuration
//! names: a regular one, of a bounded size, without waiting for it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::facts::Facts;
use crate::system::files;

/// Larger than any bundle of roots.
const LARGEST: u64 = 4 << 20;

/// A chain, its own certificate first, and the private key, as their files have them.
#[derive(Debug)]
pub struct Pair {
    /// The certificates in the order of the file; never empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// What the first of them says.
    pub facts: Facts,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

/// A file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl Unusable {
    /// This file, for this reason.
    pub fn new(file: &Path, why: impl Into<String>) -> Unusable {
        Unusable {
            file: file.to_owned(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for Unusable {}

impl Pair {
    /// Reads both files. Whether they belong together is for those to say who know the key's
    /// algorithm.
    ///
    /// # Errors
    /// Which of them cannot be used.
    pub fn read(cert: &Path, key: &Path) -> Result<Pair, Unusable> {
        let chain = certificates(cert)?;
        let facts = Facts::of(&chain[0]).map_err(|why| Unusable::new(cert, why))?;
        Ok(Pair {
            chain,
            facts,
            key: private_key(key)?,
        })
    }
}

/// The certificates of a file, in its order; at least one.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let bytes = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Unusable::new(file, without_certificate(&bytes))),
        Err(error) => Err(Unusable::new(file, broken(&error))),
    }
}

/// The private key of a file: PKCS#8, PKCS#1 (RSA) or SEC1 (EC).
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Unusable> {
    let bytes = read(file)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let why = match error {
            PemError::NoItemsFound => without_key(&bytes).to_owned(),
            other => broken(&other),
        };
        Unusable::new(file, why)
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Unusable> {
    files::read(file, LARGEST)
        .map_err(|error| Unusable::new(file, format!("can't be read: {error}")))
}

fn has(bytes: &[u8], words: &str) -> bool {
    memchr::memmem::find(bytes, words.as_bytes()).is_some()
}

fn without_certificate(bytes: &[u8]) -> &'static str {
    if has(bytes, "PRIVATE KEY-----") {
        "it holds a private key and no certificate: `cert` is the file with \
         `-----BEGIN CERTIFICATE-----`, `key` the other"
    } else if bytes.starts_with(&[0x30, 0x82]) {
        "it is DER, not PEM: `openssl x509 -inform der -in FILE -out FILE.pem` turns it into PEM"
    } else if has(bytes, "CERTIFICATE REQUEST-----") {
        "it is a request for a certificate; the certificate is what the authority sent back"
    } else {
        "it holds no certificate (`-----BEGIN CERTIFICATE-----`)"
    }
}

fn without_key(bytes: &[u8]) -> &'static str {
    if has(bytes, "ENCRYPTED PRIVATE KEY-----") || has(bytes, "Proc-Type: 4,ENCRYPTED") {
        "the key is encrypted, and a server that starts by itself has no password: \
         `openssl pkey -in FILE -out FILE.plain` takes it off, and mode 0600 protects the file"
    } else if has(bytes, "BEGIN CERTIFICATE-----") {
        "it holds a certificate and no private key: `key` is the file with \
         `-----BEGIN PRIVATE KEY-----`, `cert` the other"
    } else if bytes.starts_with(&[0x30]) {
        "it is DER, not PEM: `openssl pkey -inform der -in FILE -out FILE.pem` turns it into PEM"
    } else {
        "it holds no private key (`-----BEGIN PRIVATE KEY-----`)"
    }
}

fn broken(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => {
            "it is cut off: a `-----BEGIN …-----` has no `-----END …-----`".to_owned()
        }
        other => format!("it is not valid PEM: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_file_that_is_something_else_is_named_as_what_it_is() {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        let cert = parameters.self_signed(&key).unwrap().pem();
        let key = key.serialize_pem();
        for (text, why) in [
            (key.as_str(), "a private key and no certificate"),
            ("", "no certificate (`-----BEGIN"),
            (&cert[..cert.len() / 2], "cut off"),
            (
                "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
                "request",
            ),
        ] {
            let error = certificates(file(text).path()).unwrap_err();
            assert!(error.why.contains(why), "{error}");
        }
        for (text, why) in [
            (cert.as_str(), "a certificate and no private key"),
            ("", "no private key"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "is encrypted",
            ),
        ] {
            let error = private_key(file(text).path()).unwrap_err();
            assert!(error.why.contains(why), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = certificates(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a directory, not a regular file"),
            "{error}"
        );
    }

    #[test]
    fn both_may_stand_in_one_file() {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        let cert = parameters.self_signed(&key).unwrap().pem();
        let both = file(&format!("{}{cert}", key.serialize_pem()));
        let pair = Pair::read(both.path(), both.path()).unwrap();
        assert_eq!((pair.chain.len(), &*pair.facts.names[0]), (1, "a.test"));
    }
}
