//! The terminal while `sluice top` has it: raw, on the other screen, and given back as it
//! was on every way out, a panic and a signal included.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Frame};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// The terminal; dropping it gives it back.
pub struct Screen {
    terminal: DefaultTerminal,
    stop: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none that can be taken, or signals cannot be heard.
    pub fn open() -> io::Result<Screen> {
        // First: from here on a signal is no sudden end.
        let stop = hear_signals()?;
        // Puts a hook in front of a panic's message that gives the terminal back.
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        Ok(Screen { terminal, stop })
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, frame: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(frame).map(|_| ())
    }

    /// Whether a signal asks for the end, or the terminal is gone.
    pub fn told_to_stop(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Waits for something from the user. `None`: nothing came for so long, or the terminal
    /// is gone, which [`told_to_stop`](Self::told_to_stop) says from then on.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub fn next(&self, limit: Duration) -> io::Result<Option<Event>> {
        for limit in [Duration::ZERO, limit] {
            // Of a terminal that is gone crossterm reads for ever.
            if is_gone(limit)? {
                self.stop.store(true, Relaxed);
                return Ok(None);
            }
            if event::poll(Duration::ZERO)? {
                return event::read().map(Some);
            }
        }
        Ok(None)
    }
}

/// Waits for input. Whether there will never be any again.
fn is_gone(limit: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut input = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match rustix::event::poll(&mut input, Some(&limit)) {
        // A resize, or a signal to stop.
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => {
            let last = PollFlags::HUP | PollFlags::ERR;
            Ok(input[0].revents().intersects(last))
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// A flag that SIGTERM, SIGINT, SIGHUP and SIGQUIT set, whose default is an end that leaves
/// the terminal as it is.
fn hear_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::quit())?,
        ]
    };
    let told = stop.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(poll_fn(|context| {
                let any = signals
                    .iter_mut()
                    .any(|signal| signal.poll_recv(context).is_ready());
                if any { Poll::Ready(()) } else { Poll::Pending }
            }));
            told.store(true, Relaxed);
        })?;
    Ok(stop)
}
