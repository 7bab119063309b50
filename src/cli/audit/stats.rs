//! `audit stats`: what was done, in numbers.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::super::Format;
use super::calls::Item;
use super::read::read;
use super::record::Record;
use super::select::Select;
use super::show::{duration, finish};
use super::text::printable;

/// Different names of one kind that are counted; the rest are counted together.
const NAMES: usize = 10_000;
/// Names of one kind that are printed for people.
const SHOWN: usize = 10;
/// Hours that are printed for people, the last ones.
const HOURS: usize = 48;
/// Columns of the longest bar.
const BAR: usize = 40;
/// Durations are counted in classes, eight to a doubling: each is within a tenth of what it stands for.
const CLASSES: u32 = 8;

/// Exit codes as of `audit show`.
pub(in crate::cli) fn stats(path: &Path, select: &Select, format: Format) -> ExitCode {
    let mut totals = Totals::default();
    let read = read(path, select, &mut |_, item| {
        if let Item::Call(question, answer) = item {
            totals.count(&question.record, answer.as_deref().map(|line| &line.record));
        }
        Ok(())
    });
    finish(read.and_then(|hidden| {
        let mut out = io::BufWriter::new(io::stdout());
        match format {
            Format::Human => totals.print(&mut out)?,
            Format::Json => writeln!(out, "{}", totals.json())?,
        }
        out.flush()?;
        Ok(hidden)
    }))
}

/// How many there were of each name, of one kind.
#[derive(Debug, Default)]
struct Tally {
    names: BTreeMap<String, u64>,
    others: u64,
}

impl Tally {
    fn add(&mut self, name: &str) {
        if name.is_empty() {
            return;
        }
        if let Some(count) = self.names.get_mut(name) {
            *count += 1;
        } else if self.names.len() < NAMES {
            self.names.insert(name.to_owned(), 1);
        } else {
            self.others += 1;
        }
    }

    /// Most first.
    fn ranked(&self) -> Vec<(&str, u64)> {
        let mut ranked: Vec<_> = self.names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        ranked
    }

    fn json(&self) -> serde_json::Value {
        let mut names: serde_json::Map<_, _> =
            self.ranked().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
        if self.others > 0 {
            names.insert("(others)".to_owned(), self.others.into());
        }
        names.into()
    }
}

/// Durations, by class.
#[derive(Debug, Default)]
struct Durations(BTreeMap<u32, u64>);

impl Durations {
    fn add(&mut self, microseconds: u64) {
        let octave = microseconds.max(1).ilog2();
        // The three bits after the highest one.
        let part = (microseconds.max(1) << 3 >> octave) & 7;
        *self.0.entry(octave * CLASSES + u32::try_from(part).unwrap_or_default()).or_default() += 1;
    }

    /// Below which so many of a hundred are, in microseconds: the upper end of a class.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.0.values().sum();
        let wanted = (all * percent).div_ceil(100).max(1);
        let mut passed = 0;
        let class = self.0.iter().find_map(|(class, count)| {
            passed += count;
            (passed >= wanted).then_some(*class)
        })?;
        Some(((u64::from(class % CLASSES) + 9) << (class / CLASSES)) >> 3)
    }
}

#[derive(Debug, Default)]
struct Totals {
    calls: u64,
    /// First and last question.
    span: Option<(String, String)>,
    verdicts: Tally,
    rules: Tally,
    codes: Tally,
    statuses: Tally,
    agents: Tally,
    tools: Tally,
    requests: Tally,
    hours: BTreeMap<String, u64>,
    people: Tally,
    bytes: u64,
    durations: Durations,
}

impl Totals {
    fn count(&mut self, question: &Record, answer: Option<&Record>) {
        self.calls += 1;
        let time = || question.time.clone();
        match &mut self.span {
            Some((first, last)) => {
                *first = std::mem::take(first).min(time());
                *last = std::mem::take(last).max(time());
            }
            none => *none = Some((time(), time())),
        }
        self.verdicts.add(&question.verdict);
        self.rules.add(&question.rule);
        self.agents.add(&question.agent);
        self.tools.add(if question.operation.is_empty() { &question.tool } else { &question.operation });
        if !question.path.is_empty() {
            self.requests.add(&question.subject());
        }
        if let Some(person) = &question.person {
            self.people.add(&format!("{} at the {}", person.said, person.channel));
        }
        if let Some(hour) = question.time.get(..13)
            && (self.hours.len() < NAMES || self.hours.contains_key(hour))
        {
            *self.hours.entry(hour.to_owned()).or_default() += 1;
        }
        let code = answer.and_then(Record::code).or_else(|| question.code());
        self.codes.add(code.as_deref().unwrap_or_default());
        let Some(answer) = answer else { return };
        self.statuses.add(&answer.status.map(|status| status.to_string()).unwrap_or_default());
        self.bytes += answer.bytes.unwrap_or_default();
        // Only what was sent says something about the API.
        if answer.status.is_some()
            && let Some(duration) = answer.duration_us
        {
            self.durations.add(duration);
        }
    }

    fn lists(&self) -> [(&'static str, &Tally); 8] {
        [
            ("verdicts", &self.verdicts),
            ("rules", &self.rules),
            ("codes", &self.codes),
            ("statuses", &self.statuses),
            ("people", &self.people),
            ("agents", &self.agents),
            ("tools", &self.tools),
            ("requests", &self.requests),
        ]
    }

    fn json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        object.insert("calls".to_owned(), self.calls.into());
        object.insert("first".to_owned(), json!(self.span.as_ref().map(|(first, _)| first)));
        object.insert("last".to_owned(), json!(self.span.as_ref().map(|(_, last)| last)));
        object.insert("bytes".to_owned(), self.bytes.into());
        let durations =
            [50, 90, 99, 100].map(|percent| (format!("p{percent}"), json!(self.durations.percentile(percent))));
        object.insert("duration_us".to_owned(), serde_json::Value::Object(durations.into_iter().collect()));
        object.insert("hours".to_owned(), json!(self.hours));
        object.extend(self.lists().map(|(name, tally)| (name.to_owned(), tally.json())));
        object.into()
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Some((first, last)) = &self.span else { return writeln!(out, "no call") };
        writeln!(out, "{} calls from {} to {}", self.calls, printable(first, 30), printable(last, 30))?;
        if let [Some(half), Some(most), Some(nearly), Some(all)] =
            [50, 90, 99, 100].map(|p| self.durations.percentile(p))
        {
            let [half, most, nearly, all] = [half, most, nearly, all].map(duration);
            writeln!(
                out,
                "{} bytes from the API; half of its answers within {half}, 90 % {most}, 99 % {nearly}, all {all}",
                self.bytes
            )?;
        }
        for (name, tally) in self.lists() {
            let ranked = tally.ranked();
            if ranked.is_empty() {
                continue;
            }
            writeln!(out, "\n{name}")?;
            bars(out, ranked.iter().take(SHOWN).map(|(name, count)| (printable(name, 60), *count)))?;
            let left: u64 = ranked.iter().skip(SHOWN).map(|(_, count)| count).sum::<u64>() + tally.others;
            if left > 0 {
                writeln!(out, "  {left:>9}  others")?;
            }
        }
        writeln!(out, "\nhours (UTC)")?;
        let skipped = self.hours.len().saturating_sub(HOURS);
        bars(out, self.hours.iter().skip(skipped).map(|(hour, count)| (printable(&hour.replace('T', " "), 20), *count)))
    }
}

/// A line for each name: the count, the name, and a bar as long as its share of the largest.
fn bars(out: &mut impl Write, rows: impl Iterator<Item = (String, u64)>) -> io::Result<()> {
    let rows: Vec<_> = rows.collect();
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let columns = BAR.min(80_usize.saturating_sub(width + 15)).max(8);
    for (name, count) in rows {
        let share = u128::from(count) * columns as u128 / u128::from(most);
        let bar = "█".repeat(usize::try_from(share).unwrap_or_default().max(1));
        writeln!(out, "  {count:>9}  {name:<width$}  {bar}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_an_eighth_above_what_was_measured() {
        for value in [1, 2, 3, 9, 100, 1_023, 1_024, 7_777, 12_345_678, u64::from(u32::MAX)] {
            let mut durations = Durations::default();
            durations.add(value);
            let found = durations.percentile(50).unwrap();
            assert!(value <= found && found <= value + value / 8 + 1, "{value}: {found}");
        }
        let mut durations = Durations::default();
        (1..=1_000).for_each(|value| durations.add(value));
        assert!((500..=570).contains(&durations.percentile(50).unwrap()), "{durations:?}");
        assert!((990..=1_120).contains(&durations.percentile(99).unwrap()), "{durations:?}");
        assert_eq!(Durations::default().percentile(50), None);
    }

    #[test]
    fn more_names_than_are_counted_are_others() {
        let mut tally = Tally::default();
        (0..NAMES + 5).for_each(|name| tally.add(&name.to_string()));
        tally.add("0");
        assert_eq!((tally.names.len(), tally.others, tally.ranked()[0]), (NAMES, 5, ("0", 2)));
    }
}
