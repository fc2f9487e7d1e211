//! Stand-in for path normalisation: only what the configuration asks of it.

/// Whether a path is what normalising would make of it.
pub fn is_normalised(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && !path.contains('%')
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}
