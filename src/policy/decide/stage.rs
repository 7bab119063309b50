//! The decision about paths, one segment after another: what the rules say of every path with a common beginning.
//!
//! Promises the very sets of rules that the decision finds for a path without encoded reserved characters. A path with
//! them has several readings, and nothing here is about it.

use super::{Rules, Target, effect, grant};
use crate::policy::pattern::denied_beginnings;
use crate::policy::rule::{Allow, Deny, Methods};
use crate::policy::trie::stepped::{Label, Place};
use crate::policy::trie::{Nodes, Trie};
use crate::policy::verdict::{Effect, Grant, RuleRef};
use crate::request::method::Method;

/// One segment that is not empty, as it is written and in deny form.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Spelling<'t> {
    pub(in crate::policy) canonical: &'t str,
    pub(in crate::policy) folded: &'t str,
}

/// What is known of the paths with one beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::policy) struct Stage {
    canonical: Place,
    folded: Place,
    denied_canonical: Place,
    denied: Place,
    /// Allow paths that match whatever follows, as it is written and in deny form.
    written: Vec<u32>,
    about: Vec<u32>,
    /// Deny rules about it that ask for a name in the query.
    named: Vec<usize>,
    /// The methods with which it is denied whatever the query holds.
    closed: Methods,
}

/// What the labels of the next segment are for.
#[derive(Debug, Default)]
pub(in crate::policy) struct Labels<'t> {
    pub(in crate::policy) canonical: Vec<Label<'t>>,
    pub(in crate::policy) folded: Vec<Label<'t>>,
    pub(in crate::policy) denied_canonical: Vec<Label<'t>>,
    pub(in crate::policy) denied: Vec<Label<'t>>,
}

/// Whether a path ends in a slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::policy) enum End {
    /// It does not.
    Bare,
    /// It does; the root does too.
    Slash,
}

/// Every rule that is about a whole path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::policy) struct About {
    written: Vec<Target>,
    matching: Vec<Target>,
    named: Vec<usize>,
    closed: Methods,
}

impl Stage {
    /// Whether no path with this beginning is granted with one of the methods.
    pub(in crate::policy) fn is_hopeless(&self, methods: Methods) -> bool {
        self.closed.contains_all(methods) || (self.canonical.is_over() && self.written.is_empty())
    }

    /// How much there is to remember and to look at.
    pub(in crate::policy) fn weight(&self) -> u64 {
        let places = [&self.canonical, &self.folded, &self.denied_canonical, &self.denied];
        let nodes: usize = places.into_iter().map(Place::len).sum();
        u64::try_from(nodes + self.written.len() + self.about.len() + self.named.len()).unwrap_or(u64::MAX)
    }

    /// Forgets what makes no difference where each of these methods is denied.
    pub(in crate::policy) fn settle(&mut self, methods: Methods) {
        if self.closed.contains_all(methods) {
            *self = Self { closed: Methods::ALL, ..Self::default() };
        }
    }
}

impl Rules {
    /// Before the first segment.
    pub(in crate::policy) fn begin(&self) -> Stage {
        let mut stage = Stage {
            canonical: self.canonical.begin(),
            folded: self.folded.begin(),
            denied_canonical: self.denied_canonical.begin(),
            denied: self.denied.begin(),
            ..Stage::default()
        };
        self.close(&mut stage);
        stage
    }

    /// After one more segment.
    pub(in crate::policy) fn after(&self, stage: &Stage, segment: Spelling<'_>, nodes: &mut Nodes) -> Stage {
        let Spelling { canonical, folded } = segment;
        let (mut written, mut about, mut found) = (stage.written.clone(), stage.about.clone(), Vec::new());
        self.canonical.tails(&stage.canonical, &mut written);
        self.folded.tails(&stage.folded, &mut about);
        let mut named = |trie: &Trie, place: &Place, text| {
            for beginning in denied_beginnings(text) {
                trie.named(place, beginning, &self.symbols, nodes, &mut found);
            }
        };
        named(&self.denied_canonical, &stage.denied_canonical, canonical);
        named(&self.denied, &stage.denied, folded);
        let mut go = |trie: &Trie, place, text| trie.after(place, text, &self.symbols, nodes);
        let mut next = Stage {
            canonical: go(&self.canonical, &stage.canonical, canonical),
            folded: go(&self.folded, &stage.folded, folded),
            denied_canonical: go(&self.denied_canonical, &stage.denied_canonical, canonical),
            denied: go(&self.denied, &stage.denied, folded),
            written: each_once(written),
            about: each_once(about),
            named: stage.named.clone(),
            closed: stage.closed,
        };
        self.deny_all(&mut next, found);
        self.close(&mut next);
        next
    }

    /// What the next segment is compared with.
    pub(in crate::policy) fn labels<'r>(&'r self, stage: &Stage, into: &mut Labels<'r>) {
        into.canonical.extend(self.canonical.labels(&stage.canonical, &self.symbols));
        into.folded.extend(self.folded.labels(&stage.folded, &self.symbols));
        into.denied_canonical.extend(self.denied_canonical.labels(&stage.denied_canonical, &self.symbols));
        into.denied.extend(self.denied.labels(&stage.denied, &self.symbols));
    }

    /// Every rule about the path that ends here.
    pub(in crate::policy) fn ended(&self, stage: &Stage, end: End, nodes: &mut Nodes) -> About {
        let mut last = stage.clone();
        self.folded.ends(&stage.folded, &mut last.about);
        match end {
            End::Bare => self.canonical.ends(&stage.canonical, &mut last.written),
            End::Slash => {
                // As it is written, an empty segment follows; a deny form is tried with it and without.
                let mut go = |trie: &Trie, place| trie.after(place, "", &self.symbols, nodes);
                self.canonical.tails(&stage.canonical, &mut last.written);
                self.canonical.ends(&go(&self.canonical, &stage.canonical), &mut last.written);
                self.folded.tails(&stage.folded, &mut last.about);
                self.folded.ends(&go(&self.folded, &stage.folded), &mut last.about);
                last.denied_canonical = go(&self.denied_canonical, &stage.denied_canonical);
                last.denied = go(&self.denied, &stage.denied);
                self.close(&mut last);
            }
        }
        let mut matching = last.written.clone();
        matching.append(&mut last.about);
        let (mut written, mut matching) = (self.targets(&mut last.written), self.targets(&mut matching));
        [&mut written, &mut matching].into_iter().for_each(most_specific_of_each);
        About { written, matching, named: last.named, closed: last.closed }
    }

    /// The rules that grant a path with a method if their constraints hold.
    pub(in crate::policy) fn granting_with<'r>(
        &'r self,
        about: &'r About,
        method: Method,
    ) -> impl Iterator<Item = &'r Allow> {
        let rules = about.written.iter().filter_map(|target| self.allows.get(target.rule));
        rules.filter(move |rule| rule.methods.contains(method) && !self.is_shut(about, method))
    }

    /// The rules that deny a path with a method for a name in the query.
    pub(in crate::policy) fn denying_with<'r>(
        &'r self,
        about: &'r About,
        method: Method,
    ) -> impl Iterator<Item = &'r Deny> {
        let rules = about.named.iter().filter_map(|rule| self.denies.get(*rule));
        rules.filter(move |rule| rule.methods.contains(method))
    }

    /// What has to be observed if a rule grants a path with a method.
    pub(in crate::policy) fn obligations(&self, about: &About, method: Method, rule: &RuleRef) -> Grant {
        let mut matching = self.by_rule(about.matching.clone());
        let effect = effect(method, &matching);
        matching.retain(|(rule, _)| rule.methods.contains(method));
        grant(effect, rule.clone(), &matching)
    }

    /// An allow rule by its name.
    pub(in crate::policy) fn allow(&self, name: &RuleRef) -> Option<&Allow> {
        self.allows.get(name.index()).filter(|rule| rule.name == *name)
    }

    /// Whether some path that goes on with this segment may be granted.
    pub(in crate::policy) fn leads_on(&self, stage: &Stage, canonical: &str, nodes: &mut Nodes) -> bool {
        let mut tails = Vec::new();
        self.canonical.tails(&stage.canonical, &mut tails);
        !stage.written.is_empty()
            || !tails.is_empty()
            || !self.canonical.after(&stage.canonical, canonical, &self.symbols, nodes).is_over()
    }

    /// The methods that some allow rule names.
    pub(in crate::policy) fn methods(&self) -> Methods {
        let mut methods = Methods::default();
        self.allows.iter().flat_map(|rule| rule.methods.iter()).for_each(|method| methods.insert(method));
        methods
    }

    fn is_shut(&self, about: &About, method: Method) -> bool {
        about.closed.contains(method)
            || (!self.writes && effect(method, &self.by_rule(about.matching.clone())) == Effect::Write)
    }

    /// Notes the denials that end here.
    fn close(&self, stage: &mut Stage) {
        let mut found = Vec::new();
        self.denied_canonical.ends(&stage.denied_canonical, &mut found);
        self.denied.ends(&stage.denied, &mut found);
        self.deny_all(stage, found);
    }

    fn deny_all(&self, stage: &mut Stage, found: Vec<u32>) {
        for target in found.into_iter().filter_map(|number| self.deny_paths.get(number as usize)) {
            let Some(rule) = self.denies.get(target.rule) else { continue };
            if rule.names.is_some() {
                stage.named.push(target.rule);
            } else {
                rule.methods.iter().for_each(|method| stage.closed.insert(method));
            }
        }
        stage.named = each_once(std::mem::take(&mut stage.named));
        let closed = stage.closed;
        // What is denied anyway makes no difference.
        let open = |rule: &usize| self.denies.get(*rule).is_some_and(|rule| !closed.contains_all(rule.methods));
        stage.named.retain(open);
    }
}

fn each_once<T: Ord>(mut numbers: Vec<T>) -> Vec<T> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn most_specific_of_each(paths: &mut Vec<Target>) {
    paths.sort_unstable_by_key(|path| (path.rule, std::cmp::Reverse(path.rank)));
    paths.dedup_by_key(|path| path.rule);
}
