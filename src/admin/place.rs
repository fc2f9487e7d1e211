//! Where the admin interface listens: the configured address, or the usual place of its
//! unix socket.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::{AdminConfig, AdminListen, ListenAddress};
use crate::listen::{self, BindError, Listener};

/// The socket of a sluice that root has started without systemd's `RuntimeDirectory`.
pub const SYSTEM_SOCKET: &str = "/run/sluice/admin.sock";

/// The file's name in every directory.
const NAME: &str = "admin.sock";

/// Binds what is configured. Where `auto` finds no place, that is logged, and there is none.
///
/// # Errors
/// When a configured address cannot be bound.
pub fn bind(config: &AdminConfig) -> Result<Option<Listener>, BindError> {
    match &config.listen {
        AdminListen::Off => Ok(None),
        AdminListen::At(address) => listen::bind(address).map(Some),
        AdminListen::Auto => Ok(bind_default(config.mode)),
    }
}

/// Where it would listen; `None`: nowhere.
pub fn address(config: &AdminConfig) -> Option<ListenAddress> {
    match &config.listen {
        AdminListen::Off => None,
        AdminListen::At(address) => Some(address.clone()),
        AdminListen::Auto => default_socket().map(|path| ListenAddress::Unix {
            path,
            mode: config.mode,
        }),
    }
}

fn bind_default(mode: u32) -> Option<Listener> {
    const MEND: &str = "set admin.listen to an address, or to \"off\"";
    let Some(path) = default_socket() else {
        tracing::warn!(
            mend = MEND,
            "no admin interface: neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR says where"
        );
        return None;
    };
    if let Err(error) = make_directory(&path) {
        tracing::warn!(path = %path.display(), %error, mend = MEND, "no admin interface");
        return None;
    }
    match listen::bind(&ListenAddress::Unix { path, mode }) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, mend = MEND, "no admin interface");
            None
        }
    }
}

/// The usual place: in systemd's `$RUNTIME_DIRECTORY`, for root in `/run/sluice`, else in
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
