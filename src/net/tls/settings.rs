//! What rustls is told: provider, versions, protocols, tickets, and how it gets the certificate for
//! a name.

use std::sync::Arc;

use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificates::Certificates;
use super::client::Authorities;
use super::provider::PROVIDER;
use super::secrets::Listening;
use super::tickets::Tickets;
use crate::certificate::choice::plain_name;
use crate::config::{TlsConfig, TlsVersion, UnknownName};
use crate::setting::scalar::Word;

/// The application protocols that are spoken, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// The configuration of handshakes.
pub(super) fn rustls(
    settings: &TlsConfig,
    certificates: &Arc<Certificates>,
    authorities: Option<&Authorities>,
) -> Arc<ServerConfig> {
    let resolver = Resolver {
        certificates: certificates.clone(),
        unknown: settings.unknown_name,
    };
    #[expect(
        clippy::expect_used,
        reason = "the provider has suites for both versions, which is all that can be wrong"
    )]
    let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(versions(settings.min_version))
        .expect("suites for every version");
    let builder = match authorities {
        Some(authorities) => builder.with_client_cert_verifier(authorities.verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(Listening);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    // What is resumed is in the client's ticket.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match settings.session_tickets {
        true => config.ticketer = Arc::new(Tickets::new(usage(settings, authorities))),
        false => config.send_tls13_tickets = 0,
    }
    Arc::new(config)
}

/// A client that resumes a session shows no certificate again: its ticket is read only where the
/// same rules hold.
fn usage(settings: &TlsConfig, authorities: Option<&Authorities>) -> Vec<u8> {
    let Some(authorities) = authorities else {
        return Vec::new();
    };
    let mut usage = settings.client_auth.word().as_bytes().to_vec();
    usage.extend_from_slice(&authorities.digest);
    usage
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match oldest {
        TlsVersion::Tls12 => &ALL,
        TlsVersion::Tls13 => &ALL[..1],
    }
}

/// Gives rustls the certificate for a name.
#[derive(Debug)]
struct Resolver {
    certificates: Arc<Certificates>,
    unknown: UnknownName,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(plain_name);
        let fitting = self.certificates.of(name.as_deref(), self.unknown);
        let mut keys = fitting.iter().map(|&at| &self.certificates.all[at].key);
        let understood = |key: &&Arc<CertifiedKey>| {
            { key.key.choose_scheme(hello.signature_schemes()) }.is_some()
        };
        let first = keys.clone().next();
        // Where the client understands none, rustls says so.
        keys.find(understood).or(first).cloned()
    }
}
