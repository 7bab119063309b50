//! How the rules split the requests of one path template: which of them are about all of those requests, which about some.
//!
//! Promises that a rule which it leaves out is about none of them, and that what it calls [`Share::All`] is about each.
//! Between the two it may say [`Share::Some`] of a rule that is about all or none. Pure, like the decision beside it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::passage::{Passage, Template, makes_write};
use super::{Rules, Target};
use crate::policy::pattern::{Segment, denied_beginnings};
use crate::policy::rule::{Allow, RuleKind};
use crate::policy::trie::{Reach, Trie};
use crate::policy::verdict::{Confirm, Effect, RuleRef};
use crate::request::method::Method;

/// What a policy makes of the requests of one method and path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// How they could pass.
    pub passage: Passage,
    /// The allow rules about some of them, with this method or without, in the order of the file.
    pub allows: Vec<Touch>,
    /// The deny rules about some of them, in the order of the file.
    pub denies: Vec<Touch>,
    /// Of those that pass as writes, the least and the most that a person is asked for; `None` where none passes as one.
    pub confirm: Option<(Confirm, Confirm)>,
}

/// A rule, and how many of the requests it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Which.
    pub rule: RuleRef,
    /// Whether it is about the method.
    pub method: Mention,
    /// Whether its paths hold all of theirs.
    pub share: Share,
}

/// Whether a rule lists a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mention {
    /// It does.
    Listed,
    /// It does not.
    Other,
}

/// How many of some requests a rule is about, by their paths; its constraints are not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Those in which a variable is itself a name that is denied wherever it stands, as `/**/users` does; perhaps none. Nearly
    /// every template with a variable has such requests, and nobody makes them.
    Named,
    /// Some of them, perhaps.
    Some,
    /// Each.
    All,
}

impl Rules {
    pub(in crate::policy) fn split(&self, method: Method, template: &str) -> Split {
        let mut split =
            Split { passage: self.passage(method, template), allows: Vec::new(), denies: Vec::new(), confirm: None };
        let Some(template) = Template::parse(template) else { return split };
        let allows = self.allowing(&template);
        split.allows = touches(&allows, |place| {
            let rule = self.allows.get(place)?;
            Some((rule.name.clone(), rule.methods.contains(method)))
        });
        split.denies = touches(&self.denying(&template), |place| {
            let rule = self.denies.get(place)?;
            Some((rule.name.clone(), rule.methods.contains(method)))
        });
        for touch in &mut split.denies {
            let names = self.denies.iter().any(|rule| rule.name == touch.rule && rule.names.is_some());
            touch.share = if names { touch.share.min(Share::Some) } else { touch.share };
        }
        split.confirm = (split.passage == Passage::Write).then(|| self.confirm(method, &allows));
        split
    }

    /// The places of allow rules that share a path with the template, as it is written or in another reading.
    fn allowing(&self, template: &Template) -> BTreeMap<usize, Share> {
        let mut found = BTreeMap::new();
        let open = template.open();
        let forms = [(&self.canonical, &template.written), (&self.folded, &template.folded)];
        for (trie, segments) in forms.into_iter().chain(open.iter().map(|open| (&self.folded, open))) {
            self.note(trie, segments, &self.allow_paths, &mut found, RuleKind::Allow);
        }
        let mut whole = Vec::new();
        self.canonical.including(&template.written, Reach::Exact, &self.symbols, &mut whole);
        found.extend(whole.into_iter().filter_map(|number| Some((rule_of(&self.allow_paths, number)?, Share::All))));
        found
    }

    /// The places of deny rules that cover a path of the template.
    fn denying(&self, template: &Template) -> BTreeMap<usize, Share> {
        let mut found = BTreeMap::new();
        let mut whole = Vec::new();
        let open = template.open();
        let forms = [(&self.denied_canonical, &template.written), (&self.denied, &template.folded)];
        for (trie, segments) in forms.into_iter().chain(open.iter().map(|open| (&self.denied, open))) {
            for prefix in above(segments) {
                self.note(trie, &prefix, &self.deny_paths, &mut found, RuleKind::Deny);
            }
            trie.including(segments, Reach::Below, &self.symbols, &mut whole);
        }
        found.extend(whole.into_iter().filter_map(|number| Some((rule_of(&self.deny_paths, number)?, Share::All))));
        found
    }

    /// Notes the rules that share a path with these segments.
    fn note(
        &self,
        trie: &Trie,
        segments: &[Segment],
        paths: &[Target],
        found: &mut BTreeMap<usize, Share>,
        kind: RuleKind,
    ) {
        let mut visit = |number: u32| {
            if let Some(target) = paths.get(number as usize) {
                let named = kind == RuleKind::Deny && target.rank.begins_with_wildcard();
                let share = if named { Share::Named } else { Share::Some };
                let before = found.entry(target.rule).or_insert(share);
                *before = share.max(*before);
            }
            ControlFlow::Continue(())
        };
        match trie.meeting(segments, &self.symbols, &mut visit) {
            ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
        }
    }

    /// The least and the most confirmation among writes of these rules.
    fn confirm(&self, method: Method, found: &BTreeMap<usize, Share>) -> (Confirm, Confirm) {
        let asked = |least: Share| {
            let rules = found.iter().filter(move |(_, share)| **share >= least);
            let rules = rules.filter_map(|(place, _)| self.allows.get(*place));
            rules.filter(move |rule| rule.methods.contains(method)).map(|rule| rule.confirm)
        };
        let most = asked(Share::Some).max().unwrap_or(Confirm::Typed);
        let least = asked(Share::All).max().or_else(|| asked(Share::Some).min()).unwrap_or(Confirm::Never);
        (least, most)
    }

    /// The writes that some request could pass as, by method and path of the rules that list them.
    pub(in crate::policy) fn writes(&self) -> impl Iterator<Item = (&RuleRef, Method)> {
        let rules = self.allows.iter().filter(|_| self.writes);
        rules.flat_map(|rule: &Allow| {
            let writes = move |method: &Method| rule.effect_of(*method) == Effect::Write || makes_write(rule, *method);
            rule.methods.iter().filter(writes).map(move |method| (&rule.name, method))
        })
    }
}

fn rule_of(paths: &[Target], number: u32) -> Option<usize> {
    paths.get(number as usize).map(|target| target.rule)
}

fn touches(found: &BTreeMap<usize, Share>, rule: impl Fn(usize) -> Option<(RuleRef, bool)>) -> Vec<Touch> {
    let touch = |(place, share): (&usize, &Share)| {
        let (rule, listed) = rule(*place)?;
        Some(Touch { rule, method: if listed { Mention::Listed } else { Mention::Other }, share: *share })
    };
    found.iter().filter_map(touch).collect()
}

/// What a denial may name so that it covers these segments: themselves, what stands above them, and the beginnings of
/// their names.
fn above(segments: &[Segment]) -> Vec<Vec<Segment>> {
    let mut all = vec![Vec::new()];
    for (index, segment) in segments.iter().enumerate() {
        let before = segments.get(..index).unwrap_or_default();
        let with = |last: Segment| before.iter().cloned().chain([last]).collect::<Vec<_>>();
        if let Segment::Literal(text) = segment {
            all.extend(denied_beginnings(text).map(|beginning| with(Segment::Literal(beginning.into()))));
        }
        all.push(with(segment.clone()));
    }
    all
}
