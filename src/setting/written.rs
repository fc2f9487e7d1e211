//! A value of the configuration on its way out, as a file writes it: to TOML, which reads back
//! to the same, or to JSON, which shows defaults too and no secrets.

use serde_json::Value;

use crate::vocabulary::credentials::REDACTED;

/// A value as a file writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Whole(u64),
    /// A number with a fraction.
    Fraction(f64),
    /// A string.
    Text(String),
    /// A string that TOML has and JSON has not.
    Secret(String),
    /// A list.
    List(Vec<Written>),
    /// A table.
    Table(Table),
}

/// A table as a file writes it: keys and values, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table(Vec<Entry>);

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    key: String,
    value: Written,
    /// Leaving it out changes nothing.
    is_default: bool,
}

impl Table {
    /// Appends a key that has to be there.
    pub fn put(&mut self, key: &str, value: impl Into<Written>) {
        self.put_unless(false, key, value);
    }

    /// Appends a key that TOML leaves out where it is a default.
    pub fn put_unless(&mut self, is_default: bool, key: &str, value: impl Into<Written>) {
        self.0.push(Entry {
            key: key.to_owned(),
            value: value.into(),
            is_default,
        });
    }

    /// Appends the keys of another table.
    pub fn extend(&mut self, other: Table) {
        self.0.extend(other.0);
    }

    /// Writes names in the tables of this table otherwise.
    pub fn rename(&mut self, name: impl Fn(&str) -> String) {
        for entry in &mut self.0 {
            if let Written::Table(table) = &mut entry.value {
                for entry in &mut table.0 {
                    entry.key = name(&entry.key);
                }
            }
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|entry| entry.key != key);
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As JSON, with the keys that have their defaults.
    pub fn to_json(&self) -> Value {
        let entries = self.0.iter();
        let entries = entries.map(|entry| (entry.key.clone(), entry.value.to_json()));
        Value::Object(entries.collect())
    }

    /// As the text of a file, without the keys that have their defaults.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        self.write_section("", &mut text);
        text
    }

    /// The keys of a table under its header, then the tables in it, each with a header.
    fn write_section(&self, path: &str, text: &mut String) {
        let entries = || self.0.iter().filter(|entry| !entry.is_default);
        for entry in entries().filter(|entry| !entry.value.has_header()) {
            let value = entry.value.inline();
            text.push_str(&format!("{} = {value}\n", quoted_key(&entry.key)));
        }
        for entry in entries() {
            let mut below = quoted_key(&entry.key);
            if !path.is_empty() {
                below = format!("{path}.{below}");
            }
            match &entry.value {
                Written::Table(table) if table.holds_only_tables() => {
                    table.write_section(&below, text);
                }
                Written::Table(table) => table.write_headed(&format!("[{below}]"), &below, text),
                Written::List(blocks) if entry.value.has_header() => {
                    for block in blocks {
                        if let Written::Table(table) = block {
                            table.write_headed(&format!("[[{below}]]"), &below, text);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether it needs no header of its own: those of the tables in it make it.
    fn holds_only_tables(&self) -> bool {
        let mut written = self.0.iter().filter(|entry| !entry.is_default).peekable();
        written.peek().is_some() && written.all(|entry| matches!(entry.value, Written::Table(_)))
    }

    fn write_headed(&self, header: &str, path: &str, text: &mut String) {
        let before = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!("{before}{header}\n"));
        self.write_section(path, text);
    }
}

impl Written {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Written::Switch(value) => (*value).into(),
            Written::Whole(number) => (*number).into(),
            Written::Fraction(number) => (*number).into(),
            Written::Text(text) => text.as_str().into(),
            Written::Secret(_) => REDACTED.into(),
            Written::List(list) => list.iter().map(Written::to_json).collect(),
            Written::Table(table) => table.to_json(),
        }
    }

    /// Whether it stands below a header: a table, or a list of tables.
    fn has_header(&self) -> bool {
        match self {
            Written::Table(_) => true,
            Written::List(list) => matches!(list.first(), Some(Written::Table(_))),
            _ => false,
        }
    }

    /// As it stands to the right of `=`.
    fn inline(&self) -> String {
        match self {
            Written::Switch(value) => value.to_string(),
            Written::Whole(number) => number.to_string(),
            // With a point or an exponent, without which TOML would read an integer.
            Written::Fraction(number) => format!("{number:?}"),
            Written::Text(text) | Written::Secret(text) => quoted_text(text),
            Written::List(list) => {
                let list: Vec<String> = list.iter().map(Written::inline).collect();
                format!("[{}]", list.join(", "))
            }
            Written::Table(Table(entries)) => {
                let entry = |entry: &Entry| {
                    format!("{} = {}", quoted_key(&entry.key), entry.value.inline())
                };
                let entries: Vec<String> = entries.iter().map(entry).collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}

impl From<bool> for Written {
    fn from(value: bool) -> Self {
        Written::Switch(value)
    }
}

impl From<u64> for Written {
    fn from(number: u64) -> Self {
        Written::Whole(number)
    }
}

impl From<&str> for Written {
    fn from(text: &str) -> Self {
        Written::Text(text.to_owned())
    }
}

impl From<String> for Written {
    fn from(text: String) -> Self {
        Written::Text(text)
    }
}

impl From<Table> for Written {
    fn from(table: Table) -> Self {
        Written::Table(table)
    }
}

impl From<Vec<Written>> for Written {
    fn from(list: Vec<Written>) -> Self {
        Written::List(list)
    }
}

/// A key, in quotes where it needs them.
fn quoted_key(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        quoted_text(key)
    }
}

/// A basic string of TOML.
fn quoted_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_come_before_tables_and_defaults_are_left_out() {
        let mut inner = Table::default();
        inner.put("path", "/a \"b\"");
        inner.put_unless(true, "body", "");
        inner.put("x.y", true);
        let mut table = Table::default();
        table.put("log", inner.clone());
        table.put("route", vec![inner.clone().into(), inner.into()]);
        table.put("workers", 3);
        table.put("share", Written::Fraction(1.0));
        table.put("secret", Written::Secret("s".into()));
        let toml = table.to_toml();
        assert_eq!(
            toml,
            "workers = 3\nshare = 1.0\nsecret = \"s\"\n\n[log]\npath = \"/a \\\"b\\\"\"\n\"x.y\" = true\n\n\
             [[route]]\npath = \"/a \\\"b\\\"\"\n\"x.y\" = true\n\n\
             [[route]]\npath = \"/a \\\"b\\\"\"\n\"x.y\" = true\n"
        );
        let json = table.to_json();
        assert_eq!(json["secret"], "redacted");
        assert_eq!(json["log"]["body"], "");
    }

    proptest! {
        #[test]
        fn any_text_and_key_reads_back(text in any::<String>(), key in any::<String>()) {
            let mut table = Table::default();
            table.put(&key, text.as_str());
            let read: toml::Table = toml::from_str(&table.to_toml()).unwrap();
            prop_assert_eq!(read[&key].as_str(), Some(text.as_str()));
        }
    }
}
