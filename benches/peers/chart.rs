//! The chart of `docs/benchmarks.md`: for each line of the table a group of bars, one a
//! proxy, as long as its cost in parts of the best peer's. Plain SVG whose
//! colours follow the reader's light or dark scheme.

use crate::proxies::Candidate;
use crate::results::{Line, Results};
use crate::rows::Unit;
use crate::table;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 250.0;
/// Bars longer than this many times the best peer are cut and marked.
const CUT: f64 = 3.0;
const UNIT: f64 = (WIDTH - LEFT - 140.0) / CUT;
const BAR: f64 = 11.0;
const GAP: f64 = 14.0;
const TOP: f64 = 64.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.note{fill:#59636e;font-size:11px}.title{font-size:15px;font-weight:600}\
.figure{font-size:10px;fill:#59636e}.own{font-weight:600;fill:#1f2328}\
.grid{stroke:#d1d9e0}.one{stroke:#59636e;stroke-dasharray:4 3}\
.sluice{fill:#0969da}.relative{fill:#8250df}.floor{fill:#d1d9e0}.nginx{fill:#4c9a52}\
.haproxy{fill:#c98a1b}.caddy{fill:#b86b8f}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note,.figure{fill:#9198a1}\
.own{fill:#f0f6fc}.grid{stroke:#3d444d}.one{stroke:#9198a1}\
.sluice{fill:#4493f8}.relative{fill:#ab7df8}.floor{fill:#3d444d}.nginx{fill:#57ab5a}\
.haproxy{fill:#d29922}.caddy{fill:#c57fa3}}";

/// The chart; lines without a peer's figure are left out.
pub fn render(results: &Results) -> String {
    // A core's idle share is too near to zero for a ratio to be fair.
    let lines = results
        .lines()
        .into_iter()
        .filter(|line| line.unit != Unit::Percent);
    let mut body = String::new();
    let mut y = TOP;
    for line in lines {
        if let Some(best) = results.best_peer(&line).filter(|best| *best > 0.0) {
            y = group(&mut body, results, &line, best, y) + GAP;
        }
    }
    let height = y + 24.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"CPU and memory of sluice and its peers\">\n<style>{STYLE}</style>\n"
    );
    out += "<text class=\"title\" x=\"8\" y=\"22\">CPU an operation, memory a tunnel; shorter is better</text>\n";
    legend(&mut out, results);
    axis(&mut out, y);
    out += &body;
    let notes = results.facts.first().map_or("", String::as_str);
    let _ = writeln!(
        out,
        "<text class=\"note\" x=\"8\" y=\"{}\">{}</text>",
        height - 8.0,
        escape(notes)
    );
    out + "</svg>\n"
}

fn legend(out: &mut String, results: &Results) {
    let mut x = LEFT;
    for proxy in &results.proxies {
        let name = escape(&proxy.name);
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{x}\" y=\"34\" width=\"11\" height=\"11\" rx=\"2\"/>\
             <text x=\"{}\" y=\"44\">{name}</text>",
            colour(proxy),
            x + 16.0
        );
        x += 34.0 + 7.2 * proxy.name.chars().count() as f64;
    }
}

fn axis(out: &mut String, bottom: f64) {
    for step in 0..=CUT as usize {
        let x = LEFT + step as f64 * UNIT;
        let class = if step == 1 { "one" } else { "grid" };
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\"/>\
             <text class=\"note\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            TOP - 6.0,
            bottom + 2.0,
            if step == 1 {
                "best peer".to_owned()
            } else {
                format!("{step}×")
            }
        );
    }
}

/// Draws one line's bars from `y` down; returns where they end.
fn group(out: &mut String, results: &Results, line: &Line, best: f64, y: f64) -> f64 {
    let bars: Vec<_> = results.proxies.iter().zip(&line.figures).collect();
    let middle = y + bars.len() as f64 * BAR / 2.0 + 4.0;
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
        LEFT - 10.0,
        escape(&line.heading)
    );
    for (at, (proxy, figure)) in bars.iter().enumerate() {
        let Some(figure) = **figure else { continue };
        let ratio = figure / best;
        let length = ratio.min(CUT) * UNIT;
        let top = y + at as f64 * BAR;
        let unit = crate::results::unit_name(line.unit);
        let class = if proxy.name == "sluice" {
            "figure own"
        } else {
            "figure"
        };
        let cut = if ratio > CUT {
            format!(" ({ratio:.1}×) »")
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{}\" rx=\"1.5\"/>\
             <text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{} {unit}{cut}</text>",
            colour(proxy),
            BAR - 2.0,
            LEFT + length + 5.0,
            top + BAR - 2.5,
            table::show(Some(figure), line.unit)
        );
    }
    y + bars.len() as f64 * BAR
}

/// The class that colours its bars.
fn colour(proxy: &Candidate) -> &str {
    match proxy.is_sluice() && proxy.name != "sluice" {
        true => "relative",
        false => &proxy.name,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
