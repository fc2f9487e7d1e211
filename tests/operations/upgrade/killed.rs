//! kill -9 in each phase of the hand-over, of either process: whoever is left serves, and
//! only what the killed one had alone is lost.

use rustix::process::Signal;

use super::*;

const TUNNELS: usize = 10;

/// Tunnels that answer; the others have ended, none is left hanging.
fn alive(sockets: &mut [WebSocket<TcpStream>]) -> usize {
    let answers = sockets.iter_mut().filter_map(|socket| {
        socket.send(Message::text("are you there")).ok()?;
        socket.read().ok()
    });
    answers.count()
}

#[test]
fn the_new_process_takes_only_what_it_was_given_with_it() {
    for (phase, lost) in [
        ("killed at once", 0),
        ("killed with the listeners", 0),
        ("killed when it is ready", 0),
        ("killed with the first", 0),
        ("killed behind the third", 3),
        ("killed behind the last", TUNNELS),
    ] {
        let backend = EchoBackend::start();
        let succession = start(backend.address());
        let mut sockets: Vec<_> = (0..TUNNELS)
            .map(|_| connect(&succession.proxy, "/ws"))
            .collect();
        succession.install(&super::impostor::script(phase));
        let event = succession.refused();
        let error = text(&event, "error");
        assert!(error.contains("signal: 9"), "{phase}: {event}");
        let told = format!("lost with it: {lost} tunnels");
        assert_eq!(error.contains(&told), lost > 0, "{phase}: {event}");
        assert_eq!(alive(&mut sockets), TUNNELS - lost, "{phase}");
        say(&mut connect(&succession.proxy, "/ws"), 1);
        succession.install_real();
        let event = succession.upgrade();
        let left = (TUNNELS - lost + 1) as u64;
        assert!(number(&event, "tunnels") >= left - 1, "{phase}: {event}");
        assert_eq!(alive(&mut sockets), TUNNELS - lost, "{phase}");
    }
}

#[test]
fn when_the_old_process_is_killed_the_new_one_serves_and_no_tunnel_hangs() {
    let backend = EchoBackend::start();
    let succession = start(backend.address());
    let mut sockets: Vec<_> = (0..200)
        .map(|_| connect(&succession.proxy, "/ws"))
        .collect();
    succession.ask();
    succession.event("handing over", 0);
    succession.signal(succession.proxy.id(), Signal::KILL);
    let new = succession.pids()[1];
    let kept = alive(&mut sockets);
    say(&mut connect(&succession.proxy, "/ws"), 1);
    // It may have been killed behind the last.
    let ends = [
        "taken over",
        "the old process broke off its hand-over; this one serves",
    ];
    eventually!(ends.iter().any(|end| !succession.events(end).is_empty()));
    let event = ends.iter().find_map(|end| succession.events(end).pop());
    let event = event.expect("it has one of them");
    assert_eq!(number(&event, "tunnels"), kept as u64, "{event}");
    succession.signal(new, Signal::TERM);
    eventually!(!succession.runs(new));
}
