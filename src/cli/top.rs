//! `sluice top`: what the running sluice is doing, drawn once a second until `q`. Owns the
//! loop; what is shown is in `figures`, how in `draw`, what keys do in `state`, and the
//! terminal in `terminal`.

mod draw;
mod figures;
mod numbers;
mod state;
mod terminal;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use clap::Args;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::Event;

use self::figures::{Figures, Look};
use self::state::{Next, State};
use self::terminal::Screen;
use super::options::AdminArguments;
use super::output::plain;
use crate::client::api::Client;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Longest wait for a key before news and signals are looked at.
const KEY: Duration = Duration::from_millis(100);

/// Columns and rows of a frame that is printed instead of drawn.
const PRINTED: (u16, u16) = (80, 48);

/// What is shown of whom.
#[derive(Debug, Default, Args)]
pub struct TopArguments {
    /// Print one frame as plain text
    #[arg(long)]
    pub once: bool,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Draws until `q`.
///
/// # Errors
/// When no sluice answers at first, or there is no terminal to draw on.
pub fn run(arguments: &TopArguments, out: &mut impl Write) -> io::Result<ExitCode> {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !(arguments.once || terminal) {
        let message = "this is not a terminal; `sluice top --once` prints one frame";
        return Err(io::Error::other(message));
    }
    let client = arguments.admin.client()?;
    let first = look(&client).map_err(io::Error::other)?;
    if arguments.once {
        print(first, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut state = State::new(first, plain());
    let news = watch(client)?;
    let mut screen = Screen::open()?;
    interact(&mut state, &news, &mut screen)?;
    Ok(ExitCode::SUCCESS)
}

fn look(client: &Client) -> Look {
    Figures::of(client).map_err(|error| error.to_string())
}

/// Looks once a second in a thread of its own, so that keys do not wait for an answer. It
/// ends when its news is not wanted any more.
fn watch(client: Client) -> io::Result<Receiver<Look>> {
    let (sender, news) = mpsc::sync_channel(1);
    thread::Builder::new().name("top".into()).spawn(move || {
        loop {
            thread::sleep(EVERY);
            if sender.send(look(&client)).is_err() {
                return;
            }
        }
    })?;
    Ok(news)
}

fn interact(state: &mut State, news: &Receiver<Look>, screen: &mut Screen) -> io::Result<()> {
    loop {
        screen.draw(|frame| draw::everything(frame, state))?;
        loop {
            if screen.told_to_stop() {
                return Ok(());
            }
            let seen = match screen.next(KEY)? {
                Some(Event::Key(key)) => state.press(key),
                Some(Event::Resize(..)) => Next::Draw,
                _ => Next::Nothing,
            };
            let told = news.try_iter().fold(Next::Nothing, |_, look| {
                state.hear(look);
                Next::Draw
            });
            match (seen, told) {
                (Next::Quit, _) => return Ok(()),
                (Next::Nothing, Next::Nothing) => {}
                _ => break,
            }
        }
    }
}

/// One frame, without what belongs to a terminal.
fn print(figures: Figures, out: &mut impl Write) -> io::Result<()> {
    let state = State::new(figures, true).printed();
    let (width, height) = PRINTED;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).map_err(io::Error::other)?;
    let drawn = terminal
        .draw(|frame| draw::everything(frame, &state))
        .map_err(io::Error::other)?;
    let cells = drawn.buffer.content();
    let mut text = String::new();
    for row in cells.chunks(usize::from(width)) {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests;
