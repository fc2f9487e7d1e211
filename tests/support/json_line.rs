//! What every line of JSON that sluice writes must be, whatever a test provokes: an object that
//! has no key twice at any depth, the fields that all lines have, and no text that is a structure
//! of Rust's.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Says what is wrong with a line.
pub fn check(line: &str) -> Result<(), String> {
    serde_json::from_str::<Strict>(line).map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    for name in ["time", "level", "kind", "message"] {
        if !value[name].is_string() {
            return Err(format!("it has no {name}"));
        }
    }
    // Records quote what comes from outside, and what libraries say is theirs.
    let module = value["module"].as_str().unwrap_or_default();
    match module.starts_with("sluice") {
        true => no_debug_text(&value),
        false => Ok(()),
    }
}

/// `Some(..)`, `Totals { exchanges: [..`, `["a", ..` and `1.5s` are not for programs.
fn no_debug_text(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => {
            let is_structure = ["Some(", "[\"", "{\"", "Ok(", "Err("]
                .iter()
                .any(|start| text.starts_with(start))
                || text.contains(" { ") && text.ends_with(" }");
            let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let is_span =
                text.ends_with('s') && number.contains('.') && number.parse::<f64>().is_ok();
            match is_structure || is_span {
                true => Err(format!("`{text}` is Rust's Debug form")),
                false => Ok(()),
            }
        }
        Value::Array(all) => all.iter().try_for_each(no_debug_text),
        Value::Object(all) => all.values().try_for_each(no_debug_text),
        _ => Ok(()),
    }
}

/// Any value in which no object has a key twice.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Strict, D::Error> {
        from.deserialize_any(Strict)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Strict, A::Error> {
        while all.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Strict, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = all.next_key::<String>()? {
            all.next_value::<Strict>()?;
            if let Some(twice) = names.replace(name) {
                return Err(Error::custom(format!("it has `{twice}` twice")));
            }
        }
        Ok(Strict)
    }
}
