//! Latencies in logarithmic buckets of 1/32 of a power of two (3 % wide at
//! most): constant memory, a few instructions a sample.

use std::time::Duration;

const FINE: u32 = 5;

/// Counts of durations.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; 64 << FINE],
            total: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, time: Duration) {
        self.counts[bucket(time.as_nanos() as u64)] += 1;
        self.total += 1;
    }

    /// The duration below which `share` (0 to 1) of the samples lie, in
    /// microseconds; `None` without samples.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank && seen > 0
        });
        found.map(|bucket| middle(bucket) / 1000.0)
    }
}

fn bucket(nanos: u64) -> usize {
    let exponent = (64 - nanos.leading_zeros()).saturating_sub(FINE + 1);
    (((exponent as u64) << FINE) + (nanos >> exponent)) as usize
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: usize) -> f64 {
    let exponent = (bucket >> FINE).saturating_sub(1);
    let low = (bucket - (exponent << FINE)) as u64;
    ((low << exponent) as f64) + 0.5 * (1u64 << exponent) as f64
}
