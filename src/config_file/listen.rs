//! `[[listen]]`: where clients are accepted, and that no two blocks want the same place, nor
//! `admin.listen` that of one of them.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tls;
use crate::config::file::FileTable;
use crate::config::form::address::{AdminAddress, Bind};
use crate::config::form::file::FileMode;
use crate::config::form::listener::ListenerName;
use crate::config::listen::ListenTable;
use crate::config::{ListenAddress, Listener, Scheme};
use crate::setting::read::{Key, Located, Sink, nearest, quoted};

/// Permission bits of a unix socket where none are given.
pub(super) const DEFAULT_MODE: u32 = 0o660;

pub(super) fn listeners(file: &FileTable, sink: &mut Sink) -> Vec<Listener> {
    let Some(blocks) = file.listen.given() else {
        return Vec::new();
    };
    if blocks.value.0.is_empty() {
        sink.at(blocks, "`listen` is empty; at least one address is needed");
    }
    let mut taken: Vec<&Located<Bind>> = Vec::new();
    let mut listeners = Vec::new();
    for block in &blocks.value.0 {
        let table = &block.value;
        let Some(address) = table.address.given() else {
            continue;
        };
        if let Some(other) = taken
            .iter()
            .find(|other| overlap(&other.value, &address.value))
        {
            let message = clash(&other.value, &address.value);
            sink.at(address, message)
                .related(other.span.clone(), "taken here");
        }
        taken.push(address);
        listeners.push(listener(table, &address.value, sink));
    }
    admin_apart(file, &taken, sink);
    names(file, sink);
    listeners
}

/// Names are there once, and what routes call by them is there.
fn names(file: &FileTable, sink: &mut Sink) {
    let blocks = file.listen.value().into_iter().flat_map(|blocks| &blocks.0);
    let mut given: Vec<&Located<ListenerName>> = Vec::new();
    for name in blocks.filter_map(|block| block.value.name.given()) {
        if let Some(first) = given.iter().find(|first| first.value == name.value) {
            sink.at(name, format!("two listeners are named `{}`", name.value.0))
                .related(first.span.clone(), "first here");
            continue;
        }
        given.push(name);
    }
    let routes = file.route.value().into_iter().flat_map(|blocks| &blocks.0);
    for wanted in routes
        .filter_map(|route| route.value.listen.value())
        .flat_map(|all| &all.0)
    {
        if given.iter().any(|name| name.value == wanted.value) {
            continue;
        }
        let names = || given.iter().map(|name| name.value.0.as_str());
        let hint = match nearest(&wanted.value.0, names()) {
            _ if given.is_empty() => {
                format!(
                    "write `name = \"{}\"` in its `[[listen]]` block",
                    wanted.value.0
                )
            }
            Some(meant) if given.len() > 1 => {
                format!("did you mean `{meant}`? there are {}", quoted(names()))
            }
            _ => format!("there is {}", quoted(names())),
        };
        sink.at(wanted, format!("no listener is named `{}`", wanted.value.0))
            .hint(hint);
    }
}

/// The admin interface has a listener of its own.
fn admin_apart(file: &FileTable, taken: &[&Located<Bind>], sink: &mut Sink) {
    let listen = file.admin.value().and_then(|admin| admin.listen.given());
    let Some(listen) = listen else { return };
    let AdminAddress::At(bind) = &listen.value else {
        return;
    };
    if let Some(other) = taken.iter().find(|other| overlap(&other.value, bind)) {
        let message = clash(&other.value, bind);
        sink.at(listen, message)
            .hint("the admin interface needs an address of its own")
            .related(other.span.clone(), "clients are accepted here");
    }
}

fn listener(table: &ListenTable, bind: &Bind, sink: &mut Sink) -> Listener {
    if let (Some(redirect), true) = (
        table
            .redirect_to_https
            .given()
            .filter(|given| given.value.0.is_some()),
        table.tls.value().is_some() || table.scheme.value() == Some(&Scheme::Https),
    ) {
        sink.at(
            redirect,
            "clients of this listener have come by https already",
        )
        .hint("`redirect_to_https` belongs in the `[[listen]]` block of the plain port");
    }
    let mut listener = Listener {
        name: table.name.value().map(|name| name.0.as_str().into()),
        address: bind_address(bind, &table.mode, DEFAULT_MODE, sink),
        ..Listener::default()
    };
    table.apply(&mut listener);
    tls::secure(table, &mut listener, sink);
    listener
}

/// The address with the permission bits of a unix socket.
pub(super) fn bind_address(
    bind: &Bind,
    mode: &Key<FileMode>,
    default_mode: u32,
    sink: &mut Sink,
) -> ListenAddress {
    match bind {
        Bind::Tcp(address) => {
            if let Some(mode) = mode.given() {
                sink.at(
                    mode,
                    "`mode` belongs to unix sockets; this is a TCP address",
                );
            }
            ListenAddress::Tcp(*address)
        }
        Bind::Unix(path) => {
            if let Some(mode) = mode.given()
                && path.as_os_str().as_bytes().starts_with(b"@")
            {
                sink.at(
                    mode,
                    "`mode` belongs to sockets with a file; every local user can connect to one \
                     in the abstract namespace",
                );
            }
            ListenAddress::Unix {
                path: path.clone(),
                mode: mode.value().map_or(default_mode, |mode| mode.0),
            }
        }
    }
}

/// Whether the second of the two could not be bound.
fn overlap(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (Bind::Unix(one), Bind::Unix(other)) => spelled(one) == spelled(other),
        (Bind::Tcp(one), Bind::Tcp(other)) => {
            one.port() != 0
                && one.port() == other.port()
                && (one.ip() == other.ip() || covers(one, other) || covers(other, one))
        }
        _ => false,
    }
}

/// From the root, without `.` and `//`. What links lead to is found out by binding.
fn spelled(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// `[::]` takes IPv4 too, `0.0.0.0` only that.
fn covers(wide: &SocketAddr, narrow: &SocketAddr) -> bool {
    match wide.ip() {
        IpAddr::V6(ip) => ip.is_unspecified(),
        IpAddr::V4(ip) => ip.is_unspecified() && narrow.is_ipv4(),
    }
}

fn clash(one: &Bind, other: &Bind) -> String {
    match (one, other) {
        (Bind::Tcp(one), Bind::Tcp(other)) if one != other => {
            format!("{other} and {one} can't both be listened on: one takes in the other")
        }
        (_, Bind::Tcp(address)) => format!("{address} is listened on twice"),
        (_, Bind::Unix(path)) => format!("unix:{} is listened on twice", path.display()),
    }
}
