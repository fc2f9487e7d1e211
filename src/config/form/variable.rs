//! Variables in texts that are sent as they stand: `$remote_addr` (nginx), `%[src]` and `%ci`
//! (HAProxy), `{remote_host}` (Caddy), `%{HTTP_HOST}` (Apache), `%DOWNSTREAM_REMOTE_ADDRESS%`
//! (Envoy), and those that sluice has elsewhere. Each is an error that says what does the same. A
//! name that none of them knows is a text like any other, and any text can be written with an
//! escape.

use crate::setting::read::Wrong;

mod known;

/// What variables begin with in values of header fields.
const ANYWHERE: &[char] = &['$', '%', '{'];
/// The same in prose, where a `%` stands for itself: bodies, reasons, names.
const IN_PROSE: &[char] = &['$', '{'];

/// The text without its escapes: `$$` stands for `$`, and `%%` before the rest of one for `%`
/// and `{{name}}` for `{name}`.
///
/// # Errors
/// For a text that holds a variable.
pub(crate) fn literal(text: &str) -> Result<String, Wrong> {
    unescaped(text).map_err(|variable| {
        let message = format!("`{variable}` would be sent as it stands: values have no variables");
        let instead = instead(variable);
        let escaped = escaped_form(variable);
        Wrong::new(message).hint(format!("{instead}; for the text itself write `{escaped}`"))
    })
}

/// The same for prose.
///
/// # Errors
/// For a text that holds a variable.
pub(crate) fn prose(text: &str) -> Result<String, Wrong> {
    read(text, IN_PROSE).map_err(|variable| {
        let escaped = escaped_form(variable);
        Wrong::new(format!(
            "`{variable}` would be sent as it stands: there are no variables here"
        ))
        .hint(format!(
            "write the value itself; for the text itself write `{escaped}`"
        ))
    })
}

/// The first variable in prose.
pub(crate) fn in_prose(text: &str) -> Option<&str> {
    read(text, IN_PROSE).err()
}

/// The text of a value without its escapes, or the first variable in it.
pub(crate) fn unescaped(text: &str) -> Result<String, &str> {
    read(text, ANYWHERE)
}

fn read<'t>(text: &'t str, marks: &[char]) -> Result<String, &'t str> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find(marks) {
        out.push_str(&text[at..at + found]);
        at += found;
        let whole = &text[at..];
        if let Some((meant, length)) = escape(whole) {
            out.push_str(meant);
            at += length;
        } else if let Some(length) = variable(whole, text[..at].chars().next_back()) {
            return Err(&whole[..length]);
        } else {
            out.push_str(&whole[..1]);
            at += 1;
        }
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// The text with the escapes that it needs: [`literal`] reads the same from it.
pub(crate) fn escaped(text: &str) -> String {
    written(text, ANYWHERE)
}

/// The same for [`prose`].
pub(crate) fn escaped_prose(text: &str) -> String {
    written(text, IN_PROSE)
}

fn written(text: &str, marks: &[char]) -> String {
    if read(text, marks).is_ok_and(|same| same == text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    while let Some(found) = text[at..].find(marks) {
        out.push_str(&text[at..at + found]);
        at += found;
        let whole = &text[at..];
        let length = match whole.as_bytes() {
            [b'$', b'{', ..] => dollar(whole, None).unwrap_or(1),
            [b'{', ..] => braces(whole).unwrap_or(1),
            // After another one it would be read as an escape.
            [b'%', ..] => {
                percent(whole, out.chars().next_back().filter(|c| *c != '%')).unwrap_or(1)
            }
            _ => 1,
        };
        let piece = &whole[..length];
        match piece.as_bytes() {
            [mark @ (b'{' | b'%')] => out.push(char::from(*mark)),
            [b'{', ..] => out.push_str(&format!("{{{piece}}}")),
            [mark, ..] => out.extend([char::from(*mark)].into_iter().chain(piece.chars())),
            [] => {}
        }
        at += length;
    }
    out.push_str(&text[at..]);
    out
}

/// What the escape at the front of a text stands for, and its length.
fn escape(text: &str) -> Option<(&str, usize)> {
    match text.as_bytes() {
        [b'$', b'$', rest @ ..] => {
            let length = dollar(&text[1..], None).filter(|_| rest.starts_with(b"{"));
            let end = 1 + length.unwrap_or(1);
            Some((&text[1..end], end))
        }
        [b'%', b'%', ..] => {
            let end = 1 + percent(&text[1..], None)?;
            Some((&text[1..end], end))
        }
        [b'{', b'{', ..] => {
            let length = braces(&text[1..]).filter(|&at| text[1 + at..].starts_with('}'))?;
            Some((&text[1..1 + length], length + 2))
        }
        _ => None,
    }
}

fn escaped_form(variable: &str) -> String {
    match variable.as_bytes() {
        [b'{', b'{', ..] => format!("{{{}}}", variable.replace(' ', "")),
        [b'{', ..] => format!("{{{variable}}}"),
        [mark, ..] => format!("{}{variable}", char::from(*mark)),
        [] => String::new(),
    }
}

/// The length of the variable at the front of a text, with what marks it as one.
fn variable(text: &str, before: Option<char>) -> Option<usize> {
    match text.as_bytes().first()? {
        b'$' => dollar(text, before),
        b'%' => percent(text, before),
        _ => braces(text),
    }
}

/// `$name`, `${name}` with a name that is known; `$5` is a price, unless it is all there is.
fn dollar(text: &str, before: Option<char>) -> Option<usize> {
    let rest = &text[1..];
    if rest.starts_with('{') {
        let length = enclosed(rest, '}')?;
        let name = &rest[1..length - 1];
        return known::after_dollar(&name.to_ascii_lowercase()).then_some(length + 1);
    }
    let length = rest.bytes().take_while(|&b| is_word(b)).count();
    let apart = !before.is_some_and(|c| c.is_ascii_alphanumeric());
    let capture = before.is_none() && rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit();
    (apart && known::after_dollar(&rest[..length]) || capture).then_some(length + 1)
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

/// `{host}` and `{http.request.host}` with a name that is known, `{{ .Host }}` of templates.
fn braces(text: &str) -> Option<usize> {
    let inside = &text[1..text.find('}')?];
    let length = inside.len() + 2;
    if let Some(inside) = inside.strip_prefix('{') {
        let is_template = text[length..].starts_with('}') && inside.trim().starts_with('.');
        return is_template.then_some(length + 1);
    }
    known::in_braces(&inside.to_ascii_lowercase()).then_some(length)
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
    if has(&[
        "forwarded_for",
        "remote",
        "client_ip",
        "clienthost",
        "addr",
        "realip",
    ]) || is(&["src", "ci", "cp"])
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
            ("{remote_addr}", "{remote_addr}"),
            ("{REMOTE_ADDR}", "{REMOTE_ADDR}"),
            ("{http_x_forwarded_for}", "{http_x_forwarded_for}"),
            ("by {server_name}:{server_port}", "{server_name}"),
            ("{request_uri}", "{request_uri}"),
            ("{ClientHost}", "{ClientHost}"),
            ("$client_ip", "$client_ip"),
            ("${remote_host}", "${remote_host}"),
            ("{host}", "{host}"),
            ("{client_ip}", "{client_ip}"),
            ("by {client} at {hostname}", "{client}"),
            ("{retry_after}", "{retry_after}"),
            ("a{env.TOKEN}", "{env.TOKEN}"),
            ("?h=$host&u=$request_uri", "$host"),
            ("$$$host", "$host"),
            ("{{ .Host }}", "{{ .Host }}"),
        ] {
            assert_eq!(unescaped(text), Err(variable), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one_passes() {
        for text in [
            "",
            "$",
            "$5.00",
            "US$100",
            "a$b",
            "$filter",
            "?$top=5&$skip=10",
            "Basic $apr1$x",
            "$2y$10$abc",
            "$my_map",
            "${TENANT}",
            "$hosting",
            "{tenant}",
            "{my_map}",
            "$path",
            "$retry",
            "</u/{id}>; rel=item",
            "{\"a\":{\"b\":{}}}",
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
            assert_eq!(unescaped(text).as_deref(), Ok(text), "{text}");
        }
    }

    #[test]
    fn every_variable_can_be_written_as_a_text() {
        for (text, meant) in [
            ("$$", "$"),
            ("pa$$word", "pa$word"),
            ("$$remote_addr", "$remote_addr"),
            ("$${remote_addr}", "${remote_addr}"),
            ("$$$$host", "$$host"),
            ("a $$1", "a $1"),
            ("%%[src]", "%[src]"),
            ("%%ci", "%ci"),
            ("%%{Host}i", "%{Host}i"),
            ("a %%{X-Id}o, %%(host)s", "a %{X-Id}o, %(host)s"),
            ("100%%", "100%%"),
            ("{{host}}", "{host}"),
            ("a{{http.request.host}}b", "a{http.request.host}b"),
            ("{{tenant}}", "{{tenant}}"),
            ("{{{ .Host }}}", "{{ .Host }}"),
        ] {
            assert_eq!(unescaped(text).as_deref(), Ok(meant), "{text}");
        }
        for variable in [
            "$host", "${host}", "%[src]", "%REQ(x)%", "{host}", "{>X-Id}",
        ] {
            let escaped = escaped_form(variable);
            assert_eq!(unescaped(&escaped).as_deref(), Ok(variable), "{escaped}");
            let hint = literal(variable).unwrap_err().hint.unwrap();
            assert!(hint.contains(&escaped), "{hint}");
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
            ("{remote_addr}", "X-Forwarded-For"),
            ("{ClientAddr}", "X-Forwarded-For"),
            ("{clienthost}", "X-Forwarded-For"),
            ("{proxy_add_x_forwarded_for}", "X-Forwarded-For"),
            ("{http_host}", "set_host"),
            ("{RequestHost}", "set_host"),
            ("$server_port", "X-Forwarded-Port"),
            ("$connection_upgrade", "handshakes"),
            ("$http_upgrade", "handshakes"),
            ("$request_id", "http.request_id"),
            ("%ID", "http.request_id"),
            ("$http_x_tenant", "pass as they came"),
            ("$pipe", "write the value itself"),
        ] {
            let wrong = literal(variable).unwrap_err();
            assert!(wrong.hint.unwrap().contains(said), "{variable}");
        }
    }

    #[test]
    fn in_prose_a_percent_sign_is_one() {
        for text in [
            "50%(about)",
            "@keyframes a{0%{left:0}100%{left:1px}}",
            "%[src] %ci",
            "$('#a').html(`${x}`)",
            "{\"host\":\"$5\"}",
        ] {
            assert_eq!(prose(text).as_deref(), Ok(text));
            assert_eq!(in_prose(text), None);
        }
        for (text, variable) in [
            ("on $hostname", "$hostname"),
            ("you are {client}", "{client}"),
            ("100% ${host}", "${host}"),
        ] {
            assert_eq!(in_prose(text), Some(variable));
            let wrong = prose(text).unwrap_err();
            let escaped = escaped_form(variable);
            assert!(wrong.hint.unwrap().contains(&escaped), "{text}");
            let written = text.replace(variable, &escaped);
            assert_eq!(prose(&written).as_deref(), Ok(text));
            assert_eq!(escaped_prose(text), written);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_it_was_before_it_was_escaped(
            text in "([$%{}]|host|path|\\$\\{host\\}|\\{path\\}|\\{\\{ \\.X \\}\\}|%ci|%\\[src\\]|%REQ\\(x\\)%|[a-z1ü ]){0,9}"
        ) {
            let written = escaped(&text);
            let read = unescaped(&written);
            proptest::prop_assert_eq!(read.as_deref(), Ok(&*text), "{}", written);
            let written = escaped_prose(&text);
            let read = prose(&written);
            proptest::prop_assert_eq!(read, Ok(text), "{}", written);
        }
    }
}
