//! Where metric families are written: `prometheus-client`'s encoder, with our names for what is
//! written often.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::metrics::cells::{Bounds, Distribution};

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Where families are written.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

/// Where the samples of one family are written.
pub(super) struct Family<'a>(MetricEncoder<'a>);

/// What a family is measured in.
pub(super) const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
pub(super) const BYTES: Option<&Unit> = Some(&Unit::Bytes);

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64()
}

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
