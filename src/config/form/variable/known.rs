//! The names of variables that other proxies have, or sluice elsewhere: each is known whichever
//! proxy's marks stand around it, since people write `{remote_addr}` and `$client_ip` too.

/// Variables of nginx, with those that its widely copied `map`s make.
const NGINX: &str = "args binary_remote_addr body_bytes_sent bytes_received bytes_sent connection \
    connection_requests connection_time connection_upgrade content_length content_type \
    date_gmt date_local document_root document_uri gzip_ratio host hostname http2 http3 \
    https invalid_referer is_args limit_rate msec nginx_version pid pipe protocol \
    query_string real_ip real_scheme realpath_root remote_addr remote_port remote_user \
    request scheme server_addr server_name server_port server_protocol status the_real_ip \
    time_iso8601 time_local uri";
/// What other variables of nginx begin with.
const NGINX_FAMILIES: &str = "http_ arg_ cookie_ sent_http_ sent_trailer_ upstream_ proxy_ ssl_ request_ realip_ \
    geoip_ geoip2_ jwt_ session_ tcpinfo_";
/// Placeholders of Caddy.
const CADDY: &str = "client_ip dir file host hostport method path port query remote remote_host remote_port \
    scheme tls_cipher tls_client_certificate_pem tls_client_fingerprint tls_client_issuer \
    tls_client_serial tls_client_subject tls_version upstream_hostport uri";
/// What other placeholders of Caddy begin with.
const CADDY_FAMILIES: &str =
    "http. env. $ system. time. header. cookie. query. path. re. labels. vars. > rp.";
/// Fields of Traefik, by whose names its users call them.
const TRAEFIK: &str = "clientaddr clienthost clientport clientusername requestaddr requesthost \
    requestmethod requestpath requestport requestprotocol requestscheme routername serviceaddr \
    servicename serviceurl";
/// What sluice has in redirects and in the reason of a drain, or is believed to have.
const OURS: &str = "client hostname request_id retry_after";

/// Whether a name in braces is that of a variable.
pub(super) fn in_braces(name: &str) -> bool {
    is_one_of(name, CADDY, CADDY_FAMILIES)
        || is_one_of(name, NGINX, NGINX_FAMILIES)
        || is_one_of(name, TRAEFIK, "")
        || is_one_of(name, OURS, "")
}

/// Whether a name after `$` is that of a variable: `$path` and `$file` are words of scripts, but
/// `$client_ip` is none.
pub(super) fn after_dollar(name: &str) -> bool {
    is_one_of(name, NGINX, NGINX_FAMILIES)
        || name.contains('_') && (is_one_of(name, CADDY, "") || is_one_of(name, OURS, ""))
}

/// Whether it is one of the names, or begins as a family of names does and goes on.
fn is_one_of(name: &str, names: &str, families: &str) -> bool {
    let is_family = |family| {
        name.strip_prefix(family)
            .is_some_and(|rest| !rest.is_empty())
    };
    { names.split_ascii_whitespace() }.any(|one| one == name)
        || families.split_ascii_whitespace().any(is_family)
}
