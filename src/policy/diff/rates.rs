//! Whether what one policy lets through in a time is bounded by what the other does.

use std::collections::HashMap;

use super::compare::Sides;
use crate::policy::spec::Rate;
use crate::policy::verdict::{Effect, Grant, RuleRef};

/// The most calls that a bucket lets through at once.
const MAX_BURST: u32 = 1_000;

/// A bucket of NEW that may bound what a bucket of OLD bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Rule(usize),
    Calls,
    Writes,
}

/// For each rule of OLD with a rate, what bounds its requests in NEW as tightly, whichever of them it is so far.
#[derive(Debug, Default)]
pub(super) struct Rates {
    bounds: HashMap<usize, Vec<Bucket>>,
}

impl Rates {
    /// Looks at requests that both let through. Gives the rules of OLD whose rate is no longer kept by any one rate of NEW.
    pub(super) fn look(&mut self, sides: Sides<'_>, old: &Grant, new: &Grant) -> Vec<RuleRef> {
        let mut unbound = Vec::new();
        for index in old.rates() {
            let Some((rule, rate)) = sides.old.rules().get(*index).and_then(|rule| Some((rule, rule.rate()?))) else {
                continue;
            };
            let here = buckets(sides, new, rate);
            let bounds = self.bounds.entry(*index).or_insert_with(|| here.clone());
            bounds.retain(|bucket| here.contains(bucket));
            if bounds.is_empty() {
                unbound.push(rule.name.clone());
            }
        }
        unbound
    }
}

/// The buckets that NEW charges for the requests and that are no looser than the rate.
fn buckets(sides: Sides<'_>, new: &Grant, rate: Rate) -> Vec<Bucket> {
    let rules = sides.new.rules();
    let kept = |index: &&usize| rules.get(**index).and_then(|rule| rule.rate()).is_some_and(|own| is_within(own, rate));
    let mut buckets: Vec<Bucket> = new.rates().iter().filter(kept).map(|index| Bucket::Rule(*index)).collect();
    let limits = sides.new.limits();
    if is_slower(limits.rate, rate) && limits.burst <= burst(rate) {
        buckets.push(Bucket::Calls);
    }
    if new.effect() == Effect::Write && is_within(limits.writes, rate) {
        buckets.push(Bucket::Writes);
    }
    buckets
}

/// Whether a rate lets through no more than another, at once and in the long run.
pub(super) fn is_within(rate: Rate, other: Rate) -> bool {
    is_slower(rate, other) && burst(rate) <= burst(other)
}

/// Whether a rate lets through no more than another in the long run.
pub(super) fn is_slower(rate: Rate, other: Rate) -> bool {
    let share = |rate: Rate, other: Rate| u128::from(rate.count.get()) * other.per.as_nanos();
    share(rate, other) <= share(other, rate)
}

fn burst(rate: Rate) -> u32 {
    rate.count.get().min(MAX_BURST)
}
