//! Which running sluice a command is for: by the address of its admin interface, by its
//! configuration file, or the only one that there is.

use std::io;
use std::path::{Path, PathBuf};

use super::api::Client;
use super::target::{Target, reachable};
use crate::admin::{Token, default_socket, instance, socket_path};
use crate::config::{AdminConfig, AdminListen, ListenAddress};
use crate::config_file;
use crate::config_file::default::DEFAULT_FILES;
use crate::net::listen;

impl Client {
    /// For the sluice that the arguments mean.
    ///
    /// # Errors
    /// When they mean none.
    pub fn find(admin: Option<&Target>, file: Option<&Path>) -> io::Result<Client> {
        let mut files = DEFAULT_FILES.iter().map(Path::new);
        let file = match (admin, file) {
            (Some(target), _) => return Ok(Client::at(target.clone())),
            (None, Some(file)) => Some(file),
            (None, None) => files.find(|file| file.exists()),
        };
        match file {
            Some(file) => of_file(file),
            None => only_one().map(Client::at),
        }
    }

    /// The same for an order that brings another file for the running process: where that
    /// file says by an address which one is meant, it need not be the one that runs.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub fn find_for_upgrade(admin: Option<&Target>, file: Option<&Path>) -> io::Result<Client> {
        let mut client = Client::find(admin, file)?;
        if let Some(file) = file
            && matches!(config_file::admin_of(file)?.listen, AdminListen::At(_))
        {
            client.file = None;
        }
        Ok(client)
    }
}

/// The sluice of this configuration.
fn of_file(file: &Path) -> io::Result<Client> {
    let admin = config_file::admin_of(file)?;
    let mut client = match configured(&admin, file) {
        Ok(None) => return usual(file),
        // The file may have another address now than the process that still runs with it.
        Ok(Some(client)) if client.is_meant().is_none() => running(file).unwrap_or(client),
        Ok(Some(client)) => client,
        Err(error) => running(file).ok_or(error)?,
    };
    client.file = Some(instance::spell(file));
    Ok(client)
}

/// Where the file says that its sluice is; `None`: at one of the usual places.
fn configured(admin: &AdminConfig, file: &Path) -> io::Result<Option<Client>> {
    Ok(Some(match &admin.listen {
        AdminListen::Auto => return Ok(None),
        AdminListen::At(ListenAddress::Tcp(address)) => Client {
            token: Token::configured(admin)?,
            ..Client::at(Target::Tcp(reachable(*address)))
        },
        AdminListen::At(ListenAddress::Unix { path, .. }) => Client::at(Target::Unix(path.clone())),
        AdminListen::Off => {
            return Err(io::Error::other(format!(
                "{} switches the admin interface off (`admin.listen`)",
                file.display()
            )));
        }
    }))
}

/// The sluice that runs with this file at one of the usual places.
fn running(file: &Path) -> Option<Client> {
    let mut all = socket_path::present().into_iter();
    all.find_map(|path| {
        let client = at_socket(path, file);
        (client.is_meant() == Some(true)).then_some(client)
    })
}

/// The sluice at this socket, asked as that of the file.
fn at_socket(path: PathBuf, file: &Path) -> Client {
    Client {
        file: Some(instance::spell(file)),
        ..Client::at(Target::Unix(path))
    }
}

/// The sluice of this file at one of the usual places. Where there is none, the first that
/// answers, which says whose it is.
fn usual(file: &Path) -> io::Result<Client> {
    let client = |path| at_socket(path, file);
    let mut first = None;
    for client in socket_path::present().into_iter().map(client) {
        match client.is_meant() {
            Some(true) => return Ok(client),
            Some(false) if first.is_none() => first = Some(client),
            _ => {}
        }
    }
    Ok(first.unwrap_or_else(|| client(fallback())))
}

/// The only sluice at the usual places.
fn only_one() -> io::Result<Target> {
    let lives = |path: &PathBuf| listen::connect_unix(path).is_ok();
    let mut living: Vec<PathBuf> = socket_path::present().into_iter().filter(lives).collect();
    if living.len() > 1 {
        let all = living.iter().map(|path| format!("unix:{}", path.display()));
        let all: Vec<String> = all.collect();
        return Err(io::Error::other(format!(
            "several sluices run here ({}): say which one by --config FILE or --admin ADDR",
            all.join(", ")
        )));
    }
    Ok(Target::Unix(living.pop().unwrap_or_else(fallback)))
}

/// Where one would be looked for.
fn fallback() -> PathBuf {
    default_socket().unwrap_or_else(|| socket_path::SYSTEM_SOCKET.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_leads_to_its_sluice_however_wrong_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sluice.toml");
        let find = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Client::find(None, Some(&file)).map(|client| client.target)
        };
        let target = find("nonsense = 1\nx = = 3\n[admin]\nlisten = \"unix:/a/b\"\nmod = 1\n");
        assert_eq!(target.unwrap(), Target::Unix("/a/b".into()));
        let target = find("[admin]\nlisten = \"127.0.0.1:99\"\n[[route]]\n");
        assert_eq!(
            target.unwrap(),
            Target::Tcp("127.0.0.1:99".parse().unwrap())
        );
        let error = find("admin.listen = \"off\"\n").unwrap_err();
        assert!(error.to_string().contains("off"), "{error}");
        assert!(matches!(find(""), Ok(Target::Unix(_))));
        let absent = Client::find(None, Some(&dir.path().join("absent")));
        assert!(absent.unwrap_err().to_string().contains("absent"));
    }
}
