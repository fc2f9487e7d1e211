//! A way to a running sluice: questions and orders to its admin interface, each an exchange of
//! its own. Which sluice is meant is found in `find`, HTTP is spoken in `speak`, and what is
//! asked stands in the commands.

use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::speak::{self, Failure, Followed, Socket};
use super::target::Target;
use crate::admin::{Token, instance};
use crate::process::order::OrderError;

/// Time for an answer that nothing has to be done for.
pub const QUICK: Duration = Duration::from_secs(10);

/// Time to say who one is.
const PROBE: Duration = Duration::from_secs(2);

/// A way to a running sluice.
#[derive(Debug)]
pub struct Client {
    pub(crate) target: Target,
    pub(crate) token: Option<Token>,
    /// The configuration file of the one that is meant, as requests name it.
    pub(crate) file: Option<String>,
}

/// What an order or a question came to.
pub type Outcome<T> = Result<T, OrderError>;

impl Client {
    pub(crate) fn at(target: Target) -> Client {
        Client {
            target,
            token: None,
            file: None,
        }
    }

    /// With the token of this file, if one is named.
    ///
    /// # Errors
    /// When the file holds none.
    pub fn with_token(mut self, file: Option<&Path>) -> io::Result<Client> {
        if let Some(file) = file {
            let read = Token::read(file);
            self.token = Some(read.map_err(|error| {
                io::Error::new(error.kind(), format!("{error} (--token-file)"))
            })?);
        }
        Ok(self)
    }

    /// Whether the sluice there is the one that is meant; `None`: there is none.
    pub(crate) fn is_meant(&self) -> Option<bool> {
        let (status, _) = self.line("/healthz", PROBE).ok()?;
        Some(status == 200)
    }

    /// The status and the text that a question is answered by within `limit`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn line(&self, path: &str, limit: Duration) -> io::Result<(u16, String)> {
        let request = self.request(Method::GET, path, Bytes::new());
        let answer = self.answer(request?, Some(limit));
        let (status, body) = speak::runtime()?.block_on(answer)?;
        Ok((status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    /// Asks a question.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> io::Result<Outcome<T>> {
        speak::runtime()?.block_on(self.ask(path))
    }

    /// The same for one who has a runtime.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> io::Result<Outcome<T>> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.exchange(request, Some(QUICK)).await
    }

    /// Asks for an end of something.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> io::Result<Outcome<T>> {
        let request = self.request(Method::DELETE, path, Bytes::new())?;
        speak::runtime()?.block_on(self.exchange(request, Some(QUICK)))
    }

    /// Gives an order; `limit`: how long carrying it out may take, `None` is for ever.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        order: &impl Serialize,
        limit: Option<Duration>,
    ) -> io::Result<Outcome<T>> {
        let body = serde_json::to_vec(order)?;
        let request = self.request(Method::POST, path, body.into())?;
        speak::runtime()?.block_on(self.exchange(request, limit))
    }

    /// Asks for an answer without an end, and gives its body as it comes; `field` is one more
    /// of the request.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn follow(
        &self,
        path: &str,
        field: Option<(&'static str, &str)>,
    ) -> io::Result<Outcome<BufReader<Followed>>> {
        let mut request = self.request(Method::GET, path, Bytes::new())?;
        if let Some((name, value)) = field {
            let value = value.parse().map_err(io::Error::other)?;
            request.headers_mut().insert(name, value);
        }
        let socket = self.connect()?;
        let failed = |failure| self.failed(failure);
        let followed = Followed::begin(socket, request).map_err(failed)?;
        if followed.status() == StatusCode::OK {
            return Ok(Ok(BufReader::new(followed)));
        }
        let (status, body) = followed.whole().map_err(failed)?;
        self.refusal(status, &body).map(Err)
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
        limit: Option<Duration>,
    ) -> io::Result<Outcome<T>> {
        let (status, body) = self.answer(request, limit).await?;
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => {
                let answer = serde_json::from_slice(&body);
                answer.map(Ok).map_err(|error| self.foreign(status, &error))
            }
            _ => self.refusal(status, &body).map(Err),
        }
    }

    /// An answer, whole.
    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
        limit: Option<Duration>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let answer = speak::answer(self.connect()?, request);
        let answer = match limit {
            None => answer.await,
            Some(limit) => {
                let answer = tokio::time::timeout(limit, answer).await;
                answer.unwrap_or(Err(Failure::Late))
            }
        };
        answer.map_err(|failure| self.failed(failure))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> io::Result<Request<Full<Bytes>>> {
        let host = match &self.target {
            Target::Tcp(address) => address.to_string(),
            Target::Unix(_) => "localhost".to_owned(),
        };
        let changes = method != Method::GET;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header("User-Agent", "sluice")
            .header("Connection", "close");
        if changes {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.as_str()));
        }
        if let Some(file) = &self.file {
            request = request.header(instance::FIELD, file);
        }
        request.body(Full::new(body)).map_err(io::Error::other)
    }

    fn connect(&self) -> io::Result<Socket> {
        Socket::connect(&self.target, speak::CONNECT).map_err(|error| self.no_answer(&error))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> io::Result<OrderError> {
        let why = serde_json::from_slice(body);
        let why = why.map_err(|error| self.foreign(status, &error))?;
        Ok(self.with_advice(status.as_u16(), why))
    }

    fn foreign(&self, status: StatusCode, error: &serde_json::Error) -> io::Error {
        let status = status.as_u16();
        self.broken(format_args!(
            "answered {status} in an unknown form: {error}"
        ))
    }

    fn failed(&self, failure: Failure) -> io::Error {
        match failure {
            Failure::Late => self.broken(format_args!(
                "has not answered in time; it may still do what it was asked for"
            )),
            Failure::Broken(error) => self.broken(format_args!("broke off: {error}")),
            Failure::Foreign | Failure::Closed => {
                self.broken(format_args!("gave no answer that can be understood"))
            }
        }
    }

    fn broken(&self, what: std::fmt::Arguments<'_>) -> io::Error {
        io::Error::other(format!("the sluice at {} {what}", self.target))
    }

    /// A refusal with what a command can do about it.
    fn with_advice(&self, status: u16, why: OrderError) -> OrderError {
        if status != 401 {
            return why;
        }
        OrderError::new(match self.token {
            None => format!(
                "the sluice at {} wants a token: --token-file FILE names the file whose first \
                 line it is",
                self.target
            ),
            Some(_) => format!(
                "the sluice at {} does not take this token: --token-file FILE has to name the \
                 file that its admin.token_file names",
                self.target
            ),
        })
    }

    fn no_answer(&self, error: &io::Error) -> io::Error {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        let message = format!(
            "no sluice answers at {}: {why}; another one is named by --admin ADDR, or by the \
             `admin.listen` of --config FILE",
            self.target
        );
        io::Error::new(error.kind(), message)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn answering(answer: &'static str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Client::at(target)
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let client = answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[1, 2]");
        assert_eq!(client.get::<Vec<u8>>("/").unwrap(), Ok(vec![1, 2]));
        let client =
            answering("HTTP/1.1 409 Conflict\r\ncontent-length: 14\r\n\r\n{\"error\":\"no\"}");
        assert_eq!(client.get::<()>("/").unwrap(), Err(OrderError::new("no")));
        for (answer, said) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[1, 2]",
                "understood",
            ),
            ("SSH-2.0-OpenSSH_9.2\r\n", "understood"),
            ("", "understood"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                "unknown form",
            ),
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
                "404",
            ),
        ] {
            let error = answering(answer).get::<Vec<u8>>("/").unwrap_err();
            assert!(error.to_string().contains(said), "{answer}: {error}");
        }
    }

    #[test]
    fn nobody_is_named_with_the_way_to_another() {
        let client = Client::at(Target::Unix("/nowhere/admin.sock".into()));
        let error = client.get::<()>("/").unwrap_err().to_string();
        assert!(error.contains("unix:/nowhere/admin.sock"), "{error}");
        assert!(error.contains("--admin"), "{error}");
    }

    #[test]
    fn a_followed_answer_is_read_as_it_is_written() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::at(Target::Tcp(listener.local_addr().unwrap()));
        let (more, wanted) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for line in ["one\n", "two\n"] {
                wanted.recv().unwrap();
                let chunk = format!("{:x}\r\n{line}\r\n", line.len());
                stream.write_all(chunk.as_bytes()).unwrap();
            }
            // It breaks off without an end.
        });
        let mut stream = client.follow("/", None).unwrap().unwrap();
        for expected in ["one\n", "two\n"] {
            more.send(()).unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
        }
        server.join().unwrap();
        assert!(stream.read_line(&mut String::new()).is_err());
    }

    #[test]
    fn what_does_not_come_in_time_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::at(Target::Tcp(silent.local_addr().unwrap()));
        let error = client.line("/", Duration::from_millis(50)).unwrap_err();
        assert!(
            error.to_string().contains("not answered in time"),
            "{error}"
        );
    }
}
