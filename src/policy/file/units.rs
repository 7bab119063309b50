//! Durations, sizes and rates, as a policy writes them: a whole number and a unit, nothing between them.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::{Section, Value};
use crate::policy::finding::{Findings, quoted};
use crate::policy::spec::Rate;

const SECOND: u64 = 1_000;
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", SECOND), ("min", 60 * SECOND), ("h", 3_600 * SECOND), ("d", 86_400 * SECOND)];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const PERIODS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("day", 86_400)];

const RATE: &str = "a rate such as `10/s`, `120/min`, `500/h` or `5000/day`";

/// A kind of number that a policy writes, with its range.
pub(super) trait Unit: PartialOrd + Copy {
    /// An example for messages.
    const SUCH_AS: &'static str;
    /// Reads one; `None` if it is written in another way.
    fn read(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Option<Self>>;
    /// As a policy writes it.
    fn show(self) -> String;
}

impl Unit for Duration {
    const SUCH_AS: &'static str = "a duration such as `500ms`, `30s` or `10min`";

    fn read(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Option<Self>> {
        let text = value.text_as(Self::SUCH_AS, findings)?;
        Some(counted(text, &DURATIONS).map(Self::from_millis))
    }

    fn show(self) -> String {
        shown(u64::try_from(self.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
    }
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Size(pub(super) u64);

impl Unit for Size {
    const SUCH_AS: &'static str = "a size such as `512B`, `64KiB` or `8MiB`";

    fn read(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Option<Self>> {
        let text = value.text_as(Self::SUCH_AS, findings)?;
        Some(counted(text, &SIZES).map(Self))
    }

    fn show(self) -> String {
        shown(self.0, &SIZES)
    }
}

impl Unit for u32 {
    const SUCH_AS: &'static str = "a whole number";

    fn read(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Option<Self>> {
        let integer = value.integer(findings)?;
        Some(Some(Self::try_from(integer.max(0)).unwrap_or(Self::MAX)))
    }

    fn show(self) -> String {
        self.to_string()
    }
}

impl Section<'_> {
    /// A number in a range, or the default if it is absent or wrong.
    pub(super) fn number<U: Unit>(
        &self,
        key: &str,
        default: U,
        range: RangeInclusive<U>,
        findings: &mut Findings<'_>,
    ) -> U {
        let Some(value) = self.get(key) else { return default };
        let Some(read) = U::read(&value, findings) else { return default };
        let name = quoted(value.name());
        let Some(number) = read else {
            let message = format!("{name} must be {}", U::SUCH_AS);
            findings.error("bad-value", value.span(), message, None);
            return default;
        };
        if range.contains(&number) {
            return number;
        }
        let message = format!("{name} must be from {} to {}", range.start().show(), range.end().show());
        findings.error("out-of-range", value.span(), message, None);
        default
    }

    /// A rate.
    pub(super) fn rate(&self, key: &str, findings: &mut Findings<'_>) -> Option<Rate> {
        let value = self.get(key)?;
        let text = value.text_as(RATE, findings)?;
        let name = quoted(value.name());
        let Some((count, per)) = text.split_once('/').and_then(|(count, per)| Some((whole(count)?, period(per)?)))
        else {
            let message = format!("{name} must be {RATE}");
            findings.error("bad-value", value.span(), message, None);
            return None;
        };
        let count = u32::try_from(count).ok().filter(|count| *count <= 1_000_000).and_then(NonZeroU32::new);
        let Some(count) = count else {
            let message = format!("{name} must count from 1 to 1000000");
            let help = "there is no unlimited rate; to close something, leave it out of the allow rules";
            findings.error("out-of-range", value.span(), message, Some(help));
            return None;
        };
        Some(Rate { count, per })
    }
}

fn period(unit: &str) -> Option<Duration> {
    PERIODS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| Duration::from_secs(*seconds))
}

fn counted(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let (_, each) = units.iter().find(|(name, _)| *name == unit)?;
    Some(whole(count)?.saturating_mul(*each))
}

/// Digits alone; a number beyond `u64` is beyond every range.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn shown(number: u64, units: &[(&str, u64)]) -> String {
    let largest = units.iter().rev().find(|(_, each)| number >= *each && number.is_multiple_of(*each));
    match largest {
        Some((unit, each)) => format!("{}{unit}", number / each),
        None => format!("{number}{}", units.first().map_or("", |(unit, _)| unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read_exactly_or_not_at_all() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("10min", Some(600_000)),
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("2d", Some(172_800_000)),
            ("18446744073709551616s", Some(u64::MAX)),
            ("30", None),
            ("s", None),
            ("", None),
            (" 30s", None),
            ("30 s", None),
            ("+30s", None),
            ("-1s", None),
            ("1.5s", None),
            ("30S", None),
            ("1_000ms", None),
            ("٣s", None),
        ] {
            assert_eq!(counted(text, &DURATIONS), expected, "{text}");
        }
        assert_eq!(counted("64KiB", &SIZES), Some(65_536));
        assert_eq!(counted("64KB", &SIZES), None);
    }

    #[test]
    fn a_number_is_shown_in_its_largest_whole_unit() {
        assert_eq!(shown(600_000, &DURATIONS), "10min");
        assert_eq!(shown(90_000, &DURATIONS), "90s");
        assert_eq!(shown(172_800_000, &DURATIONS), "2d");
        assert_eq!(shown(0, &DURATIONS), "0ms");
        assert_eq!(shown(262_144, &SIZES), "256KiB");
    }
}
