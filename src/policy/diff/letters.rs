//! Labels of one segment, character by character: which of them a text matches, and which of them its beginnings.

use std::collections::BTreeMap;

use crate::policy::pattern::{DENY_ENDS, Glob};
use crate::policy::trie::stepped::Label;

/// Many labels at once, in a tree over their characters.
#[derive(Debug)]
pub(super) struct Letters {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    next: BTreeMap<char, u32>,
    /// After a `*`: this node stays, whatever comes.
    star: Option<u32>,
    is_star: bool,
    /// The number of the label that ends here, and whether a denial has it.
    ends: Option<(u32, Side)>,
    /// A label without `*` ends here.
    is_literal: bool,
}

/// Whose label it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Of allow rules alone: only the whole segment counts.
    Allow,
    /// Of a denial: a beginning before one of the ends of R5 counts as well.
    Deny,
}

/// What the labels say of the text so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    at: Vec<u32>,
    /// Labels of denials that match a beginning.
    begun: Vec<u32>,
}

/// What the labels say of a whole text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hits {
    whole: Vec<u32>,
    begun: Vec<u32>,
}

impl Reading {
    /// How much there is to keep and to go on from.
    pub(super) fn weight(&self) -> u64 {
        (self.at.len() + self.begun.len()) as u64
    }
}

impl Letters {
    pub(super) fn new<'t>(labels: impl Iterator<Item = (Label<'t>, Side)>) -> Self {
        let mut letters = Self { nodes: vec![Node::default()] };
        for (number, (label, side)) in (0..).zip(labels) {
            letters.add(number, label, side);
        }
        letters
    }

    pub(super) fn begin(&self) -> Reading {
        let mut at = vec![0];
        at.extend(self.nodes.first().and_then(|node| node.star));
        Reading { at, begun: Vec::new() }
    }

    /// Reads one more character.
    pub(super) fn read(&self, reading: &mut Reading, character: char) {
        if DENY_ENDS.contains(character) {
            let denied = |at: &u32| self.node(*at).and_then(|node| node.ends).filter(|(_, side)| *side == Side::Deny);
            let found: Vec<u32> = reading.at.iter().filter_map(denied).map(|(label, _)| label).collect();
            if !found.is_empty() {
                reading.begun.extend(found);
                reading.begun.sort_unstable();
                reading.begun.dedup();
            }
        }
        let mut next = Vec::with_capacity(reading.at.len());
        for at in &reading.at {
            let Some(node) = self.node(*at) else { continue };
            if node.is_star {
                next.push(*at);
            }
            if let Some(child) = node.next.get(&character) {
                next.push(*child);
                next.extend(self.node(*child).and_then(|node| node.star));
            }
        }
        next.sort_unstable();
        next.dedup();
        reading.at = next;
    }

    /// The characters that make a difference here.
    pub(super) fn awaited(&self, reading: &Reading) -> Vec<char> {
        let nodes = reading.at.iter().filter_map(|at| self.node(*at));
        let mut awaited: Vec<char> = nodes.flat_map(|node| node.next.keys().copied()).collect();
        awaited.sort_unstable();
        awaited.dedup();
        awaited
    }

    pub(super) fn hits(&self, reading: &Reading) -> Hits {
        let ends = reading.at.iter().filter_map(|at| self.node(*at).and_then(|node| node.ends));
        let mut whole: Vec<u32> = ends.map(|(label, _)| label).collect();
        whole.sort_unstable();
        Hits { whole, begun: reading.begun.clone() }
    }

    /// Whether the text is that of a label without `*`.
    pub(super) fn is_literal(&self, reading: &Reading) -> bool {
        reading.at.iter().filter_map(|at| self.node(*at)).any(|node| node.is_literal)
    }

    fn add(&mut self, number: u32, label: Label<'_>, side: Side) {
        let at = match label {
            Label::Literal(text) => text.chars().fold(0, |at, character| self.child(at, character)),
            Label::Glob(glob) => self.glob(glob),
        };
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        node.is_literal |= matches!(label, Label::Literal(_));
        // The same text may be of a denial and of an allow rule.
        let side = match (node.ends, side) {
            (Some((_, Side::Deny)), _) | (_, Side::Deny) => Side::Deny,
            (Some((_, Side::Allow)) | None, Side::Allow) => Side::Allow,
        };
        let number = node.ends.map_or(number, |(first, _)| first);
        node.ends = Some((number, side));
    }

    fn glob(&mut self, glob: &Glob) -> u32 {
        let mut at = 0;
        for (index, piece) in glob.pieces().enumerate() {
            if index > 0 {
                at = self.star(at);
            }
            at = piece.chars().fold(at, |at, character| self.child(at, character));
        }
        at
    }

    fn child(&mut self, at: u32, character: char) -> u32 {
        let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let Some(node) = self.nodes.get_mut(at as usize) else { return at };
        let child = *node.next.entry(character).or_insert(new);
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }

    fn star(&mut self, at: u32) -> u32 {
        let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let Some(node) = self.nodes.get_mut(at as usize) else { return at };
        let child = *node.star.get_or_insert(new);
        if child == new {
            self.nodes.push(Node { is_star: true, ..Node::default() });
        }
        child
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }
}
