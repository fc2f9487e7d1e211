//! HTTP/1.1 with a sluice, its admin interface or a listener: hyper's client on a runtime of its
//! own, one exchange a connection.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};

use super::target::Target;
use crate::net::listen;

/// Time for a connect.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// The largest head of an answer in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The largest answer in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not come in time.
    Late,
    /// The connection broke.
    Broken(io::Error),
    /// It was closed before a whole head had come.
    Closed,
    /// What came is no answer, or not all of one.
    Foreign,
}

/// A connection that nothing was said on yet.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects within this time.
    pub(crate) fn connect(target: &Target, limit: Duration) -> io::Result<Socket> {
        Ok(match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, limit)?;
                stream.set_nonblocking(true)?;
                Socket::Tcp(stream)
            }
            Target::Unix(path) => {
                // It waits only where the backlog is full: in a thread, to bound it.
                let (sender, connected) = std::sync::mpsc::channel();
                let path = path.clone();
                std::thread::spawn(move || sender.send(listen::connect_unix(&path)));
                let late = |_| io::Error::from(io::ErrorKind::TimedOut);
                let stream = connected.recv_timeout(limit).map_err(late)??;
                stream.set_nonblocking(true)?;
                Socket::Unix(stream)
            }
        })
    }
}

/// What a command waits in: this thread only.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// An answer, whole.
pub(crate) async fn answer(
    socket: Socket,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    whole(begin(socket, request).await?).await
}

/// An answer whose head has come.
pub(crate) async fn begin(
    socket: Socket,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    match socket {
        Socket::Tcp(stream) => send(tokio::net::TcpStream::from_std(stream)?, request).await,
        Socket::Unix(stream) => send(tokio::net::UnixStream::from_std(stream)?, request).await,
    }
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.title_case_headers(true).max_buf_size(MAX_HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body, or with the runtime.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes), Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => Failure::from(*error),
        Err(_) => Failure::Foreign,
    })?;
    Ok((status, body.to_bytes()))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Broken(error)
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Failure {
        let source = std::error::Error::source(&error);
        match source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                Failure::Broken(io::Error::new(source.kind(), source.to_string()))
            }
            _ if error.is_parse() => Failure::Foreign,
            _ => Failure::Closed,
        }
    }
}

/// An answer that is read as it comes.
#[derive(Debug)]
pub struct Followed {
    response: Response<Incoming>,
    /// What came and was not read yet.
    left: Bytes,
    /// Where the connection lives; dropped last.
    runtime: Runtime,
}

impl Followed {
    pub(crate) fn begin(
        socket: Socket,
        request: Request<Full<Bytes>>,
    ) -> Result<Followed, Failure> {
        let runtime = runtime()?;
        Ok(Followed {
            response: runtime.block_on(begin(socket, request))?,
            left: Bytes::new(),
            runtime,
        })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn whole(self) -> Result<(StatusCode, Bytes), Failure> {
        self.runtime.block_on(whole(self.response))
    }
}

impl Read for Followed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.left.has_remaining() {
            let frame = self.runtime.block_on(self.response.body_mut().frame());
            match frame.transpose().map_err(io::Error::other)? {
                Some(frame) => self.left = frame.into_data().unwrap_or_default(),
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.left.len());
        self.left.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
