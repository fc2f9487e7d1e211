//! Those who watch the `observed` sluice for as long as it runs: one that
//! scrapes `/metrics` each second, one that follows `/v1/events`, and a
//! collector that takes its traces. Owns their threads, which share the
//! load's core, and counts what they got.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// How often it is scraped.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer of the admin interface may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// What a Prometheus of today asks for.
const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
     Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n\r\n";
const FOLLOW: &str = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The observers of one sluice; they leave when this is dropped.
pub struct Observers {
    socket: PathBuf,
    collector: TcpListener,
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What they got.
#[derive(Default)]
struct Seen {
    scrapes: AtomicU64,
    scraped: AtomicU64,
    events: AtomicU64,
    batches: AtomicU64,
    traced: AtomicU64,
    leaving: AtomicBool,
    /// Why one of them gave up.
    failure: OnceLock<String>,
}

impl Observers {
    /// Opens the collector for a sluice whose admin socket will be in `directory`.
    pub fn prepare(directory: &Path) -> io::Result<Self> {
        let collector = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            socket: directory.join("admin.sock"),
            address: collector.local_addr()?,
            collector,
            seen: Arc::default(),
        })
    }

    /// The part of the configuration that lets them in.
    pub fn settings(&self) -> String {
        format!(
            "[admin]\nlisten = \"unix:{}\"\n\
             [trace]\nendpoint = \"http://{}\"\nsample = 0.01\n",
            self.socket.display(),
            self.address
        )
    }

    /// Sends them to work, now that sluice runs. Fails where it cannot be
    /// scraped or followed.
    pub fn begin(&self) -> io::Result<()> {
        let collector = self.collector.try_clone()?;
        let events = follow(&self.socket)?;
        self.spawn(move |seen| collect(&collector, seen));
        self.spawn(move |seen| count_events(events, seen));
        let socket = self.socket.clone();
        scrape(&socket, &self.seen)?;
        self.spawn(move |seen| {
            while !seen.leaving.load(Relaxed) {
                thread::sleep(INTERVAL);
                scrape(&socket, seen)?;
            }
            Ok(())
        });
        Ok(())
    }

    /// That all of them are still at it.
    pub fn check(&self) -> io::Result<()> {
        match self.seen.failure.get() {
            Some(why) => Err(io::Error::other(format!("it was not observed: {why}"))),
            None => Ok(()),
        }
    }

    /// What they got, in a line.
    pub fn told(&self) -> String {
        let seen = &self.seen;
        format!(
            "observed by {} scrapes with {} bytes, {} events, {} batches of spans with {} bytes",
            seen.scrapes.load(Relaxed),
            seen.scraped.load(Relaxed),
            seen.events.load(Relaxed),
            seen.batches.load(Relaxed),
            seen.traced.load(Relaxed)
        )
    }

    fn spawn(&self, work: impl FnOnce(&Arc<Seen>) -> io::Result<()> + Send + 'static) {
        let seen = self.seen.clone();
        thread::spawn(move || {
            if let Err(error) = work(&seen) {
                seen.fail(&error);
            }
        });
    }
}

impl Drop for Observers {
    fn drop(&mut self) {
        self.seen.leaving.store(true, Relaxed);
        // Wakes the thread that accepts; the others end with sluice.
        let _ = rustix::net::shutdown(&self.collector, rustix::net::Shutdown::Both);
    }
}

impl Seen {
    fn fail(&self, error: &io::Error) {
        if !self.leaving.load(Relaxed) {
            let _ = self.failure.set(error.to_string());
        }
    }
}

fn ask(socket: &Path, request: &str) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    answer.read_line(&mut status)?;
    match status.starts_with("HTTP/1.1 200 ") {
        true => Ok(answer),
        false => Err(io::Error::other(format!("the answer was {status:?}"))),
    }
}

fn scrape(socket: &Path, seen: &Seen) -> io::Result<()> {
    let mut body = Vec::new();
    ask(socket, SCRAPE)?.read_to_end(&mut body)?;
    if !body.windows(5).any(|word| word == b"# EOF") {
        return Err(io::Error::other("a scrape without an end"));
    }
    seen.scrapes.fetch_add(1, Relaxed);
    seen.scraped.fetch_add(body.len() as u64, Relaxed);
    Ok(())
}

fn follow(socket: &Path) -> io::Result<BufReader<UnixStream>> {
    let answer = ask(socket, FOLLOW)?;
    answer.get_ref().set_read_timeout(None)?;
    Ok(answer)
}

/// Counts events until the stream ends, which it does with sluice only.
fn count_events(answer: BufReader<UnixStream>, seen: &Arc<Seen>) -> io::Result<()> {
    for line in answer.split(b'\n') {
        if line?.starts_with(b"event:") {
            seen.events.fetch_add(1, Relaxed);
        }
    }
    Err(io::Error::other("the events came to an end"))
}

/// Takes what comes (OTLP/HTTP) and looks into none of it.
fn collect(collector: &TcpListener, seen: &Arc<Seen>) -> io::Result<()> {
    loop {
        let (stream, _) = collector.accept()?;
        let seen = seen.clone();
        thread::spawn(move || {
            let mut requests = BufReader::new(&stream);
            while let Some(length) = take_request(&mut requests).unwrap_or_default() {
                seen.batches.fetch_add(1, Relaxed);
                seen.traced.fetch_add(length, Relaxed);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                if (&stream).write_all(answer).is_err() {
                    break;
                }
            }
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

/// Reads one request; the length of its body, `None` at the connection's end.
fn take_request(requests: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = 0;
    let mut line = String::new();
    while requests.read_line(&mut line)? > 0 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.trim().is_empty() {
            io::copy(&mut requests.take(length), &mut io::sink())?;
            return Ok(Some(length));
        }
        line.clear();
    }
    Ok(None)
}
