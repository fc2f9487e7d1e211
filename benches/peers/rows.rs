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
    /// Microseconds that 99 of 100 operations took at most.
    Latency,
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
    /// How the proxy is set up for it.
    pub setting: Setting,
}

/// How a proxy is set up for a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// As for all rows.
    Usual,
    /// A fresh one with so many workers, on the core of the load too.
    Workers(usize),
    /// A fresh one with so many routes, of which the last is asked for; sluice only.
    Routes(usize),
    /// A fresh one with so many routes, of which one changes each second; sluice only.
    Reloads(usize),
}

/// What a proxy is started with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Routes beside the one that is used.
    pub routes: usize,
    /// Its workers, a core for each.
    pub workers: usize,
}

impl Setup {
    /// That of most rows.
    pub const USUAL: Setup = Setup {
        routes: 0,
        workers: 1,
    };
}

impl Setting {
    /// What its proxy is started with.
    pub fn setup(self) -> Setup {
        match self {
            Setting::Usual => Setup::USUAL,
            Setting::Workers(workers) => Setup {
                workers,
                ..Setup::USUAL
            },
            Setting::Routes(routes) | Setting::Reloads(routes) => Setup {
                routes,
                ..Setup::USUAL
            },
        }
    }
}

/// Tunnels of the bulk rows.
const BULK: usize = 8;

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
    bulk("up-4k", "bulk up, 4 KiB messages", Work::Up(4 << 10), BULK),
    bulk(
        "up-16k",
        "bulk up, 16 KiB messages",
        Work::Up(16 << 10),
        BULK,
    ),
    bulk(
        "up-64k",
        "bulk up, 64 KiB messages",
        Work::Up(64 << 10),
        BULK,
    ),
    bulk(
        "up-256k",
        "bulk up, 256 KiB messages",
        Work::Up(256 << 10),
        BULK,
    ),
    bulk("up-1m", "bulk up, 1 MiB messages", Work::Up(1 << 20), BULK),
    bulk(
        "down-4k",
        "bulk down, 4 KiB messages",
        Work::Down(4 << 10),
        BULK,
    ),
    bulk(
        "down-16k",
        "bulk down, 16 KiB messages",
        Work::Down(16 << 10),
        BULK,
    ),
    bulk(
        "down-64k",
        "bulk down, 64 KiB messages",
        Work::Down(64 << 10),
        BULK,
    ),
    bulk(
        "down-256k",
        "bulk down, 256 KiB messages",
        Work::Down(256 << 10),
        BULK,
    ),
    bulk(
        "down-1m",
        "bulk down, 1 MiB messages",
        Work::Down(1 << 20),
        BULK,
    ),
    row(
        "handshake",
        "handshake and close, {n} at a time",
        Work::Handshake,
        64,
    ),
    Row {
        unit: Unit::Latency,
        ..row(
            "fair",
            "p99 of echoes, {n} tunnels beside 8 of bulk",
            Work::Beside {
                echo: 64,
                bulk: 64 << 10,
                tunnels: BULK,
            },
            1_000,
        )
    },
    Row {
        setting: Setting::Workers(2),
        ..row(
            "get-128-two",
            "GET 128 B, {n} connections, two workers",
            Work::Get("/128", 128),
            64,
        )
    },
    Row {
        setting: Setting::Workers(2),
        ..row(
            "echo-64-two",
            "echo 64 B, {n} tunnels, two workers",
            Work::Echo(64),
            64,
        )
    },
    Row {
        setting: Setting::Routes(10_000),
        ..row(
            "get-128-routes",
            "GET 128 B, 10,000 routes",
            Work::Get("/128", 128),
            64,
        )
    },
    Row {
        unit: Unit::Latency,
        setting: Setting::Reloads(10_000),
        ..row(
            "reload",
            "p99 of echoes while 10,000 routes are reloaded",
            Work::Beside {
                echo: 64,
                bulk: 0,
                tunnels: 0,
            },
            64,
        )
    },
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
        setting: Setting::Usual,
    }
}

const fn bulk(id: &'static str, title: &'static str, work: Work, connections: usize) -> Row {
    Row {
        unit: Unit::SecondsPerGigabyte,
        ..row(id, title, work, connections)
    }
}

impl Row {
    /// Whether it moves more than a few bytes at a time, for which some proxies' documentation
    /// recommends larger buffers.
    pub fn is_large(&self) -> bool {
        match self.work {
            Work::Get(_, size) | Work::Echo(size) => size >= 4 << 10,
            Work::Up(_) | Work::Down(_) => true,
            Work::Beside { bulk, .. } => bulk > 0,
            Work::Handshake => false,
        }
    }

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
