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

    /// A tunnel that was offered; `bytes` are still to be written.
    ///
    /// # Errors
    /// Why it has to stay where it is.
    pub fn tunnel(
        &self,
        item: &TunnelItem,
        mut bytes: Vec<u8>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Adoptee, String> {
        let [client, upstream] = exactly(descriptors)?;
        if item.from_client > bytes.len() {
            return Err("its unsent bytes are not complete".to_owned());
        }
        let from_upstream = bytes.split_off(item.from_client);
        let spill = [bytes, from_upstream];
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
