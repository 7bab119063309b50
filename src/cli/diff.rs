//! `portcullis diff` and `check --within`: what one policy lets through that another does not.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::audit::text::printable;
use super::{FOUND, Format, load, out};
use crate::config::PolicyFile;
use crate::confirm::desk::things;
use crate::policy::diff::{Budget, Comparison, Example, Rest, Widening, Widenings, widening};
use crate::policy::{Finding, Place, Policy, RuleRef, Severity};

/// The bytes of a body that JSON repeats.
const MOST_BODY: usize = 1_024;
/// The characters of one line.
const MOST_LINE: usize = 2_000;
/// The things in which NEW is narrower that people are shown.
const MOST_NARROWER: usize = 10;

/// The code of a finding about something that the ceiling does not let through.
const WIDER: &str = "wider-than-ceiling";
/// The code of a finding that nobody could tell.
const UNDECIDED: &str = "ceiling-undecided";

/// Two policies as they compare, both ways.
struct Pair {
    old: Policy,
    new: Policy,
    wider: Comparison,
    /// OLD against NEW.
    narrower: Comparison,
}

pub(super) fn run(old: &Path, new: &Path, format: Format) -> ExitCode {
    let pair = match load::policy(old).and_then(|old| Ok((old.policy, load::policy(new)?.policy))) {
        Ok((old, new)) => Pair {
            wider: widening(&old, &new, Budget::ORDINARY),
            narrower: widening(&new, &old, Budget::ORDINARY),
            old,
            new,
        },
        Err(code) => return code,
    };
    let mut page = io::stdout().lock();
    let written = match format {
        Format::Human => pair.write_human(&mut page),
        Format::Json => writeln!(page, "{}", pair.as_json()),
    };
    let code = match &pair.wider {
        Comparison::NoWider => ExitCode::SUCCESS,
        Comparison::Wider(_) | Comparison::Undecided => ExitCode::from(FOUND),
    };
    out::ended(written.and_then(|()| page.flush()), code)
}

/// A finding for each thing in which a policy is wider than a ceiling.
pub(super) fn within(ceiling: &Policy, file: &PolicyFile, policy: &Policy) -> Vec<Finding> {
    let error =
        |code, message, place: &Place, help: String| Finding::new(Severity::Error, code, message, place, Some(help));
    let undecided = |message: &str| {
        let help = "docs/policy-diff.md says why that can be".to_owned();
        error(UNDECIDED, message.to_owned(), &line_at(&file.text, 1), help)
    };
    match widening(ceiling, policy, Budget::ORDINARY) {
        Comparison::NoWider => Vec::new(),
        Comparison::Wider(found) => {
            let finding = |widening: &Widening| {
                let what = subject(widening);
                let ceilings = rule_of(ceiling, widening.old_rule.as_ref());
                let Widening { kind, was, is, .. } = widening;
                let message = format!("{}: {what}: {is}; under the ceiling: {was}{ceilings}", kind.as_str());
                let help = format!("narrow it, or widen the ceiling {}", printable(ceiling.file(), MOST_LINE));
                error(WIDER, printable(&message, MOST_LINE), &place(&file.text, widening), help)
            };
            let more = || undecided("it could not be told whether this policy is wider than the ceiling in more");
            found.iter().map(finding).chain((found.rest() == Rest::Unknown).then(more)).collect()
        }
        Comparison::Undecided => vec![undecided("it could not be told whether this policy is wider than the ceiling")],
    }
}

impl Pair {
    fn write_human(&self, out: &mut dyn Write) -> io::Result<()> {
        let (wider, narrower) = (list(&self.wider), list(&self.narrower));
        for widening in wider {
            self.write_one(out, "wider", widening)?;
        }
        for widening in narrower.iter().take(MOST_NARROWER) {
            self.write_one(out, "narrower", &turned(widening))?;
        }
        if let Some(more) = narrower.len().checked_sub(MOST_NARROWER).filter(|more| *more > 0) {
            writeln!(out, "narrower in {more} more")?;
        }
        if is_open(&self.wider) || is_open(&self.narrower) {
            writeln!(out, "nobody can tell whether that is all: docs/policy-diff.md says why that can be")?;
        }
        let names = [&self.new, &self.old].map(|policy| printable(policy.file(), MOST_LINE));
        let [new, old] = names;
        writeln!(out, "{new}: {} than {old}", self.summary())
    }

    fn write_one(&self, out: &mut dyn Write, way: &str, widening: &Widening) -> io::Result<()> {
        let Widening { kind, was, is, old_rule, rule, .. } = widening;
        writeln!(out, "{way} ({}): {}", kind.as_str(), printable(&subject(widening), MOST_LINE))?;
        let was = format!("{was}{}", rule_of(&self.old, old_rule.as_ref()));
        let is = format!("{is}{}", rule_of(&self.new, rule.as_ref()));
        writeln!(out, "  was: {}\n  is:  {}", printable(&was, MOST_LINE), printable(&is, MOST_LINE))
    }

    fn summary(&self) -> String {
        let things = |found: &Widenings| things(found.len(), found.rest());
        let wider = match &self.wider {
            Comparison::NoWider => "no wider".to_owned(),
            Comparison::Wider(found) => format!("wider in {}", things(found)),
            Comparison::Undecided => "undecided whether it is wider".to_owned(),
        };
        let narrower = match &self.narrower {
            Comparison::NoWider => "no narrower".to_owned(),
            Comparison::Wider(found) => format!("narrower in {}", things(found)),
            Comparison::Undecided => "undecided whether it is narrower".to_owned(),
        };
        format!("{wider} and {narrower}")
    }

    fn as_json(&self) -> Value {
        let list = |comparison, turn: fn(&Widening) -> Widening| -> Vec<Value> {
            list(comparison).iter().map(|widening| as_json(&turn(widening))).collect()
        };
        json!({
            "old": self.old.file(),
            "new": self.new.file(),
            "result": word(&self.wider, "no-wider", "wider"),
            "wider": list(&self.wider, Widening::clone),
            "complete": !is_open(&self.wider),
            "reverse": word(&self.narrower, "no-narrower", "narrower"),
            "narrower": list(&self.narrower, turned),
            "reverse_complete": !is_open(&self.narrower),
        })
    }
}

fn list(comparison: &Comparison) -> &[Widening] {
    match comparison {
        Comparison::Wider(found) => found,
        Comparison::NoWider | Comparison::Undecided => &[],
    }
}

/// Whether there may be something that was not found.
fn is_open(comparison: &Comparison) -> bool {
    match comparison {
        Comparison::NoWider => false,
        Comparison::Wider(found) => found.rest() == Rest::Unknown,
        Comparison::Undecided => true,
    }
}

fn word(comparison: &Comparison, no: &'static str, yes: &'static str) -> &'static str {
    match comparison {
        Comparison::NoWider => no,
        Comparison::Wider(_) => yes,
        Comparison::Undecided => "undecided",
    }
}

/// The same, told from OLD to NEW where it was found from NEW to OLD.
fn turned(widening: &Widening) -> Widening {
    let Widening { kind, key, rule, old_rule, was, is, example } = widening.clone();
    Widening { kind, key, rule: old_rule, old_rule: rule, was: is, is: was, example }
}

/// What it is about: a setting, or a request.
fn subject(widening: &Widening) -> String {
    let request = widening.example.as_ref().map(Example::to_string);
    request.or_else(|| widening.key.map(str::to_owned)).unwrap_or_default()
}

/// A rule as ` (file:line id)`, where there is one.
fn rule_of(policy: &Policy, rule: Option<&RuleRef>) -> String {
    rule.map(|rule| format!(" ({}:{} `{}`)", policy.file(), rule.line(), rule.id())).unwrap_or_default()
}

fn as_json(widening: &Widening) -> Value {
    let rule = |rule: &Option<RuleRef>| rule.as_ref().map(|rule| json!({ "id": rule.id(), "line": rule.line() }));
    let example = widening.example.as_ref().map(|example| {
        let body = example.body.as_deref();
        json!({
            "method": example.method.as_str(),
            "path": example.path,
            "query": example.query,
            "body": body.filter(|body| body.len() <= MOST_BODY),
            "body_bytes": body.map(str::len),
        })
    });
    json!({
        "kind": widening.kind.as_str(),
        "key": widening.key,
        "rule": rule(&widening.rule),
        "old_rule": rule(&widening.old_rule),
        "was": widening.was,
        "is": widening.is,
        "example": example,
    })
}

/// Where the file says it: the rule's line, the key's, that of its table, or the first.
fn place(text: &str, widening: &Widening) -> Place {
    if let Some(rule) = &widening.rule {
        return line_at(text, rule.line() as usize);
    }
    let (table, key) = widening.key.and_then(|key| key.split_once('.')).unwrap_or_default();
    let lines = || text.lines().map(str::trim_start).zip(1..);
    let header =
        lines().find(|(line, _)| line.starts_with(&format!("[{table}]")) || line.starts_with(&format!("[[{table}.")));
    let Some((_, header)) = header else { return line_at(text, 1) };
    let mut inside = lines().skip(header).take_while(|(line, _)| !line.starts_with('['));
    let said = inside.find(|(line, _)| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')));
    line_at(text, said.map_or(header, |(_, line)| line))
}

/// A whole line, from 1.
fn line_at(text: &str, line: usize) -> Place {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let length = text.get(before..).unwrap_or_default().lines().next().map_or(0, str::len);
    Place { span: before..before + length, line, column: 1 }
}
