//! File descriptors: the limit, raised at the start; the part of it that clients never get,
//! so that status, reload, drain and upgrade work when everything else has run out; and
//! shortages, told once an episode.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::shortage::{Over, Shortage};

/// The most descriptors that are kept back, the share of the limit that they are, and the fewest,
/// where that is not half of the limit: an admin connection takes one, an order up to eight.
const RESERVE: u64 = 128;
const SHARE: u64 = 8;
const LEAST: u64 = 16;
/// So close below those an accept looks before it takes one.
const NEAR: i32 = 16;

/// The first number that is kept back. The kernel gives the lowest one that is free: a caller that
/// is given this one has left none below it.
static LINE: AtomicI32 = AtomicI32::new(i32::MAX);

/// How many below the line are kept for what another process hands over.
static ROOM: AtomicI32 = AtomicI32::new(0);

/// What may be opened between a look at the room and its use: an accept of each listener.
const AT_ONCE: u64 = 8;

/// How many are kept back; the most, where there is no limit.
static KEPT: AtomicU64 = AtomicU64::new(RESERVE);

/// What could not be opened.
static SHORTAGE: Shortage = Shortage::new();

/// Raises the limit as far as it goes without privileges, says so, and draws the line.
pub fn raise_limit() {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!(%error, limit = before.current, "the limit of open files stays");
    }
    let limit = getrlimit(Resource::Nofile).current;
    if limit != before.current {
        tracing::info!(
            from = before.current,
            to = limit,
            "the limit of open files was raised to the hard one"
        );
    }
    draw_line(limit);
}

fn draw_line(limit: Option<u64>) {
    let line = limit.map(|limit| limit - reserve(limit));
    let line = line.and_then(|line| i32::try_from(line).ok());
    LINE.store(line.unwrap_or(i32::MAX), Relaxed);
    KEPT.store(limit.map_or(RESERVE, reserve), Relaxed);
}

/// How many are kept back: what those who give orders can count on, and the orders themselves.
pub fn reserved() -> usize {
    usize::try_from(KEPT.load(Relaxed)).unwrap_or(usize::MAX)
}

fn reserve(limit: u64) -> u64 {
    (limit / SHARE).clamp(LEAST.min(limit / 2), RESERVE)
}

/// Whether this one is among those that are kept back: to open it took one that clients and
/// upstreams must not have.
pub fn is_reserved(descriptor: impl AsFd) -> bool {
    descriptor.as_fd().as_raw_fd() >= clients_line()
}

/// Whether the next one may well be.
pub fn is_near_reserve(descriptor: impl AsFd) -> bool {
    descriptor.as_fd().as_raw_fd() >= clients_line().saturating_sub(NEAR)
}

/// The first number that clients do not get.
fn clients_line() -> i32 {
    LINE.load(Relaxed).saturating_sub(ROOM.load(Relaxed))
}

/// Whether this one is of the reserve for orders, which what is handed over must not have either.
pub fn is_for_orders(descriptor: impl AsFd) -> bool {
    descriptor.as_fd().as_raw_fd() >= LINE.load(Relaxed)
}

/// Keeps room for so many that another process hands over; 0: no more.
pub fn keep_room(descriptors: u64) {
    let room = match descriptors {
        0 => 0,
        _ => i32::try_from(descriptors.saturating_add(AT_ONCE)).unwrap_or(i32::MAX),
    };
    ROOM.store(room, Relaxed);
}

/// So many of these have come.
pub fn use_room(descriptors: u64) {
    let came = i32::try_from(descriptors).unwrap_or(i32::MAX);
    let _ = ROOM.fetch_update(Relaxed, Relaxed, |room| {
        Some(room.saturating_sub(came).max(0))
    });
}

/// Whether room is kept.
pub fn keeps_room() -> bool {
    ROOM.load(Relaxed) > 0
}

/// Says so where the limit leaves clients next to nothing, as a copy of this one shows.
pub fn check_room(descriptor: impl AsFd) {
    let Ok(next) = rustix::io::fcntl_dupfd_cloexec(descriptor, 0) else {
        return;
    };
    if is_near_reserve(&next) {
        let room = clients_line().saturating_sub(next.as_raw_fd()).max(0);
        tracing::warn!(
            room,
            limit = getrlimit(Resource::Nofile).current,
            "the limit of open files leaves room for next to no clients: raise it \
             (LimitNOFILE, ulimit -n), or have fewer workers"
        );
    }
}

/// Whether clients may have one more, as a copy of this one shows.
pub fn is_room(descriptor: impl AsFd) -> bool {
    rustix::io::fcntl_dupfd_cloexec(descriptor, 0).is_ok_and(|copy| !is_reserved(copy))
}

/// One for a client or an upstream, unless it is of the reserve; a failure is noted.
///
/// # Errors
/// What the system says where there are none left.
pub fn outside_reserve<T: AsFd>(opened: io::Result<T>) -> io::Result<T> {
    let opened = match opened {
        Ok(descriptor) if is_reserved(&descriptor) => Err(Errno::MFILE.into()),
        opened => opened,
    };
    opened.inspect_err(|error: &io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        if matches!(errno, Some(Errno::MFILE | Errno::NFILE)) {
            ran_out();
        }
    })
}

/// Something could not be opened because there were none left.
pub fn ran_out() {
    SHORTAGE.note();
}

/// Tells when descriptors run out and when there are some again. Never returns.
pub async fn watch() {
    let begins = || {
        let limit = getrlimit(Resource::Nofile).current;
        tracing::error!(
            limit,
            reserve = limit.map(reserve),
            "file descriptors have run out: clients wait, connects fail; raise the \
             limit (LimitNOFILE, ulimit -n)"
        );
    };
    let ends = |Over { failed, lasted_ms }| {
        tracing::info!(failed, lasted_ms, "there are file descriptors again");
    };
    SHORTAGE.watch(begins, ends).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_kept_back_and_never_all() {
        let kept = [
            (0, 0),
            (7, 3),
            (32, 16),
            (48, 16),
            (128, 16),
            (256, 32),
            (1024, 128),
            (1 << 20, 128),
        ];
        for (limit, kept) in kept {
            assert_eq!(reserve(limit), kept, "{limit}");
        }
    }
}
