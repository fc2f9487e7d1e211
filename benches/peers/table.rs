//! The printed result: Markdown that reads as plain text too. Costs with the
//! ratio to the best peer first, then rates and latencies.

use crate::load::Work;
use crate::results::{Results, RowResults, unit_name};
use crate::rows::{Unit, thousands};
use std::collections::BTreeMap;

/// Both tables, the facts, and what failed.
pub fn render(results: &Results) -> String {
    let mut out = String::new();
    for fact in &results.facts {
        out += &format!("{fact}\n");
    }
    let (middle, worst) = results.foreign();
    let warning = match middle > 5.0 {
        true => " - NOISY: ratios are rough, rates and latencies mean nothing",
        false => "",
    };
    out += &format!(
        "other work on the proxies' core: median {middle:.1} %, worst {worst:.1} %{warning}\n\n"
    );
    out += "CPU of the proxy, user and system, for one operation (lower is better):\n\n";
    out += &grid(&costs(results));
    out += "\nOperations (bulk: megabytes) a second, and the time of one in µs, p50 / p99:\n\n";
    out += &grid(&speeds(results));
    out += &failures(results);
    out
}

/// Each thing that failed, and in which rows.
fn failures(results: &Results) -> String {
    let mut failures: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for row in &results.rows {
        for (proxy, cell) in results.proxies.iter().zip(&row.cells) {
            if let Err(error) = cell {
                let key = (proxy.name.as_str(), error.as_str());
                failures.entry(key).or_default().push(row.row.id);
            }
        }
    }
    failures
        .iter()
        .map(|((proxy, error), rows)| format!("\nFAILED {proxy}, {}: {error}\n", rows.join(", ")))
        .collect()
}

fn costs(results: &Results) -> Vec<Vec<String>> {
    let mut head = vec!["work".to_owned(), "unit".to_owned()];
    head.extend(results.proxies.iter().map(|proxy| proxy.name.clone()));
    head.push("sluice / best peer".to_owned());
    let relatives = results.relatives();
    let names = relatives.iter().map(|at| &results.proxies[*at].name);
    head.extend(names.map(|name| format!("{name} / sluice")));
    let mut rows = vec![head];
    for line in results.lines() {
        let mut cells = vec![line.heading.clone(), unit_name(line.unit).to_owned()];
        cells.extend(line.figures.iter().map(|figure| show(*figure, line.unit)));
        let sluice = results.sluice().and_then(|column| line.figures[column]);
        cells.push(match (sluice, results.best_peer(&line)) {
            // Below this, the best peer's CPU is measurement noise.
            (Some(own), Some(best)) if best > 0.005 => format!("{:.2}", own / best),
            _ => "–".to_owned(),
        });
        cells.extend(relatives.iter().map(|at| match line.ratios[*at] {
            Some(ratio) => format!("{ratio:.3}"),
            None => "–".to_owned(),
        }));
        rows.push(cells);
    }
    rows
}

fn speeds(results: &Results) -> Vec<Vec<String>> {
    let mut head = vec!["work".to_owned()];
    head.extend(results.proxies.iter().map(|proxy| proxy.name.clone()));
    let mut rows = vec![head];
    for row in results
        .rows
        .iter()
        .filter(|row| row.row.unit != Unit::Bytes)
    {
        let mut cells = vec![row.row.heading()];
        cells.extend((0..results.proxies.len()).map(|proxy| speed(row, proxy)));
        rows.push(cells);
    }
    rows
}

fn speed(row: &RowResults, proxy: usize) -> String {
    let Some(rate) = row.median(proxy, |sample| Some(sample.rate)) else {
        return "–".to_owned();
    };
    // A GET's rate in bulk is of bytes; its latency is still one answer's.
    let rate = match row.row.unit {
        Unit::SecondsPerGigabyte => format!("{} MB", thousands((rate / 1e6) as u64)),
        _ => thousands(rate as u64),
    };
    let p50 = row.median(proxy, |sample| sample.p50_us);
    let p99 = row.median(proxy, |sample| sample.p99_us);
    match (p50, p99, row.row.work) {
        (_, _, Work::Up(_) | Work::Down(_)) => rate,
        (Some(p50), Some(p99), _) => {
            format!(
                "{rate}; {} / {}",
                thousands(p50 as u64),
                thousands(p99 as u64)
            )
        }
        _ => rate,
    }
}

/// A figure with as many digits as it is worth.
pub fn show(figure: Option<f64>, unit: Unit) -> String {
    match (figure, unit) {
        (None, _) => "–".to_owned(),
        (Some(figure), Unit::Bytes) => thousands(figure.round() as u64),
        (Some(figure), Unit::SecondsPerGigabyte) => format!("{figure:.3}"),
        (Some(figure), Unit::Percent) => format!("{figure:.2}"),
        (Some(figure), Unit::Micros | Unit::Latency) if figure >= 100.0 => {
            thousands(figure.round() as u64)
        }
        (Some(figure), Unit::Micros | Unit::Latency) => format!("{figure:.1}"),
    }
}

/// A Markdown table with aligned columns, numbers to the right.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0).max(3))
        .collect();
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            out += &match column {
                0 => format!("| {cell}{pad} "),
                _ => format!("| {pad}{cell} "),
            };
        }
        out += "|\n";
        if at == 0 {
            for (column, width) in widths.iter().enumerate() {
                out += &match column {
                    0 => format!("|{} ", "-".repeat(width + 1)),
                    _ => format!("|{}: ", "-".repeat(*width)),
                };
            }
            out += "|\n";
        }
    }
    out
}
