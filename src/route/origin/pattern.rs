//! The entries of an origin list: reading one, writing one, and the correction of one that cannot
//! be read. Every correction can be read.

use std::fmt;

use super::rule::{OriginHost, OriginPattern, OriginPort};
use super::site::{Origin, default_port};
use crate::route::host;

/// Schemes whose hosts are random, made anew with each installation or page.
const RANDOM_HOSTS: [&str; 3] = ["moz-extension", "safari-web-extension", "vscode-webview"];

impl fmt::Display for OriginPattern {
    /// As [`parse_pattern`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            OriginPattern::SameOrigin => return f.write_str("same-origin"),
            OriginPattern::Null => return f.write_str("null"),
            OriginPattern::Site { scheme, host, port } => (scheme, host, port),
        };
        match host {
            OriginHost::Any => write!(f, "{scheme}://*")?,
            OriginHost::Below(suffix) => write!(f, "{scheme}://*.{suffix}")?,
            OriginHost::Is(host) => write!(f, "{scheme}://{host}")?,
        }
        match port {
            OriginPort::Any if *host == OriginHost::Any => Ok(()),
            OriginPort::Any => f.write_str(":*"),
            // Without one, `*` would mean every port.
            OriginPort::Is(Some(port))
                if default_port(scheme) != Some(*port) || *host == OriginHost::Any =>
            {
                write!(f, ":{port}")
            }
            OriginPort::Is(_) => Ok(()),
        }
    }
}

/// Reads one entry of an origin list.
///
/// # Errors
/// What is wrong with it and what would be right, for the configuration's diagnostics.
pub fn parse_pattern(text: &str) -> Result<OriginPattern, String> {
    read(text).map_err(|reason| match corrected(text) {
        Some(advice) => format!("{reason}: write `{advice}`"),
        None => reason.to_owned(),
    })
}

/// The entry that would let this origin in.
pub(super) fn admitting(origin: &str) -> Option<OriginPattern> {
    let pattern = read(origin).ok()?;
    Some(match pattern {
        OriginPattern::Site { scheme, .. } if RANDOM_HOSTS.contains(&scheme.as_str()) => {
            OriginPattern::Site {
                scheme,
                host: OriginHost::Any,
                port: OriginPort::Any,
            }
        }
        pattern => pattern,
    })
}

fn read(text: &str) -> Result<OriginPattern, &'static str> {
    match text {
        "same-origin" => return Ok(OriginPattern::SameOrigin),
        "null" => return Ok(OriginPattern::Null),
        "any" | "*" => return Err("every origin is `origin = \"any\"`, without a list"),
        _ => {}
    }
    let (scheme, authority) = text.split_once("://").ok_or("an origin has a scheme")?;
    let scheme = scheme.to_ascii_lowercase();
    if matches!(scheme.as_str(), "ws" | "wss") {
        return Err("browsers send the page's scheme");
    }
    if authority.contains('/') {
        return Err("an origin has no path");
    }
    if !authority.is_ascii() {
        return Err("browsers send such a name in its ASCII form (`xn--…`): write that");
    }
    let authority = authority.to_ascii_lowercase();
    let (name, any_port) = match authority.strip_suffix(":*") {
        Some(name) => (name, true),
        None => (authority.as_str(), false),
    };
    let any_host = name == "*" || name.starts_with("*:");
    let below = name.strip_prefix("*.");
    // A star is not a host; here a host takes its place.
    let plain = match (any_host, below) {
        (true, _) => format!("{scheme}://any{}", &name[1..]),
        (false, below) => format!("{scheme}://{}", below.unwrap_or(name)),
    };
    let origin = Origin::parse(&plain).ok_or(
        "an origin is `scheme://host` or `scheme://host:port`, where the host may be `*` or \
         begin with `*.`, and the port may be `*`",
    )?;
    let port = match any_port || name == "*" {
        true => OriginPort::Any,
        false => OriginPort::Is(origin.port),
    };
    if any_port && (name.ends_with(':') || origin.host.is_empty() || has_port(name)) {
        return Err("`:*` goes after a host");
    }
    let host = match below {
        _ if any_host => OriginHost::Any,
        None => OriginHost::Is(origin.host.to_owned()),
        Some(_) if origin.host.is_empty() || origin.host.starts_with(['[', '.']) => {
            return Err("`*.` goes before a name");
        }
        Some(_) if default_port(&scheme).is_none() => {
            return Err("`*.` goes with http and https only");
        }
        Some(_) => OriginHost::Below(origin.host.to_owned()),
    };
    Ok(OriginPattern::Site { scheme, host, port })
}

fn has_port(authority: &str) -> bool {
    host::split_port(authority).is_some_and(|(host, _)| host.len() < authority.len())
}

/// What was probably meant, if that can be read.
fn corrected(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = match scheme.to_ascii_lowercase() {
        scheme if scheme == "ws" => "http".to_owned(),
        scheme if scheme == "wss" || scheme == "*" => "https".to_owned(),
        scheme => scheme,
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = rest.rsplit('@').next().unwrap_or_default();
    let advice = format!("{scheme}://{}", authority.to_ascii_lowercase());
    (authority != "*" && read(&advice).is_ok()).then_some(advice)
}
