//! `portcullis learn`: the smallest policy for what a log shows to have been done.
//!
//! Promises that the policy which it prints was compared with the one in force and is no wider, but for what report mode let
//! through, which it tells apart; where that cannot be proved it prints none. Sends nothing.

mod fold;
mod group;
mod propose;
mod write;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::fold::Templates;
use self::group::Group;
use self::propose::{Proposal, ProposeError};
use super::audit::select::Select;
use super::audit::text::printable;
use super::logged::{History, Logged};
use super::out::counted;
use super::{FOUND, catalog, complain, load, out, replay};
use crate::agent::Agent;
use crate::audit::digest::DigestKey;
use crate::catalog::{Catalog, MAX_DOCUMENT};
use crate::config;
use crate::policy::diff::{Budget, Comparison, Widening, widening};
use crate::policy::{Effect, Grant, Openapi, Parsed, Policy, Verdict};
use crate::request::Request;

/// The most widenings by report mode that are told.
const SHOWN: usize = 10;

/// From what a policy is learnt.
#[derive(Debug, Args)]
pub(super) struct Learn {
    /// A log file or a state directory.
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// The API's description, by whose path templates ids are known: a file, or `builtin:allstacks` [default: the built-in one,
    /// where the policy names it; else what varies in the log].
    #[arg(long, value_name = "DOC")]
    openapi: Option<PathBuf>,
    /// The policy to stay within, and to take the rest of [default: the newest one of the log].
    #[arg(long, value_name = "POLICY")]
    within: Option<PathBuf>,
    /// Learn writes as well.
    #[arg(long)]
    writes: bool,
    #[command(flatten)]
    select: Select,
}

/// Whether writes are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effects {
    Reads,
    All,
}

/// What was learnt, by rule.
#[derive(Debug, Default)]
struct Learnt {
    groups: BTreeMap<String, Group>,
    calls: u64,
    writes: u64,
    refused: u64,
    starred: u64,
    untold: u64,
}

/// Where a request belongs, by the name of its group.
enum Fit {
    Read(String, Box<Group>),
    Write(String, Box<Group>),
    Refused,
}

impl Fit {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Read(name, _) | Self::Write(name, _) => Some(name),
            Self::Refused => None,
        }
    }
}

fn fit(base: &Policy, request: Request, logged: &Logged) -> Fit {
    let granted = |grant: &Grant| {
        let (name, group) = Group::of(grant, logged, base);
        match grant.effect() {
            Effect::Read => Fit::Read(name, Box::new(group)),
            Effect::Write => Fit::Write(name, Box::new(group)),
        }
    };
    match base.authorize(&Agent::stdio(0), request) {
        Verdict::Allow(authorized) => granted(authorized.grant()),
        Verdict::Hold(held) => granted(held.grant()),
        // What report mode let through and this policy closes is not learnt.
        Verdict::Deny(denial) => match Group::reported(logged).filter(|_| denial.lacks_only_a_rule()) {
            Some((name, group)) => Fit::Read(name, Box::new(group)),
            None => Fit::Refused,
        },
    }
}

/// Exit code 0 where a policy was printed, 1 where none can be proved to be no wider, where there is nothing to learn, or where
/// some of the log does not verify and was left out, 2 for files that cannot be used.
pub(super) fn run(asked: &Learn) -> ExitCode {
    match learn(asked) {
        Ok(code) | Err(code) => code,
    }
}

fn learn(asked: &Learn) -> Result<ExitCode, ExitCode> {
    let history = History::read(&asked.log, &asked.select).map_err(|error| complain(&error))?;
    for sentence in history.hidden.sentences() {
        complain(&sentence);
    }
    if history.requests.is_empty() {
        complain(&"the log has no request, so there is nothing to learn");
        return Ok(ExitCode::from(FOUND));
    }
    let (base, text) = base(asked, &history)?;
    let key = replay::key(&asked.log, &history).map_err(|error| complain(&error))?;
    let templates = templates(asked, &base)?;
    let effects = if asked.writes { Effects::All } else { Effects::Reads };
    let learnt = Learnt::of(&base, &history, key.as_ref(), effects);
    if learnt.groups.is_empty() {
        complain(&"the log has no request that this policy lets through, so there is nothing to learn");
        return Ok(ExitCode::from(FOUND));
    }
    let proposal = match propose::propose(&base, &text, &learnt.groups, &templates, effects) {
        Ok(proposal) => proposal,
        Err(error @ (ProposeError::Unproved | ProposeError::Unnamed)) => {
            complain(&error);
            return Ok(ExitCode::from(FOUND));
        }
        Err(error) => return Err(complain(&error)),
    };
    let written = io::stdout().write_all(proposal.text.as_bytes());
    // A closed standard error leaves nobody to tell.
    drop(learnt.told(&mut io::stderr().lock(), &base, &proposal));
    let code = if history.hidden.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) };
    Ok(out::ended(written, code))
}

/// The policy to stay within, and its text.
fn base(asked: &Learn, history: &History) -> Result<(Policy, String), ExitCode> {
    if let Some(path) = &asked.within {
        let loaded = load::policy(path)?;
        return Ok((loaded.policy, loaded.file.text));
    }
    let none = "the log does not begin with its first file, so that it holds no policy; name one with --within";
    let text = history.policy.clone().ok_or_else(|| complain(&none))?;
    let Parsed { policy, .. } = Policy::parse("the log's policy", &text);
    let unreadable = "the policy in the log cannot be read again: this build takes it for wrong, or it has fixed headers, whose values no \
                      log tells; name its file with --within";
    Ok((policy.ok_or_else(|| complain(&unreadable))?, text))
}

fn templates(asked: &Learn, base: &Policy) -> Result<Templates, ExitCode> {
    let builtin = || Catalog::allstacks().map_err(|error| complain(&error));
    let found = match (&asked.openapi, &base.upstream().openapi, &asked.within) {
        (Some(name), ..) if name.as_os_str() == "builtin:allstacks" => Some(builtin()?),
        (Some(path), ..) => {
            let text = config::read_document(path, MAX_DOCUMENT).map_err(|error| complain(&error))?;
            Some(Catalog::read(text).map_err(|error| complain(&error))?.0)
        }
        (None, Some(Openapi::Allstacks), _) => Some(builtin()?),
        (None, Some(Openapi::File(_)), Some(within)) => {
            let beside = within.parent().unwrap_or(std::path::Path::new(""));
            catalog::of(base, beside).map_err(|error| complain(&error))?
        }
        (None, ..) => None,
    };
    let operations = found.iter().flat_map(Catalog::operations);
    Ok(Templates::new(operations.map(|of| (of.method().as_str().to_owned(), of.template().to_owned()))))
}

impl Learnt {
    fn of(base: &Policy, history: &History, key: Option<&DigestKey>, effects: Effects) -> Self {
        let mut learnt = Self::default();
        for logged in &history.requests {
            learnt.take(base, logged, key, effects);
        }
        learnt
    }

    /// A request counts by what the policy says of it now, where report mode counts for what it let through then.
    fn take(&mut self, base: &Policy, logged: &Logged, key: Option<&DigestKey>, effects: Effects) {
        // In a policy this would be every text: no request may write a pattern.
        if logged.path.contains('*') {
            self.starred += 1;
            return;
        }
        let mut ways: Vec<Fit> =
            logged.again(base, key).into_iter().map(|request| fit(base, request, logged)).collect();
        ways.dedup_by(|a, b| a.name() == b.name());
        let (Some(fit), true) = (ways.pop(), ways.is_empty()) else {
            self.untold += 1;
            return;
        };
        match fit {
            Fit::Refused => self.refused += 1,
            Fit::Write(..) if effects == Effects::Reads => self.writes += 1,
            Fit::Read(name, group) | Fit::Write(name, group) => {
                self.calls += 1;
                self.groups.entry(name).or_insert(*group).take(logged);
            }
        }
    }

    fn told(&self, out: &mut impl Write, base: &Policy, proposal: &Proposal) -> io::Result<()> {
        let Proposal { rules, paths, unnamed, .. } = proposal;
        writeln!(
            out,
            "learnt {} with {} from {}; {} had {}",
            counted(*rules, "allow rule"),
            counted(*paths, "path"),
            counted(self.calls.saturating_sub(*unnamed), "call"),
            base.file(),
            counted(base.rules().iter().filter(|rule| rule.terms().is_some()).count(), "allow rule")
        )?;
        let but = if proposal.wider == Comparison::NoWider { "" } else { "but for what report mode let through " };
        writeln!(out, "{but}no wider than the policy in force: proved by comparison, as `portcullis diff` makes it")?;
        for (count, what, why) in [
            (self.writes, "write", "; --writes learns writes as well"),
            (self.refused, "refused call", ""),
            (self.starred, "call", ", because no rule can name a path with a `*` in it"),
            (
                *unnamed,
                "call",
                ", because only a rule with `encoded` can name their paths, and none can stand as it is",
            ),
            (self.untold, "call", ", because the log does not tell enough"),
        ] {
            if count > 0 {
                let were = if count == 1 { "was" } else { "were" };
                writeln!(out, "{} {were} left out{why}", counted(count, what))?;
            }
        }
        match &proposal.wider {
            Comparison::NoWider => Ok(()),
            Comparison::Undecided => {
                writeln!(out, "how much wider it is by what report mode let through could not be told")
            }
            Comparison::Wider(found) => told_wider(out, found),
        }
    }
}

fn told_wider(out: &mut impl Write, found: &[Widening]) -> io::Result<()> {
    writeln!(out, "with what report mode let through it is wider:")?;
    for widening in found.iter().take(SHOWN) {
        let rule = widening.rule.as_ref().map_or("", |rule| rule.id());
        let example = widening.example.as_ref().map(|example| format!("{} {}", example.method, example.path));
        let kind = widening.kind.as_str();
        writeln!(out, "  {kind} by `{rule}`: {}", printable(&example.unwrap_or_default(), 200))?;
    }
    match found.len().checked_sub(SHOWN) {
        Some(left) if left > 0 => writeln!(out, "  and {left} more"),
        _ => Ok(()),
    }
}
