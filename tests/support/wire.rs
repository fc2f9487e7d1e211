//! A raw-byte HTTP peer: sends exactly what a test says and shows exactly what came, for
//! either side of a connection. Every wait has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// One end of a TCP connection, with the bytes read ahead.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request's or response's head, as it stood on the wire.
#[derive(Debug, Clone)]
pub struct Head {
    /// Request line or status line.
    pub first: String,
    /// Names in the spelling received, values trimmed.
    pub fields: Vec<(String, String)>,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// The body ended as its framing promised.
    pub complete: bool,
}

impl Head {
    fn parse(text: &str) -> Head {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_string();
        Head {
            first,
            fields: fields(lines),
        }
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1).and_then(|s| s.parse().ok());
        status.unwrap_or_else(|| panic!("no status line: {}", self.first))
    }

    /// The value of a field, its lines joined by commas.
    pub fn field(&self, name: &str) -> Option<String> {
        let values = self.all(name);
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Each line of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |n: &String| n.eq_ignore_ascii_case(name);
        let lines = self.fields.iter().filter(|(n, _)| same(n));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a comma-separated field holds this token in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let joined = self.field(name).unwrap_or_default();
        joined
            .split(',')
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    }
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

impl Wire {
    pub fn connect(address: SocketAddr) -> Wire {
        Wire::over(TcpStream::connect(address).expect("the listener accepts"))
    }

    pub fn over(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a socket option");
        Wire {
            stream,
            buffer: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the peer takes the bytes");
    }

    /// Sends to a peer that may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends the same piece again and again, at the speed of the peer, until it is gone.
    pub fn send_endlessly(&mut self, piece: &[u8]) {
        let block = piece.repeat((64 << 10) / piece.len());
        let mut at = 0;
        loop {
            match self.stream.write(&block[at..]) {
                Ok(n) => at = (at + n) % block.len(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Ends our direction.
    pub fn shutdown_write(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The same connection once more, so that one thread may send while another reads.
    pub fn second(&self) -> Wire {
        Wire::over(self.stream.try_clone().expect("a descriptor"))
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("a socket option");
    }

    /// The socket, for a protocol above; nothing may be read ahead.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "bytes read ahead would be lost");
        self.stream
    }

    /// Reads more; `false` at the end, be it orderly or a reset.
    fn fill(&mut self, give_up: Instant) -> bool {
        let mut chunk = [0; 16 * 1024];
        let left = give_up.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream
            .set_read_timeout(Some(left))
            .expect("a socket option");
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!(
                "nothing came within the deadline; so far: {:?}",
                String::from_utf8_lossy(&self.buffer)
            ),
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(_) => false,
        }
    }

    /// The next head; `None` when the peer closed instead of sending one.
    pub fn try_read_head(&mut self) -> Option<Head> {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(Head::parse(&String::from_utf8_lossy(&head[..end])));
            }
            if !self.fill(give_up) {
                let rest = String::from_utf8_lossy(&self.buffer);
                assert!(rest.is_empty(), "closed inside a head: {rest:?}");
                return None;
            }
        }
    }

    /// The next head.
    pub fn read_head(&mut self) -> Head {
        self.try_read_head()
            .expect("a head before the connection closes")
    }

    /// Exactly this many bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        self.try_read_exact(count).unwrap_or_else(|got| {
            panic!(
                "closed after {got:?} of {count} bytes",
                got = String::from_utf8_lossy(&got)
            )
        })
    }

    fn try_read_exact(&mut self, count: usize) -> Result<Vec<u8>, Vec<u8>> {
        let give_up = Instant::now() + DEADLINE;
        while self.buffer.len() < count {
            if !self.fill(give_up) {
                return Err(std::mem::take(&mut self.buffer));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Everything up to and including `end`.
    pub fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = find(&self.buffer, end) {
                return self.buffer.drain(..at + end.len()).collect();
            }
            assert!(self.fill(give_up), "closed before {end:?}");
        }
    }

    /// Everything until the peer ends its direction, orderly or not.
    pub fn read_until_close(&mut self) -> Vec<u8> {
        let give_up = Instant::now() + DEADLINE;
        while self.fill(give_up) {}
        std::mem::take(&mut self.buffer)
    }

    /// Everything until the peer ends its direction in order.
    pub fn read_until_end(&mut self) -> Vec<u8> {
        self.stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        self.stream
            .read_to_end(&mut self.buffer)
            .expect("an orderly end");
        std::mem::take(&mut self.buffer)
    }

    /// Asserts that the peer closes without another byte.
    pub fn expect_close(&mut self) {
        let rest = self.read_until_close();
        assert!(
            rest.is_empty(),
            "instead of the end came {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Asserts that nothing comes for a while, and that the connection stays.
    pub fn expect_silence(&mut self, span: Duration) {
        assert!(self.buffer.is_empty(), "bytes were waiting");
        self.stream
            .set_read_timeout(Some(span))
            .expect("a socket option");
        let mut byte = [0; 1];
        match self.stream.read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("instead of silence came {other:?} {byte:?}"),
        }
    }

    /// A whole response to a request with a body in its answer.
    pub fn read_response(&mut self) -> Response {
        let head = self.read_head();
        self.read_body(head)
    }

    /// The body that belongs to a response's head.
    pub fn read_body(&mut self, head: Head) -> Response {
        let mut response = Response {
            head,
            body: Vec::new(),
            trailers: Vec::new(),
            complete: true,
        };
        let length = response.head.field("content-length");
        if matches!(response.head.status(), 100..200 | 204 | 304) {
        } else if response.head.has_token("transfer-encoding", "chunked") {
            self.read_chunked(&mut response);
        } else if let Some(length) = length {
            let length = length.parse().expect("one Content-Length");
            match self.try_read_exact(length) {
                Ok(body) => response.body = body,
                Err(part) => (response.body, response.complete) = (part, false),
            }
        } else {
            response.body = self.read_until_close();
        }
        response
    }

    fn read_chunked(&mut self, response: &mut Response) {
        response.complete = false;
        while let Some(line) = self.try_read_line() {
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            match self.try_read_exact(size + 2) {
                Ok(chunk) => response.body.extend_from_slice(&chunk[..size]),
                Err(part) => return response.body.extend_from_slice(&part),
            }
        }
        while let Some(line) = self.try_read_line() {
            if line.is_empty() {
                response.complete = true;
                return;
            }
            response
                .trailers
                .extend(fields(std::iter::once(line.as_str())));
        }
    }

    fn try_read_line(&mut self) -> Option<String> {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.fill(give_up) {
                return None;
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.buffer.is_empty() {
            self.stream.set_read_timeout(Some(DEADLINE))?;
            return self.stream.read(into);
        }
        let n = into.len().min(self.buffer.len());
        into[..n].copy_from_slice(&self.buffer[..n]);
        self.buffer.drain(..n);
        Ok(n)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let pairs = lines.filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
