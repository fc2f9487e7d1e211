//! `[listen.tls]`: TLS on a listener.

use std::path::PathBuf;
use std::time::Duration;

use super::form::file::FilePath;
use crate::setting::list::Blocks;
use crate::setting::scalar::{Count, Optional, words};
use crate::setting::table::table;
use crate::setting::units::SomeTime;

table! {
    /// `[listen.tls]`: this listener speaks TLS, with the certificate of `cert` and `key`, and
    /// those of further `[[listen.tls.certificate]]` blocks.
    TlsTable in "`[listen.tls]`" {
        /// The certificate chain, in PEM, the server's own first. The first certificate of a
        /// listener stands in for names that none has.
        cert: FilePath,
        /// Its private key, in PEM.
        key: FilePath,
        /// Further certificates: for other names, or for the same ones with another kind of key.
        certificate: Blocks<CertificateTable>,
    } => TlsConfig {
        /// Clients that ask for a name which no certificate has, or for none: `default` gives
        /// them the first certificate, `refuse` ends the handshake.
        unknown_name: UnknownName as UnknownName = "default",
        /// The oldest version of TLS that is spoken: `1.2` or `1.3`.
        min_version: TlsVersion as TlsVersion = "1.2",
        /// How long a client may take from its connection to the end of the handshake.
        handshake_timeout: SomeTime as Duration = "10s",
        /// Handshakes at once; clients beyond wait for their turn within `handshake_timeout`.
        max_handshakes: Count<1, 1_000_000> as usize = 1024,
        /// Clients that come back are given a shorter handshake, by tickets that only sluice
        /// can read and whose keys change every 6 hours.
        session_tickets: bool as bool = true,
        /// Read the files again by themselves when they change, a symlink on their path
        /// included. A reload always does.
        watch: bool as bool = true,
        /// How long browsers are to come by https only (`Strict-Transport-Security`), or `"off"`.
        hsts: Optional<SomeTime> as Option<Duration> = "off",
        /// Whether that holds for all names below the host, too.
        hsts_include_subdomains: bool as bool = false,
        /// Ask clients for a certificate: the PEM file with the authorities that may have signed
        /// it, or `"off"`.
        client_ca: Optional<FilePath> as Option<PathBuf> = "off",
        /// With `client_ca`: `require` ends the handshake of a client without a certificate,
        /// `optional` leaves it to routes (`client_certificate`). One that no authority has signed
        /// ends the handshake in any case.
        client_auth: ClientAuth as ClientAuth = "require",
    } with {
        /// The files of each certificate; never empty.
        certificates: Vec<CertificateFiles> = Vec::new(),
    }
}

table! {
    /// A `[[listen.tls.certificate]]` block: one more certificate.
    CertificateTable in "`[[listen.tls.certificate]]`" {
        /// The certificate chain, in PEM, the server's own first.
        cert: FilePath [required],
        /// Its private key, in PEM.
        key: FilePath [required],
    }
}

/// Where a certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What becomes of clients that ask for a name which no certificate has, or for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownName {
    /// They get the first certificate.
    Default,
    /// They get an alert (RFC 6066 section 3).
    Refuse,
}
words!(UnknownName, "`\"default\"` or `\"refuse\"`",
    "default" => UnknownName::Default,
    "refuse" => UnknownName::Refuse,
);

/// What becomes of clients without a certificate, where they are asked for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// The handshake ends.
    Require,
    /// Routes say whether they need one.
    Optional,
}
words!(ClientAuth, "`\"require\"` or `\"optional\"`",
    "require" => ClientAuth::Require,
    "optional" => ClientAuth::Optional,
);

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}
words!(TlsVersion, "`\"1.2\"` or `\"1.3\"`",
    "1.2" => TlsVersion::Tls12,
    "1.3" => TlsVersion::Tls13,
);
