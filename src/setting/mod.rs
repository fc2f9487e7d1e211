//! How a setting is declared: its value read from TOML with its place, described to editors,
//! given its type, written again. Knows no key of the configuration.

pub(crate) mod list;
pub mod problem;
pub(crate) mod read;
pub(crate) mod scalar;
pub(crate) mod table;
pub(crate) mod typed;
pub(crate) mod units;
pub mod written;

pub use self::problem::{Problem, Problems};
pub use self::read::{nearest, quoted};
pub use self::units::{duration as parse_duration, write_duration};
