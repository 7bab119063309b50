//! Whether every path that one pattern matches is matched by another.

use crate::policy::pattern::{Segment, denied_beginnings};

/// How the wider pattern is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// As an allow rule: the path itself.
    Exact,
    /// As a denial: the path, everything below, and names that go on after one of the ends of R5.
    Below,
}

/// Whether `wide` matches all that `narrow` matches. A yes is certain; a no may be wrong where several `**` meet.
pub(super) fn includes(wide: &[Segment], narrow: &[Segment], reach: Reach) -> bool {
    let (wide, narrow) = (spread(wide), spread(narrow));
    // `row[j]`: what is left of `wide` includes what is left of `narrow` from j on.
    let mut row: Vec<bool> = (0..=narrow.len()).map(|j| j == narrow.len() || reach == Reach::Below).collect();
    for (i, segment) in wide.iter().enumerate().rev() {
        let last = i + 1 == wide.len();
        let after = row.clone();
        let at = |row: &[bool], j: usize| row.get(j).copied().unwrap_or(false);
        for j in (0..=narrow.len()).rev() {
            let here = match (segment, narrow.get(j)) {
                (Segment::Deep, Some(_)) => at(&after, j) || at(&row, j + 1),
                (Segment::Deep, None) => at(&after, j),
                (_, None) => false,
                // `**` may be nothing, or any segment and `**` again.
                (_, Some(Segment::Deep)) => at(&row, j + 1) && *segment == Segment::Star && at(&after, j),
                (_, Some(other)) => {
                    (takes(segment, other) || (last && reach == Reach::Below && takes_beginning(segment, other)))
                        && at(&after, j + 1)
                }
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = here;
            }
        }
    }
    row.first().copied().unwrap_or(false)
}

/// Every `**` as any number of segments, none included, and after the `*` beside it.
fn spread(segments: &[Segment]) -> Vec<Segment> {
    let mut spread: Vec<Segment> = Vec::with_capacity(segments.len() + 1);
    let mut deep = false;
    for (at, segment) in segments.iter().enumerate() {
        match segment {
            Segment::Deep => {
                deep = true;
                if at + 1 == segments.len() {
                    spread.push(Segment::Star);
                }
            }
            Segment::Star => spread.push(Segment::Star),
            Segment::Literal(_) | Segment::Glob(_) => {
                spread.extend(deep.then_some(Segment::Deep));
                deep = false;
                spread.push(segment.clone());
            }
        }
    }
    spread.extend(deep.then_some(Segment::Deep));
    spread
}

/// Whether one segment matches all that another does; neither is `**`.
fn takes(wide: &Segment, narrow: &Segment) -> bool {
    match (wide, narrow) {
        (Segment::Star, _) => true,
        (Segment::Literal(a), Segment::Literal(b)) => a == b,
        (Segment::Glob(a), Segment::Literal(b)) => a.matches(b),
        // Only a `*` of the wider one can take a `*` of the other.
        (Segment::Glob(a), Segment::Glob(b)) => a.matches(&b.to_string()),
        (Segment::Literal(_) | Segment::Glob(_) | Segment::Deep, _) => false,
    }
}

fn takes_beginning(wide: &Segment, narrow: &Segment) -> bool {
    match narrow {
        Segment::Literal(text) => denied_beginnings(text).any(|start| takes(wide, &Segment::Literal(start.into()))),
        Segment::Glob(_) | Segment::Star | Segment::Deep => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::pattern::Pattern;

    #[test]
    fn a_wider_pattern_includes_a_narrower_one() {
        use Reach::{Below, Exact};
        for (wide, narrow, reach, expected) in [
            ("/a/**", "/a/b", Exact, true),
            ("/a/**", "/a", Exact, false),
            ("/a/**", "/a/*/c", Exact, true),
            ("/a/*", "/a/b", Exact, true),
            ("/a/*", "/a/b/c", Exact, false),
            ("/a/*", "/a/**", Exact, false),
            ("/**", "/a/**", Exact, true),
            ("/**/b", "/a/b", Exact, true),
            ("/**/b", "/**/a/b", Exact, true),
            ("/**/a/b", "/**/b", Exact, false),
            ("/a/**/c", "/a/*/c", Exact, true),
            ("/a/**/*", "/a/**", Exact, true),
            ("/a/**", "/a/**/*", Exact, true),
            ("/x*", "/x*y", Exact, true),
            ("/x*y", "/x*", Exact, false),
            ("/a", "/a/b/**", Below, true),
            ("/a", "/a", Below, true),
            ("/a", "/ab", Below, false),
            ("/a", "/a.json", Below, true),
            ("/a/*", "/a/**", Below, true),
            ("/**/t", "/a/*/t/**", Below, true),
            ("/a/*/t", "/a/**", Below, false),
        ] {
            let (a, b) = (Pattern::parse(wide).unwrap(), Pattern::parse(narrow).unwrap());
            assert_eq!(includes(a.folded(), b.folded(), reach), expected, "{wide} {reach:?} {narrow}");
        }
    }
}
