//! How the process is changed while it runs: `[reload]`, `[upgrade]`.

use std::time::Duration;

use crate::setting::table::table;
use crate::setting::units::SomeTime;

table! {
    /// `[reload]`: how a changed file is noticed.
    ReloadTable in "`[reload]`" => ReloadConfig {
        /// Reload by itself when the file changes, a symlink on its path included.
        watch: bool as bool = false,
    }
}

table! {
    /// `[upgrade]`: how the binary is replaced.
    UpgradeTable in "`[upgrade]`" => UpgradeConfig {
        /// How long the old process may finish its exchanges after the new one took over;
        /// what is left then is cut.
        deadline: SomeTime as Duration = "10m",
    }
}
