//! The target of a request (RFC 9112 section 3.2), byte for byte as the client sent it.
//! Owns its parts: authority, path, query. The meaning of a path is in `path`.

use std::borrow::Cow;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

/// Path and query of a request.
#[derive(Debug, Clone)]
pub struct Target(Text);

#[derive(Debug, Clone)]
enum Text {
    /// As hyper parsed it, unchanged.
    Parsed(PathAndQuery),
    /// One that no `Uri` can hold, or that was rewritten; the query begins at `path`.
    Bytes { all: Bytes, path: usize },
}

impl Default for Target {
    fn default() -> Self {
        Target(Text::Parsed(PathAndQuery::from_static("/")))
    }
}

impl From<&Uri> for Target {
    /// From a target in origin form or `*`.
    fn from(uri: &Uri) -> Self {
        match uri.path_and_query() {
            Some(target) => Target(Text::Parsed(target.clone())),
            None => Target::default(),
        }
    }
}

impl Target {
    /// Takes any target apart that is a path or a URL. Returned with the authority of a URL.
    /// `OPTIONS` of a URL without path and query asks about the server (RFC 9112 section
    /// 3.2.4).
    pub fn parse(raw: &[u8], is_options: bool) -> (Target, Option<&[u8]>) {
        let Some((authority, rest)) = split_absolute(raw) else {
            return (Target::of(Bytes::copy_from_slice(raw)), None);
        };
        let target = match rest {
            [] if is_options => Bytes::from_static(b"*"),
            [b'/', ..] => Bytes::copy_from_slice(rest),
            _ => [b"/", rest].concat().into(),
        };
        (Target::of(target), Some(authority))
    }

    fn of(all: Bytes) -> Target {
        let path = memchr::memchr(b'?', &all).unwrap_or(all.len());
        Target(Text::Bytes { all, path })
    }

    /// The path; `*` for `OPTIONS *`.
    pub fn path(&self) -> &[u8] {
        match &self.0 {
            Text::Parsed(target) => target.path().as_bytes(),
            Text::Bytes { all, path } => &all[..*path],
        }
    }

    /// The query, without its `?`.
    pub fn query(&self) -> Option<&[u8]> {
        match &self.0 {
            Text::Parsed(target) => target.query().map(str::as_bytes),
            Text::Bytes { all, path } => all.get(path + 1..),
        }
    }

    /// Path and query as they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Parsed(target) => target.as_str().as_bytes(),
            Text::Bytes { all, .. } => all,
        }
    }

    /// The path for a log or a page: what is not UTF-8 is replaced.
    pub fn path_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.path())
    }

    /// The query for a log.
    pub fn query_text(&self) -> Option<Cow<'_, str>> {
        self.query().map(String::from_utf8_lossy)
    }

    /// The same query after another path.
    pub fn with_path(&self, path: &[u8]) -> Target {
        let all = match self.query() {
            Some(query) => [path, b"?", query].concat(),
            None => path.to_vec(),
        };
        Target(Text::Bytes {
            all: all.into(),
            path: path.len(),
        })
    }
}

/// Authority and rest of a URL that a server of HTTP or WebSocket may be asked for.
pub fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    const SCHEMES: [&[u8]; 4] = [b"http://", b"https://", b"ws://", b"wss://"];
    let rest = SCHEMES.into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_taken_apart_and_kept() {
        for (raw, authority, path, query) in [
            ("/", None, "/", None),
            ("/a?", None, "/a", Some("")),
            (
                "/a\"?b=\"`<>{}|^\\?#",
                None,
                "/a\"",
                Some("b=\"`<>{}|^\\?#"),
            ),
            ("http://h", Some("h"), "/", None),
            ("WS://h:81?x", Some("h:81"), "/", Some("x")),
            ("wss://[::1]:/a/b?x", Some("[::1]:"), "/a/b", Some("x")),
            ("https://h/http://i/?j", Some("h"), "/http://i/", Some("j")),
        ] {
            let (target, of) = Target::parse(raw.as_bytes(), false);
            assert_eq!(of, authority.map(str::as_bytes), "{raw}");
            assert_eq!(target.path_text(), path, "{raw}");
            assert_eq!(target.query_text().as_deref(), query, "{raw}");
            let other = target.with_path(b"/other");
            assert_eq!(other.path_text(), "/other", "{raw}");
            assert_eq!(other.query_text().as_deref(), query, "{raw}");
        }
        let (latin, _) = Target::parse(b"/\xe9?\xff", false);
        assert_eq!(latin.as_bytes(), b"/\xe9?\xff");
    }

    #[test]
    fn options_of_a_bare_url_asks_about_the_server() {
        for (raw, path) in [("http://h", "*"), ("http://h/", "/"), ("http://h?x", "/")] {
            assert_eq!(Target::parse(raw.as_bytes(), true).0.path_text(), path);
        }
    }

    #[test]
    fn what_hyper_parsed_is_the_same() {
        let uri = Uri::from_static("/a/b?c=d");
        let target = Target::from(&uri);
        assert_eq!(target.as_bytes(), b"/a/b?c=d");
        assert_eq!(target.query(), Some(b"c=d".as_slice()));
        assert_eq!(Target::from(&Uri::from_static("*")).path(), b"*");
    }
}
