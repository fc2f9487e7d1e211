//! The rows of the table: what work each is, over how many connections, and
//! in which unit its cost is told.

use crate::load::Work;

/// The unit of a row's figure; lower is better in each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Microseconds of CPU an operation.
    Micros,
    /// Seconds of CPU per 10^9 bytes.
    SecondsPerGigabyte,
    /// Bytes of private memory a tunnel.
    Bytes,
    /// CPU in percent of one core.
    Percent,
}

/// A kind of work.
#[derive(Clone, Copy)]
pub struct Row {
    /// Its name on the command line.
    pub id: &'static str,
    /// Its heading in the table; `{n}` stands for the connections.
    pub title: &'static str,
    /// What the load does.
    pub work: Work,
    /// Over how many connections.
    pub connections: usize,
    /// What is measured; `Bytes` marks the row of idle tunnels.
    pub unit: Unit,
    /// Measured when `--rows` says nothing.
    pub default: bool,
}

/// Messages of the bulk rows.
const BULK: usize = 1 << 20;

/// Every row, in the table's order.
pub const ROWS: &[Row] = &[
    row(
        "get-128",
        "GET 128 B, {n} connections",
        Work::Get("/128", 128),
        64,
    ),
    row(
        "get-16k",
        "GET 16 KiB, {n} connections",
        Work::Get("/16k", 16 << 10),
        64,
    ),
    bulk(
        "get-1m",
        "GET 1 MiB, {n} connections",
        Work::Get("/1m", 1 << 20),
        16,
        true,
    ),
    row("echo-64", "echo 64 B, {n} tunnels", Work::Echo(64), 64),
    row(
        "echo-4k",
        "echo 4 KiB, {n} tunnels",
        Work::Echo(4 << 10),
        64,
    ),
    row(
        "echo-64-5000",
        "echo 64 B, {n} tunnels",
        Work::Echo(64),
        5_000,
    ),
    bulk("up", "bulk up, 1 MiB messages", Work::Up(BULK), 4, true),
    bulk(
        "down",
        "bulk down, 1 MiB messages",
        Work::Down(BULK),
        4,
        true,
    ),
    bulk(
        "up-64k",
        "bulk up, 64 KiB messages",
        Work::Up(64 << 10),
        4,
        false,
    ),
    bulk(
        "down-64k",
        "bulk down, 64 KiB messages",
        Work::Down(64 << 10),
        4,
        false,
    ),
    row(
        "handshake",
        "handshake and close, {n} at a time",
        Work::Handshake,
        64,
    ),
    Row {
        unit: Unit::Bytes,
        ..row(
            "idle",
            "memory, each of {n} idle tunnels",
            Work::Echo(64),
            8_000,
        )
    },
];

const fn row(id: &'static str, title: &'static str, work: Work, connections: usize) -> Row {
    Row {
        id,
        title,
        work,
        connections,
        unit: Unit::Micros,
        default: true,
    }
}

const fn bulk(
    id: &'static str,
    title: &'static str,
    work: Work,
    connections: usize,
    default: bool,
) -> Row {
    Row {
        unit: Unit::SecondsPerGigabyte,
        default,
        ..row(id, title, work, connections)
    }
}

impl Row {
    /// The heading.
    pub fn heading(&self) -> String {
        self.title
            .replace("{n}", &thousands(self.connections as u64))
    }
}

/// A number with commas between its thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
