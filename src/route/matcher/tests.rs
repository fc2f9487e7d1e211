//! Which of several routes takes a request, and which requests none of them may take.

mod properties;

use super::*;
use crate::route::path::{read, tests::tricky_path};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn exact(path: &str) -> PathPattern {
    PathPattern::Exact(path.into())
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.into())
}

fn at(path: PathPattern) -> RouteMatch {
    RouteMatch {
        path,
        ..RouteMatch::default()
    }
}

fn on(pattern: &str, path: PathPattern) -> RouteMatch {
    let host = match pattern.strip_prefix("*.") {
        Some(suffix) => HostPattern::Suffix(suffix.into()),
        None => HostPattern::Exact(pattern.into()),
    };
    RouteMatch {
        hosts: vec![host],
        path,
        ..RouteMatch::default()
    }
}

fn header(name: &'static str, value: Option<&'static str>) -> HeaderMatch {
    HeaderMatch {
        name: HeaderName::from_static(name),
        value: value.map(HeaderValue::from_static),
    }
}

fn get<'a>(host: &'a str, path: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    RequestView {
        host,
        path,
        readings: &[],
        method: &Method::GET,
        headers,
        websocket: false,
    }
}

fn table(routes: Vec<RouteMatch>) -> RouteTable {
    let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
    assert_eq!(ties(&routes), []);
    RouteTable::new(&routes)
}

#[test]
fn hosts_come_before_paths() {
    let table = table(vec![
        at(exact("/a")),
        on("*.example.com", prefix("/a")),
        on("*.b.example.com", prefix("")),
        on("x.b.example.com", prefix("")),
        on("[::1]", prefix("")),
    ]);
    let none = HeaderMap::new();
    for (host, path, winner) in [
        ("x.b.example.com", "/a", Ok(3)),
        ("X.B.Example.COM.", "/a", Ok(3)),
        ("y.b.example.com", "/a", Ok(2)),
        ("y.x.b.example.com", "/a", Ok(2)),
        ("b.example.com", "/a", Ok(1)),
        ("example.com", "/a", Ok(0)),
        (".example.com", "/a", Ok(0)),
        ("notexample.com", "/a", Ok(0)),
        ("", "/a", Ok(0)),
        ("[0::1]", "/", Ok(4)),
        ("b.example.com", "/b", Err(Unrouted::NoRoute)),
    ] {
        assert_eq!(table.find(&get(host, path, &none)), winner, "{host} {path}");
    }
}

#[test]
fn paths_match_on_segment_boundaries() {
    let table = table(vec![
        at(prefix("/a")),
        at(prefix("/a/b")),
        at(exact("/a/b")),
        at(prefix("")),
        at(exact("/")),
    ]);
    let none = HeaderMap::new();
    for (path, winner) in [
        ("/a", 0),
        ("/a/", 0),
        ("/a/bc", 0),
        ("/a/b/", 1),
        ("/a/b/c", 1),
        ("/a/b", 2),
        ("/ab", 3),
        ("/", 4),
    ] {
        assert_eq!(table.find(&get("h", path, &none)), Ok(winner), "{path}");
    }
}

#[test]
fn a_failed_condition_passes_to_the_next_route() {
    let table = table(vec![
        at(prefix("")),
        RouteMatch {
            headers: vec![header("x-v", Some("1"))],
            ..at(prefix(""))
        },
        RouteMatch {
            headers: vec![header("x-v", Some("2"))],
            ..at(prefix(""))
        },
        RouteMatch {
            methods: vec![Method::POST],
            ..at(prefix(""))
        },
        RouteMatch {
            websocket: Some(true),
            ..at(prefix(""))
        },
    ]);
    let none = HeaderMap::new();
    let mut one = HeaderMap::new();
    one.insert("x-v", HeaderValue::from_static("1"));
    let mut two = one.clone();
    two.append("x-v", HeaderValue::from_static("2"));
    let view = get("h", "/", &none);
    assert_eq!(table.find(&view), Ok(0));
    assert_eq!(
        table.find(&RequestView {
            headers: &one,
            ..view
        }),
        Ok(1)
    );
    assert_eq!(
        table.find(&RequestView {
            headers: &two,
            ..view
        }),
        Ok(0)
    );
    assert_eq!(
        table.find(&RequestView {
            headers: &one,
            method: &Method::POST,
            ..view
        }),
        Ok(3)
    );
    assert_eq!(
        table.find(&RequestView {
            websocket: true,
            method: &Method::POST,
            ..view
        }),
        Ok(4)
    );
    let misses: Vec<_> = table
        .candidates(&view)
        .into_iter()
        .map(|c| (c.route, c.miss.is_none()))
        .collect();
    assert_eq!(
        misses,
        [(4, false), (3, false), (1, false), (2, false), (0, true)]
    );
}

#[test]
fn a_path_with_a_reading_on_another_route_is_refused() {
    let table = table(vec![at(prefix("")), at(prefix("/admin")), at(exact("/ws"))]);
    let none = HeaderMap::new();
    for (raw, found) in [
        ("//ws", Err(Unrouted::Ambiguous)),
        ("/%77s", Err(Unrouted::Ambiguous)),
        ("/ws/../admin", Ok(1)),
        ("//files//a", Ok(0)),
        ("/admin//a/%7Eb[", Ok(1)),
        ("/r/a;b%2Fc", Ok(0)),
        ("/x/..%2fadmin", Err(Unrouted::Ambiguous)),
        ("/x/..%2fadm", Ok(0)),
        ("/..%2fadmin", Err(Unrouted::Ambiguous)),
        ("//x/..%2fadmin", Err(Unrouted::Ambiguous)),
        ("/x/..%2f..%2f..%2fadmin", Err(Unrouted::Ambiguous)),
        ("/..;/admin", Err(Unrouted::Ambiguous)),
        ("//x/..%2fy", Ok(0)),
        ("/..%2f", Ok(0)),
        ("/admin/..%2fx", Err(Unrouted::Ambiguous)),
        (
            "/%2561dmin/%252525252e%252525252e/x",
            Err(Unrouted::Ambiguous),
        ),
        ("/admin%2fx/..", Err(Unrouted::Ambiguous)),
        ("/x\\..\\admin", Err(Unrouted::Ambiguous)),
        ("/x/..;/admin", Err(Unrouted::Ambiguous)),
        ("/x/%252e%252e/admin", Err(Unrouted::Ambiguous)),
        ("/files/a%2Fb", Ok(0)),
        ("/admin/a%2Fb;x", Ok(1)),
        ("/job/feature%252Fx", Ok(0)),
        ("/admin%2Fusers", Err(Unrouted::Ambiguous)),
        ("/admin%5Cusers", Err(Unrouted::Ambiguous)),
        ("/%2Fadmin", Err(Unrouted::Ambiguous)),
        ("/admin;x/users", Err(Unrouted::Ambiguous)),
        ("/;/admin", Err(Unrouted::Ambiguous)),
        ("/%2561dmin", Err(Unrouted::Ambiguous)),
        ("/ws%3F", Err(Unrouted::Ambiguous)),
        ("/ws%2523", Err(Unrouted::Ambiguous)),
    ] {
        let path = read(raw.as_bytes()).expect(raw);
        let view = RequestView {
            readings: &path.readings,
            ..get("h", &path.normal, &none)
        };
        assert_eq!(table.find(&view), found, "{raw}");
    }
}

#[test]
fn ties_need_a_request_that_meets_both() {
    let with = |headers: Vec<HeaderMatch>| RouteMatch {
        headers,
        ..at(prefix("/a"))
    };
    let on_methods = |methods: Vec<Method>| RouteMatch {
        methods,
        ..at(prefix("/a"))
    };
    let sockets = |websocket| RouteMatch {
        websocket: Some(websocket),
        ..at(prefix("/a"))
    };
    let tie = |a: RouteMatch, b: RouteMatch| !ties(&[Arc::new(a), Arc::new(b)]).is_empty();
    assert!(tie(at(prefix("/a")), at(prefix("/a"))));
    assert!(!tie(at(prefix("/a")), at(exact("/a"))));
    assert!(!tie(on("a.b", prefix("")), on("*.b", prefix(""))));
    assert!(tie(on("A.b.", prefix("")), on("a.b", prefix(""))));
    let mut several = on("a.b", prefix(""));
    several.hosts.push(HostPattern::Suffix("c".into()));
    assert!(tie(several.clone(), on("*.c", prefix(""))));
    assert!(!tie(several, on("*.d", prefix(""))));
    assert!(tie(
        on_methods(vec![Method::GET, Method::PUT]),
        on_methods(vec![Method::PUT])
    ));
    assert!(!tie(
        on_methods(vec![Method::GET]),
        on_methods(vec![Method::PUT])
    ));
    assert!(!tie(on_methods(vec![Method::GET]), at(prefix("/a"))));
    assert!(tie(sockets(true), sockets(true)));
    assert!(!tie(sockets(true), sockets(false)));
    assert!(!tie(
        with(vec![header("x", Some("1"))]),
        with(vec![header("x", Some("2"))])
    ));
    assert!(tie(
        with(vec![header("x", Some("1"))]),
        with(vec![header("x", None)])
    ));
    assert!(tie(
        with(vec![header("x", Some("1"))]),
        with(vec![header("y", Some("2"))])
    ));
    assert!(!tie(
        with(vec![header("x", Some("1"))]),
        with(vec![header("x", Some("1")), header("y", None)])
    ));
}
