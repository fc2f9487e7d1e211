//! `sluice dev-cert`: a local authority and a certificate for a try-out, and how to trust them.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::certificate::issue;

/// For which names, and where.
#[derive(Debug, Args)]
pub struct DevCertArguments {
    /// The names of the server
    #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    pub names: Vec<String>,
    /// The folder for the files
    #[arg(long, value_name = "FOLDER", default_value = "dev-cert")]
    pub folder: PathBuf,
}

/// Makes the files, and says what to do with them.
///
/// # Errors
/// When they cannot be made.
pub fn run(arguments: &DevCertArguments, out: &mut impl Write) -> io::Result<ExitCode> {
    let made = issue::try_out(&arguments.folder, &arguments.names)?;
    let [authority, cert, key] =
        [&made.authority, &made.cert, &made.key].map(|file| absolute(file));
    writeln!(out, "A certificate for {}:", arguments.names.join(", "))?;
    writeln!(out)?;
    writeln!(
        out,
        "  [listen.tls]\n  cert = \"{cert}\"\n  key = \"{key}\""
    )?;
    writeln!(out)?;
    let which = match made.is_new {
        true => "The authority that has signed it is new; clients have to trust it:",
        false => "It is signed by the authority from before; clients that trust it trust it still:",
    };
    writeln!(out, "{which}")?;
    writeln!(out)?;
    trust(&authority, out)?;
    writeln!(out)?;
    writeln!(
        out,
        "Who has {} can make certificates that these clients believe: do not give it away, and \
         remove it when the try-out is over.",
        absolute(&arguments.folder.join("ca.key"))
    )?;
    Ok(ExitCode::SUCCESS)
}

/// How clients are told to trust an authority.
pub(super) fn trust(authority: &str, out: &mut impl Write) -> io::Result<()> {
    for (client, how) in [
        (
            "curl",
            format!("curl --cacert {authority} https://localhost:8443/"),
        ),
        ("Python, Go, OpenSSL", format!("SSL_CERT_FILE={authority}")),
        ("Node.js", format!("NODE_EXTRA_CA_CERTS={authority}")),
        (
            "Firefox",
            "Settings, Certificates, Authorities, Import".to_owned(),
        ),
        (
            "Chrome",
            "chrome://certificate-manager, Custom, Trusted certificates".to_owned(),
        ),
        (
            "Debian, Ubuntu",
            format!(
                "sudo cp {authority} /usr/local/share/ca-certificates/sluice-dev.crt && \
                 sudo update-ca-certificates"
            ),
        ),
        ("Fedora, Arch", format!("sudo trust anchor {authority}")),
    ] {
        writeln!(out, "  {client:20} {how}")?;
    }
    Ok(())
}

fn absolute(file: &Path) -> String {
    let path = std::path::absolute(file);
    path.as_deref().unwrap_or(file).display().to_string()
}
