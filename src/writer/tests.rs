//! Several writers of one pipe whose reader is slow: whose lines stay whole.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::pipe::PIPE_BUF;
use super::*;

/// A small pipe whose reader waits.
fn small_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
    fcntl_setpipe_size(&write, 3 * PIPE_BUF).expect("a small one");
    rustix::io::ioctl_fionbio(&read, false).expect("a reader that waits");
    (read, write)
}

fn writer(write: &OwnedFd) -> Writer {
    Writer::file(write.try_clone().expect("a descriptor").into()).expect("a writer")
}

fn line(name: &str, length: usize) -> Vec<u8> {
    format!("{name}{}.\n", "x".repeat(length)).into_bytes()
}

/// A log that is opened again, as at a reload, while its reader is slow; `length` of its
/// lines. Gives what was read until all lines of the second writer were.
fn opened_again(length: usize) -> Vec<String> {
    let (read, write) = small_pipe();
    let first = writer(&write);
    first.write(Lines::Access, line("first", length).repeat(64));
    // The pipe is as full as it gets; the thread waits for the reader, and gives up.
    let until = Instant::now() + Duration::from_secs(15);
    while rustix::io::ioctl_fionread(&read).expect("a count") < 2 * PIPE_BUF as u64 {
        assert!(Instant::now() < until, "it is written to");
        std::thread::yield_now();
    }
    drop(first);
    let second = writer(&write);
    second.write(Lines::Access, line("second", length).repeat(8));
    let mut seconds = 0;
    let lines = BufReader::new(File::from(read)).lines();
    let lines = lines.map(|line| line.expect("is read"));
    let until_all = lines.take_while(|line| {
        seconds += usize::from(line.starts_with("second"));
        seconds < 8
    });
    until_all.collect()
}

fn is_whole(line: &str, length: usize) -> bool {
    let name = line.split('x').next().unwrap_or_default();
    let is_known = ["first", "second"].contains(&name);
    is_known && line.ends_with('.') && line.len() == name.len() + length + 1
}

#[test]
fn a_writer_given_up_tears_no_line_for_the_next_one() {
    let lines = opened_again(998);
    assert!(lines.iter().all(|line| is_whole(line, 998)), "{lines:?}");
    // A line that a pipe does not take as a whole may be left half-written, alone.
    let lines = opened_again(20_000);
    let torn: Vec<_> = lines
        .iter()
        .filter(|line| !is_whole(line, 20_000))
        .collect();
    let is_begun = torn.iter().all(|line| line.starts_with("first"));
    assert!(torn.len() <= 1 && is_begun, "{torn:?}");
}

#[test]
fn lines_of_any_length_stay_whole_whoever_else_writes() {
    let (read, write) = small_pipe();
    // As two processes have it after an upgrade, and one whose logs share a pipe.
    let writers = [(); 3].map(|()| writer(&write));
    let long = line("first", 20_000);
    for (writer, lines) in writers.iter().zip([&long, &long, &line("second", 500)]) {
        for _ in 0..100 {
            writer.write(Lines::Access, lines.clone());
        }
    }
    let mut lines = BufReader::new(File::from(read)).lines();
    for _ in 0..300 {
        let line = lines.next().expect("a line").expect("is read");
        assert!(is_whole(&line, 20_000) || is_whole(&line, 500), "{line}");
    }
}

#[test]
fn a_writer_that_was_stopped_in_its_line_is_not_waited_for_without_end() {
    let (read, write) = small_pipe();
    let other = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&write));
    let other = open(other, OFlags::WRONLY, Mode::empty()).expect("a description");
    flock(&other, FlockOperation::LockExclusive).expect("a lock");
    writer(&write).write(Lines::Access, line("first", 10));
    let mut line = String::new();
    let mut lines = BufReader::new(File::from(read));
    lines.read_line(&mut line).expect("is read");
    assert!(is_whole(line.trim_end(), 10), "{line}");
}
