//! Request targets: what reaches the backend is what the client sent, byte for byte; paths that
//! can be read as another route's are refused; and no refusal goes without its record.

use crate::support;

use std::time::Duration;

use support::websocket::{handshake, switching};
use support::{HttpBackend, Proxy, RawBackend};

/// A backend that answers with the target it was sent.
fn mirror() -> RawBackend {
    RawBackend::start(|_, mut wire| {
        let head = wire.read_until(b"\r\n\r\n");
        let line = head.split(|&byte| byte == b'\r').next().unwrap();
        let target = line.split(|&byte| byte == b' ').nth(1).unwrap();
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            target.len()
        ));
        wire.send(target);
    })
}

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat()
}

const ODD: &[&[u8]] = &[
    b"/x?startkey=\"doc2\"",
    b"/x?q=`a`",
    b"/x?a>b",
    b"/x?ecl=<<250|a|",
    b"/x?q={\"a\":[1]}^\\%zz%00%2e%2e/../a//b;c?d#e",
    b"/x?\xe9=\xc3\xa9\xff",
    b"/x?",
    b"/<a>/`b`?c",
    b"/{a}|^[b]\"c\"",
    b"/caf\xe9/\xc3\xa9",
    b"/a\\b",
    b"//x/admin",
    b"///x:1/%61dmin",
    b"/\\x@y/admin",
    b"/a%5cb\\../admin",
    b"/admin\xa0",
    b"/admin\x85/x\xa0",
    b"/admin%253fx",
];

#[test]
fn queries_and_odd_paths_arrive_byte_for_byte() {
    let backend = mirror();
    let proxy = Proxy::minimal(backend.address());
    for target in ODD {
        let shown = String::from_utf8_lossy(target).into_owned();
        let response = proxy.send(get(target)).read_response();
        assert_eq!(response.status(), 200, "{shown}: {}", response.text());
        assert_eq!(response.body, *target, "{shown}");
    }
}

#[test]
fn a_target_may_come_in_pieces_and_among_others() {
    let backend = mirror();
    let proxy = Proxy::minimal(backend.address());
    for target in ODD {
        let mut wire = proxy.connect();
        for byte in get(target).chunks(3) {
            wire.send(byte);
        }
        assert_eq!(wire.read_response().body, *target);
    }
    // Pipelined, with bodies and plain requests between them, and an empty line.
    let plain = b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n\r\n";
    let all: Vec<u8> = ODD
        .iter()
        .flat_map(|odd| [&get(odd)[..], plain].concat())
        .collect();
    for size in [7, all.len()] {
        let mut wire = proxy.connect();
        for piece in all.chunks(size) {
            wire.send(piece);
        }
        for target in ODD {
            assert_eq!(wire.read_response().body, *target);
            assert_eq!(wire.read_response().text(), "/plain");
        }
    }
}

#[test]
fn a_long_head_with_an_odd_target_is_passed_whole() {
    let backend = mirror();
    let proxy = Proxy::with(
        backend.address(),
        "[http]\nmax_target = \"200KiB\"\nmax_head = \"300KiB\"\n",
    );
    for size in [20_000, 70_000, 150_000] {
        let target = format!("/?{}\"", "a".repeat(size));
        let filler = format!("X-Filler: {}\r\n", "f".repeat(40_000));
        let mut wire = proxy.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{filler}\r\n"));
        let response = wire.read_response();
        assert_eq!(response.status(), 200, "{size}: {}", response.text());
        assert!(response.body == target.as_bytes(), "{size}");
        // Longer than hyper takes, and of plain bytes.
        let target = format!("/?{}", "a".repeat(size));
        let mut wire = proxy.send(get(target.as_bytes()));
        assert!(wire.read_response().body == target.as_bytes(), "{size}");
    }
}

#[test]
fn paths_are_sent_as_they_were_received() {
    let backend = mirror();
    let proxy = Proxy::minimal(backend.address());
    for (path, sent) in [
        ("/unsafe/300x200/https://www.example.com/a.jpg", None),
        ("/%7Euser/[1]/%c3%a9", None),
        ("/r/a;b%2Fc", None),
        ("/r/data:image%2Fpng;base64,iV%2FA==", None),
        ("/fetch/https%3A%2F%2Fe.com%2Fa%2F..%2Fb", None),
        ("/wiki/..%3F", None),
        ("/files/.%2Fa.rs", None),
        ("//admin", None),
        ("/x/..%2fadmin", None),
        ("//x/..%2fy", None),
        ("/..%2f", None),
        ("/..%2f..%5c..;/%252e%252e/x", None),
        ("/admin;x", None),
        ("/%61dmin", None),
        ("/_matrix/client/v3/rooms/!a%3Ab/send/%40u", None),
        ("/a/../b//c", Some("/b//c")),
        ("/a/%2E%2e/b%2fc?d=/../e", Some("/b%2fc?d=/../e")),
    ] {
        let response = proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(response.text(), sent.unwrap_or(path), "{path}");
    }
    for path in [
        "/..",
        "/x/../..",
        "/%2e%2E/x",
        "/x%00",
        "/%zz",
        "/%c0%ae",
        "/a#b",
    ] {
        let response = proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(response.status(), 400, "{path}");
    }
}

#[test]
fn beside_another_route_the_known_tricks_are_refused() {
    let backend = HttpBackend::start();
    let secret = HttpBackend::start();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{}\"\n\
         [[route]]\npath_prefix = \"/admin\"\nto = \"{}\"\n",
        backend.address(),
        secret.address()
    ));
    for path in [
        "//admin",
        "/x/..%2fadmin",
        "/x%2f..%2fadmin",
        "/x%5c..%5cadmin",
        "/x\\..\\admin",
        "/admin;x",
        "/admin;x/y",
        "/;/admin",
        "/x/..;/admin",
        "/%61dmin",
        "/%2561dmin",
        "/%2fadmin",
        "/admin%2fx",
        "/admin%3fx",
        "/admin%23",
        "/x/%252e%252e/admin",
        "/admin/..%2fx",
        "/admin/..;/x",
        "//x//..%2f../admin",
        "/..%2fadmin",
        "/..%2f..%2fadmin",
        "//x/..%2fadmin",
        "/..;/admin",
        "/%252e%252e/admin",
        "//x/admin",
        "///x/admin",
        "/\\x/admin",
        "//x:1/admin/y",
        "//x@y/%61dmin",
        "/.//x/admin",
        "/a/..//x/admin",
        "/%2e//x/admin",
        "http://prot.test//x/admin",
        "/a%5cb\\../admin",
        "/a\\b%5c../admin",
        "/admin%253fx",
        "/admin%25253fx",
        "/admin\u{a0}",
        "/admin\u{85}x",
    ] {
        let response = proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(response.status(), 400, "{path}");
    }
    for path in [
        &b"/admin\x85"[..],
        b"/admin\xa0",
        b"/admin\xa0x",
        b"/admin\x85?q",
    ] {
        let response = proxy.send(get(path)).read_response();
        assert_eq!(response.status(), 400, "{path:?}");
    }
    assert!(backend.requests().is_empty() && secret.requests().is_empty());
    // What cannot be taken for another route goes its way.
    for path in [
        "/r/a;b%2Fc",
        "/wiki/..%3F",
        "//x//y",
        "//x/..%2fy",
        "/..%2fx",
        "/fetch/https%3A%2F%2Fe.com%2F..%2Fb",
    ] {
        proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(backend.requests().last().unwrap()["target"], path);
    }
    for path in ["/admin//x", "/admin/a%2Fb;c", "/admin/%7E"] {
        proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(secret.requests().last().unwrap()["target"], path);
    }
}

#[test]
fn prefixes_are_replaced_in_the_received_form() {
    let backend = mirror();
    let to = backend.address();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath_prefix = \"/strip\"\nstrip_prefix = true\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/caf%C3%A9\"\nreplace_prefix = \"/v2\"\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/away\"\nredirect = {{ to = \"https://h{{path}}{{query}}\" }}\n"
    ));
    for (asked, sent) in [
        ("/strip/%7Ea//[b]?c=\"d\"", "/%7Ea//[b]?c=\"d\""),
        ("/strip", "/"),
        ("/x/../strip/a%2fb", "/a%2fb"),
        ("/caf%C3%A9/%7e", "/v2/%7e"),
        ("/caf%c3%a9/%7e[", "/v2/%7E%5B"),
        ("/café", "/v2"),
    ] {
        let response = proxy.send(get(asked.as_bytes())).read_response();
        assert_eq!(response.text(), sent, "{asked}");
    }
    let response = proxy.send(get(b"/away//%7e[?q=\"")).read_response();
    let location = response.head.field("location");
    assert_eq!(location.as_deref(), Some("https://h/away//%7e[?q=\""));
}

#[test]
fn what_is_sent_for_a_prefix_stays_on_its_route() {
    let backend = mirror();
    let to = backend.address();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/api\"\nstrip_prefix = true\nto = \"{to}\"\n\
         [[route]]\npath_prefix = \"/api/admin\"\nrespond = {{ status = 403 }}\n\
         [[route]]\npath_prefix = \"/old\"\nreplace_prefix = \"/public/files\"\nto = \"{to}\"\n"
    ));
    for path in [
        "/old/..%2fold/secret",
        "/old/%2e%2e%5cold/secret",
        "/old/..;/old/secret",
        "/api/..%2fapi/admin",
        "/api/..%2fadmin",
        "/old/..%2f..%2f..%2fetc",
        "/api//x/admin",
        "/api/\\x/admin",
    ] {
        let response = proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(response.status(), 400, "{path}: {}", response.text());
    }
    for (path, sent) in [
        ("/old/a%2f..%2fb", "/public/files/a%2f..%2fb"),
        ("/old//x;y/", "/public/files//x;y/"),
        ("/api//x/users", "//x/users"),
        ("/api/https://e.com/a%5cb", "/https://e.com/a%5cb"),
    ] {
        let response = proxy.send(get(path.as_bytes())).read_response();
        assert_eq!(response.text(), sent, "{path}");
    }
}

#[test]
fn a_url_names_the_host_and_its_scheme_may_be_of_websocket() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    for (line, host, target) in [
        ("GET ws://a.test/p?q", "other", "a.test|/p?q"),
        ("GET wss://a.test:81", "a.test:81", "a.test:81|/"),
        ("GET HTTP://a.test:?q=r", "", "a.test:|/?q=r"),
        ("GET https://a.test//b", "other", "a.test|//b"),
        ("GET /p", "app.test:", "app.test:|/p"),
        ("GET /p", "[::1]:", "[::1]:|/p"),
        ("OPTIONS http://a.test", "a.test", "a.test|*"),
    ] {
        let response = proxy
            .send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .read_response();
        assert_eq!(response.status(), 200, "{line} {host}");
        let json = response.json();
        let fields = json["headers"].as_array().unwrap();
        let hosts: Vec<_> = fields.iter().filter(|pair| pair[0] == "host").collect();
        assert_eq!(hosts.len(), 1, "{line}");
        let seen = format!(
            "{}|{}",
            hosts[0][1].as_str().unwrap(),
            json["target"].as_str().unwrap()
        );
        assert_eq!(seen, target, "{line} {host}");
    }
    for request in [
        "GET ws://a.test/ HTTP/1.1\r\n\r\n",
        "GET ws://a.test/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET ws://u@a.test/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ws:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a.test/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(proxy.send(request).read_head().status(), 400, "{request}");
    }
}

#[test]
fn a_handshake_in_absolute_form_and_with_an_odd_query_opens_its_tunnel() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        let seen = wire.read_exact(6);
        wire.send(&seen[..2]);
        wire.read_until_close();
    });
    let proxy = Proxy::minimal(backend.address());
    let (ping, echoed) = (b"\x89\x80\0\0\0\0", b"\x89\x80");
    // Of the bytes after a handshake none is lost, however its head was passed on.
    let filler = format!("X-Filler: {}\r\n", "f".repeat(30_000));
    for more in ["", &filler] {
        for target in ["/ws?filter={\"a\":`b`}", "ws://x/ws?a", "wss://x:/ws"] {
            let head = handshake("x", target, more);
            let mut wire = proxy.send([head.as_bytes(), ping].concat());
            assert_eq!(wire.read_head().status(), 101, "{target}");
            assert_eq!(wire.read_exact(2), echoed, "{target}");
        }
    }
}

/// Everything here is answered with an error, and each answer has one record.
#[test]
fn no_refusal_goes_without_its_record() {
    let backend = HttpBackend::start();
    let more = "[http]\nmax_header_lines = 10000\nmax_head = \"1MiB\"\nmax_target = \"100KiB\"\n";
    let proxy = Proxy::with(backend.address(), more);
    let name = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}: a\r\n\r\n",
        "n".repeat(70_000)
    );
    let lines = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "a: b\r\n".repeat(10_000)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let requests: &[&[u8]] = &[
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA\x80: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET / HTCPCP/1.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"(GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\n\n\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n",
        b"GET /.. HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        name.as_bytes(),
        lines.as_bytes(),
        target.as_bytes(),
        head.as_bytes(),
    ];
    let mut statuses = Vec::new();
    for request in requests {
        let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
        let mut wire = proxy.connect();
        wire.try_send(request);
        let head = wire.read_head();
        assert!(head.status() >= 400, "{shown}: {head:?}");
        let status = head.field("proxy-status").unwrap_or_default();
        assert!(status.contains("error="), "{shown}: {head:?}");
        let id = head
            .field("x-request-id")
            .unwrap_or_else(|| panic!("{shown}: {head:?}"));
        let record = proxy.wait_for_access(&shown, |json| json["request_id"] == id.as_str());
        assert_eq!(record["status"], head.status(), "{shown}: {record}");
        assert!(
            !record["detail"].as_str().unwrap_or_default().is_empty(),
            "{shown}: {record}"
        );
        wire.read_until_close();
        statuses.push(head.status());
    }
    assert_eq!(proxy.ask("GET", "/last", ""), 200);
    proxy.wait_for_access("the last one", |json| json["path"] == "/last");
    let records = proxy.access();
    let refused = records
        .iter()
        .filter(|json| json["status"].as_u64() >= Some(400));
    let mut recorded: Vec<_> = refused
        .map(|json| json["status"].as_u64().unwrap())
        .collect();
    recorded.sort_unstable();
    statuses.sort_unstable();
    assert_eq!(
        recorded,
        statuses.into_iter().map(u64::from).collect::<Vec<_>>()
    );
}

#[test]
fn an_early_refusal_is_recorded_with_what_was_read() {
    let backend = HttpBackend::start();
    let proxy = Proxy::with(
        backend.address(),
        "[http]\nhead_timeout = \"500ms\"\n[log]\nquery = true\n",
    );
    for (pieces, method, host, path, query) in [
        (
            &["PUT /a?b HTTP/1.1\r\nHost: app.test\r\nX : y\r\n\r\n"][..],
            "PUT",
            "app.test",
            "/a",
            "b",
        ),
        (
            &[
                "GET /a?\"b\" HTTP/1.1\r\nHo",
                "st: app.test\r\nX",
                " : y\r\n\r\n",
            ],
            "GET",
            "app.test",
            "/a",
            "\"b\"",
        ),
        (
            &["GET /c d?e HTTP/1.1\r\nHost: app.test\r\n\r\n"],
            "GET",
            "app.test",
            "/c d",
            "e",
        ),
        (&["TRACE /t HTTP/1.1\r\n"], "TRACE", "", "/t", ""),
        (
            &["GET ws://h.test/p HTTP/1.1\r\n\r\n"],
            "GET",
            "h.test",
            "/p",
            "",
        ),
        (
            &["GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"],
            "GET",
            "a, b",
            "/",
            "",
        ),
        (
            &["GET /slow?x HTTP/1.1\r\nHost: app.test\r\nX-"],
            "GET",
            "app.test",
            "/slow",
            "x",
        ),
        (
            &["G\"T /r30 HTTP/1.1\r\nHost: app.test\r\n\r\n"],
            "G\"T",
            "app.test",
            "/r30",
            "",
        ),
        (
            &["FOO\x01 /r23 HTTP/1.1\r\nHost: app.test\r\n\r\n"],
            "FOO\x01",
            "app.test",
            "/r23",
            "",
        ),
        (
            &[" GET /blank HTTP/1.1\r\nHost: app.test\r\n\r\n"],
            "GET",
            "app.test",
            "/blank",
            "",
        ),
        (
            &["GET\t/tab HTTP/1.1\r\nHost: app.test\r\n\r\n"],
            "GET",
            "app.test",
            "/tab",
            "",
        ),
        (
            &["\r\n\r\nGET /late HTTP/1.1\r\nHost: app.test\r\n\r\n"],
            "GET",
            "app.test",
            "/late",
            "",
        ),
        (
            &["GET /ok HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost : x\r\n\r\n"],
            "GET",
            "",
            "/second",
            "",
        ),
    ] {
        let mut wire = proxy.connect();
        let (last, first) = pieces.split_last().unwrap();
        for piece in first {
            wire.send(piece);
            // Long enough for the proxy to have read it; a slower one makes the test easier.
            wire.expect_silence(Duration::from_millis(20));
        }
        wire.try_send(last);
        let mut head = wire.read_response().head;
        if head.status() == 200 {
            head = wire.read_head();
        }
        let id = head.field("x-request-id").expect("an id");
        let record = proxy.wait_for_access(path, |json| json["request_id"] == id.as_str());
        for (name, value) in [
            ("method", method),
            ("host", host),
            ("path", path),
            ("query", query),
        ] {
            assert_eq!(
                record[name].as_str().unwrap_or_default(),
                value,
                "{name}: {record}"
            );
        }
    }
}
