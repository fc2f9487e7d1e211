//! What is drawn for given figures, and what keys make of it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::figures::{Closed, Drain, Endpoint, Figures, Rate, Refusals, Route};
use super::state::Panel;
use super::*;

fn route(name: &str, tunnels: u64) -> Route {
    Route {
        name: name.into(),
        tunnels,
        requests: "1.5k".into(),
        errors: ["2%".into(), "7%".into()],
        well: false,
        waits: ["0.3ms".into(), "120ms".into()],
    }
}

fn figures() -> Figures {
    let rate = |name, words: [&'static str; 2]| Rate {
        name,
        now: words.map(|word| ("12".to_owned(), word)).into(),
        plot: (0..300).collect(),
    };
    Figures {
        phase: "ready".into(),
        ready: true,
        process: "version 0.1.0, process 4711".into(),
        config: "sluice.toml, generation 4".into(),
        reload_refused: None,
        open: 30,
        rates: vec![
            rate("requests", ["", ""]),
            rate("tunnels", ["opened", "closed"]),
            rate("handshakes", ["refused", ""]),
            rate("messages", ["in", "out"]),
            rate("bytes", ["in", "out"]),
        ],
        drains: vec![Drain {
            name: "route chat".into(),
            share: 0.5,
            text: "5 left of 10".into(),
        }],
        routes: vec![route("alpha", 10), route("omega", 20)],
        endpoints: vec![Endpoint {
            name: "app/10.0.0.1:9000".into(),
            state: "failed since 12:00:00: refused".into(),
            well: false,
            tunnels: 30,
        }],
        refused_causes: ": 3 origin-refused".into(),
        refused: vec![Refusals {
            when: "12:00:00".into(),
            cause: "origin-refused".into(),
            about: "403 on chat".into(),
            likely: "the upstream compares the Origin with its Host".into(),
            fix: "remove set_host from the route".into(),
        }],
        closed_causes: ": 7 client".into(),
        closed: vec![Closed {
            when: "12:00:01".into(),
            cause: "client".into(),
            about: "client sent 1001".into(),
        }],
    }
}

fn drawn(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let frame = terminal
        .draw(|frame| draw::everything(frame, state))
        .unwrap();
    let cells = frame.buffer.content().chunks(usize::from(width));
    cells
        .map(|row| row.iter().map(|cell| cell.symbol()).collect())
        .collect()
}

fn press(state: &mut State, code: KeyCode) -> Next {
    state.press(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn everything_has_its_place_in_80_columns_and_24_rows() {
    let screen = drawn(&State::new(figures(), false), 80, 24).join("\n");
    for said in [
        "ready, version 0.1.0",
        "generation 4",
        "drain [##########..........] route chat: 5 left of 10",
        "12 opened/s",
        "30 tunnels by route",
        "omega",
        "app/10.0.0.1:9000",
        "failed since 12:00:00: refused",
        "req/s",
        "1.5k    2%    7%   0.3ms   120ms",
        "refused: 3 origin-refused",
        "-> remove set_host from the route",
        "closed: 7 client",
        "client sent 1001",
        "q end",
    ] {
        assert!(screen.contains(said), "{said}:\n{screen}");
    }
}

#[test]
fn no_size_is_too_small() {
    for (width, height) in [(1, 1), (20, 5), (79, 10), (300, 100)] {
        let mut state = State::new(figures(), false);
        state.help = true;
        assert_eq!(drawn(&state, width, height).len(), usize::from(height));
    }
}

#[test]
fn without_colours_there_are_none() {
    let coloured = |plain| {
        let state = State::new(figures(), plain);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let frame = terminal
            .draw(|frame| draw::everything(frame, &state))
            .unwrap();
        let mut cells = frame.buffer.content().iter();
        cells.any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    assert!(coloured(false));
    assert!(!coloured(true));
}

#[test]
fn keys_sort_move_hold_explain_and_end() {
    let mut state = State::new(figures(), false);
    let first = |state: &State| state.figures.routes[0].name.clone();
    assert_eq!(first(&state), "omega");
    assert_eq!(press(&mut state, KeyCode::Char('s')), Next::Draw);
    assert_eq!(first(&state), "alpha");

    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Down);
    assert_eq!(state.scrolled[Panel::Routes as usize], 1);
    press(&mut state, KeyCode::Up);
    assert_eq!(state.scrolled[Panel::Routes as usize], 0);
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.focus, Panel::Endpoints);
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::Left);
    assert_eq!(state.focus, Panel::Closed);

    press(&mut state, KeyCode::Char('?'));
    assert!(drawn(&state, 80, 24).join("\n").contains("another list"));
    assert_eq!(press(&mut state, KeyCode::Esc), Next::Draw);
    assert_eq!(press(&mut state, KeyCode::Char('x')), Next::Nothing);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Next::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.press(control_c), Next::Quit);
}

#[test]
fn a_pause_holds_what_is_shown_and_a_loss_is_said() {
    let mut state = State::new(figures(), false);
    let newer = || Figures {
        open: 31,
        ..figures()
    };
    press(&mut state, KeyCode::Char('p'));
    state.hear(Ok(newer()));
    assert_eq!(state.figures.open, 30);
    assert!(drawn(&state, 80, 24).join("\n").contains("PAUSED"));
    press(&mut state, KeyCode::Char('p'));
    state.hear(Ok(newer()));
    assert_eq!(state.figures.open, 31);

    state.hear(Err("nothing listens there".into()));
    let since = state.lost.clone().unwrap().0;
    state.hear(Err("still nothing".into()));
    assert_eq!(state.lost.clone().unwrap().0, since);
    let screen = drawn(&state, 80, 24).join("\n");
    let said = format!("connection lost since {since}: still nothing");
    assert!(screen.contains(&said), "{screen}");
    assert_eq!(state.figures.open, 31);
    state.hear(Ok(newer()));
    assert_eq!(state.lost, None);
}
