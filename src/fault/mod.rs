//! What goes wrong with an exchange: whose fault it was, the cause in a word, and, for a
//! refused handshake, what probably happened and what would fix it. Decides nothing.

pub mod answer;
pub mod cause;
pub mod diagnosis;
pub mod error;
