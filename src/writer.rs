//! Where lines leave the process: a bounded queue and a thread that writes it out, so that no
//! worker and no control thread ever waits for who reads a log. What finds no room, or cannot
//! be written, is dropped and counted. There is one writer for standard output, one for
//! standard error, and one for each time that a file is opened.

mod pipe;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use self::pipe::{Pipe, whole_lines};
use crate::metrics::{self, Lines};
use crate::system::lock::lock;

/// Messages that may wait.
const MESSAGES: usize = 4096;
/// Bytes that may wait.
const BYTES: usize = 8 << 20;
/// How often a flush looks for room in the queue.
const FULL_QUEUE: Duration = Duration::from_millis(5);
/// How often a thread that waits for a reader looks whether its log is still wanted, and how
/// often losses are reported.
const LOOK: Duration = Duration::from_secs(1);

enum Message {
    Lines(Lines, Vec<u8>),
    /// There may be something to say within [`LOOK`].
    Wake,
    /// Tells when everything before it has been written.
    Flush(SyncSender<()>),
}

/// The way to a writer's thread; clones lead to the same one.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: SyncSender<Message>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Lines that found no room, and that no line has reported yet.
    dropped: AtomicU64,
    /// What [`Writer::wake`] asked for.
    woken: AtomicBool,
}

/// What a writer's thread writes to. Not `std::io`'s handles: a thread that holds their locks in a
/// write that hangs would hold up the end of the process.
enum Sink {
    Stdout,
    Stderr,
    File(File),
}

impl Writer {
    /// That of standard output.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn stdout() -> io::Result<Writer> {
        static STDOUT: OnceLock<Writer> = OnceLock::new();
        once(&STDOUT, "stdout", || Sink::Stdout, no_call)
    }

    /// That of standard error. `idle` is called within a second after [`Writer::wake`]; that
    /// of the first call counts.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn stderr(idle: fn()) -> io::Result<Writer> {
        static STDERR: OnceLock<Writer> = OnceLock::new();
        once(&STDERR, "stderr", || Sink::Stderr, idle)
    }

    /// One for an open file.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn file(file: File) -> io::Result<Writer> {
        start("log-file", Sink::File(file), no_call)
    }

    /// Queues whole lines, or drops and counts them. Never waits.
    pub fn write(&self, what: Lines, lines: Vec<u8>) {
        let length = lines.len();
        let waiting = self.state.waiting.fetch_add(length, Relaxed);
        // One that is alone in the queue is taken whatever its length.
        let result = match waiting == 0 || waiting + length <= BYTES {
            true => self.queue.try_send(Message::Lines(what, lines)),
            false => Err(TrySendError::Full(Message::Lines(what, lines))),
        };
        if let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) = result {
            self.state.waiting.fetch_sub(length, Relaxed);
            if let Message::Lines(what, lines) = back {
                let lost = count(&lines);
                metrics::lines_lost(what, lost);
                self.state.dropped.fetch_add(lost, Relaxed);
            }
        }
    }

    /// Has `idle` called soon.
    pub fn wake(&self) {
        if !self.state.woken.swap(true, Relaxed) {
            // A full queue keeps the thread awake anyway.
            let _ = self.queue.try_send(Message::Wake);
        }
    }

    /// Waits, at most `limit`, until all that was queued has been written.
    pub fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let (sender, receiver) = sync_channel(1);
        let mut message = Message::Flush(sender);
        // Not `send`: a log that is not read would hold up the end for ever.
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= until {
                return;
            }
            message = back;
            std::thread::sleep(FULL_QUEUE);
        }
        let _ = receiver.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn no_call() {}

fn once(
    place: &'static OnceLock<Writer>,
    name: &'static str,
    sink: impl FnOnce() -> Sink,
    idle: fn(),
) -> io::Result<Writer> {
    if let Some(writer) = place.get() {
        return Ok(writer.clone());
    }
    let writer = start(name, sink(), idle)?;
    // Of two that began at once the other one's thread ends with its writer.
    Ok(place.get_or_init(|| writer).clone())
}

fn start(name: &'static str, sink: Sink, idle: fn()) -> io::Result<Writer> {
    let (queue, receiver) = sync_channel(MESSAGES);
    let state = Arc::<State>::default();
    let stat = rustix::fs::fstat(sink.as_fd())?;
    let thread = Thread {
        pipe: Pipe::of(sink.as_fd()),
        inode: (stat.st_dev, stat.st_ino),
        sink,
        is_wanted: Arc::downgrade(&state),
        fails: None,
        given_up: false,
        told: None,
        idle,
    };
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || thread.run(&receiver))?;
    Ok(Writer { queue, state })
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// A file, also one that another program has opened.
type Inode = (u64, u64);

/// Files that a part of a line was written to, and not its rest: the next line begins with an end.
static TORN: Mutex<BTreeSet<Inode>> = Mutex::new(BTreeSet::new());

/// The thread's side.
struct Thread {
    sink: Sink,
    /// Lines go to it in pieces that stay whole.
    pipe: Option<Pipe>,
    inode: Inode,
    /// Gone with the last [`Writer`].
    is_wanted: Weak<State>,
    /// Lines lost since writing began to fail.
    fails: Option<u64>,
    /// The log is not wanted any more, and its reader has had its time.
    given_up: bool,
    /// When dropped lines were last reported.
    told: Option<Instant>,
    idle: fn(),
}

impl Thread {
    fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let message = match self.is_due() {
                false => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                true => queue.recv_timeout(LOOK),
            };
            match message {
                Ok(Message::Lines(what, lines)) => {
                    self.write(what, &lines);
                    if let Some(state) = self.is_wanted.upgrade() {
                        state.waiting.fetch_sub(lines.len(), Relaxed);
                    }
                }
                Ok(Message::Flush(done)) => {
                    let _ = done.send(());
                }
                Ok(Message::Wake) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let woken = self.is_wanted.upgrade();
                    if woken.is_some_and(|state| state.woken.swap(false, Relaxed)) {
                        (self.idle)();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tell_dropped();
        }
    }

    /// Whether something is to be said soon even if nothing comes.
    fn is_due(&self) -> bool {
        let state = self.is_wanted.upgrade();
        state.is_some_and(|state| state.woken.load(Relaxed) || state.dropped.load(Relaxed) > 0)
    }

    fn write(&mut self, what: Lines, lines: &[u8]) {
        let mut left = lines;
        match self.push(&mut left) {
            Ok(()) => {
                if let Some(lost) = self.fails.take() {
                    tracing::info!(lost, log = self.name(), "the log can be written again");
                }
            }
            Err(error) => {
                let lost = count(left);
                metrics::lines_lost(what, lost);
                // The rest of a queue of thousands is not waited for one by one.
                self.given_up |= error == Errno::CANCELED;
                if self.fails.is_none() && error != Errno::CANCELED {
                    let error = io::Error::from(error);
                    tracing::warn!(%error, log = self.name(), "the log cannot be written");
                }
                *self.fails.get_or_insert(0) += lost;
            }
        }
    }

    /// Writes as much as can be; `left` is what could not.
    fn push(&self, left: &mut &[u8]) -> Result<(), Errno> {
        while !left.is_empty() {
            let Some(pipe) = &self.pipe else {
                self.push_piece(left)?;
                continue;
            };
            let mut piece = whole_lines(left);
            let length = piece.len();
            let turn = pipe.turn(length, || self.wait())?;
            let result = self.push_piece(&mut piece);
            drop(turn);
            *left = &left[length - piece.len()..];
            result?;
        }
        Ok(())
    }

    /// Writes what is not to be interrupted.
    fn push_piece(&self, left: &mut &[u8]) -> Result<(), Errno> {
        // What was begun before it failed is not to swallow the next line.
        if lock(&TORN).remove(&self.inode)
            && let Err(error) = self.push_bytes(&mut &b"\n"[..])
        {
            lock(&TORN).insert(self.inode);
            return Err(error);
        }
        let all = *left;
        let result = self.push_bytes(left);
        let written = &all[..all.len() - left.len()];
        if result.is_err() && !written.is_empty() && !written.ends_with(b"\n") {
            lock(&TORN).insert(self.inode);
        }
        result
    }

    fn push_bytes(&self, left: &mut &[u8]) -> Result<(), Errno> {
        while !left.is_empty() {
            match rustix::io::write(self.sink.as_fd(), left) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => *left = &left[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for a reader as long as there is a sender.
    fn wait(&self) -> Result<(), Errno> {
        if self.given_up {
            return Err(Errno::CANCELED);
        }
        let mut waiting = [PollFd::from_borrowed_fd(self.sink.as_fd(), PollFlags::OUT)];
        let limit = LOOK.try_into().map_err(|_| Errno::INVAL)?;
        match poll(&mut waiting, Some(&limit)) {
            Err(error) if error != Errno::INTR => Err(error),
            _ if self.is_wanted.strong_count() == 0 => Err(Errno::CANCELED),
            _ => Ok(()),
        }
    }

    fn tell_dropped(&mut self) {
        if self.told.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        let state = self.is_wanted.upgrade();
        let lines = state.map_or(0, |state| state.dropped.swap(0, Relaxed));
        if lines > 0 {
            self.told = Some(Instant::now());
            tracing::warn!(
                lines,
                log = self.name(),
                "lines were dropped: the log is read too slowly"
            );
        }
    }

    fn name(&self) -> &'static str {
        match self.sink {
            Sink::Stdout => "stdout",
            Sink::Stderr => "stderr",
            Sink::File(_) => "file",
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Sink::Stdout => rustix::stdio::stdout(),
            Sink::Stderr => rustix::stdio::stderr(),
            Sink::File(file) => file.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests;
