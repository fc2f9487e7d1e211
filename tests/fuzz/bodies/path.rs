//! Any bytes are refused or sent as they came, and no reading leads out of the paths.

use sluice::route::path;

/// The input is a raw path.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = path::check_pattern(text);
    }
    let Ok(read) = path::read(data) else {
        return;
    };
    assert!(read.sent.starts_with(b"/"), "{read:?}");
    let is_dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    assert!(
        !read.sent.split(|&byte| byte == b'/').any(is_dots),
        "{read:?}"
    );
    let has_dots = data.split(|&byte| byte == b'/').any(|segment| {
        let segment = segment.to_ascii_lowercase();
        is_dots(
            &String::from_utf8_lossy(&segment)
                .replace("%2e", ".")
                .into_bytes(),
        )
    });
    assert!(has_dots || *read.sent == *data, "{read:?}");
    for text in read
        .readings
        .iter()
        .map(String::as_str)
        .chain([&*read.normal])
    {
        assert!(text.starts_with('/'), "{read:?}");
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{read:?}");
    }
    let again = path::read(&read.sent).expect("what is sent can be read");
    assert_eq!(
        (&again.sent, &again.normal),
        (&read.sent, &read.normal),
        "{data:?}"
    );
    let first = read.normal[1..]
        .find('/')
        .map_or(read.normal.len(), |end| end + 1);
    for replacement in ["", "/v2"] {
        let prefix = &read.normal[..first];
        let rewritten = path::rewrite(&read.sent, &read.normal, prefix, replacement);
        assert!(rewritten.starts_with(b"/"), "{read:?}");
    }
}
