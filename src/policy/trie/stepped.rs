//! A walk that can stop at any segment and go on from there, for whoever looks at many paths with a common beginning.
//!
//! Promises the very steps of [`Trie::matching`] and [`Trie::covering`] on paths without encoded reserved characters.

use super::{Node, NodeId, Nodes, ROOT, Symbols, Trie, Walk};
use crate::policy::pattern::Glob;

/// The nodes that a beginning of a path has reached, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::policy) struct Place(Vec<NodeId>);

/// What the next segment is compared with at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::policy) enum Label<'t> {
    /// This text.
    Literal(&'t str),
    /// Text around one or more `*`.
    Glob(&'t Glob),
}

impl Place {
    /// How many nodes.
    pub(in crate::policy) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no pattern goes on from here or ends here.
    pub(in crate::policy) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

impl Trie {
    /// Before the first segment.
    pub(in crate::policy) fn begin(&self) -> Place {
        let deep = self.node(ROOT).and_then(|node| node.deep);
        Place([ROOT].into_iter().chain(deep).collect())
    }

    /// After one more segment.
    pub(in crate::policy) fn after(&self, place: &Place, text: &str, symbols: &Symbols, nodes: &mut Nodes) -> Place {
        let mut walk = Walk::resumed(self, place, symbols, nodes);
        walk.take(&symbols.step(text, false));
        Place(walk.nodes.at.clone())
    }

    /// The patterns that end here.
    pub(in crate::policy) fn ends(&self, place: &Place, found: &mut Vec<u32>) {
        self.at(place).for_each(|node| found.extend(&node.ends));
    }

    /// The patterns that end in `**` here: one more segment, and they match whatever follows.
    pub(in crate::policy) fn tails(&self, place: &Place, found: &mut Vec<u32>) {
        self.at(place).for_each(|node| found.extend(&node.tails));
    }

    /// The denials whose last segment is exactly this beginning of the next one (R5).
    pub(in crate::policy) fn named(
        &self,
        place: &Place,
        beginning: &str,
        symbols: &Symbols,
        nodes: &mut Nodes,
        found: &mut Vec<u32>,
    ) {
        Walk::resumed(self, place, symbols, nodes).named(beginning, found);
    }

    /// What the next segment is compared with; beside it, every segment may go on through a `*` or a `**`.
    pub(in crate::policy) fn labels<'t>(
        &'t self,
        place: &Place,
        symbols: &'t Symbols,
    ) -> impl Iterator<Item = Label<'t>> {
        self.at(place).flat_map(move |node| {
            let literals = node.literals.keys().map(|symbol| Label::Literal(symbols.text(*symbol)));
            literals.chain(node.globs.all().map(|(glob, _)| Label::Glob(glob)))
        })
    }

    fn at(&self, place: &Place) -> impl Iterator<Item = &Node> {
        place.0.iter().filter_map(|at| self.node(*at))
    }
}

impl<'t> Walk<'t> {
    fn resumed(trie: &'t Trie, place: &Place, symbols: &'t Symbols, nodes: &'t mut Nodes) -> Self {
        nodes.next.clear();
        nodes.at.clear();
        nodes.at.extend(&place.0);
        Self { trie, symbols, nodes }
    }
}
