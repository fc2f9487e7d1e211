//! The values that labels can have besides configured names: closed lists, so that no client
//! can add one. What is not listed falls into a class.

use http::Method;

/// Method classes; the last is for a head that could not be read.
pub(crate) const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other", "none",
];

/// The slot of requests that no route took.
pub(crate) const UNROUTED: u32 = 0;

/// The class of requests without a method.
pub(crate) const NO_METHOD: usize = METHODS.len() - 1;

/// The class of a method.
pub(crate) fn method(method: &Method) -> usize {
    if *method == Method::GET {
        0
    } else if *method == Method::HEAD {
        1
    } else if *method == Method::POST {
        2
    } else if *method == Method::PUT {
        3
    } else if *method == Method::DELETE {
        4
    } else if *method == Method::OPTIONS {
        5
    } else if *method == Method::PATCH {
        6
    } else {
        7
    }
}

/// The registered statuses (IANA HTTP Status Code Registry).
const STATUS: [u16; 61] = [
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304,
    305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415,
    416, 417, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506,
    507, 508, 510, 511,
];

/// The classes of those that are not registered.
const STATUS_CLASS: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other", "none"];

/// How many places statuses need.
pub(crate) const STATUSES: usize = STATUS.len() + STATUS_CLASS.len();

/// The place of an exchange without an answer.
pub(crate) const NO_STATUS: usize = STATUSES - 1;

/// The place of each status that is possible.
static STATUS_PLACE: [u8; 1000] = {
    let mut places = [0; 1000];
    let mut code = 0;
    while code < places.len() {
        places[code] = if code >= 100 && code < 600 {
            (STATUS.len() + code / 100 - 1) as u8
        } else {
            (STATUSES - 2) as u8
        };
        code += 1;
    }
    let mut at = 0;
    while at < STATUS.len() {
        places[STATUS[at] as usize] = at as u8;
        at += 1;
    }
    places
};

/// The place of a status.
pub(crate) fn status(status: u16) -> usize {
    let place = STATUS_PLACE.get(usize::from(status)).copied();
    place.map_or(STATUSES - 2, usize::from)
}

/// The label of a status's place.
pub(crate) fn status_label(place: usize) -> String {
    match STATUS.get(place) {
        Some(status) => status.to_string(),
        None => STATUS_CLASS[place - STATUS.len()].to_owned(),
    }
}

/// The first digit of a status's place; 0: none.
pub(crate) fn status_class(place: usize) -> usize {
    match STATUS.get(place) {
        Some(status) => usize::from(status / 100),
        None => match place - STATUS.len() {
            class @ 0..=4 => class + 1,
            5 => 5,
            _ => 0,
        },
    }
}

/// The registered close codes (IANA WebSocket Close Code Number Registry), and the classes of
/// the others. 1005 is a Close without a code (RFC 6455 section 7.1.5); none: no Close came.
pub(crate) const CODES: [&str; 20] = [
    "1000",
    "1001",
    "1002",
    "1003",
    "1004",
    "1005",
    "1006",
    "1007",
    "1008",
    "1009",
    "1010",
    "1011",
    "1012",
    "1013",
    "1014",
    "1015",
    "3000-3999",
    "4000-4999",
    "other",
    "none",
];

/// The place of what a peer sent; the outer `None`: no Close.
pub(crate) fn code(close: Option<Option<u16>>) -> usize {
    match close {
        None => 19,
        Some(None) => 5,
        Some(Some(code @ 1000..=1015)) => usize::from(code - 1000),
        Some(Some(3000..=3999)) => 16,
        Some(Some(4000..=4999)) => 17,
        Some(Some(_)) => 18,
    }
}

/// The error types of sluice's own answers (RFC 9209 section 2.3).
pub(crate) const ERRORS: [&str; 16] = [
    "http_request_error",
    "http_request_denied",
    "destination_unavailable",
    "dns_error",
    "connection_refused",
    "connection_timeout",
    "destination_ip_unroutable",
    "connection_terminated",
    "http_protocol_error",
    "http_response_incomplete",
    "http_response_timeout",
    "http_upgrade_failed",
    "proxy_internal_error",
    "proxy_loop_detected",
    "stopped",
    "other",
];

/// The place of an error.
pub(crate) fn error(kind: &str) -> usize {
    let known = ERRORS.iter().position(|known| *known == kind);
    known.unwrap_or(ERRORS.len() - 1)
}

/// Why handshakes are refused, and the groups of it. Sorted by cause.
pub(crate) const CAUSES: [(&str, &str); 66] = [
    ("backend-error", UPSTREAM),
    ("client-body", HEADER),
    ("client-certificate-missing", "client_certificate"),
    ("client-connection-removed", HEADER),
    ("client-gone", "client_gone"),
    ("client-http-version", HEADER),
    ("client-key-invalid", HEADER),
    ("client-key-missing", HEADER),
    ("client-key-repeated", HEADER),
    ("client-method", HEADER),
    ("client-upgrade-not-websocket", HEADER),
    ("client-upgrade-removed", HEADER),
    ("client-websocket-version", HEADER),
    ("closed-in-answer", ANSWER),
    ("closed-without-answer", ANSWER),
    ("connection-refused", UNREACHABLE),
    ("connection-timeout", UNREACHABLE),
    ("credentials", UPSTREAM),
    ("dns-error", UNREACHABLE),
    ("draining", "drain"),
    ("forbidden", UPSTREAM),
    ("gateway-behind-failed", UPSTREAM),
    ("handshake-rejected", UPSTREAM),
    ("host-not-kept", "origin"),
    ("host-unknown", UPSTREAM),
    ("http2-only", ANSWER),
    ("local-resources", "limits"),
    ("loop-detected", "loop"),
    ("malformed-answer", ANSWER),
    ("misdirected", "client_certificate"),
    ("no-answer-in-time", "limits"),
    ("no-endpoint", UNREACHABLE),
    ("no-route", "no_route"),
    ("not-a-websocket-endpoint", UPSTREAM),
    ("not-http", ANSWER),
    ("origin-not-allowed", "origin"),
    ("origin-refused", UPSTREAM),
    ("other", "other"),
    ("other-protocol-required", UPSTREAM),
    ("overloaded", UPSTREAM),
    ("path-not-found", UPSTREAM),
    ("path-not-websocket", UPSTREAM),
    ("path-or-handshake-rejected", UPSTREAM),
    ("redirect", UPSTREAM),
    ("redirect-slash", UPSTREAM),
    ("redirect-to-https", UPSTREAM),
    ("refused", UPSTREAM),
    ("request-invalid", HEADER),
    ("request-too-large", "limits"),
    ("request-too-slow", "limits"),
    ("stopped", "drain"),
    ("tls-expected", ANSWER),
    ("unroutable", UNREACHABLE),
    ("upgrade-not-seen", UPSTREAM),
    ("upgrade-unsupported", UPSTREAM),
    ("upstream-101-accept-missing", ANSWER),
    ("upstream-101-accept-wrong", ANSWER),
    ("upstream-101-connection-missing", ANSWER),
    ("upstream-101-extension-not-offered", ANSWER),
    ("upstream-101-http-version", ANSWER),
    ("upstream-101-subprotocol-not-offered", ANSWER),
    ("upstream-101-subprotocol-repeated", ANSWER),
    ("upstream-101-upgrade-missing", ANSWER),
    ("upstream-101-upgrade-other", ANSWER),
    ("upstream-not-switching", ANSWER),
    ("version-unsupported", UPSTREAM),
];

/// The client's handshake was not one.
const HEADER: &str = "bad_header";
/// The upstream refused it.
const UPSTREAM: &str = "upstream";
/// What the upstream answered is no handshake.
const ANSWER: &str = "bad_answer";
/// No connection to the upstream.
const UNREACHABLE: &str = "unreachable";

/// The place of a cause.
pub(crate) fn cause(cause: &str) -> usize {
    let find = |wanted: &str| CAUSES.binary_search_by(|(known, _)| known.cmp(&wanted));
    find(cause).or_else(|_| find("other")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_exact_where_they_are_registered() {
        assert!(STATUS.is_sorted());
        for (given, wanted) in [
            (200, "200"),
            (226, "226"),
            (299, "2xx"),
            (451, "451"),
            (418, "4xx"),
            (511, "511"),
            (599, "5xx"),
            (600, "other"),
            (999, "other"),
            (0, "other"),
            (u16::MAX, "other"),
        ] {
            assert_eq!(status_label(status(given)), wanted, "{given}");
        }
        assert_eq!(status_label(NO_STATUS), "none");
        for given in 100..600 {
            assert_eq!(status_class(status(given)), usize::from(given / 100));
        }
        assert_eq!((status_class(status(700)), status_class(NO_STATUS)), (5, 0));
    }

    #[test]
    fn methods_and_codes_fall_into_classes() {
        for name in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let given = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(METHODS[method(&given)], name);
        }
        for name in ["TRACE", "get", "M-SEARCH"] {
            let given = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(METHODS[method(&given)], "other");
        }
        for (given, wanted) in [
            (None, "none"),
            (Some(None), "1005"),
            (Some(Some(1000)), "1000"),
            (Some(Some(1015)), "1015"),
            (Some(Some(1016)), "other"),
            (Some(Some(2999)), "other"),
            (Some(Some(3000)), "3000-3999"),
            (Some(Some(4999)), "4000-4999"),
            (Some(Some(5000)), "other"),
            (Some(Some(0)), "other"),
        ] {
            assert_eq!(CODES[code(given)], wanted, "{given:?}");
        }
    }

    #[test]
    fn every_cause_in_the_code_is_listed() {
        assert!(CAUSES.is_sorted());
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        let read = |file: &str| std::fs::read_to_string(format!("{root}{file}")).unwrap();
        let mut found = 0;
        let mut look = |text: &str, before: &str| {
            for part in text.split(before).skip(1) {
                let part = part.trim_start();
                if let Some((word, _)) = part.strip_prefix('"').and_then(|p| p.split_once('"')) {
                    assert_eq!(CAUSES[cause(word)].0, word);
                    found += 1;
                }
            }
        };
        look(&read("fault/diagnosis.rs"), "Diagnosis::new(");
        look(&read("fault/diagnosis/status.rs"), "Diagnosis::new(");
        look(&read("fault/diagnosis/said.rs"), "Diagnosis::new(");
        for file in [
            "websocket/handshake/client.rs",
            "websocket/handshake/verify.rs",
        ] {
            let text = read(file);
            let names = text.split("fn name(").nth(1).expect("the names");
            look(names.split("fn ").next().expect("its body"), "=>");
        }
        assert!(found > 40, "{found}");
        assert_eq!(CAUSES[cause("never heard of")].0, "other");
    }
}
