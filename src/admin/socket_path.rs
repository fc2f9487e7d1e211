//! Where the admin interface listens: the configured address, or the usual path of its
//! unix socket. Where another sluice has that one, a socket beside it is this one's own.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::config::{AdminConfig, AdminListen, ListenAddress};
use crate::net::listen;
use crate::net::listen::{BindError, Listener};

/// The socket of a sluice that root has started without systemd's `RuntimeDirectory`.
pub const SYSTEM_SOCKET: &str = "/run/sluice/admin.sock";

/// The file's name in every directory.
const NAME: &str = "admin.sock";

/// How the names of sockets beside it begin and end.
const BESIDE: (&str, &str) = ("admin-", ".sock");

/// Binds what is configured; `source` is the configuration file. Where `auto` finds none,
/// that is logged, and there is none.
///
/// # Errors
/// When a configured address cannot be bound.
pub fn bind(config: &AdminConfig, source: Option<&Path>) -> Result<Option<Listener>, BindError> {
    match &config.listen {
        AdminListen::Off => Ok(None),
        AdminListen::At(address) => listen::bind(address).map(Some),
        AdminListen::Auto => Ok(bind_default(config.mode, source)),
    }
}

/// Where it may listen, the best first; none: nowhere.
pub fn addresses(config: &AdminConfig, source: Option<&Path>) -> Vec<ListenAddress> {
    match &config.listen {
        AdminListen::Off => Vec::new(),
        AdminListen::At(address) => vec![address.clone()],
        AdminListen::Auto => {
            let usual = default_socket();
            let own = usual.as_deref().map(|usual| own_socket(usual, source));
            let mode = config.mode;
            let both = usual.into_iter().chain(own);
            both.map(|path| ListenAddress::Unix { path, mode })
                .collect()
        }
    }
}

fn bind_default(mode: u32, source: Option<&Path>) -> Option<Listener> {
    const FIX: &str = "set admin.listen to an address, or to \"off\"";
    let Some(usual) = default_socket() else {
        tracing::warn!(
            fix = FIX,
            "no admin interface: neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR says where"
        );
        return None;
    };
    if let Err(error) = make_directory(&usual) {
        tracing::warn!(path = %usual.display(), %error, fix = FIX, "no admin interface");
        return None;
    }
    let bind = |path| listen::bind(&ListenAddress::Unix { path, mode });
    let bound = bind(usual.clone()).or_else(|error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        let own = own_socket(&usual, source);
        tracing::info!(
            usual = %usual.display(),
            own = %own.display(),
            "another sluice has the usual socket of the admin interface"
        );
        bind(own)
    });
    bound
        .inspect_err(|error| tracing::warn!(%error, fix = FIX, "no admin interface"))
        .ok()
}

/// The socket beside the usual one that belongs to the sluice of this file; the same at each
/// start, so that what a killed one left is found and replaced.
fn own_socket(usual: &Path, source: Option<&Path>) -> PathBuf {
    let name = match source {
        None => std::process::id().to_string(),
        Some(file) => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            let digest = Sha256::digest(file.as_os_str().as_bytes());
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let plain = stem.chars().filter(char::is_ascii_alphanumeric).take(16);
            let plain: String = plain.collect();
            format!("{plain}-{}", HEXLOWER.encode(&digest[..4]))
        }
    };
    usual.with_file_name(format!("{}{name}{}", BESIDE.0, BESIDE.1))
}

/// Every socket of an admin interface in the usual directories, the usual ones first; what has
/// been left by a process that is gone may be among them.
pub fn present() -> Vec<PathBuf> {
    let system = PathBuf::from(SYSTEM_SOCKET);
    let mut usual: Vec<PathBuf> = default_socket().into_iter().collect();
    if !usual.contains(&system) {
        usual.push(system);
    }
    let mut found: Vec<PathBuf> = usual.iter().filter(|path| path.exists()).cloned().collect();
    for directory in usual.iter().filter_map(|path| path.parent()) {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut beside: Vec<PathBuf> = entries
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with(BESIDE.0) && name.ends_with(BESIDE.1)
            })
            .map(|entry| entry.path())
            .collect();
        beside.sort();
        found.extend(beside);
    }
    found
}

/// The usual path: in systemd's `$RUNTIME_DIRECTORY`, for root in `/run/sluice`, else in
/// `$XDG_RUNTIME_DIR/sluice`. `None`: there is none for this user.
pub fn default_socket() -> Option<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    usual_socket(|name| std::env::var_os(name), root)
}

fn usual_socket(variable: impl Fn(&str) -> Option<OsString>, root: bool) -> Option<PathBuf> {
    let directory = |name| {
        let first = std::env::split_paths(&variable(name)?).next()?;
        first.is_absolute().then_some(first)
    };
    if let Some(directory) = directory("RUNTIME_DIRECTORY") {
        return Some(directory.join(NAME));
    }
    if root {
        return Some(SYSTEM_SOCKET.into());
    }
    Some(directory("XDG_RUNTIME_DIR")?.join("sluice").join(NAME))
}

/// Makes the last directory of the path; the one above it is the system's to make.
fn make_directory(socket: &Path) -> io::Result<()> {
    let Some(directory) = socket.parent() else {
        return Ok(());
    };
    let mode = if socket == Path::new(SYSTEM_SOCKET) {
        0o755
    } else {
        0o700
    };
    match std::fs::DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)], root: bool) -> Option<PathBuf> {
        let find = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.into())
        };
        usual_socket(find, root)
    }

    #[test]
    fn the_service_manager_is_asked_first_and_the_session_last() {
        let runtime = ("RUNTIME_DIRECTORY", "/run/a:/run/b");
        let session = ("XDG_RUNTIME_DIR", "/run/user/1");
        let some = |path: &str| Some(PathBuf::from(path));
        assert_eq!(with(&[runtime, session], true), some("/run/a/admin.sock"));
        assert_eq!(with(&[runtime], false), some("/run/a/admin.sock"));
        assert_eq!(with(&[session], true), some("/run/sluice/admin.sock"));
        let of_session = some("/run/user/1/sluice/admin.sock");
        assert_eq!(with(&[session], false), of_session);
        assert_eq!(with(&[], false), None);
        let relative = ("RUNTIME_DIRECTORY", "run");
        assert_eq!(with(&[relative, session], false), of_session);
    }

    #[test]
    fn a_session_directory_is_made_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("sluice").join(NAME);
        make_directory(&socket).unwrap();
        make_directory(&socket).expect("it is there already");
        let made = std::fs::metadata(socket.parent().unwrap()).unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o700);
        let deeper = dir.path().join("a").join("b").join(NAME);
        assert!(make_directory(&deeper).is_err());
    }
}
