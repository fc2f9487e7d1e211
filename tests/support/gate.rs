//! Where a backend waits until its test lets it go on.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use super::{DEADLINE, RawBackend};

/// The test's side.
pub struct Gate {
    arrivals: Receiver<()>,
    pass: Sender<()>,
}

/// The backend's side.
pub struct Door(Mutex<(Sender<()>, Receiver<()>)>);

/// A gate that is closed, and its door.
pub fn gate() -> (Gate, Door) {
    let (arrived, arrivals) = mpsc::channel();
    let (pass, passes) = mpsc::channel();
    let door = Door(Mutex::new((arrived, passes)));
    (Gate { arrivals, pass }, door)
}

/// A backend that answers each request with `ok`, behind a gate.
pub fn held() -> (RawBackend, Gate) {
    let (gate, door) = gate();
    let backend = RawBackend::start(move |_, mut wire| {
        while wire.try_read_head().is_some() {
            door.wait();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (backend, gate)
}

impl Gate {
    /// Waits until a backend stands at the door.
    pub fn reached(&self) {
        let reached = self.arrivals.recv_timeout(DEADLINE);
        reached.expect("the request arrives");
    }

    /// Lets one backend through.
    pub fn open(&self) {
        self.pass.send(()).expect("the backend waits");
    }
}

impl Door {
    /// Waits until the test opens the gate.
    pub fn wait(&self) {
        let sides = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sides.0.send(()).expect("the test goes on");
        sides.1.recv().expect("the test goes on");
    }
}
