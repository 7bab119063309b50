//! `reload`: running gateways put their policy files in force.
//!
//! Promises: what is wider takes effect after each widening was shown at a terminal and a word was typed there; the order names
//! both policies by their hashes, and a gateway that has others refuses.

use std::path::Path;
use std::process::ExitCode;

use super::gateways::{Gateway, Replies};
use super::terminal::Terminal;
use super::{FOUND, OrderError, ended, say};
use crate::confirm::desk::reload::{Change, Widened, Width};
use crate::confirm::desk::{Order, things};
use crate::confirm::page::{COLUMNS, Folded};
use crate::policy::diff::Rest;

/// What is typed to widen a policy.
const WORD: &str = "wider";
/// Said where that is not all.
const REST: &str = "Nobody can tell whether that is all: docs/policy-diff.md says why that can be.\n";
/// What is shown of a hash.
const DIGITS: usize = 12;
/// The most lines of one text.
const LINES: usize = 8;

/// Who is asked about a wider policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Asking {
    /// Nobody: it does not take effect.
    Nobody,
    /// A person at the terminal.
    AtTerminal,
}

pub(in crate::cli) fn run(state_dir: Option<&Path>, asking: Asking) -> ExitCode {
    ended(reload(state_dir, asking))
}

fn reload(state_dir: Option<&Path>, asking: Asking) -> Result<ExitCode, OrderError> {
    let Replies { root, answers, failed } = Replies::changes(state_dir)?;
    if answers.is_empty() && failed.is_empty() {
        return Err(OrderError::Nobody(root));
    }
    let mut code = failed.iter().fold(ExitCode::SUCCESS, |_, error| error.exit_code());
    // Gateways of several clients have the same to say: a person is asked once.
    let mut asked: Vec<(Change, Said)> = Vec::new();
    for (gateway, change) in answers {
        let said = match asked.iter().find(|(other, _)| *other == change) {
            Some((_, said)) => *said,
            None => {
                let said = judge(&change, asking)?;
                asked.push((change.clone(), said));
                said
            }
        };
        match said {
            Said::Same => say(&format!("{}: {} is in force already", change.api, change.file)),
            Said::Yes => match put_in_force(&gateway, &change) {
                Ok(()) => say(&format!("{}: {} is in force ({})", change.api, change.file, digits(&change.now))),
                Err(error) => code = error.exit_code(),
            },
            Said::No => code = ExitCode::from(FOUND),
        }
    }
    Ok(code)
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy)]
enum Said {
    /// There is none.
    Same,
    Yes,
    No,
}

fn judge(change: &Change, asking: Asking) -> Result<Said, OrderError> {
    let wider = match change.width {
        Width::Same => return Ok(Said::Same),
        Width::NoWider => return Ok(Said::Yes),
        Width::Wider => format!("wider than the policy in force, in {}", things(change.widened.len(), change.rest)),
        Width::Undecided => {
            "another policy than the one in force, and nobody can tell whether it is wider (docs/policy-diff.md says why)"
                .to_owned()
        }
    };
    let sentence = format!("{}: {} is {wider}", change.api, change.file);
    match asking {
        Asking::Nobody => {
            say(&format!("{sentence}; the policy in force stays: `portcullis reload --wider` shows that and asks"));
            Ok(Said::No)
        }
        Asking::AtTerminal => ask(change, &sentence),
    }
}

fn ask(change: &Change, sentence: &str) -> Result<Said, OrderError> {
    let mut terminal = Terminal::open().map_err(OrderError::NobodyToWiden)?;
    terminal.say(&format!("{sentence}:\n"))?;
    for widened in &change.widened {
        terminal.say(&in_words(widened))?;
    }
    match (change.width, change.rest) {
        (Width::Wider, Rest::Unknown) => terminal.say(REST)?,
        (Width::Same | Width::NoWider | Width::Wider | Width::Undecided, _) => {}
    }
    let (before, now) = (digits(&change.before), digits(&change.now));
    terminal.say(&format!("SHA-256 of the policy in force {before}, of the file {now}."))?;
    let given = terminal
        .ask(&format!("Type `{WORD}` to put it in force. Anything else leaves the policy in force as it is."))?;
    if given == WORD {
        return Ok(Said::Yes);
    }
    say(&format!("{}: the policy in force stays", change.api));
    Ok(Said::No)
}

fn put_in_force(gateway: &Gateway, change: &Change) -> Result<(), OrderError> {
    let Change { before, now, width, .. } = change.clone();
    gateway.reload(&Order::Reload { before, now, consent: width })
}

fn digits(hash: &str) -> String {
    hash.chars().take(DIGITS).collect()
}

/// One widening in a few lines that are no wider than a terminal.
fn in_words(Widened { kind, subject, rule, was, is }: &Widened) -> String {
    let rule = rule.as_ref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    let mut text = String::new();
    let lines = [("", format!("{kind}: {subject}{rule}")), ("  was: ", was.clone()), ("  is:  ", is.clone())];
    for (margin, line) in lines {
        let Folded { head, left_out, tail } = Folded::new(&line, COLUMNS.saturating_sub(margin.len()), LINES);
        let cut = (left_out > 0).then(|| format!("[ {left_out} more characters ]"));
        let mut before = margin.to_owned();
        for part in head.iter().chain(&cut).chain(&tail) {
            text.push_str(&format!("{before}{part}\n"));
            before = " ".repeat(margin.len());
        }
    }
    text
}
