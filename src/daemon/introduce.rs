//! The first words of a hand-over: this process introduces itself and its listeners to the one
//! that it has started, and hears whether that is ready.

use std::io;
use std::io::ErrorKind::InvalidData;
use std::os::fd::AsFd;
use std::time::Duration;

use super::control::Control;
use crate::handover::channel::Channel;
use crate::handover::launch::NextProcess;
use crate::handover::protocol::{self, FORMATS, Hello, Message, Offer, Ready};
use crate::net::tls::tickets;
use crate::process::order::OrderError;
use crate::tunnel_registry;

/// How long the new process may take to be ready: names are resolved meanwhile.
const READY: Duration = Duration::from_secs(60);
/// How often is looked whether it still runs.
const LOOK: Duration = Duration::from_millis(100);

impl Control {
    /// Introduces this process and its listeners, and waits until the other one accepts.
    pub(super) async fn wait_ready(
        &self,
        process: &mut NextProcess,
        channel: &mut Channel,
    ) -> Result<Ready, OrderError> {
        let pid = process.pid();
        let answer = tokio::select! {
            answer = self.introduce(channel) => answer,
            () = gone(process) => Ok(None),
            () = tokio::time::sleep(READY) => {
                return Err(OrderError::new(format!(
                    "the new process {pid} was not ready within {READY:?} and was killed"
                )));
            }
        };
        match answer {
            Ok(Some(Message::Ready(ready))) if ready.pid != pid => Err(OrderError::new(format!(
                "process {pid} was started, and {} took over: a script has to `exec` sluice",
                ready.pid
            ))),
            Ok(Some(Message::Ready(ready))) if ready.format > FORMATS.to => Err(OrderError::new(
                "the new process speaks a format that this one does not know",
            )),
            Ok(Some(Message::Ready(ready))) => Ok(ready),
            Ok(Some(Message::Failed(failed))) => Err(OrderError {
                error: failed.reason,
                details: failed.details,
            }),
            Err(error) if error.kind() == InvalidData => Err(OrderError::new(format!(
                "what was started speaks something else: {error}"
            ))),
            Ok(_) | Err(_) => {
                let how = how_ended(process).await;
                Err(OrderError::new(format!("{how} before it was ready")))
            }
        }
    }

    async fn introduce(&self, channel: &mut Channel) -> io::Result<Option<Message>> {
        let hello = Hello {
            formats: FORMATS,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            next_tunnel_id: tunnel_registry::next_id(),
            generation: self.shared.snapshot.load().generation,
            drains: self.shared.state.drains().in_force(),
            acknowledges: true,
            ticket_keys: tickets::export(),
        };
        let offered = self.offer_listeners(channel, hello).await;
        // A process that fails early does not read, but it has said why.
        match protocol::receive(channel).await {
            Ok(Some((message, _))) => Ok(Some(message)),
            Ok(None) => Ok(None),
            Err(error) => Err(offered.err().unwrap_or(error)),
        }
    }

    async fn offer_listeners(&self, channel: &Channel, hello: Hello) -> io::Result<()> {
        protocol::send(channel, Message::Hello(hello), &[]).await?;
        let listening = self.listeners.listening().iter().map(|one| &one.listener);
        for listener in listening.chain(self.listeners.unused()) {
            let offer = Offer::of(listener);
            protocol::send(channel, Message::Listener(offer), &[listener.as_fd()]).await?;
        }
        if let Some(admin) = &self.admin {
            let listener = admin.listener();
            let offer = Offer::of(listener);
            protocol::send(channel, Message::Admin(offer), &[listener.as_fd()]).await?;
        }
        protocol::send(channel, Message::EndOfListeners, &[]).await
    }
}

/// Returns when the process has ended, and its last words have had time to be heard.
async fn gone(process: &mut NextProcess) {
    while process.has_ended().is_none() {
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(LOOK).await;
}

/// How a process ended that has closed the stream.
pub(super) async fn how_ended(process: &mut NextProcess) -> String {
    let pid = process.pid();
    match process.wait().await {
        Some(status) => format!("the new process {pid} ended with {status}"),
        None => format!("the new process {pid} closed its standard input"),
    }
}
