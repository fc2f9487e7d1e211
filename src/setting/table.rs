//! Tables whose keys are declared: one declaration gives the reader, the JSON Schema, the list
//! of keys, the typed configuration and what is written of it. The declarations are in `config`.

use schemars::Schema;
use serde_json::json;
use toml::de::DeValue;

use super::read::{Found, Node, Sink, nearest};

/// Declares a table of the file once: the reader, the schema, the list of keys, the typed
/// configuration with its defaults, and what is written follow.
///
/// ```text
/// table! {
///     /// `[http]`: how client connections are treated.
///     HttpTable in "`[http]`" => HttpConfig {
///         /// Largest request head, in bytes.
///         max_head: Bytes<8192, 16_777_216> as usize = "64KiB",
///     }
/// }
/// ```
///
/// A key has a doc comment (the schema's description), its form in the file, `as` its type in the
/// configuration, and `= default` as a file would write it, or `[required]`.
///
/// Where not every key stands in the configuration as it is, the others come first, in braces of
/// their own and without `as`; and what `config_file` makes of them comes last, after `with`:
/// fields of the configuration that are no keys, with what they are by default.
macro_rules! table {
    // The file's side: what is read, and the schema.
    (@file {$($about:literal)*} $table:ident $place:literal
        $({$($doc:literal)*} $field:ident {$form:ty} [$($required:ident)?] [$($default:tt)?])*
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Default)]
        #[allow(dead_code)] // not of every table the place is asked for
        pub(crate) struct $table {
            /// Where the table begins.
            pub(crate) span: $crate::setting::read::Span,
            /// The path of its key.
            pub(crate) key_path: String,
            $(
                $(#[doc = $doc])*
                pub(crate) $field: $crate::setting::read::Key<$form>,
            )*
        }

        impl $table {
            /// Where the table stands in the file, for hints.
            pub(crate) const PLACE: &'static str = $place;
            /// The accepted keys.
            pub(crate) const KEYS: &'static [&'static str] =
                &[$($crate::setting::table::bare(stringify!($field)),)*];
        }

        impl $crate::setting::read::Read for $table {
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
                    key_path: node.key.clone(),
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
                        let message = <$form as $crate::setting::read::Read>::missing(bare(stringify!($field)));
                        sink.report(&node.span, &node.key, message);
                    }
                )?)*
                Some(table)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }
        }

        impl schemars::JsonSchema for $table {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($table).trim_end_matches("Table").into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::setting::read::Read;
                use $crate::setting::table::{bare, property};
                let mut properties = serde_json::Map::new();
                $(
                    let default: Option<serde_json::Value> = None $(.or(Some(serde_json::json!($default))))?;
                    let schema = property(
                        <$form as Read>::schema(generator),
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
                    "description": concat!($($about,)*).trim(),
                    "additionalProperties": false,
                    "properties": properties,
                    "required": required,
                })
            }
        }
    };

    // The typed side: the configuration, its defaults, and the way between it and the file.
    (@typed {$($about:literal)*} $table:ident $config:ident
        {$({$($doc:literal)*} $field:ident {$form:ty} {$type:ty} [$($default:tt)?])*}
        {$({$($extra_doc:literal)*} $extra:ident {$extra_type:ty} {$initial:expr})*}
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $config {
            $(
                $(#[doc = $extra_doc])*
                pub $extra: $extra_type,
            )*
            $(
                $(#[doc = $doc])*
                $(
                    #[doc = ""]
                    #[doc = concat!("Default: `", stringify!($default), "`.")]
                )?
                pub $field: $type,
            )*
        }

        impl Default for $config {
            fn default() -> Self {
                static DEFAULT: std::sync::LazyLock<$config> = std::sync::LazyLock::new(|| $config {
                    $($extra: $initial,)*
                    $($field: $crate::setting::table::table!(@default {$form} {$type} $($default)?),)*
                });
                DEFAULT.clone()
            }
        }

        impl $table {
            /// Puts what the file says in the place of the defaults.
            pub(crate) fn apply(&self, config: &mut $config) {
                $(self.$field.store(&mut config.$field);)*
            }

            /// Whether the file says any of what [`Self::apply`] takes.
            #[allow(dead_code)] // not of every table
            pub(crate) fn has_settings(&self) -> bool {
                false $(|| !self.$field.is_absent())*
            }

            /// The keys that [`Self::apply`] takes, as a file writes them.
            pub(crate) fn written(config: &$config) -> $crate::setting::written::Table {
                let default = $config::default();
                let mut table = $crate::setting::written::Table::default();
                $(
                    let value = <$form as $crate::setting::typed::Setting<$type>>::write(&config.$field);
                    table.put_unless(
                        config.$field == default.$field,
                        $crate::setting::table::bare(stringify!($field)),
                        value,
                    );
                )*
                table
            }
        }
    };

    (@default {$form:ty} {$type:ty} $default:tt) => {
        $crate::setting::typed::default_of::<$form, $type>(stringify!($default))
    };
    (@default {$form:ty} {$type:ty}) => {
        <$type>::default()
    };

    // Every key stands in the configuration as it is.
    (
        $(#[doc = $about:literal])*
        $table:ident in $place:literal => $config:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $form:ty as $type:ty $(= $default:tt)?,
            )*
        }
    ) => {
        $crate::setting::table::table! {
            $(#[doc = $about])*
            $table in $place {} => $config {
                $($(#[doc = $doc])* $field: $form as $type $(= $default)?,)*
            } with {}
        }

        impl $crate::setting::typed::Setting<$config> for $table {
            fn value(&self) -> $config {
                let mut config = $config::default();
                self.apply(&mut config);
                config
            }

            fn write(config: &$config) -> $crate::setting::written::Written {
                Self::written(config).into()
            }
        }
    };

    // No key stands in the configuration as it is.
    (
        $(#[doc = $about:literal])*
        $table:ident in $place:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $form:ty $([$required:ident])? $(= $default:tt)?,
            )*
        }
    ) => {
        $crate::setting::table::table! {
            @file {$($about)*} $table $place
            $({$($doc)*} $field {$form} [$($required)?] [$($default)?])*
        }
    };

    // Some do.
    (
        $(#[doc = $about:literal])*
        $table:ident in $place:literal {
            $(
                $(#[doc = $raw_doc:literal])*
                $raw:ident: $raw_form:ty $([$raw_required:ident])? $(= $raw_default:tt)?,
            )*
        } => $config:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $form:ty as $type:ty $([$required:ident])? $(= $default:tt)?,
            )*
        } with {
            $(
                $(#[doc = $extra_doc:literal])*
                $extra:ident: $extra_type:ty = $initial:expr,
            )*
        }
    ) => {
        $crate::setting::table::table! {
            @file {$($about)*} $table $place
            $({$($raw_doc)*} $raw {$raw_form} [$($raw_required)?] [$($raw_default)?])*
            $({$($doc)*} $field {$form} [$($required)?] [$($default)?])*
        }
        $crate::setting::table::table! {
            @typed {$($about)*} $table $config
            {$({$($doc)*} $field {$form} {$type} [$($default)?])*}
            {$({$($extra_doc)*} $extra {$extra_type} {$initial})*}
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
