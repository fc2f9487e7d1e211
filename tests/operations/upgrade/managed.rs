//! An upgrade as the service manager sees it: which process is the service, in what order it
//! is told, what the PID file says at every moment, and who obeys a signal in the middle.

use super::*;
use crate::support::Manager;
use crate::support::manager::value;

fn with_pid_file(to: SocketAddr, folder: &std::path::Path) -> String {
    format!("pid_file = {:?}\n", folder.join("pid")) + &settings(to, "")
}

#[test]
fn the_manager_hears_of_the_new_main_process_before_that_speaks() {
    let backend = EchoBackend::start();
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("notify");
    let manager = Manager::at(&socket);
    let succession = Succession::start_with(
        |_| settings(backend.address(), ""),
        |_, command| {
            command.env("NOTIFY_SOCKET", &socket);
        },
    );
    manager.expect("READY=1");
    for n in 0..3 {
        let event = succession.upgrade();
        let pid = number(&event, "pid");
        manager.expect(&format!("MAINPID={pid}"));
        let ready = manager.expect("READY=1");
        let status = value(&ready, "STATUS");
        assert!(status.ends_with(&(n + 2).to_string()), "{ready:?}");
    }
    succession.end();
    manager.expect("STOPPING=1");
    assert!(manager.rest().is_empty(), "the old ones say nothing");
}

/// Ends the watch, also where the test fails first.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn the_pid_file_always_names_a_process_that_serves() {
    let backend = EchoBackend::start();
    let succession = Succession::start(|folder| with_pid_file(backend.address(), folder));
    let path = succession.file("pid");
    let named = || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.trim().parse::<u64>().ok()
    };
    assert_eq!(named(), Some(succession.proxy.id().into()));
    let admin = succession.admin();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watched = Done(&done);
        let watch = scope.spawn(|| {
            while !done.load(Relaxed) {
                assert!(named().is_some(), "it is there at every moment");
                std::thread::yield_now();
            }
        });
        for n in 0..8 {
            let output = support::proxy::run(&["upgrade", "--admin", &admin]);
            assert!(output.status.success(), "{output:?}");
            let pid = number(&succession.event("handed over", n), "pid");
            assert_eq!(
                named(),
                Some(pid),
                "from the moment that the command is done"
            );
        }
        drop(watched);
        watch.join().expect("the file is there");
    });
    let old = &succession.pids()[..8];
    eventually!(!old.iter().any(|pid| succession.runs(*pid)));
    assert_eq!(named(), Some(succession.serving().into()));
    succession.end();
    assert!(!path.exists(), "the last one removes it");
}

#[test]
fn a_new_process_that_fails_behind_the_last_leaves_the_pid_file_as_it_was() {
    let backend = EchoBackend::start();
    let succession = Succession::start(|folder| with_pid_file(backend.address(), folder));
    let path = succession.file("pid");
    let script = super::impostor::script("killed behind the last");
    let stolen = format!("echo 1 > {path:?}; {script}");
    succession.install(&stolen);
    succession.refused();
    let own = format!("{}\n", succession.proxy.id());
    eventually!(std::fs::read_to_string(&path).expect("the file") == own);
    succession.end();
    assert!(!path.exists(), "and it removes it");
}

#[test]
fn a_reload_that_comes_in_the_middle_or_later_is_done_by_the_new_process() {
    // A request under way keeps the old process for a while.
    let (backend, gate) = held();
    let mut succession = start(backend.address());
    let mut wire = succession.proxy.send(GET);
    gate.reached();
    succession.ask();
    let hang_up = rustix::process::Signal::HUP;
    for (n, (seen, path)) in [("handing over", "/old"), ("taken over", "/new")]
        .into_iter()
        .enumerate()
    {
        succession.event(seen, 0);
        let more = format!("[[route]]\npath = \"{path}\"\nrespond.status = 299\n");
        succession.configure(&settings(backend.address(), &more));
        succession.signal(succession.proxy.id(), hang_up);
        let event = succession.event("reloaded", n);
        let behind = n as u64 + 3;
        assert_eq!(number(&event, "generation"), behind, "{event}");
    }
    gate.open();
    assert_eq!(wire.read_response().status(), 200);
    assert!(succession.proxy.wait_exit().success());
    let response = succession
        .proxy
        .send("GET /new HTTP/1.1\r\nHost: x\r\n\r\n")
        .read_response();
    assert_eq!(response.status(), 299);
}
