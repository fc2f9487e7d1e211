//! A configuration is read or refused with its problems; it never panics.

/// The input is the text of a configuration file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = sluice::config_file::parse(text, "fuzz");
}
