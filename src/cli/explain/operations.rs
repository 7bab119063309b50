//! The whole API, operation by operation: what a policy makes of each, and by which rules.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::Page;
use crate::catalog::Catalog;
use crate::catalog::operation::Operation;
use crate::cli::Format;
use crate::cli::audit::text::{Tone, printable};
use crate::policy::{Confirm, Mention, Passage, Policy, Share, Split, Touch};

/// The longest path in a table, in characters.
const MOST: usize = 120;

/// What becomes of the requests of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Allowed,
    /// Some or all pass as writes, and no person is asked about some of those.
    AllowedWrite,
    /// Report mode lets the reads through, and no rule does.
    Reported,
    Held,
    Denied,
}

impl Fate {
    pub(super) fn of(split: &Split) -> Self {
        match (split.passage, split.confirm) {
            (Passage::Never, _) => Self::Denied,
            (Passage::Read, _) if !split.allows.iter().any(about) => Self::Reported,
            (Passage::Read, _) => Self::Allowed,
            (Passage::Write, Some((Confirm::Each | Confirm::Typed, _))) => Self::Held,
            (Passage::Write, Some((Confirm::Never, _)) | None) => Self::AllowedWrite,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::AllowedWrite => "allowed write",
            Self::Reported => "reported",
            Self::Held => "held",
            Self::Denied => "denied",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Allowed => Tone::Good,
            Self::AllowedWrite | Self::Reported | Self::Held => Tone::Waiting,
            Self::Denied => Tone::Refused,
        }
    }
}

/// Whether that becomes of all of them, but for those that are denied by a [name](Share::Named).
pub(super) fn is_whole(split: &Split) -> bool {
    let all = |touches: &[Touch]| touches.iter().any(|touch| about(touch) && touch.share == Share::All);
    let closed = || split.denies.iter().any(|touch| about(touch) && touch.share != Share::Named);
    match split.passage {
        Passage::Never => true,
        Passage::Read | Passage::Write => all(&split.allows) && !closed(),
    }
}

/// The rules that make it so.
pub(super) fn deciding(split: &Split) -> Vec<&Touch> {
    let closing = split.denies.iter().filter(|touch| about(touch) && touch.share != Share::Named);
    let closing: Vec<&Touch> = closing.collect();
    let whole = closing.iter().any(|touch| touch.share == Share::All);
    match split.passage {
        Passage::Never if whole => closing.into_iter().filter(|touch| touch.share == Share::All).collect(),
        Passage::Never => Vec::new(),
        Passage::Read | Passage::Write => split.allows.iter().filter(|touch| about(touch)).chain(closing).collect(),
    }
}

fn about(touch: &Touch) -> bool {
    touch.method == Mention::Listed
}

/// Why an operation is denied by no denial.
pub(super) fn lack(policy: &Policy, split: &Split) -> &'static str {
    let listed = split.allows.iter().any(about);
    match (split.allows.is_empty(), listed) {
        (true, _) => "no rule is about it",
        (false, false) => "no rule lists the method",
        (false, true) if policy.is_read_only() => "writes are off",
        (false, true) => "no rule grants it",
    }
}

pub(super) fn print(page: &mut Page<impl Write>, policy: &Policy, catalog: &Catalog) -> io::Result<()> {
    let mut rows: Vec<(&Operation, Split)> =
        catalog.operations().iter().map(|of| (of, policy.split(of.method(), of.template()))).collect();
    rows.sort_by_key(|(operation, split)| (Fate::of(split), operation.template(), operation.method().as_str()));
    match page.format {
        Format::Json => {
            let rows: Vec<Value> = rows.iter().map(|(operation, split)| row(policy, operation, split)).collect();
            writeln!(page.out, "{}", json!({ "name": policy.name(), "operations": rows }))
        }
        Format::Human => told(page, policy, &rows),
    }
}

fn told(page: &mut Page<impl Write>, policy: &Policy, rows: &[(&Operation, Split)]) -> io::Result<()> {
    let mut counts: BTreeMap<Fate, usize> = BTreeMap::new();
    for (_, split) in rows {
        *counts.entry(Fate::of(split)).or_default() += 1;
    }
    let counts = counts.iter().map(|(fate, count)| format!("{count} {}", fate.as_str())).collect::<Vec<_>>();
    writeln!(page.out, "{}: {} operations: {}\n", policy.name(), rows.len(), counts.join(", "))?;
    for (operation, split) in rows {
        let fate = Fate::of(split);
        let part = if is_whole(split) { "" } else { "partly " };
        let word =
            fate.tone().paint(&format!("{:<14}", format!("{part}{}", fate.as_str())), page.coloured).into_owned();
        let path = printable(operation.template(), MOST);
        let by = reasons(policy, split);
        writeln!(page.out, "{word}  {:<6} {path}", operation.method().as_str())?;
        writeln!(page.out, "{:<14}  {}", "", Tone::Faint.paint(&format!("{}: {by}", operation.name()), page.coloured))?;
    }
    let by_name = |(_, split): &(&Operation, Split)| split.denies.iter().any(|touch| touch.share == Share::Named);
    if rows.iter().any(by_name) {
        writeln!(
            page.out,
            "\nA `{{name}}` whose value is denied at any depth, such as by `/**/users`, is denied as well."
        )?;
    }
    Ok(())
}

fn reasons(policy: &Policy, split: &Split) -> String {
    let rules = deciding(split);
    if rules.is_empty() {
        return lack(policy, split).to_owned();
    }
    let deny = |touch: &Touch| split.denies.contains(touch);
    let names = rules.iter().map(|touch| format!("{}{}", if deny(touch) { "not " } else { "" }, touch.rule.id()));
    match split.passage {
        Passage::Never => rules.iter().map(|touch| touch.rule.id()).collect::<Vec<_>>().join(", "),
        Passage::Read | Passage::Write => names.collect::<Vec<_>>().join(", "),
    }
}

pub(super) fn row(policy: &Policy, operation: &Operation, split: &Split) -> Value {
    let touches = |touches: &[Touch]| {
        let listed = touches.iter().filter(|touch| about(touch));
        let all = |touch: &Touch| match touch.share {
            Share::All => "all",
            Share::Some => "some",
            Share::Named => "named",
        };
        listed.map(|touch| json!({ "rule": touch.rule.id(), "line": touch.rule.line(), "paths": all(touch) })).collect()
    };
    let (allows, denies): (Vec<Value>, Vec<Value>) = (touches(&split.allows), touches(&split.denies));
    json!({
        "name": operation.name(),
        "method": operation.method().as_str(),
        "path": operation.template(),
        "verdict": Fate::of(split).as_str(),
        "whole": is_whole(split),
        "allow": allows,
        "deny": denies,
        "why": deciding(split).is_empty().then(|| lack(policy, split)),
        "confirm": split.confirm.map(|(least, most)| [least.as_str(), most.as_str()]),
    })
}
