//! `sluice drain` and `undrain`: what is drained gets nothing new and loses its tunnels in
//! order, everything else goes on, and taking a drain back spares what it has not reached.

use crate::support;

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::process::Process;
use support::proxy::{binary, field};
use support::websocket::{connect, connect_with, exchange};
use support::{DEADLINE, EchoBackend, Proxy, Tool};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

fn two_endpoints(one: SocketAddr, other: SocketAddr) -> String {
    format!(
        "[drain]\nover = \"0s\"\ndeadline = \"10s\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [upstream.app]\nbalance = \"round-robin\"\nendpoints = [\"{one}\", \"{other}\"]\n\
         [[route]]\nname = \"chat\"\nupstream = \"app\"\n\
         websocket = {{ close_timeout = \"1s\" }}\n\
         [[route]]\nname = \"other\"\npath_prefix = \"/other\"\nto = \"{other}\"\n"
    )
}

fn close_of(socket: &mut WebSocket<TcpStream>) -> u16 {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(close))) => return close.code.into(),
            Ok(_) => {}
            Err(error) => panic!("an end without a Close: {error}"),
        }
    }
}

fn is_alive(socket: &mut WebSocket<TcpStream>) -> bool {
    socket.send(Message::text("hello")).is_ok() && matches!(socket.read(), Ok(Message::Text(_)))
}

fn order(proxy: &Proxy, arguments: &[&str]) -> String {
    let output = proxy.command(arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{error}");
    text
}

fn drains(proxy: &Proxy) -> Vec<Value> {
    let (status, body) = proxy.get_admin("/v1/drains");
    assert_eq!(status, 200);
    serde_json::from_str(&body).expect("JSON")
}

fn refused(proxy: &Proxy, path: &str) -> Option<String> {
    match connect_with(proxy, path, &proxy.origin(), &[]) {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            let after = answer.headers().get("retry-after").expect("Retry-After");
            Some(after.to_str().unwrap().to_owned())
        }
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_drained_endpoint_loses_its_tunnels_and_gets_nothing_new() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let toml = two_endpoints(one.address(), other.address());
    let proxy = Proxy::start(&toml);
    let mut tunnels: Vec<_> = (0..6).map(|_| connect(&proxy, "/")).collect();
    assert_eq!((one.handshakes().len(), other.handshakes().len()), (3, 3));

    let endpoint = format!("app/{}", one.address());
    let said = order(&proxy, &["drain", "--endpoint", &endpoint]);
    assert!(said.contains("3"), "{said}");
    let shown = order(&proxy, &["status"]);
    let row = shown.lines().find(|line| line.starts_with(&endpoint));
    assert!(
        row.is_some_and(|row| row.ends_with("  draining")),
        "{shown}"
    );
    let alive = tunnels
        .iter_mut()
        .filter_map(|tunnel| is_alive(tunnel).then_some(()));
    assert_eq!(alive.count(), 3);
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["endpoint"], one.address().to_string());
    assert_eq!(record["closed_by"], "drain");
    assert_eq!(record["sent_client"], 1012);

    for _ in 0..4 {
        assert!(is_alive(&mut connect(&proxy, "/")));
    }
    // A reload does not put it back into the balance.
    assert_eq!(
        field(
            &proxy.reload(&format!("{toml}\n[reload]\nwatch = false\n")),
            "level"
        ),
        "INFO"
    );
    assert!(is_alive(&mut connect(&proxy, "/")));
    assert_eq!(one.handshakes().len(), 3, "nothing new while it is drained");

    order(&proxy, &["undrain", "--endpoint", &endpoint]);
    for _ in 0..2 {
        assert!(is_alive(&mut connect(&proxy, "/")));
    }
    assert_eq!(one.handshakes().len(), 4, "it takes part again");
}

#[test]
fn a_drained_route_refuses_handshakes_and_others_do_not() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let proxy = Proxy::start(&two_endpoints(one.address(), other.address()));
    let (mut chat, mut elsewhere) = (connect(&proxy, "/"), connect(&proxy, "/other"));
    order(&proxy, &["drain", "--route", "chat"]);
    assert_eq!(close_of(&mut chat), 1012);
    assert_eq!(refused(&proxy, "/"), Some("5".to_owned()));
    exchange(&mut elsewhere, Message::text("not concerned"));
    exchange(
        &mut connect(&proxy, "/other"),
        Message::text("nor this one"),
    );
    assert_eq!(proxy.get_admin("/readyz").0, 200);
    order(&proxy, &["undrain"]);
    exchange(&mut connect(&proxy, "/"), Message::text("back"));
}

/// Otherwise it would be out of service when it returns, by an order that was carried out.
#[test]
fn a_drain_ends_with_what_it_was_for() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let toml = two_endpoints(one.address(), other.address());
    let proxy = Proxy::start(&toml);
    order(&proxy, &["drain", "--route", "chat"]);
    proxy.reload(&format!("{toml}\n[reload]\nwatch = false\n"));
    assert!(refused(&proxy, "/").is_some(), "it is configured");
    for name in ["gone", "chat"] {
        let event = proxy.reload(&toml.replace("\"chat\"", &format!("{name:?}")));
        assert_eq!(field(&event, "level"), "INFO", "{event}");
        exchange(&mut connect(&proxy, "/"), Message::text("in service"));
    }
    let ended = |what: &str| {
        let line = proxy.wait_for_log("the drain's end", |line| {
            line.text.contains("the drain has ended") && line.text.contains(what)
        });
        field(&line.json, "why")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(ended("route chat").contains("not configured any more"));
    // An endpoint, with a tunnel that outlives its removal, and one without.
    let keep = toml.replace("websocket = {", "websocket = { on_removed = \"keep\",");
    let without = keep.replace(&format!("\"{}\", ", one.address()), "");
    proxy.reload(&keep);
    let endpoint = format!("app/{}", one.address());
    let mut kept = [connect(&proxy, "/"), connect(&proxy, "/")];
    hold(
        &proxy,
        &json!({ "endpoint": { "upstream": "app", "endpoint": one.address() } }),
    );
    proxy.reload(&without);
    proxy.reload(&keep);
    assert!(ended(&endpoint).contains("back in service"));
    assert!(kept.iter_mut().all(is_alive), "they are spared");
    let before = one.handshakes().len();
    kept = [connect(&proxy, "/"), connect(&proxy, "/")];
    assert_eq!(one.handshakes().len(), before + 1, "it takes part");
    drop(kept);
    order(&proxy, &["drain", "--endpoint", &endpoint]);
    proxy.reload(&without);
    let drain = || drains(&proxy).last().expect("a drain").clone();
    eventually!(
        proxy
            .lines()
            .iter()
            .filter(|line| line.text.contains("the drain has ended"))
            .count()
            == 3
    );
    assert_eq!(drain()["undone"], false);
    assert_refused(&proxy, &["undrain"], "nothing is being drained");
    proxy.reload(&keep);
    let before = one.handshakes().len();
    for _ in 0..2 {
        assert!(is_alive(&mut connect(&proxy, "/")));
    }
    assert_eq!(one.handshakes().len(), before + 1, "it takes part");
}

#[test]
fn draining_everything_gives_up_readiness_until_it_is_taken_back() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let proxy = Proxy::start(&two_endpoints(one.address(), other.address()));
    let mut tunnels = [connect(&proxy, "/"), connect(&proxy, "/other")];
    order(&proxy, &["drain", "--all"]);
    for tunnel in &mut tunnels {
        assert_eq!(close_of(tunnel), 1012);
    }
    assert_eq!(proxy.get_admin("/readyz").0, 503);
    assert!(refused(&proxy, "/").is_some() && refused(&proxy, "/other").is_some());
    order(&proxy, &["undrain", "--all"]);
    assert_eq!(proxy.get_admin("/readyz").0, 200);
    assert!(refused(&proxy, "/").is_none());
}

#[test]
fn taking_a_drain_back_spares_what_it_has_not_reached() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let proxy = Proxy::start(&two_endpoints(one.address(), other.address()));
    let mut tunnels: Vec<_> = (0..10).map(|_| connect(&proxy, "/")).collect();
    let hour = json!({ "target": { "route": "chat" }, "over_ms": 3_600_000 });
    let (status, body) = proxy.post_admin("/v1/drain", &hour);
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        (
            drains(&proxy)[0]["total"].as_u64(),
            drains(&proxy)[0]["left"].as_u64()
        ),
        (Some(10), Some(10))
    );
    let (status, again) = proxy.post_admin("/v1/drain", &hour);
    assert_eq!(status, 409, "it is drained already: {again}");
    order(&proxy, &["undrain", "--route", "chat"]);
    let view = &drains(&proxy)[0];
    assert_eq!(
        (view["spared"].as_u64(), view["undone"].as_bool()),
        (Some(10), Some(true)),
        "{view}"
    );
    assert!(tunnels.iter_mut().all(is_alive));
}

/// Drains this target over an hour, so that it reaches no tunnel here.
fn hold(proxy: &Proxy, target: &Value) {
    let hour = json!({ "target": target, "over_ms": 3_600_000 });
    let (status, body) = proxy.post_admin("/v1/drain", &hour);
    assert_eq!(status, 200, "{body}");
}

#[test]
fn what_a_reload_removes_is_closed_though_a_drain_holds_it() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let whole = two_endpoints(one.address(), other.address());
    let route = whole.find("[[route]]\nname = \"chat\"").unwrap();
    let rest = whole.find("[[route]]\nname = \"other\"").unwrap();
    let no_route = [&whole[..route], &whole[rest..]].concat();
    let no_endpoint = whole.replace(&format!("\"{}\", ", one.address()), "");
    let endpoint = json!({ "endpoint": { "upstream": "app", "endpoint": one.address() } });
    let route = json!({ "route": "chat" });
    for (target, without) in [(&route, &no_route), (&endpoint, &no_endpoint)] {
        // The reload's drain takes them over, whether the other is taken back or not.
        for undrained in [true, false] {
            let proxy = Proxy::start(&whole);
            let mut tunnels = [connect(&proxy, "/"), connect(&proxy, "/")];
            hold(&proxy, target);
            let event = proxy.reload(without);
            assert_eq!(field(&event, "level"), "INFO", "{event}");
            if undrained {
                order(&proxy, &["undrain"]);
            }
            let of_one = proxy.wait_for_tunnel_close();
            assert_eq!(of_one["closed_by"], "reload", "{target} {of_one}");
            if target == &route {
                assert_eq!(tunnels.each_mut().map(close_of), [1012; 2]);
            }
            eventually!(drains(&proxy).iter().all(|view| view["left"] == 0));
        }
    }
}

#[test]
fn what_a_reload_removed_is_closed_when_the_drain_of_all_is_taken_back() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let whole = two_endpoints(one.address(), other.address());
    let proxy = Proxy::start(&whole);
    let (mut tunnel, mut stays) = (connect(&proxy, "/"), connect(&proxy, "/other"));
    hold(&proxy, &json!("all"));
    proxy.reload(&whole.replace("\"chat\"", "\"new\""));
    assert!(is_alive(&mut tunnel), "the drain of all holds it");
    order(&proxy, &["undrain"]);
    assert_eq!(close_of(&mut tunnel), 1012);
    let record = proxy.wait_for_tunnel_close();
    assert_eq!(record["detail"], "its route was removed", "{record}");
    assert!(is_alive(&mut stays));
}

#[test]
fn on_a_terminal_a_bar_shows_how_far_it_is() {
    if !Tool::require("script") {
        return;
    }
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let proxy = Proxy::start(&two_endpoints(one.address(), other.address()));
    let mut tunnels: Vec<_> = (0..4).map(|_| connect(&proxy, "/")).collect();
    let command = format!(
        "{} drain --route chat --admin {}",
        binary().display(),
        proxy.admin()
    );
    // Its own pseudoterminal.
    let mut shown = Command::new("script");
    shown.args(["-qec", &command, "/dev/null"]);
    shown.stdin(Stdio::null()).stdout(Stdio::piped());
    let shown = shown.spawn().expect("it starts");
    for tunnel in &mut tunnels {
        assert_eq!(close_of(tunnel), 1012);
    }
    drop(tunnels);
    let output = shown.wait_with_output().expect("it ends with the drain");
    let said = String::from_utf8_lossy(&output.stdout);
    let full = format!("\r[{}] 0 left, 4 closed, 0 cut", "#".repeat(20));
    assert!(said.contains(&full), "{said:?}");
    assert!(
        output.status.success() && said.contains("done: 4 closed"),
        "{said:?}"
    );
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let proxy = Proxy::start(&two_endpoints(one.address(), other.address()));
    let endpoint = format!("app/{}", one.address());
    for command in ["drain", "undrain"] {
        for (option, wanted, said) in [
            (
                "--route",
                "chatt",
                "there is no route `chatt`; did you mean `chat`?",
            ),
            ("--route", "nope", "known: `chat`, `other`"),
            ("--endpoint", "app/127.0.0.9:1", &*endpoint),
        ] {
            assert_refused(&proxy, &[command, option, wanted], said);
        }
    }
    assert_refused(
        &proxy,
        &["undrain", "--route", "chat"],
        "route chat is not being drained",
    );
}

fn assert_refused(proxy: &Proxy, arguments: &[&str], said: &str) {
    let output = proxy.command(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(error.contains(said), "{arguments:?}: {error}");
}

#[test]
fn a_removed_route_and_endpoint_are_known_while_they_have_tunnels() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let keep = "websocket = { on_removed = \"keep\"";
    let whole =
        two_endpoints(one.address(), other.address()).replace("websocket = {", &format!("{keep},"));
    let proxy = Proxy::start(&whole);
    let mut tunnels = [connect(&proxy, "/"), connect(&proxy, "/")];
    let endpoint = format!("app/{}", one.address());
    let without = whole.replace("\"chat\"", "\"new\"");
    proxy.reload(&without.replace(&format!("\"{}\", ", one.address()), ""));
    assert_refused(
        &proxy,
        &["undrain", "--route", "chat"],
        "route chat is not being drained",
    );
    assert_refused(
        &proxy,
        &["drain", "--route", "nope"],
        "known: `chat`, `new`, `other`",
    );
    for target in [["--route", "chat"], ["--endpoint", &endpoint]] {
        let [option, name] = target;
        order(&proxy, &["drain", option, name, "--over", "1h", "--detach"]);
        order(&proxy, &["undrain", option, name]);
    }
    assert!(tunnels.iter_mut().all(is_alive));
    let watched = order(&proxy, &["drain", "--route", "chat"]);
    assert!(watched.contains("done: 2 closed"), "{watched}");
    assert_eq!(tunnels.each_mut().map(close_of), [1012; 2]);
    // A new route of its name has nothing to do with that.
    proxy.reload(&whole);
    assert!(refused(&proxy, "/").is_none());
}

#[test]
fn a_drain_that_is_taken_back_ends_the_command_and_its_time() {
    let (one, other) = (EchoBackend::start(), EchoBackend::start());
    let proxy = Proxy::start(&two_endpoints(one.address(), other.address()));
    let mut tunnels: Vec<_> = (0..3).map(|_| connect(&proxy, "/")).collect();
    let mut command = Command::new(binary());
    command.args(["drain", "--route", "chat", "--over", "1h"]);
    command.args(["--admin", proxy.admin()]);
    let mut watching = Process::spawn("sluice drain", &mut command);
    watching.wait_for_line("progress", |line| line.text.starts_with("3 left"));
    order(&proxy, &["undrain", "--route", "chat"]);
    assert_eq!(watching.wait_exit(DEADLINE).code(), Some(1));
    watching.wait_for_line("the end", |line| {
        line.text == "taken back: 3 tunnels live on"
    });
    assert!(tunnels.iter_mut().all(is_alive));
    let elapsed = || drains(&proxy)[0]["elapsed_ms"].as_u64().expect("a number");
    let (first, uptime) = (elapsed(), || {
        support::admin::status(&proxy)["uptime_ms"]
            .as_u64()
            .expect("a number")
    });
    let then = uptime();
    eventually!(uptime() > then);
    assert_eq!(elapsed(), first, "it does not count on");
}
