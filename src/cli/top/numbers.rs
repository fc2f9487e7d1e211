//! Numbers as they stand in narrow columns.

use std::time::Duration;

use crate::vocabulary::visible;

/// `950`, `1.5k`, `23k`, `1.2M`: at most five characters.
pub fn short(n: f64) -> String {
    scaled(n, 1000.0, &["", "k", "M", "G", "T"])
}

/// The same for bytes.
pub fn bytes(n: f64) -> String {
    scaled(n, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

fn scaled(mut n: f64, by: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would be rounded up to the next unit belongs there.
    while n >= by - 0.5 && unit + 1 < units.len() {
        n /= by;
        unit += 1;
    }
    let number = match n < 9.95 {
        true => format!("{n:.1}"),
        false => format!("{n:.0}"),
    };
    let number = number.strip_suffix(".0").unwrap_or(&number);
    format!("{number}{}", units[unit])
}

/// A span in milliseconds: `3h12m`.
pub fn span(ms: u64) -> String {
    crate::vocabulary::span::written(Duration::from_millis(ms))
}

/// The time of day in a timestamp of RFC 3339, to the second.
pub fn clock(at: &str) -> &str {
    at.split_once('T')
        .and_then(|(_, time)| time.get(..8))
        .unwrap_or(at)
}

/// Foreign text, for a terminal.
pub fn clean(text: &str) -> String {
    visible::escaped(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_narrow() {
        for (n, text) in [
            (0.0, "0"),
            (0.4, "0.4"),
            (9.0, "9"),
            (950.0, "950"),
            (999.7, "1k"),
            (1500.0, "1.5k"),
            (23_456.0, "23k"),
            (1_200_000.0, "1.2M"),
            (5e15, "5000T"),
        ] {
            assert_eq!(short(n), text);
        }
        assert_eq!(bytes(1_234_567.0), "1.2MB");
        assert_eq!(bytes(12.0), "12B");
    }

    #[test]
    fn spans_have_two_units() {
        for (ms, text) in [
            (40, "40ms"),
            (59_999, "59s"),
            (61_000, "1m1s"),
            (7_260_000, "2h1m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(clock("2026-01-02T03:04:05.678Z"), "03:04:05");
        assert_eq!(clock("yesterday"), "yesterday");
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(clean("/ws\x1b[2J\u{9b}é"), "/ws\\u{1b}[2J\\u{9b}é");
    }
}
