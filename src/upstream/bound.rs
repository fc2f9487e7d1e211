//! Upstream connections that belong to one client's connection: where the backend has
//! authenticated the connection instead of each request (NTLM, Negotiate; RFC 4559 section 6),
//! another client on it would be the same user, and a login's next leg must come on it too.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::client::Connection;
use super::{Endpoint, Lease, Upstream, pool};
use crate::metrics;
use crate::system::lock::lock;

/// Most connections that one client keeps, each to another endpoint.
const MAX: usize = 8;

/// The idle upstream connections of one client. They are closed when it goes.
#[derive(Debug, Default)]
pub struct Bound(Mutex<Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    endpoint: Arc<Endpoint>,
    /// The endpoint's age when it was put here.
    age: u32,
}

impl Bound {
    /// Makes the connection this client's alone, for good.
    pub fn bind(self: &Arc<Self>, connection: &mut Connection) {
        connection.owner = Some(self.clone());
    }

    /// Keeps an idle connection.
    pub(super) fn put(&self, connection: Connection, endpoint: &Arc<Endpoint>) {
        let mut idle = lock(&self.0);
        idle.retain(|other| other.endpoint.id() != endpoint.id());
        if idle.len() == MAX {
            idle.remove(0);
        }
        idle.push(Idle {
            connection,
            endpoint: endpoint.clone(),
            age: endpoint.age(),
        });
    }

    /// Takes the connection to an endpoint of `upstream` with a share of that endpoint. `None`
    /// where there is none, or the upstream has closed it or spoken on it: the login is lost
    /// then, and the backend asks for it again.
    pub fn take(self: &Arc<Self>, upstream: &Upstream) -> Option<(Connection, Lease)> {
        let mut idle = lock(&self.0);
        let list = upstream.endpoints();
        let at = idle.iter().position(|one| {
            let mut endpoints = list.iter();
            endpoints.any(|endpoint| endpoint.id() == one.endpoint.id())
        })?;
        let Idle {
            mut connection,
            endpoint,
            age,
        } = idle.swap_remove(at);
        let is_sound = age == endpoint.age() && pool::is_usable(&connection);
        if endpoint.is_draining() || !is_sound {
            return None;
        }
        metrics::reused(endpoint.slot());
        self.bind(&mut connection);
        let lease = Lease::exchange(endpoint, upstream.config().retry_after);
        Some((connection, lease))
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

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
