//! Many patterns matched at once: one walk over the segments of a path, whatever the number of rules.
//!
//! Promises that a walk is bounded by the patterns that agree with the path so far, and that it allocates nothing per
//! pattern. A set of nodes is walked at once, since `*` and `**` let several patterns go on together.

pub(super) mod stepped;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::pattern::{Glob, Segment, denied_beginnings};

/// Patterns by number, in a tree over their segments.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    longest_literal: usize,
}

/// Every literal of every pattern has a number, so that a path's segment is looked up once and then compared as a
/// number.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    numbers: HashMap<Arc<str>, Symbol>,
    texts: Vec<Arc<str>>,
}

type Symbol = u32;
type NodeId = u32;

const ROOT: NodeId = 0;

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Symbol, NodeId>,
    globs: Globs,
    star: Option<NodeId>,
    /// After a `**` that is not the last segment: this node stays in the set, whatever comes.
    deep: Option<NodeId>,
    is_deep: bool,
    /// Patterns that end here.
    ends: Vec<u32>,
    /// Patterns that end in `**` after this node: one more segment, whatever it is and whatever follows.
    tails: Vec<u32>,
}

/// Globs of one node by what stands before their first and after their last `*`, so that only those whose ends fit
/// are looked at.
#[derive(Debug, Default)]
struct Globs {
    shapes: Vec<(usize, usize)>,
    by_ends: BTreeMap<(Symbol, Symbol), Vec<(Glob, NodeId)>>,
}

/// How a pattern in the tree is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// As an allow rule: the path itself.
    Exact,
    /// As a denial: the path, everything below, and names that go on after one of the ends of R5.
    Below,
}

/// One segment of the path that is walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'p> {
    text: &'p str,
    symbol: Option<Symbol>,
    /// Only a segment pattern with a single `*` may match it (R2.3).
    guarded: bool,
}

impl Step<'_> {
    /// Whether it was looked up for this text.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Lets every pattern match it.
    pub(super) fn unguard(&mut self) {
        self.guarded = false;
    }
}

impl Symbols {
    /// One segment, looked up.
    pub(super) fn step<'p>(&self, text: &'p str, guarded: bool) -> Step<'p> {
        Step { text, symbol: self.get(text), guarded }
    }

    fn get(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied()
    }

    fn insert(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.get(text) {
            return symbol;
        }
        let symbol = number(self.texts.len());
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, symbol);
        symbol
    }

    fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol as usize).map_or("", |text| text)
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], longest_literal: 0 }
    }
}

impl Trie {
    /// Adds a pattern.
    pub(super) fn add(&mut self, segments: &[Segment], pattern: u32, symbols: &mut Symbols) {
        let mut at = ROOT;
        let mut rest = segments;
        while let [segment, after @ ..] = rest {
            if *segment == Segment::Deep && after.is_empty() {
                return self.update(at, |node| node.tails.push(pattern));
            }
            at = self.child(at, segment, symbols);
            rest = after;
        }
        self.update(at, |node| node.ends.push(pattern));
    }

    /// The patterns that match the whole of a path. With `open`, the path is a deny form whose trailing `/` was dropped,
    /// so that it is tried with and without an empty last segment.
    pub(super) fn matching(
        &self,
        path: &[Step<'_>],
        open: bool,
        symbols: &Symbols,
        nodes: &mut Nodes,
        found: &mut Vec<u32>,
    ) {
        let mut walk = Walk::new(self, symbols, nodes);
        // A `**` at the end takes all that is left, so nothing that is left may be guarded.
        let free = path.iter().rposition(|step| step.guarded).map_or(0, |last| last + 1);
        for (index, step) in path.iter().enumerate() {
            if index >= free {
                walk.tails(found);
            }
            walk.take(step);
            if walk.is_over() {
                return;
            }
        }
        walk.ends(found);
        if open {
            walk.tails(found);
            walk.take(&symbols.step("", false));
            walk.ends(found);
        }
    }

    /// The patterns that, as denials, cover a path in deny form: itself, everything below what they name, and names that
    /// go on after one of the ends of R5.
    pub(super) fn covering(
        &self,
        path: &[Step<'_>],
        open: bool,
        symbols: &Symbols,
        nodes: &mut Nodes,
        found: &mut Vec<u32>,
    ) {
        let mut walk = Walk::new(self, symbols, nodes);
        walk.ends(found);
        for step in path {
            for beginning in denied_beginnings(step.text) {
                walk.named(beginning, found);
            }
            walk.take(step);
            walk.ends(found);
            if walk.is_over() {
                return;
            }
        }
        if open {
            walk.take(&symbols.step("", false));
            walk.ends(found);
        }
    }

    /// The patterns that match every path that some segments match; a pattern that is left out may do so too, where
    /// several `**` meet. In `narrow`, a `**` is any number of segments, none included, and stands after the `*` beside
    /// it.
    pub(super) fn including(&self, narrow: &[Segment], reach: Reach, symbols: &Symbols, found: &mut Vec<u32>) {
        let mut nodes = Nodes::default();
        let mut walk = Walk::new(self, symbols, &mut nodes);
        for (index, segment) in narrow.iter().enumerate() {
            if reach == Reach::Below {
                walk.ends(found);
            } else if narrow.iter().skip(index).any(|left| *left != Segment::Deep) {
                walk.tails(found);
            }
            match segment {
                Segment::Literal(text) => {
                    if reach == Reach::Below {
                        denied_beginnings(text).for_each(|beginning| walk.named(beginning, found));
                    }
                    walk.take(&symbols.step(text, false));
                }
                // Only a `*` of a wider pattern takes a `*`, which is in no literal.
                Segment::Glob(glob) => walk.take(&Step { text: &glob.to_string(), symbol: None, guarded: false }),
                Segment::Star => walk.take(&Step { text: "*", symbol: None, guarded: false }),
                Segment::Deep => walk.stay(),
            }
        }
        walk.ends(found);
    }

    /// Visits the patterns that share at least one path with these segments, some of them more than once, until the
    /// visitor has seen enough.
    pub(super) fn meeting(
        &self,
        segments: &[Segment],
        symbols: &Symbols,
        visit: &mut impl FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut seen: HashSet<(NodeId, usize)> = HashSet::new();
        let mut open = vec![(ROOT, 0)];
        // Where something is left of the segments, it is at least one segment: nothing to go on to from a leaf.
        let leads_on = |(child, index): &(NodeId, usize)| {
            *index == segments.len() || self.node(*child).is_some_and(|node| !node.is_leaf())
        };
        while let Some((at, index)) = open.pop() {
            if !seen.insert((at, index)) {
                continue;
            }
            let Some(node) = self.node(at) else { continue };
            open.extend(node.deep.map(|deep| (deep, index)));
            let Some(segment) = segments.get(index) else {
                node.ends.iter().try_for_each(|pattern| visit(*pattern))?;
                continue;
            };
            // Whatever is left of the pattern, it can be one segment and more.
            node.tails.iter().try_for_each(|pattern| visit(*pattern))?;
            if *segment == Segment::Deep {
                let last = index + 1 == segments.len();
                if !last {
                    open.push((at, index + 1));
                }
                open.extend(node.children().map(|child| (child, index)).filter(leads_on));
                if last {
                    // `**` at the end is one segment and then any number: it may stop after each child.
                    open.extend(node.children().map(|child| (child, index + 1)));
                    open.extend(node.is_deep.then_some((at, index + 1)));
                }
                continue;
            }
            open.extend(node.is_deep.then_some((at, index + 1)));
            open.extend(node.meeting(segment, symbols).map(|child| (child, index + 1)).filter(leads_on));
        }
        ControlFlow::Continue(())
    }

    fn node(&self, at: NodeId) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn update(&mut self, at: NodeId, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(at as usize) {
            change(node);
        }
    }

    fn child(&mut self, at: NodeId, segment: &Segment, symbols: &mut Symbols) -> NodeId {
        let new = number(self.nodes.len());
        let Some(node) = self.nodes.get_mut(at as usize) else { return at };
        let child = match segment {
            Segment::Literal(text) => {
                self.longest_literal = self.longest_literal.max(text.len());
                *node.literals.entry(symbols.insert(text)).or_insert(new)
            }
            Segment::Glob(glob) => node.globs.child(glob, new, symbols),
            Segment::Star => *node.star.get_or_insert(new),
            Segment::Deep => *node.deep.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node { is_deep: *segment == Segment::Deep, ..Node::default() });
        }
        child
    }
}

impl Node {
    fn children(&self) -> impl Iterator<Item = NodeId> {
        let globs = self.globs.by_ends.values().flatten().map(|(_, child)| *child);
        self.literals.values().copied().chain(globs).chain(self.star)
    }

    fn is_leaf(&self) -> bool {
        self.tails.is_empty() && self.deep.is_none() && !self.is_deep && self.children().next().is_none()
    }

    /// The children that share at least one text with a segment other than `**`.
    fn meeting<'n>(&'n self, segment: &'n Segment, symbols: &'n Symbols) -> Box<dyn Iterator<Item = NodeId> + 'n> {
        match segment {
            Segment::Literal(text) => {
                let literal = symbols.get(text).and_then(|symbol| self.literals.get(&symbol)).copied();
                let globs = self.globs.all().filter(|(glob, _)| glob.matches(text)).map(|(_, child)| *child);
                Box::new(literal.into_iter().chain(globs).chain(self.star))
            }
            Segment::Glob(glob) => {
                let literals = self.literals.iter().filter(|(symbol, _)| glob.matches(symbols.text(**symbol)));
                let literals = literals.map(|(_, child)| *child);
                let globs = self.globs.all().filter(|(other, _)| glob.meets(other)).map(|(_, child)| *child);
                Box::new(literals.chain(globs).chain(self.star))
            }
            Segment::Star | Segment::Deep => Box::new(self.children()),
        }
    }
}

impl Globs {
    fn all(&self) -> impl Iterator<Item = &(Glob, NodeId)> {
        self.by_ends.values().flatten()
    }

    fn child(&mut self, glob: &Glob, new: NodeId, symbols: &mut Symbols) -> NodeId {
        let ends = (symbols.insert(glob.prefix()), symbols.insert(glob.suffix()));
        let shape = (glob.prefix().len(), glob.suffix().len());
        if !self.shapes.contains(&shape) {
            self.shapes.push(shape);
        }
        let same = self.by_ends.entry(ends).or_default();
        if let Some((_, child)) = same.iter().find(|(other, _)| other == glob) {
            return *child;
        }
        same.push((glob.clone(), new));
        new
    }

    /// Calls `reach` with the child of every glob that matches.
    fn matching(&self, text: &str, symbols: &Symbols, mut reach: impl FnMut(NodeId)) {
        for (prefix, suffix) in &self.shapes {
            let Some(split) = text.len().checked_sub(*suffix).filter(|split| split >= prefix) else { continue };
            let ends = (
                text.get(..*prefix).and_then(|text| symbols.get(text)),
                text.get(split..).and_then(|text| symbols.get(text)),
            );
            let (Some(prefix), Some(suffix)) = ends else { continue };
            for (glob, child) in self.by_ends.get(&(prefix, suffix)).into_iter().flatten() {
                if glob.matches(text) {
                    reach(*child);
                }
            }
        }
    }
}

/// The nodes that a path has reached.
struct Walk<'t> {
    trie: &'t Trie,
    symbols: &'t Symbols,
    nodes: &'t mut Nodes,
}

/// What a walk writes on: one after another, walks share it.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    at: Vec<NodeId>,
    next: Vec<NodeId>,
}

impl<'t> Walk<'t> {
    fn new(trie: &'t Trie, symbols: &'t Symbols, nodes: &'t mut Nodes) -> Self {
        nodes.at.clear();
        nodes.next.clear();
        let mut walk = Self { trie, symbols, nodes };
        walk.reach(ROOT);
        std::mem::swap(&mut walk.nodes.at, &mut walk.nodes.next);
        walk
    }

    fn is_over(&self) -> bool {
        self.nodes.at.is_empty()
    }

    fn nodes(&self) -> impl Iterator<Item = (NodeId, &'t Node)> {
        self.nodes.at.iter().filter_map(|at| self.trie.node(*at).map(|node| (*at, node)))
    }

    fn ends(&self, found: &mut Vec<u32>) {
        self.nodes().for_each(|(_, node)| found.extend(&node.ends));
    }

    fn tails(&self, found: &mut Vec<u32>) {
        self.nodes().for_each(|(_, node)| found.extend(&node.tails));
    }

    /// Goes on by one segment.
    fn take(&mut self, step: &Step<'_>) {
        let (trie, symbols) = (self.trie, self.symbols);
        let mut before = std::mem::take(&mut self.nodes.at);
        for at in &before {
            let Some(node) = trie.node(*at) else { continue };
            if node.is_deep && !step.guarded {
                self.nodes.next.push(*at);
            }
            if let Some(child) = step.symbol.and_then(|symbol| node.literals.get(&symbol)) {
                self.reach(*child);
            }
            if let Some(child) = node.star {
                self.reach(child);
            }
            node.globs.matching(step.text, symbols, |child| self.reach(child));
        }
        self.nodes.next.sort_unstable();
        self.nodes.next.dedup();
        before.clear();
        self.nodes.at = std::mem::replace(&mut self.nodes.next, before);
    }

    /// Goes on by any number of segments: only after a `**` nothing is asked of them.
    fn stay(&mut self) {
        let trie = self.trie;
        self.nodes.at.retain(|at| trie.node(*at).is_some_and(|node| node.is_deep));
    }

    /// Reports the denials whose last segment is exactly this text.
    fn named(&self, text: &str, found: &mut Vec<u32>) {
        let symbol = (text.len() <= self.trie.longest_literal).then(|| self.symbols.get(text)).flatten();
        for (_, node) in self.nodes() {
            let literal = symbol.and_then(|symbol| node.literals.get(&symbol)).copied();
            let mut report = |child| found.extend(self.trie.node(child).into_iter().flat_map(|node| &node.ends));
            literal.into_iter().for_each(&mut report);
            node.globs.matching(text, self.symbols, report);
        }
    }

    /// Adds a node, and the one after a `**` that may be no segment at all.
    fn reach(&mut self, at: NodeId) {
        self.nodes.next.push(at);
        self.nodes.next.extend(self.trie.node(at).and_then(|node| node.deep));
    }
}

/// A count that fits: a policy file has at most 1 MiB.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use globset::GlobBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::pattern::Pattern;
    use crate::request::path::Path;

    /// What a pattern means, by R4.
    fn globset(text: &str, path: &str) -> bool {
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().unwrap();
        glob.compile_matcher().is_match(path)
    }

    /// What a denial means, by R5, of texts in deny form: some beginning of the path is what the denial names, and what
    /// follows is nothing, a segment below, or one of the ends.
    fn denial(text: &str, path: &str) -> bool {
        let mut name = text;
        while let Some(shorter) = name.strip_suffix("/**").or_else(|| name.strip_suffix('/')) {
            name = shorter;
        }
        let glob =
            GlobBuilder::new(name).literal_separator(true).backslash_escape(true).build().unwrap().compile_matcher();
        let cuts = path.match_indices(|c| "/.:(),@!~$'+=&*".contains(c)).map(|(at, _)| path.split_at(at).0);
        name.is_empty() || cuts.chain([path]).any(|beginning| glob.is_match(beginning))
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment =
            prop::sample::select(vec!["a", "b", "ab", "a.b", "*", "**", "a*", "*b", "a*b", "*a*", "a*a*a", "(a)"]);
        (prop::collection::vec(segment, 1..5), any::<bool>())
            .prop_map(|(segments, slash)| format!("/{}{}", segments.join("/"), if slash { "/" } else { "" }))
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "ab", "a.b", "aab", "aaa", "a:x", "a.b.c", "b~", "(a)", "x"]);
        (prop::collection::vec(segment, 0..6), any::<bool>()).prop_map(|(segments, slash)| {
            format!("/{}{}", segments.join("/"), if slash && !segments.is_empty() { "/" } else { "" })
        })
    }

    fn numbers(patterns: &[Pattern], form: impl Fn(&Pattern) -> &[Segment]) -> (Trie, Symbols) {
        let (mut trie, mut symbols) = (Trie::default(), Symbols::default());
        for (number, pattern) in (0..).zip(patterns) {
            trie.add(form(pattern), number, &mut symbols);
        }
        (trie, symbols)
    }

    fn meets(trie: &Trie, pattern: &Pattern, symbols: &Symbols) -> bool {
        trie.meeting(pattern.segments(), symbols, &mut |_| ControlFlow::Break(())).is_break()
    }

    fn sorted(mut found: Vec<u32>) -> Vec<u32> {
        found.sort_unstable();
        found.dedup();
        found
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_globset_makes_of_it(texts in prop::collection::vec(pattern(), 1..8), path in path()) {
            let patterns: Vec<Pattern> = texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
            let (trie, symbols) = numbers(&patterns, Pattern::segments);
            let parsed = Path::parse(&path).unwrap();
            let steps: Vec<Step<'_>> = parsed.segments().map(|text| symbols.step(text, false)).collect();
            let mut found = Vec::new();
            trie.matching(&steps, false, &symbols, &mut Nodes::default(), &mut found);
            let expected: Vec<u32> = (0..).zip(&texts).filter(|(_, text)| globset(text, &path)).map(|(at, _)| at).collect();
            prop_assert_eq!(sorted(found), expected, "{:?} on {}", texts, path);
        }

        #[test]
        fn a_denial_covers_what_r5_says(texts in prop::collection::vec(pattern(), 1..8), path in path()) {
            let patterns: Vec<Pattern> = texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
            let (trie, symbols) = numbers(&patterns, Pattern::denied);
            let parsed = Path::parse(&path).unwrap();
            let form = &parsed.deny_forms()[0];
            let steps: Vec<Step<'_>> = form.segments().iter().map(|text| symbols.step(text, false)).collect();
            let mut found = Vec::new();
            trie.covering(&steps, path.ends_with('/'), &symbols, &mut Nodes::default(), &mut found);
            let expected = (0..).zip(&texts).filter(|(_, text)| denial(text, &path) || denial(text, path.trim_end_matches('/')));
            let expected: Vec<u32> = expected.map(|(at, _)| at).collect();
            prop_assert_eq!(sorted(found), expected, "{:?} on {}", texts, path);
        }

        #[test]
        fn patterns_that_match_one_path_meet(one in pattern(), other in pattern(), path in path()) {
            let (one, other) = (Pattern::parse(&one).unwrap(), Pattern::parse(&other).unwrap());
            if globset(one.text(), &path) && globset(other.text(), &path) {
                let (trie, symbols) = numbers(std::slice::from_ref(&one), Pattern::segments);
                prop_assert!(meets(&trie, &other, &symbols), "{} and {} on {}", one.text(), other.text(), path);
            }
        }
    }

    #[test]
    fn patterns_without_a_common_path_do_not_meet() {
        for (one, other) in
            [("/a", "/b"), ("/a", "/a/b"), ("/a/**", "/a"), ("/*/x", "/*/y"), ("/**/x", "/**/y"), ("/a*", "/b*")]
        {
            let pattern = Pattern::parse(one).unwrap();
            let (trie, symbols) = numbers(&[pattern], Pattern::segments);
            assert!(!meets(&trie, &Pattern::parse(other).unwrap(), &symbols), "{one} and {other}");
        }
    }
}
