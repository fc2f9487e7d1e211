//! The combined format of Apache's mod_log_config, which GoAccess, fail2ban and the like read:
//! `%h - - [%t] "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`. A tunnel has one line, at its
//! opening: status 101, and no size, as its bytes are still to come.

use std::io::Write as _;

use super::line::Gathered;
use crate::vocabulary::stamp;

pub(super) fn write(out: &mut Vec<u8>, time: &str, kind: &str, fields: &Gathered) {
    // What nginx writes where a client left before its answer; a handshake is a GET over
    // HTTP/1.1 (RFC 6455 section 4.1).
    let (default_status, default_method, default_protocol) = match kind {
        "exchange" => ("499", "", ""),
        "tunnel_open" => ("101", "GET", "HTTP/1.1"),
        _ => return,
    };
    let either = |name: &str, default: &'static str| match fields.get(name) {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    push(out, host(fields.get("client")));
    let _ = write!(out, " - - [{}] \"", stamp::apache(time).unwrap_or_default());
    let method = either("method", default_method);
    if method.is_empty() {
        out.push(b'-');
    } else {
        push(out, &method);
        out.push(b' ');
        push(out, fields.get("path"));
        if !fields.get("query").is_empty() {
            out.push(b'?');
            push(out, fields.get("query"));
        }
        let protocol = either("protocol", default_protocol);
        if !protocol.is_empty() {
            out.push(b' ');
            push(out, &protocol);
        }
    }
    let status = either("status", default_status);
    let size = match fields.get("bytes_out") {
        "" | "0" => "-",
        size => size,
    };
    let _ = write!(out, "\" {status} {size} \"");
    push(out, &either("referer", "-"));
    out.extend_from_slice(b"\" \"");
    push(out, &either("user_agent", "-"));
    out.extend_from_slice(b"\"\n");
}

/// A client's address without its port. On a unix socket there is none.
fn host(client: &str) -> &str {
    let host = match client.parse::<std::net::SocketAddr>() {
        Ok(_) => client.rsplit_once(':').map_or(client, |(host, _)| host),
        Err(_) => client,
    };
    match host.trim_matches(['[', ']']) {
        "" => "-",
        host => host,
    }
}

/// As Apache escapes: quotes and backslashes with a backslash, anything that is no printable
/// ASCII as `\xhh`.
fn push(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b' '..0x7f => out.push(byte),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Line, tests::fields};
    use super::*;

    fn line(kind: &'static str, fields: impl FnOnce(&mut Line<'_>)) -> String {
        let (mut gathered, mut out) = (Gathered::new(), Vec::new());
        Line::gather(&mut gathered, fields);
        write(&mut out, "2026-01-02T03:04:05.678Z", kind, &gathered);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_what_apache_writes() {
        assert_eq!(
            line("exchange", fields),
            "192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] \
             \"GET /a\\\"b\\n\\\\\\xc3\\xa9\\xe2\\x80\\xae HTTP/1.1\" 502 17 \"-\" \
             \"curl/8 \\\"x\\\" \\xc3\\xa9\\xc2\\x9b\"\n"
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let refused = line("exchange", |line| {
            line.text("client", "[2001:db8::1]:7");
            line.number("status", 400);
        });
        assert_eq!(
            refused,
            "2001:db8::1 - - [02/Jan/2026:03:04:05 +0000] \"-\" 400 - \"-\" \"-\"\n"
        );
        for (client, shown) in [("2001:db8::1", "2001:db8::1"), ("unix", "unix"), ("", "-")] {
            assert_eq!(host(client), shown);
        }
    }

    #[test]
    fn a_tunnel_is_written_once() {
        let path = |line: &mut Line<'_>| line.text("path", "/ws");
        assert!(line("tunnel_open", path).contains("\"GET /ws HTTP/1.1\" 101 - "));
        assert_eq!(line("tunnel_close", path), "");
    }
}
