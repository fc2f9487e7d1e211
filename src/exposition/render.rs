//! The spelling of a scrape: OpenMetrics text 1.0, written by `prometheus-client`, and the
//! older Prometheus text 0.0.4, which is made from it line by line. What is told stands in
//! `families`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::families;
use super::page::Page;
use super::sample::Sample;
use super::scrape::Scrape;
use crate::process::Shared;

/// The media type of OpenMetrics text.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of Prometheus text.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a client that sends this `Accept` is to get OpenMetrics: it names the type, and
/// does not want plain text more (RFC 9110 section 12.5.1).
pub fn wants_openmetrics(accept: &str) -> bool {
    let weight = |media_type: &str| -> f32 {
        let ranges = accept.split(',').map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let q = parts.find_map(|part| part.strip_prefix("q="));
            let q = q.map_or(1.0, |q| q.parse().unwrap_or(0.0));
            (name, q)
        });
        let fitting = ranges.filter(|(name, _)| name.eq_ignore_ascii_case(media_type));
        fitting.map(|(_, q)| q).fold(0.0, f32::max)
    };
    let openmetrics = weight("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= weight("text/plain")
}

/// Everything that is counted, as text. `live` are the [`sample`](super::sample())s of all
/// workers.
pub fn render(shared: &Shared, live: &[Sample], openmetrics: bool) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape::gather(shared, live)));
    let mut out = String::with_capacity(32 * 1024);
    // Writing to a string does not fail.
    let _ = text::encode(&mut out, &registry);
    if openmetrics { out } else { plain(&out) }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::write(&mut Page(encoder), self)
    }
}

/// Prometheus text 0.0.4 from OpenMetrics: a counter's family has the name of its samples,
/// an info is a gauge, and units and the end are not spelled.
fn plain(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, of)) = rest.trim_end().split_once(' ') else {
                continue;
            };
            let (suffix, of) = match of {
                "counter" => ("_total", of),
                "info" => ("_info", "gauge"),
                _ => ("", of),
            };
            if let Some((_, help)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", help]);
            }
            out.extend(["# TYPE ", name, suffix, " ", of, "\n"]);
        } else if !line.starts_with('#') {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_in_accept_decide() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, wanted) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0", true),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.2, text/plain", false),
        ] {
            assert_eq!(wants_openmetrics(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn plain_text_names_counters_as_their_samples() {
        let given = "# HELP a_seconds What it is\n# TYPE a_seconds counter\n\
                     # UNIT a_seconds seconds\na_seconds_total{x=\"# TYPE\"} 1\n\
                     # HELP b Built\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                     # HELP c Now\n# TYPE c gauge\nc 2\n# EOF\n";
        let wanted = "# HELP a_seconds_total What it is\n# TYPE a_seconds_total counter\n\
                      a_seconds_total{x=\"# TYPE\"} 1\n\
                      # HELP b_info Built\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                      # HELP c Now\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain(given), wanted);
    }
}
