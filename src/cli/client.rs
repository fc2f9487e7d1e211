//! How a command finds the running sluice and speaks to its admin interface: one HTTP/1.1
//! exchange a connection, over blocking sockets. What is asked stands in the commands.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::DEFAULT_FILES;
use super::target::{Target, reachable};
use crate::admin::{Token, default_socket, instance, place};
use crate::config::{self, AdminListen, ListenAddress};
use crate::net::listen;
use crate::process::order::Refused;

/// Time for a connect over TCP.
const CONNECT: Duration = Duration::from_secs(5);

/// Time for an answer that nothing has to be done for.
pub const QUICK: Duration = Duration::from_secs(10);

/// Time to say who one is.
const PROBE: Duration = Duration::from_secs(2);

/// The largest head of an answer, and the largest refusal behind it, in bytes.
const MAX_HEAD: u64 = 64 * 1024;

/// The largest answer in bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// A way to a running sluice.
#[derive(Debug)]
pub struct Client {
    target: Target,
    token: Option<Token>,
    /// The configuration file of the one that is meant, as requests name it.
    file: Option<String>,
}

/// A connection over which an answer comes for as long as somebody reads it.
trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// What an order or a question came to.
pub type Outcome<T> = Result<T, Refused>;

impl Client {
    /// For the sluice that the arguments mean.
    ///
    /// # Errors
    /// When they mean none.
    pub fn find(admin: Option<&Target>, file: Option<&Path>) -> io::Result<Client> {
        let mut files = DEFAULT_FILES.iter().map(Path::new);
        let file = match (admin, file) {
            (Some(target), _) => return Ok(Client::at(target.clone())),
            (None, Some(file)) => Some(file),
            (None, None) => files.find(|file| file.exists()),
        };
        match file {
            Some(file) => of_file(file),
            None => only_one().map(Client::at),
        }
    }

    /// The same for an order that brings another file for the running process: where that
    /// file says by an address which one is meant, it need not be the one that runs.
    ///
    /// # Errors
    /// As [`Client::find`].
    pub fn find_for_upgrade(admin: Option<&Target>, file: Option<&Path>) -> io::Result<Client> {
        let mut client = Client::find(admin, file)?;
        if let Some(file) = file
            && matches!(config::admin_of(file)?.listen, AdminListen::At(_))
        {
            client.file = None;
        }
        Ok(client)
    }

    fn at(target: Target) -> Client {
        Client {
            target,
            token: None,
            file: None,
        }
    }

    /// Whether the sluice there is the one that is meant; `None`: there is none.
    pub(super) fn is_meant(&self) -> Option<bool> {
        let (status, _) = self.line("/healthz", PROBE).ok()?;
        Some(status == 200)
    }

    /// The status and the text that a question is answered by within `limit`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn line(&self, path: &str, limit: Duration) -> io::Result<(u16, String)> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host());
        let answer = talk(self.connect(Some(limit))?, &self.with_fields(&head))?;
        let (status, body) = parse(&answer).ok_or_else(|| {
            io::Error::other(format!("the sluice at {} gave no answer", self.target))
        })?;
        Ok((status, String::from_utf8_lossy(body).into_owned()))
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

    /// Asks a question.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> io::Result<Outcome<T>> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host());
        self.exchange(&head, &[], Some(QUICK))
    }

    /// Asks for an end of something.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> io::Result<Outcome<T>> {
        let head = format!(
            "DELETE {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
            self.host()
        );
        self.exchange(&head, &[], Some(QUICK))
    }

    /// Asks for an answer without an end, and gives what follows its head.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn follow(&self, path: &str, fields: &str) -> io::Result<Outcome<impl BufRead + use<>>> {
        // HTTP/1.0 knows no chunks: the answer is what comes until the end.
        let head = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{fields}", self.host());
        let mut reader = BufReader::new(self.connect(None)?);
        let broken = |error: io::Error| {
            io::Error::other(format!("the sluice at {} broke off: {error}", self.target))
        };
        let request = self.with_fields(&head);
        reader.get_mut().write_all(&request).map_err(broken)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let before = head.len();
            let limit = MAX_HEAD - before as u64;
            (&mut reader)
                .take(limit)
                .read_until(b'\n', &mut head)
                .map_err(broken)?;
            if head.len() == before {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        if head.get(8..13) == Some(b" 200 ") {
            return Ok(Ok(reader));
        }
        let mut body = Vec::new();
        reader
            .take(MAX_HEAD)
            .read_to_end(&mut body)
            .map_err(broken)?;
        let why = serde_json::from_slice(&body).map_err(|error| broken(error.into()))?;
        let status = head
            .get(9..12)
            .and_then(|text| std::str::from_utf8(text).ok());
        let status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Err(self.with_advice(status, why)))
    }

    /// A refusal with what a command can do about it.
    fn with_advice(&self, status: u16, why: Refused) -> Refused {
        if status != 401 {
            return why;
        }
        Refused::new(match self.token {
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

    fn connect(&self, limit: Option<Duration>) -> io::Result<Box<dyn Duplex>> {
        Ok(match &self.target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, CONNECT)
                    .map_err(|error| self.nobody(&error))?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(Some(QUICK))?;
                Box::new(stream)
            }
            Target::Unix(path) => {
                let stream = listen::connect_unix(path).map_err(|error| self.nobody(&error))?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(Some(QUICK))?;
                Box::new(stream)
            }
        })
    }

    fn with_fields(&self, head: &str) -> Vec<u8> {
        let token = match &self.token {
            Some(token) => format!("Authorization: Bearer {}\r\n", token.as_str()),
            None => String::new(),
        };
        let file = match &self.file {
            Some(file) => format!("{}: {file}\r\n", instance::FIELD),
            None => String::new(),
        };
        format!("{head}{token}{file}User-Agent: sluice\r\nConnection: close\r\n\r\n").into_bytes()
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
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            self.host(),
            body.len()
        );
        self.exchange(&head, &body, limit)
    }

    fn host(&self) -> String {
        match &self.target {
            Target::Tcp(address) => address.to_string(),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        head: &str,
        body: &[u8],
        limit: Option<Duration>,
    ) -> io::Result<Outcome<T>> {
        let mut request = self.with_fields(head);
        request.extend_from_slice(body);
        let answer = talk(self.connect(limit)?, &request);
        let broken = |what: &dyn std::fmt::Display| {
            io::Error::other(format!("the sluice at {} {what}", self.target))
        };
        let answer = answer.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                broken(&"has not answered in time; it may still do what it was asked for")
            }
            _ => broken(&format_args!("broke off: {error}")),
        })?;
        let (status, body) =
            parse(&answer).ok_or_else(|| broken(&"gave no answer that can be understood"))?;
        let foreign = |error| {
            broken(&format_args!(
                "answered {status} in an unknown form: {error}"
            ))
        };
        if matches!(status, 200 | 202) {
            serde_json::from_slice(body).map(Ok).map_err(foreign)
        } else {
            let why = serde_json::from_slice(body).map_err(foreign)?;
            Ok(Err(self.with_advice(status, why)))
        }
    }

    fn nobody(&self, error: &io::Error) -> io::Error {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
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

/// The sluice of this configuration.
fn of_file(file: &Path) -> io::Result<Client> {
    let admin = config::admin_of(file)?;
    let mut client = match &admin.listen {
        AdminListen::Auto => return usual(file),
        AdminListen::At(ListenAddress::Tcp(address)) => Client {
            token: Token::configured(&admin)?,
            ..Client::at(Target::Tcp(reachable(*address)))
        },
        AdminListen::At(ListenAddress::Unix { path, .. }) => Client::at(Target::Unix(path.clone())),
        AdminListen::Off => {
            return Err(io::Error::other(format!(
                "{} switches the admin interface off (`admin.listen`)",
                file.display()
            )));
        }
    };
    client.file = Some(instance::spell(file));
    Ok(client)
}

/// The sluice of this file at one of the usual places. Where there is none, the first that
/// answers, which says whose it is.
fn usual(file: &Path) -> io::Result<Client> {
    let spelled = instance::spell(file);
    let client = |path| Client {
        file: Some(spelled.clone()),
        ..Client::at(Target::Unix(path))
    };
    let mut first = None;
    for client in place::present().into_iter().map(client) {
        match client.is_meant() {
            Some(true) => return Ok(client),
            Some(false) if first.is_none() => first = Some(client),
            _ => {}
        }
    }
    Ok(first.unwrap_or_else(|| client(fallback())))
}

/// The only sluice at the usual places.
fn only_one() -> io::Result<Target> {
    let lives = |path: &PathBuf| listen::connect_unix(path).is_ok();
    let mut living: Vec<PathBuf> = place::present().into_iter().filter(lives).collect();
    if living.len() > 1 {
        let all = living.iter().map(|path| format!("unix:{}", path.display()));
        let all: Vec<String> = all.collect();
        return Err(io::Error::other(format!(
            "several sluices run here ({}): say which one by --config FILE or --admin ADDR",
            all.join(", ")
        )));
    }
    Ok(Target::Unix(living.pop().unwrap_or_else(fallback)))
}

/// Where one would be looked for.
fn fallback() -> PathBuf {
    default_socket().unwrap_or_else(|| place::SYSTEM_SOCKET.into())
}

fn talk(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body; `None`: not all of an answer.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(answer).ok()? else {
        return None;
    };
    let status = head.code?;
    let declared = head
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let declared: usize = std::str::from_utf8(declared.value).ok()?.parse().ok()?;
    let body = answer.get(length..)?.get(..declared)?;
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

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
        assert_eq!(client.get::<()>("/").unwrap(), Err(Refused::new("no")));
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
    fn a_file_leads_to_its_sluice_however_wrong_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sluice.toml");
        let find = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Client::find(None, Some(&file)).map(|client| client.target)
        };
        let target = find("nonsense = 1\nx = = 3\n[admin]\nlisten = \"unix:/a/b\"\nmod = 1\n");
        assert_eq!(target.unwrap(), Target::Unix("/a/b".into()));
        let target = find("[admin]\nlisten = \"127.0.0.1:99\"\n[[route]]\n");
        assert_eq!(
            target.unwrap(),
            Target::Tcp("127.0.0.1:99".parse().unwrap())
        );
        let error = find("admin.listen = \"off\"\n").unwrap_err();
        assert!(error.to_string().contains("off"), "{error}");
        assert!(matches!(find(""), Ok(Target::Unix(_))));
        let absent = Client::find(None, Some(&dir.path().join("absent")));
        assert!(absent.unwrap_err().to_string().contains("absent"));
    }
}
