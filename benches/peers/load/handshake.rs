//! A lane of opening handshakes: connect, upgrade, and close the connection
//! once the 101 is there. An operation's time ends with the 101.

use super::{Lane, Shared, opening, unexpected};
use crate::poll::{Flags, Ready};
use crate::websocket;
use rustix::io::Errno;
use socket2::{SockAddr, Socket};
use std::io::{self, Read, Write};
use std::time::Instant;

pub(super) struct Handshake {
    token: u64,
    request: Vec<u8>,
    begun: Instant,
    socket: Option<Socket>,
    sent: bool,
    head: Vec<u8>,
}

impl Handshake {
    pub(super) fn new(shared: &Shared, token: u64) -> Self {
        Self {
            token,
            request: websocket::handshake(&shared.target.to_string(), "/ws/echo"),
            begun: Instant::now(),
            socket: None,
            sent: false,
            head: Vec::new(),
        }
    }
}

impl Lane for Handshake {
    fn begin(&mut self, token: u64, shared: &mut Shared) -> io::Result<()> {
        self.begun = Instant::now();
        shared.busy += 1;
        // Another source address each time, for the sake of the ports.
        self.token += 1;
        let socket = opening::socket(self.token)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&SockAddr::from(shared.target)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        shared.poller.add(&socket, token, Flags::OUT)?;
        self.socket = Some(socket);
        self.sent = false;
        self.head.clear();
        Ok(())
    }

    fn ready(&mut self, event: Ready, shared: &mut Shared) -> io::Result<()> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        if !self.sent {
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            socket.write_all(&self.request)?;
            self.sent = true;
            return shared.poller.modify(&*socket, event.token, Flags::IN);
        }
        match socket.read(&mut shared.buffer) {
            Ok(0) => return Err(unexpected("closed during the handshake")),
            Ok(read) => self.head.extend_from_slice(&shared.buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if opening::upgraded(&self.head)?.is_some() {
            self.socket = None;
            if shared.completed(self.begun) {
                self.begin(event.token, shared)?;
            }
        }
        Ok(())
    }
}
