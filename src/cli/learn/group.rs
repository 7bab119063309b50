//! Requests that one rule let through in one way, and what of them a rule for just these has to hold.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::covers;
use crate::cli::logged::{Decided, Logged};
use crate::cli::out::counted;
use crate::policy::{Channel, Confirm, Effect, Grant, Policy, Preview, Rate, RuleRef, Values};

/// How often a path was asked for, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) first: String,
    pub(super) last: String,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        if self.first.is_empty() || (!other.first.is_empty() && other.first < self.first) {
            self.first.clone_from(&other.first);
        }
        if other.last > self.last {
            self.last.clone_from(&other.last);
        }
    }

    /// In a comment.
    pub(super) fn words(&self) -> String {
        let day = |time: &str| time.get(..10).unwrap_or(time).to_owned();
        let (first, last) = (day(&self.first), day(&self.last));
        let calls = counted(self.count, "call");
        if first == last { format!("{calls}, {first}") } else { format!("{calls}, {first} to {last}") }
    }
}

/// What stood in the bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bodies {
    /// There was none.
    None,
    /// Objects with these members.
    Members(BTreeSet<String>),
    /// An array among them, which no list of members lets through.
    Arrays,
}

/// What was asked of the requests: with another one in force they would be another rule's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demands {
    /// `None` of reads.
    pub(super) approval: Option<Approval>,
    pub(super) credential: Option<String>,
    /// The lowest of the rates.
    pub(super) rate: Option<Rate>,
    /// What the log tells of them.
    pub(super) values: Values,
}

/// What was asked of writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approval {
    pub(super) confirm: Confirm,
    pub(super) channel: Channel,
    pub(super) preview: Preview,
    pub(super) idempotency_key: bool,
}

/// The requests.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The rule that granted them; `None` where report mode let them through.
    pub(super) rule: Option<(RuleRef, Demands)>,
    pub(super) method: String,
    /// Those that a pattern can name.
    pub(super) paths: BTreeMap<String, Seen>,
    /// Calls whose paths no pattern can name, but a `*` of a rule with `encoded`.
    pub(super) unnamed: Seen,
    pub(super) names: BTreeSet<String>,
    pub(super) bodies: Bodies,
}

impl Group {
    /// The group of a request that a rule grants, and its name: equal for requests that may share a rule.
    pub(super) fn of(grant: &Grant, logged: &Logged, policy: &Policy) -> (String, Self) {
        let rates = grant.rates().iter().filter_map(|index| policy.rules().get(*index)?.rate());
        let a_day = |rate: &Rate| u128::from(rate.count.get()) * 86_400_000 / rate.per.as_millis().max(1);
        let approval = match grant.effect() {
            Effect::Read => None,
            Effect::Write => Some(Approval {
                confirm: grant.confirm(),
                channel: grant.channel(),
                preview: grant.preview(),
                idempotency_key: grant.idempotency_key(),
            }),
        };
        let asked = Demands {
            approval,
            credential: grant.credential().map(str::to_owned),
            rate: rates.min_by_key(a_day),
            values: grant.values(),
        };
        let rule = grant.rule().clone();
        let name = format!("{:>6} {} {asked:?}", rule.index(), logged.method);
        (name, Self::new(Some((rule, asked)), logged))
    }

    /// The group of a request that report mode let through.
    pub(super) fn reported(logged: &Logged) -> Option<(String, Self)> {
        if logged.decided != Decided::Reported {
            return None;
        }
        let first = logged.path.split('/').nth(1).unwrap_or_default();
        Some((format!("reported {} {first}", logged.method), Self::new(None, logged)))
    }

    fn new(rule: Option<(RuleRef, Demands)>, logged: &Logged) -> Self {
        let (paths, names) = (BTreeMap::new(), BTreeSet::new());
        Self { rule, method: logged.method.clone(), paths, unnamed: Seen::default(), names, bodies: Bodies::None }
    }

    pub(super) fn take(&mut self, logged: &Logged) {
        let seen = Seen { count: 1, first: logged.time.clone(), last: logged.time.clone() };
        match self.paths.get_mut(&logged.path) {
            Some(path) => path.add(&seen),
            None if is_nameable(&logged.path) => drop(self.paths.insert(logged.path.clone(), seen)),
            // Of these no rule is made, so that they say nothing of what one has to hold.
            None => return self.unnamed.add(&seen),
        }
        self.names.extend(logged.query.iter().map(|(name, _)| name.clone()));
        let Some(body) = &logged.body else { return };
        let names = body.names.iter().filter_map(|pair| pair.first().cloned());
        match (&mut self.bodies, body.array) {
            (_, true) => self.bodies = Bodies::Arrays,
            (Bodies::Arrays, false) => {}
            (Bodies::None, false) => self.bodies = Bodies::Members(names.collect()),
            (Bodies::Members(members), false) => members.extend(names),
        }
    }

    /// The rule that granted them, by its name.
    pub(super) fn granted_by(&self) -> Option<&str> {
        self.rule.as_ref().map(|(rule, _)| rule.id())
    }

    /// The name of a rule for it.
    pub(super) fn id(&self) -> String {
        let (first, method) = (self.paths.keys().next(), self.method.to_ascii_lowercase());
        let part = |path: &String| path.split('/').nth(1).unwrap_or_default().to_ascii_lowercase();
        match &self.rule {
            Some((rule, _)) => rule.id().to_owned(),
            None => {
                let text = first.map(part).unwrap_or_default();
                let text: String = text
                    .chars()
                    .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
                    .take(40)
                    .collect();
                format!("seen-{method}-{}", text.trim_matches('-'))
            }
        }
    }
}

/// Whether a pattern can be the path: none spells out what can be read in two ways.
fn is_nameable(path: &str) -> bool {
    covers(path, path)
}
