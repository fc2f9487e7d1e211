//! Options that several commands have: which sluice is meant.

use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::client::api::Client;
use crate::client::target::Target;

/// Which sluice a command is for.
#[derive(Debug, Default, Args)]
pub struct AdminArguments {
    /// The admin interface to use: unix:/path or 127.0.0.1:PORT
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "config")]
    pub admin: Option<Target>,
    /// Use the admin interface of this configuration file [default: ./sluice.toml, then
    /// /etc/sluice/sluice.toml, then the default sockets]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Send the token in the first line of this file [default: that of admin.token_file]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// The address of an admin interface.
pub(super) fn address(text: &str) -> Result<Target, String> {
    Target::parse(text)
        .map_err(|_| "write unix:/path, or an IP address and a port: 127.0.0.1:9180".to_owned())
}

impl AdminArguments {
    /// The options that mean the same sluice to another command, with a space before each.
    pub fn repeated(&self) -> String {
        let admin = self
            .admin
            .as_ref()
            .map(|target| format!(" --admin {target}"));
        let file = self
            .config
            .as_deref()
            .map(|file| format!(" --config {}", file.display()));
        let token = self
            .token_file
            .as_deref()
            .map(|file| format!(" --token-file {}", file.display()));
        admin.or(file).unwrap_or_default() + &token.unwrap_or_default()
    }

    /// The way to the sluice that is meant.
    ///
    /// # Errors
    /// When none is.
    pub fn client(&self) -> io::Result<Client> {
        Client::find(self.admin.as_ref(), self.config.as_deref())?
            .with_token(self.token_file.as_deref())
    }
}
