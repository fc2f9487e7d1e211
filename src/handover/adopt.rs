//! Tunnels and connections from the old process: checked and counted when they are offered, and
//! started on a worker when they were let go.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::protocol::{ConnectionItem, TunnelItem};
use crate::net::listen::Accepted;
use crate::net::listen::ListenerInfo;
use crate::process::Shared;
use crate::proxy::load::Guard;
use crate::proxy::tunnel_record;
use crate::system::descriptors;
use crate::tls_record::{Exported, Session};
use crate::tunnel::{self, Resume, TunnelState};
use crate::tunnel_registry;
use crate::upstream::{Address, Lease};
use crate::worker::workers::Workers;
use crate::worker::{Command, Worker};

/// Finds a place in this process for what is offered.
#[derive(Debug)]
pub struct Adopter {
    shared: Arc<Shared>,
    workers: Workers,
}

/// An item that can be started; dropping it closes this process's descriptors only.
#[derive(Debug)]
pub struct Adoptee {
    worker: usize,
    what: What,
}

/// What a tunnel holds: its share of the endpoint, where that has an address, and of the
/// process.
type Shares = (Option<Lease>, Guard);

#[derive(Debug)]
enum What {
    Tunnel(Box<Resume<Shares>>),
    Connection(Guard, Accepted, ListenerInfo),
}

impl Adoptee {
    /// Whether it is a tunnel.
    pub fn is_tunnel(&self) -> bool {
        matches!(self.what, What::Tunnel(_))
    }
}

impl Adopter {
    /// For this process.
    pub fn new(shared: Arc<Shared>, workers: Workers) -> Adopter {
        Adopter { shared, workers }
    }

    /// The workers.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The process.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A tunnel that was offered; `raw`: what is still to be written, and its TLS.
    ///
    /// # Errors
    /// Why it has to stay where it is.
    pub fn tunnel(
        &self,
        item: &TunnelItem,
        raw: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> Result<Adoptee, String> {
        let [client, upstream] = exactly(descriptors)?;
        let (spill, tls) = split(item, raw)?;
        let state: TunnelState = serde_json::from_str(item.state.get())
            .map_err(|error| format!("its state cannot be read: {error}"))?;
        state.check(&spill).map_err(|error| error.to_string())?;
        let (worker, guard) = self.admit()?;

        let snapshot = self.shared.snapshot.load();
        let about = &state.identity;
        let route = snapshot.route(&about.route);
        let settings = match route {
            Some(route) => route.config.websocket.clone(),
            None => Arc::new(state.settings.settings()),
        };
        let (name, retry_after) = match snapshot.upstreams.get(&about.upstream) {
            Some(upstream) => (upstream.name().clone(), upstream.config().retry_after),
            None => (about.upstream.as_str().into(), Duration::ZERO),
        };
        let lease = Address::parse(&about.endpoint).map(|address| {
            let endpoint = self.shared.registry.endpoint(&name, address);
            Lease::exchange(endpoint, retry_after).into_tunnel()
        });
        let identity = about.identity();
        let what = What::Tunnel(Box::new(Resume {
            client,
            upstream,
            tls,
            state,
            spill,
            settings,
            identity,
            guard: (lease, guard),
            report: tunnel_record::closed,
        }));
        Ok(Adoptee { worker, what })
    }

    /// An idle connection that was offered.
    ///
    /// # Errors
    /// Why it has to stay where it is.
    pub fn connection(
        &self,
        item: &ConnectionItem,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Adoptee, String> {
        let [client] = exactly(descriptors)?;
        // A socket that blocks would hold up every other one of its worker.
        rustix::io::ioctl_fionbio(&client, true).map_err(|error| error.to_string())?;
        let (worker, guard) = self.admit()?;
        let accepted = Accepted::from_parts(client, item.peer());
        Ok(Adoptee {
            worker,
            what: What::Connection(guard, accepted, item.listener_info()),
        })
    }

    /// Starts it: the old process has let it go.
    pub fn go(&self, adoptee: Adoptee) {
        let Some(worker) = self.workers.iter().nth(adoptee.worker) else {
            return;
        };
        let shared = self.shared.clone();
        worker.tell(match adoptee.what {
            What::Connection(guard, accepted, info) => Command::Serve(accepted, info, guard),
            What::Tunnel(resume) => Command::Do(Box::new(move || {
                let id = resume.state.id;
                match tunnel::resume(*resume) {
                    // One that comes late has missed the review of those before it.
                    Ok(handle) => {
                        if let Some(reviewer) = shared.state.reviewer() {
                            tunnel_registry::apply(
                                &handle,
                                reviewer.judge(&handle),
                                Instant::now(),
                            );
                        }
                    }
                    Err(error) => {
                        tracing::warn!(tunnel = id, %error, "a tunnel that was taken over is lost");
                    }
                }
            })),
        });
    }

    /// A place on the worker with the fewest connections, whatever `max_connections` says:
    /// what is open stays open.
    fn admit(&self) -> Result<(usize, Guard), String> {
        let workers = self.workers.iter().enumerate();
        let least = workers.min_by_key(|(_, worker)| worker.load());
        least
            .and_then(|(index, worker)| Some((index, Worker::admit(worker)?)))
            .ok_or_else(|| "there is no worker".to_owned())
    }
}

/// The raw bytes that came with an item: what came from each side, and the TLS of each.
type Parts = ([Vec<u8>; 2], [Option<Exported>; 2]);

fn split(item: &TunnelItem, raw: &[u8]) -> Result<Parts, String> {
    let cut = || "its unsent bytes are not complete".to_owned();
    let [own, other] = item.tls;
    let sealed = own.checked_add(other).ok_or_else(cut)?;
    let unsent = raw.len().checked_sub(sealed).ok_or_else(cut)?;
    let (unsent, sealed) = raw.split_at(unsent);
    let spill = unsent.split_at_checked(item.from_client).ok_or_else(cut)?;
    // What came from one side is written to the other.
    let tls = [
        session(&sealed[..own], spill.1)?,
        session(&sealed[own..], spill.0)?,
    ];
    Ok(([spill.0.to_vec(), spill.1.to_vec()], tls))
}

/// The TLS of a side, whose records may hold the beginning of what is to be written to it.
fn session(bytes: &[u8], unsent: &[u8]) -> Result<Option<Exported>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let session = Session::import(bytes).map_err(|error| error.to_string())?;
    if session.owed() > unsent.len() {
        return Err("its unsent records hold more than its unsent bytes".to_owned());
    }
    Ok(Some(Exported::from_bytes(bytes)))
}

/// A process that has run out of descriptors gets fewer than it was sent; and the reserve for
/// orders is not for clients.
fn exactly<const N: usize>(came: Vec<OwnedFd>) -> Result<[OwnedFd; N], String> {
    descriptors::use_room(N as u64);
    let came = match came.iter().any(descriptors::is_for_orders) {
        true => Vec::new(),
        false => came,
    };
    came.try_into().map_err(|_| {
        descriptors::ran_out();
        "the new process has too many open files (ulimit -n, LimitNOFILE)".to_owned()
    })
}
