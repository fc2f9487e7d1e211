//! What in a configuration in force is hardly meant: for the log, at a start and at a reload.

use crate::config::Problems;

/// One event for each.
pub fn tell(warnings: Option<&Problems>) {
    let Some(warnings) = warnings else { return };
    for warning in warnings.list() {
        tracing::warn!(
            at = warnings.place(warning),
            fix = warning.hint.as_deref(),
            "{}",
            warning.message
        );
    }
}
