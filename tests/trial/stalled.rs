//! Clients that ask for a large answer and read nothing of it, and what the process keeps for
//! each of them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::proxy::raise_file_limit;
use crate::support::{HttpBackend, Proxy, RawBackend};

use super::noise::stall;

/// How many of them.
const CLIENTS: usize = 300;
/// The most private memory for each, in bytes.
const EACH: u64 = 64 << 10;
/// Between two looks at memory that may still grow.
const LOOK: Duration = Duration::from_millis(300);

/// The process's own memory once it grows no more.
fn settled(proxy: &Proxy) -> u64 {
    let mut last = 0;
    let mut grows = || {
        std::thread::sleep(LOOK);
        let now = proxy.private_memory();
        std::mem::replace(&mut last, now) < now
    };
    eventually!(!grows(), "its memory grows no more");
    last
}

/// What each of many clients costs that reads `first` bytes of this answer, and then nothing.
fn each_costs_little(backend: SocketAddr, path: &str, first: usize) {
    raise_file_limit();
    let stalled = |proxy: &Proxy| {
        let mut wire = stall(proxy.address(), path).expect("the listener accepts");
        wire.read_exact(first);
        wire
    };
    let proxy = Proxy::with(backend, "");
    // What the first ones need once and for all.
    let few: Vec<_> = (0..8).map(|_| stalled(&proxy)).collect();
    let in_flight = || {
        proxy
            .scrape()
            .sum("sluice_upstream_requests_in_flight", &[])
    };
    eventually!(in_flight() == few.len() as f64);
    let before = settled(&proxy);
    let clients: Vec<_> = (0..CLIENTS).map(|_| stalled(&proxy)).collect();
    eventually!(in_flight() == (few.len() + clients.len()) as f64);
    settled(&proxy);
    // What passed before they stalled may be given back a little later.
    let each = || proxy.private_memory().saturating_sub(before) / CLIENTS as u64;
    eventually!(each() < EACH, "{path}: {} bytes for each", each());
    println!("{path}: {} KiB for each stalled download", each() >> 10);
}

#[test]
fn a_stalled_download_with_a_length_costs_little() {
    each_costs_little(HttpBackend::start().address(), "/bytes/1000000000", 0);
}

/// Reads have become large by then.
#[test]
fn a_download_that_stalls_after_a_while_costs_little() {
    let backend = HttpBackend::start();
    each_costs_little(backend.address(), "/bytes/1000000000", 2_000_000);
}

#[test]
fn a_stalled_download_in_chunks_costs_little() {
    each_costs_little(HttpBackend::start().address(), "/chunked/1000000000", 0);
}

/// Each chunk is a buffer of its own on its way.
#[test]
fn a_stalled_download_in_tiny_chunks_costs_little() {
    endless_costs_little("Transfer-Encoding: chunked", b"1\r\nx\r\n", "/tiny");
}

#[test]
fn a_stalled_download_up_to_the_close_costs_little() {
    endless_costs_little("Connection: close", b"x", "/close");
}

/// A backend whose answers have this field and then the same piece for ever.
fn endless_costs_little(field: &str, piece: &[u8], path: &str) {
    let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
    let piece = piece.to_vec();
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        if wire.try_send(&head) {
            wire.send_endlessly(&piece);
        }
    });
    each_costs_little(backend.address(), path, 0);
}
