//! Upgrades that fail, at every point where they can: the old process goes on.

use rustix::process::Signal;

use super::*;
use crate::support::admin::printed;

#[test]
fn a_bad_configuration_changes_nothing() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    let good = std::fs::read_to_string(succession.config()).expect("the file");
    std::fs::write(succession.config(), "workers = \"many\"\n").expect("the file");
    let event = succession.refused();
    assert!(text(&event, "error").contains("sluice.toml:1:"), "{event}");
    assert!(text(&event, "details").contains("many"), "{event}");
    say(&mut socket, 1);
    std::fs::write(succession.config(), &good).expect("the file");
    succession.upgrade();
    say(&mut socket, 2);
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let backend = HttpBackend::start();
    let succession = start(backend.address());
    let taken = backend.address();
    let more = format!("[[listen]]\naddress = \"{taken}\"\n");
    succession.configure(&settings(taken, &more));
    let event = succession.refused();
    assert!(
        text(&event, "error").contains(&taken.to_string()),
        "{event}"
    );
    serves(&succession);
}

#[test]
fn a_binary_that_ends_or_is_missing_changes_nothing() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    succession.install("exit 7");
    let event = succession.refused();
    assert!(text(&event, "error").contains("exit status: 7"), "{event}");
    say(&mut socket, 1);
    std::fs::remove_file(succession.file("sluice")).expect("it is there");
    let event = succession.refused();
    assert!(text(&event, "error").contains("cannot start"), "{event}");
    say(&mut socket, 2);
    succession.install_real();
    succession.upgrade();
    say(&mut socket, 3);
}

/// Holds a lease on the file (fcntl(2), F_SETLEASE), so that to start it hangs like on a network
/// mount that has gone.
fn hang(file: &std::path::Path) -> std::process::Child {
    let script = "import fcntl, os, signal, sys, time\n\
                  signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                  held = os.open(sys.argv[1], os.O_RDONLY)\n\
                  fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                  print('held', flush=True)\n\
                  time.sleep(60)\n";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(file);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("python3");
    let mut said = [0; 4];
    let out = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(out, &mut said).expect("the lease is given");
    child
}

#[test]
fn a_binary_on_a_file_system_that_hangs_stops_nothing() {
    let backend = EchoBackend::start();
    let mut succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    succession.install("exit 7");
    let mut holder = hang(&succession.file("sluice"));
    succession.ask();
    let reload = || printed(&succession.proxy.command(&["reload"])).2;
    eventually!(reload().contains("an upgrade is under way"));
    say(&mut socket, 1);
    say(&mut connect(&succession.proxy, "/ws"), 2);
    assert_eq!(succession.proxy.get_admin("/readyz").0, 200);
    succession.signal(succession.proxy.id(), Signal::TERM);
    drop(socket);
    assert!(succession.proxy.wait_exit().success());
    let _ = holder.kill();
    let _ = holder.wait();
}

/// Asks for an upgrade to something that is never ready, and gives its process id.
fn never_ready(succession: &Succession) -> u32 {
    succession.install("exec sleep 60");
    succession.ask();
    let event = succession.event("a new process was started", 0);
    number(&event, "pid") as u32
}

#[test]
fn a_new_process_that_is_killed_before_it_is_ready_changes_nothing() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    let pid = never_ready(&succession);
    say(&mut socket, 1);
    connect(&succession.proxy, "/ws");
    succession.signal(pid, Signal::KILL);
    let event = succession.event("upgrade refused: this process goes on", 0);
    assert!(text(&event, "error").contains("signal: 9"), "{event}");
    say(&mut socket, 2);
}

#[test]
fn sigterm_ends_a_new_process_that_is_not_ready() {
    let backend = HttpBackend::start();
    let mut succession = start(backend.address());
    let pid = never_ready(&succession);
    succession.proxy.terminate();
    assert!(succession.proxy.wait_exit().success());
    eventually!(!succession.runs(pid), "the new process was killed");
}

#[test]
fn a_wrapper_that_does_not_exec_is_refused() {
    let backend = HttpBackend::start();
    let succession = start(backend.address());
    succession.install(&format!("\"{}\" \"$@\"; exit 0", binary().display()));
    let event = succession.refused();
    assert!(text(&event, "error").contains("has to `exec`"), "{event}");
    let pids = succession.pids();
    eventually!(succession.running() == pids[..1], "nothing is left of it");
    serves(&succession);
}

#[test]
fn the_variable_alone_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("sluice.toml");
    std::fs::write(&config, settings(([127, 0, 0, 1], 1).into(), "")).expect("the file");
    let output = Command::new(binary())
        .args(["run", "--config"])
        .arg(&config)
        .env(sluice::handover::ENVIRONMENT, "1")
        .output()
        .expect("it starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(sluice::handover::ENVIRONMENT), "{said}");
}

#[test]
fn what_was_only_offered_goes_on_when_the_new_process_dies() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut sockets: Vec<_> = (0..10).map(|_| connect(&succession.proxy, "/ws")).collect();
    succession.install(&super::impostor::script("dies"));
    let event = succession.refused();
    let error = text(&event, "error");
    assert!(error.contains("exit status: 9"), "{event}");
    assert!(
        error.contains("nothing that was handed over is lost"),
        "{event}"
    );
    sockets.iter_mut().for_each(|socket| say(socket, 1));
    sockets.push(connect(&succession.proxy, "/ws"));
    succession.install_real();
    let event = succession.upgrade();
    assert_eq!(number(&event, "tunnels"), 11, "{event}");
    sockets.iter_mut().for_each(|socket| say(socket, 2));
}

#[test]
fn a_stream_of_something_else_changes_nothing() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    for (n, manner) in ["talks HTTP", "speaks format 99", "is ready and talks HTTP"]
        .into_iter()
        .enumerate()
    {
        succession.install(&super::impostor::script(manner));
        let event = succession.refused();
        assert!(!text(&event, "error").is_empty(), "{event}");
        say(&mut socket, n);
    }
}

#[test]
fn tunnels_that_are_refused_are_drained_by_the_old_process() {
    stays_and_is_drained("refuses", "no room");
}

#[test]
fn what_comes_late_and_is_refused_ends_well_in_the_old_process() {
    let tunnels = EchoBackend::start();
    let (backend, gate) = held();
    let mut succession = Succession::start(|_| {
        let address = tunnels.address();
        let more = format!("[[route]]\npath_prefix = \"/ws\"\nto = \"{address}\"\n");
        settings(backend.address(), &more)
    });
    let mut early = open(&succession.proxy, "/ws");
    let mut busy = succession.proxy.send(GET);
    gate.reached();
    succession.install(&super::impostor::script("refuses late, too"));
    succession.ask();
    let event = succession.event("handed over", 0);
    assert!(event["stay"].to_string().contains("no room"), "{event}");
    // What stayed is drained at once, whatever the request does.
    let close = (0x88, close_payload(1012, "service restart"));
    assert_eq!(read_frame(&mut early), close);
    early.send(masked_frame(8, &close_payload(1012, "")));
    early.read_until_close();
    gate.open();
    let response = busy.read_response();
    assert_eq!((response.status(), response.text()), (200, "ok".into()));
    busy.expect_close();
    assert!(succession.proxy.wait_exit().success());
}

#[test]
fn tunnels_of_another_format_are_drained_by_the_old_process() {
    stays_and_is_drained("has no format in common", "another format");
}

fn stays_and_is_drained(manner: &str, why: &str) {
    let backend = tunnel_backend(|mut wire| {
        let (first, payload) = read_frame(&mut wire);
        assert_eq!(
            (first, payload),
            (0x88, close_payload(1001, "service restart"))
        );
        wire.send(frame(8, &close_payload(1001, "")));
        wire.read_until_close();
    });
    let mut succession = start(backend.address());
    let mut wire = open(&succession.proxy, "/ws");
    succession.install(&super::impostor::script(manner));
    succession.ask();
    let event = succession.event("handed over", 0);
    assert_eq!(number(&event, "tunnels"), 0);
    assert!(event["stay"].to_string().contains(why), "{event}");
    assert_eq!(
        read_frame(&mut wire),
        (0x88, close_payload(1012, "service restart"))
    );
    wire.send(masked_frame(8, &close_payload(1012, "")));
    wire.read_until_close();
    assert!(succession.proxy.wait_exit().success());
}

#[test]
fn nothing_else_is_changed_while_a_new_process_starts() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut socket = connect(&succession.proxy, "/ws");
    let pid = never_ready(&succession);
    let admin = succession.admin();
    for order in [
        &["upgrade"][..],
        &["reload"],
        &["drain", "--all"],
        &["undrain"],
    ] {
        let output = crate::support::proxy::run(&[order, &["--admin", &admin]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{order:?}: {said}");
        assert!(
            said.contains("an upgrade is under way"),
            "{order:?}: {said}"
        );
    }
    succession.ask();
    succession.event("ignored: sluice is busy ending or being replaced", 0);
    say(&mut socket, 1);
    succession.signal(pid, Signal::KILL);
    succession.event("upgrade refused: this process goes on", 0);
    succession.install_real();
    succession.upgrade();
    say(&mut socket, 2);
}

#[test]
fn the_new_process_inherits_no_descriptor_but_the_way_to_the_old_one() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut sockets: Vec<_> = (0..5).map(|_| connect(&succession.proxy, "/ws")).collect();
    let list = succession.file("descriptors");
    succession.install(&format!("ls -l /proc/$$/fd > {list:?}; exit 7"));
    let event = succession.refused();
    assert!(text(&event, "error").contains("exit status: 7"), "{event}");
    let list = std::fs::read_to_string(list).expect("the list");
    let sockets_there = list.lines().filter(|line| line.contains("socket:"));
    assert_eq!(sockets_there.count(), 1, "{list}");
    assert!(!list.contains("anon_inode"), "{list}");
    sockets.iter_mut().for_each(|socket| say(socket, 1));
}
