//! The segments that make a difference: for each set of labels one segment of every kind that they tell apart.
//!
//! Promises that no kind is left out. That each is the shortest of its kind is tried, not promised.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use super::Steps;
use super::letters::{Hits, Letters, Reading, Side};
use super::token::{Alphabet, Last, Sort, Token};
use crate::policy::decide::stage::{Labels, Spelling};
use crate::policy::trie::stepped::Label;
use crate::request::fold::fold_segment;
use crate::request::path::Path;

/// What it costs to remember a beginning of segments, in steps: it takes memory as well as time.
const KEPT: u64 = 50;
/// So many places of patterns are looked at in one step.
const LIGHT: u64 = 8;

/// One segment for all that no label tells from it.
#[derive(Debug)]
pub(super) struct Class {
    canonical: String,
    folded: String,
    /// Whether some path has it; what is only imagined stands for what may not be.
    pub(super) is_real: bool,
}

impl Class {
    pub(super) fn spelling(&self) -> Spelling<'_> {
        Spelling { canonical: &self.canonical, folded: &self.folded }
    }

    /// What is easy to read comes first.
    fn strangeness(&self) -> (bool, bool, usize) {
        let is_upper = |c: char| c.is_ascii_uppercase();
        (self.canonical.contains('%'), self.canonical.contains(is_upper), self.canonical.len())
    }
}

/// Which segments there are to try, by what the next segment is compared with.
#[derive(Debug, Default)]
pub(super) struct Classes<'p> {
    known: HashMap<Vec<(Form, Label<'p>)>, Rc<[Class]>>,
}

/// What a label is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    Canonical,
    DeniedCanonical,
    Folded,
    Denied,
}

impl Form {
    fn is_written(self) -> bool {
        match self {
            Self::Canonical | Self::DeniedCanonical => true,
            Self::Folded | Self::Denied => false,
        }
    }

    fn side(self) -> Side {
        match self {
            Self::Canonical | Self::Folded => Side::Allow,
            Self::DeniedCanonical | Self::Denied => Side::Deny,
        }
    }
}

impl<'p> Classes<'p> {
    /// `None` when the steps are used up.
    pub(super) fn of(&mut self, labels: Labels<'p>, steps: &mut Steps) -> Option<Rc<[Class]>> {
        let key = key(labels);
        if let Some(known) = self.known.get(&key) {
            return Some(Rc::clone(known));
        }
        let found: Rc<[Class]> = Sieve::new(&key).classes(steps)?.into();
        self.known.insert(key, Rc::clone(&found));
        Some(found)
    }
}

/// Each label once, in order.
fn key(labels: Labels<'_>) -> Vec<(Form, Label<'_>)> {
    let Labels { canonical, folded, denied_canonical, denied } = labels;
    let forms = [
        (Form::Canonical, canonical),
        (Form::DeniedCanonical, denied_canonical),
        (Form::Folded, folded),
        (Form::Denied, denied),
    ];
    let mut key: Vec<_> =
        forms.into_iter().flat_map(|(form, labels)| labels.into_iter().map(move |label| (form, label))).collect();
    key.sort_unstable();
    key.dedup();
    key
}

/// Looks through the segments, piece by piece.
struct Sieve {
    written: Letters,
    folded: Letters,
    alphabet: Alphabet,
    /// The texts of labels that are whole segments as they are written.
    literals: Vec<String>,
}

/// Segments that every further piece does the same to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Spot {
    written: Reading,
    /// Of the deny form, without and with what would be trimmed at the end.
    kept: Reading,
    whole: Reading,
    is_name: bool,
    last: Last,
}

impl Spot {
    fn weight(&self) -> u64 {
        self.written.weight() + self.kept.weight() + self.whole.weight()
    }
}

/// A segment under way.
struct Draft {
    spot: Spot,
    canonical: String,
    folded: String,
    /// The deny form ends here if nothing follows.
    kept: usize,
    is_imagined: bool,
}

/// All that labels say of a segment.
type Kind = (Hits, Hits);

impl Sieve {
    fn new(labels: &[(Form, Label<'_>)]) -> Self {
        let of = |written: bool| labels.iter().filter(move |(form, _)| form.is_written() == written);
        let sided = |written| of(written).map(|(form, label)| (*label, form.side()));
        let bare = |written| of(written).map(|(_, label)| *label);
        Self {
            written: Letters::new(sided(true)),
            folded: Letters::new(sided(false)),
            alphabet: Alphabet::new(bare(true), bare(false)),
            literals: bare(true).filter_map(literal).filter(|text| !text.is_empty()).collect(),
        }
    }

    fn classes(&self, steps: &mut Steps) -> Option<Vec<Class>> {
        let mut found: HashMap<Kind, usize> = HashMap::new();
        let (mut classes, mut seen) = (Vec::new(), HashSet::new());
        for text in &self.literals {
            self.keep(&self.spelled(text), &mut found, &mut classes);
        }
        let (mut open, mut later, mut imagined) = (VecDeque::from([self.begin()]), Vec::new(), HashSet::new());
        loop {
            let Some(draft) = open.pop_front() else {
                // What is imagined comes last, so that whatever is real is found as such.
                if later.is_empty() {
                    classes.sort_by_cached_key(Class::strangeness);
                    return Some(classes);
                }
                open.extend(later.drain(..).filter(|draft: &Draft| seen.insert(draft.spot.clone())));
                continue;
            };
            self.keep(&draft, &mut found, &mut classes);
            let weight = draft.spot.weight();
            let awaited = (self.written.awaited(&draft.spot.written), self.folded.awaited(&draft.spot.whole));
            for token in self.alphabet.next(draft.spot.last, &awaited.0, &awaited.1) {
                steps.take(1 + weight / LIGHT)?;
                let spot = self.after(&draft.spot, &token);
                if seen.contains(&spot) {
                    continue;
                }
                if token.sort == Sort::Imagined && !draft.is_imagined {
                    if imagined.insert(spot.clone()) {
                        steps.take(KEPT + weight)?;
                        later.push(draft.with(&token, spot));
                    }
                } else {
                    steps.take(KEPT + weight)?;
                    seen.insert(spot.clone());
                    open.push_back(draft.with(&token, spot));
                }
            }
        }
    }

    fn begin(&self) -> Draft {
        let folded = self.folded.begin();
        let spot = Spot {
            written: self.written.begin(),
            kept: folded.clone(),
            whole: folded,
            is_name: false,
            last: Last::Nothing,
        };
        Draft { spot, canonical: String::new(), folded: String::new(), kept: 0, is_imagined: false }
    }

    /// A whole segment as it is written.
    fn spelled(&self, text: &str) -> Draft {
        let mut draft = self.begin();
        draft.canonical = text.to_owned();
        draft.folded = fold_segment(text);
        draft.kept = draft.folded.len();
        text.chars().for_each(|character| self.written.read(&mut draft.spot.written, character));
        draft.folded.chars().for_each(|character| self.folded.read(&mut draft.spot.kept, character));
        draft.spot.is_name = true;
        draft
    }

    /// After one more piece.
    fn after(&self, before: &Spot, token: &Token) -> Spot {
        let mut spot = before.clone();
        token.canonical.chars().for_each(|character| self.written.read(&mut spot.written, character));
        token.folded.chars().for_each(|character| self.folded.read(&mut spot.whole, character));
        spot.last = self.alphabet.last(&token.canonical);
        match token.sort {
            Sort::Name | Sort::Imagined => {
                spot.kept.clone_from(&spot.whole);
                spot.is_name = true;
            }
            Sort::Trimmed | Sort::Ignored => {}
        }
        spot
    }

    /// Keeps a segment of a kind that was not seen, or was only imagined.
    fn keep(&self, draft: &Draft, found: &mut HashMap<Kind, usize>, classes: &mut Vec<Class>) {
        if !draft.spot.is_name {
            return;
        }
        let kind = (self.written.hits(&draft.spot.written), self.folded.hits(&draft.spot.kept));
        let known = found.get(&kind).copied();
        let known_as_real = known.and_then(|at| classes.get(at)).is_some_and(|class| class.is_real);
        if known_as_real {
            return;
        }
        let class = draft.class();
        // What is spelled out as a whole is itself and nothing that is imagined.
        if !class.is_real && self.written.is_literal(&draft.spot.written) {
            return;
        }
        match known {
            None => {
                found.insert(kind, classes.len());
                classes.push(class);
            }
            Some(at) if class.is_real => {
                if let Some(place) = classes.get_mut(at) {
                    *place = class;
                }
            }
            Some(_) => {}
        }
    }
}

impl Draft {
    /// With one more piece.
    fn with(&self, token: &Token, spot: Spot) -> Self {
        let canonical = format!("{}{}", self.canonical, token.canonical);
        let folded = format!("{}{}", self.folded, token.folded);
        let (kept, is_imagined) = match token.sort {
            Sort::Name => (folded.len(), self.is_imagined),
            Sort::Imagined => (folded.len(), true),
            Sort::Trimmed | Sort::Ignored => (self.kept, self.is_imagined),
        };
        Self { spot, canonical, folded, kept, is_imagined }
    }

    fn class(&self) -> Class {
        let folded = self.folded.get(..self.kept).unwrap_or_default().to_owned();
        let is_real = !self.is_imagined && is_real(&self.canonical, &folded);
        Class { canonical: self.canonical.clone(), folded, is_real }
    }
}

fn literal(label: Label<'_>) -> Option<String> {
    match label {
        Label::Literal(text) => Some(text.to_owned()),
        Label::Glob(_) => None,
    }
}

/// Whether some path has this segment, with this deny form.
fn is_real(canonical: &str, folded: &str) -> bool {
    let Ok(path) = Path::parse(&format!("/{canonical}")) else { return false };
    let form = path.deny_forms().first().map(|form| form.segments());
    path.canonical().get(1..) == Some(canonical)
        && path.encoded().is_empty()
        && matches!(form, Some([only]) if **only == *folded)
}
