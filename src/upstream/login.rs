//! Logins that belong to a connection instead of each request (NTLM, Negotiate; RFC 4559
//! section 6): how they are recognised.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Whether a request with these fields may authenticate the connection that it is sent on.
pub fn is_login(fields: &HeaderMap) -> bool {
    names_a_scheme(fields, &header::AUTHORIZATION)
}

/// Whether an answer asks for a login of the connection.
pub fn asks_for_login(status: StatusCode, fields: &HeaderMap) -> bool {
    matches!(status.as_u16(), 401 | 407)
        && (names_a_scheme(fields, &header::WWW_AUTHENTICATE)
            || names_a_scheme(fields, &header::PROXY_AUTHENTICATE))
}

/// A word in a quoted string may be taken for a scheme; that costs a shared connection only.
fn names_a_scheme(fields: &HeaderMap, name: &HeaderName) -> bool {
    let lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut elements = lines.flat_map(|line| line.split(|&byte| byte == b','));
    elements.any(|element| {
        let mut words = element.trim_ascii().split(|&byte| byte == b' ');
        let scheme = words.next().unwrap_or_default();
        ["ntlm", "negotiate", "kerberos"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_found_in_lists_and_lines() {
        let asks = |status: u16, lines: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(line));
            }
            asks_for_login(StatusCode::from_u16(status).unwrap(), &fields)
        };
        assert!(asks(401, &["NTLM"]));
        assert!(asks(401, &["Basic realm=\"a, b\"", "negotiate"]));
        assert!(asks(401, &["Basic realm=\"a\", NTLM TlRMTVNTUAAC"]));
        assert!(!asks(401, &["Basic realm=\"ntlm\"", "Bearer"]));
        assert!(!asks(401, &[]));
        assert!(!asks(200, &["NTLM"]));
        let mut fields = HeaderMap::new();
        fields.insert(
            header::AUTHORIZATION,
            HeaderValue::from_static("Negotiate YII="),
        );
        assert!(is_login(&fields));
        fields.insert(
            header::AUTHORIZATION,
            HeaderValue::from_static("Basic Og=="),
        );
        assert!(!is_login(&fields));
    }
}
