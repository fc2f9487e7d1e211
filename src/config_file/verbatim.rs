//! Texts that are taken as they stand though they look as if something were to be put into them:
//! variables of other proxies in names and paths, and of a shell in the paths of files. Where a
//! text has variables, or an escape for them, its form in `config` judges it.

use toml::de::DeValue;

use crate::config::form::variable;
use crate::setting::read::{Node, Sink};

/// Their variables are their own.
const WITH_VARIABLES: [&str; 2] = ["redirect", "drain.reason"];
/// What names a file, besides addresses of unix sockets.
const FILES: [&str; 3] = ["log.access", "pid_file", "admin.token_file"];

/// Notes each such text of the file.
pub(super) fn warnings(node: &Node<'_>, sink: &mut Sink) {
    match node.value {
        DeValue::String(text) => text_of(node, text, sink),
        DeValue::Array(all) => {
            for (at, value) in all.iter().enumerate() {
                let element = Node {
                    value: value.get_ref(),
                    span: value.span(),
                    key: format!("{}[{at}]", node.key),
                };
                warnings(&element, sink);
            }
        }
        DeValue::Table(table) => {
            for (name, value) in table.iter() {
                warnings(&node.child(name.get_ref(), value), sink);
            }
        }
        _ => {}
    }
}

fn text_of(node: &Node<'_>, text: &str, sink: &mut Sink) {
    let is_redirect = node.key.split('.').any(|part| part == WITH_VARIABLES[0]);
    if is_redirect || node.key == WITH_VARIABLES[1] {
        return;
    }
    let is_file = text.starts_with("unix:") || FILES.contains(&node.key.as_str());
    let found = variable::in_prose(text).or_else(|| of_a_shell(text).filter(|_| is_file));
    if let Some(found) = found {
        let message = format!("`{found}` is taken as it stands: there are no variables here");
        sink.report(&node.span, &node.key, message)
            .hint("write the value itself");
    }
}

/// `~/`, `$HOME`, `${HOME}`, and systemd's `%t`.
fn of_a_shell(text: &str) -> Option<&str> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    if path.starts_with("~/") {
        return Some("~");
    }
    let specifier = path.split('/').find(|part| {
        part.len() == 2 && part.starts_with('%') && part.as_bytes()[1].is_ascii_alphabetic()
    });
    let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let variable = path.match_indices('$').find_map(|(at, _)| {
        let rest = &path[at + 1..];
        let (open, name) = match rest.strip_prefix('{') {
            Some(name) => (1, name),
            None => (0, rest),
        };
        let length = name.find(|c| !is_word(c)).unwrap_or(name.len());
        let closed = open == 0 || name[length..].starts_with('}');
        (length > 1 && closed).then(|| &path[at..at + 1 + 2 * open + length])
    });
    specifier.or(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_replace_is_seen() {
        for (text, found) in [
            ("~/token", Some("~")),
            ("unix:~/s", Some("~")),
            ("/home/$USER/token", Some("$USER")),
            (
                "${CREDENTIALS_DIRECTORY}/token",
                Some("${CREDENTIALS_DIRECTORY}"),
            ),
            ("%d/token", Some("%d")),
            ("unix:/run/%i/s", Some("%i")),
            ("/run/a~b/$5/$x/100%/%20a", None),
            ("/run/${A/b", None),
            ("/run/$", None),
        ] {
            assert_eq!(of_a_shell(text), found, "{text}");
        }
    }
}
