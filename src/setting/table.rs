//! Tables whose keys are declared: one declaration gives the reader, the JSON Schema and
//! the list of keys. The declarations are in `keys`.

use schemars::Schema;
use serde_json::json;
use toml::de::DeValue;

use super::read::{Found, Node, Sink, nearest};

/// Declares a table of the file once; the reader, the schema and the list of keys follow.
/// Each key has a doc comment (the schema's description), a type, optionally `= default`
/// as it would be written in the file, and `[required]` where there is none.
macro_rules! table {
    (
        $(#[doc = $table_doc:literal])*
        struct $name:ident in $place:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $type:ty $([$required:ident])? $(= $default:tt)?,
            )*
        }
    ) => {
        $(#[doc = $table_doc])*
        #[derive(Debug, Default)]
        #[allow(dead_code)] // not of every table the place is asked for
        pub(crate) struct $name {
            /// Where the table begins.
            pub(crate) span: $crate::setting::read::Span,
            /// The path of its key.
            pub(crate) key: String,
            $(
                $(#[doc = $doc])*
                pub(crate) $field: $crate::setting::read::Key<$type>,
            )*
        }

        impl $name {
            /// Where the table stands in the file, for hints.
            pub(crate) const PLACE: &'static str = $place;
            /// The accepted keys.
            pub(crate) const KEYS: &'static [&'static str] =
                &[$($crate::setting::table::bare(stringify!($field)),)*];
        }

        impl $crate::setting::read::Read for $name {
            fn expected() -> String {
                "a table".to_owned()
            }

            fn read(
                node: &$crate::setting::read::Node<'_>,
                sink: &mut $crate::setting::read::Sink,
            ) -> Option<Self> {
                use $crate::setting::table::{bare, read_table};
                let mut table = Self {
                    span: node.span.clone(),
                    key: node.key.clone(),
                    ..Self::default()
                };
                read_table(node, Self::KEYS, sink, |name, found, sink| {
                    $(if name == const { bare(stringify!($field)) } {
                        table.$field.accept(found, sink);
                    })*
                })?;
                $($(
                    const _: &str = stringify!($required);
                    if table.$field.is_absent() {
                        let message = <$type as $crate::setting::read::Read>::missing(bare(stringify!($field)));
                        sink.report(&node.span, &node.key, message);
                    }
                )?)*
                Some(table)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_end_matches("Table").into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::setting::read::Read;
                use $crate::setting::table::{bare, property};
                let mut properties = serde_json::Map::new();
                $(
                    let default: Option<serde_json::Value> = None $(.or(Some(serde_json::json!($default))))?;
                    let schema = property(
                        <$type as Read>::schema(generator),
                        concat!($($doc,)*),
                        default,
                    );
                    properties.insert(bare(stringify!($field)).to_owned(), schema.to_value());
                )*
                let required: &[&str] = &[$($({
                    const _: &str = stringify!($required);
                    bare(stringify!($field))
                },)?)*];
                schemars::json_schema!({
                    "type": "object",
                    "description": concat!($($table_doc,)*).trim(),
                    "additionalProperties": false,
                    "properties": properties,
                    "required": required,
                })
            }
        }
    };
}
pub(crate) use table;

/// A field's name as the key is written: `r#match` is `match`.
pub(crate) const fn bare(name: &str) -> &str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Reads the keys of a table whose keys are declared; `accept` takes those it knows, and
/// those that were meant by a misspelt one.
pub(crate) fn read_table(
    node: &Node<'_>,
    keys: &[&'static str],
    sink: &mut Sink,
    mut accept: impl FnMut(&str, &Found<'_, '_>, &mut Sink),
) -> Option<()> {
    let DeValue::Table(table) = node.value else {
        sink.wrong_type(node, "a table");
        return None;
    };
    for (name, value) in table.iter() {
        let child = node.child(name.get_ref(), value);
        if keys.contains(&name.get_ref().as_ref()) {
            accept(name.get_ref(), &Found::Value(&child), sink);
            continue;
        }
        let meant = nearest(name.get_ref(), keys.iter().copied());
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => sink.hint_for(name.get_ref(), keys),
        };
        let message = format!("unknown key `{}`", name.get_ref());
        sink.report(&name.span(), &child.key, message).hint(hint);
        if let Some(meant) = meant {
            accept(meant, &Found::Misspelt(name.span()), sink);
        }
    }
    Some(())
}

/// What the schema says about one key: its type, what it means, its default.
pub(crate) fn property(
    mut schema: Schema,
    doc: &str,
    default: Option<serde_json::Value>,
) -> Schema {
    let mut text = doc.trim().to_owned();
    if let Some(default) = default {
        text.push_str(&format!(" Default: `{default}`."));
        schema.insert("default".to_owned(), default);
    }
    schema.insert("description".to_owned(), json!(text));
    schema
}
