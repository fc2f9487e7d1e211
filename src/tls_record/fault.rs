//! Why a session cannot go on, and the alerts that say so (RFC 8446 section 6).

use std::{fmt, io};

/// An alert's description (section 6.2, and IANA's registry).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// The peer sends nothing any more.
    pub const CLOSE_NOTIFY: Alert = Alert(0);
    /// What came was not due.
    pub const UNEXPECTED_MESSAGE: Alert = Alert(10);
    /// A record that cannot be opened.
    pub const BAD_RECORD_MAC: Alert = Alert(20);
    /// A record that is too long.
    pub const RECORD_OVERFLOW: Alert = Alert(22);
    /// A field with a value that it may not have.
    pub const ILLEGAL_PARAMETER: Alert = Alert(47);
    /// A message with the wrong length.
    pub const DECODE_ERROR: Alert = Alert(50);
    /// Our own failure.
    pub const INTERNAL_ERROR: Alert = Alert(80);
    /// The peer gives up for its own reasons; a close_notify follows.
    pub const USER_CANCELED: Alert = Alert(90);

    /// Its name in the registry.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The peer broke the protocol, and is to be sent this alert: what it did.
    Broken(Alert, &'static str),
    /// The peer sent this alert.
    Told(Alert),
    /// Nothing may be written after our close_notify or fatal alert.
    Closed,
}

impl Fault {
    /// What the provider does not do though nothing is known that could keep it from it.
    pub(super) const CRYPTO: Fault = Fault::Broken(Alert::INTERNAL_ERROR, "the cipher failed");

    pub(super) fn unexpected(what: &'static str) -> Fault {
        Fault::Broken(Alert::UNEXPECTED_MESSAGE, what)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Broken(alert, what) => write!(f, "TLS: {what} ({alert})"),
            Fault::Told(alert) => write!(f, "TLS: the peer sent the alert {alert}"),
            Fault::Closed => f.write_str("TLS: written after the end"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::Broken(..) => io::ErrorKind::InvalidData,
            Fault::Told(_) => io::ErrorKind::ConnectionAborted,
            Fault::Closed => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, fault)
    }
}
