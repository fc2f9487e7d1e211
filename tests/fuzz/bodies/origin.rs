//! A pattern is read back as itself; what same-origin admits names the public host.

use http::{HeaderMap, HeaderValue, header::ORIGIN};
use sluice::config::{OriginRule, Scheme, WebSocketConfig};
use sluice::route::origin::{PublicAuthority, check, parse_pattern};

/// The input is three lines: an `Origin`, a `Host`, a pattern.
pub fn run(data: &[u8]) {
    let mut lines = data.splitn(3, |&byte| byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (origin, host, pattern) = (line(), line(), line());
    let (Ok(value), Ok(host)) = (HeaderValue::from_bytes(origin), std::str::from_utf8(host)) else {
        return;
    };
    let headers = HeaderMap::from_iter([(ORIGIN, value)]);
    let public = PublicAuthority {
        scheme: Scheme::Http,
        host,
        port: None,
    };

    let same = WebSocketConfig::default();
    match check(same.origin_policy(), &headers, public) {
        Ok(()) => {
            let text = String::from_utf8_lossy(origin).to_ascii_lowercase();
            let authority = text
                .split_once("://")
                .expect("same-origin admits only scheme://host")
                .1;
            assert!(
                !authority.contains(['/', '@', '?', '#', ' ', ',']),
                "{text:?} on {host:?}"
            );
        }
        Err(refusal) => {
            let text = refusal.to_string();
            assert!(
                text.bytes()
                    .all(|byte| byte == b' ' || byte.is_ascii_graphic()),
                "{text:?}"
            );
        }
    }
    if let Some(Ok(pattern)) = std::str::from_utf8(pattern).ok().map(parse_pattern) {
        assert_eq!(parse_pattern(&pattern.to_string()).as_ref(), Ok(&pattern));
        let list = WebSocketConfig {
            origin: OriginRule::List(vec![pattern]),
            ..same
        };
        let _ = check(list.origin_policy(), &headers, public);
    }
}
