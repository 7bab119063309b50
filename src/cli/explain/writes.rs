//! Every write that a policy could let through, by rule, and who has to approve it.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Page;
use super::judged::at;
use crate::cli::Format;
use crate::cli::audit::text::Tone;
use crate::policy::{Confirm, Limits, Policy, Preview, RuleInfo, Terms};
use crate::request::method::Method;

/// The writes of one rule with one method and path.
struct Row<'p> {
    rule: &'p RuleInfo,
    terms: &'p Terms,
    method: Method,
    path: &'p str,
    /// The least and the most that a person is asked for, with what the rules ask for that share a path with it.
    confirm: (Confirm, Confirm),
}

pub(super) fn print(page: &mut Page<impl Write>, policy: &Policy) -> io::Result<()> {
    let rows = rows(policy);
    match page.format {
        Format::Json => {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            writeln!(page.out, "{}", json!({ "name": policy.name(), "writes": rows }))
        }
        Format::Human => told(page, policy, &rows),
    }
}

fn rows(policy: &Policy) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (name, method) in policy.writes() {
        let Some(rule) = policy.rules().get(name.index()) else { continue };
        let Some(terms) = rule.terms() else { continue };
        for path in rule.paths() {
            // Nothing of it where a denial covers all, or a rule calls each a read.
            let Some(confirm) = policy.split(method, &path.text).confirm else { continue };
            rows.push(Row { rule, terms, method, path: &path.text, confirm });
        }
    }
    rows
}

fn told(page: &mut Page<impl Write>, policy: &Policy, rows: &[Row<'_>]) -> io::Result<()> {
    if rows.is_empty() {
        let why = if policy.is_read_only() { "`[access] writes` is false" } else { "no rule lists any" };
        return writeln!(page.out, "{}: no write can pass: {why}.", policy.name());
    }
    let mut before = None;
    for row in rows {
        if before != Some(row.rule.id()) {
            let credential = row.terms.credential.as_deref().map(|name| format!(", with the credential `{name}`"));
            let limits = match row.terms.limits {
                Limits::Open => "",
                Limits::Narrow => ", within limits of query and body",
            };
            let head =
                format!("{} (line {}{}{limits})", row.rule.id(), row.rule.line(), credential.unwrap_or_default());
            writeln!(page.out, "{}{head}", if before.is_some() { "\n" } else { "" })?;
            before = Some(row.rule.id());
        }
        let (who, tone) = row.who();
        writeln!(page.out, "  {:<6} {}", row.method.as_str(), row.path)?;
        writeln!(page.out, "         {}", tone.paint(&who, page.coloured))?;
    }
    Ok(())
}

impl Row<'_> {
    fn who(&self) -> (String, Tone) {
        let place = at(self.terms.channel);
        let seen = match self.terms.preview {
            Preview::No => "",
            Preview::IfPossible => ", with a preview where there is one",
            Preview::Yes => ", with a preview",
        };
        match self.confirm {
            (Confirm::Never, Confirm::Never) => ("nobody is asked".to_owned(), Tone::Refused),
            (Confirm::Never, _) => {
                (format!("a person is asked about some{place}{seen}, nobody about others"), Tone::Refused)
            }
            (Confirm::Typed, _) => (format!("a person approves each{place}, by typing a word{seen}"), Tone::Waiting),
            (Confirm::Each, Confirm::Typed) => {
                (format!("a person approves each{place}, some by typing a word{seen}"), Tone::Waiting)
            }
            (Confirm::Each, _) => (format!("a person approves each{place}{seen}"), Tone::Waiting),
        }
    }

    fn json(&self) -> Value {
        json!({
            "rule": self.rule.id(),
            "line": self.rule.line(),
            "method": self.method.as_str(),
            "path": self.path,
            "confirm": [self.confirm.0.as_str(), self.confirm.1.as_str()],
            "channel": self.terms.channel.as_str(),
            "preview": self.terms.preview.as_str(),
            "credential": self.terms.credential,
            "limited": self.terms.limits == Limits::Narrow,
        })
    }
}
