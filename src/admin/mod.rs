//! The admin interface: questions about the running process and orders to it, as HTTP/1.1
//! with JSON on a listener of its own, served on the control thread.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the dashboard, a page for browsers |
//! | `GET /healthz` | 200 as long as the process answers |
//! | `GET /readyz` | 200 while new clients are welcome, else 503 |
//! | `GET /metrics` | the counts, as OpenMetrics or Prometheus text |
//! | `GET /openapi.json` | all of this for machines |
//! | `GET /v1/status` | [`status::Status`] |
//! | `GET /v1/config` | the configuration in force, without secrets |
//! | `GET /v1/routes` | a list of [`RouteView`] |
//! | `GET /v1/upstreams` | a list of [`UpstreamView`] |
//! | `GET /v1/tunnels` | [`TunnelList`]; parameters as in [`FilterRequest`], and `sort`, `order`, `limit`, `after` |
//! | `GET /v1/tunnels/ID` | [`TunnelView`] |
//! | `DELETE /v1/tunnels/ID` | 202, [`CloseOutcome`]; parameters `code` and `reason` |
//! | `POST /v1/tunnels/close` | takes a [`CloseRequest`], answers a [`CloseOutcome`] |
//! | `GET /v1/events` | [`Event`](crate::events::Event)s as they happen |
//! | `GET /v1/tap` | [`FrameView`](crate::tap::FrameView)s as they pass; parameters as in [`FilterRequest`], and `tunnel`, `payload`, `bytes` |
//! | `GET /v1/stats` | counts since the start, and the last five minutes |
//! | `POST /v1/reload` | [`Reloaded`](crate::process::order::Reloaded) |
//! | `GET /v1/drains` | a list of [`DrainView`](crate::process::order::DrainView) |
//! | `POST /v1/drain` | takes a [`DrainRequest`](crate::process::order::DrainRequest), answers a `DrainView` |
//! | `POST /v1/undrain` | takes an [`UndrainRequest`], answers the drains taken back |
//! | `POST /v1/upgrade` | takes an [`UpgradeRequest`](crate::process::order::UpgradeRequest), answers [`Upgraded`](crate::process::order::Upgraded) |
//!
//! Errors are [`OrderError`](crate::process::order::OrderError) with a status from 400. `socket_path`
//! says where it listens, `connection` and `slots` bound what a peer may cost, `guard` keeps browsers
//! out, `instance` commands for another sluice, `table` finds who answers; carrying out orders is up to `lifecycle`.

mod answer;
mod certificates;
mod close;
mod connection;
mod dashboard;
mod filter;
mod guard;
mod health;
mod history;
mod http;
pub mod instance;
mod known;
mod live;
mod numbers;
mod orders;
mod slots;
pub mod socket_path;
mod sse;
mod state;
mod stats;
pub mod status;
mod stream;
mod table;
mod tap;
mod token;
mod tunnels;
mod upstreams;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use self::connection::Server;
use crate::events;
use crate::net::listen::{Listener, Whom};
use crate::worker;

pub use self::close::{CloseOutcome, CloseRequest, check_reason, is_sendable, unsendable};
pub use self::filter::{FilterRequest, spelled_client};
pub use self::history::Point;
pub use self::http::HttpView;
pub use self::known::Known;
pub use self::orders::UndrainRequest;
pub use self::socket_path::{addresses, bind, default_socket};
pub use self::state::Context;
pub use self::tap::{LARGEST_PAYLOAD, TapBegun, TapEnded};
pub use self::token::Token;
pub use self::tunnels::{LARGEST_PAGE, TallyView, TunnelList, TunnelView};
pub use self::upstreams::{EndpointState, EndpointView, RouteView, UpstreamView};

/// The admin interface at work. Dropping it stops accepting; what has been accepted is
/// answered as long as the runtime runs.
#[derive(Debug)]
pub struct Admin {
    listener: Arc<Listener>,
    server: Arc<Server>,
    /// Accepts; `None` while that is paused.
    task: Option<JoinHandle<()>>,
    /// Follows the counts.
    history: JoinHandle<()>,
}

impl Admin {
    /// Begins to accept. Must be called inside the control thread's runtime.
    pub fn start(listener: Arc<Listener>, context: Context) -> Admin {
        let server = Arc::new(Server::new(context, &listener));
        events::switch_on();
        let history = tokio::spawn(server.follow());
        let mut admin = Admin {
            listener,
            server,
            task: None,
            history,
        };
        admin.resume();
        admin
    }

    /// The bound socket.
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// Stops accepting; clients wait in the kernel's queue. When this returns nothing else
    /// holds the listener.
    pub async fn pause(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Accepts again.
    pub fn resume(&mut self) {
        if self.task.is_none() {
            let server = self.server.clone();
            let serve = move |accepted| server.serve(accepted);
            let task = worker::accept(self.listener.clone(), Whom::Operators, serve);
            self.task = Some(tokio::spawn(task));
        }
    }

    /// Stops accepting, closes the socket, and waits, at most `limit`, until the requests
    /// that have been read are answered.
    pub async fn close(mut self, limit: Duration) {
        self.pause().await;
        let server = self.server.clone();
        drop(self);
        server.finish(limit).await;
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.history.abort();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
