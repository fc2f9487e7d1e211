//! A frame of `sluice top`, drawn to fit 80 columns and 24 rows. Colours only underline what
//! words say, so that nothing is lost without them.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Sparkline, Table, Wrap};

use super::figures::{Drain, Rate};
use super::state::{Panel, Sort, State};
use crate::cli::output::counted;

/// Drains that have a line of their own.
const DRAINS: usize = 3;

const HELP: [(&str, &str); 6] = [
    ("q", "end"),
    ("Tab, left, right", "another list"),
    ("up, down, PageUp, PageDown", "move in it"),
    ("s", "sort routes and endpoints by tunnels or by name"),
    ("p", "hold what is shown; p again goes on"),
    ("?", "this"),
];

/// What a style is for.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Soft,
    Strong,
    Good,
    Bad,
    Line,
}

impl State {
    fn style(&self, tone: Tone) -> Style {
        let style = Style::new();
        let coloured = |colour| match self.plain {
            true => style,
            false => style.fg(colour),
        };
        match tone {
            Tone::Plain => style,
            Tone::Soft => style.add_modifier(Modifier::DIM),
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Good => coloured(Color::Green),
            Tone::Bad => coloured(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Line => coloured(Color::Cyan),
        }
    }

    fn span(&self, text: impl Into<String>, tone: Tone) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }
}

/// All of it.
pub fn everything(frame: &mut Frame<'_>, state: &State) {
    let drains = state.figures.drains.len().min(DRAINS) as u16;
    let head = if trouble(state).is_some() { 4 } else { 2 };
    let grow = |panels: &[Panel]| match panels.contains(&state.focus) && !state.printed {
        true => Constraint::Fill(3),
        false => Constraint::Fill(2),
    };
    let areas = Layout::vertical([
        Constraint::Length(head),
        Constraint::Length(drains),
        Constraint::Length(5),
        grow(&[Panel::Routes]),
        grow(&[Panel::Endpoints]),
        grow(&[Panel::Refused]),
        grow(&[Panel::Closed]),
        Constraint::Length(u16::from(!state.printed)),
    ]);
    let [head, drain, rates, routes, endpoints, refused, closed, keys] = areas.areas(frame.area());
    draw_head(frame, state, head);
    draw_drains(frame, state, drain);
    draw_rates(frame, state, rates);
    draw_routes(frame, state, routes);
    draw_endpoints(frame, state, endpoints);
    draw_refused(frame, state, refused);
    draw_closed(frame, state, closed);
    if !state.printed {
        draw_keys(frame, state, keys);
    }
    if state.help {
        draw_help(frame, state);
    }
}

fn draw_head(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let figures = &state.figures;
    let tone = if figures.ready { Tone::Good } else { Tone::Bad };
    let first = Line::from(vec![
        state.span("sluice ", Tone::Strong),
        state.span(figures.phase.clone(), tone),
        state.span(format!(", {}", figures.process), Tone::Plain),
    ]);
    let mut lines = vec![first, state.span(figures.config.clone(), Tone::Soft).into()];
    lines.extend(trouble(state).map(|text| Line::from(state.span(text, Tone::Bad))));
    let paragraph = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(paragraph, area);
}

/// What an operator should look after.
fn trouble(state: &State) -> Option<String> {
    let refused = &state.figures.reload_refused;
    match (&state.lost, refused) {
        (Some((since, why)), _) => Some(format!("connection lost since {since}: {why}")),
        (None, Some(why)) => Some(format!("the last reload was refused: {why}")),
        (None, None) => None,
    }
}

fn draw_drains(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let line = |drain: &Drain| {
        let filled = (drain.share * 20.0).round() as usize;
        let bar = format!("[{}{}]", "#".repeat(filled), ".".repeat(20 - filled));
        let text = format!(" {}: {}", drain.name, drain.text);
        Line::from(vec![
            state.span("drain ", Tone::Strong),
            state.span(bar, Tone::Line),
            state.span(text, Tone::Plain),
        ])
    };
    let lines = state.figures.drains.iter().take(DRAINS).map(line);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn draw_rates(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let rates = &state.figures.rates;
    let columns = Layout::horizontal(vec![Constraint::Fill(1); rates.len()]).spacing(1);
    for (rate, column) in rates.iter().zip(columns.split(area).iter()) {
        draw_rate(frame, state, rate, *column);
    }
}

fn draw_rate(frame: &mut Frame<'_>, state: &State, rate: &Rate, area: Rect) {
    let [words, plot] = Layout::vertical([Constraint::Length(3), Constraint::Fill(1)]).areas(area);
    let mut lines = vec![state.span(rate.name, Tone::Soft).into()];
    for (number, what) in &rate.now {
        lines.push(Line::from(vec![
            state.span(number.clone(), Tone::Strong),
            state.span(format!(" {what}/s"), Tone::Plain),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), words);
    let width = usize::from(plot.width);
    let from = rate.plot.len().saturating_sub(width);
    let plotted = Sparkline::default()
        .data(&rate.plot[from..])
        .style(state.style(Tone::Line));
    frame.render_widget(plotted, plot);
}

/// The frame of a list; what is in it is drawn into the area it gives.
fn panel(frame: &mut Frame<'_>, state: &State, area: Rect, own: Panel, title: String) -> Rect {
    let focused = state.focus == own && !state.printed;
    let mark = if focused { "> " } else { "" };
    let tone = if focused { Tone::Strong } else { Tone::Plain };
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(state.style(Tone::Soft))
        .title(state.span(format!("{mark}{title} "), tone));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

fn from(state: &State, own: Panel) -> usize {
    state.scrolled[own as usize]
}

fn sorted(state: &State) -> &'static str {
    match state.sort {
        Sort::Tunnels => "most tunnels first",
        Sort::Name => "by name",
    }
}

fn draw_routes(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let title = format!("{} by route", counted(state.figures.open, "tunnel"));
    let inner = panel(frame, state, area, Panel::Routes, title);
    let rows = state.figures.routes.iter().skip(from(state, Panel::Routes));
    let right = |text: &str| Line::from(text.to_owned()).right_aligned();
    let rows = rows.map(|route| {
        let tone = if route.well { Tone::Plain } else { Tone::Bad };
        let [client, server] = &route.errors;
        let [half, most] = &route.waits;
        Row::new(vec![
            Line::from(route.name.clone()),
            right(&route.requests),
            right(client),
            Line::from(state.span(server.clone(), tone)).right_aligned(),
            right(half),
            right(most),
            right(&route.tunnels.to_string()),
        ])
    });
    let names = ["", "req/s", "4xx", "5xx", "p50", "p99", "tunnels"];
    let names = names.map(|name| Line::from(state.span(name, Tone::Soft)).right_aligned());
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(8),
    ];
    let table = Table::new(rows, widths).header(Row::new(names));
    frame.render_widget(table, inner);
}

fn draw_endpoints(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let title = format!("by endpoint ({})", sorted(state));
    let inner = panel(frame, state, area, Panel::Endpoints, title);
    let endpoints = state.figures.endpoints.iter();
    let rows = endpoints
        .skip(from(state, Panel::Endpoints))
        .map(|endpoint| {
            let tone = if endpoint.well { Tone::Good } else { Tone::Bad };
            let tunnels = Line::from(endpoint.tunnels.to_string()).right_aligned();
            Row::new(vec![
                Line::from(endpoint.name.clone()),
                state.span(endpoint.state.clone(), tone).into(),
                tunnels,
            ])
        });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(33),
        Constraint::Length(8),
    ];
    frame.render_widget(Table::new(rows, widths), inner);
}

fn draw_refused(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let title = format!("handshakes refused{}", state.figures.refused_causes);
    let inner = panel(frame, state, area, Panel::Refused, title);
    let mut lines = Vec::new();
    let refused = state.figures.refused.iter();
    for entry in refused.skip(from(state, Panel::Refused)) {
        lines.push(Line::from(vec![
            state.span(format!("{} ", entry.when), Tone::Soft),
            state.span(entry.cause.clone(), Tone::Bad),
            state.span(format!(" {}: {}", entry.about, entry.likely), Tone::Plain),
        ]));
        lines.push(Line::from(vec![
            state.span("         -> ", Tone::Line),
            state.span(entry.fix.clone(), Tone::Strong),
        ]));
    }
    if lines.is_empty() {
        lines.push(state.span("none", Tone::Soft).into());
    }
    let paragraph = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(paragraph, inner);
}

fn draw_closed(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let title = format!("tunnels closed{}", state.figures.closed_causes);
    let inner = panel(frame, state, area, Panel::Closed, title);
    let closed = state.figures.closed.iter();
    let mut lines: Vec<Line<'_>> = closed
        .skip(from(state, Panel::Closed))
        .map(|entry| {
            Line::from(vec![
                state.span(format!("{} ", entry.when), Tone::Soft),
                state.span(format!("{:<10}", entry.cause), Tone::Strong),
                state.span(format!(" {}", entry.about), Tone::Plain),
            ])
        })
        .collect();
    if lines.is_empty() {
        lines.push(state.span("none", Tone::Soft).into());
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn draw_keys(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let mut line = vec![
        state.span("q", Tone::Strong),
        " end  ".into(),
        state.span("Tab", Tone::Strong),
        " list  ".into(),
        state.span("s", Tone::Strong),
        " sort  ".into(),
        state.span("p", Tone::Strong),
        " pause  ".into(),
        state.span("?", Tone::Strong),
        " help".into(),
    ];
    if state.paused {
        line.push(state.span("   PAUSED", Tone::Bad));
    }
    frame.render_widget(Line::from(line), area);
}

fn draw_help(frame: &mut Frame<'_>, state: &State) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(keys, what)| {
            Line::from(vec![
                state.span(format!(" {keys:<28}"), Tone::Strong),
                Span::raw(*what),
            ])
        })
        .collect();
    let area = frame.area().centered(
        Constraint::Length(80),
        Constraint::Length(lines.len() as u16 + 2),
    );
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" Keys ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
