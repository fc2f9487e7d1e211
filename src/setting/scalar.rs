//! Numbers, words and switches as they are written in the file: `64`, `"least"`, `"off"`.
//! What has a unit is in `units`.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::read::{Node, Read, Sink, Wrong, nearest, quoted};
use super::typed::Setting;
use super::written::Written;

/// A whole number between `MIN` and `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Read for Count<MIN, MAX> {
    fn expected() -> String {
        format!("an integer from {MIN} to {MAX}")
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let DeValue::Integer(_) = node.value else {
            sink.wrong_type(node, &Self::expected());
            return None;
        };
        let number = integer(node.value).and_then(|number| u64::try_from(number).ok());
        match number {
            Some(number) if (MIN..=MAX).contains(&number) => Some(Count(number)),
            _ => {
                let message = format!("`{}` must be {}", node.name(), Self::expected());
                sink.report(&node.span, &node.key, message);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<const MIN: u64, const MAX: u64> Setting<usize> for Count<MIN, MAX> {
    fn value(&self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn write(value: &usize) -> Written {
        (*value as u64).into()
    }
}

/// A share, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl Read for Share {
    fn expected() -> String {
        "a number from 0 to 1".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let number = match node.value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => integer(node.value).map(|number| number as f64),
            _ => {
                sink.wrong_type(node, &Self::expected());
                return None;
            }
        };
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Some(Share(number)),
            _ => {
                let message = format!("`{}` must be {}", node.name(), Self::expected());
                sink.report(&node.span, &node.key, message);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

impl Setting<f64> for Share {
    fn value(&self) -> f64 {
        self.0
    }

    fn write(value: &f64) -> Written {
        Written::Fraction(*value)
    }
}

/// The value of an integer, where it fits.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i128> {
    let DeValue::Integer(integer) = value else {
        return None;
    };
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

impl Read for bool {
    fn expected() -> String {
        "`true` or `false`".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let DeValue::Boolean(value) = node.value else {
            sink.wrong_type(node, &Self::expected());
            return None;
        };
        Some(*value)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

impl Setting<bool> for bool {
    fn value(&self) -> bool {
        *self
    }

    fn write(value: &bool) -> Written {
        (*value).into()
    }
}

/// Something that can be switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Optional<T, const IS_LIMIT: bool = false>(pub(crate) Option<T>);

/// A limit that need not be there: written as `"unlimited"` instead of `"off"`.
pub(crate) type Limit<T> = Optional<T, true>;

const OFF: [&str; 3] = ["off", "none", "unlimited"];

impl<T: Read, const IS_LIMIT: bool> Read for Optional<T, IS_LIMIT> {
    fn expected() -> String {
        format!("{}, or `\"off\"`", T::expected())
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::String(text) if OFF.contains(&text.as_ref()) => Some(Optional(None)),
            DeValue::Boolean(_) | DeValue::Float(_) | DeValue::Datetime(_) => {
                sink.wrong_type(node, &Self::expected());
                None
            }
            _ => T::read(node, sink).map(|value| Optional(Some(value))),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": OFF }, T::schema(generator)] })
    }
}

impl<U, T: Setting<U>, const IS_LIMIT: bool> Setting<Option<U>> for Optional<T, IS_LIMIT> {
    fn value(&self) -> Option<U> {
        self.0.as_ref().map(Setting::value)
    }

    fn write(value: &Option<U>) -> Written {
        match value {
            Some(value) => T::write(value),
            None if IS_LIMIT => "unlimited".into(),
            None => "off".into(),
        }
    }
}

/// The value that a word stands for, or what the words are.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let names = || words.iter().map(|(word, _)| *word);
    let hint = match nearest(text, names()) {
        Some(meant) => format!("did you mean `\"{meant}\"`?"),
        None => format!("it can be {}", quoted(names())),
    };
    Err(Wrong::new(format!("`{text}` is not a value that this key can have")).hint(hint))
}

/// A type whose values are words.
pub(crate) trait Word: Copy + PartialEq + 'static {
    /// Every value and its word.
    const ALL: &'static [(&'static str, Self)];

    /// The word for this value.
    fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, value)| *value == self);
        found.map_or("", |(word, _)| word)
    }
}

/// Declares the words that stand for the values of a type.
macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:expr,)*) => {
        impl $crate::setting::read::FromText for $type {
            const EXPECTED: &'static str = $expected;
            const WORDS: &'static [&'static str] = &[$($word,)*];
            fn from_text(text: &str) -> Result<Self, $crate::setting::read::Wrong> {
                $crate::setting::scalar::word(text, <Self as $crate::setting::scalar::Word>::ALL)
            }
        }

        impl $crate::setting::scalar::Word for $type {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, $value),)*];
        }

        impl $crate::setting::typed::Setting<$type> for $type {
            fn value(&self) -> $type {
                *self
            }

            fn write(value: &$type) -> $crate::setting::written::Written {
                $crate::setting::scalar::Word::word(*value).into()
            }
        }
    };
}
pub(crate) use words;
