//! A connection to an endpoint, and those that belong to one client: where the backend has
//! authenticated the connection instead of each request, another client on it would be the same
//! user, and a login's next leg must come on it too.

use std::sync::{Arc, Mutex};

use super::{Endpoint, Lease, Upstream};
use crate::metrics;
use crate::net::io::Io;
use crate::system::lock::lock;

/// A connection to an endpoint that speaks HTTP/1.1.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub io: Io,
    /// Whether it served a request before: if so, its end may only mean that the upstream
    /// closed it while idle.
    pub reused: bool,
    /// The client whose login it carries, and which alone may use it.
    pub owner: Option<Arc<Bound>>,
    /// Its last answer was large: the next one is read where it can stay.
    pub large: bool,
}

impl Connection {
    /// Whether an idle connection may carry a request: nothing has come on it and it was not closed,
    /// as far as the reactor knows. Where the reactor still takes it for readable, as it does after a
    /// full read, the socket is read, and that it had nothing is remembered. What came since the
    /// reactor last looked is not seen.
    pub(super) fn is_usable(&mut self) -> bool {
        self.io.is_silent()
    }
}

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
    /// where there is none, or the upstream has closed it or sent something on it: the login is
    /// lost then, and the backend asks for it again.
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
        let is_sound = age == endpoint.age() && connection.is_usable();
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
