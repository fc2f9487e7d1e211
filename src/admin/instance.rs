//! Which sluice a command means: it names the configuration file in a field of its request,
//! and the sluice of another file refuses (421, RFC 9110 section 15.5.20) before anything is
//! done.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, StatusCode};

use super::answer::Refusal;

/// The field, in the spelling of commands.
pub const FIELD: &str = "Sluice-Config";

static NAME: HeaderName = HeaderName::from_static("sluice-config");

/// The file as the field has it: its canonical path, with bytes that a field cannot carry as
/// `%XX`. Found anew each time, for a link on the way may have been changed.
pub fn spell(file: &Path) -> String {
    let path = file.canonicalize().or_else(|_| std::path::absolute(file));
    let path = path.unwrap_or_else(|_| file.to_owned());
    let mut text = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' => text.push_str("%25"),
            byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Refuses what is meant for the sluice of another file.
pub(super) async fn check(headers: &HeaderMap, source: Option<&PathBuf>) -> Result<(), Refusal> {
    let Some(meant) = headers.get(&NAME) else {
        return Ok(());
    };
    let own = match source.cloned() {
        // Looking for a file may take time.
        Some(file) => tokio::task::spawn_blocking(move || spell(&file)).await.ok(),
        None => None,
    };
    if own
        .as_ref()
        .is_some_and(|own| own.as_bytes() == meant.as_bytes())
    {
        return Ok(());
    }
    let (pid, meant) = (
        std::process::id(),
        String::from_utf8_lossy(meant.as_bytes()),
    );
    let own = own.map_or_else(
        || "was started without a configuration file".to_owned(),
        |own| format!("runs {own}"),
    );
    let message = format!(
        "the sluice that answers here (process {pid}) {own}, not {meant}: nothing was done; name \
         its file by --config, or the one that is meant by --admin ADDR"
    );
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_spelled_so_that_a_field_can_carry_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b%\n\u{e9}.toml");
        let text = spell(&file);
        assert!(text.ends_with("/a%20b%25%0A%C3%A9.toml"), "{text}");
        std::fs::write(&file, "").unwrap();
        let link = dir.path().join("link.toml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(spell(&link), spell(&file), "a link is the same file");
        assert!(http::HeaderValue::from_str(&spell(&file)).is_ok());
    }
}
