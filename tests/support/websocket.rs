//! WebSocket peers on tungstenite: an echo backend, a client through the proxy, and the raw
//! handshake for tests that go below a library.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_tungstenite::tungstenite;
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use super::{DEADLINE, Proxy, RawBackend, Wire};

/// The key of RFC 6455 section 1.3, and the accept that answers it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// See [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An upgrade request as RFC 6455 spells it; `more` holds whole header lines with their CRLF.
pub fn handshake(host: impl std::fmt::Display, path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The answer that accepts [`handshake`].
pub fn switching(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
    )
}

/// A backend that accepts [`handshake`] and hands the connection to the script.
pub fn tunnel_backend(script: impl Fn(Wire) + Send + Sync + 'static) -> RawBackend {
    RawBackend::start(move |_, mut wire| {
        wire.read_head();
        wire.send(switching(""));
        script(wire);
    })
}

/// Opens a tunnel by hand and gives the connection behind the 101.
pub fn open(proxy: &Proxy, path: &str) -> Wire {
    let mut wire = proxy.send(handshake(proxy.address(), path, ""));
    let head = wire.read_head();
    assert_eq!(head.status(), 101, "{head:?}");
    wire
}

/// One unmasked frame, as servers send it.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        0..=125 => frame.push(payload.len() as u8),
        126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// One masked frame, as clients send it.
pub fn masked_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = frame(opcode, payload);
    let start = frame.len() - payload.len();
    frame[1] |= 0x80;
    for (i, byte) in frame[start..].iter_mut().enumerate() {
        *byte ^= mask[i % 4];
    }
    frame.splice(start..start, mask);
    frame
}

/// Reads one frame, masked or not: its first byte and its payload in the clear.
pub fn read_frame(wire: &mut Wire) -> (u8, Vec<u8>) {
    let head = wire.read_exact(2);
    let length = match head[1] & 0x7f {
        126 => u16::from_be_bytes(wire.read_exact(2).try_into().expect("two bytes")).into(),
        127 => u64::from_be_bytes(wire.read_exact(8).try_into().expect("eight bytes")),
        short => short.into(),
    };
    let mask = (head[1] & 0x80 != 0).then(|| wire.read_exact(4));
    let mut payload = wire.read_exact(length as usize);
    if let Some(mask) = mask {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[i % 4];
        }
    }
    (head[0], payload)
}

/// The payload of a Close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Asserts that the next frame is a Close with this code, and answers it masked or not.
pub fn expect_close_frame(wire: &mut Wire, code: u16) {
    let (first, payload) = read_frame(wire);
    assert_eq!(first, 0x88, "a Close frame, not {first:#x} {payload:?}");
    assert_eq!(payload[..2], code.to_be_bytes(), "the close code");
}

/// The header fields of each handshake that an [`EchoBackend`] saw.
type Handshakes = Arc<Mutex<Vec<Fields>>>;
type Fields = Vec<(String, String)>;

/// A tungstenite echo server, one thread a connection. It picks the subprotocol `chat`.
pub struct EchoBackend {
    address: SocketAddr,
    handshakes: Handshakes,
}

impl EchoBackend {
    pub fn start() -> EchoBackend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let handshakes = Arc::new(Mutex::new(Vec::new()));
        let ours = handshakes.clone();
        // The thread lives until the test program ends: nothing wakes an accept.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let ours = ours.clone();
                std::thread::spawn(move || echo(stream, Accept(ours)));
            }
        });
        EchoBackend {
            address,
            handshakes,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The header fields of each handshake so far.
    pub fn handshakes(&self) -> Vec<Fields> {
        self.handshakes.lock().unwrap().clone()
    }
}

struct Accept(Handshakes);

impl Callback for Accept {
    #[allow(clippy::result_large_err)] // the trait's own signature
    fn on_request(
        self,
        request: &Request,
        mut response: Response,
    ) -> Result<Response, ErrorResponse> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let lines = request.headers().iter();
        let fields = lines.map(|(n, v)| (n.to_string(), text(v))).collect();
        self.0.lock().unwrap().push(fields);
        let offered = request.headers().get("sec-websocket-protocol");
        if offered.is_some_and(|list| text(list).split(',').any(|p| p.trim() == "chat")) {
            let chat = HeaderValue::from_static("chat");
            response
                .headers_mut()
                .insert("sec-websocket-protocol", chat);
        }
        Ok(response)
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(256 << 20))
        .max_frame_size(Some(256 << 20))
}

fn echo(stream: TcpStream, accept: Accept) {
    let _ = stream.set_nodelay(true);
    let Ok(mut socket) = tungstenite::accept_hdr_with_config(stream, accept, Some(config())) else {
        return;
    };
    while let Ok(message) = socket.read() {
        // Pings are answered and Closes returned by the library itself.
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}

/// A tungstenite client through the proxy, with a browser's Origin.
pub fn connect(proxy: &Proxy, path: &str) -> WebSocket<TcpStream> {
    connect_with(proxy, path, &proxy.origin(), &[])
        .expect("the handshake is accepted")
        .0
}

/// The same with an Origin and subprotocols of one's own.
pub fn connect_with(
    proxy: &Proxy,
    path: &str,
    origin: &str,
    protocols: &[&str],
) -> tungstenite::Result<(
    WebSocket<TcpStream>,
    tungstenite::handshake::client::Response,
)> {
    use tungstenite::client::IntoClientRequest;
    let mut request = proxy.ws_url(path).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("origin", origin.parse().expect("an origin"));
    if !protocols.is_empty() {
        let list = protocols.join(", ").parse().expect("subprotocols");
        headers.insert("sec-websocket-protocol", list);
    }
    let stream = TcpStream::connect(proxy.address()).expect("the listener accepts");
    stream.set_nodelay(true).expect("a socket option");
    stream
        .set_read_timeout(Some(DEADLINE.max(Duration::from_secs(1))))
        .expect("a socket option");
    tungstenite::client::client_with_config(request, stream, Some(config())).map_err(|error| {
        match error {
            tungstenite::HandshakeError::Failure(error) => error,
            tungstenite::HandshakeError::Interrupted(_) => {
                panic!("no answer to the handshake within the deadline")
            }
        }
    })
}

/// Sends a message and expects it back.
pub fn exchange(socket: &mut WebSocket<TcpStream>, message: Message) {
    socket.send(message.clone()).expect("the tunnel is open");
    let answer = socket.read().expect("an echo");
    assert!(
        answer == message,
        "a message of {} bytes came back changed",
        message.len()
    );
}
