//! Names and values of header fields (RFC 9110 section 5) in the file, and which of them
//! a configuration may touch: not those that delimit messages or carry the upgrade.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::variable;
use crate::setting::list::{Entries, OneOrMany};
use crate::setting::read::{FromText, Wrong};
use crate::setting::typed::{Setting, held_as_read};
use crate::setting::written::{Table, Written};
use crate::vocabulary::credentials::is_for_credentials;

/// A field that a route adds, replaces or removes, and its name as it is written.
#[derive(Debug, Clone)]
pub(crate) struct EditField(pub(crate) HeaderName, String);

/// Names are the same in any case.
impl PartialEq for EditField {
    fn eq(&self, other: &EditField) -> bool {
        self.0 == other.0
    }
}

/// The names that are written with capitals, each with a colon and an LF; of one that is there
/// again, the first.
pub(crate) fn spelling<'a>(fields: impl Iterator<Item = &'a EditField> + Clone) -> Bytes {
    let mut lines = Vec::new();
    let mut names: Vec<&HeaderName> = Vec::new();
    for EditField(name, _) in fields.clone() {
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        let mut written = fields.clone().filter(|field| field.0 == *name);
        if let Some(field) = written.find(|field| field.has_capitals()) {
            lines.extend_from_slice(field.1.as_bytes());
            lines.extend_from_slice(b":\n");
        }
    }
    lines.into()
}

/// A name as these lines spell it.
pub(crate) fn spelled<'a>(spelling: &'a [u8], name: &'a str) -> &'a str {
    let lines = std::str::from_utf8(spelling).unwrap_or_default().lines();
    let mut names = lines.filter_map(|line| line.strip_suffix(':'));
    names
        .find(|one| one.eq_ignore_ascii_case(name))
        .unwrap_or(name)
}

impl EditField {
    fn has_capitals(&self) -> bool {
        self.1.bytes().any(|byte| byte.is_ascii_uppercase())
    }
}

/// Fields of one connection or of the message's framing: sluice writes them itself.
const OWN: [&str; 10] = [
    "connection",
    "upgrade",
    "transfer-encoding",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "http2-settings",
    "expect",
];

impl FromText for EditField {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let name = field_name(text)?;
        if name == http::header::HOST {
            return Err(Wrong::new("`host` can't be changed here")
                .hint("use the route's `set_host = \"app.example.com\"`"));
        }
        if name.as_str().starts_with("sec-websocket-") {
            return Err(Wrong::new(format!("`{name}` can't be changed"))
                .hint("client and server agree on the `sec-websocket-` fields between them"));
        }
        if OWN.contains(&name.as_str()) {
            return Err(Wrong::new(format!("`{name}` can't be changed"))
                .hint("it belongs to one connection, and sluice writes it as each one needs"));
        }
        Ok(EditField(name, text.to_owned()))
    }
}

held_as_read!(EditField => HeaderName);

/// A protocol that an `Upgrade` may switch to (RFC 9110 section 7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol(pub(crate) String);

impl FromText for Protocol {
    const EXPECTED: &'static str = "a protocol such as `\"tcp\"` or `\"spdy/3.1\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let wrong = || Wrong::new(format!("`{text}` can't be switched to"));
        let (name, version) = match text.split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if text.contains('*') {
            return Err(Wrong::new(format!(
                "`{text}` is no protocol: there are no wildcards here"
            ))
            .hint("name each protocol that clients may switch to: `[\"tcp\"]`"));
        }
        if text.contains(',') {
            return Err(wrong().hint("write each protocol as a string of its own"));
        }
        // RFC 9110 section 7.8; a field's name is a token too.
        let is_token = |text: &str| HeaderName::from_bytes(text.as_bytes()).is_ok();
        if !is_token(name) || !version.is_none_or(is_token) {
            return Err(wrong().hint("write a token, or two with a slash: `\"spdy/3.1\"`"));
        }
        match name.to_ascii_lowercase().as_str() {
            "websocket" => Err(Wrong::new("WebSocket passes on every route that forwards")
                .hint("leave it out; its settings stand in `[route.websocket]`")),
            "h2c" | "http" | "tls" => Err(wrong()
                .hint("requests inside such a tunnel would pass all routes and rules unseen")),
            _ => Ok(Protocol(text.to_owned())),
        }
    }
}

held_as_read!(Protocol => String);

/// A field that a route asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatchField(pub(crate) HeaderName);

impl FromText for MatchField {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let name = field_name(text)?;
        let instead = match name.as_str() {
            "host" => "use the route's `host = \"app.example.com\"`",
            "connection" | "upgrade" => "use the route's `websocket = true`",
            _ => return Ok(MatchField(name)),
        };
        Err(Wrong::new(format!("`{name}` can't be matched here")).hint(instead))
    }
}

/// A field that access records have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedField(pub(crate) HeaderName);

impl FromText for LoggedField {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        field_name(text).map(LoggedField)
    }
}

held_as_read!(LoggedField => HeaderName);

/// `http.request_id`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RequestIdField(pub(crate) EditField);

impl FromText for RequestIdField {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        EditField::from_text(text).map(RequestIdField)
    }
}

impl Setting<HeaderName> for RequestIdField {
    fn value(&self) -> HeaderName {
        self.0.0.clone()
    }

    fn write(value: &HeaderName) -> Written {
        value.as_str().into()
    }
}

fn field_name(text: &str) -> Result<HeaderName, Wrong> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Wrong::new(format!("`{text}` is not the name of a header field"))
            .hint("letters, digits and `-`, as in `x-tenant`")
    })
}

/// The value of a field: visible ASCII with spaces inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldValue(pub(crate) HeaderValue);

impl FromText for FieldValue {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let text = &*variable::literal(text)?;
        let edges = text.trim_matches([' ', '\t']) != text;
        let wrong = || {
            Wrong::new("this can't be the value of a header field")
                .hint("use visible ASCII characters, spaces and tabs, on one line")
        };
        match HeaderValue::from_str(text) {
            Ok(_) if !text.is_ascii() => Err(wrong()),
            Ok(_) if edges => Err(Wrong::new("a header value has no space at its ends")),
            Ok(value) => Ok(FieldValue(value)),
            Err(_) => Err(wrong()),
        }
    }
}

/// The value of a field as a file writes it; a secret where the field is for credentials.
pub(crate) fn written_value(name: &HeaderName, value: &HeaderValue) -> Written {
    let text = variable::escaped(&String::from_utf8_lossy(value.as_bytes()));
    match value.is_sensitive() || is_for_credentials(name) {
        true => Written::Secret(text),
        false => text.into(),
    }
}

impl Setting<Vec<(HeaderName, HeaderValue)>> for Entries<EditField, FieldValue> {
    fn value(&self) -> Vec<(HeaderName, HeaderValue)> {
        let fields = self.0.iter();
        fields
            .map(|(name, value)| (name.value.0.clone(), value.value.0.clone()))
            .collect()
    }

    fn write(fields: &Vec<(HeaderName, HeaderValue)>) -> Written {
        let mut table = Table::default();
        for (name, value) in fields {
            table.put(name.as_str(), written_value(name, value));
        }
        table.into()
    }
}

/// Lines of one name stand together, in the order of the file.
impl Setting<Vec<(HeaderName, HeaderValue)>> for Entries<EditField, OneOrMany<FieldValue>> {
    fn value(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut lines: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, values) in &self.0 {
            let name = &name.value.0;
            let last = lines.iter().rposition(|(other, _)| other == name);
            let at = last.map_or(lines.len(), |last| last + 1);
            let values = values.value.0.iter();
            let values = values.map(|value| (name.clone(), value.value.0.clone()));
            lines.splice(at..at, values);
        }
        lines
    }

    fn write(lines: &Vec<(HeaderName, HeaderValue)>) -> Written {
        let mut table = Table::default();
        for lines in lines.chunk_by(|(one, _), (other, _)| one == other) {
            let mut values = lines.iter().map(|(name, value)| written_value(name, value));
            match (lines, values.next()) {
                ([(name, _)], Some(only)) => table.put(name.as_str(), only),
                ([(name, _), ..], Some(first)) => {
                    let values: Vec<Written> = [first].into_iter().chain(values).collect();
                    table.put(name.as_str(), values);
                }
                _ => {}
            }
        }
        table.into()
    }
}

/// `set_host`: a host with or without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostValue(pub(crate) HeaderValue);

impl FromText for HostValue {
    const EXPECTED: &'static str = "a host such as `\"app.internal\"` or `\"app.internal:8080\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let text = &*variable::literal(text)?;
        let wrong = || {
            Wrong::new(format!("`{text}` is not a host"))
                .hint("write a host with or without a port: `\"app.internal:8080\"`")
        };
        let authority: http::uri::Authority = text.parse().map_err(|_| wrong())?;
        let port = authority.as_str().rsplit_once(']').map_or_else(
            || authority.as_str().split_once(':').map(|(_, port)| port),
            |(_, rest)| rest.strip_prefix(':'),
        );
        let port_missing = port.is_some_and(|port| port.parse::<u16>().is_err());
        if text.contains('@') || port_missing || authority.host().is_empty() {
            return Err(wrong());
        }
        HeaderValue::from_str(text)
            .map(HostValue)
            .map_err(|_| wrong())
    }
}

/// The pseudonym in `Via` (RFC 9110 section 7.6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pseudonym(pub(crate) String);

impl FromText for Pseudonym {
    const EXPECTED: &'static str = "a name such as `\"sluice\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        // A pseudonym is a token, and so is a field's name.
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(_) => Ok(Pseudonym(text.to_owned())),
            Err(_) => Err(Wrong::new(format!("`{text}` can't stand in `Via`"))
                .hint("write one word such as `\"sluice\"`")),
        }
    }
}

held_as_read!(Pseudonym => String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_upgrade_fields_are_refused() {
        for name in [
            "Connection",
            "upgrade",
            "Transfer-Encoding",
            "content-length",
            "host",
            "Sec-WebSocket-Key",
            "sec-websocket-protocol",
            "te",
            "a b",
            "",
            "ü",
        ] {
            assert!(EditField::from_text(name).is_err(), "{name}");
        }
        assert!(EditField::from_text("X-Frame-Options").is_ok());
    }

    #[test]
    fn hosts_to_set_have_no_userinfo_and_no_path() {
        for host in ["app", "app:80", "[::1]", "[::1]:80", "a.b:65535"] {
            assert!(HostValue::from_text(host).is_ok(), "{host}");
        }
        for host in [
            "",
            "u@app",
            "app/",
            "app:",
            "app:x",
            "app:99999",
            "http://app",
            "a b",
            ":80",
        ] {
            assert!(HostValue::from_text(host).is_err(), "{host}");
        }
    }

    #[test]
    fn values_cannot_start_a_new_line() {
        for value in ["a\r\nb", "a\0", " a", "ü"] {
            assert!(FieldValue::from_text(value).is_err(), "{value:?}");
        }
        assert!(FieldValue::from_text("a b").is_ok());
    }
}
