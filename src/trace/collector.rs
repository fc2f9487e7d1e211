//! The way to the collector: OTLP over plain HTTP/1.1, one connection for each batch, with a
//! deadline. What a batch is and when it is tried again is the exporter's.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;

use crate::system::lock::lock;

/// Time for one attempt, from the connect to the answer's last byte.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Sends requests inside a tokio runtime.
#[derive(Debug, Default, Clone)]
pub(super) struct Collector {
    /// Why the last attempt had no answer: the exporter's own error does not say.
    failure: Arc<Mutex<Option<String>>>,
}

impl Collector {
    /// Why the last attempt had no answer; asked once.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        lock(&self.failure)
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = match tokio::time::timeout(ATTEMPT, post(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {ATTEMPT:?}").into()),
        };
        *self.lock() = answer.as_ref().err().map(ToString::to_string);
        answer
    }
}

async fn post(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().ok_or("a collector has a host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let authority = HeaderValue::try_from(authority.as_str())?;
    parts.headers.insert(header::HOST, authority);
    let target = parts.uri.path_and_query().cloned();
    parts.uri = target.map_or(Uri::from_static("/"), Uri::from);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its sender.
    tokio::spawn(connection);
    let request = Request::from_parts(parts, Full::new(body));
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}
