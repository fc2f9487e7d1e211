//! The limit of open files: raised at the start, told once when it is reached, and never so
//! that a process that has reached it cannot be asked or told anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::net::RecvFlags;
use serde_json::Value;

use crate::support::admin::{parsed, printed, status};
use crate::support::process::Line;
use crate::support::proxy::{field, limited};
use crate::support::{Proxy, Succession, Wire};

const TOML: &str = "workers = 2\n[http]\nkeepalive_timeout = \"10m\"\n\
                    [[listen]]\naddress = \"127.0.0.1:0\"\n\
                    [[route]]\nname = \"here\"\nrespond = { status = 200 }\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn said(lines: Vec<Line>, message: &str) -> Vec<Value> {
    let lines = lines.into_iter().map(|line| line.json);
    let wanted = lines.filter(|json| {
        let said = field(json, "message").as_str().unwrap_or_default();
        said.starts_with(message)
    });
    wanted.collect()
}

const OUT: &str = "file descriptors have run out";
const AGAIN: &str = "there are file descriptors again";

/// Connects until clients wait to be accepted.
fn fill(proxy: &Proxy, lines: impl Fn() -> Vec<Line>) -> Vec<Wire> {
    let mut clients: Vec<Wire> = Vec::new();
    let is_full = || !said(lines(), OUT).is_empty();
    while !is_full() {
        assert!(clients.len() < 2000, "the limit is never reached");
        let some: Vec<Wire> = (0..10).map(|_| proxy.send(GET)).collect();
        eventually!(some.iter().all(is_answered) || is_full());
        clients.extend(some);
    }
    clients
}

/// Whether something can be read.
fn is_answered(wire: &Wire) -> bool {
    let stream = wire.second().into_stream();
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(&stream, &mut [0; 1], flags).is_ok_and(|(bytes, _)| bytes > 0)
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one_and_that_is_said() {
    let proxy = Proxy::start_with(TOML, |command| limited(command, 64, 150));
    let raised = said(proxy.lines(), "the limit of open files was raised");
    assert_eq!(raised.len(), 1);
    assert_eq!(field(&raised[0], "from"), 64, "{}", raised[0]);
    assert_eq!(field(&raised[0], "to"), 150, "{}", raised[0]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3..5], ["150", "150"], "{line:?}");
}

#[test]
fn at_the_limit_everything_but_clients_goes_on() {
    let proxy = Proxy::start_with(TOML, |command| limited(command, 150, 150));
    let clients = fill(&proxy, || proxy.lines());
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(proxy.get_admin(path).0, 200, "{path}");
    }
    assert_eq!(status(&proxy)["generation"], 1);
    for command in [
        &["status"][..],
        &["reload"],
        &["drain", "--route", "here", "--detach"],
        &["undrain"],
    ] {
        let (code, _, err) = printed(&proxy.command(command));
        assert_eq!(code, 0, "{command:?}: {err}");
    }
    assert_eq!(status(&proxy)["generation"], 2);
    let errors = [("error", "descriptors")];
    assert!(proxy.scrape().sum("sluice_accept_errors_total", &errors) > 0.0);
    // Many more wait meanwhile: it is one episode.
    assert_eq!(said(proxy.lines(), OUT).len(), 1);
    assert!(said(proxy.lines(), AGAIN).is_empty());
    drop(clients);
    eventually!(!said(proxy.lines(), AGAIN).is_empty());
    let end = said(proxy.lines(), AGAIN).remove(0);
    assert!(field(&end, "failed").as_u64() > Some(0), "{end}");
    assert_eq!(proxy.ask("GET", "/", ""), 200);
    assert_eq!(said(proxy.lines(), OUT).len(), 1);
}

#[test]
fn at_the_limit_the_binary_can_be_replaced() {
    let start = |_: &std::path::Path, command: &mut Command| limited(command, 150, 150);
    let succession = Succession::start_with(|_| TOML.to_owned(), start);
    let mut clients = fill(&succession.proxy, || succession.proxy.lines());
    assert_eq!(clients.remove(0).read_head().status(), 200);
    let talk = || {
        let mut one = UnixStream::connect(succession.proxy.admin_socket()).unwrap();
        let _ = one.write_all(b"GET /v1/status HTTP/1.1\r\n");
        one
    };
    let _crowd: Vec<UnixStream> = (0..100).map(|_| talk()).collect();
    let outcome = succession.proxy.command(&["upgrade"]);
    let (code, _, err) = printed(&outcome);
    assert_eq!(code, 0, "{err}");
    drop(clients);
    eventually!(parsed(&succession.proxy.get_admin("/v1/status").1)["pid"] == succession.serving());
}

/// Everything that clients could have is had, and strangers crowd the admin interface with
/// heads that never end: orders of those who have the token are carried out all the same.
#[test]
fn strangers_do_not_use_up_what_is_kept_for_orders() {
    for limit in [256, 1024] {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&token, mode).unwrap();
        let toml = format!(
            "{TOML}[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n",
            token.display()
        );
        let proxy = Proxy::start_with(&toml, |command| limited(command, limit, limit));
        let clients = fill(&proxy, || proxy.lines());
        let half = "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n";
        let crowd = || -> Vec<TcpStream> {
            let some = (0..150).map(|_| {
                let mut stranger = TcpStream::connect(proxy.admin()).unwrap();
                let _ = stranger.write_all(half.as_bytes());
                stranger
            });
            some.collect()
        };
        let mut strangers = Vec::new();
        for command in [
            &["status"][..],
            &["reload"],
            &["drain", "--route", "here", "--detach"],
            &["undrain"],
        ] {
            strangers.extend(crowd());
            let token = ["--token-file", token.to_str().unwrap()];
            let (code, _, err) = printed(&proxy.command(&[command, &token].concat()));
            assert_eq!(code, 0, "{limit} {command:?}: {err}");
        }
        drop((clients, strangers));
    }
}

/// Whatever the limit is, those who follow a stream leave what orders need.
#[test]
fn followers_do_not_use_up_what_is_kept_for_orders() {
    for limit in [40, 48, 64, 128, 512] {
        let start = |_: &std::path::Path, command: &mut Command| limited(command, limit, limit);
        let succession = Succession::start_with(|_| TOML.to_owned(), start);
        let proxy = &succession.proxy;
        let clients = fill(proxy, || proxy.lines());
        let mut followers: Vec<(UnixStream, u16)> = Vec::new();
        for n in 0..60 {
            let path = ["/v1/events", "/v1/tap"][n % 2];
            let mut one = UnixStream::connect(proxy.admin_socket()).unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            one.write_all(request.as_bytes()).unwrap();
            let mut status = [0; 12];
            one.read_exact(&mut status).unwrap();
            let status = std::str::from_utf8(&status[9..]).unwrap().parse();
            followers.push((one, status.unwrap()));
        }
        let mut followed = followers.iter().map(|(_, status)| *status);
        assert!(
            followed.all(|status| [200, 503].contains(&status)),
            "{limit}"
        );
        let log = succession.file("access.log");
        let more = format!("[log]\naccess = \"{}\"\n", log.display());
        succession.configure(&(TOML.to_owned() + &more));
        for command in [
            &["status"][..],
            &["reload"],
            &["drain", "--route", "here", "--detach"],
            &["undrain"],
            &["upgrade"],
        ] {
            let (code, _, err) = printed(&proxy.command(command));
            assert_eq!(code, 0, "{limit} {command:?}: {err}");
        }
        drop((clients, followers));
    }
}
