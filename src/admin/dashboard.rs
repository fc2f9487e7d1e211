//! The dashboard: one page that brings everything with it and asks the rest of the admin
//! interface. What its script and style may do is written down here as a policy by their
//! hashes (Content Security Policy Level 3, section 6.7.3.3).

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};

use super::answer::Answer;

static PAGE: &str = include_str!("dashboard.html");

static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| policy(PAGE));

/// The page. It holds no secret and is served to every client that passes the guard; a token is
/// asked for by what it asks.
pub(super) fn page() -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_static(PAGE.as_bytes())).boxed_unsync());
    let headers = response.headers_mut();
    // Without a policy nothing may run at all.
    let nothing = HeaderValue::from_static("default-src 'none'");
    let policy = POLICY.clone().unwrap_or(nothing);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    let same_origin = "same-origin";
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            same_origin,
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            same_origin,
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Only this page's script and style, requests only to where the page came from, and no
/// string ever taken for HTML or a script.
fn policy(page: &str) -> Option<HeaderValue> {
    let script = hash(between(page, "<script>", "</script>")?);
    let style = hash(between(page, "<style>", "</style>")?);
    let policy = format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
         img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    HeaderValue::try_from(policy).ok()
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("'sha256-{}'", BASE64.encode(&digest))
}

fn between<'a>(page: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(start)?;
    rest.split_once(end).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;
    use crate::vocabulary::visible::is_hidden;

    #[test]
    fn the_page_has_one_script_and_one_style_and_brings_everything_with_it() {
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
        for foreign in [
            "src=",
            "@import",
            "url(",
            "//fonts",
            "innerHTML",
            "style=\"",
        ] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        let links: Vec<&str> = PAGE.split("href=\"").skip(1).collect();
        assert!(!links.is_empty());
        for link in links {
            assert!(link.starts_with("data:") || link.starts_with('#'), "{link}");
        }
    }

    #[test]
    fn the_policy_allows_what_the_page_holds_and_nothing_else() {
        let page = "<style>a</style><script>abc</script>";
        let policy = policy(page).unwrap();
        let policy = policy.to_str().unwrap();
        // SHA-256 of "abc": FIPS 180-4's own example.
        let abc = "script-src 'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='";
        assert!(policy.contains(abc), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(super::policy("<script>abc</script>").is_none());
        let own = page_policy();
        assert!(own.contains("frame-ancestors 'none'"), "{own}");
        assert!(own.contains("script-src 'sha256-"), "{own}");
    }

    /// The ranges of a class of characters, of which only the escapes are understood.
    fn ranges(class: &str) -> Vec<RangeInclusive<u32>> {
        let mut ranges = Vec::new();
        let mut begun = false;
        for piece in class.split('\\').skip(1) {
            let (code, rest) = match piece.as_bytes() {
                [b'x', ..] => piece[1..].split_at(2),
                [b'u', b'{', ..] => piece[2..].split_once('}').unwrap(),
                [b'u', ..] => piece[1..].split_at(4),
                _ => panic!("{piece}"),
            };
            let code = u32::from_str_radix(code, 16).unwrap();
            match ranges.last_mut() {
                Some(last) if begun => *last = *RangeInclusive::start(last)..=code,
                _ => ranges.push(code..=code),
            }
            begun = rest == "-";
            assert!(begun || rest.is_empty(), "{piece}");
        }
        ranges
    }

    #[test]
    fn the_page_spells_the_characters_that_everything_else_spells() {
        let ranges = ranges(between(PAGE, "const HIDDEN = /[", "]/gu;").unwrap());
        assert!(ranges.len() > 10, "{ranges:?}");
        for c in '\0'..=char::MAX {
            let spelled = ranges.iter().any(|range| range.contains(&u32::from(c)));
            assert_eq!(spelled, is_hidden(c), "{c:?}");
        }
    }

    fn page_policy() -> String {
        let answer = super::page();
        let policy = &answer.headers()[CONTENT_SECURITY_POLICY];
        policy.to_str().unwrap().to_owned()
    }
}
