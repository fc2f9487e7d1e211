//! What commands print: text from outside made harmless, refusals, figures, and whether there
//! are colours.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::admin::EndpointState;
use crate::process::order::OrderError;
use crate::vocabulary::visible;

pub use crate::logging::plain;

/// Lines for a terminal: hidden characters leave it as `\u{9b}`, wherever they came from. JSON
/// has been spelled by then (`visible::json`), and has none.
pub(super) struct Visible<W>(pub(super) W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(visible::lines(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether problems are printed with colours: on a terminal, unless `NO_COLOR` is set.
pub fn colour() -> bool {
    io::stderr().is_terminal() && !plain()
}

/// Text from outside, for a terminal.
pub(super) fn clean(text: &str) -> String {
    visible::escaped(text).into_owned()
}

/// `1 tunnel`, `2 tunnels`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// `0.3ms`, `12ms`, `1.5s`.
pub(super) fn milliseconds(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1}ms", micros as f64 / 1000.0),
        10_000..1_000_000 => format!("{}ms", micros / 1000),
        _ => format!("{:.1}s", micros as f64 / 1_000_000.0),
    }
}

/// Whether an endpoint is used; `failure`: why it fails, and since when.
pub(super) fn endpoint_state(
    state: EndpointState,
    failure: (Option<&str>, Option<&str>),
) -> String {
    match (state, failure) {
        (EndpointState::Up, _) => "up".to_owned(),
        (EndpointState::Draining, _) => "draining".to_owned(),
        (EndpointState::Leaving, _) => "leaving".to_owned(),
        (EndpointState::Avoided, (Some(why), Some(since))) => {
            format!("failed since {since}: {why}")
        }
        (EndpointState::Avoided, (Some(why), None)) => format!("failed: {why}"),
        (EndpointState::Avoided, (None, _)) => "failed".to_owned(),
    }
}

/// Says why an order was refused: all of it, or the one line that there is.
///
/// # Errors
/// When the output is closed.
pub fn refused(why: &OrderError, err: &mut impl Write) -> io::Result<ExitCode> {
    match why.details.trim_end() {
        "" => writeln!(err, "sluice: {}", visible::lines(&why.error))?,
        details => writeln!(err, "{}", visible::lines(details))?,
    }
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_moved() {
        assert_eq!(clean("a\u{1b}[2J\u{9b}b\n"), "a\\u{1b}[2J\\u{9b}b\\u{a}");
        let mut out = Visible(Vec::new());
        writeln!(out, "a\u{9b}\u{202e}\nb").unwrap();
        assert_eq!(out.0, b"a\\u{9b}\\u{202e}\nb\n");
    }
}
