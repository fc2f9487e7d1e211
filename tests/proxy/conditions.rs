//! What the conditions of routes see: what the upstream would be sent, never a field that is
//! taken from the request before it goes on.

use crate::support;

use support::{HttpBackend, Proxy};

/// A proxy whose first route asks for `condition` and whose other one takes the rest;
/// answers 299 and 298.
fn proxy(condition: &str, http: &str) -> Proxy {
    Proxy::start(&format!(
        "[http]\n{http}\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"asked\"\nheaders = {{ {condition} }}\nrespond = {{ status = 299 }}\n\
         [[route]]\nname = \"rest\"\nrespond = {{ status = 298 }}\n"
    ))
}

fn status(proxy: &Proxy, lines: &str) -> u16 {
    let mut wire = proxy.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{lines}\r\n"
    ));
    wire.read_response().status()
}

const TRUST: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

#[test]
fn a_stranger_cannot_meet_a_condition_with_a_field_that_is_deleted() {
    for (condition, line) in [
        (
            "x-forwarded-for = \"10.0.0.1, 127.0.0.1\"",
            "X-Forwarded-For: 10.0.0.1",
        ),
        ("x-forwarded-proto = \"https\"", "X-Forwarded-Proto: https"),
        ("x-forwarded-host = \"b.test\"", "X-Forwarded-Host: b.test"),
        ("x-forwarded-user = true", "X-Forwarded-User: root"),
        ("x-real-ip = true", "X-Real-IP: 10.0.0.1"),
        (
            "x-forwarded-for = \"10.0.0.2, 127.0.0.1\"",
            "Forwarded: for=10.0.0.2",
        ),
        ("x-request-id = \"mine\"", "X-Request-Id: mine"),
    ] {
        assert_eq!(
            status(&proxy(condition, ""), &format!("{line}\r\n")),
            298,
            "{line}"
        );
        assert_eq!(
            status(&proxy(condition, TRUST), &format!("{line}\r\n")),
            299,
            "{line}"
        );
    }
}

#[test]
fn other_spellings_meet_no_condition_whoever_sends_them() {
    for name in ["x_forwarded_for", "x-forwarded_proto", "x_real_ip"] {
        for trust in ["", TRUST] {
            let proxy = proxy(&format!("\"{name}\" = true"), trust);
            assert_eq!(status(&proxy, &format!("{name}: https\r\n")), 298, "{name}");
        }
    }
}

#[test]
fn the_forwarded_of_a_peer_meets_no_condition_unless_it_is_sent() {
    let line = "Forwarded: for=10.0.0.1\r\n";
    let sent = format!("{TRUST}\nforwarded = true");
    for (http, wanted) in [("", 298), (TRUST, 298), (&*sent, 299)] {
        assert_eq!(status(&proxy("forwarded = true", http), line), wanted);
    }
}

#[test]
fn what_sluice_itself_tells_meets_a_condition() {
    let http = proxy("x-forwarded-proto = \"http\"", "");
    assert_eq!(status(&http, "X-Forwarded-Proto: https\r\n"), 299);
    let peer = proxy("x-forwarded-for = \"127.0.0.1\"", "");
    assert_eq!(status(&peer, ""), 299);
}

#[test]
fn a_field_that_connection_takes_away_meets_no_condition() {
    let proxy = proxy("x-tenant = true", "");
    assert_eq!(status(&proxy, "X-Tenant: a\r\n"), 299);
    assert_eq!(
        status(&proxy, "X-Tenant: a\r\nConnection: X-Tenant\r\n"),
        298
    );
}

#[test]
fn the_fields_are_told_once_where_conditions_ask_for_them() {
    let backend = HttpBackend::start();
    let to = backend.address();
    let proxy = Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nheaders = {{ x-forwarded-proto = \"http\" }}\nto = \"{to}\"\n"
    ));
    let mut wire =
        proxy.send("GET /echo HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
    let seen = wire.read_response().json();
    let lines = seen["headers"].as_array().expect("header lines");
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.test"),
    ] {
        let found: Vec<_> = lines.iter().filter(|line| line[0] == name).collect();
        assert_eq!(found.len(), 1, "{name} in {seen}");
        assert_eq!(found[0][1], value);
    }
}
