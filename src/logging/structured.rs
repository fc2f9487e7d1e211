//! A value with a structure in an event: a list, or names with values. `tracing` knows only
//! texts and numbers; this one is written as JSON, and says so to who formats it.

use std::cell::Cell;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

thread_local! {
    /// The value that was just written, for [`written`]. No text from outside can set it.
    static WRITTEN: Cell<Option<Value>> = const { Cell::new(None) };
}

/// Marks a field's value: `changes = structured(&report.changes)`.
pub fn structured<T: Serialize>(value: &T) -> tracing::field::DebugValue<Structured<'_, T>> {
    tracing::field::debug(Structured(value))
}

/// See [`structured`].
pub struct Structured<'a, T>(&'a T);

impl<T: Serialize> fmt::Debug for Structured<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = serde_json::to_value(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{value}")?;
        WRITTEN.set(Some(value));
        Ok(())
    }
}

/// What a field's value is: with its structure, or else its text.
pub(super) fn written(value: &dyn fmt::Debug) -> Value {
    WRITTEN.set(None);
    let text = format!("{value:?}");
    WRITTEN.take().unwrap_or(Value::String(text))
}

/// A structure in words: `a, b`, `name 1, other 2`.
pub(super) fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => join(all.iter().map(in_words)),
        Value::Object(all) => join(all.iter().map(|(name, one)| match one {
            Value::Object(_) => format!("{name} ({})", in_words(one)),
            one => format!("{name} {}", in_words(one)),
        })),
        other => other.to_string(),
    }
}

fn join(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join(", ")
}
