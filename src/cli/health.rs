//! `sluice health`: is the proxy on this machine answering? For a container's HEALTHCHECK: no
//! name resolution, one line, exit code 0 or 1, in bounded time.
//!
//! It asks `OPTIONS *` with `Max-Forwards: 0` (RFC 9110 sections 7.6.2 and 9.3.7), a question
//! that no intermediary may pass on, so that a sick backend does not make its proxy look
//! sick. Any answer that sluice gives by itself means healthy; that of another program that has
//! the port does not.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use http::{HeaderMap, Method, Request, header};
use http_body_util::Full;

use super::output::colour;
use crate::client::api::Client;
use crate::client::speak::{self, Failure, Socket};
use crate::client::target::Target;
use crate::config_file;
use crate::config_file::default::file;
use crate::fault::answer::{PROXY_NAME, PROXY_STATUS};

/// Time for the whole check, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Whom `health` asks.
#[derive(Debug, Default, Args)]
pub struct HealthArguments {
    /// The URL to request
    #[arg(long, conflicts_with_all = ["config", "ready"])]
    pub url: Option<String>,
    /// Query /readyz of the admin interface instead: fails as soon as a drain starts
    #[arg(long)]
    pub ready: bool,
    /// Query the first listener of this file [default: ./sluice.toml, then
    /// /etc/sluice/sluice.toml]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How `health` goes without a file.
const WITHOUT_HEALTH: &str =
    "or say where sluice listens: sluice health --url http://127.0.0.1:8080/";

/// Asks a running proxy whether it is well.
///
/// # Errors
/// When the arguments name no sluice to ask.
pub fn run(
    arguments: &HealthArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    if arguments.ready {
        return ready(&Client::find(None, arguments.config.as_deref())?, out);
    }
    let target = match &arguments.url {
        Some(url) => {
            Target::parse(url).map_err(|error| io::Error::other(format!("{error} (--url)")))?
        }
        None => {
            match config_file::load_given(&file(arguments.config.as_deref(), WITHOUT_HEALTH)?) {
                Ok((config, _)) => Target::of(&config)
                    .ok_or_else(|| io::Error::other("the configuration has no listener"))?,
                Err(problems) => {
                    err.write_all(problems.render(colour()).as_bytes())?;
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
    };
    tell(&target, TIMEOUT, out)
}

/// Checks, prints one line, and says the exit code: 0 healthy, 1 not.
fn tell(target: &Target, timeout: Duration, out: &mut impl Write) -> io::Result<ExitCode> {
    match check(target, timeout) {
        Ok(status) => {
            writeln!(out, "healthy: {target} answered {status}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(out, "unhealthy: {target}: {error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Asks the admin interface for readiness, prints one line, and says the exit code: 0 ready, 1 not.
///
/// # Errors
/// When no sluice answers.
fn ready(client: &Client, out: &mut impl Write) -> io::Result<ExitCode> {
    let (status, line) = client.line("/readyz", TIMEOUT)?;
    writeln!(out, "{}", line.trim_end())?;
    Ok(match status {
        200 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The status that the listener answers within `timeout`.
///
/// # Errors
/// Why no sluice has answered.
pub fn check(target: &Target, timeout: Duration) -> io::Result<u16> {
    let question = Request::builder()
        .method(Method::OPTIONS)
        .uri("*")
        .header(header::HOST, "localhost")
        .header(header::MAX_FORWARDS, "0")
        .header(header::USER_AGENT, "sluice-health")
        .header(header::CONNECTION, "close")
        .body(Full::default())
        .map_err(io::Error::other)?;
    let deadline = Instant::now() + timeout;
    let socket = Socket::connect(target, timeout).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => no_answer(),
        _ => error,
    })?;
    let left = deadline.saturating_duration_since(Instant::now());
    let runtime = speak::runtime()?;
    let answer = runtime.block_on(async {
        let answer = tokio::time::timeout(left, speak::begin(socket, question));
        answer.await.unwrap_or(Err(Failure::Late))
    });
    let answer = answer.map_err(|failure| match failure {
        Failure::Late => no_answer(),
        Failure::Broken(error) => error,
        Failure::Closed => io::Error::other("the connection was closed without an answer"),
        Failure::Foreign => io::Error::other("what answered does not speak HTTP/1.1"),
    })?;
    let status = answer.status().as_u16();
    match is_of_sluice(answer.headers()) {
        true => Ok(status),
        false => Err(io::Error::other(format!(
            "another program answered ({status}): sluice names itself in Proxy-Status"
        ))),
    }
}

/// Whether sluice itself gave the answer: the intermediary nearest to the server stands first
/// (RFC 9209 section 2).
fn is_of_sluice(fields: &HeaderMap) -> bool {
    fields.get_all(&PROXY_STATUS).iter().any(|value| {
        let value = value.as_bytes().trim_ascii_start();
        let name = value.strip_prefix(PROXY_NAME.as_bytes());
        name.is_some_and(|rest| matches!(rest.first(), None | Some(b';' | b',' | b' ')))
    })
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    const LONG: Duration = Duration::from_secs(10);

    /// Answers one connection with these pieces, each in a segment of its own.
    fn answering(pieces: &'static [&'static str]) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut question = Vec::new();
            let mut byte = [0];
            while !question.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                question.push(byte[0]);
            }
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
            }
        });
        target
    }

    #[test]
    fn an_answer_of_sluice_is_healthy_and_no_other() {
        let own = &["HTTP/1.1 204 No Content\r\nProxy-Status: sluice\r\n\r\n"];
        assert_eq!(check(&answering(own), LONG).unwrap(), 204);
        let pieces = &[
            "HTT",
            "P/1.1 5",
            "03 Busy\r\nproxy-status: sluice; error=x\r\n",
            "\r\n",
        ];
        assert_eq!(check(&answering(pieces), LONG).unwrap(), 503);
        let told = tell(&answering(own), LONG, &mut io::sink());
        assert_eq!(told.unwrap(), ExitCode::SUCCESS);
        for foreign in [
            &["HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n"],
            &["HTTP/1.1 204 No Content\r\n\r\n"],
            &["HTTP/1.1 502 Bad\r\nProxy-Status: sluicegate; error=x\r\n\r\n"],
            &["HTTP/1.1 502 Bad\r\nProxy-Status: other, sluice\r\n\r\n"],
        ] {
            let error = check(&answering(foreign), LONG).unwrap_err().to_string();
            assert!(error.contains("another program answered"), "{error}");
        }
    }

    #[test]
    fn silence_nonsense_and_nobody_are_not() {
        let says = |target: &Target, timeout| check(target, timeout).unwrap_err().to_string();
        assert!(says(&answering(&["SSH-2.0-OpenSSH_9.2\r\n"]), LONG).contains("HTTP/1.1"));
        assert!(says(&answering(&["HTTP/1.1 20"]), LONG).contains("closed without an answer"));

        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(silent.local_addr().unwrap());
        assert_eq!(
            says(&target, Duration::from_millis(50)),
            "no answer in time"
        );
        drop(silent);
        assert_eq!(
            check(&target, LONG).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let told = tell(&target, LONG, &mut io::sink());
        assert_eq!(told.unwrap(), ExitCode::FAILURE);
    }

    #[test]
    fn unix_sockets_are_asked_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sluice.sock");
        let target = Target::Unix(path.clone());
        assert_eq!(
            check(&target, LONG).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nProxy-Status: sluice\r\n\r\n")
                .unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert_eq!(check(&target, LONG).unwrap(), 200);
    }
}
