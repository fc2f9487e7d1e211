//! A new process that stands still in the middle of its hand-over, as under SIGSTOP or in swap.

use super::*;
use rustix::process::Signal;

const TUNNELS: usize = 600;
const STANDS: &str = "the new process stands still: this one accepts meanwhile";

/// Upgrades, and stops the new process as soon as it is to take over.
fn stopped(succession: &Succession) -> u32 {
    succession.ask();
    succession.event("handing over", 0);
    let pid = succession.pids()[1];
    succession.signal(pid, Signal::STOP);
    pid
}

/// Whether everything was handed over before it could be stopped.
fn was_too_late(succession: &Succession) -> bool {
    !succession.events("handed over").is_empty()
}

#[test]
fn the_old_process_accepts_and_the_hand_over_goes_on_when_it_does() {
    for _ in 0..5 {
        let backend = EchoBackend::start();
        let succession = start(backend.address());
        let mut sockets: Vec<_> = (0..TUNNELS)
            .map(|_| connect(&succession.proxy, "/ws"))
            .collect();
        let pid = stopped(&succession);
        eventually!(was_too_late(&succession) || !succession.events(STANDS).is_empty());
        if was_too_late(&succession) {
            continue;
        }
        let mut late = connect(&succession.proxy, "/ws");
        succession.signal(pid, Signal::CONT);
        let event = succession.event("handed over", 0);
        assert!(number(&event, "tunnels") >= TUNNELS as u64, "{event}");
        sockets.push(connect(&succession.proxy, "/ws"));
        for (n, socket) in sockets.iter_mut().enumerate() {
            say(socket, n);
        }
        say(&mut late, 1);
        return;
    }
    panic!("it was never stopped in time");
}

#[test]
fn what_has_not_begun_there_is_taken_back() {
    for _ in 0..5 {
        let backend = EchoBackend::start();
        let succession = start(backend.address());
        let mut sockets: Vec<_> = (0..TUNNELS)
            .map(|_| connect(&succession.proxy, "/ws"))
            .collect();
        let pid = stopped(&succession);
        eventually!(was_too_late(&succession) || !succession.events(STANDS).is_empty());
        if was_too_late(&succession) {
            continue;
        }
        // As at the end of patience, but sooner.
        succession.signal(pid, Signal::KILL);
        let event = succession.event("upgrade refused: this process goes on", 0);
        let error = text(&event, "error");
        let lost = error.split("lost with it: ").nth(1).unwrap_or("0 ");
        let lost: usize = lost.split(' ').next().unwrap().parse().expect("a number");
        let mut alive = 0;
        for socket in &mut sockets {
            let sent = socket.send(Message::text("still there"));
            alive += usize::from(sent.is_ok() && socket.read().is_ok_and(|m| m.is_text()));
        }
        assert_eq!(alive, TUNNELS - lost, "{event}");
        say(&mut connect(&succession.proxy, "/ws"), 1);
        return;
    }
    panic!("it was never stopped in time");
}

#[test]
fn sigterm_in_the_middle_ends_both_and_shortens_the_wait_for_exchanges() {
    for _ in 0..5 {
        let backend = EchoBackend::start();
        let (slow, gate) = held();
        let mut succession = Succession::start(|_| {
            let more = format!(
                "[[route]]\npath_prefix = \"/slow\"\nto = \"{}\"\n",
                slow.address()
            );
            settings(backend.address(), &more)
        });
        let _sockets: Vec<_> = (0..TUNNELS)
            .map(|_| connect(&succession.proxy, "/ws"))
            .collect();
        let request = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut wire = succession.proxy.send(request);
        gate.reached();
        let pid = stopped(&succession);
        eventually!(was_too_late(&succession) || !succession.events(STANDS).is_empty());
        if was_too_late(&succession) {
            continue;
        }
        succession.proxy.terminate();
        succession.signal(pid, Signal::CONT);
        succession.event("handed over", 0);
        gate.open();
        let response = wire.read_response();
        assert_eq!((response.status(), response.text()), (200, "ok".into()));
        wire.expect_close();
        succession.proxy.wait_exit();
        eventually!(!succession.runs(pid), "it was the service's end");
        assert!(TcpStream::connect(succession.proxy.address()).is_err());
        return;
    }
    panic!("it was never stopped in time");
}
