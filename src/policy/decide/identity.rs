//! Rules compared as they stand, but for their names, their order and what is written for people.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Rules, Target};
use crate::policy::rule::{Allow, BodyLimit, Methods, QueryLimit};
use crate::policy::spec::Rate;
use crate::policy::verdict::{Channel, Confirm, Effect, Preview, Values};
use crate::request::encoded::Encoded;

/// An allow rule without its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Face<'r> {
    paths: Vec<&'r str>,
    methods: Methods,
    effect: Option<Effect>,
    query: &'r QueryLimit,
    body: &'r BodyLimit,
    encoded: Encoded,
    asks: (Confirm, Channel, Preview, bool, Values),
    credential: Option<&'r str>,
    rate: Option<Rate>,
}

impl Face<'_> {
    /// Whether a request that the rule grants sheds nothing when this rule is about it as well.
    fn adds_nothing_lenient(&self, rule: &Allow) -> bool {
        let (.., values) = self.asks;
        self.encoded == Encoded::NONE && values >= rule.values && self.credential == rule.credential.as_deref()
    }

    /// Whether a request that the rule grants sheds nothing when this rule is no longer about it.
    fn asks_no_more_than(&self, rule: &Allow) -> bool {
        let (confirm, channel, preview, idempotency_key, _) = self.asks;
        self.rate.is_none()
            && self.effect.is_none()
            && rule.effect.is_none()
            && self.credential == rule.credential.as_deref()
            && confirm <= rule.confirm
            && channel <= rule.channel
            && preview <= rule.preview
            && idempotency_key <= rule.idempotency_key
    }
}

/// A deny rule without its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bar<'r> {
    paths: Vec<&'r str>,
    methods: Methods,
    names: Option<&'r [Box<str>]>,
}

impl Rules {
    /// Whether these are the allow rules of the others, under all of their denials: then they let nothing more through,
    /// as far as credentials of the same name are the same.
    pub(in crate::policy) fn are_those_of(&self, others: &Self) -> bool {
        let denied: HashSet<Bar<'_>> = self.bars().collect();
        (others.writes || !self.writes)
            && counted(self.faces()) == counted(others.faces())
            && others.bars().all(|bar| denied.contains(&bar))
    }

    /// Whether a path with encoded reserved characters may be granted.
    pub(in crate::policy) fn take_encoded(&self) -> bool {
        self.allows.iter().any(|rule| rule.encoded != Encoded::NONE)
    }

    /// Whether no path with encoded reserved characters is let through more widely than by the others, as far as that
    /// can be told from the rules alone, and as far as credentials of the same name are the same.
    ///
    /// Every reading of such a path counts, so that any rule may be about it. But whatever grants one is about it as well:
    /// where those rules are the others' too, and each rule that came or went asks for no more than they do, only
    /// denials are left to compare.
    pub(in crate::policy) fn take_no_more_encoded_than(&self, others: &Self) -> bool {
        let granting: Vec<&Allow> = self.allows.iter().filter(|rule| rule.encoded != Encoded::NONE).collect();
        let denied: HashSet<Bar<'_>> = self.bars().collect();
        let (own, theirs): (HashSet<Face<'_>>, HashSet<Face<'_>>) = (self.faces().collect(), others.faces().collect());
        let came = own.difference(&theirs).all(|face| granting.iter().all(|rule| face.adds_nothing_lenient(rule)));
        let went = theirs.difference(&own).all(|face| granting.iter().all(|rule| face.asks_no_more_than(rule)));
        (others.writes || !self.writes) && came && went && others.bars().all(|bar| denied.contains(&bar))
    }

    /// The names of the credentials that rules choose, and the one that is meant where they choose none.
    pub(in crate::policy) fn credentials(&self) -> impl Iterator<Item = Option<&str>> {
        self.allows.iter().map(|rule| rule.credential.as_deref())
    }

    fn faces(&self) -> impl Iterator<Item = Face<'_>> {
        let mut paths = grouped(&self.allow_paths, &self.allow_texts);
        self.allows.iter().enumerate().map(move |(index, rule)| Face {
            paths: paths.remove(&index).unwrap_or_default(),
            methods: rule.methods,
            effect: rule.effect,
            query: &rule.query,
            body: &rule.body,
            encoded: rule.encoded,
            asks: (rule.confirm, rule.channel, rule.preview, rule.idempotency_key, rule.values),
            credential: rule.credential.as_deref(),
            rate: rule.rate,
        })
    }

    fn bars(&self) -> impl Iterator<Item = Bar<'_>> {
        let mut paths = grouped(&self.deny_paths, &self.deny_texts);
        self.denies.iter().enumerate().map(move |(index, rule)| Bar {
            paths: paths.remove(&index).unwrap_or_default(),
            methods: rule.methods,
            names: rule.names.as_deref(),
        })
    }
}

fn grouped<'r>(targets: &[Target], texts: &'r [Arc<str>]) -> HashMap<usize, Vec<&'r str>> {
    let mut paths: HashMap<usize, Vec<&str>> = HashMap::new();
    for (target, text) in targets.iter().zip(texts) {
        paths.entry(target.rule).or_default().push(text);
    }
    paths.values_mut().for_each(|paths| paths.sort_unstable());
    paths
}

fn counted<T: Eq + std::hash::Hash>(all: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    all.for_each(|one| *counts.entry(one).or_insert(0) += 1);
    counts
}
