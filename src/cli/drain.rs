//! `sluice drain` and `sluice undrain`: have tunnels closed over a span while the process
//! goes on, show how far that is, and take it back.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::options::AdminArguments;
use super::output::{counted, refused};
use crate::admin::UndrainRequest;
use crate::client::api::{Client, QUICK};
use crate::config::{parse_duration, write_duration};
use crate::process::order::{DrainRequest, DrainView, OrderError, Target};

/// How often progress is shown on a terminal.
const REDRAW: Duration = Duration::from_millis(250);

/// How often it is printed elsewhere.
const PRINT: Duration = Duration::from_secs(1);

/// Characters of the bar between its brackets.
const BAR: usize = 20;

/// What is drained how.
#[derive(Debug, Args)]
pub struct DrainArguments {
    /// Which tunnels
    #[command(flatten)]
    pub target: DrainTarget,
    /// Closes are spread at random over this span, as 2m [default: drain.over]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub over: Option<Duration>,
    /// What is left this long after the start is cut off, as 3m [default: `over`, plus the time
    /// between drain.over and drain.deadline]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub deadline: Option<Duration>,
    /// Return at once instead of watching
    #[arg(long)]
    pub detach: bool,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Which tunnels are drained.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct DrainTarget {
    /// All tunnels; new handshakes are refused, and /readyz returns 503
    #[arg(long)]
    pub all: bool,
    /// The tunnels of this route
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// The tunnels of this endpoint, as `sluice status` shows it
    #[arg(long, value_name = "UPSTREAM/ADDRESS", value_parser = endpoint)]
    pub endpoint: Option<Target>,
}

/// Which drains are taken back.
#[derive(Debug, Args)]
pub struct UndrainArguments {
    /// Only the drain of everything [default: every drain]
    #[arg(long, conflicts_with_all = ["route", "endpoint"])]
    pub all: bool,
    /// Only the drain of this route
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint")]
    pub route: Option<String>,
    /// Only the drain of this endpoint
    #[arg(long, value_name = "UPSTREAM/ADDRESS", value_parser = endpoint)]
    pub endpoint: Option<Target>,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// The name of an upstream may have slashes, as the path of a unix socket has.
fn endpoint(text: &str) -> Result<Target, String> {
    let split = match text.find("/unix:/") {
        Some(at) => Some((&text[..at], &text[at + 1..])),
        None => text.rsplit_once('/'),
    };
    match split {
        Some((upstream, endpoint)) if !upstream.is_empty() && !endpoint.is_empty() => {
            Ok(Target::Endpoint {
                upstream: upstream.to_owned(),
                endpoint: endpoint.to_owned(),
            })
        }
        _ => Err("write the upstream's name and the address: app/10.0.0.3:9000".to_owned()),
    }
}

fn target(all: bool, route: Option<&String>, endpoint: Option<&Target>) -> Option<Target> {
    let route = route.cloned().map(Target::Route);
    let all = all.then_some(Target::All);
    route.or_else(|| endpoint.cloned()).or(all)
}

/// Drains, and watches until nothing is left.
///
/// # Errors
/// When no sluice answers.
pub fn run(
    arguments: &DrainArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    if let (Some(over), Some(deadline)) = (arguments.over, arguments.deadline)
        && deadline < over
    {
        let (over, deadline) = (write_duration(over), write_duration(deadline));
        writeln!(
            err,
            "error: --deadline {deadline} is shorter than --over {over}"
        )?;
        return Ok(ExitCode::from(2));
    }
    let client = arguments.admin.client()?;
    let drain: DrainView = match client.post("/v1/drain", &order(arguments), Some(QUICK))? {
        Ok(drain) => drain,
        Err(why) => return refused(&why, err),
    };
    let span = |millis| write_duration(Duration::from_millis(millis));
    writeln!(
        out,
        "draining {}: {} over {}, cut after {}",
        drain.target,
        counted(drain.left, "tunnel"),
        span(drain.over_ms),
        span(drain.deadline_ms)
    )?;
    let undo = format!("{}{}", undo(&drain.target), arguments.admin.repeated());
    if arguments.detach {
        writeln!(out, "to take it back: {undo}")?;
        return Ok(ExitCode::SUCCESS);
    }
    match watch(&client, drain, out)? {
        Watched::Ended(Ok(drain)) if drain.undone => {
            writeln!(out, "taken back: {}", spared(&drain))?;
            Ok(ExitCode::FAILURE)
        }
        Watched::Ended(Ok(drain)) => {
            writeln!(out, "done: {} closed, {} cut", drain.closed, drain.cut)?;
            Ok(ExitCode::SUCCESS)
        }
        Watched::Ended(Err(why)) => refused(&why, err),
        Watched::Left => {
            writeln!(out, "the drain goes on; to take it back: {undo}")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What is ordered.
fn order(arguments: &DrainArguments) -> DrainRequest {
    let DrainTarget {
        all,
        route,
        endpoint,
    } = &arguments.target;
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    DrainRequest {
        target: target(*all, route.as_ref(), endpoint.as_ref()).unwrap_or(Target::All),
        over_ms: arguments.over.map(millis),
        deadline_ms: arguments.deadline.map(millis),
    }
}

/// Takes drains back.
///
/// # Errors
/// When no sluice answers.
pub fn undo_run(
    arguments: &UndrainArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let UndrainArguments {
        all,
        route,
        endpoint,
        admin,
    } = arguments;
    let order = UndrainRequest {
        target: target(*all, route.as_ref(), endpoint.as_ref()),
    };
    let outcome = admin.client()?.post("/v1/undrain", &order, Some(QUICK))?;
    let drains: Vec<DrainView> = match outcome {
        Ok(drains) => drains,
        Err(why) => return refused(&why, err),
    };
    if drains.is_empty() {
        writeln!(out, "nothing was being drained")?;
    }
    for drain in drains {
        writeln!(
            out,
            "taken back: {}: {}, {} closed",
            drain.target,
            spared(&drain),
            drain.closed
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn spared(drain: &DrainView) -> String {
    let verb = if drain.spared == 1 { "lives" } else { "live" };
    format!("{} {verb} on", counted(drain.spared, "tunnel"))
}

/// The command that takes the drain back.
fn undo(target: &Target) -> String {
    let quote = |text: &str| match text.contains(|c: char| c.is_whitespace() || "'\"$*".contains(c))
    {
        true => format!("'{}'", text.replace('\'', "'\\''")),
        false => text.to_owned(),
    };
    match target {
        Target::All => "sluice undrain --all".to_owned(),
        Target::Route(name) => format!("sluice undrain --route {}", quote(name)),
        Target::Endpoint { upstream, endpoint } => {
            let endpoint = quote(&format!("{upstream}/{endpoint}"));
            format!("sluice undrain --endpoint {endpoint}")
        }
        Target::Reload(_) => "sluice undrain".to_owned(),
    }
}

/// How watching ended.
enum Watched {
    /// With the drain.
    Ended(Result<DrainView, OrderError>),
    /// By Ctrl-C.
    Left,
}

/// Shows progress until nothing is left, or until Ctrl-C.
fn watch(client: &Client, drain: DrainView, out: &mut impl Write) -> io::Result<Watched> {
    let terminal = io::stdout().is_terminal();
    let pause = if terminal { REDRAW } else { PRINT };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut drain = drain;
        loop {
            show(&drain, terminal, out)?;
            if drain.left == 0 || drain.undone {
                end_line(terminal, out)?;
                return Ok(Watched::Ended(Ok(drain)));
            }
            tokio::select! {
                _ = interrupt.recv() => {
                    end_line(terminal, out)?;
                    return Ok(Watched::Left);
                }
                () = tokio::time::sleep(pause) => {}
            }
            let views: Vec<DrainView> = match client.ask("/v1/drains").await {
                Ok(Ok(views)) => views,
                Ok(Err(why)) => {
                    end_line(terminal, out)?;
                    return Ok(Watched::Ended(Err(why)));
                }
                Err(error) => {
                    end_line(terminal, out)?;
                    return Err(error);
                }
            };
            // A process that has taken over goes on with the drain under a number of its own.
            let mut same = views.iter().filter(|view| view.target == drain.target);
            let own = same.clone().find(|view| view.id == drain.id);
            match own.or_else(|| same.next_back()).cloned() {
                Some(view) => drain = view,
                None => {
                    end_line(terminal, out)?;
                    let why =
                        OrderError::new("the drain is not known any more: was sluice replaced?");
                    return Ok(Watched::Ended(Err(why)));
                }
            }
        }
    })
}

fn show(drain: &DrainView, terminal: bool, out: &mut impl Write) -> io::Result<()> {
    let line = progress(drain);
    if terminal {
        // Back to the start of the line, and what is left of the last one is erased.
        let mut terminal = io::stdout();
        write!(terminal, "\r{} {line}\x1b[K", bar(drain))?;
        terminal.flush()
    } else {
        writeln!(out, "{line}")
    }
}

fn end_line(terminal: bool, out: &mut impl Write) -> io::Result<()> {
    if terminal { writeln!(out) } else { Ok(()) }
}

fn progress(drain: &DrainView) -> String {
    format!(
        "{} left, {} closed, {} cut, {} of {}",
        drain.left,
        drain.closed,
        drain.cut,
        write_duration(Duration::from_secs(drain.elapsed_ms / 1000)),
        write_duration(Duration::from_millis(drain.over_ms)),
    )
}

fn bar(drain: &DrainView) -> String {
    let done = drain.total.saturating_sub(drain.left);
    let filled = match drain.total {
        0 => BAR,
        total => (done as f64 / total as f64 * BAR as f64) as usize,
    };
    format!("[{:.<BAR$}]", "#".repeat(filled.min(BAR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(total: u64, left: u64) -> DrainView {
        DrainView {
            id: 1,
            target: Target::All,
            elapsed_ms: 61_900,
            over_ms: 120_000,
            deadline_ms: 180_000,
            total,
            left,
            closed: total - left,
            cut: 0,
            spared: 0,
            undone: false,
        }
    }

    #[test]
    fn progress_fits_a_line() {
        assert_eq!(bar(&view(0, 0)), format!("[{}]", "#".repeat(BAR)));
        assert_eq!(bar(&view(100, 100)), format!("[{}]", ".".repeat(BAR)));
        assert_eq!(bar(&view(100, 50)), "[##########..........]");
        assert_eq!(
            progress(&view(100, 40)),
            "40 left, 60 closed, 0 cut, 1m1s of 2m"
        );
        let all = u32::MAX.into();
        assert!(bar(&view(all, all)).len() + 1 + progress(&view(all, all)).len() < 80);
    }

    #[test]
    fn endpoints_are_split_where_the_address_begins() {
        for (text, upstream, address) in [
            ("app/10.0.0.3:9000", "app", "10.0.0.3:9000"),
            ("/chat/[::1]:9000", "/chat", "[::1]:9000"),
            ("app/unix:/run/app.sock", "app", "unix:/run/app.sock"),
        ] {
            let expected = Target::Endpoint {
                upstream: upstream.into(),
                endpoint: address.into(),
            };
            assert_eq!(endpoint(text), Ok(expected.clone()), "{text}");
            assert_eq!(undo(&expected), format!("sluice undrain --endpoint {text}"));
        }
        for text in ["", "app", "app/", "/10.0.0.3:9000"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
        let spaced = Target::Route("a b".into());
        assert_eq!(undo(&spaced), "sluice undrain --route 'a b'");
    }
}
