//! An HTTP/1.1 backend on hyper, so that what sluice forwards is judged by a parser that is
//! not the test's own. What it answers depends on the path; see `answer`.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A running backend and what it has seen.
pub struct HttpBackend {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    accepted: AtomicUsize,
    requests: Mutex<Vec<Value>>,
}

impl HttpBackend {
    pub fn start() -> HttpBackend {
        HttpBackend::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// At this address.
    pub fn start_at(address: SocketAddr) -> HttpBackend {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        listener.set_nonblocking(true).expect("a socket option");
        let seen = Arc::new(Seen::default());
        let ours = seen.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(serve(listener, ours));
        });
        HttpBackend { address, seen }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// The heads of the requests so far, in the form that `/echo` answers.
    pub fn requests(&self) -> Vec<Value> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        seen.accepted.fetch_add(1, Ordering::SeqCst);
        let seen = seen.clone();
        let service = hyper::service::service_fn(move |request| {
            let seen = seen.clone();
            async move { Ok::<_, Infallible>(answer(request, &seen).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}

/// - `/bytes/N`: N bytes with a Content-Length; `/chunked/N`: the same without.
/// - `/sink`: reads the body and answers its length.
/// - `/status/N`: that status and an empty body.
/// - `/trailers`: a body with the trailer `x-sum: 42`.
/// - `/unread`: answers without reading the body.
/// - everything else: the request's head and body as JSON.
async fn answer(request: Request<Incoming>, seen: &Seen) -> Response<Body> {
    let head = describe(&request);
    seen.requests.lock().unwrap().push(head.clone());
    let path = request.uri().path().to_string();
    let number = path.rsplit('/').next().and_then(|n| n.parse().ok());
    match (path.split('/').nth(1).unwrap_or_default(), number) {
        ("bytes", Some(n)) => {
            let mut response = Response::new(zeros(n));
            let headers = response.headers_mut();
            headers.insert("content-length", n.into());
            response
        }
        ("chunked", Some(n)) => Response::new(zeros(n)),
        ("status", Some(n)) => {
            let mut response = Response::new(full(""));
            *response.status_mut() = (n as u16).try_into().expect("a status");
            response
        }
        ("sink", _) => match drain(request.into_body()).await {
            Some((length, _, _)) => Response::new(full(length.to_string())),
            None => Response::new(full("broken")),
        },
        ("trailers", _) => trailers(),
        ("unread", _) => Response::new(full("not interested")),
        _ => echo(head, request.into_body()).await,
    }
}

fn describe(request: &Request<Incoming>) -> Value {
    json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": pairs(request.headers()),
    })
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let lines = headers.iter();
    lines.map(|(n, v)| (n.to_string(), text(v))).collect()
}

async fn echo(mut head: Value, body: Incoming) -> Response<Body> {
    if let Some((length, start, trailers)) = drain(body).await {
        head["length"] = length.into();
        head["body"] = String::from_utf8_lossy(&start).into();
        head["trailers"] = json!(pairs(&trailers));
    }
    let mut response = Response::new(full(head.to_string()));
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", kind);
    response
}

/// The body's length, its first 4 KiB and its trailers; `None` if it broke off.
async fn drain(mut body: Incoming) -> Option<(u64, Vec<u8>, HeaderMap)> {
    let (mut length, mut start, mut trailers) = (0, Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                let room = 4096_usize.saturating_sub(start.len()).min(data.len());
                start.extend_from_slice(&data[..room]);
            }
            Err(frame) => trailers.extend(frame.into_trailers().ok()?),
        }
    }
    Some((length, start, trailers))
}

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

/// A body of `count` zero bytes, made while it is sent.
fn zeros(count: u64) -> Body {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let stream = futures_util::stream::unfold(count, |left| async move {
        let n = left.min(ZEROS.len() as u64);
        let frame = Frame::data(Bytes::from_static(&ZEROS[..n as usize]));
        (left > 0).then(|| (Ok(frame), left - n))
    });
    BodyExt::boxed_unsync(StreamBody::new(Box::pin(stream)))
}

fn trailers() -> Response<Body> {
    let mut sum = HeaderMap::new();
    sum.insert("x-sum", 42.into());
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"body"))),
        Ok(Frame::trailers(sum)),
    ];
    let stream = futures_util::stream::iter(frames);
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream)));
    let names = http::HeaderValue::from_static("x-sum");
    response.headers_mut().insert("trailer", names);
    response
}
