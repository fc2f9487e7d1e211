//! Peers that only cost: backends and clients of tunnels full of tiny frames, answers without
//! end and clients that read nothing of them.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::websocket::{open, switching};
use crate::support::{Proxy, RawBackend, Wire};

/// The backend of the floods: tiny frames, and answers without end.
pub fn backend() -> RawBackend {
    RawBackend::start(|_, mut wire| {
        let Some(head) = wire.try_read_head() else {
            return;
        };
        let path = head.first.split(' ').nth(1).unwrap_or_default();
        let (head, piece): (String, &[u8]) = match path {
            "/noise/pings" => (switching(""), &[0x89, 0]),
            "/noise/empty" => (switching(""), &[0x82, 0]),
            "/noise/length" => (answer("Content-Length: 1000000000000"), b"x"),
            _ => (answer("Transfer-Encoding: chunked"), b"3\r\nabc\r\n"),
        };
        if wire.try_send(head) {
            discard(wire.second());
            wire.send_endlessly(piece);
        }
    })
}

fn answer(field: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n")
}

/// Opens a tunnel over which the backend sends tiny frames for ever, and the client too.
pub fn tiny_frames(proxy: &Proxy, path: &str, frame: &'static [u8]) {
    let mut wire = open(proxy, path);
    discard(wire.second());
    std::thread::spawn(move || wire.send_endlessly(frame));
}

/// Reads all that comes, on a thread that ends with the connection.
fn discard(mut wire: Wire) {
    std::thread::spawn(move || {
        let mut some = vec![0; 64 << 10];
        loop {
            match wire.read(&mut some) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    });
}

/// Asks for `path` with room for a few KiB of its answer, and reads none of it.
pub fn stall(address: SocketAddr, path: &str) -> io::Result<Wire> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(&address.into())?;
    let mut wire = Wire::over(TcpStream::from(socket));
    wire.try_send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    Ok(wire)
}
