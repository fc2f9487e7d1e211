//! The signals that sluice heeds, and those that it only outlives: a signal whose default is
//! to end the process would take every tunnel with it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use rustix::process::{Pid, Signal as Kind};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end a process by default and ask sluice for nothing. Real-time signals are
/// added to these. What is missing is sent by the kernel for a fault of the program (and
/// `SIGABRT`, by which a service manager gets its core dump), or ends nothing.
const OUTLIVED: [(Kind, &str); 8] = [
    (Kind::ALARM, "SIGALRM"),
    (Kind::VTALARM, "SIGVTALRM"),
    (Kind::PROF, "SIGPROF"),
    (Kind::IO, "SIGIO"),
    (Kind::POWER, "SIGPWR"),
    (Kind::STKFLT, "SIGSTKFLT"),
    (Kind::XCPU, "SIGXCPU"),
    (Kind::XFSZ, "SIGXFSZ"),
];

/// The real-time signals that a program may be sent (signal(7)); the C library keeps the two
/// before them to itself.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The signals, taken over from their defaults.
#[derive(Debug)]
pub struct Signals {
    heeded: Vec<(Wish, Signal)>,
    outlived: Vec<(String, Signal)>,
    missed: Missed,
}

/// What was asked for while something else went on, and is still to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// A reload.
    pub reload: bool,
    /// Log files are to be opened anew.
    pub reopen: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The end; the signal's name.
    End(&'static str),
    /// A reload (SIGHUP).
    Reload,
    /// Log files are to be opened anew (SIGUSR1).
    Reopen,
    /// A new binary (SIGUSR2).
    Upgrade,
}

impl Wish {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Wish::End(signal) => signal,
            Wish::Reload => "a reload (SIGHUP)",
            Wish::Reopen => "logs opened anew (SIGUSR1)",
            Wish::Upgrade => "an upgrade (SIGUSR2)",
        }
    }
}

impl Signals {
    /// Takes the signals over from their defaults; to be called inside the control thread's
    /// runtime, before anything is accepted.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        let heeded = [
            (Wish::End("SIGTERM"), SignalKind::terminate()),
            (Wish::End("SIGINT"), SignalKind::interrupt()),
            (Wish::End("SIGQUIT"), SignalKind::quit()),
            (Wish::Reload, SignalKind::hangup()),
            (Wish::Reopen, SignalKind::user_defined1()),
            (Wish::Upgrade, SignalKind::user_defined2()),
        ];
        let heeded = heeded.into_iter();
        let outlived = OUTLIVED.iter();
        let outlived = outlived.map(|(kind, name)| (kind.as_raw(), (*name).to_owned()));
        let real_time = REAL_TIME.map(|number| {
            let name = format!("SIGRTMIN+{}", number - REAL_TIME.start());
            (number, name)
        });
        let outlived = outlived.chain(real_time).filter_map(|(number, name)| {
            // A system without this one cannot send it either.
            let heard = signal(SignalKind::from_raw(number)).ok()?;
            Some((name, heard))
        });
        Ok(Signals {
            heeded: heeded
                .map(|(wish, kind)| Ok((wish, signal(kind)?)))
                .collect::<io::Result<_>>()?,
            outlived: outlived.collect(),
            missed: Missed::default(),
        })
    }

    /// The next signal that asks for something. Dropping the future loses none.
    pub async fn next(&mut self) -> Wish {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wish> {
        for (signal, heard) in &mut self.outlived {
            while heard.poll_recv(cx).is_ready() {
                tracing::info!(signal, "ignored: this signal asks sluice for nothing");
            }
        }
        for (wish, heard) in &mut self.heeded {
            if heard.poll_recv(cx).is_ready() {
                return Poll::Ready(*wish);
            }
        }
        Poll::Pending
    }

    /// Waits for a signal to end; what else is asked for waits for [`Signals::next`].
    pub async fn last(&mut self) -> &'static str {
        poll_fn(|cx| {
            for (wish, heard) in &mut self.heeded {
                if let Wish::End(name) = wish
                    && heard.poll_recv(cx).is_ready()
                {
                    return Poll::Ready(*name);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for a signal to end; what else is asked for is remembered, but for an upgrade.
    pub async fn end(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Wish::End(name) => return name,
                Wish::Reload => self.missed.reload = true,
                Wish::Reopen => self.missed.reopen = true,
                wish => tracing::warn!(
                    wish = wish.name(),
                    "ignored: sluice is busy ending or being replaced"
                ),
            }
        }
    }

    /// What was asked for meanwhile and is still to be done.
    pub fn take_missed(&mut self) -> Missed {
        std::mem::take(&mut self.missed)
    }
}

/// A signal that comes during a hand-over or after it is for the new process: for a reload, it
/// may have read the file before that was changed; and the end was to be that of the service.
pub(super) fn pass_on(signal: Kind, pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, signal)
    {
        let signal = match signal {
            Kind::HUP => "SIGHUP",
            Kind::USR1 => "SIGUSR1",
            Kind::TERM => "SIGTERM",
            _ => "another",
        };
        tracing::warn!(pid = pid.as_raw_pid(), signal, %error, "the new process could not be told");
    }
}
