//! Certificates for a try-out: an authority of one's own, and what it signs. Made for browsers of
//! one machine, not for a public server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::system::files;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long it is trusted.
const AUTHORITY: u32 = 10 * 365;
/// Some browsers refuse certificates that hold for longer than 398 days.
const CERTIFICATE: u32 = 397;
/// Larger than any key.
const LARGEST: u64 = 64 * 1024;

/// What its certificate says.
const NAME: &str = "sluice dev-cert authority";

/// The files of a try-out, in one folder.
#[derive(Debug, Clone)]
pub struct TryOut {
    /// The authority's certificate, which clients have to trust.
    pub authority: PathBuf,
    /// The chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whether the authority was made now.
    pub is_new: bool,
}

/// Makes a pair for these names in `folder`, signed by the authority that is there; it is made
/// where there is none. A pair from before is replaced.
///
/// # Errors
/// When a name cannot be one, or a file cannot be read or written.
pub fn try_out(folder: &Path, names: &[String]) -> io::Result<TryOut> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| at(folder, &error))?;
    let file = |name: &str| folder.join(name);
    let made = TryOut {
        authority: file("ca.pem"),
        cert: file("cert.pem"),
        key: file("key.pem"),
        is_new: !file("ca.key").exists() || !file("ca.pem").exists(),
    };
    let authority = match made.is_new {
        true => new_authority(&made.authority, &file("ca.key"))?,
        false => authority(&file("ca.key"))?,
    };
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let cert = leaf(names)?
        .signed_by(&key, &authority)
        .map_err(io::Error::other)?;
    // The key first: with the certificate in its place the pair is whole.
    write(&made.key, &key.serialize_pem(), 0o600)?;
    write(&made.cert, &cert.pem(), 0o644)?;
    Ok(made)
}

/// A pair for this machine, in a folder that is removed with this.
#[derive(Debug)]
pub struct Fleeting {
    folder: PathBuf,
    /// What is in it.
    pub made: TryOut,
}

impl Fleeting {
    /// Makes it.
    ///
    /// # Errors
    /// As [`try_out`].
    pub fn new() -> io::Result<Fleeting> {
        let name = format!("sluice-demo-{:016x}", fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        match try_out(&folder, &names) {
            Ok(made) => Ok(Fleeting { folder, made }),
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }
}

impl Drop for Fleeting {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn new_authority(cert: &Path, key: &Path) -> io::Result<Issuer<'static, KeyPair>> {
    let own = KeyPair::generate().map_err(io::Error::other)?;
    let params = authority_params();
    let certificate = params.self_signed(&own).map_err(io::Error::other)?;
    write(key, &own.serialize_pem(), 0o600)?;
    write(cert, &certificate.pem(), 0o644)?;
    Ok(Issuer::new(params, own))
}

/// The authority from before, of which the key is all that differs.
fn authority(key: &Path) -> io::Result<Issuer<'static, KeyPair>> {
    let pem = files::read(key, LARGEST).map_err(|error| at(key, &error))?;
    let pem = String::from_utf8_lossy(&pem);
    let key = KeyPair::from_pem(&pem).map_err(|error| at(key, &io::Error::other(error)))?;
    Ok(Issuer::new(authority_params(), key))
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, NAME);
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * AUTHORITY).into();
    params
}

fn leaf(names: &[String]) -> io::Result<CertificateParams> {
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        let message = format!(
            "`{name}` is not the name of a host: write `localhost`, `app.example.com`, \
             `*.example.com` or an IP address"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut params = CertificateParams::new(names.to_vec()).map_err(io::Error::other)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let first = names.first().map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, first);
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * (CERTIFICATE - 1)).into();
    Ok(params)
}

fn is_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    name.parse::<IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(is_label))
}

/// Puts a file in its place as a whole; never readable by more than `mode` says.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        let mut file: File = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certificate::facts::Life;
    use crate::certificate::{Facts, Pair, chain, pem};

    #[test]
    fn a_pair_is_made_again_by_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost", "127.0.0.1", "*.app.test"].map(str::to_owned);
        let made = try_out(folder.path(), &names).unwrap();
        let authority = fs::read(&made.authority).unwrap();
        let pair = Pair::read(&made.cert, &made.key).unwrap();
        assert_eq!(pair.facts.names, names);
        assert_eq!(pair.facts.life(SystemTime::now()), Life::Valid);
        let root = pem::certificates(&made.authority).unwrap();
        let root = Facts::of(&root[0]).unwrap();
        assert_eq!(chain::doubt(&[pair.facts.clone(), root]), None);
        for key in ["key.pem", "ca.key"] {
            let mode = folder
                .path()
                .join(key)
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{key}");
        }
        let again = try_out(folder.path(), &names[..1]).unwrap();
        assert!(made.is_new && !again.is_new);
        assert_eq!(fs::read(&again.authority).unwrap(), authority);
        let second = Pair::read(&again.cert, &again.key).unwrap();
        assert_eq!(second.facts.issuer, pair.facts.issuer);
        assert_ne!(second.facts.fingerprint, pair.facts.fingerprint);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "",
            "a b",
            "https://a.test",
            "a..test",
            "*",
            "a.test:443",
            "a.*.test",
        ] {
            let error = try_out(folder.path(), &[name.to_owned()]).unwrap_err();
            assert!(
                error.to_string().contains("is not the name of a host"),
                "{error}"
            );
        }
    }
}
