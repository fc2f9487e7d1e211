//! Opening a lane's connection: a source address from 127.0.0.2 to .9, so
//! that thousands of connections a second do not run out of ports, and the
//! WebSocket opening handshake, both blocking and bounded in time.

use super::unexpected;
use crate::{sys, websocket};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);
const SOURCES: u64 = 8;

/// A socket bound to the lane's source address; its port is chosen when it
/// connects, so that ports are reused towards other proxies.
pub(super) fn socket(token: u64) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    sys::bind_without_port(&socket)?;
    let source = Ipv4Addr::new(127, 0, 0, 2 + (token % SOURCES) as u8);
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    Ok(socket)
}

/// A connected stream, still blocking, with a deadline on each call.
pub(super) fn connect(target: SocketAddr, token: u64) -> io::Result<TcpStream> {
    let socket = socket(token)?;
    socket.connect_timeout(&SockAddr::from(target), DEADLINE)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    Ok(socket.into())
}

/// Shakes hands for `path` (RFC 6455, section 4.1) and checks the answer.
pub(super) fn upgrade(stream: &mut TcpStream, target: SocketAddr, path: &str) -> io::Result<()> {
    stream.write_all(&websocket::handshake(&target.to_string(), path))?;
    let mut head = Vec::new();
    let mut part = [0; 2048];
    loop {
        match stream.read(&mut part)? {
            0 => return Err(unexpected("closed during the handshake")),
            read => head.extend_from_slice(&part[..read]),
        }
        if let Some(length) = upgraded(&head)? {
            return match length == head.len() {
                true => Ok(()),
                false => Err(unexpected("bytes after the 101 that were never sent")),
            };
        }
    }
}

/// The length of a complete and valid 101; `None` while it is incomplete.
pub(super) fn upgraded(head: &[u8]) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; 48];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = answer.parse(head).map_err(io::Error::other)? else {
        return Ok(None);
    };
    if answer.code != Some(101) {
        let head = String::from_utf8_lossy(&head[..length]);
        return Err(unexpected(format!("handshake answered {head:?}")));
    }
    let accepted = answer.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("sec-websocket-accept")
            && field.value == websocket::ACCEPT.as_bytes()
    });
    match accepted {
        true => Ok(Some(length)),
        false => Err(unexpected("101 without the right Sec-WebSocket-Accept")),
    }
}
