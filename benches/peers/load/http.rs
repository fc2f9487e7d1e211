//! A lane of keep-alive GETs (RFC 9112): parses each answer's head, insists
//! on 200 and the right Content-Length, and counts the body's bytes.

use super::{Lane, Shared, opening, unexpected};
use crate::poll::{Flags, Ready};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

pub(super) struct Get {
    stream: TcpStream,
    request: Vec<u8>,
    length: usize,
    begun: Instant,
    /// An incomplete head of an answer.
    head: Vec<u8>,
    /// Bytes of the body still to come; `None` before the head is complete.
    left: Option<usize>,
}

impl Get {
    pub(super) fn open(shared: &Shared, token: u64, path: &str, length: usize) -> io::Result<Self> {
        let stream = opening::connect(shared.target, token)?;
        stream.set_nonblocking(true)?;
        shared.poller.add(&stream, token, Flags::IN)?;
        let host = shared.target;
        Ok(Self {
            stream,
            request: format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n")
                .into_bytes(),
            length,
            begun: Instant::now(),
            head: Vec::new(),
            left: None,
        })
    }

    /// Takes bytes of an answer; true when it is complete.
    fn take(&mut self, input: &[u8]) -> io::Result<bool> {
        let held;
        let mut input = input;
        if self.left.is_none() {
            if !self.head.is_empty() {
                self.head.extend_from_slice(input);
                held = std::mem::take(&mut self.head);
                input = &held;
            }
            match self.parse(input)? {
                Some(length) => input = &input[length..],
                None => {
                    self.head = input.to_vec();
                    return Ok(false);
                }
            }
            self.left = Some(self.length);
        }
        let left = self.left.unwrap_or(0).checked_sub(input.len());
        self.left = left;
        match left {
            None => Err(unexpected("more bytes than the body has")),
            Some(0) => {
                self.left = None;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    fn parse(&self, input: &[u8]) -> io::Result<Option<usize>> {
        let mut fields = [httparse::EMPTY_HEADER; 48];
        let mut answer = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head) = answer.parse(input).map_err(io::Error::other)?
        else {
            return Ok(None);
        };
        let length = answer
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("content-length"))
            .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
        if answer.code != Some(200) || length != Some(self.length) {
            let head = String::from_utf8_lossy(&input[..head]);
            return Err(unexpected(format!("GET answered {head:?}")));
        }
        Ok(Some(head))
    }
}

impl Lane for Get {
    fn begin(&mut self, _: u64, shared: &mut Shared) -> io::Result<()> {
        self.begun = Instant::now();
        shared.busy += 1;
        // A request fits any socket buffer that is empty, and this one is.
        self.stream.write_all(&self.request)
    }

    fn ready(&mut self, event: Ready, shared: &mut Shared) -> io::Result<()> {
        let read = match self.stream.read(&mut shared.buffer) {
            Ok(0) => return Err(unexpected("a kept connection was closed")),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.take(&shared.buffer[..read])? && shared.completed(self.begun) {
            self.begin(event.token, shared)?;
        }
        Ok(())
    }
}
