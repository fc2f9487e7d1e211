//! A client that ends its direction, or closes, while its upstream reads nothing, so that sluice
//! cannot read the end either: it is noticed, and nothing is lost that anyone still waits for.

use crate::support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use support::websocket::{handshake, switching};
use support::{DEADLINE, Door, Proxy, RawBackend, Wire, gate};

/// What sluice has not read of this client's bytes.
fn unread(client: &TcpStream) -> usize {
    let hex = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => {
            let ip = u32::from_ne_bytes(v4.ip().octets());
            format!("{ip:08X}:{:04X}", v4.port())
        }
        SocketAddr::V6(_) => panic!("tests are on 127.0.0.1"),
    };
    let ours = hex(client.local_addr().expect("an address"));
    let theirs = hex(client.peer_addr().expect("an address"));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("proc is mounted");
    let mut rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1] == theirs && row[2] == ours);
    let row = row.expect("the connection is open");
    let (_, received) = row[4].split_once(':').expect("two queues");
    usize::from_str_radix(received, 16).expect("a number")
}

/// Sends pieces, each once the one before was read, until one is not. It has arrived: so will an
/// end that is sent after it.
fn fill(client: &mut TcpStream, piece: &[u8]) -> usize {
    let stalled = Duration::from_millis(500);
    for sent in 1.. {
        client.write_all(piece).expect("it has room for one");
        let begun = Instant::now();
        loop {
            let left = unread(client);
            if left == 0 {
                break;
            }
            if begun.elapsed() > stalled {
                return sent;
            }
            std::thread::yield_now();
        }
    }
    unreachable!("the loop has no end")
}

/// A tunnel whose upstream reads once `door` is open, `step` by step, all there is.
fn tunnel_backend(door: Door, step: Duration, read: mpsc::Sender<usize>) -> RawBackend {
    let read = Mutex::new(read);
    RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        door.wait();
        let mut stream = wire.into_stream();
        let (mut sum, mut piece) = (0, vec![0; 256 * 1024]);
        while let Ok(n) = stream.read(&mut piece) {
            if n == 0 {
                break;
            }
            sum += n;
            std::thread::sleep(step);
        }
        let _ = read.lock().unwrap().send(sum);
    })
}

/// One binary message of so many bytes that it never ends, or bytes of a protocol without frames.
fn tunnel(proxy: &Proxy) -> TcpStream {
    let mut wire = proxy.send(handshake(proxy.address(), "/", ""));
    assert_eq!(wire.read_head().status(), 101);
    wire.send([0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    wire.into_stream()
}

#[test]
fn a_tunnel_whose_client_has_ended_is_half_closed_though_the_upstream_reads_nothing() {
    for closes in [true, false] {
        let (_gate, door) = gate();
        let (read, _) = mpsc::channel();
        let backend = tunnel_backend(door, Duration::ZERO, read);
        let proxy = Proxy::with(
            backend.address(),
            "[route.websocket]\nhalf_close_timeout = \"1s\"\n",
        );
        let mut client = tunnel(&proxy);
        fill(&mut client, &[0; 16 * 1024]);
        let _stays = match closes {
            true => {
                drop(client);
                None
            }
            false => {
                client
                    .shutdown(std::net::Shutdown::Write)
                    .expect("it is open");
                Some(client)
            }
        };
        // The kernel's patience and `unread_timeout` are minutes.
        let record = proxy.wait_for_tunnel_close();
        assert_eq!(record["closed_by"], "client", "{record}");
        assert_eq!(record["detail"], "half-close deadline", "{record}");
    }
}

#[test]
fn what_the_upstream_still_reads_arrives_whatever_time_that_takes() {
    let (gate, door) = gate();
    let (read, sum) = mpsc::channel();
    let backend = tunnel_backend(door, Duration::from_millis(100), read);
    let proxy = Proxy::with(
        backend.address(),
        "[route.websocket]\nhalf_close_timeout = \"2s\"\n",
    );
    let mut client = tunnel(&proxy);
    let piece = 16 * 1024;
    let sent = fill(&mut client, &vec![0; piece]) * piece + 14;
    drop(client);
    gate.reached();
    gate.open();
    assert_eq!(sum.recv_timeout(4 * DEADLINE).expect("it reads all"), sent);
}

fn upload(proxy: &Proxy, version: &str) -> TcpStream {
    let head = format!("POST / HTTP/{version}\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    proxy.send(head).into_stream()
}

#[test]
fn a_client_that_has_closed_ends_an_upload_that_the_upstream_does_not_take() {
    let backend = RawBackend::start(|_, mut wire| {
        wire.read_head();
        loop {
            std::thread::park();
        }
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"90s\"\n",
    );
    let mut client = upload(&proxy, "1.1");
    fill(&mut client, &[b'x'; 16 * 1024]);
    drop(client);
    let record = proxy.wait_for_access("the upload", |json| json["kind"] == "exchange");
    assert_eq!(record["error"], "client_closed", "{record}");
}

/// As `nc` does: the whole request, then the end of its direction.
#[test]
fn a_client_that_has_only_ended_its_direction_gets_its_answer() {
    let (gate, door) = gate();
    let piece = 16 * 1024;
    let backend = RawBackend::start(move |_, mut wire| {
        let head = wire.read_head();
        assert!(head.has_token("transfer-encoding", "chunked"));
        door.wait();
        wire.read_until(b"\r\n0\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = Proxy::with(
        backend.address(),
        "[route.timeouts]\nresponse_head = \"90s\"\n",
    );
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = proxy.send(head).into_stream();
    let chunk = [
        format!("{piece:x}\r\n").as_bytes(),
        &vec![b'x'; piece][..],
        b"\r\n",
    ]
    .concat();
    fill(&mut client, &chunk);
    client.write_all(b"0\r\n\r\n").expect("it has room");
    let mut client = Wire::over(client);
    client.shutdown_write();
    gate.reached();
    // It was asked whether it is there, which shows that its end was noticed.
    assert_eq!(client.read_head().status(), 100);
    gate.open();
    let head = client.read_head();
    let answer = match head.status() {
        100 => client.read_response(),
        _ => client.read_body(head),
    };
    assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
}
