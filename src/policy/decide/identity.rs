//! Rules compared as they stand, but for their names, their order and what is written for people.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Rules, Target};
use crate::policy::rule::{BodyLimit, Methods, QueryLimit};
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
