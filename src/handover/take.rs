//! The new side: takes the listeners before it binds any, says that it is ready, keeps room for
//! what comes, and takes tunnels and idle connections until the old process has no more.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};

use super::ENVIRONMENT;
use super::adopt::Adopter;
use super::channel::Channel;
use super::protocol::{self, FORMATS, Failed, Hello, LISTENERS_ONLY, Message, Offer, Ready};
use super::taken::{Finishing, Taken, is_end};
use crate::config::ListenAddress;
use crate::logging::structured;
use crate::net::listen::Listener;
use crate::process::order::Remaining;
use crate::system::descriptors;

/// How long the old process may take to introduce itself and its listeners.
const HELLO: Duration = Duration::from_secs(30);
/// How long no process may accept because the old one does not say what is to come.
const ANNOUNCEMENT: Duration = Duration::from_secs(1);
/// How long room is kept for an old process that is silent; one that is alive never is.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it may take to tell its service manager.
const FAREWELL: Duration = Duration::from_secs(1);

/// The connection to the process that this one takes over from.
#[derive(Debug)]
pub struct Inherited(OwnedFd);

impl Inherited {
    /// What standard input leads to, where this process was started to take over; it is
    /// replaced by `/dev/null`.
    ///
    /// # Errors
    /// When it is not connected to another process.
    pub fn from_environment() -> io::Result<Option<Inherited>> {
        if std::env::var_os(ENVIRONMENT).is_none_or(|value| value.is_empty()) {
            return Ok(None);
        }
        let stdin = io::stdin();
        let is_socket = rustix::net::sockopt::socket_type(&stdin) == Ok(SocketType::STREAM)
            && rustix::net::getsockname(&stdin)
                .is_ok_and(|name| name.address_family() == AddressFamily::UNIX);
        if !is_socket {
            return Err(io::Error::other(format!(
                "{ENVIRONMENT} is set, which only a sluice that is being upgraded does for the \
                 one that it starts; unset it"
            )));
        }
        let socket = stdin.as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Some(Inherited(socket)))
    }

    /// Reports why this process does not take over; to be called outside a runtime.
    pub fn fail(self, failed: Failed) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async {
                if let Ok(channel) = Channel::new(self.0) {
                    // If it cannot be sent, the end of the stream says so.
                    let _ = protocol::send(&channel, Message::Failed(failed), &[]).await;
                }
            });
        }
    }
}

/// What comes from the old process.
type Arrival = io::Result<Option<(Message, Vec<OwnedFd>)>>;

/// A listener that was received and not yet adopted.
type Came = (Offer, OwnedFd);

/// A hand-over that this process receives.
#[derive(Debug)]
pub struct Taking {
    channel: Channel,
    hello: Hello,
    format: u16,
    listeners: Vec<Came>,
    admin: Option<Came>,
    /// Unix sockets whose files this process removes once the old one is done.
    files: Vec<Weak<Listener>>,
    /// Of these, those that no process listens on any more: removed at once then.
    unwanted: Vec<Arc<Listener>>,
    /// The service manager's, which no listener of this process has.
    unused: Vec<Arc<Listener>>,
    /// What came instead of an announcement.
    early: Option<Arrival>,
    taken: Taken,
}

impl Taking {
    /// Waits for the old process's introduction and takes its listeners.
    ///
    /// # Errors
    /// When the other process is not a sluice; it was told.
    pub async fn begin(inherited: Inherited) -> io::Result<Taking> {
        let mut channel = Channel::new(inherited.0)?;
        let begun = tokio::time::timeout(HELLO, Taking::hear(&mut channel)).await;
        let begun = begun.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match begun {
            Ok((hello, format, listeners, admin)) => Ok(Taking {
                channel,
                taken: Taken::new(hello.acknowledges),
                hello,
                format,
                listeners,
                admin,
                files: Vec::new(),
                unwanted: Vec::new(),
                unused: Vec::new(),
                early: None,
            }),
            Err(error) => {
                let error = io::Error::new(error.kind(), format!("the hand-over failed: {error}"));
                let failed = Failed {
                    reason: error.to_string(),
                    ..Failed::default()
                };
                let _ = protocol::send(&channel, Message::Failed(failed), &[]).await;
                Err(error)
            }
        }
    }

    async fn hear(channel: &mut Channel) -> io::Result<(Hello, u16, Vec<Came>, Option<Came>)> {
        let hello = match protocol::receive(channel).await? {
            Some((Message::Hello(hello), _)) => hello,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let format = FORMATS.common(hello.formats).unwrap_or_else(|| {
            let (ours, theirs, version) = (FORMATS, hello.formats, &hello.version);
            tracing::warn!(
                version,
                ours = structured(&ours),
                theirs = structured(&theirs),
                "tunnels stay in the old process: no common format"
            );
            LISTENERS_ONLY
        });
        // The old process ends its child when it goes on itself; a grandchild would be left,
        // and accept beside it.
        if std::os::unix::process::parent_id() != hello.pid {
            return Err(io::Error::other(
                "what was started is not sluice itself: a script has to `exec` it",
            ));
        }
        let (mut listeners, mut admin) = (Vec::new(), None);
        loop {
            let (message, mut descriptors) = protocol::receive(channel)
                .await?
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut descriptor = || {
                descriptors
                    .pop()
                    .ok_or_else(|| io::Error::other("a listener came without its descriptor"))
            };
            match message {
                Message::Listener(offer) => listeners.push((offer, descriptor()?)),
                Message::Admin(offer) => admin = Some((offer, descriptor()?)),
                Message::EndOfListeners => return Ok((hello, format, listeners, admin)),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The process that hands over.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The socket that is bound to this address already, if the old process has one.
    ///
    /// # Errors
    /// When what was received is not a listening socket.
    pub fn listener(&mut self, address: &ListenAddress) -> io::Result<Option<Arc<Listener>>> {
        let found = self
            .listeners
            .iter()
            .position(|(offer, _)| offer.address.is(address));
        match found {
            Some(at) => {
                let came = self.listeners.remove(at);
                self.adopt(came, address).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The same for the listener of the admin interface.
    ///
    /// # Errors
    /// When what was received is not a listening socket.
    pub fn admin(&mut self, address: &ListenAddress) -> io::Result<Option<Arc<Listener>>> {
        match self.admin.take_if(|(offer, _)| offer.address.is(address)) {
            Some(came) => self.adopt(came, address).map(Some),
            None => Ok(None),
        }
    }

    fn adopt(&mut self, came: Came, address: &ListenAddress) -> io::Result<Arc<Listener>> {
        let (offer, socket) = came;
        let listener = Listener::adopt(socket, address, offer.owns_file)?;
        let listener = Arc::new(match offer.managed {
            true => listener.of_manager(),
            false => listener,
        });
        if listener.owns_file() {
            // Until then the old process may have to go on with it.
            listener.leave_file();
            self.files.push(Arc::downgrade(&listener));
        }
        Ok(listener)
    }

    /// The service manager's sockets that this process has no listener for; to be asked for
    /// once it is [`ready`](Taking::ready).
    pub fn take_unused(&mut self) -> Vec<Arc<Listener>> {
        std::mem::take(&mut self.unused)
    }

    /// Reports why this process does not take over after all.
    pub async fn fail(self, failed: Failed) {
        let _ = protocol::send(&self.channel, Message::Failed(failed), &[]).await;
    }

    /// Reports that this process can accept. Listeners that it did not take stay with the old process.
    /// This one goes on if the old process is gone: no other process serves then.
    ///
    /// # Errors
    /// When the old process cannot be told: it may have decided to go on.
    pub async fn ready(&mut self) -> io::Result<()> {
        let left: Vec<Came> = self.listeners.drain(..).chain(self.admin.take()).collect();
        for came in left {
            let address = came.0.address.listen();
            if came.0.managed {
                let listener = self.adopt(came, &address)?;
                self.unused.push(listener);
            } else if came.0.owns_file && matches!(address, ListenAddress::Unix { .. }) {
                let listener = self.adopt(came, &address)?;
                self.unwanted.push(listener);
            }
        }
        let ready = Ready {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: self.format,
            acknowledges: self.hello.acknowledges,
            takes_late: self.hello.acknowledges,
            makes_room: true,
            takes_tls: true,
        };
        match protocol::send(&self.channel, Message::Ready(ready), &[]).await {
            Err(error) if is_end(&error) => Ok(()),
            sent => sent,
        }
    }

    /// Waits until the old process has stopped accepting and says what is to come: from then on
    /// clients get only the descriptors that this leaves. One that is slow is not waited for, and
    /// an older version says nothing of the kind.
    pub async fn make_room(&mut self) {
        let first = protocol::receive(&mut self.channel);
        match tokio::time::timeout(ANNOUNCEMENT, first).await {
            Ok(Ok(Some((Message::Coming(coming), _)))) => {
                descriptors::keep_room(coming.descriptors);
            }
            Ok(other) => self.early = Some(other),
            Err(_) => {}
        }
    }

    async fn next(&mut self) -> Arrival {
        match self.early.take() {
            Some(early) => early,
            None => {
                let mut next = std::pin::pin!(protocol::receive(&mut self.channel));
                if let Ok(next) = tokio::time::timeout(SILENCE, next.as_mut()).await {
                    return next;
                }
                descriptors::keep_room(0);
                next.await
            }
        }
    }

    /// Takes what the old process gives until it has no more, or is gone. Returns whether it
    /// waits to hear that this one is [`done`](Taking::done).
    pub async fn take(&mut self, adopter: &Adopter) -> bool {
        let ended = self.serve(adopter).await;
        descriptors::keep_room(0);
        if ended.as_ref().is_err_and(is_end) {
            self.taken.all_go(adopter);
        }
        for file in self.files.iter().filter_map(Weak::upgrade) {
            file.take_file();
            file.set_mode(file.address());
        }
        self.unwanted.clear();
        let (from, pid) = (self.hello.pid, std::process::id());
        let Taken {
            tunnels,
            connections,
            refused,
            ..
        } = self.taken;
        match &ended {
            Ok(()) => tracing::info!(from, pid, tunnels, connections, refused, "taken over"),
            Err(error) => tracing::error!(
                from, pid, tunnels, connections, refused, %error,
                "the old process broke off its hand-over; this one serves"
            ),
        }
        ended.is_ok()
    }

    /// Reports that everything runs here, and waits until the old process has told the service
    /// manager which process goes on: notifications of this one are ignored before that. Returns
    /// the old process and what is left there, if it stays in touch.
    pub async fn done(mut self) -> Option<(Finishing, Remaining)> {
        if let Err(error) = protocol::send(&self.channel, Message::Done, &[]).await {
            tracing::warn!(%error, "the old process does not hear that it is done");
            return None;
        }
        let farewell = async {
            loop {
                match protocol::receive(&mut self.channel).await {
                    Ok(Some((Message::Echo, _))) => {}
                    Ok(Some((Message::Left(left), _))) => return Some(left),
                    _ => return None,
                }
            }
        };
        let left = tokio::time::timeout(FAREWELL, farewell).await.ok()?;
        left.map(|left| (Finishing::new(self.channel, self.taken), left))
    }

    async fn serve(&mut self, adopter: &Adopter) -> io::Result<()> {
        loop {
            let next = self.next().await?;
            let (message, descriptors) = next.ok_or(io::ErrorKind::UnexpectedEof)?;
            let handled = self
                .taken
                .handle(&self.channel, adopter, message, descriptors);
            match handled.await? {
                None => {}
                Some(Message::Coming(coming)) => descriptors::keep_room(coming.descriptors),
                Some(Message::End) => {
                    // After this answer of every worker everything runs.
                    adopter.workers().ask(|| || ()).await;
                    return Ok(());
                }
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}
