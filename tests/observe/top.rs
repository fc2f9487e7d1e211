//! `sluice top` against a real proxy: one printed frame, and a terminal that is given back as
//! it was.

use crate::support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use support::proxy::binary;
use support::websocket::{handshake, open, tunnel_backend};
use support::{Proxy, RawBackend};

fn proxy(sockets: &RawBackend, refusing: &RawBackend) -> Proxy {
    Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"chat\"\npath_prefix = \"/ws\"\nto = \"{}\"\n\
         [[route]]\nname = \"plain\"\npath_prefix = \"/plain\"\nto = \"{}\"\n",
        sockets.address(),
        refusing.address()
    ))
}

fn backends() -> (RawBackend, RawBackend) {
    let sockets = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let refusing = RawBackend::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    (sockets, refusing)
}

fn printed(proxy: &Proxy) -> String {
    let output = proxy.command(&["top", "--once"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn one_frame_is_printed_as_plain_text() {
    let (sockets, refusing) = backends();
    let proxy = proxy(&sockets, &refusing);
    let kept = open(&proxy, "/ws/kept");
    let mut gone = open(&proxy, "/ws/gone");
    gone.send(support::websocket::masked_frame(8, &[0x03, 0xe9]));
    drop(gone);
    proxy.wait_for_tunnel_close();
    let mut refused = proxy.send(handshake(proxy.address(), "/plain", ""));
    assert_eq!(refused.read_head().status(), 404);
    let record = proxy.wait_for_access("the refusal", |json| json["fix"].is_string());

    eventually!(printed(&proxy).contains("closed: 1 client"));
    eventually!(printed(&proxy).contains("refused: 1 "));
    let frame = printed(&proxy);
    let endpoint = format!("/{}", sockets.address());
    let cause = record["cause"].as_str().unwrap();
    for said in [
        "ready, version",
        "1 tunnel by route",
        "chat",
        &endpoint,
        "404 on plain",
        cause,
        "client sent 1001",
    ] {
        assert!(frame.contains(said), "{said}:\n{frame}");
    }
    assert!(!frame.contains('\x1b'), "{frame}");
    assert!(frame.lines().all(|line| line.chars().count() <= 80));
    drop(kept);
}

#[test]
fn without_a_terminal_it_says_what_there_is_instead() {
    let (sockets, refusing) = backends();
    let proxy = proxy(&sockets, &refusing);
    let output = proxy.command(&["top"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("sluice top --once"), "{said}");
}

/// A pseudo-terminal of 80 columns and 24 rows, and what has been written to it.
struct Terminal {
    master: File,
    slave: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open() -> Terminal {
        let (master, slave) = Terminal::pair();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (mut reader, ours) = (master.try_clone().unwrap(), written.clone());
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // Ends with an error when nobody has the other end open.
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                ours.lock().unwrap().extend_from_slice(&chunk[..n]);
            }
        });
        Terminal {
            master,
            slave,
            written,
        }
    }

    /// The terminal's own end, and that of who runs on it.
    fn pair() -> (File, OwnedFd) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let name = name.to_str().expect("a path");
        let slave = File::options().read(true).write(true).open(name);
        let slave = OwnedFd::from(slave.expect("our own terminal"));
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        (File::from(master), slave)
    }

    fn stdio(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.slave).unwrap().local_modes
    }
}

/// Runs `top` on a terminal, ends it, and sees that the terminal is as it was.
fn gives_the_terminal_back(end: impl FnOnce(&mut File, Pid)) {
    let (sockets, refusing) = backends();
    let proxy = proxy(&sockets, &refusing);
    let _wire = open(&proxy, "/ws");
    let mut terminal = Terminal::open();
    let before = terminal.modes();
    assert!(before.contains(LocalModes::ICANON | LocalModes::ECHO));
    let mut command = Command::new(binary());
    command.args(["top", "--admin", proxy.admin()]);
    let command = command.stdin(terminal.stdio()).stdout(terminal.stdio());
    let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
    eventually!(terminal.said().contains(" by route"));
    assert!(!terminal.modes().contains(LocalModes::ICANON));
    assert!(terminal.said().contains("\x1b[?1049h"), "the other screen");

    end(&mut terminal.master, Pid::from_child(&child));
    eventually!(child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());
    assert_eq!(terminal.modes(), before);
    eventually!(terminal.said().contains("\x1b[?1049l"), "the own screen");
    eventually!(terminal.said().contains("\x1b[?25h"), "the cursor");
}

#[test]
fn q_gives_the_terminal_back() {
    gives_the_terminal_back(|terminal, _| terminal.write_all(b"?q").unwrap());
}

#[test]
fn a_signal_gives_the_terminal_back() {
    gives_the_terminal_back(|_, pid| {
        rustix::process::kill_process(pid, Signal::TERM).expect("it is our child");
    });
}

#[test]
fn it_ends_with_its_terminal() {
    let (sockets, refusing) = backends();
    let proxy = proxy(&sockets, &refusing);
    let (mut master, slave) = Terminal::pair();
    let mut command = Command::new(binary());
    command.args(["top", "--admin", proxy.admin()]);
    let command = command.stdin(slave.try_clone().unwrap()).stdout(slave);
    let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&said).contains(" by route") {
        let n = master.read(&mut chunk).expect("it draws");
        said.extend_from_slice(&chunk[..n]);
    }
    drop(master);
    eventually!(child.try_wait().unwrap().is_some());
}
