//! Reads TOML values into types, with spans kept and every problem noted instead of only
//! the first. Knows no key of the configuration (`config` declares them) and no meaning.

use std::ops::Range;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::problem::{MOST, Problem};

/// A place in the source, in bytes.
pub(crate) type Span = Range<usize>;

/// What to say of a key that is unknown in a table with these keys and near to none of them.
pub(crate) type HintFor = fn(&str, &[&str]) -> String;

/// Collects problems.
#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) problems: Vec<Problem>,
    hint_for: Option<HintFor>,
    /// Takes what is said of a problem after the last one that is kept.
    left_out: Problem,
}

impl Sink {
    /// One that knows the tables of the file.
    pub(crate) fn new(hint_for: HintFor) -> Self {
        Sink {
            hint_for: Some(hint_for),
            ..Sink::default()
        }
    }

    /// What to say of an unknown key in a table with these keys.
    pub(crate) fn hint_for(&self, unknown: &str, keys: &[&str]) -> String {
        match self.hint_for {
            Some(hint_for) => hint_for(unknown, keys),
            None => format!("the keys here are {}", quoted(keys.iter().copied())),
        }
    }

    /// Notes a problem, unless there are [`MOST`] already; the answer takes a hint and related
    /// places.
    pub(crate) fn report(
        &mut self,
        span: &Span,
        key: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        if self.problems.len() >= MOST {
            self.left_out = Problem::default();
            return &mut self.left_out;
        }
        self.problems.push(Problem {
            span: span.clone(),
            key: key.to_owned(),
            message: message.into(),
            ..Problem::default()
        });
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Notes a problem with a value that was read.
    pub(crate) fn at<T>(&mut self, place: &Located<T>, message: impl Into<String>) -> &mut Problem {
        self.report(&place.span, &place.key, message)
    }

    /// Notes that a value has the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, expected: &str) -> &mut Problem {
        let message = format!(
            "`{}` must be {expected}, not {}",
            node.name(),
            kind(node.value)
        );
        self.report(&node.span, &node.key, message)
    }
}

/// A value of the document on its way to a type.
pub(crate) struct Node<'a> {
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) span: Span,
    /// The path of the key, as `route[2].websocket.origin`.
    pub(crate) key: String,
}

impl<'a> Node<'a> {
    /// The last part of the key, without an index.
    pub(crate) fn name(&self) -> &str {
        let whole = self.key.split('[').next().unwrap_or_default();
        match self.key.rfind('.') {
            Some(dot) => self.key[dot + 1..].split('[').next().unwrap_or_default(),
            None => whole,
        }
    }

    pub(crate) fn child(&self, name: &str, value: &'a toml::Spanned<DeValue<'a>>) -> Node<'a> {
        let key = if self.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.key)
        };
        Node {
            value: value.get_ref(),
            span: value.span(),
            key,
        }
    }
}

/// A type that a TOML value can be read into.
pub(crate) trait Read: Sized {
    /// What the value must be, to follow "must be".
    fn expected() -> String;
    /// The value, or `None` with at least one problem noted.
    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self>;
    /// What an editor accepts.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
    /// How to say that a required key is missing.
    fn missing(name: &str) -> String {
        format!("missing key `{name}`")
    }
}

/// Why a text was not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Wrong {
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Wrong {
            hint: Some(hint.into()),
            ..self
        }
    }

    pub(crate) fn note<'s>(self, node: &Node<'_>, sink: &'s mut Sink) -> &'s mut Problem {
        let problem = sink.report(&node.span, &node.key, self.message);
        problem.hint = self.hint;
        problem
    }
}

/// A type written as a TOML string.
pub(crate) trait FromText: Sized {
    /// What the value must be, to follow "must be".
    const EXPECTED: &'static str;
    /// Words that are worth completing; empty for free text.
    const WORDS: &'static [&'static str] = &[];
    /// A regular expression for editors that all right texts match.
    const PATTERN: &'static str = "";
    fn from_text(text: &str) -> Result<Self, Wrong>;
}

impl<T: FromText> Read for T {
    fn expected() -> String {
        T::EXPECTED.to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let DeValue::String(text) = node.value else {
            sink.wrong_type(node, T::EXPECTED);
            return None;
        };
        T::from_text(text)
            .map_err(|wrong| wrong.note(node, sink))
            .ok()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({ "type": "string" });
        if !T::WORDS.is_empty() {
            schema.insert("enum".to_owned(), T::WORDS.into());
        }
        if !T::PATTERN.is_empty() {
            schema.insert("pattern".to_owned(), T::PATTERN.into());
        }
        schema
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
    pub(crate) key: String,
}

impl<T: Read> Located<T> {
    pub(crate) fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        Some(Located {
            value: T::read(node, sink)?,
            span: node.span.clone(),
            key: node.key.clone(),
        })
    }
}

/// A key of a table. One that was given but could not be read is not the same as one that
/// is absent: it has had its problem, and nothing more is to be said about it.
#[derive(Debug, Default)]
pub(crate) enum Key<T> {
    #[default]
    Absent,
    Invalid(Span),
    Given(Located<T>),
}

impl<T> Key<T> {
    pub(crate) fn given(&self) -> Option<&Located<T>> {
        match self {
            Key::Given(located) => Some(located),
            Key::Absent | Key::Invalid(_) => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|located| &located.value)
    }

    pub(crate) fn span(&self) -> Option<&Span> {
        match self {
            Key::Absent => None,
            Key::Invalid(span) => Some(span),
            Key::Given(located) => Some(&located.span),
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Key::Absent)
    }

    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self, Key::Invalid(_))
    }
}

impl<T: Read> Key<T> {
    pub(crate) fn accept(&mut self, found: &Found<'_, '_>, sink: &mut Sink) {
        match found {
            Found::Value(node) => {
                *self = match Located::read(node, sink) {
                    Some(located) => Key::Given(located),
                    None => Key::Invalid(node.span.clone()),
                }
            }
            Found::Misspelt(span) if matches!(self, Key::Absent) => {
                *self = Key::Invalid(span.clone());
            }
            Found::Misspelt(_) => {}
        }
    }
}

/// What stands in a table for a key.
pub(crate) enum Found<'n, 'a> {
    /// Its value.
    Value(&'n Node<'a>),
    /// Only a misspelt key, which has had its problem.
    Misspelt(Span),
}

/// The word nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|other| {
            (
                strsim::damerau_levenshtein(&word, &other.to_ascii_lowercase()),
                other,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// The names in backquotes, with commas between.
pub fn quoted<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_near_when_few_letters_differ() {
        let words = ["origin", "to", "upstream"];
        assert_eq!(nearest("orgins", words), Some("origin"));
        assert_eq!(nearest("Origin", words), Some("origin"));
        assert_eq!(nearest("upstreams", words), Some("upstream"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest(&"o".repeat(100_000), words), None);
    }

    #[test]
    fn a_node_is_named_by_the_last_part_of_its_key() {
        for (key, name) in [
            ("workers", "workers"),
            ("route[2].to", "to"),
            ("a.to[1]", "to"),
        ] {
            let node = Node {
                value: &DeValue::Boolean(true),
                span: 0..0,
                key: key.to_owned(),
            };
            assert_eq!(node.name(), name);
        }
    }
}
