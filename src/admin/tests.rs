//! Accepting is paused, taken up again and ended without a client being lost.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::access_log::AccessLog;
use crate::config::{AccessLog as AccessTarget, ListenAddress, LogConfig, LogFormat};
use crate::net::listen;
use crate::process::Shared;
use crate::process::order::Handle;
use crate::process::state::{Phase, ProcessState};
use crate::snapshot::Snapshot;
use crate::worker::workers::Workers;

const LONG: Duration = Duration::from_secs(10);

fn shared() -> Arc<Shared> {
    let config = crate::config_file::parse(
        "listen = [{ address = '127.0.0.1:1' }]\nroute = [{ respond.status = 204 }]",
        "test",
    );
    let log = LogConfig {
        access: AccessTarget::Off,
        ..LogConfig::default()
    };
    let snapshot = Snapshot::new(Arc::new(config.unwrap()), BTreeMap::new());
    let shared = Shared {
        registry: Arc::default(),
        snapshot: arc_swap::ArcSwap::from_pointee(snapshot),
        connections: Arc::default(),
        access_log: arc_swap::ArcSwap::from_pointee(
            AccessLog::open(&log, LogFormat::Human).unwrap(),
        ),
        tracer: Default::default(),
        state: ProcessState::default(),
    };
    shared.state.enter(Phase::Ready);
    Arc::new(shared)
}

/// An admin interface at this path, and where its orders would arrive.
fn start(path: PathBuf) -> (Admin, impl Sized) {
    let shared = shared();
    let (orders, arriving) = Handle::new();
    let context = Context {
        workers: Workers::start(1, &shared).unwrap(),
        shared,
        orders,
        source: None,
        token: None,
    };
    let address = ListenAddress::Unix { path, mode: 0o600 };
    let listener = Arc::new(listen::bind(&address).unwrap());
    (Admin::start(listener, context), arriving)
}

/// Asks in a thread; the answer's status line.
async fn ask(path: PathBuf) -> io::Result<String> {
    let question = move || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(LONG))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    };
    tokio::task::spawn_blocking(question).await.unwrap()
}

#[tokio::test]
async fn a_pause_keeps_clients_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let (mut admin, _orders) = start(path.clone());
    assert_eq!(ask(path.clone()).await.unwrap(), "HTTP/1.1 200 OK");

    admin.pause().await;
    assert_eq!(Arc::strong_count(admin.listener()), 1);
    let mut waiting = std::pin::pin!(ask(path.clone()));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    admin.pause().await;

    admin.resume();
    admin.resume();
    assert_eq!(waiting.await.unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(Arc::strong_count(admin.listener()), 2);
}

#[tokio::test]
async fn the_end_waits_for_answers_but_not_for_the_silent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let (admin, _orders) = start(path.clone());
    let mut silent = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert_eq!(ask(path.clone()).await.unwrap(), "HTTP/1.1 200 OK");
    // Sooner than the silent one's time for a request (10 s) is over.
    let closing = tokio::time::timeout(LONG / 2, admin.close(10 * LONG));
    assert!(closing.await.is_ok(), "it waits for no one");
    assert!(!path.exists());
    let mut nothing = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut nothing)
        .await
        .unwrap();
    assert!(nothing.is_empty());
    assert!(ask(path).await.is_err());
}
