//! Paths that routes ask for, and put in the place of others.

use crate::setting::read::{FromText, Wrong};

/// `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExactPath(pub(crate) String);

impl FromText for ExactPath {
    const EXPECTED: &'static str = "a path such as `\"/health\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        check_path(text)?;
        Ok(ExactPath(text.to_owned()))
    }
}

/// `path_prefix` and `replace_prefix`, held without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrefixPath(pub(crate) String);

impl FromText for PrefixPath {
    const EXPECTED: &'static str = "a path such as `\"/api\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Some(prefix) = text.strip_suffix('*') {
            return Err(
                Wrong::new(format!("`{text}` is not a path prefix")).hint(format!(
                    "leave the star out: `\"{prefix}\"` takes all below it"
                )),
            );
        }
        check_path(text)?;
        Ok(PrefixPath(
            text.strip_suffix('/').unwrap_or(text).to_owned(),
        ))
    }
}

fn check_path(text: &str) -> Result<(), Wrong> {
    if !text.starts_with('/') {
        return Err(
            Wrong::new(format!("the path `{text}` doesn't start with `/`"))
                .hint(format!("`\"/{text}\"`")),
        );
    }
    if text.contains(['?', '#']) {
        return Err(Wrong::new("a path has no query and no fragment")
            .hint("routes are chosen by the path alone"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Wrong::new(format!("`{text}` can't stand in a request"))
            .hint("percent-encode spaces and what is not ASCII, as clients send it"));
    }
    crate::route::path::check_pattern(text).map_err(|reason| {
        Wrong::new(reason).hint(
            "request paths are compared after normalising: no `//`, no `.` or `..` segments, \
             and percent-encoding only where it is needed",
        )
    })
}
