//! Other proxies' variables in values that are sent as they stand: `$remote_addr` (nginx),
//! `%[src]` and `%ci` (HAProxy), `{remote_host}` (Caddy), `%{HTTP_HOST}` (Apache),
//! `%DOWNSTREAM_REMOTE_ADDRESS%` (Envoy). sluice has none, so that each is an error that says
//! what does the same here.

use super::read::Wrong;

/// The error for a text that holds a variable; none in most.
pub(super) fn refuse(text: &str) -> Result<(), Wrong> {
    let Some(variable) = find(text) else {
        return Ok(());
    };
    let message = format!("`{variable}` would be sent as it stands: values have no variables");
    Err(Wrong::new(message).hint(instead(variable)))
}

/// The first variable in a text, with what marks it as one.
pub(super) fn find(text: &str) -> Option<&str> {
    let marks = text.match_indices(['$', '%', '{']);
    marks
        .filter_map(|(at, mark)| {
            let before = text[..at].chars().next_back();
            let whole = &text[at..];
            let length = match mark {
                "$" => dollar(whole, before)?,
                "%" => percent(whole, before)?,
                _ => braces(whole)?,
            };
            Some(&whole[..length])
        })
        .next()
}

/// `$name`, `${name}`; `$5` is a price, unless it is all there is.
fn dollar(text: &str, before: Option<char>) -> Option<usize> {
    let rest = &text[1..];
    if rest.starts_with('{') {
        return enclosed(rest, '}').map(|length| length + 1);
    }
    let name = rest.bytes().take_while(|&b| is_word(b)).count();
    let starts = rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let apart = !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '$');
    let capture = before.is_none() && rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit();
    (starts && apart && name > 1 || capture).then_some(name + 1)
}

/// `%[src]`, `%(name)`, `%{NAME}`, `%ENVOY_NAME%`, and HAProxy's `%ci` where it stands alone.
fn percent(text: &str, before: Option<char>) -> Option<usize> {
    const ALONE: [&str; 8] = ["%ci", "%cp", "%fi", "%fp", "%bi", "%si", "%ID", "%rt"];
    let rest = &text[1..];
    let close = match rest.as_bytes().first()? {
        b'[' => ']',
        b'(' => ')',
        b'{' => '}',
        _ if before.is_none() && ALONE.contains(&text) => return Some(text.len()),
        _ => {
            let name = rest
                .bytes()
                .take_while(|b| is_word(*b) && !b.is_ascii_lowercase());
            let name = &rest[..name.count()];
            let tail = &rest[name.len()..];
            let call = match tail.strip_prefix('(') {
                Some(inside) => inside.find(')')? + 2,
                None => 0,
            };
            let closed = tail[call..].starts_with('%');
            let named = call > 0 || name.contains('_');
            return (closed && named && name.len() > 2).then_some(name.len() + call + 2);
        }
    };
    enclosed(rest, close).map(|length| length + 1)
}

/// `{name}` and `{http.request.host}`, but nothing that JSON could be.
fn braces(text: &str) -> Option<usize> {
    let inside = &text[1..text.find('}')?];
    let name = inside.trim_start_matches('{').trim();
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '>'))
        && name
            .bytes()
            .all(|b| is_word(b) || matches!(b, b'.' | b'-' | b'>' | b'$' | b'/'));
    let length = inside.len() + 2;
    let doubled = text[length..].starts_with('}') && inside.starts_with('{');
    sound.then_some(length + usize::from(doubled))
}

/// The length of what stands in brackets, with them.
fn enclosed(text: &str, close: char) -> Option<usize> {
    text.find(close).filter(|&at| at > 1).map(|at| at + 1)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What does in sluice what the variable does elsewhere.
fn instead(variable: &str) -> &'static str {
    let lower = variable.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is = |words: &[&str]| {
        let bare = lower.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        words.contains(&bare)
    };
    if has(&["forwarded_for", "remote", "client_ip", "addr", "realip"]) || is(&["src", "ci", "cp"])
    {
        "leave it out: the client's address is sent in `X-Forwarded-For`"
    } else if has(&["upgrade", "connection"]) {
        "leave it out: WebSocket handshakes pass without settings"
    } else if has(&["scheme", "proto", "https", "ssl"]) {
        "leave it out: `X-Forwarded-Proto` is sent"
    } else if has(&["port"]) || is(&["fp"]) {
        "leave it out: `X-Forwarded-Port` is sent"
    } else if has(&["host", "server_name"]) {
        "leave it out: `Host` passes as it came and `X-Forwarded-Host` is sent; `set_host` \
         sends another Host"
    } else if has(&["request_id", "uuid", "unique"]) || is(&["id"]) {
        "leave it out: a request id is sent, in the field that `http.request_id` names"
    } else if has(&["http_", "req", "header"]) {
        "leave it out: the request's own fields pass as they came"
    } else {
        "write the value itself, or leave it out"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_other_proxies_are_found() {
        for (text, variable) in [
            ("$remote_addr", "$remote_addr"),
            ("${remote_addr}", "${remote_addr}"),
            ("for=$remote_addr;proto=$scheme", "$remote_addr"),
            ("$http_x_forwarded_for", "$http_x_forwarded_for"),
            ("${REMOTE_ADDR}", "${REMOTE_ADDR}"),
            ("max-age=$my_age", "$my_age"),
            ("$1", "$1"),
            ("%[src]", "%[src]"),
            ("a %[req.hdr(host)] b", "%[req.hdr(host)]"),
            ("%(x)", "%(x)"),
            ("%(host)s", "%(host)"),
            ("%{REMOTE_ADDR}e", "%{REMOTE_ADDR}"),
            ("%{+Q}o", "%{+Q}"),
            ("%ci", "%ci"),
            ("%DOWNSTREAM_REMOTE_ADDRESS%", "%DOWNSTREAM_REMOTE_ADDRESS%"),
            ("%REQ(:authority)%", "%REQ(:authority)%"),
            ("{remote_host}", "{remote_host}"),
            ("{http.request.host}", "{http.request.host}"),
            ("{>X-Id}", "{>X-Id}"),
            ("{host}", "{host}"),
            ("{{ .Host }}", "{{ .Host }}"),
        ] {
            assert_eq!(find(text), Some(variable), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one_passes() {
        for text in [
            "",
            "$",
            "$5.00",
            "US$100",
            "pa$$word",
            "a$b",
            "100%",
            "50% off",
            "%20a%2Fb%C3%BC",
            "%ABC%20",
            "{}",
            "{\"group\":\"nel\",\"max_age\":1}",
            "default-src 'self'; frame-ancestors 'none'",
            "max-age=31536000; includeSubDomains",
            "geolocation=(), camera=()",
            "Basic dXNlcjpwYXNz",
            "<https://a.test/x>; rel=preload",
            "a=[1]",
            "${}",
            "ü$ {é}",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn each_is_told_what_does_the_same() {
        for (variable, said) in [
            ("$remote_addr", "X-Forwarded-For"),
            ("$proxy_add_x_forwarded_for", "X-Forwarded-For"),
            ("%[src]", "X-Forwarded-For"),
            ("$scheme", "X-Forwarded-Proto"),
            ("$http_host", "set_host"),
            ("{host}", "set_host"),
            ("$server_port", "X-Forwarded-Port"),
            ("$connection_upgrade", "handshakes"),
            ("$http_upgrade", "handshakes"),
            ("$request_id", "http.request_id"),
            ("%ID", "http.request_id"),
            ("$http_x_tenant", "pass as they came"),
            ("$my_map", "write the value itself"),
        ] {
            let wrong = refuse(variable).unwrap_err();
            assert!(wrong.hint.unwrap().contains(said), "{variable}");
        }
    }
}
