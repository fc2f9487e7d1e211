//! How a span of time is written, everywhere: for people in the units of the configuration
//! (`1h30m`, `250ms`), to its two largest ones, without milliseconds from 10 s on; for programs as a number of milliseconds in a
//! field whose name ends in `_ms`. Metrics are in seconds, as Prometheus has them.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The span for a person. Below 10 ms it has one decimal, so that no exchange takes none.
pub fn written(span: Duration) -> String {
    let mut rest = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if rest < 10 {
        let tenths = span.as_micros().div_ceil(100);
        return match tenths % 10 {
            0 if tenths == 0 => "0s".to_owned(),
            0 => format!("{}ms", tenths / 10),
            _ => format!("{}.{}ms", tenths / 10, tenths % 10),
        };
    }
    if rest >= 10_000 {
        rest -= rest % 1000;
    }
    let largest = UNITS.iter().position(|(_, size)| rest >= *size);
    let mut text = String::new();
    for (name, size) in UNITS.iter().skip(largest.unwrap_or(0)).take(2) {
        if rest >= *size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

/// Whole milliseconds, for a field whose name ends in `_ms`.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_of_the_configuration() {
        for (micros, text) in [
            (0, "0s"),
            (1, "0.1ms"),
            (800, "0.8ms"),
            (1_000, "1ms"),
            (9_940, "10ms"),
            (12_345, "12ms"),
            (1_500_000, "1s500ms"),
            (30_000_000, "30s"),
            (59_999_000, "59s"),
            (90_061_000_000, "1d1h"),
            (5_400_000_000, "1h30m"),
            (3_601_000_000, "1h"),
        ] {
            assert_eq!(written(Duration::from_micros(micros)), text);
        }
    }
}
