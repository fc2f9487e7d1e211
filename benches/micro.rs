//! What a request or message costs in pure code: routing, paths, origins. One group a
//! subject; a new subject adds its function and its line in `criterion_group!`.
//! Whole-proxy figures are the business of `benches/peers`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a bench that cannot go on ends"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sluice::config::{HostPattern, PathPattern, RouteMatch, Scheme, WebSocketConfig};
use sluice::metrics;
use sluice::route::matcher::{RequestView, RouteTable};
use sluice::route::origin::{PublicAuthority, check, parse_pattern};
use sluice::route::path;

/// A hundred hosts with ten prefixes each.
fn thousand_routes() -> RouteTable {
    let routes: Vec<_> = (0..1000)
        .map(|n| {
            Arc::new(RouteMatch {
                hosts: vec![HostPattern::Exact(format!("app{}.example.com", n % 100))],
                path: PathPattern::Prefix(format!("/service{}/v{n}", n / 100)),
                ..RouteMatch::default()
            })
        })
        .collect();
    RouteTable::new(&routes)
}

/// The header section of a browser's handshake.
fn handshake_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "app42.example.com"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("origin", "https://app42.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        ),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("accept-language", "en"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

const HOST: &str = "app42.example.com";
const PATH: &str = "/service7/v742/rooms/lobby";

fn routing(c: &mut Criterion) {
    let headers = handshake_headers();
    let view = RequestView {
        host: HOST,
        path: PATH,
        readings: &[],
        method: &Method::GET,
        headers: &headers,
        websocket: true,
    };
    let one = RouteTable::new(&[Arc::new(RouteMatch::default())]);
    let thousand = thousand_routes();
    assert_eq!((one.find(&view), thousand.find(&view)), (Ok(0), Ok(742)));

    let mut group = c.benchmark_group("route");
    group.bench_function("1 route", |b| {
        b.iter(|| black_box(&one).find(black_box(&view)))
    });
    group.bench_function("1000 routes", |b| {
        b.iter(|| black_box(&thousand).find(black_box(&view)))
    });
    let shouted = RequestView {
        host: "APP42.Example.com",
        ..view
    };
    group.bench_function("1000 routes, upper-case host", |b| {
        b.iter(|| black_box(&thousand).find(black_box(&shouted)))
    });
    let public = PublicAuthority {
        scheme: Scheme::Https,
        host: HOST,
        port: None,
    };
    let policy = WebSocketConfig::default();
    for (name, table) in [("1 route", &one), ("1000 routes", &thousand)] {
        group.bench_function(format!("path, {name}, origin"), |b| {
            b.iter(|| {
                let path = path::read(black_box(PATH.as_bytes())).expect("a plain path");
                let found = black_box(table).find(&RequestView {
                    path: &path.normal,
                    readings: &path.readings,
                    ..view
                });
                (
                    found,
                    check(
                        black_box(policy.origin_policy()),
                        &headers,
                        black_box(public),
                    )
                    .is_ok(),
                )
            })
        });
    }
    group.finish();
}

fn paths(c: &mut Criterion) {
    let mut group = c.benchmark_group("path");
    for (name, raw) in [
        ("root", "/"),
        ("normal", PATH),
        (
            "normal, 120 bytes",
            "/assets/javascript/vendor/bundles/application-0123456789abcdef0123456789abcdef/chunk-settings.page.min.js.map?",
        ),
        ("an encoded slash", "/projects/group%2Fname/issues"),
        ("dot segments", "/a/b/../c/./d//e"),
    ] {
        let raw = raw.trim_end_matches('?');
        group.bench_function(name, |b| {
            b.iter(|| path::read(black_box(raw.as_bytes())).map(|path| path.readings.len()))
        });
    }
    group.finish();
}

fn origins(c: &mut Criterion) {
    let headers = handshake_headers();
    let public = PublicAuthority {
        scheme: Scheme::Https,
        host: HOST,
        port: None,
    };
    let list = |patterns: &[&str]| WebSocketConfig {
        origin: sluice::config::OriginRule::List(
            patterns
                .iter()
                .map(|text| parse_pattern(text).expect("a pattern"))
                .collect(),
        ),
        ..WebSocketConfig::default()
    };
    let mut group = c.benchmark_group("origin");
    for (name, policy) in [
        ("same-origin", WebSocketConfig::default()),
        (
            "third of three",
            list(&[
                "https://a.example",
                "https://b.example",
                "https://app42.example.com",
            ]),
        ),
        ("wildcard", list(&["https://*.example.com"])),
    ] {
        assert_eq!(check(policy.origin_policy(), &headers, public), Ok(()));
        group.bench_function(name, |b| {
            b.iter(|| {
                check(
                    black_box(policy.origin_policy()),
                    black_box(&headers),
                    black_box(public),
                )
            })
        });
    }
    let refusing = list(&["https://other.example"]);
    group.bench_function("refused", |b| {
        b.iter(|| check(black_box(refusing.origin_policy()), &headers, public))
    });
    group.finish();
}

/// All that one plain request adds, but for its two looks at the clock.
#[inline(never)]
fn count_exchange(route: &metrics::Slot) {
    metrics::exchange(&metrics::Exchange {
        route: Some(route),
        method: metrics::method_class(black_box(&Method::GET)),
        status: Some(black_box(StatusCode::OK)),
        first_byte: Some(black_box(Duration::from_micros(700))),
        whole: black_box(Duration::from_micros(900)),
        handshake: false,
    });
}

/// What it costs to look at the clock and to keep what it said.
#[inline(never)]
fn look_at_clock(started: Instant) -> Duration {
    started.elapsed()
}

fn counting(c: &mut Criterion) {
    let route = metrics::slots::route(&Arc::from("bench"));
    let started = Instant::now();
    let mut group = c.benchmark_group("metrics");
    group.bench_function("exchange", |b| b.iter(|| count_exchange(black_box(&route))));
    group.bench_function("clock", |b| b.iter(|| look_at_clock(black_box(started))));
    group.finish();
}

criterion_group!(micro, routing, paths, origins, counting);
criterion_main!(micro);
