//! What was measured, and the medians that table, chart and JSON all show.

use crate::measure::Sample;
use crate::proxies::Candidate;
use crate::rows::{Row, Unit};
use serde_json::{Value, json};

/// One row's samples through each proxy, in the proxies' order.
pub struct RowResults {
    /// The row.
    pub row: Row,
    /// By proxy: samples by round, or why there are none.
    pub cells: Vec<Result<Vec<Sample>, String>>,
}

/// Everything of one run.
pub struct Results {
    /// The columns.
    pub proxies: Vec<Candidate>,
    /// The rows that were measured.
    pub rows: Vec<RowResults>,
    /// Machine and settings, a line each.
    pub facts: Vec<String>,
}

/// A line of figures, one for each proxy, in one unit.
pub struct Line {
    /// The row's id, or that with a suffix.
    pub id: String,
    /// What is measured.
    pub heading: String,
    /// The figures' unit.
    pub unit: Unit,
    /// Medians; `None` where the measurement failed.
    pub figures: Vec<Option<f64>>,
    /// Medians of each round's ratio to what `sluice` cost in the same round.
    pub ratios: Vec<Option<f64>>,
}

impl RowResults {
    /// The median over the rounds of one figure of one proxy.
    pub fn median(&self, proxy: usize, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let samples = self.cells[proxy].as_ref().ok()?;
        median(samples.iter().filter_map(figure).collect())
    }

    /// What one proxy costs in parts of another, round by round: what changes
    /// from round to round is not in it.
    fn ratio(&self, proxy: usize, base: usize, figure: fn(&Sample) -> f64) -> Option<f64> {
        let [of, to] = [proxy, base].map(|column| self.cells[column].as_ref().ok());
        let rounds = of?.iter().zip(to?);
        let ratios = rounds.map(|(of, to)| figure(of) / figure(to));
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    fn line(
        &self,
        suffix: &str,
        unit: Unit,
        figure: fn(&Sample) -> f64,
        sluice: Option<usize>,
    ) -> Line {
        let columns = 0..self.cells.len();
        let figures = columns
            .clone()
            .map(|proxy| self.median(proxy, |s| Some(figure(s))));
        let ratios = columns.map(|proxy| self.ratio(proxy, sluice?, figure));
        Line {
            id: format!("{}{suffix}", self.row.id),
            heading: self.row.heading(),
            unit,
            figures: figures.collect(),
            ratios: ratios.collect(),
        }
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => None,
        n if n % 2 == 1 => Some(figures[n / 2]),
        n => Some((figures[n / 2 - 1] + figures[n / 2]) / 2.0),
    }
}

impl Results {
    /// The lines of the table of costs; the idle row makes two.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let sluice = self.sluice();
        for results in &self.rows {
            lines.push(results.line("", results.row.unit, |sample| sample.cost, sluice));
            if results.row.unit == Unit::Bytes {
                let busy = |sample: &Sample| sample.busy_percent;
                let mut line = results.line("-cpu", Unit::Percent, busy, sluice);
                line.heading = line.heading.replace("memory, each of", "CPU used by");
                lines.push(line);
            }
        }
        lines
    }

    /// The column of the sluice under test, if it was measured.
    pub fn sluice(&self) -> Option<usize> {
        self.proxies.iter().position(|proxy| proxy.name == "sluice")
    }

    /// The other columns that are sluice too: observed, or another version.
    pub fn relatives(&self) -> Vec<usize> {
        let kin = |at: &usize| self.proxies[*at].is_sluice() && Some(*at) != self.sluice();
        let all = (0..self.proxies.len()).filter(kin);
        match self.sluice() {
            Some(_) => all.collect(),
            None => Vec::new(),
        }
    }

    /// The lowest figure of a peer in this line.
    pub fn best_peer(&self, line: &Line) -> Option<f64> {
        let peers = self.proxies.iter().zip(&line.figures);
        let figures = peers.filter_map(|(proxy, figure)| figure.filter(|_| proxy.is_peer()));
        figures.min_by(f64::total_cmp)
    }

    /// What of the proxies' core went to others while it was measured:
    /// median and worst, in percent.
    pub fn foreign(&self) -> (f64, f64) {
        let cells = self.rows.iter().flat_map(|row| row.cells.iter().flatten());
        let mut shares: Vec<f64> = cells
            .flatten()
            .map(|sample| sample.foreign_percent)
            .collect();
        shares.sort_by(f64::total_cmp);
        let middle = shares.get(shares.len() / 2).copied();
        (middle.unwrap_or(0.0), shares.last().copied().unwrap_or(0.0))
    }

    /// Every figure of every round.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|results| {
                let cells = self
                    .proxies
                    .iter()
                    .zip(&results.cells)
                    .map(|(proxy, cell)| {
                        let value = match cell {
                            Ok(samples) => json!({ "samples": samples }),
                            Err(error) => json!({ "error": error }),
                        };
                        (proxy.name.clone(), value)
                    });
                json!({
                    "id": results.row.id,
                    "heading": results.row.heading(),
                    "unit": unit_name(results.row.unit),
                    "connections": results.row.connections,
                    "proxies": cells.collect::<serde_json::Map<_, _>>(),
                })
            })
            .collect();
        let medians: Vec<Value> = self
            .lines()
            .iter()
            .map(|line| {
                json!({ "id": line.id, "unit": unit_name(line.unit), "figures": line.figures,
                    "best_peer": self.best_peer(line), "to_sluice": line.ratios })
            })
            .collect();
        let proxies = self
            .proxies
            .iter()
            .map(|p| json!({ "name": p.name, "version": p.version }));
        json!({
            "facts": self.facts,
            "proxies": proxies.collect::<Vec<_>>(),
            "medians": medians,
            "rows": rows,
        })
    }
}

/// A unit as the table and the JSON call it.
pub fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Micros => "µs",
        Unit::SecondsPerGigabyte => "s/GB",
        Unit::Bytes => "bytes",
        Unit::Percent => "% of a core",
        Unit::Latency => "µs, p99",
    }
}
