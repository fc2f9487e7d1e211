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

/// Whether an answer goes on with a login: it has the upstream's part of it.
pub fn goes_on(fields: &HeaderMap) -> bool {
    let names = [header::WWW_AUTHENTICATE, header::PROXY_AUTHENTICATE];
    names.iter().any(|name| {
        elements(fields, name).any(|(scheme, token)| is_known(scheme) && !token.is_empty())
    })
}

/// A word in a quoted string may be taken for a scheme; that costs a shared connection only.
fn names_a_scheme(fields: &HeaderMap, name: &HeaderName) -> bool {
    elements(fields, name).any(|(scheme, _)| is_known(scheme))
}

/// The first word of each element of a list, and the rest.
fn elements<'a>(
    fields: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
    let elements = lines.flat_map(|line| line.split(|&byte| byte == b','));
    elements.map(|element| {
        let element = element.trim_ascii();
        let end = element.iter().position(|&byte| byte == b' ');
        element.split_at(end.unwrap_or(element.len()))
    })
}

fn is_known(scheme: &[u8]) -> bool {
    ["ntlm", "negotiate", "kerberos"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
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
    #[test]
    fn a_challenge_goes_on_and_an_offer_does_not() {
        for (line, goes) in [
            ("NTLM", false),
            ("NTLM TlRMTVNTUAAC", true),
            ("Basic realm=\"a\", negotiate YII=", true),
            ("Negotiate, Basic realm=\"a\"", false),
        ] {
            let fields = [(header::WWW_AUTHENTICATE, HeaderValue::from_static(line))];
            assert_eq!(goes_on(&HeaderMap::from_iter(fields)), goes, "{line}");
        }
    }
}
