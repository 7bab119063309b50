//! What was found, a line for each thing that was looked at.

use std::io::{self, Write};

use serde::Serialize;

use crate::confirm::escape::{defused, shown};

/// Every line.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

/// The lines about one policy.
#[derive(Debug)]
pub(super) struct About<'r> {
    report: &'r mut Report,
    policy: String,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Line {
    policy: String,
    check: &'static str,
    level: Level,
    message: String,
    help: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

impl Report {
    pub(super) fn about(&mut self, policy: &str) -> About<'_> {
        About { report: self, policy: policy.to_owned() }
    }

    /// Whether something keeps a gate from working.
    pub(super) fn failed(&self) -> bool {
        self.lines.iter().any(|line| line.level == Level::Fail)
    }

    /// # Errors
    /// Those of the writer.
    pub(super) fn write_human(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut policy = "";
        for line in &self.lines {
            if line.policy != policy {
                let between = if policy.is_empty() { "" } else { "\n" };
                policy = &line.policy;
                writeln!(out, "{between}{}", shown(policy))?;
            }
            writeln!(out, "  {:<4}  {:<11}  {}", line.level.word(), line.check, defused(&line.message))?;
            if let Some(help) = &line.help {
                writeln!(out, "                     {}", defused(help))?;
            }
        }
        let count = |level| self.lines.iter().filter(|line| line.level == level).count();
        writeln!(out, "\n{} ok, {} warn, {} FAIL", count(Level::Ok), count(Level::Warn), count(Level::Fail))
    }

    /// # Errors
    /// Those of the writer.
    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.lines)?;
        writeln!(out)
    }
}

impl About<'_> {
    /// As it should be.
    pub(super) fn good(&mut self, check: &'static str, message: &str) {
        self.add(check, Level::Ok, message, None);
    }

    /// A gate works all the same, or it was not looked at.
    pub(super) fn warn(&mut self, check: &'static str, message: &str, help: &str) {
        self.add(check, Level::Warn, message, Some(help));
    }

    /// Not looked at, because of what was said before.
    pub(super) fn skipped(&mut self, check: &'static str, message: &str) {
        self.add(check, Level::Warn, message, None);
    }

    /// A gate does not work.
    pub(super) fn fail(&mut self, check: &'static str, message: &str, help: &str) {
        self.add(check, Level::Fail, message, Some(help));
    }

    fn add(&mut self, check: &'static str, level: Level, message: &str, help: Option<&str>) {
        // One line each, whatever an error of the system says.
        let message = message.replace('\n', " ");
        let (policy, help) = (self.policy.clone(), help.map(str::to_owned));
        self.report.lines.push(Line { policy, check, level, message, help });
    }
}
