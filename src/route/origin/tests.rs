//! Tables of what browsers send, and the exact words of a refusal.

mod properties;

use super::*;
use proptest::prelude::*;

/// A policy that owns its rule.
#[derive(Clone)]
struct Policy {
    rule: OriginRule,
    missing: MissingOrigin,
}

impl Policy {
    fn of(rule: OriginRule) -> Policy {
        let missing = MissingOrigin::Allow;
        Policy { rule, missing }
    }

    fn check(&self, lines: &[&str], public: PublicAuthority<'_>) -> Result<(), OriginRefusal> {
        let policy = OriginPolicy {
            rule: &self.rule,
            missing: self.missing,
        };
        check(policy, &headers(lines), public)
    }
}

fn rule(patterns: &[&str]) -> Policy {
    let origin = match patterns {
        ["any"] => OriginRule::Any,
        ["same-origin"] => OriginRule::SameOrigin,
        list => OriginRule::List(
            list.iter()
                .map(|text| parse_pattern(text).unwrap())
                .collect(),
        ),
    };
    Policy::of(origin)
}

fn headers(lines: &[&str]) -> HeaderMap {
    lines
        .iter()
        .map(|line| (ORIGIN, HeaderValue::from_bytes(line.as_bytes()).unwrap()))
        .collect()
}

fn verdict(
    policy: &Policy,
    lines: &[&str],
    scheme: Scheme,
    host: &str,
) -> Result<(), OriginMismatch> {
    let port = None;
    let public = PublicAuthority { scheme, host, port };
    policy
        .check(lines, public)
        .map_err(|refusal| refusal.reason)
}

#[test]
fn same_origin_compares_host_and_port() {
    use OriginMismatch::*;
    use Scheme::{Http, Https};
    let same = rule(&["same-origin"]);
    for (origin, scheme, host, expected) in [
        ("http://a.example", Http, "a.example", Ok(())),
        ("https://a.example", Http, "a.example", Ok(())),
        ("https://a.example", Https, "a.example", Ok(())),
        ("http://a.example", Https, "a.example", Err(OtherScheme)),
        ("https://A.Example", Http, "a.exaMPLE", Ok(())),
        ("https://a.example:443", Http, "a.example", Ok(())),
        ("https://a.example", Http, "a.example:443", Ok(())),
        ("http://a.example", Http, "a.example:80", Ok(())),
        ("http://a.example", Http, "a.example:", Ok(())),
        ("https://a.example", Http, "a.example:80", Err(OtherPort)),
        ("http://a.example:8080", Http, "a.example:8080", Ok(())),
        ("http://a.example:8080", Http, "a.example", Err(OtherPort)),
        ("http://a.example", Http, "a.example:8080", Err(OtherPort)),
        (
            "http://a.example:8080",
            Http,
            "a.example:8081",
            Err(OtherPort),
        ),
        ("http://[::1]:8080", Http, "[::1]:8080", Ok(())),
        ("http://[0:0::1]:8080", Http, "[::1]:8080", Ok(())),
        ("http://[::1]", Http, "[::2]", Err(OtherHost)),
        ("http://evil.example", Http, "a.example", Err(OtherHost)),
        (
            "http://a.example.evil.example",
            Http,
            "a.example",
            Err(OtherHost),
        ),
        ("http://xa.example", Http, "a.example", Err(OtherHost)),
        ("ftp://a.example", Http, "a.example", Err(OtherHost)),
        ("http://a.example", Http, "", Err(OtherHost)),
        ("http://a.example", Http, "u@a.example", Err(OtherHost)),
        ("null", Http, "null", Err(Null)),
        ("", Http, "", Err(Malformed)),
        ("http://", Http, "", Err(Malformed)),
        ("a.example", Http, "a.example", Err(Malformed)),
        ("http://a.example/", Http, "a.example", Err(Malformed)),
        ("http://a.example?x", Http, "a.example", Err(Malformed)),
        ("http://u@a.example", Http, "a.example", Err(Malformed)),
        ("http://a.example:", Http, "a.example", Err(Malformed)),
        ("http://a.example:080", Http, "a.example", Err(Malformed)),
        ("http://a.example:+80", Http, "a.example", Err(Malformed)),
        (
            "http://a.example http://a.example",
            Http,
            "a.example",
            Err(Malformed),
        ),
        (
            "http://a.example,http://a.example",
            Http,
            "a.example",
            Err(Malformed),
        ),
        ("http://é.example", Http, "é.example", Err(Malformed)),
        ("NULL", Http, "a.example", Err(Malformed)),
    ] {
        assert_eq!(
            verdict(&same, &[origin], scheme, host),
            expected,
            "{origin} on {host}"
        );
    }
}

#[test]
fn a_list_allows_what_it_names() {
    let list = rule(&[
        "https://App.Example:443",
        "http://dev.example:3000",
        "https://*.wild.example",
        "https://*.port.example:8443",
        "chrome-extension://abcdef",
        "null",
    ]);
    for (origin, allowed) in [
        ("https://app.example", true),
        ("HTTPS://APP.example:443", true),
        ("http://app.example", false),
        ("https://app.example:8443", false),
        ("http://dev.example:3000", true),
        ("http://dev.example", false),
        ("https://a.wild.example", true),
        ("https://a.b.WILD.example:443", true),
        ("https://wild.example", false),
        ("https://.wild.example", false),
        ("https://a..wild.example", false),
        ("https://evilwild.example", false),
        ("http://a.wild.example", false),
        ("https://a.wild.example:8443", false),
        ("https://a.wild.example.evil.example", false),
        ("https://a.port.example:8443", true),
        ("https://a.port.example", false),
        ("chrome-extension://abcdef", true),
        ("chrome-extension://abcdeg", false),
        ("null", true),
        ("https://public.example", false),
    ] {
        assert_eq!(
            verdict(&list, &[origin], Scheme::Http, "public.example").is_ok(),
            allowed,
            "{origin}"
        );
    }
    let with_same = rule(&["same-origin", "https://x.example"]);
    assert_eq!(
        verdict(
            &with_same,
            &["https://public.example"],
            Scheme::Http,
            "public.example"
        ),
        Ok(())
    );
    assert_eq!(
        verdict(&with_same, &["null"], Scheme::Http, "public.example"),
        Err(OriginMismatch::Null)
    );
}

#[test]
fn missing_and_repeated_origins() {
    let mut policy = rule(&["same-origin"]);
    assert_eq!(verdict(&policy, &[], Scheme::Http, "a"), Ok(()));
    policy.missing = MissingOrigin::Deny;
    assert_eq!(
        verdict(&policy, &[], Scheme::Http, "a"),
        Err(OriginMismatch::Missing)
    );
    for rule in [rule(&["any"]), rule(&["same-origin"]), rule(&["http://a"])] {
        assert_eq!(
            verdict(&rule, &["http://a", "http://a"], Scheme::Http, "a"),
            Err(OriginMismatch::Repeated)
        );
        assert_eq!(verdict(&rule, &["http://a"], Scheme::Http, "a"), Ok(()));
    }
    assert_eq!(
        verdict(&rule(&["any"]), &["null"], Scheme::Http, "a"),
        Ok(())
    );
}

#[test]
fn a_refusal_states_both_values_and_the_line_that_would_allow_it() {
    let text = |policy: &Policy, lines: &[&str]| {
        let public = PublicAuthority {
            scheme: Scheme::Http,
            host: "app.example:8080",
            port: None,
        };
        policy.check(lines, public).unwrap_err().to_string()
    };
    let same = rule(&["same-origin"]);
    assert_eq!(
        text(&same, &["https://Evil.example"]),
        "Origin \"https://Evil.example\" may not open a WebSocket on \"app.example:8080\": it is another site; \
         to allow it: origin = [\"same-origin\", \"https://evil.example\"]"
    );
    assert_eq!(
        text(&same, &["http://app.example"]),
        "Origin \"http://app.example\" may not open a WebSocket on \"app.example:8080\": the ports differ (does a \
         proxy in front drop the port from Host?); to allow it: origin = [\"same-origin\", \"http://app.example\"]"
    );
    assert!(
        text(&rule(&["https://*.b.example:8443"]), &["null"])
            .ends_with("origin = [\"https://*.b.example:8443\", \"null\"]")
    );
    let mut deny = same.clone();
    deny.missing = MissingOrigin::Deny;
    assert!(
        text(&deny, &[]).ends_with("demands an Origin; to allow it: missing_origin = \"allow\"")
    );
    let hostile = text(&same, &["http://\"<é>/"]);
    assert!(
        hostile.starts_with("Origin \"http://?<??>/\" may")
            && hostile.ends_with("scheme://host[:port]"),
        "{hostile}"
    );
    assert!(text(&same, &[&"x".repeat(10_000)]).len() < 400);
}

#[test]
fn patterns_say_what_would_be_right() {
    for (pattern, hint) in [
        ("any", "origin = \"any\""),
        ("*", "origin = \"any\""),
        ("app.example", "write `https://app.example`"),
        ("wss://app.example:9", "write `https://app.example:9`"),
        ("ws://app.example", "write `http://app.example`"),
        ("https://app.example/", "write `https://app.example`"),
        ("https://é.example", "xn--"),
        ("https://", "scheme://host"),
        ("file:///", "write `file://`"),
        ("file:///home/me", "write `file://`"),
        ("WS://app.example/chat?x", "write `http://app.example`"),
        ("app.example/x", "write `https://app.example`"),
        ("app.example:*", "write `https://app.example:*`"),
        ("*://app.example", "write `https://app.example`"),
        ("http://localhost:*/", "write `http://localhost:*`"),
        ("https:///", "no path"),
        ("http://:*", "scheme://host"),
        ("http://localhost:80:*", "after a host"),
        ("http://local*", "scheme://host"),
        ("http://localhost:8*", "scheme://host"),
        ("https://a.*.example", "scheme://host"),
        ("https://u@app.example", "scheme://host"),
        ("https://app.example:99999", "scheme://host"),
        ("https://*.[::1]", "before a name"),
        ("chrome-extension://*.x", "http and https only"),
    ] {
        let message = parse_pattern(pattern).expect_err(pattern);
        assert!(message.contains(hint), "{pattern}: {message}");
    }
}

#[test]
fn entries_for_what_has_no_one_name() {
    for (entry, admitted, refused) in [
        (
            "file://",
            &["file://", "FILE://"][..],
            &["file:///", "file://x", "null"][..],
        ),
        (
            "moz-extension://*",
            &["moz-extension://4bd3a1e4-0d3e-45c9-a9a5-6f8b1a1d9c3e"],
            &["moz-extension://a/b", "chrome-extension://abc", "http://a"],
        ),
        (
            "vscode-webview://*",
            &["vscode-webview://1q2w3e"],
            &["vscode-webview:1q"],
        ),
        (
            "app://*:*",
            &["app://.", "app://obsidian.md", "app://x:1"],
            &["apps://x"],
        ),
        (
            "https://*",
            &["https://a", "https://a.b:8443"],
            &["http://a"],
        ),
        (
            "https://*:8443",
            &["https://a:8443"],
            &["https://a", "https://a:443"],
        ),
        (
            "http://localhost:*",
            &[
                "http://localhost",
                "http://LOCALHOST:5173",
                "http://localhost:80",
            ],
            &[
                "https://localhost:5173",
                "http://localhost.evil.example:5173",
                "http://x.localhost:5173",
                "http://localhost:",
                "http://localhost:65536",
                "http://localhost:*",
            ],
        ),
        (
            "https://*.example.com:*",
            &["https://a.example.com", "https://a.b.example.com:8443"],
            &[
                "https://example.com:8443",
                "http://a.example.com",
                "https://aexample.com:1",
            ],
        ),
        (
            "http://127.0.0.1:*",
            &["http://127.0.0.1:3000"],
            &["http://127.0.0.11:3000"],
        ),
        (
            "http://[::1]:*",
            &["http://[::1]:3000", "http://[::1]"],
            &["http://[::2]:3000"],
        ),
        (
            "tauri://localhost",
            &["tauri://localhost"],
            &["tauri://localhost:1", "tauri://x"],
        ),
    ] {
        let policy = rule(&[entry]);
        assert_eq!(
            parse_pattern(entry).unwrap().to_string(),
            if entry == "app://*:*" {
                "app://*"
            } else {
                entry
            }
        );
        for origin in admitted {
            assert_eq!(
                verdict(&policy, &[origin], Scheme::Http, "public"),
                Ok(()),
                "{entry} {origin}"
            );
        }
        for origin in refused {
            assert!(
                verdict(&policy, &[origin], Scheme::Http, "public").is_err(),
                "{entry} {origin}"
            );
        }
    }
}

#[test]
fn a_port_that_a_trusted_proxy_names_counts_beside_that_of_host() {
    let same = rule(&["same-origin"]);
    let with = |origin: &str, host: &str, scheme| {
        let port = Some(8443);
        let public = PublicAuthority { scheme, host, port };
        same.check(&[origin], public).is_ok()
    };
    for (origin, host, scheme, allowed) in [
        ("https://a.example:8443", "a.example", Scheme::Https, true),
        ("https://a.example:8443", "a.example", Scheme::Http, true),
        ("https://a.example", "a.example", Scheme::Https, true),
        (
            "https://a.example:9443",
            "a.example:9443",
            Scheme::Https,
            true,
        ),
        ("https://a.example:8444", "a.example", Scheme::Https, false),
        ("http://a.example:8443", "a.example", Scheme::Https, false),
        ("https://b.example:8443", "a.example", Scheme::Https, false),
    ] {
        assert_eq!(with(origin, host, scheme), allowed, "{origin} {host}");
    }
}
