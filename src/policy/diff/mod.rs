//! Whether one policy lets anything through that another does not: an exact answer, with a request to show for it.
//!
//! Promises that "no wider" is said only where it is so, and that every request in the answer was decided by the
//! decision itself; where neither can be had within the budget it says that it does not know. What "wider" means is in
//! docs/policy-diff.md. Pure, like the decision.

mod class;
mod compare;
mod example;
mod letters;
#[cfg(test)]
mod model;
mod rates;
mod redact;
mod room;
mod search;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod words;

pub use self::example::Example;

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use self::compare::Sides;
use super::Policy;
use super::verdict::RuleRef;

/// The most widenings that are told.
pub const MOST_WIDENINGS: usize = 500;

/// What a comparison may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Looks at a segment or a piece of one; to remember something costs many of them.
    pub steps: u64,
}

impl Budget {
    /// For ordinary policies, some hundreds of rules each, with much to spare; a few seconds.
    pub const ORDINARY: Self = Self { steps: 30_000_000 };
}

/// What came of comparing two policies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Comparison {
    /// Whatever NEW lets through, OLD lets through, and asks for no more.
    NoWider,
    /// NEW lets through what OLD does not, or asks for less: the settings first, then requests, the shortest first; for
    /// each rule of NEW and each kind one, and at most [`MOST_WIDENINGS`] of requests.
    Wider(Widenings),
    /// It could not be told.
    Undecided,
}

/// In what NEW is wider than OLD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widenings {
    found: Vec<Widening>,
    rest: Rest,
}

/// What there is beside what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// Nobody can tell.
    Unknown,
}

/// One thing in which NEW is wider than OLD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widening {
    /// What kind of thing.
    pub kind: Kind,
    /// The key of the policy, where it is a setting: `limits.rate`.
    pub key: Option<&'static str>,
    /// The rule of NEW, where it is about requests.
    pub rule: Option<RuleRef>,
    /// The rule of OLD that stood in the way, if there was one.
    pub old_rule: Option<RuleRef>,
    /// How it was; no secret.
    pub was: String,
    /// How it is; no secret.
    pub is: String,
    /// A request that shows it, where it is about requests.
    pub example: Option<Example>,
}

/// In what way a policy is wider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Report mode lets reads through for longer.
    Report,
    /// Requests, or the gateway's word to them, go elsewhere: `[upstream]`.
    Upstream,
    /// A request that was denied is let through.
    Passes,
    /// A request that was denied waits for a person, who may let it through.
    Held,
    /// A request that waited for a person is let through.
    Unasked,
    /// A request that counted as a write counts as a read.
    Effect,
    /// A person is asked in a more lenient way.
    Confirm,
    /// A person may answer in a more lenient place.
    Channel,
    /// A person is shown less.
    Preview,
    /// A write no longer carries a key by which the API knows a repetition.
    IdempotencyKey,
    /// A request is sent with another credential.
    Credential,
    /// Requests that a rule's rate bounded are bounded less.
    Rate,
    /// The log tells less of a request.
    Log,
    /// `[limits]` let more through.
    Limits,
    /// `[confirm]` is more lenient.
    Confirmation,
    /// `[response]` shows the agent more.
    Response,
    /// `[audit]` promises less, or sends the log elsewhere.
    Audit,
}

impl Kind {
    /// Stable name, for machines and people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Upstream => "upstream",
            Self::Passes => "passes",
            Self::Held => "held",
            Self::Unasked => "unasked",
            Self::Effect => "effect",
            Self::Confirm => "confirm",
            Self::Channel => "channel",
            Self::Preview => "preview",
            Self::IdempotencyKey => "idempotency-key",
            Self::Credential => "credential",
            Self::Rate => "rate",
            Self::Log => "log",
            Self::Limits => "limits",
            Self::Confirmation => "confirmation",
            Self::Response => "response",
            Self::Audit => "audit",
        }
    }
}

/// Whether NEW is wider than OLD, and in what.
pub fn widening(old: &Policy, new: &Policy, budget: Budget) -> Comparison {
    let sides = Sides { old, new };
    let mut found = settings::widenings(old, new);
    let mut is_complete = true;
    if !(new.rules.are_those_of(&old.rules) && sides.share_credentials()) {
        let mut steps = Steps { left: budget.steps };
        let mut outcome = search::search(sides, &mut steps);
        outcome.found.sort_by_cached_key(Widening::order);
        // A path with encoded reserved characters can be read in several ways, and the search is about none of them; nor is it
        // about what report mode lets through where a denial is gone, or a rule that called it a write.
        let is_kept = || new.rules.take_no_more_encoded_than(&old.rules) && sides.share_credentials();
        is_complete = outcome.is_complete && (!new.rules.take_encoded() || is_kept()) && new.report_until().is_none();
        if !outcome.is_complete && outcome.found.is_empty() {
            outcome.found = search::plainest(sides);
            outcome.found.sort_by_cached_key(Widening::order);
        }
        found.append(&mut outcome.found);
    }
    match (found.is_empty(), is_complete) {
        (false, _) => {
            let is_all = is_complete && found.len() < MOST_WIDENINGS;
            let rest = if is_all { Rest::Nothing } else { Rest::Unknown };
            Comparison::Wider(Widenings { found, rest })
        }
        (true, true) => Comparison::NoWider,
        (true, false) => Comparison::Undecided,
    }
}

impl Widenings {
    /// Whether that is all.
    #[must_use]
    pub fn rest(&self) -> Rest {
        self.rest
    }
}

impl Deref for Widenings {
    type Target = [Widening];

    fn deref(&self) -> &Self::Target {
        &self.found
    }
}

impl Widening {
    fn of_rule(
        kind: Kind,
        rule: RuleRef,
        old_rule: Option<RuleRef>,
        was: String,
        is: String,
        example: Example,
    ) -> Self {
        Self { kind, key: None, rule: Some(rule), old_rule, was, is, example: Some(example) }
    }

    fn of_setting(kind: Kind, key: &'static str, was: String, is: String) -> Self {
        Self { kind, key: Some(key), rule: None, old_rule: None, was, is, example: None }
    }

    /// By the length of its example, then by rule and kind.
    fn order(&self) -> (usize, usize, usize, Kind) {
        let path = self.example.as_ref().map_or("", |example| &example.path);
        (path.matches('/').count(), path.len(), self.rule.as_ref().map_or(0, RuleRef::index), self.kind)
    }
}

/// What is left of a budget.
#[derive(Debug)]
struct Steps {
    left: u64,
}

impl Steps {
    /// `None` when not so many are left.
    fn take(&mut self, steps: u64) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }
}
