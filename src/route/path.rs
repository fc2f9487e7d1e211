//! Stand-in for path normalisation: only what the configuration asks of it.

/// Whether a path is what normalising would make of it.
pub fn is_normalised(path: &str) -> bool {
    check_pattern(path).is_ok()
}

/// Whether a route may be written for `pattern` (the whole path, or a prefix without its
/// trailing slash).
///
/// # Errors
/// In words, with the spelling that would be right.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in pattern.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let slash = if pattern.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    let normal = format!("/{}{slash}", segments.join("/"));
    if normal == pattern {
        Ok(())
    } else {
        Err(format!(
            "`{pattern}` is not in normal form: write `{normal}`"
        ))
    }
}
