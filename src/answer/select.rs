//! Which members of a JSON text some paths name, followed step by step while the text is read.
//!
//! Promises to find what a look at every path from the root would find, at a cost per name that grows neither with the
//! size of the text nor with how deep it nests: a few instructions for each two paths of the longest kind. Trusts that a
//! path has at most 32 segments.

use crate::policy::{FieldPath, Segment};

/// Paths, and how far each of them has been followed on the way to the place that is being read.
#[derive(Debug)]
pub(super) struct Selector<'p> {
    /// Names met at any depth, which most paths are, kept apart, sorted: they need no following.
    anywhere: Vec<&'p str>,
    /// The names in all other paths, sorted, each with its segments in one word.
    names: Vec<(&'p str, usize, u64)>,
    /// One bit for each length that a name has.
    lengths: u64,
    words: Vec<Word>,
    /// For the containers that are open, the segments that may come next: as many words as `words` for each, the
    /// innermost's last.
    active: Vec<u64>,
}

/// The segments of some paths that are followed, one bit each, those of a path beside each other.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    one: u64,
    any: u64,
    last: u64,
}

/// The place in [`Selector`] that belongs to one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame(Option<usize>);

/// What a member or an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Some path ends here.
    Hit,
    /// No path does; these go on inside.
    Inside(Frame),
}

impl<'p> Selector<'p> {
    /// Finds where paths end. With the frame of the root.
    pub(super) fn ends(paths: &'p [FieldPath]) -> (Self, Frame) {
        let mut anywhere: Vec<_> = paths.iter().filter_map(|path| bare(path.segments())).collect();
        anywhere.sort_unstable();
        Self::new(paths, anywhere, |segments| bare(segments).is_none())
    }

    /// Finds where paths end, and which containers lie on the way: no others have a frame that is not empty.
    pub(super) fn ways(paths: &'p [FieldPath]) -> (Self, Frame) {
        Self::new(paths, Vec::new(), |_| true)
    }

    fn new(paths: &'p [FieldPath], anywhere: Vec<&'p str>, followed: fn(&[Segment]) -> bool) -> (Self, Frame) {
        let mut new = Self { anywhere, names: Vec::new(), lengths: 0, words: Vec::new(), active: Vec::new() };
        let mut used = 0;
        for segments in paths.iter().map(FieldPath::segments).filter(|segments| followed(segments)) {
            new.follow(segments, &mut used);
        }
        new.names.sort_unstable();
        new.names.dedup_by(|(name, at, bits), (kept, there, more)| {
            let same = (*name, *at) == (*kept, *there);
            *more |= if same { *bits } else { 0 };
            same
        });
        let names = new.anywhere.iter().chain(new.names.iter().map(|(name, ..)| name));
        new.lengths = names.fold(0, |bits, name| bits | length_bit(name));
        let root = Frame((!new.active.is_empty()).then_some(0));
        (new, root)
    }

    /// Adds a path that is followed, to the last word if it has room for it: `used` bits of that are taken.
    fn follow(&mut self, segments: &'p [Segment], used: &mut usize) {
        if self.words.is_empty() || *used + segments.len() > 64 {
            self.words.push(Word::default());
            self.active.push(0);
            *used = 0;
        }
        let (at, start) = (self.words.len() - 1, 1 << *used);
        *used += segments.len();
        let (Some(word), Some(active)) = (self.words.last_mut(), self.active.last_mut()) else { return };
        let mut bit = start;
        for (index, segment) in segments.iter().enumerate() {
            match segment {
                Segment::Name(name) => self.names.push((name, at, bit)),
                Segment::One => word.one |= bit,
                Segment::Any => word.any |= bit,
            }
            if index + 1 == segments.len() {
                word.last |= bit;
            } else {
                bit <<= 1;
            }
        }
        *active |= word.enter(start);
    }

    /// The member `name` of the container whose frame is `frame`.
    pub(super) fn member(&mut self, frame: Frame, name: &str) -> Step {
        let known = self.lengths & length_bit(name) != 0;
        if known && self.anywhere.binary_search(&name).is_ok() {
            return Step::Hit;
        }
        let Some(at) = frame.0 else { return Step::Inside(frame) };
        let (names, words) = (&self.names, &self.words);
        let (here, inside) = room(&mut self.active, at, words.len());
        let mut hit = 0;
        for ((word, here), inside) in words.iter().zip(here.iter()).zip(inside.iter_mut()) {
            let goes = here & word.one;
            hit |= goes & word.last;
            *inside = word.enter((here & word.any) | (goes << 1));
        }
        let first = if known { names.partition_point(|(other, ..)| *other < name) } else { names.len() };
        for (_, index, bits) in names.iter().skip(first).take_while(|(other, ..)| *other == name) {
            let (Some(word), Some(here), Some(inside)) = (words.get(*index), here.get(*index), inside.get_mut(*index))
            else {
                continue;
            };
            let goes = here & bits;
            hit |= goes & word.last;
            *inside |= word.enter(goes << 1);
        }
        ended(hit, inside, at + words.len())
    }

    /// The elements of the array whose frame is `frame`: looked through, or what `*` stands for.
    pub(super) fn element(&mut self, frame: Frame) -> Step {
        let Some(at) = frame.0 else { return Step::Inside(frame) };
        let (here, inside) = room(&mut self.active, at, self.words.len());
        let mut hit = 0;
        for ((word, here), inside) in self.words.iter().zip(here.iter()).zip(inside.iter_mut()) {
            let goes = here & word.one;
            hit |= goes & word.last;
            *inside = here | word.enter(goes << 1);
        }
        ended(hit, inside, at + self.words.len())
    }
}

impl Frame {
    /// Whether no path that is followed leads into the container.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_none()
    }
}

impl Word {
    /// With what may come next at these segments: behind `**` stands also what follows it.
    fn enter(self, bits: u64) -> u64 {
        bits | (bits & self.any) << 1
    }
}

/// The words of the frame at `at`, and those of the one inside it, in place of what inner containers left behind.
fn room(active: &mut Vec<u64>, at: usize, words: usize) -> (&[u64], &mut [u64]) {
    active.resize(at + 2 * words, 0);
    let (here, inside) = active.split_at_mut(at + words);
    (here.get(at..).unwrap_or_default(), inside)
}

fn ended(hit: u64, inside: &[u64], at: usize) -> Step {
    if hit != 0 {
        return Step::Hit;
    }
    Step::Inside(Frame(inside.iter().any(|word| *word != 0).then_some(at)))
}

/// The name of a path that is met at any depth and is nothing else.
fn bare(segments: &[Segment]) -> Option<&str> {
    match segments {
        [Segment::Any, Segment::Name(name)] => Some(name),
        _ => None,
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}
