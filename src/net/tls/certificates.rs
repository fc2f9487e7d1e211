//! The certificates of a listener: each with its files and how they were found the last time, read
//! again as a whole; what cannot be used stays as it was.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::provider::PROVIDER;
use crate::certificate::facts::Life;
use crate::certificate::{Choice, Facts, Pair, Unusable};
use crate::config::{CertificateFiles, TlsConfig, UnknownName};

/// Certificates, and which of them a name gets.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) all: Vec<Certificate>,
    choice: Choice,
}

/// A certificate in force.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Where it is.
    pub files: CertificateFiles,
    /// What it says.
    pub facts: Arc<Facts>,
    /// When it was read.
    pub read: SystemTime,
    /// Why its files could not be read again: it is the one from before.
    pub problem: Option<String>,
    pub(super) key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads a pair of files.
    ///
    /// # Errors
    /// Which of them cannot be used, and why.
    pub fn read(files: &CertificateFiles) -> Result<Certificate, Unusable> {
        let Pair { chain, facts, key } = Pair::read(&files.cert, &files.key)?;
        let key = certified(chain, key).map_err(|why| Unusable::new(&files.key, why))?;
        Ok(Certificate {
            files: files.clone(),
            facts: Arc::new(facts),
            read: SystemTime::now(),
            problem: None,
            key: Arc::new(key),
        })
    }

    fn is_same(&self, other: &Certificate) -> bool {
        self.key.cert == other.key.cert
    }
}

impl Certificates {
    pub(super) fn new(all: Vec<Certificate>) -> Certificates {
        let names: Vec<Arc<Facts>> = all.iter().map(|one| one.facts.clone()).collect();
        Certificates {
            choice: Choice::new(names.iter().map(|facts| &*facts.names)),
            all,
        }
    }

    /// The certificates for a client that asks for this name; none: it is to be refused.
    pub(super) fn of(&self, name: Option<&str>, unknown: UnknownName) -> &[usize] {
        let named = name.and_then(|name| self.choice.of_name(name));
        named.unwrap_or(match unknown {
            UnknownName::Default => self.choice.first(),
            UnknownName::Refuse => &[],
        })
    }
}

/// Each certificate as its files have it now, or as it was where they cannot be used.
pub(super) fn read_all(
    settings: &TlsConfig,
    before: &[Certificate],
) -> Result<Vec<Certificate>, Unusable> {
    let mut all = Vec::with_capacity(settings.certificates.len());
    for files in &settings.certificates {
        let old = before.iter().find(|old| old.files == *files);
        all.push(match (Certificate::read(files), old) {
            (Ok(new), old) => {
                tell_read(&new, old);
                new
            }
            (Err(error), Some(old)) => {
                tracing::error!(
                    %error,
                    cert = %files.cert.display(),
                    ends = old.facts.end_text(),
                    "a certificate could not be read again: the one from before stays"
                );
                Certificate {
                    problem: Some(error.to_string()),
                    ..old.clone()
                }
            }
            (Err(error), None) => return Err(error),
        });
    }
    Ok(all)
}

fn tell_read(new: &Certificate, old: Option<&Certificate>) {
    let is_repaired = old.is_some_and(|old| old.problem.is_some());
    if old.is_none_or(|old| !old.is_same(new)) || is_repaired {
        tracing::info!(
            cert = %new.files.cert.display(),
            names = new.facts.names.join(", "),
            key = new.facts.key,
            ends = new.facts.end_text(),
            "certificate read"
        );
        warn_of_end(new, SystemTime::now());
    }
}

pub(super) fn warn_of_end(certificate: &Certificate, now: SystemTime) {
    let (cert, ends) = (
        certificate.files.cert.display(),
        certificate.facts.end_text(),
    );
    let days = certificate.facts.seconds_left(now).div_euclid(86_400);
    match certificate.facts.life(now) {
        Life::Valid => {}
        Life::ExpiresSoon => tracing::warn!(
            %cert, ends, days, "a certificate ends soon: renew it and put the new one in its place"
        ),
        Life::Expired => tracing::error!(
            %cert, ends, "a certificate has ended: clients refuse it until a new one is in its place"
        ),
        Life::NotYet => tracing::warn!(
            %cert, ends, "a certificate does not hold yet: is this machine's clock right?"
        ),
    }
}

/// A chain with its key.
///
/// # Errors
/// Why they do not go together.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, String> {
    CertifiedKey::from_der(chain, key, &PROVIDER).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the private key does not belong to the certificate: one of the two files is of \
             another pair"
                .to_owned()
        }
        Error::General(why) => format!("the private key can't be used: {why}"),
        other => format!("the pair can't be used: {other}"),
    })
}
