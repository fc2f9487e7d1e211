//! Signals that service managers, log rotation and people send, and what they must not do.

use std::process::Command;

use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;

use crate::support::proxy::field;
use crate::support::websocket::{connect, exchange};
use crate::support::{EchoBackend, HttpBackend, Proxy};

fn kill(proxy: &Proxy, signal: &str) {
    let sent = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", signal])
        .arg(proxy.id().to_string())
        .status();
    assert!(sent.expect("a shell").success(), "{signal}");
}

#[test]
fn sigquit_drains() {
    let backend = EchoBackend::start();
    let mut proxy = Proxy::with(backend.address(), "[drain]\nover = \"0s\"\n");
    let mut socket = connect(&proxy, "/ws");
    proxy.signal(Signal::QUIT);
    let close = match socket.read().expect("a Close") {
        Message::Close(Some(close)) => u16::from(close.code),
        other => panic!("{other:?} instead of a Close"),
    };
    assert_eq!(close, 1012);
    drop(socket);
    assert!(proxy.wait_exit().success());
    proxy.wait_for_log("which signal it was", |line| {
        line.text.contains("draining") && line.text.contains("SIGQUIT")
    });
}

#[test]
fn sigusr1_opens_the_access_log_anew() {
    let backend = HttpBackend::start();
    let folder = tempfile::tempdir().unwrap();
    let (log, rotated) = (folder.path().join("access"), folder.path().join("access.1"));
    let access = format!("[log]\naccess = \"{}\"\n", log.display());
    let proxy = Proxy::with(backend.address(), &access);
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(proxy.ask("GET", "/before", ""), 200);
    eventually!(lines(&log).contains("/before"));
    std::fs::rename(&log, &rotated).unwrap();
    proxy.signal(Signal::USR1);
    proxy.wait_for_log("it is opened anew", |line| {
        line.text.contains("the access log was opened anew")
    });
    assert_eq!(proxy.ask("GET", "/after", ""), 200);
    eventually!(lines(&log).contains("/after"));
    assert!(!lines(&rotated).contains("/after"));
    assert!(proxy.reloads().is_empty(), "the configuration is not read");
}

#[test]
fn sigusr1_without_a_file_changes_nothing() {
    let backend = HttpBackend::start();
    let proxy = Proxy::minimal(backend.address());
    proxy.signal(Signal::USR1);
    proxy.wait_for_log("that there is none", |line| line.text.contains("SIGUSR1"));
    assert_eq!(proxy.ask("GET", "/", ""), 200);
}

#[test]
fn no_other_signal_closes_a_tunnel() {
    let backend = EchoBackend::start();
    let proxy = Proxy::minimal(backend.address());
    let mut socket = connect(&proxy, "/ws");
    let named = [
        "PIPE", "ALRM", "CONT", "WINCH", "URG", "CHLD", "VTALRM", "PROF", "IO", "PWR", "XCPU",
        "XFSZ", "16", // STKFLT, which shells do not know by name
    ];
    let real_time = (34..=64).map(|number| number.to_string());
    for signal in named.into_iter().map(str::to_owned).chain(real_time) {
        kill(&proxy, &signal);
        exchange(&mut socket, Message::text(signal));
    }
    for name in ["SIGALRM", "SIGSTKFLT", "SIGRTMIN+1"] {
        // As everywhere: a name, not a number.
        proxy.wait_for_log(name, |line| {
            line.text.contains("ignored: this signal") && field(&line.json, "signal") == name
        });
    }
}
