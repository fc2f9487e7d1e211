//! `websocket.origin`: the rule, and the entries of its list.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use crate::route::origin::{OriginPattern, OriginRule};
use crate::setting::list::List;
use crate::setting::read::{FromText, Node, Read, Sink, Wrong};
use crate::setting::typed::Setting;
use crate::setting::written::Written;

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
                sink.report(&node.span, &node.key, "an empty list refuses every client")
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

impl Setting<OriginRule> for Origins {
    fn value(&self) -> OriginRule {
        self.0.clone()
    }

    fn write(value: &OriginRule) -> Written {
        match value {
            OriginRule::SameOrigin => "same-origin".into(),
            OriginRule::Any => "any".into(),
            OriginRule::List(patterns) => {
                let patterns = patterns.iter().map(|one| one.to_string().into());
                Written::List(patterns.collect())
            }
        }
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
