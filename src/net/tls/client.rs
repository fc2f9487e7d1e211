//! Clients that show a certificate: the authorities whose clients are taken, and what is known of a
//! client afterwards.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};

use super::provider::PROVIDER;
use crate::certificate::facts::alternative_names;
use crate::certificate::{Facts, Unusable, pem};
use crate::config::{ClientAuth, TlsConfig};

/// The authorities of `client_ca`.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// SHA-256 of their certificates.
    pub(super) digest: Vec<u8>,
}

impl Authorities {
    /// Reads them; `None`: clients are not asked for a certificate.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(super) fn read(settings: &TlsConfig) -> Result<Option<Arc<Authorities>>, Unusable> {
        let Some(file) = &settings.client_ca else {
            return Ok(None);
        };
        let unusable = |why: String| Unusable::new(file, format!("{why} (`client_ca`)"));
        let mut roots = RootCertStore::empty();
        let mut digest = Sha256::new();
        for certificate in pem::certificates(file)? {
            digest.update(&certificate);
            roots
                .add(certificate)
                .map_err(|error| unusable(format!("it holds no authority: {error}")))?;
        }
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, PROVIDER.clone());
        let verifier = match settings.client_auth {
            ClientAuth::Require => verifier,
            ClientAuth::Optional => verifier.allow_unauthenticated(),
        };
        let verifier = verifier
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Arc::new(Authorities {
            verifier,
            digest: digest.finalize().to_vec(),
        })))
    }
}

/// A client's certificate, which an authority of `client_ca` has signed. As a header field can hold
/// it: what is not visible ASCII is percent-encoded, and so is `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whose it is.
    pub subject: Box<str>,
    /// Its alternative names with their kinds; may be empty.
    pub names: Box<str>,
    /// SHA-256 of it, in hex.
    pub fingerprint: Box<str>,
    ends: SystemTime,
}

impl ClientCertificate {
    pub(super) fn of(der: &[u8]) -> Option<ClientCertificate> {
        let facts = Facts::of(der).ok()?;
        Some(ClientCertificate {
            subject: encoded(&facts.subject),
            names: encoded(&alternative_names(der)),
            fingerprint: facts.fingerprint.into_boxed_str(),
            ends: facts.ends,
        })
    }

    /// Whether it has ended since a session began that is resumed now.
    pub(super) fn has_ended(&self) -> bool {
        SystemTime::now() > self.ends
    }
}

fn encoded(text: &str) -> Box<str> {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_field() {
        let text = encoded("CN=a, O=\u{e9}\r\nX: y, 5%");
        assert_eq!(&*text, "CN=a, O=%C3%A9%0D%0AX: y, 5%25");
    }
}
