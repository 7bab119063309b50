//! Which members of a JSON text some paths name, followed step by step while the text is read.
//!
//! Promises to find what a look at every path from the root would find, at a cost per name that does not grow with the
//! size of the text.

use std::ops::Range;

use crate::policy::{FieldPath, Segment};

/// Paths, and how far each of them has been followed on the way to the place that is being read.
#[derive(Debug)]
pub(super) struct Selector<'p> {
    paths: &'p [FieldPath],
    /// Names met at any depth, which most paths are, kept apart: they need no following.
    anywhere: Vec<&'p str>,
    /// One bit for each length that such a name has.
    lengths: u64,
    /// For the containers that are open, the path and the segment that comes next; the innermost's last.
    active: Vec<(usize, usize)>,
}

/// The entries of [`Selector`] that belong to one container.
pub(super) type Frame = Range<usize>;

/// What a member or an element is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Some path ends here.
    Hit,
    /// No path does; these go on inside.
    Inside(Frame),
}

/// One step into a container.
#[derive(Debug, Clone, Copy)]
enum Way<'n> {
    Member(&'n str),
    Element,
}

impl<'p> Selector<'p> {
    /// Finds where paths end. With the frame of the root.
    pub(super) fn ends(paths: &'p [FieldPath]) -> (Self, Frame) {
        let anywhere = paths.iter().filter_map(|path| bare(path.segments())).collect();
        Self::new(paths, anywhere, |segments| bare(segments).is_none())
    }

    /// Finds where paths end, and which containers lie on the way: no others have a frame that is not empty.
    pub(super) fn ways(paths: &'p [FieldPath]) -> (Self, Frame) {
        Self::new(paths, Vec::new(), |_| true)
    }

    fn new(paths: &'p [FieldPath], anywhere: Vec<&'p str>, followed: fn(&[Segment]) -> bool) -> (Self, Frame) {
        let lengths = anywhere.iter().fold(0, |bits, name| bits | length_bit(name));
        let mut new = Self { paths, anywhere, lengths, active: Vec::new() };
        for (index, _) in paths.iter().enumerate().filter(|(_, path)| followed(path.segments())) {
            new.push(0, index, 0);
        }
        let root = 0..new.active.len();
        (new, root)
    }

    /// The member `name` of the container whose frame is `frame`.
    pub(super) fn member(&mut self, frame: &Frame, name: &str) -> Step {
        if self.lengths & length_bit(name) != 0 && self.anywhere.contains(&name) {
            return Step::Hit;
        }
        self.step(frame, Way::Member(name))
    }

    /// An element of the array whose frame is `frame`: looked through, or what `*` stands for.
    pub(super) fn element(&mut self, frame: &Frame) -> Step {
        self.step(frame, Way::Element)
    }

    fn step(&mut self, frame: &Frame, way: Way<'_>) -> Step {
        if frame.is_empty() {
            return Step::Inside(frame.clone());
        }
        // What inner containers left behind.
        self.active.truncate(frame.end);
        let from = self.active.len();
        for at in frame.clone() {
            let Some(&(path, segment)) = self.active.get(at) else { break };
            let segments = self.segments(path);
            let (stays, goes) = match (segments.get(segment), way) {
                (Some(Segment::Name(name)), Way::Member(member)) => (false, **name == *member),
                (Some(Segment::One), Way::Member(_)) => (false, true),
                (Some(Segment::Any), Way::Member(_)) => (true, false),
                (Some(Segment::One), Way::Element) => (true, true),
                (Some(Segment::Name(_) | Segment::Any), Way::Element) => (true, false),
                (None, Way::Member(_) | Way::Element) => (false, false),
            };
            if goes && segment + 1 == segments.len() {
                return Step::Hit;
            }
            if stays {
                self.push(from, path, segment);
            }
            if goes {
                self.push(from, path, segment + 1);
            }
        }
        Step::Inside(from..self.active.len())
    }

    /// Adds what comes next of a path, once; behind `**` stands also what follows it.
    fn push(&mut self, from: usize, path: usize, segment: usize) {
        if self.active.get(from..).is_some_and(|new| new.contains(&(path, segment))) {
            return;
        }
        self.active.push((path, segment));
        if self.segments(path).get(segment) == Some(&Segment::Any) {
            self.push(from, path, segment + 1);
        }
    }

    fn segments(&self, path: usize) -> &'p [Segment] {
        self.paths.get(path).map(FieldPath::segments).unwrap_or_default()
    }
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
