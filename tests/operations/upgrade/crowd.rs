//! An upgrade at the limit of descriptors, while more clients want in than there is room for.

use std::time::Duration;

use super::*;
use crate::support::proxy::limited;

const LIMIT: u64 = 256;
const TUNNELS: usize = 80;
/// More than the limit, in the process and in the accept queue.
const CROWD: usize = 400;

/// Ends the crowd, however the test ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Connects until `done`, and again where a connection was closed.
fn crowd(address: SocketAddr, done: &AtomicBool, waiting: &AtomicUsize) {
    let mut strangers: Vec<TcpStream> = Vec::new();
    while !done.load(Relaxed) {
        let is_open = |stranger: &TcpStream| {
            let nothing = stranger.peek(&mut [0]);
            nothing.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        strangers.retain(is_open);
        while strangers.len() < CROWD {
            let Ok(stranger) = TcpStream::connect_timeout(&address, Duration::from_millis(100))
            else {
                break;
            };
            stranger.set_nonblocking(true).expect("a socket");
            strangers.push(stranger);
        }
        waiting.store(strangers.len(), Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn live_tunnels_come_before_the_strangers_in_the_queue() {
    for workers in [1, 2] {
        let backend = EchoBackend::start();
        let succession = Succession::start_with(
            |_| {
                settings(backend.address(), "")
                    .replace("workers = 2", &format!("workers = {workers}"))
            },
            |_, command| limited(command, LIMIT, LIMIT),
        );
        let mut sockets: Vec<_> = (0..TUNNELS)
            .map(|_| connect(&succession.proxy, "/ws"))
            .collect();
        let address = succession.proxy.address();
        let (done, waiting) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| crowd(address, &done, &waiting));
            let _end = End(&done);
            eventually!(waiting.load(Relaxed) >= CROWD);
            for _ in 0..3 {
                let event = succession.upgrade();
                assert_eq!(number(&event, "tunnels"), TUNNELS as u64, "{event}");
            }
            for (n, socket) in sockets.iter_mut().enumerate() {
                say(socket, n);
            }
        });
        say(&mut connect(&succession.proxy, "/ws"), 1);
    }
}
