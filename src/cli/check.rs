//! `portcullis check`: every finding of every file at once, with its place and the right spelling.
//!
//! Promises that text marked as a possible secret is covered wherever the source is shown.

pub(super) mod explained;
pub(super) mod opened;
pub mod sarif;

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use clap::ValueEnum;
use serde_json::json;

use super::{FOUND, UNUSABLE, complain, out, sources};
use crate::config::{self, PolicyFile};
use crate::policy::{Finding, Parsed, Policy, Severity};

/// One file with everything that was found in it.
#[derive(Debug)]
pub struct Checked {
    /// Its name, as given.
    pub file: String,
    /// Its text.
    pub text: String,
    /// In the order of the file.
    pub findings: Vec<Finding>,
    /// Places of the text that must not be shown.
    pub hidden: Vec<Range<usize>>,
}

/// The code of a finding about a file or secret that is there and cannot be used.
pub const UNUSABLE_SOURCE: &str = "source-unusable";

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, on standard error.
    Human,
    /// For programs: one JSON document.
    Json,
    /// For code review: SARIF 2.1.0.
    Sarif,
}

/// Whether people are shown hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hints {
    /// Each of them.
    Shown,
    /// How many there are.
    Counted,
}

/// How findings look to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Text alone: where nobody asked for colour, and where it goes to no terminal.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

/// Checks files: findings go to standard error for people and to standard output as JSON. `extra` adds what only a look
/// outside the text can find, such as a secret that is not there.
///
/// Exit codes: 0 without errors, 1 with an error in a policy, 2 if a file or a secret cannot be used.
#[must_use]
pub fn run(
    files: &[PathBuf],
    form: Form,
    look: Look,
    hints: Hints,
    extra: impl Fn(&PolicyFile, &Policy) -> Vec<Finding>,
) -> ExitCode {
    let mut unusable = false;
    let mut checked = Vec::with_capacity(files.len());
    for file in files {
        match config::read_policy(file) {
            Ok(file) => {
                let file = check(&file, &extra);
                unusable |= file.findings.iter().any(|finding| finding.code == UNUSABLE_SOURCE);
                checked.push(file);
            }
            Err(error) => {
                unusable = true;
                complain(&error);
            }
        }
    }
    let mut page = io::stdout().lock();
    let written = match form {
        Form::Human => write_human(&mut io::stderr().lock(), &checked, look, hints),
        Form::Json => write_json(&mut page, &checked),
        Form::Sarif => sarif::write(&mut page, &checked),
    };
    let wrong = |finding: &Finding| finding.severity == Severity::Error && finding.code != UNUSABLE_SOURCE;
    let code = match (checked.iter().any(|file| file.findings.iter().any(wrong)), unusable) {
        (true, _) => ExitCode::from(FOUND),
        (false, true) => ExitCode::from(UNUSABLE),
        (false, false) => ExitCode::SUCCESS,
    };
    out::ended(written.and_then(|()| page.flush()), code)
}

/// Everything that is to be said of one file. A link says where it leads.
#[must_use]
pub fn check(file: &PolicyFile, extra: impl Fn(&PolicyFile, &Policy) -> Vec<Finding>) -> Checked {
    let name = file.name();
    let Parsed { policy, mut findings, hidden } = Policy::parse(&name, &file.text);
    findings.extend(policy.iter().flat_map(|policy| extra(file, policy)));
    sources::settle(&mut findings);
    findings.sort_by_key(|finding| finding.span.start);
    Checked { file: name, text: file.text.clone(), findings, hidden }
}

/// Findings for people: each with its line, then one line that sums up.
///
/// # Errors
/// Those of the writer.
pub fn write_human(out: &mut dyn Write, files: &[Checked], look: Look, hints: Hints) -> io::Result<()> {
    let renderer = match look {
        Look::Plain => Renderer::plain(),
        Look::Coloured => Renderer::styled(),
    };
    for file in files {
        let covered = cover(&file.text, &file.hidden);
        let name = shown(&file.file);
        let shown = |finding: &&Finding| hints == Hints::Shown || finding.severity != Severity::Hint;
        for finding in file.findings.iter().filter(shown) {
            writeln!(out, "{}\n", draw(finding, &name, &covered, &renderer))?;
        }
        writeln!(out, "{name}: {}", summary(&file.findings))?;
    }
    Ok(())
}

/// Findings for programs: one array, an object for each.
///
/// # Errors
/// Those of the writer.
pub fn write_json(out: &mut dyn Write, files: &[Checked]) -> io::Result<()> {
    let findings = files.iter().flat_map(|file| file.findings.iter().map(|finding| as_json(&file.file, finding)));
    writeln!(out, "{}", json!(findings.collect::<Vec<_>>()))
}

fn as_json(file: &str, finding: &Finding) -> serde_json::Value {
    json!({
        "file": file,
        "line": finding.line,
        "column": finding.column,
        "span": [finding.span.start, finding.span.end],
        "severity": finding.severity.as_str(),
        "code": finding.code,
        "message": finding.message,
        "help": finding.help,
    })
}

fn draw(finding: &Finding, file: &str, covered: &str, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Hint => Level::NOTE.with_name("hint"),
    };
    // The first line alone: a table or a list may go on for pages.
    let start = covered.get(..finding.span.start).map_or(0, |before| before.rfind('\n').map_or(0, |end| end + 1));
    let line = covered.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let from = finding.span.start.saturating_sub(start).min(line.len());
    let to = finding.span.end.saturating_sub(start).clamp(from, line.len());
    let snippet = Snippet::source(line).path(file).line_start(finding.line);
    let mark = AnnotationKind::Primary.span(from..to);
    let mut group = level.primary_title(&*finding.message).id(finding.code).element(snippet.annotation(mark));
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(&**help));
    }
    renderer.render(&[group])
}

fn summary(findings: &[Finding]) -> String {
    let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Hint, "hint")];
    let counts = kinds.map(|(severity, what)| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        (count > 0).then(|| counted(count, what))
    });
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if counts.is_empty() { "no findings".to_owned() } else { counts.join(", ") }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The text with `*` for every byte of the hidden places, so that the places of all others stay.
fn cover(text: &str, hidden: &[Range<usize>]) -> String {
    let mut hidden: Vec<&Range<usize>> = hidden.iter().collect();
    hidden.sort_unstable_by_key(|span| span.start);
    let mut hidden = hidden.into_iter().peekable();
    let mut covered = String::with_capacity(text.len());
    let mut until = 0;
    for (at, character) in text.char_indices() {
        while let Some(span) = hidden.next_if(|span| span.start <= at) {
            until = until.max(span.end);
        }
        if at < until && character != '\n' {
            covered.extend(std::iter::repeat_n('*', character.len_utf8()));
        } else {
            covered.push(character);
        }
    }
    covered
}

/// A file's name, escaped for a terminal.
fn shown(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            ' '..='~' => shown.push(character),
            _ if character.is_alphanumeric() => shown.push(character),
            _ => shown.extend(character.escape_default()),
        }
    }
    shown
}
