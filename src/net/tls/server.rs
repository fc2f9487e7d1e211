//! What a listener serves TLS with: its settings, the certificates in force, and what rustls makes
//! of them. New handshakes get what is present when their hello has come.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::ServerConfig;
use tokio::sync::Semaphore;

use super::certificates::{Certificate, Certificates, read_all, warn_of_end};
use super::client::Authorities;
use super::settings;
use crate::certificate::Unusable;
use crate::config::TlsConfig;

/// What a listener serves TLS with.
pub struct Server {
    settings: Arc<TlsConfig>,
    present: ArcSwap<Present>,
    /// `Strict-Transport-Security` (RFC 6797 section 6.1), if it is to be said.
    hsts: Option<HeaderValue>,
    /// One for each handshake that may go on at once.
    places: Semaphore,
}

/// What new handshakes get.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) rustls: Arc<ServerConfig>,
    pub(super) certificates: Arc<Certificates>,
    /// Whose clients are taken, if clients are asked for a certificate.
    authorities: Option<Arc<Authorities>>,
}

impl Server {
    /// Reads the certificates; `before`: those in force, which stay where their files cannot be
    /// used now. Waits for files.
    ///
    /// # Errors
    /// What can neither be used nor was there before.
    pub fn load(settings: Arc<TlsConfig>, before: &[Certificate]) -> Result<Server, Unusable> {
        let all = read_all(&settings, before)?;
        let authorities = Authorities::read(&settings)?;
        let present = Present::new(&settings, all, authorities);
        Ok(Server {
            places: Semaphore::new(settings.max_handshakes),
            present: ArcSwap::from_pointee(present),
            hsts: hsts(&settings),
            settings,
        })
    }

    /// Reads every file again, and says what has come of it. Waits for files.
    pub fn read_again(&self) {
        let before = self.certificates();
        match read_all(&self.settings, &before) {
            Ok(mut all) => {
                let authorities = Authorities::read(&self.settings).unwrap_or_else(|error| {
                    tracing::error!(%error, "the authorities of clients stay as they were");
                    for certificate in &mut all {
                        certificate.problem.get_or_insert(error.to_string());
                    }
                    self.present.load().authorities.clone()
                });
                let present = Present::new(&self.settings, all, authorities);
                self.present.store(Arc::new(present));
            }
            Err(error) => tracing::error!(%error, "the certificates stay as they were"),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Arc<TlsConfig> {
        &self.settings
    }

    /// What answers say about coming by https only.
    pub fn hsts(&self) -> Option<&HeaderValue> {
        self.hsts.as_ref()
    }

    /// The certificates in force.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.present.load().certificates.all.clone()
    }

    /// Every file that it is made of.
    pub fn files(&self) -> Vec<PathBuf> {
        let certificates = self.settings.certificates.iter();
        let pairs = certificates.flat_map(|files| [files.cert.clone(), files.key.clone()]);
        pairs.chain(self.settings.client_ca.clone()).collect()
    }

    /// What a new handshake gets.
    pub(super) fn present(&self) -> Arc<Present> {
        self.present.load_full()
    }

    /// The places of handshakes.
    pub(super) fn places(&self) -> &Semaphore {
        &self.places
    }

    /// Says which certificates end soon, or have ended.
    pub fn warn_of_ends(&self, now: SystemTime) {
        for certificate in self.certificates() {
            warn_of_end(&certificate, now);
        }
    }
}

fn hsts(settings: &TlsConfig) -> Option<HeaderValue> {
    let seconds = settings.hsts?.as_secs();
    let below = match settings.hsts_include_subdomains {
        true => "; includeSubDomains",
        false => "",
    };
    HeaderValue::try_from(format!("max-age={seconds}{below}")).ok()
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Present {
    fn new(
        settings: &TlsConfig,
        all: Vec<Certificate>,
        authorities: Option<Arc<Authorities>>,
    ) -> Present {
        let certificates = Arc::new(Certificates::new(all));
        Present {
            rustls: settings::rustls(settings, &certificates, authorities.as_deref()),
            certificates,
            authorities,
        }
    }
}
