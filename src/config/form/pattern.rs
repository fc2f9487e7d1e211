//! What a route asks for and answers with: names, hosts, paths, methods, origins, statuses,
//! as they are written in the file. Whether routes go together is judged in `route`.

use std::net::Ipv6Addr;

use http::{Method, StatusCode};
use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::address::host_name;
use super::field::FieldValue;
use super::variable;
use crate::config::{HostPattern, OriginPattern, OriginRule};
use crate::setting::list::List;
use crate::setting::read::{FromText, Node, Read, Sink, Wrong};
use crate::setting::scalar::Count;

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
        let valid = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !valid {
            return Err(
                Wrong::new(format!("`{text}` can't be the name of an upstream"))
                    .hint("1 to 64 letters, digits, `-`, `_` and `.`"),
            );
        }
        Ok(UpstreamName(text.to_owned()))
    }
}

/// Free text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl FromText for Text {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        Ok(Text(text.to_owned()))
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

/// `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExactPath(pub(crate) String);

impl FromText for ExactPath {
    const EXPECTED: &'static str = "a path such as `\"/health\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        check_path(text)?;
        Ok(ExactPath(text.to_owned()))
    }
}

/// `path_prefix` and `replace_prefix`, held without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrefixPath(pub(crate) String);

impl FromText for PrefixPath {
    const EXPECTED: &'static str = "a path such as `\"/api\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Some(prefix) = text.strip_suffix('*') {
            return Err(
                Wrong::new(format!("`{text}` is not a path prefix")).hint(format!(
                    "leave the star out: `\"{prefix}\"` takes all below it"
                )),
            );
        }
        check_path(text)?;
        Ok(PrefixPath(
            text.strip_suffix('/').unwrap_or(text).to_owned(),
        ))
    }
}

fn check_path(text: &str) -> Result<(), Wrong> {
    if !text.starts_with('/') {
        return Err(
            Wrong::new(format!("the path `{text}` doesn't start with `/`"))
                .hint(format!("`\"/{text}\"`")),
        );
    }
    if text.contains(['?', '#']) {
        return Err(Wrong::new("a path has no query and no fragment")
            .hint("routes are chosen by the path alone"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Wrong::new(format!("`{text}` can't stand in a request"))
            .hint("percent-encode spaces and what is not ASCII, as clients send it"));
    }
    crate::route::path::check_pattern(text).map_err(|reason| {
        Wrong::new(reason).hint(
            "request paths are compared after normalising: no `//`, no `.` or `..` segments, \
             and percent-encoding only where it is needed",
        )
    })
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

/// `respond.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) StatusCode);

impl Read for Status {
    fn expected() -> String {
        Count::<200, 599>::expected()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let number = Count::<200, 599>::read(node, sink)?;
        // 200 to 599 are valid status codes.
        StatusCode::from_u16(number.0 as u16).ok().map(Status)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Count::<200, 599>::schema(generator)
    }
}

/// `redirect.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedirectStatus(pub(crate) StatusCode);

impl Read for RedirectStatus {
    fn expected() -> String {
        "301, 302, 303, 307 or 308".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match crate::setting::scalar::integer(node.value) {
            Some(code @ (301 | 302 | 303 | 307 | 308)) => {
                StatusCode::from_u16(code as u16).ok().map(RedirectStatus)
            }
            Some(_) => {
                let message = format!("`{}` must be {}", node.name(), Self::expected());
                sink.report(&node.span, &node.key, message);
                None
            }
            None => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [301, 302, 303, 307, 308] })
    }
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectTarget(pub(crate) String);

impl FromText for RedirectTarget {
    const EXPECTED: &'static str = "a URL such as `\"https://{hostname}{path}{query}\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const NAMES: &str =
            "`{scheme}`, `{host}` (with its port), `{hostname}` (without), `{path}` and `{query}`";
        let sample = [
            ("{scheme}", "http"),
            ("{host}", "example.com"),
            ("{hostname}", "example.com"),
            ("{path}", "/path"),
            ("{query}", "?query"),
        ]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let wrong = || Wrong::new(format!("`{text}` is not where a redirect can lead"));
        if let Err(variable) = variable::unescaped(&sample)
            && !variable.starts_with('{')
        {
            let message = format!("`{variable}` would be sent as it stands");
            return Err(Wrong::new(message).hint(format!("in a redirect there are {NAMES}")));
        }
        if sample.contains(['{', '}']) {
            return Err(wrong().hint(format!("it may hold {NAMES}")));
        }
        let absolute = ["http://", "https://", "/"]
            .iter()
            .any(|start| sample.starts_with(start));
        let visible = sample.bytes().all(|byte| byte.is_ascii_graphic());
        if !absolute || !visible || sample.parse::<http::Uri>().is_err() {
            return Err(wrong().hint(
                "write a URL (`\"https://{hostname}{path}{query}\"`) or a path (`\"/new\"`)",
            ));
        }
        Ok(RedirectTarget(text.replace("$$", "$")))
    }
}

/// `websocket.origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins(pub(crate) OriginRule);

impl Read for Origins {
    fn expected() -> String {
        "`\"same-origin\"`, `\"any\"` or a list of origins".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::String(text) => match text.as_ref() {
                "same-origin" => Some(Origins(OriginRule::SameOrigin)),
                "any" => Some(Origins(OriginRule::Any)),
                _ if crate::route::origin::parse_pattern(text).is_ok() => {
                    let message = "origins stand in a list";
                    sink.report(&node.span, &node.key, message)
                        .hint(format!("`origin = [\"{text}\"]`"));
                    None
                }
                _ if text.contains("://") => {
                    if let Err(wrong) = OriginEntry::from_text(text) {
                        wrong.note(node, sink);
                    }
                    None
                }
                _ => {
                    let wrong =
                        crate::setting::scalar::word(text, &[("same-origin", ()), ("any", ())]);
                    if let Err(wrong) = wrong {
                        wrong.note(node, sink);
                    }
                    None
                }
            },
            DeValue::Array(array) if array.is_empty() => {
                sink.report(&node.span, &node.key, "an empty list lets nobody in")
                    .hint("name an origin, or answer the route's handshakes with `respond`");
                None
            }
            DeValue::Array(_) => {
                let list = List::<OriginEntry>::read(node, sink)?;
                let patterns = list.0.into_iter().map(|entry| entry.value.0).collect();
                Some(Origins(OriginRule::List(patterns)))
            }
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["same-origin", "any"] },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

/// One entry of an origin list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OriginEntry(OriginPattern);

impl FromText for OriginEntry {
    const EXPECTED: &'static str = "an origin such as `\"https://app.example.com\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text == "any" {
            return Err(Wrong::new("`any` doesn't stand in a list").hint("`origin = \"any\"`"));
        }
        crate::route::origin::parse_pattern(text)
            .map(OriginEntry)
            .map_err(|reason| {
                Wrong::new(format!("`{text}` is not an origin: {reason}")).hint(
                    "write `\"https://app.example.com\"`, `\"https://*.example.com\"`, \
                     `\"http://localhost:*\"`, `\"moz-extension://*\"`, `\"file://\"`, `\"null\"` \
                     or `\"same-origin\"`",
                )
            })
    }
}
