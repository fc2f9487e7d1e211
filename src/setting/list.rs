//! Lists, `[[blocks]]` and tables with names chosen by the user, over whatever type their
//! entries have.

use std::sync::Arc;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::read::{FromText, Located, Node, Read, Sink};
use super::typed::Setting;
use super::written::Written;

/// An array.
#[derive(Debug, Default)]
pub(crate) struct List<T>(pub(crate) Vec<Located<T>>);

impl<T: Read> Read for List<T> {
    fn expected() -> String {
        format!("a list of which each entry is {}", T::expected())
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let DeValue::Array(array) = node.value else {
            sink.wrong_type(node, &Self::expected());
            return None;
        };
        let mut list = Vec::with_capacity(array.len());
        for (index, value) in array.iter().enumerate() {
            let child = Node {
                value: value.get_ref(),
                span: value.span(),
                key: format!("{}[{index}]", node.key),
            };
            list.push(Located::read(&child, sink));
        }
        list.into_iter().collect::<Option<Vec<_>>>().map(List)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": T::schema(generator) })
    }
}

impl<U, T: Setting<U>> Setting<Vec<U>> for List<T> {
    fn value(&self) -> Vec<U> {
        self.0.iter().map(|entry| entry.value.value()).collect()
    }

    fn write(value: &Vec<U>) -> Written {
        Written::List(value.iter().map(T::write).collect())
    }
}

impl<U, T: Setting<U>> Setting<Arc<[U]>> for List<T> {
    fn value(&self) -> Arc<[U]> {
        self.0.iter().map(|entry| entry.value.value()).collect()
    }

    fn write(value: &Arc<[U]>) -> Written {
        Written::List(value.iter().map(T::write).collect())
    }
}

/// One value, or an array of one and more.
#[derive(Debug, Default)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<Located<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn expected() -> String {
        format!("{} or a list of them", T::expected())
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::Array(array) if array.is_empty() => {
                let message = format!("`{}` must not be an empty list", node.name());
                sink.report(&node.span, &node.key, message)
                    .hint("leave the key out, or name at least one");
                None
            }
            DeValue::Array(_) => List::read(node, sink).map(|list| OneOrMany(list.0)),
            _ => Located::read(node, sink).map(|located| OneOrMany(vec![located])),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let one = T::schema(generator);
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl<U, T: Setting<U>> Setting<Vec<U>> for OneOrMany<T> {
    fn value(&self) -> Vec<U> {
        self.0.iter().map(|entry| entry.value.value()).collect()
    }

    /// A list even where it holds one, so that a reader of the JSON need not distinguish.
    fn write(value: &Vec<U>) -> Written {
        Written::List(value.iter().map(T::write).collect())
    }
}

/// `[[name]]` blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks<T>(pub(crate) Vec<Located<T>>);

impl<T: Read> Read for Blocks<T> {
    fn expected() -> String {
        "a list of tables".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        if !matches!(node.value, DeValue::Array(_)) {
            let name = node.name().to_owned();
            sink.wrong_type(node, &Self::expected())
                .hint(format!("write each as its own `[[{name}]]` block"));
            return None;
        }
        List::read(node, sink).map(|list| Blocks(list.0))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": T::schema(generator) })
    }

    fn missing(name: &str) -> String {
        format!("there is no `[[{name}]]` block; at least one is needed")
    }
}

/// A table whose keys are names chosen by the user, in the order of the file.
#[derive(Debug)]
pub(crate) struct Entries<N, T>(pub(crate) Vec<(Located<N>, Located<T>)>);

impl<N: FromText, T: Read> Read for Entries<N, T> {
    fn expected() -> String {
        "a table".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let DeValue::Table(table) = node.value else {
            sink.wrong_type(node, &Self::expected());
            return None;
        };
        let mut entries = Vec::with_capacity(table.len());
        for (name, value) in table.iter() {
            let child = node.child(name.get_ref(), value);
            let value = Located::read(&child, sink);
            let name_node = Node {
                span: name.span(),
                ..child
            };
            let name = match N::from_text(name.get_ref()) {
                Ok(value) => Some(Located {
                    value,
                    span: name_node.span,
                    key: name_node.key,
                }),
                Err(wrong) => {
                    wrong.note(&name_node, sink);
                    None
                }
            };
            entries.push(name.zip(value));
        }
        let mut entries = entries.into_iter().collect::<Option<Vec<_>>>()?;
        entries.sort_by_key(|(name, _)| name.span.start);
        Some(Entries(entries))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": T::schema(generator) })
    }
}
