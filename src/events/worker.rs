//! What happens on one worker between two ticks, in a list that no other thread sees.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::event::{
    Closed, Event, HandshakeRefused, Health, HealthState, Lost, Opened, StoodStill, cut, now,
};
use super::ring::{hand_on, is_heard, is_on};
use crate::tunnel_info::{TunnelIdentity, TunnelReport};

/// Closes that are noted between two ticks, and as many openings.
pub const CLOSES: usize = 256;

/// Refused handshakes that are noted between two ticks.
pub const REFUSALS: usize = 64;

/// Changes of health that are noted between two ticks.
const HEALTH: usize = 64;

#[derive(Debug, Default)]
struct Noted {
    events: Vec<Event>,
    closes: usize,
    openings: usize,
    refusals: usize,
    health: usize,
    /// How many exceeded that.
    more: u64,
}

thread_local! {
    static NOTED: RefCell<Noted> = RefCell::default();
}

/// A tunnel has opened.
pub fn opened(identity: &TunnelIdentity) {
    if is_on() && is_heard() {
        note(
            |noted| &mut noted.openings,
            CLOSES,
            || Event::Opened(Box::new(Opened::new(identity))),
        );
    }
}

/// A tunnel has ended.
pub fn closed(report: &TunnelReport<'_>) {
    if is_on() {
        note(
            |noted| &mut noted.closes,
            CLOSES,
            || Event::Closed(Box::new(Closed::new(report))),
        );
    }
}

/// A handshake was refused; the event is built only where it is noted.
pub fn refused(event: impl FnOnce() -> HandshakeRefused) {
    if is_on() {
        note(
            |noted| &mut noted.refusals,
            REFUSALS,
            || {
                let mut event = event();
                for text in [&mut event.host, &mut event.path, &mut event.request_id] {
                    *text = cut(text);
                }
                Event::Refused(Box::new(event))
            },
        );
    }
}

/// An endpoint has failed, or is back.
pub fn health(
    upstream: &Arc<str>,
    endpoint: &Arc<str>,
    state: HealthState,
    why: Option<&'static str>,
) {
    if is_on() {
        note(
            |noted| &mut noted.health,
            HEALTH,
            || {
                Event::Health(Health {
                    time: now(),
                    upstream: upstream.clone(),
                    endpoint: endpoint.clone(),
                    state,
                    why: why.map(str::to_owned),
                })
            },
        );
    }
}

/// The worker goes on after it stood still for `span`: at most one between two ticks.
pub fn stood_still(worker: String, span: Duration) {
    if is_on() {
        let event = Event::StoodStill(StoodStill {
            time: now(),
            worker,
            still_ms: span.as_millis() as u64,
        });
        NOTED.with_borrow_mut(|noted| noted.events.push(event));
    }
}

/// Hands on what this thread has noted; called at each tick.
pub fn tick() {
    let noted = NOTED.with_borrow_mut(|noted| {
        let some = !noted.events.is_empty() || noted.more > 0;
        some.then(|| std::mem::take(noted))
    });
    let Some(noted) = noted else { return };
    let lost = (noted.more > 0).then(|| {
        Event::Lost(Lost {
            time: now(),
            count: noted.more,
            why: "there were too many at once".to_owned(),
        })
    });
    hand_on(noted.events.into_iter().chain(lost));
}

fn note(of: fn(&mut Noted) -> &mut usize, most: usize, event: impl FnOnce() -> Event) {
    // A tunnel may be dropped while the thread ends.
    let _ = NOTED.try_with(|noted| {
        let mut noted = noted.borrow_mut();
        if *of(&mut noted) >= most {
            noted.more += 1;
            return;
        }
        *of(&mut noted) += 1;
        noted.events.push(event());
    });
}

#[cfg(test)]
mod tests {
    use super::super::ring::{recent, switch_on};
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        switch_on();
        let mut built = 0;
        for n in 0..1000 {
            refused(|| {
                built += 1;
                HandshakeRefused {
                    time: now(),
                    request_id: String::new(),
                    route: None,
                    client: "x".to_owned(),
                    host: "h".repeat(1000),
                    path: format!("/{n}"),
                    status: Some(403),
                    cause: "flood".to_owned(),
                    likely: String::new(),
                    fix: String::new(),
                }
            });
        }
        assert_eq!(built, REFUSALS);
        NOTED.with_borrow(|noted| assert_eq!(noted.more, 1000 - REFUSALS as u64));
        tick();
        let refusals = recent().refusals;
        assert_eq!(refusals.len(), 50);
        assert!(refusals.iter().all(|entry| entry.block().len() < 700));
        NOTED.with_borrow(|noted| assert!(noted.events.is_empty() && noted.more == 0));
    }
}
