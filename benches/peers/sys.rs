//! The few system calls that neither std nor rustix (with the features this
//! crate uses) offers safely: pinning, a child's fate tied to its parent's,
//! another process's CPU clock, and a flag raised by SIGINT. Owns every
//! `unsafe` block of the harness, and no policy.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Restricts the calling thread, and what it starts from now on, to these cores.
pub fn pin(cores: &[usize]) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is a plain bit array for which all zeroes is the
    // empty set; CPU_SET is bounds-checked by libc's fixed-size array index
    // (each core is checked first); the kernel only reads `size` bytes.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for core in cores {
            if *core >= 8 * size_of::<libc::cpu_set_t>() {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            libc::CPU_SET(*core, &mut set);
        }
        match libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Makes the command's process run on `cores`, if there are any, and get SIGTERM when the thread
/// that spawned it ends, however that happens.
pub fn bind_child(command: &mut Command, cores: &[usize]) {
    let cores = cores.to_vec();
    // SAFETY: the closure runs between fork and exec. It makes two system
    // calls, allocates nothing on success, takes no lock, and touches no
    // memory but its own captured numbers.
    unsafe {
        command.pre_exec(move || {
            if !cores.is_empty() {
                pin(&cores)?;
            }
            match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
}

/// CPU time (user and system, all threads, also ended ones) that process
/// `pid` has used, with the scheduler's nanosecond resolution.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both calls only write through the pointers given, to live,
    // properly typed locals.
    unsafe {
        match libc::clock_getcpuclockid(pid, &mut clock) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        if libc::clock_gettime(clock, &mut time) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Lets `bind` with port 0 leave the choice of a port to `connect`.
pub fn bind_without_port(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads four bytes from a live local; the descriptor
    // is borrowed for the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Turns SIGINT and SIGTERM into a flag, so that every guard is dropped on
/// the way out.
pub fn catch_interrupts() {
    extern "C" fn raise(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    let handler = raise as extern "C" fn(libc::c_int);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler has the type that signal(2) calls, lives for
        // the whole program, and does one atomic store, which is
        // async-signal-safe.
        unsafe {
            libc::signal(signal, handler as libc::sighandler_t);
        }
    }
}

/// Whether SIGINT or SIGTERM came.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Sends a signal to a process that this harness started.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // A process that is gone already is what the caller wants.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Raises the soft limit of open files to the hard one; children inherit it.
/// Returns the limit in force.
pub fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}
