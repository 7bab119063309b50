//! A pattern in the form in which it can be held against wider ones.

use crate::policy::pattern::Segment;

/// Every `**` as any number of segments, none included, and after the `*` beside it.
pub(super) fn spread(segments: &[Segment]) -> Vec<Segment> {
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

#[cfg(test)]
mod tests {
    use globset::GlobBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::pattern::Pattern;
    use crate::policy::trie::{Reach, Symbols, Trie};

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
            ("/a", "/a*", Below, false),
            ("/a*", "/a*b", Below, true),
            ("/a/**", "/a/", Exact, true),
            ("/**/b", "/a/**", Exact, false),
        ] {
            let (a, b) = (Pattern::parse(wide).unwrap(), Pattern::parse(narrow).unwrap());
            let (mut trie, mut symbols) = (Trie::default(), Symbols::default());
            trie.add(if reach == Below { a.denied() } else { a.segments() }, 0, &mut symbols);
            let mut found = Vec::new();
            trie.including(
                &spread(if reach == Below { b.folded() } else { b.segments() }),
                reach,
                &symbols,
                &mut found,
            );
            assert_eq!(!found.is_empty(), expected, "{wide} {reach:?} {narrow}");
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "*", "**", "a*", "*b", "a*b"]);
        prop::collection::vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn matches(text: &str, path: &str) -> bool {
        let glob = GlobBuilder::new(text).literal_separator(true).build().unwrap();
        glob.compile_matcher().is_match(path)
    }

    proptest! {
        #[test]
        fn what_a_narrower_pattern_matches_a_wider_one_matches(
            wide in pattern(),
            narrow in pattern(),
            path in "(/(a|b|ab|aab)){1,5}/?",
        ) {
            let (a, b) = (Pattern::parse(&wide).unwrap(), Pattern::parse(&narrow).unwrap());
            let (mut trie, mut symbols) = (Trie::default(), Symbols::default());
            trie.add(a.segments(), 0, &mut symbols);
            let mut found = Vec::new();
            trie.including(&spread(b.segments()), Reach::Exact, &symbols, &mut found);
            if !found.is_empty() && matches(&narrow, &path) {
                prop_assert!(matches(&wide, &path), "{wide} includes {narrow}, but not on {path}");
            }
        }
    }
}
