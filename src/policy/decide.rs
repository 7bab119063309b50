//! The decision: one request against every rule, and the reason, in one pass.
//!
//! Promises: a deny always wins; without a rule the answer is no; the order of rules changes nothing; the work grows
//! with the rules that are about the path, not with the number of rules. Nothing here can fail.

pub(super) mod considered;
mod identity;
mod opened;
pub(super) mod passage;
pub(super) mod split;
pub(super) mod stage;

use std::sync::Arc;

use self::passage::makes_write;
use super::bond::Bond;
use super::pattern::Rank;
use super::rule::{Allow, Deny, Written};
use super::trie::{Nodes, Step, Symbols, Trie};
use super::verdict::{
    Authorized, Channel, Confirm, Denial, DenyReason, Effect, Grant, Held, Preview, RuleRef, Verdict,
};
use crate::request::Request;
use crate::request::encoded::Encoded;
use crate::request::method::Method;

/// The rules of a policy, ready to judge.
#[derive(Debug)]
pub(super) struct Rules {
    writes: bool,
    /// Whether report mode may let a read through that no rule grants.
    reports: bool,
    allows: Vec<Allow>,
    denies: Vec<Deny>,
    /// Allow paths and deny paths, each as canonical text and in deny form; each path has one number.
    canonical: Trie,
    folded: Trie,
    denied_canonical: Trie,
    denied: Trie,
    symbols: Symbols,
    allow_paths: Vec<Target>,
    deny_paths: Vec<Target>,
    /// The same paths as text.
    allow_texts: Vec<Arc<str>>,
    deny_texts: Vec<Arc<str>>,
}

/// Every rule that is about a path.
struct Found {
    /// Allow paths that match as it is written, or in deny form.
    matching: Vec<Target>,
    /// Those that match as it is written.
    written: Vec<Target>,
}

/// The rule that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target {
    rule: usize,
    rank: Rank,
}

impl Rules {
    pub(super) fn new(writes: bool, allows: Vec<Written<Allow>>, denies: Vec<Written<Deny>>) -> Self {
        let mut rules = Self {
            writes,
            reports: false,
            allows: Vec::with_capacity(allows.len()),
            denies: Vec::with_capacity(denies.len()),
            canonical: Trie::default(),
            folded: Trie::default(),
            denied_canonical: Trie::default(),
            denied: Trie::default(),
            symbols: Symbols::default(),
            allow_paths: Vec::new(),
            deny_paths: Vec::new(),
            allow_texts: Vec::new(),
            deny_texts: Vec::new(),
        };
        for written in allows {
            for path in &written.paths {
                let number = u32::try_from(rules.allow_paths.len()).unwrap_or(u32::MAX);
                rules.canonical.add(path.pattern.segments(), number, &mut rules.symbols);
                rules.folded.add(path.pattern.folded(), number, &mut rules.symbols);
                rules.allow_paths.push(Target { rule: rules.allows.len(), rank: path.pattern.rank() });
                rules.allow_texts.push(path.pattern.text().into());
            }
            rules.allows.push(written.rule);
        }
        for written in denies {
            for path in &written.paths {
                let number = u32::try_from(rules.deny_paths.len()).unwrap_or(u32::MAX);
                rules.denied_canonical.add(path.pattern.denied_as_written(), number, &mut rules.symbols);
                rules.denied.add(path.pattern.denied(), number, &mut rules.symbols);
                rules.deny_paths.push(Target { rule: rules.denies.len(), rank: path.pattern.rank() });
                rules.deny_texts.push(path.pattern.text().into());
            }
            rules.denies.push(written.rule);
        }
        rules
    }

    /// The same rules, beside which report mode may let reads through.
    pub(super) fn reporting(self) -> Self {
        Self { reports: true, ..self }
    }

    pub(super) fn is_read_only(&self) -> bool {
        !self.writes
    }

    /// Every value that some rule lists for a name of the query.
    pub(super) fn listed_values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r str> {
        let lists = self.allows.iter().flat_map(|rule| &rule.query.values).filter(move |(listed, _)| **listed == *name);
        lists.flat_map(|(_, values)| values).map(|value| &**value)
    }

    /// Whether some rule could let a request with this method through.
    pub(super) fn could_send(&self, method: Method) -> bool {
        let mut rules = self.allows.iter().filter(|rule| rule.methods.contains(method));
        let reported = self.reports && matches!(method, Method::Get | Method::Head);
        reported || rules.any(|rule| self.writes || rule.effect_of(method) == Effect::Read)
    }

    /// Whether some request with this method could pass as a write.
    pub(super) fn could_write(&self, method: Method) -> bool {
        let mut rules = self.allows.iter().filter(|rule| rule.methods.contains(method));
        self.writes && rules.any(|rule| rule.effect_of(method) == Effect::Write)
    }

    /// Whether some request could be held for a person who may answer at the desk. Rules with a method in common are taken
    /// to share a path, so that one of them may make the write, another ask, and a third choose the channel.
    pub(super) fn could_hold(&self) -> bool {
        let could = |method| {
            let about = || self.allows.iter().filter(move |rule| rule.methods.contains(method));
            let asking = || about().filter(|rule| rule.confirm != Confirm::Never);
            let anywhere = asking().any(|rule| rule.channel == Channel::Any);
            let at_desk = asking().next().is_some() && about().any(|rule| rule.channel == Channel::Desk);
            self.allows.iter().any(|rule| makes_write(rule, method)) && (anywhere || at_desk)
        };
        self.writes && Method::ALL.into_iter().any(could)
    }

    pub(super) fn judge(&self, request: Request, bond: impl FnOnce() -> Bond) -> Verdict {
        match self.weigh(&request) {
            Ok(grant) => match (grant.effect, grant.confirm) {
                (Effect::Write, Confirm::Each | Confirm::Typed) => Verdict::Hold(Held::new(request, grant, bond())),
                (Effect::Write, Confirm::Never) | (Effect::Read, _) => Verdict::Allow(Authorized::new(request, grant)),
            },
            Err((reason, rule)) => Verdict::Deny(Denial::new(request, reason, rule)),
        }
    }

    /// The verdict's five steps. What matches is what matches in deny form or as it is written, so that what grants is
    /// always among what matches, and its obligations hold.
    pub(in crate::policy) fn weigh(&self, request: &Request) -> Result<Grant, (DenyReason, Option<RuleRef>)> {
        let mut denied = None;
        let Found { matching, written } = self.walk(request, |target| self.deny(request, target, &mut denied));
        if let Some((_, deny)) = denied {
            return Err((DenyReason::Rule { reason: deny.reason.clone() }, Some(deny.name.clone())));
        }
        let mut matching = self.by_rule(matching);
        let effect = effect(request.method(), &matching);
        if effect == Effect::Write && !self.writes {
            return Err((DenyReason::WritesOff, None));
        }
        matching.retain(|(rule, _)| rule.methods.contains(request.method()));
        let rule = self.granting(request, self.by_rule(written))?;
        Ok(grant(effect, rule, &matching))
    }

    /// What a request has to observe that `rule` lets through, though no rule of the policy grants it; `None` where a rule
    /// denies it.
    pub(super) fn grant_to(&self, request: &Request, rule: RuleRef) -> Option<Grant> {
        let mut denied = None;
        let Found { matching, .. } = self.walk(request, |target| self.deny(request, target, &mut denied));
        let mut matching = self.by_rule(matching);
        let effect = effect(request.method(), &matching);
        matching.retain(|(rule, _)| rule.methods.contains(request.method()));
        denied.is_none().then(|| grant(effect, rule, &matching))
    }

    /// Every rule that is about the path: allow paths, as it is written and in every reading of it, and deny paths, which
    /// are shown as they are found, some of them more than once.
    fn walk(&self, request: &Request, mut deny: impl FnMut(Target)) -> Found {
        let path = request.path();
        let (mut nodes, mut numbers) = (Nodes::default(), Vec::with_capacity(16));
        let mut denials = |numbers: &mut Vec<u32>| {
            let targets = numbers.drain(..).filter_map(|number| self.deny_paths.get(number as usize));
            targets.copied().for_each(&mut deny);
        };
        let plain = path.encoded().is_empty();
        let guarded = |segment: &str| !plain && !Encoded::in_canonical(segment).is_empty();
        let mut written: Vec<Step<'_>> =
            path.segments().map(|segment| self.symbols.step(segment, guarded(segment))).collect();
        self.canonical.matching(&written, false, &self.symbols, &mut nodes, &mut numbers);
        let exact = self.targets(&mut numbers);
        let mut matching = exact.clone();
        written.iter_mut().for_each(Step::unguard);
        self.denied_canonical.covering(&written, false, &self.symbols, &mut nodes, &mut numbers);
        denials(&mut numbers);
        let open = path.canonical().ends_with('/') || !plain;
        let mut steps = Vec::with_capacity(written.len());
        for form in path.deny_forms() {
            steps.clear();
            steps.extend(form.segments().iter().enumerate().map(|(index, text)| match written.get(index) {
                Some(step) if step.is(text) => *step,
                Some(_) | None => self.symbols.step(text, false),
            }));
            self.denied.covering(&steps, open, &self.symbols, &mut nodes, &mut numbers);
            denials(&mut numbers);
            self.folded.matching(&steps, open, &self.symbols, &mut nodes, &mut numbers);
            matching.append(&mut self.targets(&mut numbers));
        }
        Found { matching, written: exact }
    }

    fn targets(&self, numbers: &mut Vec<u32>) -> Vec<Target> {
        numbers.drain(..).filter_map(|number| self.allow_paths.get(number as usize).copied()).collect()
    }

    /// Keeps the most specific denial that is about the request.
    fn deny<'r>(&'r self, request: &Request, target: Target, denied: &mut Option<(Rank, &'r Deny)>) {
        let Some(rule) = self.denies.get(target.rule).filter(|rule| rule.is_about(request)) else { return };
        if denied.is_none_or(|(rank, best)| (target.rank, best.name.id()) > (rank, rule.name.id())) {
            *denied = Some((target.rank, rule));
        }
    }

    /// The rules of these paths, each once, with the most specific path that matched.
    fn by_rule(&self, mut paths: Vec<Target>) -> Vec<(&Allow, Rank)> {
        paths.sort_unstable_by_key(|path| (path.rule, std::cmp::Reverse(path.rank)));
        paths.dedup_by_key(|path| path.rule);
        paths.into_iter().filter_map(|path| self.allows.get(path.rule).map(|rule| (rule, path.rank))).collect()
    }

    /// The most specific of the rules about the path that grants the request, or why the one that came closest does not.
    fn granting(
        &self,
        request: &Request,
        about: Vec<(&Allow, Rank)>,
    ) -> Result<RuleRef, (DenyReason, Option<RuleRef>)> {
        let (asked, other): (Vec<_>, Vec<_>) =
            about.into_iter().partition(|(rule, _)| rule.methods.contains(request.method()));
        let granting = asked.iter().copied().filter(|(rule, _)| rule.refuses(request).is_none());
        if let Some(rule) = most_specific(granting) {
            return Ok(rule.name.clone());
        }
        if let Some(rule) = most_specific(asked.into_iter()) {
            let reason = rule.refuses(request).unwrap_or(DenyReason::NoRule);
            return Err((reason, Some(rule.name.clone())));
        }
        match most_specific(other.into_iter()) {
            Some(rule) => Err((DenyReason::Method { method: request.method() }, Some(rule.name.clone()))),
            None => Err((DenyReason::NoRule, None)),
        }
    }
}

/// What the rules that match by method and path ask for.
fn grant(effect: Effect, rule: RuleRef, matching: &[(&Allow, Rank)]) -> Grant {
    let strictest = strictest(matching);
    Grant {
        effect,
        rule,
        obligations: matching.iter().map(|(rule, _)| rule.name.clone()).collect(),
        rates: matching.iter().filter(|(rule, _)| rule.rate.is_some()).map(|(rule, _)| rule.name.index()).collect(),
        credential: most_specific(matching.iter().copied()).and_then(|rule| rule.credential.clone()),
        confirm: strictest.map_or(Confirm::Typed, |(_, confirm)| confirm),
        channel: matching.iter().map(|(rule, _)| rule.channel).max().unwrap_or(Channel::Desk),
        preview: matching.iter().map(|(rule, _)| rule.preview).max().unwrap_or(Preview::Yes),
        idempotency_key: matching.iter().any(|(rule, _)| rule.idempotency_key),
        values: matching.iter().map(|(rule, _)| rule.values).min().unwrap_or_default(),
        strictest: strictest.map_or(0, |(place, _)| place),
        reported: None,
    }
}

/// A read is a GET or HEAD that no matching rule calls a write, or a request that every matching rule calls a read. What
/// is said of GET holds for HEAD as well, since servers answer it by the same code.
fn effect(method: Method, about: &[(&Allow, Rank)]) -> Effect {
    let said =
        |method| about.iter().filter(move |(rule, _)| rule.methods.contains(method)).map(|(rule, _)| rule.effect);
    let read = match method {
        Method::Get => said(Method::Get).all(|effect| effect != Some(Effect::Write)),
        Method::Head => said(Method::Get).chain(said(Method::Head)).all(|effect| effect != Some(Effect::Write)),
        Method::Post | Method::Put | Method::Patch | Method::Delete => {
            said(method).next().is_some() && said(method).all(|effect| effect == Some(Effect::Read))
        }
    };
    if read { Effect::Read } else { Effect::Write }
}

/// The place of the rule with the strictest confirmation, among several of the most specific, and what it asks for.
fn strictest(matching: &[(&Allow, Rank)]) -> Option<(usize, Confirm)> {
    let strictest = matching.iter().enumerate().max_by(|(_, (a, x)), (_, (b, y))| {
        a.confirm.cmp(&b.confirm).then_with(|| x.cmp(y)).then_with(|| b.name.id().cmp(a.name.id()))
    });
    strictest.map(|(place, (rule, _))| (place, rule.confirm))
}

fn most_specific<'r>(rules: impl Iterator<Item = (&'r Allow, Rank)>) -> Option<&'r Allow> {
    rules.max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.name.id().cmp(a.name.id()))).map(|(rule, _)| rule)
}
