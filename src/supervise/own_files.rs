//! Files that sluice writes are no others that it knows: a PID file in the place of the
//! configuration would overwrite it, and remove it at the end.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{AccessLog, AdminListen, Config, ListenAddress};

/// Whether the files that this configuration writes are files of their own; `source` is its
/// own file.
///
/// # Errors
/// Which one is another as well.
pub fn check(config: &Config, source: Option<&Path>) -> io::Result<()> {
    let listeners = config.listeners.iter().map(|listener| &listener.address);
    let admin = match &config.admin.listen {
        AdminListen::At(address) => Some(address),
        AdminListen::Auto | AdminListen::Off => None,
    };
    let sockets = listeners.chain(admin).filter_map(|address| match address {
        ListenAddress::Unix { path, .. } => Some(("the socket of a listener", path.as_path())),
        _ => None,
    });
    let mut others: Vec<(&str, &Path)> = sockets.collect();
    others.extend(source.map(|path| ("the configuration file", path)));
    let token = config.admin.token_file.as_deref();
    others.extend(token.map(|path| ("`admin.token_file`", path)));
    let log = match &config.log.access {
        AccessLog::File(path) => Some(path.as_path()),
        _ => None,
    };
    for (name, path) in [
        ("pid_file", config.pid_file.as_deref()),
        ("log.access", log),
    ] {
        let Some(path) = path else { continue };
        if let Some((other, _)) = others.iter().find(|(_, other)| is_same(path, other)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "`{name}` names {other} ({}): give it a file of its own",
                    path.display()
                ),
            ));
        }
        others.push(("`pid_file`", path));
    }
    Ok(())
}

/// The same file, by whatever name, or the same place for one that is not there yet.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Err(_), Err(_)) => place(one).is_some_and(|one| Some(one) == place(other)),
        _ => false,
    }
}

fn place(path: &Path) -> Option<PathBuf> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}
