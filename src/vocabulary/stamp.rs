//! Points in time as text: RFC 3339 in UTC with milliseconds, and the form of Apache's logs.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// `2026-01-02T03:04:05.678Z` (RFC 3339).
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut spelled = String::new();
    spell_second(&mut spelled, since.as_secs());
    let _ = write!(spelled, ".{:03}Z", since.subsec_millis());
    spelled
}

/// The present time, which is asked for often: the date is spelled only once a second.
#[derive(Debug)]
pub struct Stamp {
    /// The second that `text` spells, without its fraction.
    second: u64,
    text: String,
}

impl Stamp {
    /// One that has not been asked yet.
    pub const fn new() -> Stamp {
        Stamp {
            second: 0,
            text: String::new(),
        }
    }

    /// As [`rfc3339`] spells it.
    pub fn now(&mut self) -> &str {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let second = now.as_secs();
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            spell_second(&mut self.text, second);
        }
        self.text.truncate(19);
        let _ = write!(self.text, ".{:03}Z", now.subsec_millis());
        &self.text
    }
}

impl Default for Stamp {
    fn default() -> Self {
        Stamp::new()
    }
}

/// `02/Jan/2026:03:04:05 +0000`, of a time that [`rfc3339`] has spelled.
pub fn apache(rfc3339: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (date, time) = rfc3339.split_once('T')?;
    let mut date = date.split('-');
    let (year, month, day) = (date.next()?, date.next()?, date.next()?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some(format!("{day}/{month}/{year}:{} +0000", time.get(..8)?))
}

/// `2026-01-02T03:04:05`, by the civil calendar.
fn spell_second(out: &mut String, second: u64) {
    let days = (second / 86_400) as i64;
    let of_day = second % 86_400;
    // Counted from 1 March of year 0, so that leap days come last in their year.
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apache_has_its_own_order() {
        let spelled = apache("2026-01-02T03:04:05.678Z").unwrap();
        assert_eq!(spelled, "02/Jan/2026:03:04:05 +0000");
        assert_eq!(apache("yesterday"), None);
    }

    #[test]
    fn seconds_are_spelled_by_the_calendar() {
        for (second, spelled) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (4_102_444_800, "2100-01-01T00:00:00"),
        ] {
            let mut out = String::new();
            spell_second(&mut out, second);
            assert_eq!(out, spelled);
        }
    }
}
