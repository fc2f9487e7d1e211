//! Why a handshake came to nothing: the kind that is counted, what happened, and what would fix
//! it.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Kinds of failures, closed so that no client can add one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The client ended the connection before the handshake was complete.
    Closed = 0,
    /// The handshake took too long.
    Timeout = 1,
    /// A plain HTTP request came.
    PlainHttp = 2,
    /// Something came that is neither TLS nor HTTP.
    NotTls = 3,
    /// No certificate has the name, and such clients are refused.
    UnknownName = 4,
    /// The client understands no certificate's kind of key.
    NoCertificate = 5,
    /// The client speaks only versions that are too old.
    Version = 6,
    /// There is no cipher suite or key exchange in common.
    Cipher = 7,
    /// The client speaks no application protocol that is offered.
    Protocol = 8,
    /// The client does not trust our certificate.
    Distrusted = 9,
    /// The client brought no certificate, or one that is refused.
    ClientCertificate = 10,
    /// The client gave up for another reason.
    Alert = 11,
    /// Anything else that is no TLS.
    Malformed = 12,
}

impl Kind {
    /// Every kind with its word.
    pub const ALL: [(Kind, &'static str); 13] = [
        (Kind::Closed, "closed"),
        (Kind::Timeout, "timeout"),
        (Kind::PlainHttp, "plain_http"),
        (Kind::NotTls, "not_tls"),
        (Kind::UnknownName, "unknown_name"),
        (Kind::NoCertificate, "no_certificate"),
        (Kind::Version, "version"),
        (Kind::Cipher, "cipher"),
        (Kind::Protocol, "application_protocol"),
        (Kind::Distrusted, "distrusted"),
        (Kind::ClientCertificate, "client_certificate"),
        (Kind::Alert, "alert"),
        (Kind::Malformed, "malformed"),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// What would fix it, where that is known.
    pub fn fix(self) -> Option<&'static str> {
        Some(match self {
            Kind::Closed | Kind::Alert | Kind::Malformed => return None,
            Kind::Timeout => {
                "a client on a slow network needs a longer `handshake_timeout`; a health check \
                 that only connects belongs on the port of a listener without TLS"
            }
            Kind::PlainHttp => "the client has to use https:// or wss:// on this port",
            Kind::NotTls => "this port speaks TLS; point the client at the right port",
            Kind::UnknownName => {
                "add a certificate for this name, or `unknown_name = \"default\"` to give such \
                 clients the first one"
            }
            Kind::NoCertificate => {
                "add a certificate with the other kind of key (RSA or ECDSA) for the same names"
            }
            Kind::Version => "update the client, or lower `min_version` where it is \"1.3\"",
            Kind::Cipher => "update the client: it offers only cipher suites that are broken",
            Kind::Protocol => "the client has to offer `http/1.1` in ALPN, or no ALPN at all",
            Kind::Distrusted => {
                "the client must trust the authority that has signed the certificate, and the \
                 name must be in it; `sluice check` tells of incomplete chains and expired \
                 certificates"
            }
            Kind::ClientCertificate => {
                "the client has to send a certificate that an authority of `client_ca` has signed"
            }
        })
    }
}

/// A handshake that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind it is.
    pub kind: Kind,
    /// What happened.
    pub detail: String,
}

impl Failure {
    /// This kind, with what happened.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Failure {
        Failure {
            kind,
            detail: detail.into(),
        }
    }

    /// What rustls says.
    pub(super) fn of(error: &Error) -> Failure {
        let (kind, detail) = match error {
            Error::AlertReceived(alert) => return Failure::told(*alert),
            Error::PeerIncompatible(why) => return Failure::incompatible(why),
            Error::NoApplicationProtocol => (
                Kind::Protocol,
                "the client offers no application protocol that this listener speaks".to_owned(),
            ),
            Error::NoCertificatesPresented => (
                Kind::ClientCertificate,
                "the client sent no certificate".to_owned(),
            ),
            Error::InvalidCertificate(why) => (Kind::ClientCertificate, refused(why)),
            other => (Kind::Malformed, other.to_string()),
        };
        Failure { kind, detail }
    }

    /// What the client's alert says (RFC 8446 section 6.2).
    fn told(alert: AlertDescription) -> Failure {
        use AlertDescription as A;
        let kind = match alert {
            A::UnknownCA
            | A::BadCertificate
            | A::CertificateUnknown
            | A::CertificateExpired
            | A::CertificateRevoked
            | A::UnsupportedCertificate => Kind::Distrusted,
            A::CloseNotify | A::UserCanceled => Kind::Closed,
            A::ProtocolVersion => Kind::Version,
            _ => Kind::Alert,
        };
        let detail = match kind {
            Kind::Distrusted => format!("the client refused our certificate ({alert:?})"),
            _ => format!("the client gave up ({alert:?})"),
        };
        Failure { kind, detail }
    }

    fn incompatible(why: &PeerIncompatible) -> Failure {
        let kind = lacking(why);
        let detail = match kind {
            Kind::NoCertificate => {
                "the client understands none of the kinds of keys that the \
                                    certificates for this name have"
            }
            Kind::Version => "the client speaks only versions of TLS that are not spoken here",
            Kind::Cipher => {
                "the client and this listener have no cipher suite or key exchange \
                             in common"
            }
            _ => return Failure::new(kind, format!("what the client offers is no TLS: {why:?}")),
        };
        Failure::new(kind, detail)
    }
}

fn lacking(why: &PeerIncompatible) -> Kind {
    use PeerIncompatible as P;
    match why {
        P::NoSignatureSchemesInCommon => Kind::NoCertificate,
        P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled
        | P::ServerTlsVersionIsDisabledByOurConfig => Kind::Version,
        P::NoCipherSuitesInCommon
        | P::NoKxGroupsInCommon
        | P::NoEcPointFormatsInCommon
        | P::NamedGroupsExtensionRequired
        | P::EcPointsExtensionRequired
        | P::KeyShareExtensionRequired
        | P::NullCompressionRequired
        | P::UncompressedEcPointsRequired => Kind::Cipher,
        _ => Kind::Malformed,
    }
}

fn refused(why: &CertificateError) -> String {
    match why {
        // A namesake of the authority leads to the second.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority of `client_ca` has signed the client's certificate".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the client's certificate has expired".to_owned()
        }
        other => format!("the client's certificate is refused: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place_and_its_word() {
        for (at, (kind, word)) in Kind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, kind.as_str()), (at, word));
        }
    }

    #[test]
    fn what_the_client_says_is_understood() {
        for (error, kind) in [
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                Kind::Distrusted,
            ),
            (
                Error::AlertReceived(AlertDescription::CertificateUnknown),
                Kind::Distrusted,
            ),
            (
                Error::AlertReceived(AlertDescription::CloseNotify),
                Kind::Closed,
            ),
            (
                Error::AlertReceived(AlertDescription::InternalError),
                Kind::Alert,
            ),
            (Error::NoCertificatesPresented, Kind::ClientCertificate),
            (Error::NoApplicationProtocol, Kind::Protocol),
            (Error::DecryptError, Kind::Malformed),
        ] {
            assert_eq!(Failure::of(&error).kind, kind, "{error}");
        }
    }
}
