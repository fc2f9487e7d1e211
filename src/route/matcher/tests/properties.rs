//! The table against a naive reference, against other orders of the same routes, and against
//! backends that read a path in every way we know of.

use super::*;

/// How well a route matches, computed from the rules as they are written down.
fn reference_rank(route: &RouteMatch, view: &RequestView<'_>) -> Option<impl Ord + Copy + use<>> {
    let host = view.host.to_ascii_lowercase();
    let hosts = route.hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(name) => (*name == host).then_some((2, name.len())),
        HostPattern::Suffix(suffix) => host
            .ends_with(&format!(".{suffix}"))
            .then_some((1, suffix.len())),
    });
    let host = if route.hosts.is_empty() {
        (0, 0)
    } else {
        hosts.max()?
    };
    let path = match &route.path {
        PathPattern::Exact(path) => (view.path == path).then_some((1, 0))?,
        PathPattern::Prefix(prefix) => (view.path == prefix
            || view.path.starts_with(&format!("{prefix}/")))
        .then_some((0, prefix.len()))?,
    };
    let websocket = route
        .websocket
        .is_none_or(|wanted| wanted == view.websocket);
    let method = route.methods.is_empty() || route.methods.contains(view.method);
    let headers = route.headers.iter().all(|wanted| {
        let lines: Vec<_> = view.headers.get_all(&wanted.name).iter().collect();
        match &wanted.value {
            Some(value) => lines == [value],
            None => !lines.is_empty(),
        }
    });
    let rest = (
        route.websocket.is_some(),
        !route.methods.is_empty(),
        route.headers.len(),
    );
    (websocket && method && headers).then_some((host, path, rest))
}

/// The winner, and whether it shares its rank.
fn reference(routes: &[Arc<RouteMatch>], view: &RequestView<'_>) -> (Option<usize>, bool) {
    let ranks: Vec<_> = routes
        .iter()
        .map(|route| reference_rank(route, view))
        .collect();
    let best = ranks.iter().flatten().max();
    let winner = best.and_then(|_| ranks.iter().position(|rank| rank.as_ref() == best));
    (
        winner,
        best.is_some() && ranks.iter().filter(|rank| rank.as_ref() == best).count() > 1,
    )
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let host = prop::sample::select(vec!["a.com", "b.a.com", "*.com", "*.a.com", "*.b.a.com"]);
    let host = host.prop_map(|host| on(host, prefix("")).hosts.remove(0));
    let path = prop::sample::select(vec![
        prefix(""),
        prefix("/a"),
        prefix("/a/b"),
        prefix("/aa"),
        exact("/a"),
        exact("/a/b"),
        exact("/b"),
        exact("/"),
    ]);
    let method = prop::sample::subsequence(vec![Method::GET, Method::POST], 0..=2);
    let headers = prop::sample::subsequence(
        vec![
            header("x", Some("1")),
            header("x", Some("2")),
            header("y", None),
        ],
        0..=2,
    );
    let websocket = prop::sample::select(vec![None, None, Some(true), Some(false)]);
    (
        prop::collection::vec(host, 0..3),
        path,
        method,
        headers,
        websocket,
    )
        .prop_map(|(hosts, path, methods, headers, websocket)| RouteMatch {
            hosts,
            path,
            methods,
            headers,
            websocket,
            ..RouteMatch::default()
        })
}

/// Routes without a tie, as the configuration guarantees.
fn routes() -> impl Strategy<Value = Vec<Arc<RouteMatch>>> {
    prop::collection::vec(route_match(), 1..16).prop_map(|matches| {
        let mut kept: Vec<Arc<RouteMatch>> = Vec::new();
        for candidate in matches {
            kept.push(Arc::new(candidate));
            if !ties(&kept).is_empty() {
                kept.pop();
            }
        }
        kept
    })
}

prop_compose! {
    fn request()(
        host in prop::sample::select(vec!["a.com", "A.com", "b.a.com", "c.B.a.com", "c.a.com", "org", ""]),
        path in prop::sample::select(vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/aa/x", "/b", "/ab"]),
        method in prop::sample::select(vec![Method::GET, Method::POST]),
        lines in prop::sample::subsequence(vec![("x", "1"), ("x", "2"), ("y", "1")], 0..=3),
        websocket in any::<bool>(),
    ) -> (&'static str, &'static str, Method, HeaderMap, bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        (host, path, method, headers, websocket)
    }
}

/// One thing that a backend does to a path before it routes.
fn reread(path: &str, step: u8) -> String {
    match step {
        0 => decode_once(path),
        1 => path.replace('\\', "/"),
        2 => {
            let segments: Vec<_> = path
                .split('/')
                .map(|segment| segment.split(';').next().unwrap_or_default())
                .collect();
            segments.join("/")
        }
        3 => path.split(['?', '#']).next().unwrap_or_default().to_owned(),
        4 => {
            let mut path = path.to_owned();
            while path.contains("//") {
                path = path.replace("//", "/");
            }
            path
        }
        5 => only(path, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
        }),
        6 => only(path, |byte| byte == b'/'),
        7 => only(path, |byte| byte != b'/'),
        _ => without_dots(path),
    }
}

/// Dot segments resolved as in RFC 3986; above the root they are lost.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let ends_in_dots = path.ends_with("/.") || path.ends_with("/..");
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if ends_in_dots {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

fn decode_once(path: &str) -> String {
    only(path, |_| true)
}

/// One pass that decodes only escapes of these bytes.
fn only(path: &str, wanted: impl Fn(u8) -> bool) -> String {
    let (bytes, mut out, mut at) = (path.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|_| bytes[at] == b'%')
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| wanted(*byte));
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_agrees_with_the_written_rules(routes in routes(), requests in prop::collection::vec(request(), 8)) {
        let table = RouteTable::new(&routes);
        for (host, path, method, headers, websocket) in &requests {
            let view = RequestView { host, path, readings: &[], method, headers, websocket: *websocket };
            let (winner, shared) = reference(&routes, &view);
            prop_assert!(!shared, "a tie that `ties` did not see");
            prop_assert_eq!(table.find(&view).ok(), winner);
            let first = table.candidates(&view).into_iter().find(|candidate| candidate.miss.is_none());
            prop_assert_eq!(first.map(|candidate| candidate.route), winner);
        }
    }

    #[test]
    fn order_does_not_change_the_winner(routes in routes().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle())), request in request()) {
        let (host, path, method, headers, websocket) = &request;
        let view = RequestView { host, path, readings: &[], method, headers, websocket: *websocket };
        let winner = |routes: &[Arc<RouteMatch>]| {
            RouteTable::new(routes).find(&view).ok().map(|index| Arc::as_ptr(&routes[index]))
        };
        prop_assert_eq!(winner(&routes.0), winner(&routes.1));
    }

    #[test]
    fn no_reading_of_what_is_sent_leads_to_another_route(
        raw in tricky_path(),
        steps in prop::collection::vec(0..9u8, 0..8),
        patterns in prop::sample::subsequence(vec![exact("/a"), exact("/b"), exact("/a/b"), exact("/a/"), prefix("/a"), prefix("/b"), prefix("/aa"), prefix("/a/a"), prefix("/@"), prefix("/b/b")], 0..=10),
    ) {
        let routes: Vec<_> = std::iter::once(prefix("")).chain(patterns).map(|pattern| Arc::new(at(pattern))).collect();
        let headers = HeaderMap::new();
        let Ok(path) = read(raw.as_bytes()) else { return Ok(()) };
        let view = RequestView { readings: &path.readings, ..get("h", &path.normal, &headers) };
        let Ok(found) = RouteTable::new(&routes).find(&view) else { return Ok(()) };
        let sent = String::from_utf8(path.sent.into_owned()).unwrap();
        let mut read = sent.clone();
        for &step in &steps {
            read = reread(&read, step);
            prop_assert_eq!(reference(&routes, &get("h", &read, &headers)).0, Some(found), "{} read as {}", sent, read);
        }
    }
}
