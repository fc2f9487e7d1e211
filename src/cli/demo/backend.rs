//! The backend of the demo: a page, what a plain request looked like when it arrived, and a
//! WebSocket that echoes and chats. An ordinary server that knows nothing of the proxy.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

const PAGE: &str = include_str!("../demo.html");
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:";

/// The running backend, on a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts it on a free port of 127.0.0.1.
    pub fn start() -> io::Result<Backend> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("demo-backend".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Backend {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// All clients that have the page open.
struct Room {
    said: broadcast::Sender<Utf8Bytes>,
    present: AtomicUsize,
}

async fn accept(listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let room = Arc::new(Room {
        said: broadcast::channel(64).0,
        present: AtomicUsize::new(0),
    });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, room.clone()))),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

async fn serve(stream: TcpStream, room: Arc<Room>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let response = answer(request, &room);
        async { Ok::<_, Infallible>(response) }
    });
    // How a connection of the demo ends does not matter.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

fn answer(mut request: Request<Incoming>, room: &Arc<Room>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/") => {
            let mut page = full(StatusCode::OK, "text/html; charset=utf-8", PAGE);
            let policy = HeaderValue::from_static(PAGE_POLICY);
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            page
        }
        (&Method::GET, "/headers") => {
            let seen = seen(request.headers()).to_string();
            full(StatusCode::OK, "application/json", seen)
        }
        (&Method::GET, "/ws") => {
            let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
                let words = "this is a WebSocket endpoint\n";
                return full(StatusCode::UPGRADE_REQUIRED, "text/plain", words);
            };
            let accept = derive_accept_key(key.as_bytes());
            let hello = json!({ "type": "hello", "headers": seen(request.headers()) });
            let upgrade = hyper::upgrade::on(&mut request);
            let room = room.clone();
            tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    chat(upgraded, hello, &room).await;
                }
            });
            let mut switching = Response::new(Full::default());
            *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = switching.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            if let Ok(accept) = HeaderValue::try_from(accept) {
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
            switching
        }
        _ => full(
            StatusCode::NOT_FOUND,
            "text/plain",
            "the demo has /, /headers and /ws\n",
        ),
    }
}

fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The header lines in the order of their arrival, as `[name, value]`.
fn seen(headers: &HeaderMap) -> Value {
    let line = |(name, value): (&http::HeaderName, &HeaderValue)| {
        json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
    };
    headers.iter().map(line).collect()
}

async fn chat(upgraded: hyper::upgrade::Upgraded, hello: Value, room: &Room) {
    let limits = WebSocketConfig::default().max_message_size(Some(1 << 20));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
    let mut heard = room.said.subscribe();
    room.present.fetch_add(1, Relaxed);
    if socket.send(Message::text(hello.to_string())).await.is_ok() {
        announce(room);
        loop {
            let sent = tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(message)) => reply(&mut socket, message, room).await,
                    Some(Err(_)) | None => break,
                },
                said = heard.recv() => match said {
                    Ok(said) => socket.send(Message::Text(said)).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                    Err(broadcast::error::RecvError::Closed) => break,
                },
            };
            if sent.is_err() {
                break;
            }
        }
    }
    room.present.fetch_sub(1, Relaxed);
    announce(room);
}

/// Chat goes to all clients, `close` closes, everything else comes back as it is.
async fn reply(
    socket: &mut WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    message: Message,
    room: &Room,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let Message::Text(text) = message else {
        return match message {
            Message::Binary(_) => socket.send(message).await,
            _ => Ok(()),
        };
    };
    let order: Value = serde_json::from_str(&text).unwrap_or_default();
    match order["type"].as_str() {
        Some("chat") => {
            // It fails when no one listens, which cannot matter.
            let _ = room.said.send(text);
            Ok(())
        }
        Some("close") => {
            let code = order["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok());
            let code = code
                .filter(|code| (3000..5000).contains(code))
                .unwrap_or(1000)
                .into();
            socket
                .close(Some(CloseFrame {
                    code,
                    reason: "as you asked".into(),
                }))
                .await
        }
        _ => socket.send(Message::Text(text)).await,
    }
}

fn announce(room: &Room) {
    let present = json!({ "type": "present", "count": room.present.load(Relaxed) });
    let _ = room.said.send(present.to_string().into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio_tungstenite::MaybeTlsStream;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

    async fn join(backend: &Backend) -> Client {
        let mut request = format!("ws://{}/ws", backend.address())
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("x-forwarded-for", HeaderValue::from_static("192.0.2.7"));
        tokio_tungstenite::connect_async(request).await.unwrap().0
    }

    async fn next(client: &mut Client, kind: &str) -> Value {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(10), client.next()).await;
            let Message::Text(text) = message.expect("in time").unwrap().unwrap() else {
                continue;
            };
            let value: Value = serde_json::from_str(&text).unwrap();
            if value["type"] == kind {
                return value;
            }
        }
    }

    fn text(value: Value) -> Message {
        Message::text(value.to_string())
    }

    #[tokio::test]
    async fn it_greets_echoes_chats_and_closes() {
        let backend = Backend::start().unwrap();
        let mut one = join(&backend).await;
        let hello = next(&mut one, "hello").await;
        let line = json!(["x-forwarded-for", "192.0.2.7"]);
        assert!(
            hello["headers"].as_array().unwrap().contains(&line),
            "{hello}"
        );

        let echo = json!({ "type": "echo", "id": 7 });
        one.send(text(echo.clone())).await.unwrap();
        assert_eq!(next(&mut one, "echo").await, echo);

        let mut other = join(&backend).await;
        while next(&mut one, "present").await["count"] != 2 {}
        one.send(text(json!({ "type": "chat", "text": "hi" })))
            .await
            .unwrap();
        assert_eq!(next(&mut other, "chat").await["text"], "hi");
        assert_eq!(next(&mut one, "chat").await["text"], "hi");

        other
            .send(text(json!({ "type": "close", "code": 4001 })))
            .await
            .unwrap();
        let closed = loop {
            if let Message::Close(frame) = other.next().await.unwrap().unwrap() {
                break frame.unwrap();
            }
        };
        assert_eq!(
            (u16::from(closed.code), &*closed.reason),
            (4001, "as you asked")
        );
        drop(other);
        while next(&mut one, "present").await["count"] != 1 {}
    }

    #[tokio::test]
    async fn the_page_stands_alone_and_plain_requests_show_their_headers() {
        let backend = Backend::start().unwrap();
        let (head, page) = get(&backend, "/").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(page.contains("new WebSocket("));
        for outside in ["src=\"http", "href=\"http", "url(http", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let (_, headers) = get(&backend, "/headers").await;
        let headers: Value = serde_json::from_str(&headers).unwrap();
        assert_eq!(headers[0], json!(["host", "demo.test"]));
        assert!(get(&backend, "/ws").await.0.starts_with("HTTP/1.1 426"));
        assert!(
            get(&backend, "/nothing")
                .await
                .0
                .starts_with("HTTP/1.1 404")
        );
    }

    async fn get(backend: &Backend, path: &str) -> (String, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(backend.address()).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: demo.test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}
