//! What a certificate says (RFC 5280): whose it is, for which names, from when until when, and
//! how it is signed and recognised.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::vocabulary::stamp::rfc3339;

/// From when on an end is worth a warning, unless the certificate lives only for a short time.
const WARN: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is, as `CN=example.com, O=Example`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names and addresses that it holds for, in lower case; a wildcard is `*.example.com`.
    pub names: Vec<String>,
    /// When it begins to hold.
    pub begins: SystemTime,
    /// When it ends.
    pub ends: SystemTime,
    /// The key's algorithm and size: `EC 256`, `RSA 2048`.
    pub key: String,
    /// SHA-256 of the certificate, in hex.
    pub fingerprint: String,
    /// It signs others (RFC 5280 section 4.2.1.9).
    pub is_authority: bool,
    /// Subject and issuer as encoded, for the order of a chain.
    pub(super) subject_der: Vec<u8>,
    pub(super) issuer_der: Vec<u8>,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// Why it is none.
    pub fn of(der: &[u8]) -> Result<Facts, String> {
        let (_, parsed) = X509Certificate::from_der(der)
            .map_err(|error| format!("it is not a valid X.509 certificate: {error}"))?;
        let validity = parsed.validity();
        Ok(Facts {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names(&parsed),
            begins: moment(validity.not_before.timestamp()),
            ends: moment(validity.not_after.timestamp()),
            key: key(&parsed),
            fingerprint: HEXLOWER.encode(&Sha256::digest(der)),
            is_authority: parsed.is_ca(),
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
        })
    }

    /// What to call it: its first name, or whose it is.
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.subject)
    }

    /// Whether it is signed by itself, as a root is.
    pub fn is_own_issuer(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whole seconds from `now` to its end; negative after that.
    pub fn seconds_left(&self, now: SystemTime) -> i64 {
        match self.ends.duration_since(now) {
            Ok(left) => left.as_secs() as i64,
            Err(past) => -(past.duration().as_secs() as i64) - 1,
        }
    }

    /// How its life stands at `now`.
    pub fn life(&self, now: SystemTime) -> Life {
        let whole = self.ends.duration_since(self.begins).unwrap_or_default();
        let warn = WARN.min(whole / 3);
        match self.ends.duration_since(now) {
            Err(_) => Life::Expired,
            Ok(_) if now < self.begins => Life::NotYet,
            Ok(left) if left <= warn => Life::ExpiresSoon,
            Ok(_) => Life::Valid,
        }
    }

    /// When it ends, for a log.
    pub fn end_text(&self) -> String {
        rfc3339(self.ends)
    }
}

/// How a certificate's life stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It has not begun.
    NotYet,
    /// It holds.
    Valid,
    /// It holds for 14 days or less, or for a third of a short life.
    ExpiresSoon,
    /// It has ended.
    Expired,
}

impl Life {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Life::NotYet => "not_yet",
            Life::Valid => "valid",
            Life::ExpiresSoon => "expires_soon",
            Life::Expired => "expired",
        }
    }
}

fn moment(unix: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix).unwrap_or(0))
}

/// Common names are no names of servers (RFC 9525 section 2), so they are left out.
fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(found)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = found.value.general_names.iter();
    names.filter_map(server_name).collect()
}

fn server_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Every alternative name with its kind, as OpenSSL writes it: `DNS:a.test, email:b@c`.
pub fn alternative_names(der: &[u8]) -> String {
    let mut text = String::new();
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        return text;
    };
    let found = parsed.subject_alternative_name().ok().flatten();
    for name in found.iter().flat_map(|found| &found.value.general_names) {
        let (kind, value) = match name {
            GeneralName::DNSName(value) => ("DNS", (*value).to_owned()),
            GeneralName::RFC822Name(value) => ("email", (*value).to_owned()),
            GeneralName::URI(value) => ("URI", (*value).to_owned()),
            GeneralName::IPAddress(_) => match server_name(name) {
                Some(address) => ("IP Address", address),
                None => continue,
            },
            _ => continue,
        };
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{kind}:{value}");
    }
    text
}

fn key(parsed: &X509Certificate<'_>) -> String {
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(key)) => format!("EC {}", key.key_size()),
        _ => parsed.public_key().algorithm.algorithm.to_id_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(days: u64, age: u64) -> (Facts, SystemTime) {
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["A.test", "*.a.test", "127.0.0.1"].map(str::to_owned);
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_before = (now - day * age as u32).into();
        parameters.not_after = (now + day * (days - age) as u32).into();
        let made = parameters.self_signed(&key).unwrap();
        (Facts::of(made.der()).unwrap(), now)
    }

    #[test]
    fn a_warning_comes_in_time_for_long_lives_and_short_ones() {
        for (days, age, life) in [
            (365, 300, Life::Valid),
            (365, 352, Life::ExpiresSoon),
            (90, 75, Life::Valid),
            (90, 77, Life::ExpiresSoon),
            (45, 30, Life::Valid),
            (45, 32, Life::ExpiresSoon),
            (6, 3, Life::Valid),
            (6, 5, Life::ExpiresSoon),
        ] {
            let (facts, now) = made(days, age);
            assert_eq!(facts.life(now), life, "{age} of {days} days");
        }
        let (facts, now) = made(6, 6);
        assert_eq!(facts.life(now + Duration::from_secs(2)), Life::Expired);
        assert_eq!(facts.life(facts.begins - WARN), Life::NotYet);
        assert!(facts.seconds_left(facts.ends) == 0 && facts.seconds_left(now + WARN) < -1_000_000);
    }

    #[test]
    fn names_are_those_of_servers() {
        let (facts, _) = made(90, 0);
        assert_eq!(facts.names, ["a.test", "*.a.test", "127.0.0.1"]);
        assert_eq!((&*facts.key, facts.fingerprint.len()), ("EC 256", 64));
        assert!(facts.is_own_issuer() && !facts.is_authority);
        assert!(Facts::of(b"0").is_err());
    }
}
