//! Large answers for clients that read fast, slowly, or in turns: every byte arrives, in order,
//! whatever the framing and however much is read at once.

use std::time::Duration;

use crate::support::{Proxy, RawBackend, Wire};

const SIZE: usize = 3_000_000;

/// Bytes of which none stands where its neighbours could.
fn content() -> Vec<u8> {
    (0..SIZE as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Chunks of these sizes, in turns.
fn chunked(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut rest = content;
    for size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at(rest.len().min(*size));
        if chunk.is_empty() {
            break;
        }
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\nX-Sum: 7\r\n\r\n");
    out
}

fn plain(content: &[u8], field: &str) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n").into_bytes();
    out.extend_from_slice(content);
    out
}

/// Every framing, and chunks from one byte to more than a read.
fn answers(content: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        (
            "a length".to_owned(),
            plain(content, &format!("Content-Length: {SIZE}")),
        ),
        ("the close".to_owned(), plain(content, "Connection: close")),
    ];
    for sizes in [
        &[8192][..],
        &[1, 700_000],
        &[3000, 1, 40_000, 17],
        &[100_000, 1, 1, 1, 1, 1, 1],
    ] {
        all.push((format!("chunks of {sizes:?}"), chunked(content, sizes)));
    }
    // From the middle on so dense that a large read holds a great many.
    let (front, back) = content.split_at(SIZE - 100_000);
    let mut dense = chunked(front, &[60_000]);
    dense.truncate(dense.len() - b"0\r\nX-Sum: 7\r\n\r\n".len());
    for byte in back {
        dense.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
    }
    dense.extend_from_slice(b"0\r\n\r\n");
    all.push(("chunks that become dense".to_owned(), dense));
    all
}

/// Asks twice on one connection, as far as the answer lets it, and reads the bodies with `read`.
fn every_byte_arrives(read: fn(&mut Wire, usize) -> Vec<u8>) {
    let content = content();
    for (name, answer) in answers(&content) {
        let closes = name == "the close";
        let backend = RawBackend::start(move |_, mut wire| {
            while wire.try_read_head().is_some() && wire.try_send(&answer) && !closes {}
        });
        let proxy = Proxy::minimal(backend.address());
        // HTTP/1.0 knows no chunks: what arrives is the content.
        let mut wire = proxy.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
        wire.read_head();
        let body = read(&mut wire, SIZE);
        assert!(body == content, "{name}: {} bytes came", body.len());
        let mut wire = proxy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let body = wire.read_response().body;
        assert!(body == content, "{name}, HTTP/1.1: {} bytes", body.len());
        wire.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let body = wire.read_response().body;
        assert!(body == content, "{name}, again: {} bytes", body.len());
    }
}

#[test]
fn every_byte_arrives_at_a_client_that_reads_fast() {
    every_byte_arrives(|wire, size| wire.read_exact(size));
}

#[test]
fn every_byte_arrives_at_a_client_that_stops_now_and_then() {
    every_byte_arrives(|wire, size| {
        let mut body = Vec::new();
        while body.len() < size {
            let n = (size - body.len()).min(700_000);
            body.extend(wire.read_exact(n));
            std::thread::sleep(Duration::from_millis(20));
        }
        body
    });
}

/// The sizes of the chunks in which an answer comes.
fn chunk_sizes(wire: &mut Wire) -> Vec<usize> {
    wire.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.read_head();
    let mut sizes = Vec::new();
    loop {
        let line = wire.read_until(b"\r\n");
        let line = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(line.trim(), 16).expect("the size of a chunk");
        wire.read_exact(size + 2);
        match size {
            0 => return sizes,
            size => sizes.push(size),
        }
    }
}

/// What one read brings of an answer without framing is a chunk for the client.
#[test]
fn reads_grow_while_the_client_takes_all_it_is_given() {
    let answer = plain(&content(), "Connection: close");
    let backend = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(&answer);
    });
    let proxy = Proxy::minimal(backend.address());
    let mut wire = proxy.connect();
    let mut largest = || chunk_sizes(&mut wire).into_iter().max().unwrap_or(0);
    eventually!(largest() > 100 << 10, "reads become large");
}
