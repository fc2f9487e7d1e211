//! Durations and sizes as they are written in the file: `"1h30m"`, `"250ms"`, `"64KiB"`.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::read::{FromText, Node, Read, Sink, Wrong};
use super::scalar::{Optional, integer};
use super::typed::Setting;
use super::written::Written;

/// The longest duration: further than any deadline makes sense, and far from any overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Any size.
pub(crate) type AnySize = Bytes<0, { u64::MAX }>;
/// A duration that may be zero.
pub(crate) type AnyTime = Time<0>;
/// A duration longer than zero.
pub(crate) type SomeTime = Time<1>;

/// A duration of at least `MIN` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time<const MIN: u64>(pub(crate) Duration);

impl<const MIN: u64> FromText for Time<MIN> {
    const EXPECTED: &'static str = "a duration such as `\"30s\"`";
    const PATTERN: &'static str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let duration = parse_duration(text)?;
        if duration < Duration::from_millis(MIN) {
            let least = if MIN == 1 {
                "longer than 0s".to_owned()
            } else {
                format!("at least {}", write_duration(Duration::from_millis(MIN)))
            };
            return Err(Wrong::new(format!("this duration must be {least}")));
        }
        Ok(Time(duration))
    }
}

impl<const MIN: u64> Setting<Duration> for Time<MIN> {
    fn value(&self) -> Duration {
        self.0
    }

    fn write(value: &Duration) -> Written {
        write_duration(*value).into()
    }
}

/// A duration as it is written in the file, for the command line.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|wrong| match wrong.hint {
        Some(hint) => format!("{}: {}", wrong.message, hint.replace(['`', '"'], "")),
        None => wrong.message,
    })
}

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

fn parse_duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || Wrong::new(format!("`{text}` is not a duration"));
    let help = "write a number and d, h, m, s or ms, the larger units first: `\"30s\"`, \
                `\"1h30m\"`, `\"250ms\"`";
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    if text.is_empty() {
        return Err(wrong().hint(help));
    }
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        let unit_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() && after.is_empty() && !digits.is_empty() {
            return Err(Wrong::new(format!("`{text}` has no unit"))
                .hint(format!("for seconds write `\"{text}s\"`")));
        }
        let size = UNITS.iter().find(|(name, _)| *name == unit);
        let (Some((_, size)), Ok(number)) = (size, digits.parse::<u64>()) else {
            return Err(wrong().hint(help));
        };
        if *size >= last_unit {
            return Err(wrong().hint(help));
        }
        last_unit = *size;
        total = number
            .checked_mul(*size)
            .and_then(|part| total.checked_add(part))
            .filter(|&sum| sum <= LONGEST.as_millis() as u64)
            .ok_or_else(|| Wrong::new(format!("`{text}` is longer than ten years")))?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// The duration as it would be written in the file.
pub fn write_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis() as u64;
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A number of bytes between `MIN` and `MAX`: `"64KiB"`, or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Bytes<MIN, MAX> {
    fn checked(bytes: Option<u64>, text: &str) -> Result<Self, Wrong> {
        match bytes {
            Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Bytes(bytes)),
            Some(bytes) if bytes < MIN => Err(Wrong::new(format!(
                "this size must be at least {}",
                write_size(MIN)
            ))),
            _ if MAX < u64::MAX => Err(Wrong::new(format!(
                "this size must be at most {}",
                write_size(MAX)
            ))),
            _ => Err(Wrong::new(format!("`{text}` does not fit into 64 bits"))),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Read for Bytes<MIN, MAX> {
    fn expected() -> String {
        "a size such as `\"64KiB\"` or a number of bytes".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        let size = match node.value {
            DeValue::String(text) => parse_size(text).and_then(|size| Self::checked(size, text)),
            DeValue::Integer(_) => match integer(node.value) {
                Some(negative) if negative < 0 => Err(Wrong::new("a size can't be negative")),
                size => Self::checked(size.and_then(|size| size.try_into().ok()), "this size"),
            },
            _ => {
                sink.wrong_type(node, &Self::expected());
                return None;
            }
        };
        size.map_err(|wrong| wrong.note(node, sink)).ok()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "pattern": "^[0-9]+(([kKmMgGtT][iI]?)?[bB])?$" },
            { "type": "integer", "minimum": MIN },
        ] })
    }
}

impl<const MIN: u64, const MAX: u64> Setting<u64> for Bytes<MIN, MAX> {
    fn value(&self) -> u64 {
        self.0
    }

    fn write(value: &u64) -> Written {
        (*value).into()
    }
}

impl<const MIN: u64, const MAX: u64> Setting<usize> for Bytes<MIN, MAX> {
    fn value(&self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn write(value: &usize) -> Written {
        (*value as u64).into()
    }
}

/// Where nothing is the same as zero.
impl<const MAX: u64> Setting<u64> for Optional<Bytes<0, MAX>> {
    fn value(&self) -> u64 {
        self.0.map_or(0, |bytes| bytes.0)
    }

    fn write(value: &u64) -> Written {
        (*value).into()
    }
}

const SIZES: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("tb", 1_000_000_000_000),
    ("tib", 1 << 40),
];

/// The size in bytes; `Ok(None)` where it does not fit.
fn parse_size(text: &str) -> Result<Option<u64>, Wrong> {
    let wrong = || Wrong::new(format!("`{text}` is not a size"));
    let (digits, unit) = split_digits(text);
    let unit = unit.to_ascii_lowercase();
    if digits.is_empty() {
        return Err(wrong().hint("write a number and a unit: `\"64KiB\"`, `\"10MB\"`, `\"1GiB\"`"));
    }
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let hint = match unit.as_str() {
            "k" | "m" | "g" | "t" => {
                let unit = unit.to_ascii_uppercase();
                format!("write `\"{digits}{unit}iB\"` (1024) or `\"{digits}{unit}B\"` (1000)")
            }
            _ => "the units are B, kB, KiB, MB, MiB, GB, GiB, TB and TiB".to_owned(),
        };
        return Err(wrong().hint(hint));
    };
    Ok(digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor)))
}

fn write_size(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
            ("2d", 172_800_000),
            ("1m500ms", 60_500),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(write_duration(duration), text);
        }
        for text in [
            "",
            "30",
            "s",
            "30 s",
            "1s1h",
            "1s1s",
            "-1s",
            "1.5s",
            "1w",
            "4000d",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("10MB", 10_000_000),
            ("1GiB", 1 << 30),
            ("512", 512),
            ("512B", 512),
            ("1kB", 1000),
        ] {
            assert_eq!(parse_size(text).unwrap(), Some(bytes), "{text}");
        }
        assert_eq!(parse_size("99999999TiB").unwrap(), None);
        for text in ["", "KiB", "64K", "1.5MB", "-1B", "64 KiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
