//! Stand-in for the Origin policy: only what the configuration asks of it.

use crate::config::OriginPattern;

/// Reads one entry of an origin list.
///
/// # Errors
/// Why it is none.
pub fn parse_pattern(text: &str) -> Result<OriginPattern, String> {
    match text {
        "same-origin" => return Ok(OriginPattern::SameOrigin),
        "null" => return Ok(OriginPattern::Null),
        _ => {}
    }
    let (scheme, host) = text.split_once("://").ok_or("it has no scheme")?;
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err("it is a scheme, a host and a port, nothing else".to_owned());
    }
    match host.strip_prefix("*.") {
        Some(suffix) => Ok(OriginPattern::Suffix {
            scheme: scheme.to_ascii_lowercase(),
            suffix: suffix.to_ascii_lowercase(),
            port: if scheme == "http" { 80 } else { 443 },
        }),
        None => Ok(OriginPattern::Exact(text.to_ascii_lowercase())),
    }
}
