//! Which members of a JSON text some paths name, followed step by step while the text is read.
//!
//! Promises to find what a look at every path from the root would find, at a cost per name that grows neither with the
//! size of the text nor with how deep it nests: a few instructions for each two paths of the longest kind. Trusts that a
//! path has at most 32 segments.

use crate::policy::{FieldPath, Segment};

/// Paths, and how far each of them has been followed on the way to the place that is being read.
#[derive(Debug)]
pub(super) struct Selector<'p> {
    /// The names in all paths, sorted, each with its segments in one word; [`ANYWHERE`] in place of a word for a name that is
    /// met at any depth, as most are: it needs no following.
    names: Vec<Named<'p>>,
    /// One bit for each mark that a name has.
    marks: u64,
    words: Vec<Word>,
    /// Where there are several words: for the containers that are open, the segments that may come next, as many words for
    /// each as `words`, the innermost's last.
    active: Vec<u64>,
}

/// A name, and its segments in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named<'p> {
    key: u64,
    name: &'p str,
    word: usize,
    bits: u64,
}

/// After the number of every word.
const ANYWHERE: usize = usize::MAX;

/// The segments of some paths that are followed, one bit each, those of a path beside each other.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    one: u64,
    any: u64,
    last: u64,
}

/// The segments that may come next in one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// No path that is followed leads into it.
    Empty,
    /// Those of the one word that there is.
    One(u64),
    /// Where they are in [`Selector`].
    Many(usize),
}

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
        let anywhere = paths.iter().filter_map(|path| bare(path.segments())).map(|name| Named::new(name, ANYWHERE, 0));
        Self::new(paths, anywhere.collect(), |segments| bare(segments).is_none())
    }

    /// Finds where paths end, and which containers lie on the way: no others have a frame that is not empty.
    pub(super) fn ways(paths: &'p [FieldPath]) -> (Self, Frame) {
        Self::new(paths, Vec::new(), |_| true)
    }

    fn new(paths: &'p [FieldPath], names: Vec<Named<'p>>, followed: fn(&[Segment]) -> bool) -> (Self, Frame) {
        let mut new = Self { names, marks: 0, words: Vec::new(), active: Vec::new() };
        let mut used = 0;
        for segments in paths.iter().map(FieldPath::segments).filter(|segments| followed(segments)) {
            new.follow(segments, &mut used);
        }
        new.names.sort_unstable();
        new.names.dedup_by(|one, kept| {
            let same = (one.name, one.word) == (kept.name, kept.word);
            kept.bits |= if same { one.bits } else { 0 };
            same
        });
        new.marks = new.names.iter().fold(0, |bits, one| bits | mark(one.name));
        let root = match new.active.as_slice() {
            [] => Frame::Empty,
            [bits] => Frame::One(*bits),
            [..] => Frame::Many(0),
        };
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
                Segment::Name(name) => self.names.push(Named::new(name, at, bit)),
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
        let mut named: &[_] = &[];
        if self.marks & mark(name) != 0 {
            let key = key(name);
            let first = self.names.partition_point(|one| (one.key, one.name) < (key, name));
            let rest = self.names.get(first..).unwrap_or_default();
            let count = rest.iter().take_while(|one| one.key == key && one.name == name).count();
            named = rest.get(..count).unwrap_or_default();
        }
        if let [.., Named { word: ANYWHERE, .. }] = named {
            return Step::Hit;
        }
        match (frame, self.words.as_slice()) {
            (Frame::One(here), [word]) => {
                let bits = named.iter().fold(word.one, |all, one| all | one.bits);
                let (hit, inside) = word.step(here, here & word.any, bits);
                if hit { Step::Hit } else { Step::Inside(Frame::one(inside)) }
            }
            (Frame::Many(at), words) => {
                let (outer, inner) = room(&mut self.active, at, words.len());
                let mut ended = false;
                for ((word, here), inside) in words.iter().zip(outer.iter()).zip(inner.iter_mut()) {
                    let (hit, next) = word.step(*here, here & word.any, word.one);
                    (ended, *inside) = (ended | hit, next);
                }
                for Named { word, bits, .. } in named {
                    let word = words.get(*word).zip(outer.get(*word)).zip(inner.get_mut(*word));
                    let Some(((word, here), inside)) = word else { continue };
                    let (hit, next) = word.step(*here, 0, *bits);
                    (ended, *inside) = (ended | hit, *inside | next);
                }
                if ended { Step::Hit } else { Step::Inside(Frame::many(inner, at + words.len())) }
            }
            (Frame::Empty | Frame::One(_), _) => Step::Inside(Frame::Empty),
        }
    }

    /// The elements of the array whose frame is `frame`: looked through, or what `*` stands for.
    pub(super) fn element(&mut self, frame: Frame) -> Step {
        match (frame, self.words.as_slice()) {
            (Frame::One(here), [word]) => {
                let (hit, inside) = word.step(here, here, word.one);
                if hit { Step::Hit } else { Step::Inside(Frame::one(inside)) }
            }
            (Frame::Many(at), words) => {
                let (outer, inner) = room(&mut self.active, at, words.len());
                let mut ended = false;
                for ((word, here), inside) in words.iter().zip(outer.iter()).zip(inner.iter_mut()) {
                    let (hit, next) = word.step(*here, *here, word.one);
                    (ended, *inside) = (ended | hit, next);
                }
                if ended { Step::Hit } else { Step::Inside(Frame::many(inner, at + words.len())) }
            }
            (Frame::Empty | Frame::One(_), _) => Step::Inside(Frame::Empty),
        }
    }
}

impl<'p> Named<'p> {
    fn new(name: &'p str, word: usize, bits: u64) -> Self {
        Self { key: key(name), name, word, bits }
    }
}

impl Frame {
    fn one(bits: u64) -> Self {
        if bits == 0 { Self::Empty } else { Self::One(bits) }
    }

    fn many(words: &[u64], at: usize) -> Self {
        if words.iter().all(|word| *word == 0) { Self::Empty } else { Self::Many(at) }
    }

    /// Whether no path that is followed leads into the container.
    pub(super) fn is_empty(self) -> bool {
        self == Self::Empty
    }
}

impl Word {
    /// With what may come next at these segments: behind `**` stands also what follows it.
    fn enter(self, bits: u64) -> u64 {
        bits | (bits & self.any) << 1
    }

    /// One step from the segments `here`, of which some stay and those among `passed` go on: whether a path ends, and what
    /// may come next otherwise.
    fn step(self, here: u64, stays: u64, passed: u64) -> (bool, u64) {
        let goes = here & passed;
        (goes & self.last != 0, self.enter(stays | goes << 1))
    }
}

/// The words of the frame at `at`, and those of the one inside it, in place of what inner containers left behind.
fn room(active: &mut Vec<u64>, at: usize, words: usize) -> (&[u64], &mut [u64]) {
    active.resize(at + 2 * words, 0);
    let (here, inside) = active.split_at_mut(at + words);
    (here.get(at..).unwrap_or_default(), inside)
}

/// The name of a path that is met at any depth and is nothing else.
fn bare(segments: &[Segment]) -> Option<&str> {
    match segments {
        [Segment::Any, Segment::Name(name)] => Some(name),
        _ => None,
    }
}

/// One of 64 bits, by length and first byte: tells most names from those that are looked for.
fn mark(name: &str) -> u64 {
    let first = name.bytes().next().map_or(0, usize::from);
    1 << ((name.len() + 5 * first) % 64)
}

/// What names are told apart by before they are compared: their first bytes.
fn key(name: &str) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
    u64::from_be_bytes(first)
}
