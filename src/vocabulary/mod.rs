//! Words that every floor uses, and how text, time and spans are written.

mod closed_by;
pub mod counters;
pub mod credentials;
pub mod hand_off;
mod scheme;
mod side;
pub mod span;
pub mod stamp;
pub mod visible;

pub use self::closed_by::ClosedBy;
pub use self::scheme::Scheme;
pub use self::side::Side;
