//! `portcullis replay`: which decisions of a log another policy would make otherwise.
//!
//! Promises that a decision is called unchanged only where every request that the one in the log can have been gets the same
//! verdict. Sends nothing.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::audit::select::Select;
use super::audit::text::{Tone, printable};
use super::logged::{Decided, History, Logged};
use super::{FOUND, Format, complain, load, out};
use crate::agent::Agent;
use crate::audit::digest::DigestKey;
use crate::config::Environment;
use crate::policy::{Policy, Verdict};
use crate::request::Request;

/// The most kinds of change that people are shown.
const SHOWN: usize = 40;
/// The longest path that is shown, in characters.
const MOST: usize = 200;

/// What is replayed.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The policy that is asked.
    #[arg(value_name = "NEW")]
    policy: PathBuf,
    /// A log file or a state directory.
    #[arg(value_name = "LOG")]
    log: PathBuf,
    #[command(flatten)]
    select: Select,
    /// How the changes are printed.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// One kind of change, with the first request that shows it.
struct Change<'h> {
    was: Decided,
    is: Decided,
    cause: String,
    count: u64,
    example: &'h Logged,
}

/// What came of replaying a log.
#[derive(Default)]
struct Outcome<'h> {
    same: u64,
    changes: Vec<Change<'h>>,
    /// Requests of which the log does not tell enough.
    undecided: Vec<&'h Logged>,
    others: u64,
}

/// Exit code 0 where no decision changes, 1 where one does, cannot be decided, or does not verify, 2 for files that cannot
/// be used.
pub(super) fn run(asked: &Replay) -> ExitCode {
    match replay(asked) {
        Ok(code) | Err(code) => code,
    }
}

fn replay(asked: &Replay) -> Result<ExitCode, ExitCode> {
    let policy = load::policy(&asked.policy)?.policy;
    let history = History::read(&asked.log, &asked.select).map_err(|error| complain(&error))?;
    let key = key(&asked.log, &history).map_err(|error| complain(&error))?;
    let outcome = outcome(&policy, &history, key.as_ref());
    let coloured = io::stdout().is_terminal() && !Environment::process().no_color();
    let mut page = BufWriter::new(io::stdout().lock());
    let written = match asked.format {
        Format::Human => outcome.told(&mut page, &policy, coloured),
        Format::Json => writeln!(page, "{:#}", outcome.json()),
    };
    let written = written.and_then(|()| page.flush());
    let hidden = history.hidden.sentences();
    for sentence in &hidden {
        complain(sentence);
    }
    let clean = outcome.changes.is_empty() && outcome.undecided.is_empty() && hidden.is_empty();
    Ok(out::ended(written, if clean { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }))
}

/// The key of the digests, where it lies beside the log and all of the log was written with it.
pub(super) fn key(log: &Path, history: &History) -> Result<Option<DigestKey>, crate::audit::AuditError> {
    let directory = if log.is_dir() { log } else { log.parent().unwrap_or(Path::new(".")) };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let key = DigestKey::find(directory)?;
    // Of a log that names no key nobody knows which one it was.
    Ok(key.filter(|key| !history.keys.is_empty() && history.keys.iter().all(|name| name == key.id())))
}

fn outcome<'h>(policy: &Policy, history: &'h History, key: Option<&DigestKey>) -> Outcome<'h> {
    let mut outcome = Outcome { others: history.others, ..Outcome::default() };
    let mut changes: BTreeMap<(Decided, Decided, String, &str), Change<'h>> = BTreeMap::new();
    for logged in &history.requests {
        let mut verdicts: Vec<(Decided, String)> =
            logged.again(policy, key).into_iter().map(|request| decided(policy, request, &logged.time)).collect();
        verdicts.dedup_by(|a, b| a.0 == b.0);
        let [(is, cause)] = verdicts.as_slice() else {
            outcome.undecided.push(logged);
            continue;
        };
        if *is == logged.decided {
            outcome.same += 1;
            continue;
        }
        let kind = (logged.decided, *is, cause.clone(), logged.method.as_str());
        let new = || Change { was: logged.decided, is: *is, cause: cause.clone(), count: 0, example: logged };
        changes.entry(kind).or_insert_with(new).count += 1;
    }
    outcome.changes = changes.into_values().collect();
    outcome.changes.sort_by_key(|change| std::cmp::Reverse(change.count));
    outcome
}

/// What the policy says of a request at the time of the record, and by which rule or for which reason.
fn decided(policy: &Policy, request: Request, time: &str) -> (Decided, String) {
    let now = humantime::parse_rfc3339(time).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let verdict = policy.authorize(&Agent::stdio(0), request);
    match policy.report(verdict, || now.unwrap_or(Duration::MAX)) {
        Verdict::Allow(authorized) => match authorized.grant().reported() {
            Some(reason) => (Decided::Reported, reason.code().to_owned()),
            None => (Decided::Allowed, format!("by `{}`", authorized.grant().rule().id())),
        },
        Verdict::Hold(held) => (Decided::Held, format!("by `{}`", held.rule().id())),
        Verdict::Deny(denial) => {
            let rule = denial.rule().map(|rule| format!(", `{}`", rule.id())).unwrap_or_default();
            (Decided::Denied, format!("{}{rule}", denial.reason().code()))
        }
    }
}

impl Outcome<'_> {
    fn changed(&self) -> u64 {
        self.changes.iter().map(|change| change.count).sum()
    }

    fn told(&self, out: &mut impl Write, policy: &Policy, coloured: bool) -> io::Result<()> {
        let (changed, undecided) = (self.changed(), self.undecided.len());
        writeln!(out, "{} under {}: {}", decisions(self.same + changed), policy.file(), self.summary())?;
        for change in self.changes.iter().take(SHOWN) {
            let tone = if change.is > change.was { Tone::Waiting } else { Tone::Refused };
            let what = format!("{} -> {}", change.was.as_str(), change.is.as_str());
            writeln!(out, "\n{:>7}  {}  {}", change.count, tone.paint(&what, coloured), change.cause)?;
            let Logged { method, path, seq, time, .. } = change.example;
            let request = printable(&format!("{method} {path}"), MOST);
            writeln!(
                out,
                "         {request}\n         {}",
                Tone::Faint.paint(&format!("{time}, record {seq}"), coloured)
            )?;
        }
        if let Some(left) = self.changes.len().checked_sub(SHOWN).filter(|left| *left > 0) {
            let kinds = out::counted(left, "kind");
            writeln!(out, "\n         and {kinds} of change more; --format json has them all")?;
        }
        if let Some(first) = self.undecided.first() {
            let request = printable(&format!("{} {}", first.method, first.path), MOST);
            writeln!(
                out,
                "\n{undecided:>7}  cannot be decided: the log does not tell the values that a rule asks for, or the key of"
            )?;
            writeln!(out, "         its digests is not beside it. The first: {request}")?;
        }
        if self.others > 0 {
            let others = out::counted(self.others, "other call");
            writeln!(out, "\n{others} made no request, or met a limit or a fault.")?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        match (self.changed(), self.undecided.len()) {
            (0, 0) => "none changes".to_owned(),
            (0, undecided) => format!("none changes, {undecided} more cannot be decided"),
            (1, _) => "1 changes".to_owned(),
            (changed, _) => format!("{changed} change"),
        }
    }

    fn json(&self) -> Value {
        let request = |logged: &Logged| {
            let names: Vec<&str> = logged.query.iter().map(|(name, _)| name.as_str()).collect();
            json!({ "seq": logged.seq, "time": logged.time, "method": logged.method, "path": logged.path, "query": names })
        };
        let changes = self.changes.iter().map(|change| {
            json!({
                "was": change.was.as_str(), "is": change.is.as_str(), "cause": change.cause, "count": change.count,
                "example": request(change.example),
            })
        });
        json!({
            "same": self.same,
            "changed": self.changed(),
            "changes": changes.collect::<Vec<_>>(),
            "undecided": self.undecided.len(),
            "first_undecided": self.undecided.first().map(|logged| request(logged)),
            "others": self.others,
        })
    }
}

fn decisions(count: u64) -> String {
    out::counted(count, "decision")
}
