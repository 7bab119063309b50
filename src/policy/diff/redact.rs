//! Whether everything that one list of fields redacts is redacted by another.
//!
//! A value is hidden if a path names it or something that it is in. So a path is covered where every way from the root
//! that it names has a beginning that some path of the other list names.

use std::collections::{BTreeSet, HashSet};

use crate::policy::field::{FieldPath, Segment};

/// Beyond this many sets of places it counts as not covered.
const MOST_PLACES: usize = 20_000;

/// The first path that the others do not cover.
pub(super) fn uncovered<'p>(paths: &'p [FieldPath], others: &[FieldPath]) -> Option<&'p FieldPath> {
    paths.iter().find(|path| !is_covered(path, others))
}

/// One step from the root: a member, one whose name stands nowhere, or an element of an array.
#[derive(Debug, Clone, Copy)]
enum Way<'n> {
    Name(&'n str),
    Other,
    Element,
}

/// How far paths have come: which path, and how many of its steps are done.
type Places = BTreeSet<(usize, usize)>;

fn is_covered(path: &FieldPath, others: &[FieldPath]) -> bool {
    if others.contains(path) {
        return true;
    }
    let own = std::slice::from_ref(path);
    let names: BTreeSet<&str> = own.iter().chain(others).flat_map(FieldPath::segments).filter_map(name).collect();
    let ways: Vec<Way<'_>> = names.into_iter().map(Way::Name).chain([Way::Other, Way::Element]).collect();
    let begin = |paths: &[FieldPath]| closed(paths, (0..paths.len()).map(|index| (index, 0)).collect());
    let mut open = vec![(begin(own), begin(others))];
    let mut seen: HashSet<(Places, Places)> = HashSet::new();
    while let Some((here, there)) = open.pop() {
        for way in &ways {
            let (here, there) = (after(own, &here, *way), after(others, &there, *way));
            if here.is_empty() || is_named(others, &there) {
                continue;
            }
            if is_named(own, &here) || seen.len() > MOST_PLACES {
                return false;
            }
            if seen.insert((here.clone(), there.clone())) {
                open.push((here, there));
            }
        }
    }
    true
}

fn name(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Name(name) => Some(name),
        Segment::One | Segment::Any => None,
    }
}

fn segment(paths: &[FieldPath], (path, done): (usize, usize)) -> Option<&Segment> {
    paths.get(path).and_then(|path| path.segments().get(done))
}

/// With the places behind a `**` that stands for nothing.
fn closed(paths: &[FieldPath], places: Places) -> Places {
    let mut closed = Places::new();
    for (path, mut done) in places {
        closed.insert((path, done));
        while segment(paths, (path, done)) == Some(&Segment::Any) {
            done += 1;
            closed.insert((path, done));
        }
    }
    closed
}

fn after(paths: &[FieldPath], places: &Places, way: Way<'_>) -> Places {
    let mut next = Places::new();
    for place in places {
        let Some(segment) = segment(paths, *place) else { continue };
        let (stays, goes_on) = match (segment, way) {
            (Segment::Any, _) => (true, false),
            (Segment::Name(name), Way::Name(way)) => (false, **name == *way),
            (Segment::Name(_), Way::Other) => (false, false),
            (Segment::Name(_), Way::Element) => (true, false),
            (Segment::One, Way::Name(_) | Way::Other) => (false, true),
            (Segment::One, Way::Element) => (true, true),
        };
        next.extend(stays.then_some(*place));
        next.extend(goes_on.then_some((place.0, place.1 + 1)));
    }
    closed(paths, next)
}

fn is_named(paths: &[FieldPath], places: &Places) -> bool {
    places.iter().any(|(path, done)| paths.get(*path).is_some_and(|path| path.segments().len() == *done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_covered_where_it_or_what_it_is_in_is_redacted_on_every_way() {
        for (path, others, covered) in [
            ("a", &["a"][..], true),
            ("a", &[], false),
            ("a", &["b"], false),
            ("a.b", &["a"], true),
            ("a", &["a.b"], false),
            ("**.a", &["a"], false),
            ("a", &["**.a"], true),
            ("**.x.a", &["**.a"], true),
            ("*.a", &["**.a"], true),
            ("*.a", &["x.a"], false),
            ("x.a", &["*.a"], true),
            ("x.**.a", &["x.a", "x.*.**.a"], true),
            ("x.**.a", &["x.a", "x.*.a"], false),
            ("x.a", &["x.*.a"], false),
            ("*", &["*"], true),
            ("x.y.z", &["*.*"], true),
        ] {
            let read = |text: &&str| FieldPath::from_root(text).unwrap();
            let others: Vec<FieldPath> = others.iter().map(read).collect();
            assert_eq!(is_covered(&read(&path), &others), covered, "{path} by {others:?}");
        }
    }
}
