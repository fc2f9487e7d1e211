//! The spelling of a scrape: OpenMetrics text 1.0, written by `prometheus-client`, and the
//! older Prometheus text 0.0.4, which is made from it line by line. What is told stands in
//! `families`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::cells::{Bounds, Distribution};
use super::families;
use super::sample::Sample;
use super::scrape::Scrape;
use crate::server::Shared;

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

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Where families are written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

/// Where the samples of one family are written.
pub(super) struct Family<'a>(MetricEncoder<'a>);

/// What a family is measured in.
pub(super) const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
pub(super) const BYTES: Option<&Unit> = Some(&Unit::Bytes);

impl Page<'_> {
    /// `name` without the unit and `_total`, which are added.
    pub(super) fn counters(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        write: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, unit, help, MetricType::Counter, write)
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, n: u64) -> fmt::Result {
        self.counters(name, None, help, |family| family.counter(&[], n))
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        write: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, unit, help, MetricType::Gauge, write)
    }

    /// A gauge without labels; one that is not known is left out.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: Option<impl EncodeGaugeValue>,
    ) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        self.gauges(name, unit, help, |family| family.gauge(&[], &value))
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, SECONDS, help, MetricType::Histogram, write)
    }

    /// `_info` is added to the name.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: Labels<'_>) -> fmt::Result {
        let of = MetricType::Info;
        self.family(name, None, help, of, |family| family.0.encode_info(&labels))
    }

    fn family(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        of: MetricType,
        write: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut Family(self.0.encode_descriptor(name, help, unit, of)?))
    }
}

impl Family<'_> {
    pub(super) fn counter(&mut self, labels: Labels<'_>, n: u64) -> fmt::Result {
        self.with(labels, |encoder| {
            encoder.encode_counter::<NoLabelSet, u64, u64>(&n, None)
        })
    }

    pub(super) fn seconds(&mut self, labels: Labels<'_>, n: f64) -> fmt::Result {
        self.with(labels, |encoder| {
            encoder.encode_counter::<NoLabelSet, f64, f64>(&n, None)
        })
    }

    pub(super) fn gauge(
        &mut self,
        labels: Labels<'_>,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_gauge(value))
    }

    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        bounds: &Bounds,
        spans: &Distribution,
    ) -> fmt::Result {
        let bounds = bounds.iter().map(|bound| *bound as f64 / 1e9);
        let buckets = bounds.chain([f64::INFINITY]).zip(spans.buckets);
        let buckets: Vec<(f64, u64)> = buckets.collect();
        let sum = spans.nanos as f64 / 1e9;
        self.with(labels, |encoder| {
            encoder.encode_histogram::<NoLabelSet>(sum, spans.count(), &buckets, None)
        })
    }

    fn with(
        &mut self,
        labels: Labels<'_>,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match labels {
            [] => write(&mut self.0),
            labels => write(&mut self.0.encode_family(&labels)?),
        }
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
