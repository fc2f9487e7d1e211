//! Which tunnels are meant: the filter of lists and of closes, from a query or from JSON.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::known::Known;
use super::live::Live;
use crate::config::parse_duration;
use crate::process::Shared;
use crate::process::order::OrderError;
use crate::tunnel_info::TunnelIdentity;
use crate::tunnel_registry::TunnelSnapshot;

/// All of what is given must hold. Durations are written as in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterRequest {
    /// The route's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The upstream's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The endpoint's address, alone or after its upstream: `app/10.0.0.3:9000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The client's address, with or without its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Stands, in whatever case, in any text of the tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Open for at least so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<String>,
    /// Silent for at least so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_idle: Option<String>,
}

/// The same, checked.
#[derive(Debug, Default)]
pub(super) struct Filter {
    route: Option<String>,
    upstream: Option<String>,
    endpoint: Option<String>,
    client: Option<String>,
    words: Option<String>,
    min_age: Duration,
    min_idle: Duration,
}

impl FilterRequest {
    /// Whether it takes every tunnel.
    pub fn is_empty(&self) -> bool {
        *self == FilterRequest::default()
    }

    fn take(query: &mut Query) -> FilterRequest {
        FilterRequest {
            route: query.take("route"),
            upstream: query.take("upstream"),
            endpoint: query.take("endpoint"),
            client: query.take("client"),
            q: query.take("q"),
            min_age: query.take("min_age"),
            min_idle: query.take("min_idle"),
        }
    }
}

impl FromStr for FilterRequest {
    type Err = OrderError;

    /// Of a query that has no other parameters.
    fn from_str(query: &str) -> Result<FilterRequest, OrderError> {
        let read = || {
            let mut query = Query::parse(Some(query))?;
            let request = FilterRequest::take(&mut query);
            query.finish()?;
            Filter::new(request.clone())?;
            Ok(request)
        };
        read().map_err(Refusal::why)
    }
}

impl Filter {
    pub(super) fn from_query(query: &mut Query) -> Result<Filter, Refusal> {
        Filter::new(FilterRequest::take(query))
    }

    pub(super) fn new(request: FilterRequest) -> Result<Filter, Refusal> {
        let FilterRequest {
            route,
            upstream,
            endpoint,
            client,
            q,
            min_age,
            min_idle,
        } = request;
        let span = |name: &str, text: Option<String>| {
            let span = text.map(|text| {
                let wrong = || bad(format!("{name} is a duration such as 30s, not {text:?}"));
                parse_duration(&text).map_err(|_| wrong())
            });
            span.transpose().map(Option::unwrap_or_default)
        };
        for (name, text) in [
            ("route", &route),
            ("upstream", &upstream),
            ("endpoint", &endpoint),
            ("client", &client),
            ("q", &q),
        ] {
            if text.as_deref() == Some("") {
                return Err(bad(format!("{name} is empty: leave it out, or say which")));
            }
        }
        let client = client.map(|text| {
            let wrong = || {
                bad(format!(
                    "client is an address such as 192.0.2.7, 192.0.2.7:50000 or \
                     [2001:db8::1]:50000, not {text:?}"
                ))
            };
            spelled_client(&text).ok_or_else(wrong)
        });
        let client = client.transpose()?;
        Ok(Filter {
            route,
            upstream,
            endpoint,
            client,
            words: q.map(|words| words.to_lowercase()),
            min_age: span("min_age", min_age)?,
            min_idle: span("min_idle", min_idle)?,
        })
    }

    /// Whether what it names exists.
    pub(super) fn check(&self, shared: &Shared, live: &[Live]) -> Result<(), Refusal> {
        if !self.names() {
            return Ok(());
        }
        let live = live.iter().map(|live| &*live.tunnel.handle.identity);
        let known = Known::of(shared, live);
        let named = |name: &Option<String>, check: &dyn Fn(&str) -> Result<(), OrderError>| {
            let checked = name.as_deref().map_or(Ok(()), check);
            checked.map_err(|why| Refusal::of(StatusCode::BAD_REQUEST, why))
        };
        named(&self.route, &|name| known.route(name))?;
        named(&self.upstream, &|name| known.upstream(name))?;
        named(&self.endpoint, &|name| known.endpoint(name))
    }

    /// Whether it names anything that may not exist.
    pub(super) fn names(&self) -> bool {
        self.route.is_some() || self.upstream.is_some() || self.endpoint.is_some()
    }

    /// Whether the tunnel is meant.
    pub(super) fn takes(&self, tunnel: &TunnelSnapshot, now: Instant) -> bool {
        let handle = &tunnel.handle;
        self.takes_one(&handle.identity, handle.opened, tunnel.heard, now)
    }

    /// The same of a tunnel of which no more is known.
    pub(super) fn takes_one(
        &self,
        identity: &TunnelIdentity,
        opened: Instant,
        heard: Instant,
        now: Instant,
    ) -> bool {
        let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|w| w == own);
        let old = |since: Instant, least| now.saturating_duration_since(since) >= least;
        is(&self.route, identity.route())
            && is(&self.upstream, identity.upstream())
            && self.takes_endpoint(identity)
            && self.takes_client(identity.client())
            && old(opened, self.min_age)
            && old(heard, self.min_idle)
            && self.takes_words(identity)
    }

    fn takes_endpoint(&self, identity: &TunnelIdentity) -> bool {
        let Some(wanted) = self.endpoint.as_deref() else {
            return true;
        };
        let endpoint = &**identity.endpoint();
        let rest = wanted.strip_prefix(&**identity.upstream());
        wanted == endpoint || rest.and_then(|rest| rest.strip_prefix('/')) == Some(endpoint)
    }

    fn takes_client(&self, client: &str) -> bool {
        let Some(wanted) = self.client.as_deref() else {
            return true;
        };
        let host = client.rsplit_once(':').map_or(client, |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        [client, host, bare].contains(&wanted)
    }

    fn takes_words(&self, identity: &TunnelIdentity) -> bool {
        let Some(words) = self.words.as_deref() else {
            return true;
        };
        let texts = [
            identity.client(),
            identity.host(),
            identity.path(),
            identity.route(),
            identity.upstream(),
            identity.endpoint(),
            identity.request_id(),
            identity.origin().unwrap_or_default(),
            identity.subprotocol().unwrap_or_default(),
        ];
        texts.iter().any(|text| contains(text, words))
    }
}

/// A client's address, with or without its port, as tunnels have it; `unix` is every client of
/// a unix socket.
pub fn spelled_client(text: &str) -> Option<String> {
    if text == "unix" {
        return Some(text.to_owned());
    }
    if let Ok(mut whole) = text.parse::<SocketAddr>() {
        whole.set_ip(whole.ip().to_canonical());
        return Some(whole.to_string());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(ip.to_canonical().to_string())
}

/// Whether `words`, in lower case, stands in a text of any case. ASCII, which nearly all of
/// these texts are, is compared without an allocation.
fn contains(text: &str, words: &str) -> bool {
    if !text.is_ascii() || !words.is_ascii() {
        return text.to_lowercase().contains(words);
    }
    let (text, words) = (text.as_bytes(), words.as_bytes());
    words.is_empty()
        || text
            .windows(words.len())
            .any(|part| part.eq_ignore_ascii_case(words))
}

/// The parameters of a query, each of which is taken once.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// `application/x-www-form-urlencoded`, as browsers write a query.
    pub(super) fn parse(query: Option<&str>) -> Result<Query, Refusal> {
        let mut all: Vec<(String, String)> = Vec::new();
        for part in query.unwrap_or_default().split('&') {
            if part.is_empty() {
                continue;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if all.iter().any(|(known, _)| *known == name) {
                return Err(bad(format!("{name} is there twice")));
            }
            all.push((name, value));
        }
        Ok(Query(all))
    }

    /// The value of this name; an empty one counts as none.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        let (_, value) = self.0.swap_remove(at);
        (!value.is_empty()).then_some(value)
    }

    /// Nothing is left.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(format!("{name} is not a parameter of this"))),
        }
    }
}

fn decode(text: &str) -> Result<String, Refusal> {
    let wrong = || bad("the query is not valid: %XX stands for a byte of UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(wrong()),
            },
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn bad(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_browsers_write_it() {
        let mut query = Query::parse(Some("q=a+b%2Fc%C3%A9&route=&x=1&&min_age=30s")).unwrap();
        assert_eq!(query.take("q").as_deref(), Some("a b/cé"));
        assert_eq!(query.take("route"), None);
        assert_eq!(query.take("min_age").as_deref(), Some("30s"));
        assert!(query.finish().is_err(), "x is unknown");
        for wrong in ["q=%", "q=%4", "q=%zz", "q=%ff", "q=1&q=2"] {
            assert!(Query::parse(Some(wrong)).is_err(), "{wrong}");
        }
        assert!(Query::parse(None).unwrap().finish().is_ok());
    }

    #[test]
    fn words_are_found_in_any_case() {
        assert!(contains("/Rooms/42", "rooms"));
        assert!(contains("x", ""));
        assert!(!contains("/room", "rooms"));
        assert!(contains("ÄPFEL", "äpfel"));
    }

    #[test]
    fn a_client_is_meant_with_and_without_its_port() {
        let filter = |client: &str| Filter {
            client: Some(client.to_owned()),
            ..Filter::default()
        };
        for wanted in ["192.0.2.7:80", "192.0.2.7"] {
            assert!(filter(wanted).takes_client("192.0.2.7:80"), "{wanted}");
        }
        for wanted in ["[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"] {
            assert!(filter(wanted).takes_client("[2001:db8::1]:80"), "{wanted}");
        }
        assert!(!filter("192.0.2.70").takes_client("192.0.2.7:80"));
        for (written, spelled) in [
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7:80"),
            ("unix", "unix"),
        ] {
            assert_eq!(spelled_client(written).as_deref(), Some(spelled));
        }
        for wrong in ["", "somewhere", "192.0.2", "192.0.2.7:", "unix:/x"] {
            assert_eq!(spelled_client(wrong), None, "{wrong}");
        }
        assert!(filter("192.0.2.7").takes_client("192.0.2.7"));
    }
}
