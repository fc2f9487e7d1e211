//! A handshake from the first byte to the stream that comes of it, bounded in time and number. What
//! is not TLS is told from what is broken.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io::{self, Write};
use std::task::{Context, Poll};

use rustix::net::RecvFlags;
use rustls::server::{Accepted, Acceptor};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::io::{Interest, ReadBuf};

use super::border::Border;
use super::client::ClientCertificate;
use super::failure::{Failure, Kind};
use super::secrets::Secrets;
use super::server::{Present, Server};
use super::stream::{AtOnce, Carrier, Stream};
use crate::certificate::choice::plain_name;
use crate::net::close::{Missed, linger, within};
use crate::net::io::{Io, Socket};

/// As much of something else than TLS as is looked at.
const GLIMPSE: usize = 4096;

/// A fatal unrecognized_name alert (RFC 8446 section 6, RFC 6066 section 3), in a record of its
/// own.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];

/// What came of a handshake.
#[derive(Debug)]
pub enum Handshake {
    /// A stream, and what was agreed on.
    Done(Io, Session),
    /// A plain HTTP request came: the stream as it is, and what was read from it.
    Plain(Io, Vec<u8>),
    /// Nothing. The client has been told where TLS has a word for it.
    Failed(Failure, Option<Box<str>>),
}

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite, as IANA writes it.
    pub cipher: Cow<'static, str>,
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
    /// The client has resumed an earlier session.
    pub is_resumed: bool,
    /// The certificate that it has shown, then or now.
    pub client: Option<Box<ClientCertificate>>,
}

/// Runs the handshake of a client that has just connected.
pub async fn accept(socket: Socket, server: &Server) -> Handshake {
    let mut underway = Underway {
        socket,
        border: Border::default(),
        secrets: Secrets::default(),
        server_name: None,
    };
    let limit = server.settings().handshake_timeout;
    let done = within(limit, underway.run(server), || None::<()>).await;
    let name = underway.server_name;
    match done {
        Ok(Ok(Got::Tls(connection))) => {
            let session = Session::of(&connection, name);
            if session
                .client
                .as_ref()
                .is_some_and(|client| client.has_ended())
            {
                let detail = "the client's certificate has expired since its session began";
                let failure = Failure::new(Kind::ClientCertificate, detail);
                return Handshake::Failed(failure, session.server_name);
            }
            let Underway {
                socket,
                border,
                secrets,
                ..
            } = underway;
            let stream = Stream::new(*connection, socket, border, secrets);
            Handshake::Done(Io::from(stream), session)
        }
        Ok(Ok(Got::Plain(read))) => Handshake::Plain(Io::from(underway.socket), read),
        Ok(Err(failure)) => {
            // The kernel would throw our alert away if it had to answer unread bytes.
            if failure.kind != Kind::Closed {
                linger(Io::from(underway.socket)).await;
            }
            Handshake::Failed(failure, name)
        }
        Err(Missed::Late | Missed::GivenUp(())) => {
            let detail = match name {
                Some(_) => "the client did not complete the handshake in time",
                None => "no whole ClientHello came in time",
            };
            Handshake::Failed(Failure::new(Kind::Timeout, detail), name)
        }
    }
}

enum Got {
    Tls(Box<ServerConnection>),
    Plain(Vec<u8>),
}

struct Underway {
    socket: Socket,
    /// Where what was read stands.
    border: Border,
    secrets: Secrets,
    server_name: Option<Box<str>>,
}

impl Underway {
    async fn run(&mut self, server: &Server) -> Result<Got, Failure> {
        if !self.begins_as_tls().await? {
            return self.not_tls().await;
        }
        let accepted = self.hello().await?;
        let name = accepted.client_hello().server_name().map(plain_name);
        self.server_name = name.map(String::into_boxed_str);
        // The costly part. What the client takes for its hello holds no place.
        let _place = server.places().acquire().await;
        let present = server.present();
        self.refuse_unknown(&present, server).await?;
        Secrets::told();
        let mut connection = match accepted.into_connection(present.rustls.clone()) {
            Ok(connection) => Box::new(connection),
            Err((error, mut alert)) => {
                let _ = alert.write_all(&mut AtOnce(&self.socket));
                return Err(Failure::of(&error));
            }
        };
        self.secrets = Secrets::told();
        poll_fn(|cx| self.poll_complete(&mut connection, cx)).await?;
        Ok(Got::Tls(connection))
    }

    /// Whether a record with a handshake message comes (RFC 8446 section 5.1). Nothing is read.
    async fn begins_as_tls(&mut self) -> Result<bool, Failure> {
        let mut first = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = poll_fn(|cx| {
            loop {
                let ready = self.socket.poll_read_ready(cx);
                if ready.is_pending() {
                    return Poll::Pending;
                }
                let peeked = self.socket.try_io(Interest::READABLE, |fd| {
                    Ok(rustix::net::recv(fd, &mut first[..], flags)?.1)
                });
                match peeked {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            }
        });
        match peeked.await {
            Ok(0) => Err(Failure::new(
                Kind::Closed,
                "the client closed the connection without a byte",
            )),
            Ok(_) => Ok(first == [0x16]),
            Err(error) => Err(gone(&error)),
        }
    }

    async fn not_tls(&mut self) -> Result<Got, Failure> {
        let mut read = vec![0; GLIMPSE];
        let length = poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut read);
            let polled = self.socket.poll_read(cx, &mut buf);
            polled.map_ok(|()| buf.filled().len())
        });
        let length = length.await.map_err(|error| gone(&error))?;
        read.truncate(length);
        if looks_like_http(&read) {
            return Ok(Got::Plain(read));
        }
        let detail = match &read[..] {
            [b'P', b'R', b'O', b'X', b'Y', b' ', ..] | [b'\r', b'\n', b'\r', b'\n', 0, ..] => {
                "a header of the PROXY protocol came, which this listener does not take"
            }
            [first, _, 1, ..] if *first >= 0x80 => {
                let detail = "a hello of SSL 2 came";
                return Err(Failure::new(Kind::Version, detail));
            }
            _ => "what came is neither TLS nor HTTP",
        };
        Err(Failure::new(Kind::NotTls, detail))
    }

    async fn hello(&mut self) -> Result<Accepted, Failure> {
        let mut acceptor = Acceptor::default();
        poll_fn(|cx| {
            loop {
                match acceptor.read_tls(&mut self.carrier(cx)) {
                    Ok(0) => return Poll::Ready(Err(closed())),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(gone(&error))),
                }
                match acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => return Poll::Ready(Ok(accepted)),
                    Err((error, mut alert)) => {
                        let _ = alert.write_all(&mut AtOnce(&self.socket));
                        return Poll::Ready(Err(Failure::of(&error)));
                    }
                }
            }
        })
        .await
    }

    async fn refuse_unknown(&self, present: &Present, server: &Server) -> Result<(), Failure> {
        let name = self.server_name.as_deref();
        let unknown = server.settings().unknown_name;
        if !present.certificates.of(name, unknown).is_empty() {
            return Ok(());
        }
        let _ = AtOnce(&self.socket).write_all(&UNRECOGNIZED_NAME);
        let detail = match name {
            Some(_) => "no certificate has the name that the client asks for",
            None => "the client asks for no name",
        };
        Err(Failure::new(Kind::UnknownName, detail))
    }

    fn carrier<'s, 'c, 'w>(&'s mut self, cx: &'c mut Context<'w>) -> Carrier<'s, 'c, 'w> {
        Carrier {
            socket: &mut self.socket,
            border: &mut self.border,
            cx,
        }
    }

    fn poll_complete(
        &mut self,
        connection: &mut ServerConnection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let mut carrier = self.carrier(cx);
            while connection.wants_write() {
                match connection.write_tls(&mut carrier) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Poll::Ready(Err(gone(&error))),
                }
            }
            if !connection.is_handshaking() {
                return match connection.wants_write() {
                    true => Poll::Pending,
                    false => Poll::Ready(Ok(())),
                };
            }
            match connection.read_tls(&mut carrier) {
                Ok(0) => return Poll::Ready(Err(closed())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(gone(&error))),
            }
            Secrets::told();
            let processed = connection.process_new_packets();
            let told = Secrets::told();
            if told.are_known() {
                self.secrets = told;
            }
            if let Err(error) = processed {
                let _ = connection.write_tls(&mut AtOnce(&self.socket));
                return Poll::Ready(Err(Failure::of(&error)));
            }
        }
    }
}

impl Session {
    fn of(connection: &ServerConnection, server_name: Option<Box<str>>) -> Session {
        let suite = connection.negotiated_cipher_suite();
        let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("");
        Session {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            // rustls marks the suites of TLS 1.3; IANA does not.
            cipher: match cipher.strip_prefix("TLS13_") {
                Some(rest) => Cow::Owned(format!("TLS_{rest}")),
                None => Cow::Borrowed(cipher),
            },
            server_name,
            client: { connection.peer_certificates() }
                .and_then(|chain| ClientCertificate::of(chain.first()?))
                .map(Box::new),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// A method and a blank, as every request of HTTP begins.
fn looks_like_http(read: &[u8]) -> bool {
    let end = read.iter().position(|byte| !byte.is_ascii_alphabetic());
    end.is_some_and(|end| end > 0 && read[end] == b' ' && !read.starts_with(b"PROXY "))
}

fn closed() -> Failure {
    Failure::new(
        Kind::Closed,
        "the client closed the connection in the handshake",
    )
}

fn gone(error: &io::Error) -> Failure {
    Failure::new(Kind::Closed, format!("the connection is lost: {error}"))
}
