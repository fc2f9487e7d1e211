//! The last events of the process, and the listeners that wait for the next ones. One lock,
//! taken by a worker at a tick that has something to hand on, and by readers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::event::{Event, Lost, now};
use crate::system::lock::lock;

/// Events that are kept, of all kinds but [`Event::Opened`].
const KEPT: usize = 1024;

/// Closes and refusals that are kept besides, so that many of one kind do not push the other
/// out.
const RECENT: usize = 50;

/// Events that may wait for a slow listener; what exceeds that it loses, and it is counted.
const WAITING: usize = 1024;

/// The most listeners at once.
pub const LISTENERS: usize = 32;

static ON: AtomicBool = AtomicBool::new(false);
static HEARD: AtomicUsize = AtomicUsize::new(0);
static RING: OnceLock<Mutex<Ring>> = OnceLock::new();

/// An event as it was published.
#[derive(Debug)]
pub struct Entry {
    /// Its number; `None`: it is not kept.
    pub id: Option<u64>,
    /// What happened.
    pub event: Event,
    text: OnceLock<Bytes>,
}

impl Entry {
    /// One that is not kept, only sent to listeners.
    pub fn unkept(event: Event) -> Entry {
        Entry {
            id: None,
            event,
            text: OnceLock::new(),
        }
    }

    /// Its block in an event stream; written once, for the first reader.
    pub fn block(&self) -> Bytes {
        self.text
            .get_or_init(|| {
                let id = self.id.map(|id| format!("id: {id}\n")).unwrap_or_default();
                let data = serde_json::to_string(&self.event).unwrap_or_default();
                let data = crate::vocabulary::visible::json(data);
                format!("event: {}\n{id}data: {data}\n\n", self.event.kind()).into()
            })
            .clone()
    }
}

#[derive(Debug)]
struct Ring {
    first: u64,
    next: u64,
    kept: VecDeque<Arc<Entry>>,
    closes: VecDeque<Arc<Entry>>,
    refusals: VecDeque<Arc<Entry>>,
    live: broadcast::Sender<Arc<Entry>>,
}

/// Closes and refusals, the oldest first.
#[derive(Debug, Default)]
pub struct Recent {
    /// Tunnels that have ended.
    pub closes: Vec<Arc<Entry>>,
    /// Handshakes that were refused.
    pub refusals: Vec<Arc<Entry>>,
}

/// A listener.
#[derive(Debug)]
pub struct Subscription {
    /// What was missed and is still there, the oldest first.
    pub missed: Vec<Arc<Entry>>,
    /// What happens from now on.
    pub live: broadcast::Receiver<Arc<Entry>>,
    _heard: Heard,
}

/// There are as many listeners as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

#[derive(Debug)]
struct Heard;

impl Drop for Heard {
    fn drop(&mut self) {
        HEARD.fetch_sub(1, Relaxed);
    }
}

/// From now on events are kept.
pub fn switch_on() {
    ON.store(true, Relaxed);
}

/// Whether events are kept.
#[inline]
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Whether there is a listener.
#[inline]
pub fn is_heard() -> bool {
    HEARD.load(Relaxed) > 0
}

/// Publishes an event, from any thread but a worker's, which notes it instead.
pub fn publish(event: Event) {
    if is_on() {
        hand_on([event]);
    }
}

pub(super) fn hand_on(events: impl IntoIterator<Item = Event>) {
    let mut ring = ring();
    for event in events {
        ring.push(event);
    }
}

/// The last closes and refusals.
pub fn recent() -> Recent {
    let ring = ring();
    Recent {
        closes: ring.closes.iter().cloned().collect(),
        refusals: ring.refusals.iter().cloned().collect(),
    }
}

/// Listens; `after`: the number of the last event that is known already. Those after it are
/// wanted too, as far as they are kept; the number of another process means all of them.
///
/// # Errors
/// When there are [`LISTENERS`] of them already.
pub fn subscribe(after: Option<u64>) -> Result<Subscription, TooMany> {
    let ring = ring();
    if HEARD.fetch_add(1, Relaxed) >= LISTENERS {
        HEARD.fetch_sub(1, Relaxed);
        return Err(TooMany);
    }
    Ok(Subscription {
        missed: after.map_or_else(Vec::new, |id| ring.missed(id)),
        live: ring.live.subscribe(),
        _heard: Heard,
    })
}

fn ring() -> MutexGuard<'static, Ring> {
    let ring = RING.get_or_init(|| Mutex::new(Ring::new(SystemTime::now())));
    lock(ring)
}

impl Ring {
    /// Numbers begin with the time in microseconds, so that those of an earlier process are
    /// recognised; below 2^53 for readers with doubles.
    fn new(now: SystemTime) -> Ring {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(since.as_micros()).unwrap_or_default() + 1;
        Ring {
            first,
            next: first,
            kept: VecDeque::with_capacity(KEPT),
            closes: VecDeque::with_capacity(RECENT),
            refusals: VecDeque::with_capacity(RECENT),
            live: broadcast::Sender::new(WAITING),
        }
    }

    fn push(&mut self, event: Event) {
        if matches!(event, Event::Opened(_)) {
            let _ = self.live.send(Arc::new(Entry::unkept(event)));
            return;
        }
        let entry = Arc::new(Entry {
            id: Some(self.next),
            event,
            text: OnceLock::new(),
        });
        self.next += 1;
        match &entry.event {
            Event::Closed(_) => keep(&mut self.closes, &entry, RECENT),
            Event::Refused(_) => keep(&mut self.refusals, &entry, RECENT),
            _ => {}
        }
        keep(&mut self.kept, &entry, KEPT);
        let _ = self.live.send(entry);
    }

    fn missed(&self, after: u64) -> Vec<Arc<Entry>> {
        let oldest = self.next - self.kept.len() as u64;
        let own = (self.first - 1..self.next).contains(&after);
        let after = if own { after } else { oldest - 1 };
        let gone = oldest.saturating_sub(after + 1);
        let lost = (gone > 0).then(|| {
            Arc::new(Entry::unkept(Event::Lost(Lost {
                time: now(),
                count: gone,
                why: "they are not kept any more".to_owned(),
            })))
        });
        let known = (after + 1).saturating_sub(oldest) as usize;
        let kept = self.kept.iter().skip(known).cloned();
        lost.into_iter().chain(kept).collect()
    }
}

fn keep(list: &mut VecDeque<Arc<Entry>>, entry: &Arc<Entry>, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(entry.clone());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ring() -> Ring {
        Ring::new(UNIX_EPOCH + Duration::from_secs(1))
    }

    fn lost(count: u64) -> Event {
        Event::Lost(Lost {
            time: String::new(),
            count,
            why: String::new(),
        })
    }

    fn counts(entries: &[Arc<Entry>]) -> Vec<u64> {
        let count = |entry: &Arc<Entry>| match &entry.event {
            Event::Lost(lost) => lost.count,
            other => panic!("{other:?}"),
        };
        entries.iter().map(count).collect()
    }

    #[test]
    fn what_was_missed_is_told_once() {
        let mut ring = ring();
        let first = ring.first;
        for count in 0..5 {
            ring.push(lost(count));
        }
        assert_eq!(counts(&ring.missed(first - 1)), [0, 1, 2, 3, 4]);
        assert_eq!(counts(&ring.missed(first + 2)), [3, 4]);
        assert_eq!(counts(&ring.missed(first + 4)), [0; 0]);
    }

    #[test]
    fn a_number_of_another_process_means_all() {
        let mut ring = ring();
        for count in 0..3 {
            ring.push(lost(count));
        }
        for other in [0, 17, ring.next, u64::MAX] {
            assert_eq!(counts(&ring.missed(other)), [0, 1, 2], "{other}");
        }
    }

    #[test]
    fn processes_of_the_same_second_are_told_apart() {
        let started = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut old = Ring::new(started);
        old.push(lost(1));
        let mut new = Ring::new(started + Duration::from_millis(250));
        new.push(lost(2));
        assert_eq!(counts(&new.missed(old.next - 1)), [2]);
        assert!(new.next < 1 << 53);
    }

    #[test]
    fn what_is_gone_is_counted() {
        let mut ring = ring();
        let first = ring.first;
        for count in 0..(KEPT as u64 + 10) {
            ring.push(lost(count));
        }
        assert_eq!(ring.kept.len(), KEPT);
        let missed = ring.missed(first + 3);
        assert_eq!(missed.len(), KEPT + 1);
        // Ten are gone, of which it knew four.
        assert_eq!(counts(&missed)[..2], [6, 10]);
        assert_eq!(ring.missed(first + 9).len(), KEPT);
    }
}
