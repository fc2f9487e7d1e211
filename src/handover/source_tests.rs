//! An idle connection that no process takes is served on where it was.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::*;
use crate::access_log::AccessLog;
use crate::config::{AccessLog as AccessTarget, LogConfig, LogFormat};
use crate::net::listen::{Accepted, ListenerInfo, Peer};
use crate::process::Shared;
use crate::snapshot::Snapshot;

const LONG: Duration = Duration::from_secs(10);

/// A worker and the client of an idle connection on it.
fn idle() -> (Workers, BufReader<TcpStream>) {
    let config = crate::config_file::parse(
        "listen = [{ address = '127.0.0.1:1' }]\nroute = [{ respond.status = 204 }]",
        "test",
    );
    let log = LogConfig {
        access: AccessTarget::Off,
        ..LogConfig::default()
    };
    let snapshot = Snapshot::new(Arc::new(config.unwrap()), Default::default());
    let shared = Arc::new(Shared {
        registry: Arc::default(),
        snapshot: ArcSwap::from_pointee(snapshot),
        connections: Arc::default(),
        access_log: ArcSwap::from_pointee(AccessLog::open(&log, LogFormat::Human).unwrap()),
        tracer: Default::default(),
        state: Default::default(),
    });
    let workers = Workers::start(1, &shared).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    let (server, peer) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let info = ListenerInfo::plain(80);
    let accepted = Accepted::from_parts(server.into(), Peer::Tcp(peer));
    workers
        .iter()
        .next()
        .unwrap()
        .serve(&shared, accepted, info);
    let mut client = BufReader::new(client);
    is_served(&mut client);
    (workers, client)
}

fn is_served(client: &mut BufReader<TcpStream>) {
    client
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 204"), "{line:?}");
    while line.trim() != "" {
        line.clear();
        assert!(
            client.read_line(&mut line).unwrap() > 0,
            "the connection ends"
        );
    }
}

#[tokio::test]
async fn one_that_nothing_hears_of_is_served_on() {
    let (workers, mut client) = idle();
    let (sink, taker) = unbounded_channel();
    drop(taker);
    let asked = workers.ask(|| {
        let sink = sink.clone();
        move || hand_off::export(1, &sink)
    });
    assert_eq!(asked.await, [1]);
    is_served(&mut client);
    is_served(&mut client);
    workers.stop();
}

#[tokio::test]
async fn one_that_goes_unasked_and_finds_no_taker_is_served_on() {
    let (workers, mut client) = idle();
    let (sink, taker) = unbounded_channel();
    drop(taker);
    workers.each(|| {
        let sink = sink.clone();
        move || hand_off::export_all(&sink)
    });
    is_served(&mut client);
    is_served(&mut client);
    workers.stop();
}

#[tokio::test]
async fn one_that_has_arrived_is_served_on_where_the_hand_off_ends() {
    let (workers, mut client) = idle();
    let mut sources = Sources::new(workers.clone());
    assert!(sources.ask(1, true).await);
    // Its task has let go of it by then; what came too late is served on all the same.
    let (worker, arrived) = tokio::time::timeout(LONG, sources.next()).await.unwrap();
    let HandOff::Exported(item) = arrived else {
        panic!("{arrived:?}");
    };
    sources.restore(worker, item);
    is_served(&mut client);
    assert!(sources.ask(1, true).await, "it can be asked again");
    sources.end().await;
    drop(sources);
    is_served(&mut client);
    workers.stop();
}
