//! The clocks of a client connection, ticked by hand.

use http::Version;

use super::*;
use crate::proxy::clock::Wait;

const SECOND: Duration = Duration::from_secs(1);

/// Ticks once a second, calling `between` before each, until a timeout or 100 s.
fn run(watch: &Watch, http: &HttpConfig, mut between: impl FnMut(u64)) -> (Timeout, u64) {
    let start = Instant::now();
    let mut past = Past::new(start);
    for second in 1..=100 {
        between(second);
        watch.tick(&mut past, start + SECOND * second as u32, http);
        if watch.timeout() != Timeout::None {
            return (watch.timeout(), second);
        }
    }
    (Timeout::None, 100)
}

#[test]
fn a_dripping_head_ends_in_time() {
    let watch = Watch::default();
    let http = HttpConfig::default();
    let (timeout, at) = run(&watch, &http, |_| {
        watch.read(1, Phase::Head, 0, 0);
        watch.read_blocked();
    });
    assert_eq!(timeout, Timeout::Head);
    assert!((10..=12).contains(&at), "{at}");
}

#[test]
fn a_slow_body_is_cut_by_rate_and_a_fast_one_is_not() {
    let http = HttpConfig::default();
    let slow = Watch::default();
    let (timeout, _) = run(&slow, &http, |_| {
        slow.read(10, Phase::Body, 1, 0);
        slow.read_blocked();
    });
    assert_eq!(timeout, Timeout::BodyRate);
    let fast = Watch::default();
    let (timeout, _) = run(&fast, &http, |_| {
        fast.read(1000, Phase::Body, 1, 0);
        fast.read_blocked();
    });
    assert_eq!(timeout, Timeout::None);
}

#[test]
fn a_body_that_nobody_reads_is_not_the_clients_fault() {
    let watch = Watch::default();
    watch.read(1, Phase::Body, 1, 0);
    let (timeout, _) = run(&watch, &HttpConfig::default(), |_| ());
    assert_eq!(timeout, Timeout::None);
}

#[test]
fn a_slow_upstream_is_not_held_against_the_next_exchange() {
    let watch = Watch::default();
    let http = HttpConfig::default();
    watch.turn.begin(Version::HTTP_11);
    watch.turn.clock.start(Wait::Head, SECOND);
    assert_eq!(run(&watch, &http, |_| ()).0, Timeout::None);
    assert!(watch.turn.clock.is_over(Wait::Head));
    watch.turn.end();
    assert!(watch.turn.clock.is_over(Wait::None));
    watch.read(1, Phase::Head, 1, 0);
    watch.read_blocked();
    assert_eq!(
        run(&watch, &http, |_| ()).0,
        Timeout::Head,
        "the clocks go on"
    );
}

#[test]
fn a_client_that_still_takes_its_answer_is_not_idle() {
    let watch = Watch::default();
    watch.read(1, Phase::Idle, 1, 0);
    watch.read_blocked();
    let http = HttpConfig::default();
    let (timeout, _) = run(&watch, &http, |_| watch.wrote(1, false));
    assert_eq!(timeout, Timeout::None);
}

#[test]
fn idle_and_write_waits_have_their_own_limits() {
    let http = HttpConfig::default();
    let idle = Watch::default();
    idle.read(1, Phase::Idle, 1, 0);
    idle.read_blocked();
    assert_eq!(run(&idle, &http, |_| ()), (Timeout::KeepAlive, 76));

    let stuck = Watch::default();
    stuck.wrote(5, false);
    assert_eq!(run(&stuck, &http, |_| ()), (Timeout::Write, 61));
}
