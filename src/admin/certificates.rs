//! The certificates of the listeners, as `/v1/status` tells of them, and hints about those that
//! need something.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::certificate::facts::Life;
use crate::net::tls::Certificate;
use crate::snapshot::Snapshot;
use crate::vocabulary::stamp::rfc3339;

/// A certificate of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The address of the listener.
    pub listen: String,
    /// Its file.
    pub cert: String,
    /// The names that it holds for.
    pub names: Vec<String>,
    /// Who has signed it.
    pub issuer: String,
    /// The kind of its key.
    pub key: String,
    /// When it ends, as RFC 3339 writes it.
    pub ends: String,
    /// Seconds until then; negative after it.
    pub ends_in_s: i64,
    /// `valid`, `expires_soon`, `expired`, or `not_yet`.
    pub state: String,
    /// Why its files could not be read again: the one from before is in force.
    pub problem: Option<String>,
}

impl CertificateStatus {
    fn of(listen: String, certificate: &Certificate, now: SystemTime) -> CertificateStatus {
        let facts = &certificate.facts;
        CertificateStatus {
            listen,
            cert: certificate.files.cert.display().to_string(),
            names: facts.names.clone(),
            issuer: facts.issuer.clone(),
            key: facts.key.clone(),
            ends: rfc3339(facts.ends),
            ends_in_s: facts.seconds_left(now),
            state: facts.life(now).as_str().to_owned(),
            problem: certificate.problem.clone(),
        }
    }

    fn hint(&self) -> Option<String> {
        let cert = &self.cert;
        if let Some(problem) = &self.problem {
            return Some(format!(
                "the certificate {cert} could not be read again, and the one from before stays: \
                 {problem}"
            ));
        }
        let ends = &self.ends;
        let is = |life: Life| self.state == life.as_str();
        if is(Life::ExpiresSoon) {
            Some(format!("the certificate {cert} ends at {ends}: renew it"))
        } else if is(Life::Expired) {
            Some(format!(
                "the certificate {cert} has ended at {ends}: clients refuse it"
            ))
        } else if is(Life::NotYet) {
            Some(format!(
                "the certificate {cert} does not hold yet: is the clock right?"
            ))
        } else {
            None
        }
    }
}

/// All of them.
pub(super) fn all(snapshot: &Snapshot) -> Vec<CertificateStatus> {
    let now = SystemTime::now();
    let mut all = Vec::new();
    for (address, server) in snapshot.secured() {
        let certificates = server.certificates();
        let own = certificates.iter();
        all.extend(own.map(|one| CertificateStatus::of(address.to_string(), one, now)));
    }
    all
}

/// What needs something, in sentences.
pub(super) fn hints(all: &[CertificateStatus]) -> impl Iterator<Item = String> {
    all.iter().filter_map(CertificateStatus::hint)
}
