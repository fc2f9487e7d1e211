//! The listeners that a process starts with: from the one that it takes over from, from the
//! service manager, or bound.

use std::path::Path;
use std::sync::Arc;

use super::start_error::StartError;
use crate::admin;
use crate::config::Config;
use crate::handover::take::Taking;
use crate::net::listen::{self, Listener, ListenerInfo};
use crate::net::tls::Server;
use crate::supervise::sockets;

/// A listener that is not accepted from yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: Arc<Listener>,
    pub(super) listener_info: ListenerInfo,
    /// The service manager opened it.
    pub(super) activated: bool,
}

/// Takes the listeners and that of the admin interface from the old process or from what
/// the service manager opened, and binds the others.
pub(super) fn bind(
    config: &Config,
    servers: &[Option<Arc<Server>>],
    source: Option<&Path>,
    mut activated: sockets::Inherited,
    mut taking: Option<&mut Taking>,
) -> Result<(Vec<Bound>, Option<Arc<Listener>>), StartError> {
    let mut all = Vec::with_capacity(config.listeners.len());
    for (wanted, server) in config.listeners.iter().zip(servers) {
        let address = &wanted.address;
        let from_manager = activated.take(address)?;
        let is_activated = from_manager.is_some();
        let taken = match &mut taking {
            Some(taking) => taking.listener(address)?,
            None => from_manager.map(Arc::new),
        };
        let listener = match taken {
            Some(taken) => taken,
            None => Arc::new(listen::bind(address)?),
        };
        let port = listener.local_addr().map_or(0, |address| address.port());
        let listener_info = ListenerInfo::new(wanted, server.clone(), port);
        all.push(Bound {
            listener,
            listener_info,
            activated: is_activated,
        });
    }
    let places = admin::addresses(&config.admin, source);
    let mut admin = None;
    for address in &places {
        if admin.is_none() {
            admin = match &mut taking {
                Some(taking) => taking.admin(address)?,
                None => activated.take(address)?.map(Arc::new),
            };
        }
    }
    let wanted = config.listeners.iter().map(|one| &one.address);
    activated.finish(wanted.chain(places.first()))?;
    let admin = match admin {
        Some(taken) => Some(taken),
        None => admin::bind(&config.admin, source)?.map(Arc::new),
    };
    Ok((all, admin))
}
