//! What happens, as `/v1/events` tells it and `sluice log` prints it: each kind once, and on
//! through a new process.

use crate::support;

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::{Mutex, mpsc};

use rustix::process::Signal;
use serde_json::Value;
use support::process::Process;
use support::proxy::binary;
use support::websocket::{handshake, masked_frame, open, tunnel_backend};
use support::{Proxy, RawBackend, Succession};

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";

/// `sluice log --json`, and what it has printed.
struct Log(Process);

impl Log {
    fn follow(admin: &str, more: &[&str]) -> Log {
        let mut command = Command::new(binary());
        command.args(["log", "--json", "--admin", admin]).args(more);
        Log(Process::spawn("sluice log", &mut command))
    }

    /// The first event of a kind that is wanted; waits for it.
    fn event(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let line = self.0.wait_for_line(kind, |line| {
            let event = read(&line.text);
            event["event"] == kind && wanted(&event)
        });
        read(&line.text)
    }
}

/// One that listens until its tunnel ends.
fn backend() -> RawBackend {
    tunnel_backend(|mut wire| {
        wire.read_until_close();
    })
}

fn toml(backend: &RawBackend) -> String {
    format!(
        "{LISTEN}[[route]]\nname = \"chat\"\npath_prefix = \"/ws\"\nupstream = \"app\"\n\
         [[route]]\nname = \"gone\"\npath_prefix = \"/gone\"\nupstream = \"nobody\"\n\
         [upstream.app]\nendpoints = \"{}\"\n\
         [upstream.nobody]\nendpoints = \"unix:/nowhere/app.sock\"\n",
        backend.address()
    )
}

fn refuse(proxy: &Proxy) {
    let foreign = handshake(proxy.address(), "/ws", "Origin: http://evil.test\r\n");
    assert_eq!(proxy.send(foreign).read_head().status(), 403);
}

#[test]
fn each_kind_is_told() {
    let backend = backend();
    let proxy = Proxy::start(&toml(&backend));
    let log = Log::follow(proxy.admin(), &["--past"]);
    refuse(&proxy);
    let refused = log.event("refused", |_| true);
    assert_eq!(refused["cause"], "origin-not-allowed");
    assert_eq!(
        (&refused["status"], &refused["route"]),
        (&403.into(), &"chat".into())
    );
    let said = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    assert!(
        said(&refused, "likely").contains("http://evil.test"),
        "{refused}"
    );
    assert!(
        said(&refused, "fix").contains("websocket.origin"),
        "{refused}"
    );

    // It listens by now, so that it is told of openings too.
    let mut tunnel = open(&proxy, "/ws/room");
    let opened = log.event("opened", |_| true);
    assert_eq!(
        (&opened["path"], &opened["route"]),
        (&"/ws/room".into(), &"chat".into())
    );
    tunnel.send(masked_frame(8, b"\x0f\xa1enough"));
    drop(tunnel);
    let closed = log.event("closed", |_| true);
    assert_eq!(closed["closed_by"], "client", "{closed}");
    assert_eq!(closed["client_close"]["code"], 4001, "{closed}");
    assert_eq!(closed["client_close"]["reason"], "enough", "{closed}");
    assert_eq!(closed["request_id"], opened["request_id"]);

    let unreached = "GET /gone HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(proxy.send(unreached).read_head().status(), 502);
    let health = log.event("health", |_| true);
    assert_eq!(
        (&health["upstream"], &health["state"]),
        (&"nobody".into(), &"avoided".into())
    );

    assert!(
        proxy
            .command(&["drain", "--route", "chat", "--over", "0s"])
            .status
            .success()
    );
    assert_eq!(
        log.event("drain", |event| event["state"] == "begun")["tunnels"],
        0
    );
    assert!(proxy.command(&["undrain"]).status.success());
    log.event("drain", |event| event["state"] == "taken_back");

    assert!(proxy.command(&["reload"]).status.success());
    assert_eq!(
        log.event("reload", |event| event["ok"] == true)["generation"],
        2
    );
    std::fs::write(proxy.config(), "bad").unwrap();
    assert!(!proxy.command(&["reload"]).status.success());
    let bad = log.event("reload", |event| event["ok"] == false);
    assert!(bad["error"].is_string() && bad["generation"] == 2, "{bad}");
}

#[test]
fn the_log_goes_on_in_the_process_that_takes_over() {
    let backend = backend();
    let mut succession = Succession::start(|_| toml(&backend));
    let log = Log::follow(&succession.admin(), &[]);
    // Openings have no number that could be asked for again.
    let mut tunnels = Vec::new();
    let mut is_heard = || {
        tunnels.push(open(&succession.proxy, "/ws/room"));
        !log.0.lines().is_empty()
    };
    eventually!(is_heard());
    // It comes late, when there is something to have missed.
    log.0.signal(Signal::STOP);
    succession.upgrade();
    assert!(succession.proxy.wait_exit().success());
    drop(tunnels);
    let closed = || {
        succession
            .proxy
            .scrape()
            .sum("sluice_tunnels_closed_total", &[])
    };
    eventually!(closed() as u64 >= 1);
    log.0.signal(Signal::CONT);
    let closed = log.event("closed", |_| true);
    assert_eq!(
        (&closed["path"], &closed["closed_by"]),
        (&"/ws/room".into(), &"client".into())
    );
}

/// Whatever the moment, the handshake has an outcome: a record, an event, and one count.
#[test]
fn a_handshake_whose_client_is_gone_is_an_outcome() {
    let (asked, pondering) = mpsc::channel();
    let asked = Mutex::new(asked);
    let mute = RawBackend::start(move |_, mut wire| {
        wire.read_head();
        asked.lock().unwrap().send(()).unwrap();
        wire.read_until_close();
    });
    let switching = backend();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("clients");
    let proxy = Proxy::start(&format!(
        "{LISTEN}[[listen]]\naddress = \"unix:{}\"\n\
         [[route]]\nname = \"mute\"\npath_prefix = \"/mute\"\nto = \"{}\"\n\
         [[route]]\nname = \"switches\"\nto = \"{}\"\n",
        socket.display(),
        mute.address(),
        switching.address()
    ));
    let log = Log::follow(proxy.admin(), &["--past"]);

    // Before the upstream's 101.
    let wire = proxy.send(handshake(proxy.address(), "/mute", ""));
    pondering.recv_timeout(support::DEADLINE).unwrap();
    wire.reset();
    // Between that 101 and ours, which this client cannot be written.
    let mut deaf = UnixStream::connect(&socket).unwrap();
    deaf.shutdown(Shutdown::Read).unwrap();
    let request = handshake(proxy.address(), "/switches", "User-Agent: deaf\r\n");
    deaf.write_all(request.as_bytes()).unwrap();

    for route in ["mute", "switches"] {
        let event = log.event("refused", |event| event["route"] == route);
        assert_eq!(event["cause"], "client-gone", "{event}");
        assert!(event["status"].is_null(), "{event}");
        let record = proxy.wait_for_access(route, |record| record["route"] == route);
        assert_eq!(
            (&record["kind"], &record["error"], &record["cause"]),
            (
                &"exchange".into(),
                &"client_closed".into(),
                &"client-gone".into()
            ),
            "{record}"
        );
        assert!(record["status"].is_null(), "{record}");
        assert!(record["protocol"].is_string(), "{record}");
        let counted = |labels: &[(&str, &str)]| {
            let scrape = proxy.scrape();
            scrape.sum("sluice_handshakes_refused_total", labels)
        };
        assert_eq!(counted(&[("route", route), ("cause", "client-gone")]), 1.0);
        assert_eq!(counted(&[("route", route)]), 1.0);
    }
    let opened = |record: &Value| record["kind"] == "tunnel_open";
    assert!(!proxy.access().iter().any(opened));
}
