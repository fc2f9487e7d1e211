//! All at once: the readers of its logs have stopped, the disk is full, the collector is deaf,
//! descriptors run out, peers flood it with tiny frames, stalled downloads, slow heads, refused
//! handshakes and signals. A quiet client is served all the same, the administrator is told,
//! what was dropped is counted, and SIGTERM ends it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[macro_use]
mod support;

mod trial {
    pub mod floods;
    pub mod noise;
    pub mod quiet;
    pub mod reload;
    pub mod stage;
    pub mod stalled;
}

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use support::proxy::raise_file_limit;
use support::{EchoBackend, HttpBackend, Proxy, Scrape};

use self::trial::floods::{Floods, Tally};
use self::trial::noise;
use self::trial::quiet::Quiet;
use self::trial::stage::{Stage, Upstreams};

/// Between two reloads.
const RELOAD: Duration = Duration::from_millis(20);
/// Between two looks of the administrator.
const LOOK: Duration = Duration::from_millis(250);

/// Who is still there when it is told to end.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    /// All of them: what reads nothing is cut at the deadline.
    Everybody,
    /// All but those that read nothing of their answers, and would have to be cut.
    WhoReads,
}

#[test]
fn nothing_stops_it_and_its_deadline_cuts_what_does_not_end() {
    trial(Duration::from_secs(8), Left::Everybody);
}

#[test]
#[ignore = "takes a minute and all of a machine"]
fn nothing_stops_it_for_a_minute_and_it_ends_well() {
    trial(Duration::from_secs(60), Left::WhoReads);
}

fn trial(span: Duration, left: Left) {
    raise_file_limit();
    let (http, echo, noise) = (HttpBackend::start(), EchoBackend::start(), noise::backend());
    let mut stage = Stage::start(&Upstreams {
        quiet: [http.address(), echo.address()],
        noise: noise.address(),
    });
    let mut quiet = Quiet::open(&stage.proxy);
    let mut floods = Floods::start(&stage.proxy);
    let (reloads, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stage, over, reloads, looks) = (&stage, &over, &reloads, &looks);
        let _end = End(over);
        let again = |each: Duration, count: &AtomicUsize, act: &dyn Fn(usize)| {
            while !over.load(Relaxed) {
                act(count.fetch_add(1, Relaxed));
                std::thread::sleep(each);
            }
        };
        scope.spawn(move || again(RELOAD, reloads, &|n| stage.reload(n)));
        scope.spawn(move || again(LOOK, looks, &|_| look(&stage.proxy)));
        quiet.talk(span);
        counted(&stage.proxy, &floods.tally);
    });
    println!(
        "{reloads:?} SIGHUPs, {looks:?} looks at /readyz and /metrics, {:?}",
        floods.tally
    );
    if left == Left::WhoReads {
        floods.let_go();
    }
    stage.proxy.terminate();
    quiet.told_to_go().print();
    let code = stage.proxy.wait_exit().code();
    let expected = match left {
        Left::Everybody => 3,
        Left::WhoReads => 0,
    };
    assert_eq!(code, Some(expected));
    floods.end();
}

/// Says that it is over when it is dropped, be it by a failure.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn look(proxy: &Proxy) {
    assert_eq!(proxy.get_admin("/readyz").0, 200);
    proxy.scrape();
}

/// What was dropped, refused and cut is in the metrics.
fn counted(proxy: &Proxy, tally: &Tally) {
    let sum = |scrape: &Scrape, name: &str| scrape.sum(name, &[]);
    let dropped = [
        "sluice_event_log_dropped_lines_total",
        "sluice_access_log_dropped_lines_total",
        "sluice_traces_lost_total",
        "sluice_accept_errors_total",
        "sluice_handshakes_refused_total",
    ];
    let all = |scrape: Scrape| dropped.map(|name| sum(&scrape, name));
    eventually!(
        all(proxy.scrape()).iter().all(|n| *n > 0.0),
        "{dropped:?} count: {:?}",
        all(proxy.scrape())
    );
    // The clients' own counts are a little behind.
    let refused = tally.refused.load(Relaxed);
    let scrape = proxy.scrape();
    println!("{dropped:?}: {:?}", all(scrape.clone()));
    assert!(refused > 0 && sum(&scrape, "sluice_handshakes_refused_total") >= refused as f64);
    assert!(tally.cut.load(Relaxed) > 0, "slow heads are cut");
    assert!(scrape.requests(&[("status", "408")]) > 0.0);
}
