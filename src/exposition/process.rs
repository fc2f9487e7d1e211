//! The figures of the process itself, as the kernel tells them in proc(5).

use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What is known; `None`: the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    /// Processor time used by all threads.
    pub(super) cpu: Option<Duration>,
    /// Bytes of memory in use.
    pub(super) resident: Option<u64>,
    /// Bytes of address space.
    pub(super) virtual_size: Option<u64>,
    /// Open descriptors.
    pub(super) open_fds: Option<u64>,
    /// The limit on them; `None` where there is none.
    pub(super) max_fds: Option<u64>,
    pub(super) threads: Option<u64>,
    /// When it started, in seconds since 1970.
    pub(super) started: Option<f64>,
}

impl Process {
    /// Asks the kernel.
    pub(super) fn now() -> Process {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let stat = read("/proc/self/stat").unwrap_or_default();
        let boot = read("/proc/stat").and_then(|text| boot_time(&text));
        let started = field(&stat, STARTED).zip(boot).map(|(ticks, boot)| {
            // Whole seconds and ticks are far below what a double spells exactly.
            boot as f64 + ticks as f64 / clock_ticks_per_second().max(1) as f64
        });
        Process {
            cpu: Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok(),
            resident: field(&stat, RESIDENT).map(|pages| pages * page_size() as u64),
            virtual_size: field(&stat, VIRTUAL),
            // The look itself has the directory open.
            open_fds: std::fs::read_dir("/proc/self/fd")
                .ok()
                .map(|all| (all.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
            threads: field(&stat, THREADS),
            started,
        }
    }
}

/// Numbers of fields in `/proc/PID/stat`, from 1.
const THREADS: usize = 20;
const STARTED: usize = 22;
const VIRTUAL: usize = 23;
const RESIDENT: usize = 24;

/// The second field is the program's name in parentheses, in which anything can stand.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn boot_time(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23";
        assert_eq!(field(stat, 4), Some(1));
        assert_eq!(field(stat, RESIDENT), Some(21));
        assert_eq!(field("", 4), None);
    }

    #[test]
    fn this_process_has_figures() {
        let process = Process::now();
        assert!(process.resident.is_some_and(|bytes| bytes > 1 << 20));
        assert!(process.virtual_size > process.resident);
        assert!(process.open_fds.is_some_and(|fds| fds >= 3));
        assert!(process.threads.is_some_and(|threads| threads >= 1));
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - process.started.unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
