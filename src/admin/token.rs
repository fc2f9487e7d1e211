//! The token that requests over TCP have to bring (RFC 6750 section 2.1) where
//! `admin.token_file` names one. Over the unix socket permission bits say who may ask.

use std::fmt;
use std::io;
use std::path::Path;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;

use super::answer::Refusal;
use crate::config::AdminConfig;
use crate::system::files;

/// The fewest characters of a token: what a guess would have to find.
const SHORTEST: usize = 16;

/// The most characters of a token; more would not fit into a request.
const LONGEST: usize = 4096;

/// The largest file that is read for one; more lines may follow the first.
const LARGEST: u64 = 1 << 20;

/// Who knows it may ask and give orders.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// That of the configured file; `None`: none is configured.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token: the message says which.
    pub fn configured(config: &AdminConfig) -> io::Result<Option<Token>> {
        config.token_file.as_deref().map(Token::read).transpose()
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// As [`configured`](Token::configured).
    pub fn read(path: &Path) -> io::Result<Token> {
        let text = files::read(path, LARGEST).map_err(|error| {
            let message = format!("cannot read the admin token {}: {error}", path.display());
            io::Error::new(error.kind(), message)
        })?;
        let text = String::from_utf8_lossy(&text);
        let token = text.lines().next().unwrap_or_default().trim();
        // RFC 6750 section 2.1: what a field can carry, and no space.
        let fits = (SHORTEST..=LONGEST).contains(&token.len());
        if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!(
                "{} holds no token: its first line has to have {SHORTEST} to {LONGEST} \
                 characters of ASCII without spaces",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Token(token.as_bytes().into()))
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Token {
        Token(text.as_bytes().into())
    }

    /// As it stands in a request.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether the request brings it. How long that takes says nothing about the token but
    /// its length.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let brought = match (fields.next(), fields.next()) {
            (Some(field), None) => bearer(field.as_bytes()),
            _ => None,
        };
        match brought {
            Some(brought) if bool::from(brought.ct_eq(&self.0)) => Ok(()),
            _ => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong: Authorization: Bearer TOKEN",
            )
            .challenge()),
        }
    }
}

/// RFC 9110 section 11.1: the scheme's case does not matter.
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> io::Result<Token> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Token::read(file.path())
    }

    #[test]
    fn only_the_whole_token_is_enough() {
        let token = read("correct-horse-battery\n# who has it\n").unwrap();
        let check = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(AUTHORIZATION, http::HeaderValue::from_static(field));
            }
            token.check(&headers).is_ok()
        };
        assert!(check(&["Bearer correct-horse-battery"]));
        assert!(check(&["bearer  correct-horse-battery"]));
        for wrong in [
            "Bearer correct-horse-batterx",
            "Bearer correct-horse-batter",
            "Bearer correct-horse-battery-staple",
            "Basic correct-horse-battery",
            "correct-horse-battery",
            "Bearer ",
            "Bearer",
            "",
        ] {
            assert!(!check(&[wrong]), "{wrong}");
        }
        assert!(!check(&[]));
        assert!(!check(&[
            "Bearer correct-horse-battery",
            "Bearer correct-horse-battery"
        ]));
    }

    #[test]
    fn what_is_no_token_is_said_at_the_start() {
        for text in ["", "\n", "too-short", "with a space in it somewhere"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("holds no token"), "{text}: {error}");
        }
        let error = Token::read(Path::new("/nowhere/token")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
        assert!(!format!("{:?}", read("correct-horse-battery").unwrap()).contains("horse"));
    }
}
