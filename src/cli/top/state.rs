//! What `sluice top` has seen last, and what keys have made of its view.

use std::cmp::Reverse;
use std::time::SystemTime;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::figures::{Endpoint, Figures, Look};
use super::numbers::clock;
use crate::vocabulary::stamp::rfc3339;

/// The lists, in the order of Tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// Routes and their tunnels.
    Routes,
    /// Endpoints, their state and tunnels.
    Endpoints,
    /// Refused handshakes.
    Refused,
    /// Tunnels that have ended.
    Closed,
}

impl Panel {
    /// All of them.
    pub const ALL: [Panel; 4] = [
        Panel::Routes,
        Panel::Endpoints,
        Panel::Refused,
        Panel::Closed,
    ];
}

/// How routes and endpoints are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The most tunnels first.
    Tunnels,
    /// By name.
    Name,
}

/// What has to be done after a key or news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Draw again.
    Draw,
    /// End.
    Quit,
}

/// All that a frame is drawn from.
#[derive(Debug)]
pub struct State {
    /// The last figures; those of before while `paused` or `lost`.
    pub figures: Figures,
    /// Since when and why there is no answer.
    pub lost: Option<(String, String)>,
    /// News are not shown.
    pub paused: bool,
    /// The keys are shown.
    pub help: bool,
    /// The list that arrows move.
    pub focus: Panel,
    /// The order of routes and endpoints.
    pub sort: Sort,
    /// How far each list is scrolled, in entries.
    pub scrolled: [usize; Panel::ALL.len()],
    /// No colours.
    pub plain: bool,
    /// For paper: no keys, no focus.
    pub printed: bool,
}

impl State {
    /// The first view.
    pub fn new(figures: Figures, plain: bool) -> State {
        let mut state = State {
            figures,
            lost: None,
            paused: false,
            help: false,
            focus: Panel::Routes,
            sort: Sort::Tunnels,
            scrolled: [0; Panel::ALL.len()],
            plain,
            printed: false,
        };
        state.arrange();
        state
    }

    /// The same for a frame that is printed.
    pub fn printed(mut self) -> State {
        self.printed = true;
        self
    }

    /// Takes news.
    pub fn hear(&mut self, look: Look) {
        match look {
            Err(why) => {
                let now = || clock(&rfc3339(SystemTime::now())).to_owned();
                let since = self.lost.take().map_or_else(now, |(since, _)| since);
                self.lost = Some((since, why));
            }
            Ok(_) if self.paused => self.lost = None,
            Ok(figures) => {
                self.lost = None;
                self.figures = figures;
                self.arrange();
            }
        }
    }

    /// Does what a key is for.
    pub fn press(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::Nothing;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Next::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('s') => {
                self.sort = match self.sort {
                    Sort::Tunnels => Sort::Name,
                    Sort::Name => Sort::Tunnels,
                };
                self.arrange();
            }
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Panel::ALL.len() - 1),
            KeyCode::Down => self.scroll(|at| at.saturating_add(1)),
            KeyCode::Up => self.scroll(|at| at.saturating_sub(1)),
            KeyCode::PageDown => self.scroll(|at| at.saturating_add(10)),
            KeyCode::PageUp => self.scroll(|at| at.saturating_sub(10)),
            KeyCode::Home => self.scroll(|_| 0),
            KeyCode::End => self.scroll(|_| usize::MAX),
            _ => return Next::Nothing,
        }
        Next::Draw
    }

    fn turn(&mut self, by: usize) {
        let next = (self.focus as usize + by) % Panel::ALL.len();
        self.focus = Panel::ALL[next];
    }

    fn scroll(&mut self, to: impl FnOnce(usize) -> usize) {
        let at = &mut self.scrolled[self.focus as usize];
        *at = to(*at);
        self.hold();
    }

    /// Sorts, and keeps what is scrolled within what there is.
    fn arrange(&mut self) {
        let figures = &mut self.figures;
        figures.routes.sort_by(|a, b| a.name.cmp(&b.name));
        figures.endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        if self.sort == Sort::Tunnels {
            // Stable: equal counts stay in the order of names.
            figures.routes.sort_by_key(|route| Reverse(route.tunnels));
            let most = |endpoint: &Endpoint| Reverse(endpoint.tunnels);
            figures.endpoints.sort_by_key(most);
        }
        self.hold();
    }

    fn hold(&mut self) {
        let figures = &self.figures;
        let lengths = [
            figures.routes.len(),
            figures.endpoints.len(),
            figures.refused.len(),
            figures.closed.len(),
        ];
        for (at, length) in self.scrolled.iter_mut().zip(lengths) {
            *at = (*at).min(length.saturating_sub(1));
        }
    }
}
