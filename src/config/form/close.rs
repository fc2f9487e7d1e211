//! What a Close frame carries, as it is written: its code and its reason.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::variable;
use crate::setting::read::{FromText, Node, Read, Sink, Wrong};
use crate::setting::scalar::integer;
use crate::setting::typed::Setting;
use crate::setting::written::Written;

/// A close code that an endpoint may send (RFC 6455 section 7.4 and the IANA registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloseCode(u16);

impl Read for CloseCode {
    fn expected() -> String {
        "a WebSocket close code such as 1012".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(code) = integer(node.value) else {
            sink.wrong_type(node, &Self::expected());
            return None;
        };
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code as u16)),
            _ => {
                let message = format!("{code} is not a close code that can be sent");
                sink.report(&node.span, &node.key, message)
                    .hint("1000 to 1003, 1007 to 1014, or 3000 to 4999 of your own");
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1000, "maximum": 1003 },
            { "type": "integer", "minimum": 1007, "maximum": 1014 },
            { "type": "integer", "minimum": 3000, "maximum": 4999 },
        ] })
    }
}

impl Setting<u16> for CloseCode {
    fn value(&self) -> u16 {
        self.0
    }

    fn write(value: &u16) -> Written {
        u64::from(*value).into()
    }
}

/// A close reason: what fits after the code into a control frame (RFC 6455 section 5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CloseReason(String);

impl FromText for CloseReason {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        fitting(variable::prose(text)?).map(CloseReason)
    }
}

impl Setting<String> for CloseReason {
    fn value(&self) -> String {
        self.0.clone()
    }

    fn write(value: &String) -> Written {
        variable::escaped_prose(value).into()
    }
}

/// `drain.reason`: one that has a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DrainReason(String);

impl FromText for DrainReason {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let parts = text.split(RETRY_AFTER).map(variable::prose);
        let parts = parts.collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(|wrong| match wrong.hint {
            Some(hint) => Wrong::new(wrong.message)
                .hint(format!("there is `{RETRY_AFTER}` and no other; {hint}")),
            None => wrong,
        })?;
        fitting(parts.join(RETRY_AFTER)).map(DrainReason)
    }
}

impl Setting<String> for DrainReason {
    fn value(&self) -> String {
        self.0.clone()
    }

    fn write(value: &String) -> Written {
        let parts: Vec<_> = value
            .split(RETRY_AFTER)
            .map(variable::escaped_prose)
            .collect();
        parts.join(RETRY_AFTER).into()
    }
}

/// What stands for the seconds of `drain.retry_after`.
const RETRY_AFTER: &str = "{retry_after}";

fn fitting(text: String) -> Result<String, Wrong> {
    let length = text.len();
    match length > 123 {
        true => {
            let message = format!("a close reason has at most 123 bytes; this one has {length}");
            Err(Wrong::new(message))
        }
        false => Ok(text),
    }
}
