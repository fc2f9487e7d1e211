//! The reading half of the metrics: what the workers counted, put together for the metrics
//! page, the dashboard and the commands.

mod families;
mod figures;
mod page;
mod process;
mod render;
mod sample;
mod scrape;

pub use self::figures::{
    Figures, Flow, ProcessFigures, RouteFigures, Waits, figures, process, sums,
};
pub use self::render::{OPENMETRICS, PROMETHEUS, render, wants_openmetrics};
pub use self::sample::{Sample, sample};
