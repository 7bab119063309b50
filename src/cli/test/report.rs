//! What came of the cases: for people, for programs, for CI.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::Form;
use super::case::{Case, Said};
use crate::cli::audit::text::{Tone, printable};
use crate::clock::{Clock as _, SystemClock};
use crate::policy::{Policy, RuleInfo};

/// The longest text of a case's own that is shown on a line, in characters.
const MOST: usize = 400;

/// A case with what the policy said.
pub(super) struct Ran {
    pub(super) file: String,
    pub(super) case: Case,
    pub(super) judged: Said,
}

/// All of them.
pub(super) struct Report<'p> {
    policy: &'p Policy,
    ran: Vec<Ran>,
}

impl<'p> Report<'p> {
    pub(super) fn new(policy: &'p Policy, ran: Vec<Ran>) -> Self {
        Self { policy, ran }
    }

    /// How many cases do not get what they expect.
    pub(super) fn failed(&self) -> usize {
        self.ran.iter().filter(|ran| !ran.is_met()).count()
    }

    /// The rules that no verdict names.
    pub(super) fn unhit(&self) -> Vec<&'p RuleInfo> {
        let hit = |rule: &&RuleInfo| self.ran.iter().any(|ran| ran.judged.rules.iter().any(|id| id == rule.id()));
        self.policy.rules().iter().filter(|rule| !hit(rule)).collect()
    }

    pub(super) fn write(&self, out: &mut impl Write, form: Form, coloured: bool) -> io::Result<()> {
        match form {
            Form::Human => self.told(out, coloured),
            Form::Json => writeln!(out, "{:#}", self.json()),
            Form::Junit => self.junit(out),
        }
    }

    fn told(&self, out: &mut impl Write, coloured: bool) -> io::Result<()> {
        for ran in self.ran.iter().filter(|ran| !ran.is_met()) {
            let Ran { file, case, .. } = ran;
            let failed = Tone::Refused.paint("FAILED", coloured);
            writeln!(out, "{failed}  {file}:{}", case.line)?;
            writeln!(out, "        {}", printable(&case.name, MOST))?;
            writeln!(out, "        expected  {}", printable(&ran.expected(), MOST))?;
            writeln!(out, "        got       {}\n", printable(&ran.got(self.policy), MOST))?;
        }
        let (all, failed) = (self.ran.len(), self.failed());
        let passed = format!("{} of {all} cases passed", all - failed);
        let tone = if failed == 0 { Tone::Good } else { Tone::Refused };
        let rules = self.policy.rules().len();
        let unhit = self.unhit();
        writeln!(out, "{}, {} of {rules} rules are hit", tone.paint(&passed, coloured), rules - unhit.len())?;
        if let Some(report) = self.policy.report_until() {
            let day = report.day();
            match report.is_over(SystemClock::new().since_epoch()) {
                true => writeln!(out, "  report mode ended on {day}: nothing passes by it")?,
                false => writeln!(
                    out,
                    "  until {day} report mode lets other reads through: cases are about the rules alone"
                )?,
            }
        }
        for rule in unhit {
            let place = format!("{}:{}", self.policy.file(), rule.line());
            writeln!(out, "  no case hits `{}`  {}", rule.id(), Tone::Faint.paint(&place, coloured))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let cases = self.ran.iter().map(|ran| {
            json!({
                "file": ran.file, "line": ran.case.line, "name": ran.case.name, "passed": ran.is_met(),
                "expected": { "verdict": ran.case.expect.as_str(), "rule": ran.case.rule, "code": ran.case.code },
                "got": { "verdict": ran.judged.verdict.as_str(), "rules": ran.judged.rules, "code": ran.judged.code },
            })
        });
        let unhit = self.unhit();
        let unhit = unhit.iter().map(|rule| json!({ "rule": rule.id(), "line": rule.line() }));
        json!({
            "policy": self.policy.file(),
            "cases": cases.collect::<Vec<_>>(),
            "failed": self.failed(),
            "rules": self.policy.rules().len(),
            "unhit": unhit.collect::<Vec<_>>(),
        })
    }

    /// A suite for each policy, a case for each case, as CI systems read it.
    fn junit(&self, out: &mut impl Write) -> io::Result<()> {
        let name = xml(self.policy.file());
        let (all, failed) = (self.ran.len(), self.failed());
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        writeln!(out, "<testsuites><testsuite name=\"{name}\" tests=\"{all}\" failures=\"{failed}\">")?;
        for ran in &self.ran {
            let (file, case) = (xml(&ran.file), xml(&ran.case.name));
            write!(out, "<testcase classname=\"{file}\" name=\"{case}\" file=\"{file}\" line=\"{}\"", ran.case.line)?;
            if ran.is_met() {
                writeln!(out, "/>")?;
            } else {
                let message = format!("expected {}, got {}", ran.expected(), ran.got(self.policy));
                writeln!(out, "><failure message=\"{}\"/></testcase>", xml(&message))?;
            }
        }
        writeln!(out, "</testsuite></testsuites>")
    }
}

impl Ran {
    fn is_met(&self) -> bool {
        self.case.is_met(&self.judged)
    }

    fn expected(&self) -> String {
        let rules: Vec<String> = self.case.rule.iter().cloned().collect();
        worded(self.case.expect.as_str(), &rules, self.case.code.as_deref())
    }

    fn got(&self, policy: &Policy) -> String {
        let place = |id: &String| {
            let rule = policy.rules().iter().find(|rule| rule.id() == id);
            rule.map_or(String::new(), |rule| format!("  {}:{}", policy.file(), rule.line()))
        };
        let Said { verdict, rules, code } = &self.judged;
        let places: String = rules.iter().map(place).collect();
        worded(verdict.as_str(), rules, code.as_deref()) + &places
    }
}

/// A verdict, its rules and its code.
fn worded(verdict: &str, rules: &[String], code: Option<&str>) -> String {
    let mut words = verdict.to_owned();
    for (index, rule) in rules.iter().enumerate() {
        // Writing to a String cannot fail.
        write!(words, "{} `{rule}`", if index == 0 { " by" } else { "," }).ok();
    }
    if let Some(code) = code {
        write!(words, " ({code})").ok();
    }
    words
}

/// Text inside an attribute of XML 1.0, which has no way to write most controls.
fn xml(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\t' | '\n' | '\r' => written.push(' '),
            '\u{fffe}' | '\u{ffff}' => written.push('\u{fffd}'),
            _ if character.is_control() => written.push('\u{fffd}'),
            _ => written.push(character),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_xml_is_escaped() {
        assert_eq!(xml("a<b>&\"c\"\n\u{1}\u{7f}é"), "a&lt;b&gt;&amp;&quot;c&quot; \u{fffd}\u{fffd}é");
    }
}
