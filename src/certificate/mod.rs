//! Certificates without a protocol: files read, what a certificate says, whether a chain hangs
//! together, and which certificate a name gets. Knows no socket and no TLS.

pub mod chain;
pub mod choice;
pub mod facts;
pub mod issue;
pub mod pem;

pub use self::choice::Choice;
pub use self::facts::Facts;
pub use self::pem::{Pair, Unusable};
