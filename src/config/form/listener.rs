//! What a listener is called, and where it sends clients of plain HTTP.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::request::simple_name;
use crate::setting::read::{FromText, Node, Read, Sink, Wrong};
use crate::setting::scalar::Count;
use crate::setting::typed::Setting;
use crate::setting::written::Written;

/// The name of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerName(pub(crate) String);

impl FromText for ListenerName {
    const EXPECTED: &'static str = "the name of a listener";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        simple_name(text, Self::EXPECTED).map(ListenerName)
    }
}

/// `redirect_to_https`: `true`, the port of https, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpsPort(pub(crate) Option<u16>);

/// RFC 9110 section 4.2.2.
const HTTPS: u16 = 443;

type Port = Count<1, 65_535>;

impl Read for HttpsPort {
    fn expected() -> String {
        "`true`, the port of https, or `\"off\"`".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::Boolean(is_on) => Some(HttpsPort(is_on.then_some(HTTPS))),
            DeValue::String(text) if text == "off" => Some(HttpsPort(None)),
            DeValue::Integer(_) => {
                let port = Port::read(node, sink)?;
                Some(HttpsPort(u16::try_from(port.0).ok()))
            }
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "enum": ["off"] }, { "type": "boolean" }, Port::schema(generator)]
        })
    }
}

impl Setting<Option<u16>> for HttpsPort {
    fn value(&self) -> Option<u16> {
        self.0
    }

    fn write(value: &Option<u16>) -> Written {
        value.map_or("off".into(), |port| u64::from(port).into())
    }
}
