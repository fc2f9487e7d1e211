//! `/v1/tunnels`: the live tunnels, filtered, sorted and paged here, so that no client has to
//! read a hundred thousand of them to see fifty. Workers only give out their handles; the
//! rest is done on a thread for what takes long, and neither they nor the control thread
//! wait for it.

use std::cmp::Reverse;
use std::str::FromStr;
use std::time::{Instant, SystemTime};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::filter::{Filter, Query};
use super::live::{Live, Moment, all, find};
use super::state::Context;
use crate::process::order::millis;
use crate::tunnel_registry::{Phase, TunnelSnapshot};
use crate::vocabulary::Side;
use crate::vocabulary::counters::Tally;
use crate::vocabulary::stamp::rfc3339;

/// Tunnels in an answer, unless it is asked for fewer or more.
const PAGE: usize = 100;

/// The most of them.
pub const LARGEST_PAGE: usize = 1000;

/// A part of the live tunnels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunnelList {
    /// All live tunnels.
    pub total: u64,
    /// Those that the filter takes.
    pub matching: u64,
    /// What to pass as `after` for those that follow; `None`: none do.
    pub next: Option<String>,
    /// The tunnels.
    pub tunnels: Vec<TunnelView>,
}

/// A live tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelView {
    /// Its number, unique in the process.
    pub id: u64,
    /// The route's name.
    pub route: String,
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint's address.
    pub endpoint: String,
    /// The client's address.
    pub client: String,
    /// The host asked for.
    pub host: String,
    /// The path asked for.
    pub path: String,
    /// The negotiated subprotocol.
    pub subprotocol: Option<String>,
    /// The protocol besides WebSocket that was switched to.
    pub upgrade: Option<String>,
    /// The handshake's Origin.
    pub origin: Option<String>,
    /// The request's id; empty where ids are switched off.
    pub request_id: String,
    /// The worker that it lives on, counted from 0.
    pub worker: usize,
    /// When it was opened, as RFC 3339 writes it.
    pub opened_at: String,
    /// Milliseconds since then.
    pub age_ms: u64,
    /// Milliseconds since something came from either side, keep-alive aside.
    pub idle_ms: u64,
    /// `open`, `half`, `boundary`, `closing` or `closed`.
    pub phase: String,
    /// What came from the client.
    pub from_client: TallyView,
    /// What came from the upstream.
    pub from_upstream: TallyView,
    /// The last round trip of a Ping to the client, in microseconds.
    pub client_rtt_us: Option<u64>,
    /// The last round trip of a Ping to the upstream, in microseconds.
    pub upstream_rtt_us: Option<u64>,
}

/// What came from one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyView {
    /// Bytes, frame headers included.
    pub bytes: u64,
    /// Complete messages.
    pub messages: u64,
    /// Text messages among them.
    pub text: u64,
    /// Binary messages among them.
    pub binary: u64,
    /// Ping frames.
    pub pings: u64,
    /// Pong frames.
    pub pongs: u64,
    /// Complete data frames.
    pub frames: u64,
}

/// What tunnels are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Age,
    Idle,
    Bytes,
    Id,
}

/// Which part of the list is wanted.
#[derive(Debug)]
struct Page {
    sort: Sort,
    descending: bool,
    limit: usize,
    after: Option<Key>,
}

/// Where a tunnel stands in the order. Ages and silences count as the moments that they
/// began, so that a page does not move while another is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    value: i128,
    id: u64,
}

/// Answers a list.
pub(super) async fn list(context: &Context, query: Option<&str>) -> Result<TunnelList, Refusal> {
    let mut query = Query::parse(query)?;
    let filter = Filter::from_query(&mut query)?;
    let page = Page::from_query(&mut query)?;
    query.finish()?;
    let moment = Moment::now(context);
    let live = all(context).await;
    filter.check(&context.shared, &live)?;
    let listed = move || page.of(live, &filter, moment);
    tokio::task::spawn_blocking(listed).await.map_err(|_| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the list could not be made",
        )
    })
}

/// Answers one tunnel.
pub(super) async fn one(context: &Context, id: &str) -> Result<TunnelView, Refusal> {
    let live = find(context, id).await?;
    Ok(TunnelView::new(&live, Moment::now(context)))
}

impl Page {
    fn from_query(query: &mut Query) -> Result<Page, Refusal> {
        let sort = match query.take("sort").as_deref() {
            None | Some("age") => Sort::Age,
            Some("idle") => Sort::Idle,
            Some("bytes") => Sort::Bytes,
            Some("id") => Sort::Id,
            Some(_) => return Err(wrong("sort is age, idle, bytes or id")),
        };
        let descending = match query.take("order").as_deref() {
            None => sort != Sort::Id,
            Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(wrong("order is asc or desc")),
        };
        let limit = match query.take("limit").map(|text| text.parse::<usize>()) {
            None => PAGE,
            Some(Ok(limit @ 1..=LARGEST_PAGE)) => limit,
            Some(_) => {
                return Err(wrong(&format!(
                    "limit is a number from 1 to {LARGEST_PAGE}"
                )));
            }
        };
        let after = query.take("after").map(|text| text.parse());
        Ok(Page {
            sort,
            descending,
            limit,
            after: after.transpose()?,
        })
    }

    fn of(&self, live: Vec<Live>, filter: &Filter, moment: Moment) -> TunnelList {
        let total = live.len() as u64;
        let mut matching = 0;
        let mut listed: Vec<(Key, Live)> = Vec::new();
        for one in live {
            if !filter.takes(&one.tunnel, moment.now) {
                continue;
            }
            matching += 1;
            let key = self.sort.key(&one.tunnel, moment.started);
            if self.after.is_none_or(|after| self.precedes(after, key)) {
                listed.push((key, one));
            }
        }
        let more = listed.len() > self.limit;
        if more {
            // Only the page itself has to be in order.
            let last = self.limit - 1;
            match self.descending {
                true => listed.select_nth_unstable_by_key(last, |(key, _)| Reverse(*key)),
                false => listed.select_nth_unstable_by_key(last, |(key, _)| *key),
            };
            listed.truncate(self.limit);
        }
        match self.descending {
            true => listed.sort_unstable_by_key(|(key, _)| Reverse(*key)),
            false => listed.sort_unstable_by_key(|(key, _)| *key),
        }
        let last = listed.last().map(|(key, _)| key.to_string());
        TunnelList {
            total,
            matching,
            next: last.filter(|_| more),
            tunnels: listed
                .iter()
                .map(|(_, one)| TunnelView::new(one, moment))
                .collect(),
        }
    }

    fn precedes(&self, one: Key, other: Key) -> bool {
        match self.descending {
            true => one > other,
            false => one < other,
        }
    }
}

impl Sort {
    fn key(self, tunnel: &TunnelSnapshot, started: Instant) -> Key {
        let handle = &tunnel.handle;
        // What began earlier is older: more of an age, more of a silence.
        let since = |moment: Instant| match moment.checked_duration_since(started) {
            Some(after) => -(after.as_micros() as i128),
            None => started.saturating_duration_since(moment).as_micros() as i128,
        };
        let bytes = |side| i128::from(handle.counters(side).bytes());
        Key {
            value: match self {
                Sort::Age => since(handle.opened),
                Sort::Idle => since(tunnel.heard),
                Sort::Bytes => bytes(Side::Client) + bytes(Side::Upstream),
                Sort::Id => 0,
            },
            id: handle.id,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.value, self.id)
    }
}

impl FromStr for Key {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Key, Refusal> {
        let parts = text.split_once('.');
        let parsed = parts.and_then(|(value, id)| Some((value.parse().ok()?, id.parse().ok()?)));
        let (value, id) = parsed.ok_or_else(|| wrong("after is the next of an earlier answer"))?;
        Ok(Key { value, id })
    }
}

impl TunnelView {
    fn new(live: &Live, moment: Moment) -> TunnelView {
        let handle = &live.tunnel.handle;
        let identity = &handle.identity;
        let age = moment.now.saturating_duration_since(handle.opened);
        let silence = moment.now.saturating_duration_since(live.tunnel.heard);
        let tally = |side| TallyView::from(handle.counters(side).tally());
        let rtt = |side| handle.rtt(side).map(|span| span.as_micros() as u64);
        TunnelView {
            id: handle.id,
            route: identity.route().to_string(),
            upstream: identity.upstream().to_string(),
            endpoint: identity.endpoint().to_string(),
            client: identity.client().to_owned(),
            host: identity.host().to_owned(),
            path: identity.path().to_owned(),
            subprotocol: identity.subprotocol().map(str::to_owned),
            upgrade: identity.upgrade().map(str::to_owned),
            origin: identity.origin().map(str::to_owned),
            request_id: identity.request_id().to_owned(),
            worker: live.worker,
            opened_at: rfc3339(
                moment
                    .wall
                    .checked_sub(age)
                    .unwrap_or(SystemTime::UNIX_EPOCH),
            ),
            age_ms: millis(age),
            idle_ms: millis(silence.min(age)),
            phase: phase(handle.phase()).to_owned(),
            from_client: tally(Side::Client),
            from_upstream: tally(Side::Upstream),
            client_rtt_us: rtt(Side::Client),
            upstream_rtt_us: rtt(Side::Upstream),
        }
    }
}

impl From<Tally> for TallyView {
    fn from(tally: Tally) -> TallyView {
        TallyView {
            bytes: tally.bytes,
            messages: tally.messages(),
            text: tally.text,
            binary: tally.binary,
            pings: tally.pings.into(),
            pongs: tally.pongs.into(),
            frames: tally.frames,
        }
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Open => "open",
        Phase::Half => "half",
        Phase::Boundary => "boundary",
        Phase::Closing => "closing",
        Phase::Closed => "closed",
    }
}

fn wrong(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        for key in [
            Key { value: 0, id: 1 },
            Key {
                value: -5_000_000,
                id: u64::MAX,
            },
        ] {
            assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        }
        for text in [
            "",
            "1",
            ".",
            "1.x",
            "1.-2",
            "1.2.3",
            "99999999999999999999999999999999999999999.1",
        ] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
