//! The decision: one request against every rule, and the reason, in one pass.
//!
//! Promises: a deny always wins; without a rule the answer is no; the order of rules changes nothing; the work grows
//! with the rules that are about the path, not with the number of rules. Nothing here can fail.

use super::pattern::Rank;
use super::rule::{Allow, Deny, Written};
use super::trie::{Step, Symbols, Trie};
use super::verdict::{Authorized, Confirm, Denial, DenyReason, Effect, Grant, Held, RuleRef, Verdict};
use crate::request::Request;
use crate::request::encoded::Encoded;
use crate::request::method::Method;

/// The rules of a policy, ready to judge.
#[derive(Debug)]
pub(super) struct Rules {
    writes: bool,
    allows: Vec<Allow>,
    denies: Vec<Deny>,
    /// Allow paths as canonical text and in deny form, and deny paths in deny form; each path has one number.
    canonical: Trie,
    folded: Trie,
    denied: Trie,
    symbols: Symbols,
    allow_paths: Vec<Target>,
    deny_paths: Vec<Target>,
}

/// The rule that a path belongs to.
#[derive(Debug, Clone, Copy)]
struct Target {
    rule: usize,
    rank: Rank,
}

impl Rules {
    pub(super) fn new(writes: bool, allows: Vec<Written<Allow>>, denies: Vec<Written<Deny>>) -> Self {
        let mut rules = Self {
            writes,
            allows: Vec::with_capacity(allows.len()),
            denies: Vec::with_capacity(denies.len()),
            canonical: Trie::default(),
            folded: Trie::default(),
            denied: Trie::default(),
            symbols: Symbols::default(),
            allow_paths: Vec::new(),
            deny_paths: Vec::new(),
        };
        for written in allows {
            for path in &written.paths {
                let number = u32::try_from(rules.allow_paths.len()).unwrap_or(u32::MAX);
                rules.canonical.add(path.pattern.segments(), number, &mut rules.symbols);
                rules.folded.add(path.pattern.folded(), number, &mut rules.symbols);
                rules.allow_paths.push(Target { rule: rules.allows.len(), rank: path.pattern.rank() });
            }
            rules.allows.push(written.rule);
        }
        for written in denies {
            for path in &written.paths {
                let number = u32::try_from(rules.deny_paths.len()).unwrap_or(u32::MAX);
                rules.denied.add(path.pattern.denied(), number, &mut rules.symbols);
                rules.deny_paths.push(Target { rule: rules.denies.len(), rank: path.pattern.rank() });
            }
            rules.denies.push(written.rule);
        }
        rules
    }

    /// Whether some rule could let a request with this method through.
    pub(super) fn could_send(&self, method: Method) -> bool {
        let mut rules = self.allows.iter().filter(|rule| rule.methods.contains(method));
        rules.any(|rule| self.writes || rule.effect_of(method) == Effect::Read)
    }

    pub(super) fn judge(&self, request: Request) -> Verdict {
        match self.weigh(&request) {
            Ok(grant) => match (grant.effect, grant.confirm) {
                (Effect::Write, Confirm::Each | Confirm::Typed) => Verdict::Hold(Held::new(request, grant)),
                (Effect::Write, Confirm::Never) | (Effect::Read, _) => Verdict::Allow(Authorized::new(request, grant)),
            },
            Err((reason, rule)) => Verdict::Deny(Denial::new(request, reason, rule)),
        }
    }

    /// The verdict's five steps.
    fn weigh(&self, request: &Request) -> Result<Grant, (DenyReason, Option<RuleRef>)> {
        let (denied, matching) = self.walk_folded(request);
        if let Some(deny) = denied {
            return Err((DenyReason::Rule { reason: deny.reason.clone() }, Some(deny.name.clone())));
        }
        let matching = self.by_rule(matching, |rule| rule.methods.contains(request.method()));
        let effect = effect(request.method(), &matching);
        if effect == Effect::Write && !self.writes {
            return Err((DenyReason::WritesOff, None));
        }
        let rule = self.granting(request, &matching)?;
        Ok(Grant {
            effect,
            rule,
            obligations: matching.iter().map(|(rule, _)| rule.name.clone()).collect(),
            rates: matching.iter().filter(|(rule, _)| rule.rate.is_some()).map(|(rule, _)| rule.name.index()).collect(),
            credential: most_specific(matching.iter().copied()).and_then(|rule| rule.credential.clone()),
            confirm: matching.iter().map(|(rule, _)| rule.confirm).max().unwrap_or(Confirm::Typed),
        })
    }

    /// The deny rule that covers the request, and the allow paths that match it in deny form, in every reading of it.
    fn walk_folded(&self, request: &Request) -> (Option<&Deny>, Vec<Target>) {
        let path = request.path();
        let open = path.canonical().ends_with('/') || !path.encoded().is_empty();
        let (mut denied, mut found) = (None::<(Rank, &Deny)>, Vec::new());
        let (mut steps, mut numbers) = (Vec::with_capacity(16), Vec::with_capacity(16));
        for form in path.deny_forms() {
            steps.clear();
            steps.extend(form.segments().iter().map(|segment| self.symbols.step(segment, false)));
            self.denied.covering(&steps, open, &self.symbols, &mut numbers);
            for target in numbers.drain(..).filter_map(|number| self.deny_paths.get(number as usize)) {
                let Some(rule) = self.denies.get(target.rule).filter(|rule| rule.is_about(request)) else { continue };
                if denied.is_none_or(|(rank, best)| (target.rank, best.name.id()) > (rank, rule.name.id())) {
                    denied = Some((target.rank, rule));
                }
            }
            self.folded.matching(&steps, open, &self.symbols, &mut numbers);
            found.extend(numbers.drain(..).filter_map(|number| self.allow_paths.get(number as usize)));
        }
        (denied.map(|(_, rule)| rule), found)
    }

    /// The allow paths that match the canonical path.
    fn walk_canonical(&self, request: &Request) -> Vec<Target> {
        let path = request.path();
        let plain = path.encoded().is_empty();
        let guarded = |segment: &str| !plain && !Encoded::in_canonical(segment).is_empty();
        let steps: Vec<Step<'_>> =
            path.segments().map(|segment| self.symbols.step(segment, guarded(segment))).collect();
        let mut numbers = Vec::with_capacity(16);
        self.canonical.matching(&steps, false, &self.symbols, &mut numbers);
        numbers.into_iter().filter_map(|number| self.allow_paths.get(number as usize).copied()).collect()
    }

    /// The rules of these paths, each once, with the most specific path that matched.
    fn by_rule(&self, mut paths: Vec<Target>, keep: impl Fn(&Allow) -> bool) -> Vec<(&Allow, Rank)> {
        paths.sort_unstable_by_key(|path| (path.rule, std::cmp::Reverse(path.rank)));
        paths.dedup_by_key(|path| path.rule);
        let rules = paths.into_iter().filter_map(|path| self.allows.get(path.rule).map(|rule| (rule, path.rank)));
        rules.filter(|(rule, _)| keep(rule)).collect()
    }

    /// The most specific rule that grants the request, or why the one that came closest does not.
    ///
    /// INVARIANT (what grants is among what matches): a rule whose canonical text matches while its deny form does not,
    /// as `/v1.*` and the path `/v1.`, grants nothing, since its obligations would be lost.
    fn granting(
        &self,
        request: &Request,
        matching: &[(&Allow, Rank)],
    ) -> Result<RuleRef, (DenyReason, Option<RuleRef>)> {
        let about = self.by_rule(self.walk_canonical(request), |_| true);
        let (mut asked, other): (Vec<_>, Vec<_>) =
            about.into_iter().partition(|(rule, _)| rule.methods.contains(request.method()));
        let index = |rule: &Allow| rule.name.index();
        asked.retain(|(rule, _)| matching.binary_search_by_key(&index(rule), |(rule, _)| index(rule)).is_ok());
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

/// A read is a GET or HEAD that no matching rule calls a write, or a request that every matching rule calls a read.
fn effect(method: Method, matching: &[(&Allow, Rank)]) -> Effect {
    let says = |effect| move |(rule, _): &(&Allow, Rank)| rule.effect == Some(effect);
    let read = match method {
        Method::Get | Method::Head => !matching.iter().any(says(Effect::Write)),
        Method::Post | Method::Put | Method::Patch | Method::Delete => {
            !matching.is_empty() && matching.iter().all(says(Effect::Read))
        }
    };
    if read { Effect::Read } else { Effect::Write }
}

fn most_specific<'r>(rules: impl Iterator<Item = (&'r Allow, Rank)>) -> Option<&'r Allow> {
    rules.max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.name.id().cmp(a.name.id()))).map(|(rule, _)| rule)
}
