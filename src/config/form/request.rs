//! What a route asks for, as it is written in the file: names, hosts, methods, header values.
//! Whether routes go together is judged in `config_file::route`.

use std::net::Ipv6Addr;

use http::Method;
use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::endpoint::host_name;
use super::field::FieldValue;
use crate::route::matches::HostPattern;
use crate::setting::read::{FromText, Node, Read, Sink, Wrong};

/// The name of a route: what logs and counters call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteName(pub(crate) String);

impl FromText for RouteName {
    const EXPECTED: &'static str = "a name";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let valid = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if !valid || text.contains(['"', '\\']) {
            return Err(Wrong::new(format!("`{text}` can't be the name of a route"))
                .hint("1 to 128 visible ASCII characters, no spaces, quotes or backslashes"));
        }
        Ok(RouteName(text.to_owned()))
    }
}

/// The name of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpstreamName(pub(crate) String);

impl FromText for UpstreamName {
    const EXPECTED: &'static str = "the name of an upstream";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        simple_name(text, Self::EXPECTED).map(UpstreamName)
    }
}

/// A name that commands and metrics can quote; `what` it is.
pub(super) fn simple_name(text: &str, what: &str) -> Result<String, Wrong> {
    let valid = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match valid {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new(format!("`{text}` can't be {what}"))
            .hint("1 to 64 letters, digits, `-`, `_` and `.`")),
    }
}

impl FromText for HostPattern {
    const EXPECTED: &'static str = "a host such as `\"example.com\"` or `\"*.example.com\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let wrong = || Wrong::new(format!("`{text}` is not a host to match"));
        if text == "*" {
            return Err(wrong().hint("leave `host` out to match every host"));
        }
        if let Some(inner) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let ip: Ipv6Addr = inner.parse().map_err(|_| wrong())?;
            return Ok(HostPattern::Exact(format!("[{ip}]")));
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (host.ends_with(']') || !host.contains(':'))
        {
            return Err(wrong().hint(format!("hosts are matched without port: `\"{host}\"`")));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(wrong().hint(format!("write it in brackets: `\"[{text}]\"`")));
        }
        if !text.is_ascii() {
            return Err(wrong().hint("write it as clients send it, in punycode (`xn--…`)"));
        }
        if let Some(host) = text.strip_suffix('.') {
            return Err(wrong().hint(format!("leave out the final dot: `\"{host}\"`")));
        }
        let (name, suffix) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        match host_name(name) {
            Some(name) if suffix => Ok(HostPattern::Suffix(name)),
            Some(name) => Ok(HostPattern::Exact(name)),
            None => {
                Err(wrong()
                    .hint("write `\"example.com\"`, or `\"*.example.com\"` for all below it"))
            }
        }
    }
}

impl FromText for Method {
    const EXPECTED: &'static str = "a method such as `\"GET\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const KNOWN: [&str; 9] = [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
        ];
        let upper = text.to_ascii_uppercase();
        if matches!(upper.as_str(), "CONNECT" | "TRACE") {
            return Err(Wrong::new(format!("sluice refuses every {upper} request")));
        }
        if upper != text && KNOWN.contains(&upper.as_str()) {
            return Err(Wrong::new("methods are case-sensitive")
                .hint(format!("did you mean `\"{upper}\"`?")));
        }
        Method::from_bytes(text.as_bytes())
            .map_err(|_| Wrong::new(format!("`{text}` is not a method")))
    }
}

/// The value of a `headers` entry: a text to equal, or `true` for presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderTest {
    Present,
    Equals(FieldValue),
}

impl Read for HeaderTest {
    fn expected() -> String {
        "a string to equal, or `true` for presence".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::Boolean(true) => Some(HeaderTest::Present),
            DeValue::Boolean(false) => {
                sink.report(
                    &node.span,
                    &node.key,
                    "a route can't ask for a header's absence",
                )
                .hint("give the requests that have it a route of their own, with `true`");
                None
            }
            DeValue::String(_) => FieldValue::read(node, sink).map(HeaderTest::Equals),
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "const": true }] })
    }
}
