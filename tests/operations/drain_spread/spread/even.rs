//! How evenly moments are spread over a span.

use std::time::Duration;

/// Pearson's chi-square of the moments' counts in equal parts of the span, and the counts.
/// What came behind the span counts as its last part.
pub fn chi_square(moments: &[Duration], span: Duration, bins: usize) -> (f64, Vec<usize>) {
    let mut counts = vec![0; bins];
    for moment in moments {
        let bin = moment.as_secs_f64() / span.as_secs_f64() * bins as f64;
        counts[(bin as usize).min(bins - 1)] += 1;
    }
    let expected = moments.len() as f64 / bins as f64;
    let of = |count: &usize| (*count as f64 - expected).powi(2) / expected;
    (counts.iter().map(of).sum(), counts)
}

/// The largest distance between the share of the moments that have passed and the share of
/// the span that has (Kolmogorov and Smirnov).
pub fn distance(moments: &[Duration], span: Duration) -> f64 {
    let mut shares: Vec<f64> = moments
        .iter()
        .map(|moment| (moment.as_secs_f64() / span.as_secs_f64()).min(1.0))
        .collect();
    shares.sort_by(f64::total_cmp);
    let count = shares.len() as f64;
    let of = |(index, share): (usize, &f64)| {
        let (before, behind) = (index as f64 / count, (index + 1) as f64 / count);
        (share - before).abs().max((share - behind).abs())
    };
    shares.iter().enumerate().map(of).fold(0.0, f64::max)
}
