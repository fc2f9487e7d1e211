//! How a setting is declared: its value read from TOML with its place, described to editors, and
//! what is said where it is wrong. Knows no key of the configuration.

pub(crate) mod list;
pub mod problem;
pub(crate) mod read;
pub(crate) mod scalar;
pub(crate) mod table;
pub(crate) mod units;

pub use self::problem::{Problem, Problems};
pub use self::read::{nearest, quoted};
pub use self::units::{duration as parse_duration, write_duration};
