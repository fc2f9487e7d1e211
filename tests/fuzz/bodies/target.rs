//! Fuzz body of request targets and authorities: the parts of a target are the whole, what is
//! glimpsed of a broken head is never more than came, a redirect stays on the site it names.

use sluice::config::Scheme;
use sluice::h1::glimpse::Glimpse;
use sluice::policy::redirect;
use sluice::route::host;
use sluice::route::origin::PublicAuthority;
use sluice::route::path;
use sluice::route::target::{Target, split_absolute};

/// The input is a target, or a head that begins with one.
pub fn run(data: &[u8]) {
    glimpse(data);
    let raw = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    for is_options in [false, true] {
        let (target, authority) = Target::parse(raw, is_options);
        let whole = match target.query() {
            Some(query) => [target.path(), b"?", query].concat(),
            None => target.path().to_vec(),
        };
        assert_eq!(whole, target.as_bytes());
        if let Some(authority) = authority {
            assert!(raw.len() >= authority.len() && split_absolute(raw).is_some());
            assert!(!target.path().is_empty());
        } else {
            assert_eq!(target.as_bytes(), raw);
        }
        let other = target.with_path(b"/other");
        assert_eq!(
            (other.path(), other.query()),
            (&b"/other"[..], target.query())
        );
        location(&target);
    }
    if let Ok(text) = std::str::from_utf8(raw) {
        authority(text);
    }
}

fn glimpse(data: &[u8]) {
    let whole = Glimpse::of(data);
    for part in [&whole.method, &whole.host, &whole.path, &whole.query] {
        // What is no UTF-8 becomes three bytes at most for each.
        assert!(
            part.as_ref()
                .is_none_or(|part| part.len() <= 3 * data.len())
        );
    }
    for cut in 0..data.len().min(64) {
        let _ = Glimpse::of(&data[..cut]);
    }
}

fn location(target: &Target) {
    let Ok(read) = path::read(target.path()) else {
        return;
    };
    let public = PublicAuthority {
        scheme: Scheme::Https,
        host: "a.test:80",
        port: None,
    };
    for to in ["{path}", "{path}{query}", "https://{hostname}{path}{query}"] {
        let location = redirect::location(to, &public, &read.sent, target.query());
        assert!(location.is_ascii(), "{location:?}");
        let on_site = location.strip_prefix("https://a.test").unwrap_or(&location);
        assert!(on_site.starts_with('/'), "{location:?}");
        if to.starts_with('{') {
            assert!(!location[1..].starts_with(['/', '\\']), "{location:?}");
        }
    }
}

fn authority(text: &str) {
    if let Some((name, port)) = host::split_port(text) {
        assert!(!name.is_empty() && text.starts_with(name));
        let again = match port {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        assert_eq!(host::split_port(&again), Some((name, port)));
        // An empty label is part of no name.
        if !name.ends_with("..") {
            let normal = host::normalise(name);
            assert_eq!(host::normalise(&normal), normal, "{text:?}");
            assert!(
                host::same(name, &normal) && host::same(&normal, name),
                "{text:?}"
            );
        }
    }
}
