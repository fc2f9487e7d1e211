//! Who may open a WebSocket: the Origin policy of a route (RFC 6454, RFC 6455 section 10.2).
//! Owns the check and the words of a refusal; knows no sockets and does not find out the
//! public authority. The syntax of a list's entries is in `pattern`.
//!
//! # Same origin
//!
//! Host and port of `Origin` are compared with the request's `Host`. Where `Host` names a
//! port, the origin's port (written, or the default of its scheme) must equal it; where it
//! names none, the origin's port must be the default of the *origin's own* scheme. The
//! listener's scheme is not enough to go by: behind a balancer that terminates TLS it says
//! `http` while browsers say `https://…`. What is known is used: when the public scheme is
//! https (the listener says so, or a trusted proxy), an `http://` origin is another origin.
//! A port that a trusted proxy names counts beside the one of `Host`, never instead of it:
//! proxies in front drop the port from `Host`, and others name their own.
//!
//! Several `Origin` lines are always refused, even by `any`: the upstream might look at the
//! one that we did not. What is not exactly `scheme://host[:port]` matches nothing.

use std::fmt;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};

mod pattern;
mod rule;
mod site;

pub use self::pattern::parse_pattern;
pub use self::rule::{
    MissingOrigin, OriginHost, OriginPattern, OriginPolicy, OriginPort, OriginRule,
};

use self::site::{Origin, default_port};
use super::host;
use crate::vocabulary::Scheme;

/// The authority that the client has connected to.
#[derive(Debug, Clone, Copy)]
pub struct PublicAuthority<'a> {
    /// The scheme, as the listener or a trusted proxy tells it.
    pub scheme: Scheme,
    /// Host and optional port, as in the `Host` field.
    pub host: &'a str,
    /// The port that a trusted proxy names besides.
    pub port: Option<u16>,
}

/// A refused handshake; the text of the log line and, without its remedy, of the 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginRefusal {
    /// The `Origin` field as far as it is printable, at most 200 characters.
    pub origin: Option<String>,
    /// The public authority it was compared with.
    pub public: String,
    /// Why.
    pub reason: OriginMismatch,
    /// The configuration line that would allow it, where one would.
    pub remedy: Option<String>,
}

/// The reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginMismatch {
    /// No `Origin`, and `missing_origin = "deny"`.
    Missing,
    /// More than one `Origin` line.
    Repeated,
    /// Not `scheme://host[:port]`.
    Malformed,
    /// The literal `null`: a sandboxed page, a local file, a redirect.
    Null,
    /// Same host, another port: often a proxy in front that rewrote `Host`.
    OtherPort,
    /// Same authority, but `http` where the public scheme is https.
    OtherScheme,
    /// Another site.
    OtherHost,
}

impl fmt::Display for OriginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = &self.public;
        match &self.origin {
            Some(origin) => write!(
                f,
                "Origin \"{origin}\" may not open a WebSocket on \"{public}\": "
            )?,
            None => write!(
                f,
                "a request without Origin may not open a WebSocket on \"{public}\": "
            )?,
        }
        f.write_str(match self.reason {
            OriginMismatch::Missing => "the route demands an Origin",
            OriginMismatch::Repeated => "the request has several Origin lines",
            OriginMismatch::Malformed => "it is not scheme://host[:port]",
            OriginMismatch::Null => "null is no site",
            OriginMismatch::OtherPort => {
                "the ports differ (does a proxy in front drop the port from Host?)"
            }
            OriginMismatch::OtherScheme => "the public scheme is https",
            OriginMismatch::OtherHost => "it is another site",
        })?;
        match &self.remedy {
            Some(line) => write!(f, "; to allow it: {line}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for OriginRefusal {}

/// Decides whether a handshake's `Origin` may open a tunnel. Allocates only for a refusal.
///
/// # Errors
/// The refusal, to be answered 403 with its text.
pub fn check(
    policy: OriginPolicy<'_>,
    headers: &HeaderMap,
    public: PublicAuthority<'_>,
) -> Result<(), OriginRefusal> {
    let mut lines = headers.get_all(ORIGIN).iter();
    let reason = match (lines.next(), lines.next()) {
        (None, _) if policy.missing == MissingOrigin::Allow => return Ok(()),
        (None, _) => OriginMismatch::Missing,
        (Some(_), Some(_)) => OriginMismatch::Repeated,
        (Some(_), None) if *policy.rule == OriginRule::Any => return Ok(()),
        (Some(line), None) => match judge(policy.rule, line, public) {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        },
    };
    Err(refusal(reason, policy.rule, headers.get(ORIGIN), public))
}

fn judge(
    rule: &OriginRule,
    line: &HeaderValue,
    public: PublicAuthority<'_>,
) -> Result<(), OriginMismatch> {
    let text = line.to_str().map_err(|_| OriginMismatch::Malformed)?;
    if *rule == OriginRule::SameOrigin && is_spelt_the_same(text, public) {
        return Ok(());
    }
    let only_same = [OriginPattern::SameOrigin];
    let patterns = match rule {
        OriginRule::Any => return Ok(()),
        OriginRule::SameOrigin => &only_same[..],
        OriginRule::List(patterns) => patterns,
    };
    if text == "null" {
        return if patterns.contains(&OriginPattern::Null) {
            Ok(())
        } else {
            Err(OriginMismatch::Null)
        };
    }
    let origin = Origin::parse(text).ok_or(OriginMismatch::Malformed)?;
    let mut reason = OriginMismatch::OtherHost;
    for pattern in patterns {
        let allowed = match pattern {
            OriginPattern::Null => false,
            OriginPattern::Site { scheme, host, port } => {
                scheme.eq_ignore_ascii_case(origin.scheme)
                    && match port {
                        OriginPort::Any => true,
                        OriginPort::Is(port) => origin.port == *port,
                    }
                    && match host {
                        OriginHost::Any => true,
                        OriginHost::Is(host) => host::same(host, origin.host),
                        OriginHost::Below(suffix) => is_below(origin.host, suffix),
                    }
            }
            OriginPattern::SameOrigin => match same_origin(&origin, public) {
                Ok(()) => true,
                Err(why) => {
                    reason = why;
                    false
                }
            },
        };
        if allowed {
            return Ok(());
        }
    }
    Err(reason)
}

/// The usual case of [`same_origin`], decided without taking anything apart: an origin of
/// letters, digits, dots and hyphens whose host is spelt like `Host`, neither with a port.
#[inline]
fn is_spelt_the_same(text: &str, public: PublicAuthority<'_>) -> bool {
    let host = match (text.strip_prefix("https://"), public.scheme) {
        (Some(host), _) => Some(host),
        (None, Scheme::Http) => text.strip_prefix("http://"),
        (None, Scheme::Https) => None,
    };
    let sound = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'.') | (byte == b'-');
    host == Some(public.host)
        && !public.host.is_empty()
        && public
            .host
            .bytes()
            .fold(true, |all, byte| all & sound(byte))
}

/// See the module's documentation.
fn same_origin(origin: &Origin<'_>, public: PublicAuthority<'_>) -> Result<(), OriginMismatch> {
    let default = default_port(origin.scheme).ok_or(OriginMismatch::OtherHost)?;
    let (name, port) = host::split_port(public.host).ok_or(OriginMismatch::OtherHost)?;
    if !host::same(name, origin.host) {
        Err(OriginMismatch::OtherHost)
    } else if public.scheme == Scheme::Https && origin.is_http() {
        Err(OriginMismatch::OtherScheme)
    } else if origin.port != Some(port.unwrap_or(default))
        && (origin.port.is_none() || origin.port != public.port)
    {
        Err(OriginMismatch::OtherPort)
    } else {
        Ok(())
    }
}

/// One or more whole labels in front of `suffix`.
fn is_below(host: &str, suffix: &str) -> bool {
    let Some((front, end)) = host
        .len()
        .checked_sub(suffix.len())
        .and_then(|at| host.split_at_checked(at))
    else {
        return false;
    };
    let labels = front.strip_suffix('.').unwrap_or_default();
    end.eq_ignore_ascii_case(suffix)
        && !labels.is_empty()
        && labels.split('.').all(|label| !label.is_empty())
}

#[cold]
fn refusal(
    reason: OriginMismatch,
    rule: &OriginRule,
    line: Option<&HeaderValue>,
    public: PublicAuthority<'_>,
) -> OriginRefusal {
    let printable = |bytes: &[u8]| -> String {
        let visible = |byte: &u8| {
            if byte.is_ascii_graphic() && *byte != b'"' {
                char::from(*byte)
            } else {
                '?'
            }
        };
        bytes.iter().take(200).map(visible).collect()
    };
    let origin = line.map(|line| printable(line.as_bytes()));
    let remedy = match (reason, line.and_then(|line| line.to_str().ok())) {
        (OriginMismatch::Missing, _) => Some("missing_origin = \"allow\"".to_owned()),
        (OriginMismatch::Repeated | OriginMismatch::Malformed, _) | (_, None) => None,
        // A pattern's own spelling, so that the line can be copied into the file.
        (_, Some(text)) => pattern::admitting(text).map(|pattern| list_with(rule, pattern)),
    };
    OriginRefusal {
        origin,
        public: printable(public.host.as_bytes()),
        reason,
        remedy,
    }
}

fn list_with(rule: &OriginRule, pattern: OriginPattern) -> String {
    let mut patterns = match rule {
        OriginRule::List(patterns) => patterns.clone(),
        OriginRule::SameOrigin | OriginRule::Any => vec![OriginPattern::SameOrigin],
    };
    patterns.push(pattern);
    let quoted: Vec<String> = patterns
        .iter()
        .map(|pattern| format!("\"{pattern}\""))
        .collect();
    format!("origin = [{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests;
