//! The command line, and what cargo adds to it.

use clap::Parser;
use std::path::PathBuf;

/// What the user asked for.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "peers",
    about = "Measures sluice beside its peers; see benches/peers/main.rs"
)]
pub struct Options {
    /// Rows to measure, separated by commas; `all` for every one.
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Proxies to measure: floor, sluice, observed (sluice while it is scraped,
    /// followed and traced), nginx, haproxy, caddy.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "floor,sluice,nginx,haproxy,caddy"
    )]
    pub proxies: Vec<String>,
    /// Interleaved rounds; the table shows their median.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Seconds that each proxy is measured in each row and round.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Seconds over which idle tunnels are watched (in the first round only).
    #[arg(long, default_value_t = 10.0)]
    pub idle_seconds: f64,
    /// One round, half a second a row, idle tunnels for 2 seconds.
    #[arg(long)]
    pub quick: bool,
    /// Count instructions and system calls of sluice instead (needs valgrind and strace).
    #[arg(long)]
    pub counts: bool,
    /// Every proxy writes an access log to a file.
    #[arg(long)]
    pub access_log: bool,
    /// The sluice to measure. Default: the one cargo built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_sluice"))]
    pub sluice: PathBuf,
    /// Another sluice to measure beside the first; as often as wanted.
    #[arg(long, value_name = "NAME=PATH", value_parser = named)]
    pub against: Vec<(String, PathBuf)>,
    /// The nginx to measure.
    #[arg(long, default_value = "nginx")]
    pub nginx: PathBuf,
    /// The HAProxy to measure.
    #[arg(long, default_value = "haproxy")]
    pub haproxy: PathBuf,
    /// The Caddy to measure.
    #[arg(long, default_value = "caddy")]
    pub caddy: PathBuf,
    /// Writes every figure of every round to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Draws the chart into this file.
    #[arg(long)]
    pub svg: Option<PathBuf>,
    /// The core of the proxies.
    #[arg(long, default_value_t = 0)]
    pub proxy_core: usize,
    /// The core of the load generator and the backend.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Keeps the proxies' configurations and logs, and says where.
    #[arg(long)]
    pub keep: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// What criterion's benches take for a smoke test.
    #[arg(long, hide = true)]
    pub test: bool,
    /// The part that a child process of the harness plays.
    #[arg(long, hide = true)]
    pub role: Option<String>,
    /// Its arguments.
    #[arg(long, hide = true)]
    pub role_arg: Vec<String>,
    /// Open files a process may have; found out at the start.
    #[arg(skip)]
    pub files: u64,
    /// A smoke test: few tunnels, instants instead of seconds.
    #[arg(skip)]
    pub smoke: bool,
}

/// `NAME=PATH`; the name becomes a column, a directory and a class.
fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("not NAME=PATH")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !name.is_empty() && name.chars().all(plain) {
        true => Ok((name.to_owned(), path.into())),
        false => Err("a name is of letters, digits, '-', '_' and '.'".to_owned()),
    }
}

impl Options {
    /// Parses the command line. `cargo test --benches` passes nothing at all
    /// and gets a smoke test; so does `--test`.
    pub fn read() -> Self {
        let mut options = Self::parse();
        if options.quick {
            options.rounds = 1;
            options.seconds = 0.5;
            options.idle_seconds = 2.0;
        }
        options.smoke = options.test || std::env::args().len() == 1;
        if options.smoke {
            options.proxies = vec!["floor".to_owned()];
            options.rounds = 1;
            options.seconds = 0.05;
            options.idle_seconds = 0.05;
        }
        options
    }
}
