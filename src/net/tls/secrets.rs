//! The traffic secrets of a handshake, which rustls tells while it makes them and never again. They
//! are kept with the stream, so that its tunnel can go on without rustls.

use std::cell::RefCell;
use std::fmt;

use rustls::KeyLog;
use zeroize::Zeroize;

use crate::tls_record::{Secret, Suite};

/// The longest hash of a suite of TLS 1.3, in bytes.
const MAX: usize = 48;

thread_local! {
    static TOLD: RefCell<Secrets> = RefCell::default();
}

/// The first traffic secrets of both sides; wiped when they are dropped.
#[derive(Default)]
pub(super) struct Secrets {
    client: Told,
    server: Told,
}

struct Told {
    bytes: [u8; MAX],
    length: usize,
}

impl Secrets {
    /// Those that rustls has told on this thread since this was asked last: to be asked before a
    /// call that may make some, and after it.
    pub(super) fn told() -> Secrets {
        TOLD.take()
    }

    /// Whether there are any: TLS 1.2 has none.
    pub(super) fn are_known(&self) -> bool {
        self.client.length > 0 && self.server.length > 0
    }

    /// The secret of what we write, and the secret of what we read.
    pub(super) fn of_server(&self, suite: Suite) -> Option<(Secret, Secret)> {
        let of = |told: &Told| Secret::new(suite, told.bytes.get(..told.length)?);
        Some((of(&self.server)?, of(&self.client)?))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("are_known", &self.are_known())
            .finish_non_exhaustive()
    }
}

impl Default for Told {
    fn default() -> Self {
        Told {
            bytes: [0; MAX],
            length: 0,
        }
    }
}

impl Told {
    fn set(&mut self, secret: &[u8]) {
        if let Some(place) = self.bytes.get_mut(..secret.len()) {
            place.copy_from_slice(secret);
            self.length = secret.len();
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Listens to rustls.
#[derive(Debug)]
pub(super) struct Listening;

impl KeyLog for Listening {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        TOLD.with_borrow_mut(|told| match label {
            "CLIENT_TRAFFIC_SECRET_0" => told.client.set(secret),
            "SERVER_TRAFFIC_SECRET_0" => told.server.set(secret),
            _ => {}
        });
    }
}
