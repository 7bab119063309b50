//! `portcullis audit show`: what a log says, for a person.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;

use super::{Format, complain};
use crate::audit::verify;

/// The members of a record that a person wants to see first.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    time: String,
    kind: String,
    call: String,
    tool: String,
    operation: String,
    verdict: String,
    method: String,
    path: String,
    rule: String,
    code: serde_json::Value,
    cause: String,
    status: Option<u16>,
    bytes: Option<u64>,
    duration_us: Option<u64>,
    channels: Vec<String>,
    said: String,
    uid: Option<u32>,
    state: String,
    seconds: Option<u64>,
    person: Option<ShownPerson>,
}

/// What a person said of a call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ShownPerson {
    said: String,
    channel: String,
    client: String,
    took_ms: u64,
}

/// `audit show`: one line a record. It does not check; `audit verify` does.
pub(super) fn show(path: &Path, format: Format) -> ExitCode {
    let logs = match verify::logs(path) {
        Ok(logs) => logs,
        Err(error) => return complain(&error),
    };
    let mut out = io::BufWriter::new(io::stdout());
    for log in logs {
        if let Err(error) = show_log(&mut out, &log, format) {
            return ended(&error, &format!("`{}`: {error}", log.display()));
        }
    }
    match out.flush() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(&error, &error.to_string()),
    }
}

/// A reader that has seen enough is no error.
fn ended(error: &io::Error, sentence: &str) -> ExitCode {
    if error.kind() == io::ErrorKind::BrokenPipe { ExitCode::SUCCESS } else { complain(&sentence) }
}

fn show_log(out: &mut impl Write, log: &Path, format: Format) -> io::Result<()> {
    for line in BufReader::new(std::fs::File::open(log)?).lines() {
        let line = line?;
        match format {
            Format::Json => writeln!(out, "{line}")?,
            Format::Human => match serde_json::from_str::<Shown>(&line) {
                Ok(record) => writeln!(out, "{}", record.line())?,
                Err(_) => writeln!(out, "(not a record) {}", printable(&line, 60))?,
            },
        }
    }
    Ok(())
}

impl Shown {
    /// One line of plain words; text from outside is escaped.
    fn line(&self) -> String {
        let [time, kind, call] = [&self.time, &self.kind, &self.call].map(|text| printable(text, 60));
        let code = printable(&self.code.as_str().map_or_else(|| self.code.to_string(), str::to_owned), 40);
        let tail = match kind.as_str() {
            "question" => {
                let what = match (self.method.is_empty(), self.operation.is_empty()) {
                    (true, true) => printable(&self.tool, 60),
                    (true, false) => format!("{} {}", printable(&self.tool, 60), printable(&self.operation, 64)),
                    (false, _) => format!("{} {}", printable(&self.method, 8), printable(&self.path, 100)),
                };
                let why = match (self.verdict.as_str(), self.rule.is_empty()) {
                    ("allow", true) => "nothing is sent".to_owned(),
                    ("allow", false) => format!("by rule {}", printable(&self.rule, 60)),
                    (_, true) => printable(&self.cause, 120),
                    (_, false) => format!("by rule {}: {}", printable(&self.rule, 60), printable(&self.cause, 120)),
                };
                let who = self.person.as_ref().map(ShownPerson::words).unwrap_or_default();
                format!("{} {what} ({why}){who}", printable(&self.verdict, 20))
            }
            "ask" => {
                let [method, path] = [printable(&self.method, 8), printable(&self.path, 100)];
                let channels = printable(&self.channels.join(" and "), 40);
                format!("a person is asked about {method} {path} (at the {channels}, code {code})")
            }
            "decision" => {
                format!("{code} {} at the desk by user {}", printable(&self.said, 20), self.uid.unwrap_or_default())
            }
            "writes" => match (self.seconds, self.uid) {
                (Some(seconds), _) => format!("closed for {seconds} s: three questions in a row were answered with no"),
                (None, uid) => format!("{} again, by user {}", printable(&self.state, 20), uid.unwrap_or_default()),
            },
            "answer" => {
                let result = match (&self.code, self.status) {
                    (serde_json::Value::Null, Some(status)) => {
                        format!("{status}, {} bytes", self.bytes.unwrap_or_default())
                    }
                    (_, Some(status)) => format!("{code} (status {status})"),
                    (_, None) => code,
                };
                format!("{result} after {} us", self.duration_us.unwrap_or_default())
            }
            "frame" => format!("{code} {}", printable(&self.cause, 120)),
            _ => String::new(),
        };
        format!("{time}  {kind:<9} {call} {tail}").trim_end().to_owned()
    }
}

impl ShownPerson {
    fn words(&self) -> String {
        let [said, channel] = [&self.said, &self.channel].map(|text| printable(text, 20));
        let client = match self.client.is_empty() {
            true => String::new(),
            false => format!(" `{}`", printable(&self.client, 60)),
        };
        format!(", {said} at the {channel}{client} after {} s", self.took_ms / 1_000)
    }
}

/// Escapes what could move a terminal's cursor or reorder a line, and cuts.
pub(super) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).flat_map(escape).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn escape(c: char) -> Box<dyn Iterator<Item = char>> {
    match c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
        true => Box::new(std::iter::once(c)),
        false => Box::new(c.escape_unicode()),
    }
}
