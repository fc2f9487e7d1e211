//! A TCP backend that plays a script on each connection, for answers no HTTP library gives.

use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Wire;

/// A backend that runs `script(n, connection)` for the n-th connection, in its own thread. A
/// script that panics fails the test when the backend is dropped.
pub struct RawBackend {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl RawBackend {
    pub fn start(script: impl Fn(usize, Wire) + Send + Sync + 'static) -> RawBackend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared::default());
        let script = Arc::new(script);
        let ours = shared.clone();
        // The thread lives until the test program ends: nothing wakes an accept.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let n = ours.accepted.fetch_add(1, Ordering::SeqCst);
                let (script, ours) = (script.clone(), ours.clone());
                std::thread::spawn(move || {
                    let play = AssertUnwindSafe(|| script(n, Wire::over(stream)));
                    if let Err(panic) = std::panic::catch_unwind(play) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text = text.unwrap_or_else(|| format!("{panic:?}"));
                        ours.failures.lock().unwrap().push(text);
                    }
                });
            }
        });
        RawBackend { address, shared }
    }

    /// A backend that answers every request of every connection with these bytes; requests
    /// must be without a body.
    pub fn answering(answer: impl Into<Vec<u8>>) -> RawBackend {
        let answer = answer.into();
        RawBackend::start(move |_, mut wire| {
            while wire.try_read_head().is_some() {
                wire.send(&answer);
            }
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for RawBackend {
    fn drop(&mut self) {
        let failures = self.shared.failures.lock().unwrap().join("\n");
        if !failures.is_empty() && !std::thread::panicking() {
            panic!("a backend's script failed: {failures}");
        }
    }
}
