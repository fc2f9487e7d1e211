//! What a route answers with: statuses, texts, targets of redirects.

use http::StatusCode;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::variable;
use crate::setting::read::{FromText, Node, Read, Sink, Wrong};
use crate::setting::scalar::Count;
use crate::setting::written::Written;

/// What is sent to people, without variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl FromText for Text {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        variable::prose(text).map(Text)
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
            let hint = match text.contains("{{") {
                true => "; a brace for itself is `%7B` or `%7D`",
                false => "",
            };
            return Err(wrong().hint(format!("it may hold {NAMES}{hint}")));
        }
        // What the client chooses must not stand where the host does.
        let fixed = text.replace("{path}", "").replace("{query}", "");
        if fixed != text && lacks_host(&fixed) {
            return Err(wrong().hint(
                "the path of a request would name the host: write one in front of it, as in \
                 `\"https://{hostname}{path}{query}\"`",
            ));
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

/// Whether a scheme or two slashes stand at the front without a host after them.
fn lacks_host(target: &str) -> bool {
    let scheme = ["{scheme}:", "http:", "https:"]
        .iter()
        .find_map(|scheme| target.strip_prefix(scheme));
    match scheme.unwrap_or(target).strip_prefix("//") {
        Some(rest) => rest.is_empty() || rest.starts_with(['/', '?', '#', ':', '@']),
        None => scheme.is_some(),
    }
}

impl RedirectTarget {
    /// As a file writes it.
    pub(crate) fn write(to: &str) -> Written {
        match RedirectTarget::from_text(to) {
            Ok(same) if same.0 == to => to.into(),
            _ => to.replace('$', "$$").into(),
        }
    }
}
