//! The signals that sluice heeds.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, taken over from their defaults.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user2: Signal,
    /// A reload was asked for while something else went on.
    reload_missed: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The end; the signal's name.
    End(&'static str),
    /// A reload (SIGHUP).
    Reload,
    /// A new binary (SIGUSR2).
    Upgrade,
}

impl Signals {
    /// Takes the signals over from their defaults.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
            reload_missed: false,
        })
    }

    /// The next signal. Dropping the future loses none.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End("SIGTERM"),
            _ = self.interrupt.recv() => Wish::End("SIGINT"),
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.user2.recv() => Wish::Upgrade,
        }
    }

    /// Waits for a signal to end; a reload is remembered, an upgrade is not.
    pub async fn end(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Wish::End(name) => return name,
                Wish::Reload => self.reload_missed = true,
                wish => tracing::warn!(?wish, "ignored: sluice is busy ending or being replaced"),
            }
        }
    }

    /// Whether a reload was asked for meanwhile, and nobody has taken it up.
    pub fn take_missed_reload(&mut self) -> bool {
        std::mem::take(&mut self.reload_missed)
    }
}
