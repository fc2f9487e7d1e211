//! A scanner written down, and taken back from what any process may have written.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Header, MAX_CONTROL, Opcode, Scanner, Side};

/// Where the frame scanner stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScannerState {
    pub(crate) left: u64,
    pub(crate) pending: Vec<u8>,
    pub(crate) in_header: bool,
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) open: bool,
    pub(crate) text: bool,
}

/// Why a state is not taken: which field contradicts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateError {
    /// Of which side's state the field is a part.
    pub side: Option<Side>,
    /// The field, by its path.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Some(Side::Client) => "client.",
            Some(Side::Upstream) => "upstream.",
            None => "",
        };
        write!(
            f,
            "the state of a tunnel: {side}{}: {}",
            self.field, self.problem
        )
    }
}

impl std::error::Error for StateError {}

impl From<StateError> for std::io::Error {
    fn from(error: StateError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Fails with the field's name where `valid` is false.
pub(crate) fn require(
    valid: bool,
    side: Option<Side>,
    field: &'static str,
    problem: &'static str,
) -> Result<(), StateError> {
    if valid {
        return Ok(());
    }
    Err(StateError {
        side,
        field,
        problem,
    })
}

impl Scanner {
    pub(crate) fn state(&self) -> ScannerState {
        ScannerState {
            left: self.left,
            pending: self.pending().to_vec(),
            in_header: self.in_header,
            fin: self.fin,
            opcode: self.opcode as u8,
            open: self.open,
            text: self.text,
        }
    }

    /// A scanner that goes on where another one stopped.
    pub(crate) fn restore(sender: Side, state: &ScannerState) -> Result<Scanner, StateError> {
        let opcode = Opcode::from_bits(state.opcode).ok_or(StateError {
            side: Some(sender),
            field: "scanner.opcode",
            problem: "is reserved",
        })?;
        match (state.in_header, state.pending.is_empty()) {
            (true, _) => check_header(sender, state)?,
            (false, false) => check_control(sender, state, opcode)?,
            (false, true) if state.left > 0 => check_data(sender, state, opcode)?,
            (false, true) => {}
        }
        // A header has 14 bytes at most, of which one is lacking, or a control payload
        // follows it, so this is short.
        debug_assert!(state.pending.len() < super::MAX_HEADER + MAX_CONTROL);
        Ok(Scanner {
            left: state.left,
            pending: (!state.pending.is_empty()).then(|| Box::new(state.pending.clone())),
            in_header: state.in_header,
            fin: state.fin,
            opcode,
            open: state.open,
            text: state.text,
            sender,
        })
    }
}

/// The scanner stood in a header.
fn check_header(sender: Side, state: &ScannerState) -> Result<(), StateError> {
    let header = Header::parse(&state.pending, sender, state.open);
    let part = !state.pending.is_empty() && header == Ok(None);
    let require = |valid, field, problem| require(valid, Some(sender), field, problem);
    require(part, "scanner.pending", "is not a part of a header")?;
    require(state.left == 0, "scanner.left", "counts after a header")
}

/// The scanner stood in a control frame, of which it keeps the beginning.
fn check_control(sender: Side, state: &ScannerState, opcode: Opcode) -> Result<(), StateError> {
    let whole = match Header::parse(&state.pending, sender, state.open) {
        Ok(Some(header)) if header.opcode == opcode && opcode.is_control() => {
            header.size as u64 + header.length
        }
        _ => 0,
    };
    let rest = whole.checked_sub(state.pending.len() as u64);
    let require = |valid, field, problem| require(valid, Some(sender), field, problem);
    require(rest.is_some(), "scanner.pending", "is not a control frame")?;
    require(
        state.left > 0 && rest == Some(state.left),
        "scanner.left",
        "is not what the control frame lacks",
    )
}

/// The scanner stood in the payload of a data frame.
fn check_data(sender: Side, state: &ScannerState, opcode: Opcode) -> Result<(), StateError> {
    let text = match opcode {
        Opcode::Continuation => state.text,
        opcode => opcode == Opcode::Text,
    };
    let checks = [
        (
            state.left <= i64::MAX as u64,
            "scanner.left",
            "is longer than a frame",
        ),
        (
            !opcode.is_control(),
            "scanner.opcode",
            "is not of a data frame",
        ),
        (
            text == state.text,
            "scanner.text",
            "does not agree with the opcode",
        ),
        (
            state.open != state.fin,
            "scanner.open",
            "does not agree with FIN",
        ),
    ];
    checks
        .into_iter()
        .try_for_each(|(valid, field, problem)| require(valid, Some(sender), field, problem))
}
