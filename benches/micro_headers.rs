//! What every plain request pays before routing: framing scan, hop-by-hop, forwarded fields.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench that cannot go on ends"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use sluice::config::{HttpConfig, Scheme};
use sluice::message::forwarded;
use sluice::message::forwarded::{Forwarding, ForwardingPolicy, PeerFields};
use sluice::message::framing::{HeadLimits, RequestScanner};
use sluice::message::headers;

const BROWSER: &str = "GET /assets/app.js?v=20 HTTP/1.1\r\nHost: app.example.com:8080\r\n\
Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\n\
Referer: http://app.example.com:8080/\r\n\r\n";

const CHROME: &str = "GET /api/items?page=2&sort=name HTTP/1.1\r\nHost: app.example.com:8080\r\n\
Connection: keep-alive\r\nCache-Control: max-age=0\r\n\
sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\"\r\n\
sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

fn map(head: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a field line");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn scanner(c: &mut Criterion) {
    let limits = HeadLimits {
        max_head: 65536,
        max_header_lines: 100,
        max_target: 8192,
    };
    let mut group = c.benchmark_group("framing");
    for (name, head) in [
        ("bare", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        ("browser", BROWSER),
        ("chrome", CHROME),
    ] {
        let mut scanner = RequestScanner::new(limits);
        group.bench_function(format!("{name}_{}", head.len()), |b| {
            b.iter(|| scanner.feed(black_box(head.as_bytes())).expect("good"))
        });
        let mut scanner = RequestScanner::new(limits);
        let (front, back) = head.as_bytes().split_at(head.len() / 2);
        group.bench_function(format!("{name}_split"), |b| {
            b.iter(|| {
                scanner.feed(black_box(front)).expect("good");
                scanner.feed(black_box(back)).expect("good")
            })
        });
    }
}

fn fields(c: &mut Criterion) {
    let policy = ForwardingPolicy::new(&HttpConfig::default());
    let peer = "192.0.2.1:4000".parse().expect("an address");
    let peer = PeerFields::new(&policy, Some(peer), 8080, Scheme::Http);
    let forwarding = Forwarding {
        policy: &policy,
        peer: &peer,
        version: Version::HTTP_11,
    };
    let mut group = c.benchmark_group("fields");
    for (name, head) in [("browser", BROWSER), ("chrome", CHROME)] {
        let mut stripped = map(head);
        group.bench_function(format!("{name}_hop_by_hop"), |b| {
            b.iter_batched_ref(
                || map(head),
                headers::strip_hop_by_hop,
                BatchSize::SmallInput,
            )
        });
        headers::strip_hop_by_hop(&mut stripped);
        group.bench_function(format!("{name}_nothing_to_strip"), |b| {
            b.iter(|| headers::strip_hop_by_hop(black_box(&mut stripped)))
        });
        group.bench_function(format!("{name}_forwarded"), |b| {
            b.iter_batched_ref(
                || {
                    let mut map = map(head);
                    headers::strip_hop_by_hop(&mut map);
                    map
                },
                |map| forwarded::apply(map, &forwarding),
                BatchSize::SmallInput,
            )
        });
    }
}

criterion_group!(benches, scanner, fields);
criterion_main!(benches);
