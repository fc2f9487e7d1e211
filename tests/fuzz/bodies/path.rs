//! Any text is refused or brought into one normal form that no reading leads out of.

use sluice::route::path;

/// The input is a raw path.
pub fn run(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else {
        return;
    };
    let _ = path::check_pattern(raw);
    let Ok(normal) = path::normalise(raw) else {
        return;
    };
    assert!(path::is_normalised(&normal), "{normal:?} is no fixed point");
    let readings = path::readings(&normal).into_iter().flatten();
    for text in readings.chain([normal.to_string()]) {
        assert!(
            text.starts_with('/') && !text.contains("//"),
            "{raw:?} reads as {text:?}"
        );
        assert!(
            !text.split('/').any(|segment| matches!(segment, "." | "..")),
            "{raw:?} reads as {text:?}"
        );
    }
    let first = normal[1..]
        .find('/')
        .map_or(&*normal, |end| &normal[..end + 1]);
    let prefix = first.strip_suffix('/').unwrap_or(first);
    assert!(path::rewrite(&normal, prefix, "").starts_with('/'));
    assert!(path::is_normalised(&path::rewrite(&normal, prefix, "/v2")));
}
