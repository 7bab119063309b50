//! The pattern language for paths (R4): literal text, `*` inside one segment, `**` as a whole segment. Nothing else.
//!
//! Promises that a pattern means what `globset` with `literal_separator(true)` makes of the same text, and that its
//! literals went through the same canonical function as paths. Refuses everything that globset would read differently
//! from what it says.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::request::fold::fold_segment;
use crate::request::path::{PathError, canonical_glob_text};

/// What may stand between a denied name and the rest of its segment (R5).
pub(super) const DENY_ENDS: &str = ".:(),@!~$'+=&*";

/// One path pattern, in the form that allow rules match and in the form that denials compare.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
    folded: Vec<Segment>,
    denied: Vec<Segment>,
    rank: Rank,
}

/// What one segment of a path is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text; empty only at the end, for a trailing `/`.
    Literal(Box<str>),
    /// Text around one or more `*`.
    Glob(Glob),
    /// `*`: any one segment.
    Star,
    /// `**`: any number of segments, but at least one at the end of a pattern.
    Deep,
}

/// How specific a pattern is: a longer literal beginning first, then fewer asterisks. Greater is more specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rank {
    literal: usize,
    asterisks: std::cmp::Reverse<usize>,
}

impl Rank {
    /// Whether the pattern says nothing of the first segment.
    pub(super) fn begins_with_wildcard(self) -> bool {
        self.literal <= 1 && self.asterisks.0 > 0
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The first thing in it that is not in the language.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        refuse_foreign(text)?;
        let text = canonical_glob_text(text)?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in text.strip_prefix('/').unwrap_or(&text).split('/') {
            let segment = if part == "**" { Segment::Deep } else { Segment::of(part) };
            // `/**/**` says nothing that `/**` does not.
            if segment != Segment::Deep || segments.last() != Some(&Segment::Deep) {
                segments.push(segment);
            }
        }
        let (folded, denied) = fold(&segments, &text);
        let rank = Rank {
            literal: text.find('*').unwrap_or(text.len()),
            asterisks: std::cmp::Reverse(text.matches('*').count()),
        };
        Ok(Self { text: text.into(), segments, folded, denied, rank })
    }

    /// The canonical text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// For canonical paths.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// For deny forms; without the empty segment of a trailing `/`.
    pub(super) fn folded(&self) -> &[Segment] {
        &self.folded
    }

    /// What a denial is about: the deny form without `/**` at its end, since everything below is covered anyway.
    pub(super) fn denied(&self) -> &[Segment] {
        named(&self.denied)
    }

    /// The same of the canonical text. A denial is tried on both: composing or trimming for the deny form can take away
    /// what a `*` in its text needs.
    pub(super) fn denied_as_written(&self) -> &[Segment] {
        let segments = named(&self.segments);
        match segments {
            [rest @ .., Segment::Literal(last)] if last.is_empty() => named(rest),
            _ => segments,
        }
    }

    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    /// Whether it matches the whole of a canonical path, or of a template, whose `{variables}` are names like any other.
    pub(super) fn covers(&self, path: &str) -> bool {
        let path: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let (mut at, mut passed) = (0, 0);
        // After the last `**`, and how many segments it has taken: whatever an earlier one could take, this one can.
        let mut deep: Option<(usize, usize)> = None;
        while let Some(text) = path.get(passed) {
            match (self.segments.get(at), deep) {
                (Some(Segment::Deep), _) if at + 1 == self.segments.len() => return true,
                (Some(Segment::Deep), _) => {
                    deep = Some((at + 1, passed));
                    at += 1;
                }
                (Some(segment), _) if segment.is(text) => (at, passed) = (at + 1, passed + 1),
                (_, Some((after, taken))) => {
                    deep = Some((after, taken + 1));
                    (at, passed) = (after, taken + 1);
                }
                (_, None) => return false,
            }
        }
        at == self.segments.len()
    }

    /// Whether it reaches any depth.
    pub(super) fn is_deep(&self) -> bool {
        self.segments.contains(&Segment::Deep)
    }

    /// Whether it has no literal text and reaches any depth: the whole API.
    pub(super) fn is_everything(&self) -> bool {
        self.is_deep() && self.segments.iter().all(|segment| matches!(segment, Segment::Star | Segment::Deep))
    }
}

impl Segment {
    /// One segment of canonical or folded text other than `**`.
    pub(super) fn of(part: &str) -> Self {
        match Glob::parse(part) {
            None => Self::Literal(part.into()),
            Some(glob) if glob.is_star() => Self::Star,
            Some(glob) => Self::Glob(glob),
        }
    }
}

impl Segment {
    /// Whether it matches this one segment of a path.
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Glob(glob) => glob.matches(text),
            Self::Star => !text.is_empty(),
            Self::Deep => true,
        }
    }
}

/// A pattern for canonical paths, for whoever looks for requests.
#[derive(Debug, Clone)]
pub struct PathGlob(Pattern);

impl PathGlob {
    /// Reads a pattern as the policy has them.
    ///
    /// # Errors
    /// The first thing in it that is not in the language.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Pattern::parse(text).map(Self)
    }

    /// Whether the whole of a canonical path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0.covers(path)
    }
}

/// Without the `**` at the end.
fn named(segments: &[Segment]) -> &[Segment] {
    let end = segments.iter().rposition(|segment| *segment != Segment::Deep).map_or(0, |last| last + 1);
    segments.get(..end).unwrap_or_default()
}

/// The deny form of a pattern's segments, as an allow rule means them and as a denial does. A `*` written `%2A` is itself
/// in the one and a wildcard in the other: a denial is wider than its text, and an obligation must not be.
fn fold(segments: &[Segment], text: &str) -> (Vec<Segment>, Vec<Segment>) {
    let (mut allowed, mut denied) = (Vec::with_capacity(segments.len()), Vec::with_capacity(segments.len()));
    for segment in segments {
        let folded = match segment {
            Segment::Literal(literal) => {
                let literal = fold_segment(literal);
                allowed.push(Segment::Literal(literal.as_str().into()));
                denied.push(Segment::of(&literal));
                continue;
            }
            Segment::Glob(glob) => Segment::of(&fold_segment(&glob.to_string())),
            Segment::Star => Segment::Star,
            Segment::Deep => Segment::Deep,
        };
        allowed.push(folded.clone());
        denied.push(folded);
    }
    if text.ends_with('/') {
        allowed.pop();
        denied.pop();
    }
    (allowed, denied)
}

/// Text with `*` in it, as what stands before the first, between, and after the last.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Glob {
    prefix: Box<str>,
    middles: Vec<Box<str>>,
    suffix: Box<str>,
}

impl Glob {
    fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once('*')?;
        let (middles, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middles = middles.split('*').filter(|middle| !middle.is_empty()).map(Box::from).collect();
        Some(Self { prefix: prefix.into(), middles, suffix: suffix.into() })
    }

    fn is_star(&self) -> bool {
        self.prefix.is_empty() && self.middles.is_empty() && self.suffix.is_empty()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The text before, between and after its `*`.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &str> {
        let middles = self.middles.iter().map(|middle| &**middle);
        std::iter::once(&*self.prefix).chain(middles).chain([&*self.suffix])
    }

    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Whether the whole of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let inner = text.strip_prefix(&*self.prefix).and_then(|text| text.strip_suffix(&*self.suffix));
        inner.is_some_and(|inner| self.matches_inside(inner))
    }

    /// Whether the pieces between prefix and suffix follow one another in `inner`. The leftmost place of each leaves
    /// the most room for the next, so there is nothing to try twice.
    fn matches_inside(&self, mut inner: &str) -> bool {
        for middle in &self.middles {
            let Some((_, rest)) = inner.split_once(&**middle) else { return false };
            inner = rest;
        }
        true
    }

    /// Whether some text matches both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let agree = |a: &str, b: &str, starts: fn(&str, &str) -> bool| starts(a, b) || starts(b, a);
        if !agree(&self.prefix, &other.prefix, |a, b| a.starts_with(b))
            || !agree(&self.suffix, &other.suffix, |a, b| a.ends_with(b))
        {
            return false;
        }
        let (a, b) = (self.to_string(), other.to_string());
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        // Row by row over `a`: `reach[j]` says that some text takes both patterns to (i, j).
        let mut reach = vec![false; b.len() + 1];
        for i in 0..=a.len() {
            let mut next = vec![false; b.len() + 1];
            for j in 0..=b.len() {
                let (x, y) = (i.checked_sub(1).and_then(|i| a.get(i)), j.checked_sub(1).and_then(|j| b.get(j)));
                let at = |row: &[bool], column: usize| row.get(column).copied().unwrap_or(false);
                let both = j > 0 && at(&reach, j - 1) && (x == y || x == Some(&'*') || y == Some(&'*'));
                let here = (i == 0 && j == 0)
                    || both
                    || (at(&reach, j) && (x == Some(&'*') || y == Some(&'*')))
                    || (j > 0 && at(&next, j - 1) && (x == Some(&'*') || y == Some(&'*')));
                if let Some(cell) = next.get_mut(j) {
                    *cell = here;
                }
            }
            reach = next;
        }
        reach.last().copied().unwrap_or(false)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.prefix)?;
        for middle in &self.middles {
            write!(f, "{middle}*")?;
        }
        f.write_str(&self.suffix)
    }
}

/// The beginnings of a folded segment that a denial of just that beginning covers as well (R5).
pub(super) fn denied_beginnings(segment: &str) -> impl Iterator<Item = &str> {
    segment.match_indices(|character| DENY_ENDS.contains(character)).filter_map(|(at, _)| segment.get(..at))
}

fn refuse_foreign(text: &str) -> Result<(), PatternError> {
    for (at, character) in text.char_indices() {
        match character {
            '[' | ']' | '{' | '}' | '\\' => return Err(PatternError::Foreign { character, at }),
            '?' => return Err(PatternError::Query { at }),
            _ => {}
        }
    }
    let mut at = 0;
    for part in text.split('/') {
        if part.contains("**") && part != "**" {
            return Err(PatternError::DeepInside { at: at + part.find("**").unwrap_or(0) });
        }
        at += part.len() + 1;
    }
    Ok(())
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A character of other glob languages.
    #[error("`{character}` is not in the pattern language")]
    Foreign {
        /// Which.
        character: char,
        /// Its place in the text, in bytes.
        at: usize,
    },
    /// A `?`, which begins a query in a URL and is one character in other glob languages.
    #[error("`?` is not in the pattern language, and a query is not part of a path")]
    Query {
        /// Its place in the text, in bytes.
        at: usize,
    },
    /// `**` beside other characters.
    #[error("`**` must be a whole segment")]
    DeepInside {
        /// Its place in the text, in bytes.
        at: usize,
    },
    /// No path can be like this.
    #[error("no path can match: {0}")]
    Path(#[from] PathError),
}

impl PatternError {
    /// What to do.
    pub(super) fn help(&self) -> Option<&'static str> {
        match self {
            Self::Foreign { character: '{' | '}', .. } => Some("write one path for each alternative"),
            Self::Foreign { .. } => Some("use literal text, `*` inside one segment, or `**` as a whole segment"),
            Self::Query { .. } => Some("limit the query with `query = { only = [\"…\"] }`"),
            Self::DeepInside { .. } => Some("write `/**/` for any number of segments, or a single `*` inside one"),
            Self::Path(PathError::EncodedReserved { .. }) => {
                Some("match that segment with `*`, and list the character in `encoded`")
            }
            Self::Path(_) => None,
        }
    }

    /// The bytes of the text that are meant, where it is not the whole.
    pub(super) fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Foreign { at, character } => Some(*at..at + character.len_utf8()),
            Self::Query { at } => Some(*at..at + 1),
            Self::DeepInside { at } => Some(*at..at + 2),
            Self::Path(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_glob_languages_add_is_refused_with_its_place() {
        for (text, at) in [
            ("/a[!b]c", 2),
            ("/a]c", 2),
            ("/{a,b}/c", 1),
            ("/a\\*", 2),
            ("/a?b=1", 2),
            ("/a/b**", 4),
            ("/a/**b", 3),
            ("/***", 1),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert_eq!(error.span().map(|span| span.start), Some(at), "{text}: {error}");
        }
    }

    #[test]
    fn a_pattern_that_no_canonical_path_can_match_is_refused() {
        for text in [
            "",
            "a/b",
            "//a",
            "/a//b",
            "/a/../b",
            "/a/./b",
            "/a b",
            "/a%2Fb",
            "/%2e",
            "/%zz",
            "/a;b",
            "/a#b",
            "/a\u{200b}",
        ] {
            assert!(matches!(Pattern::parse(text), Err(PatternError::Path(_))), "{text}");
        }
    }

    #[test]
    fn literals_go_through_the_canonical_function_of_paths() {
        assert_eq!(Pattern::parse("/é/%c3%a9*").unwrap().text(), "/%C3%A9/%C3%A9*");
    }

    #[test]
    fn the_more_specific_pattern_has_the_longer_literal_beginning_then_fewer_asterisks() {
        for (less, more) in [
            ("/**", "/a/**"),
            ("/a/**", "/a/*"),
            ("/a/*/*", "/a/*"),
            ("/a/*", "/a/b"),
            ("/a/*/long/text", "/a/b*"),
            ("/a/b", "/a/b/"),
        ] {
            let rank = |text| Pattern::parse(text).unwrap().rank();
            assert!(rank(less) < rank(more), "{less} < {more}");
        }
    }

    #[test]
    fn a_denied_name_goes_on_after_these_characters_alone() {
        let covered: String =
            ('!'..='~').filter(|end| denied_beginnings(&format!("a{end}b")).any(|start| start == "a")).collect();
        assert_eq!(covered, "!$&'()*+,.:=@~");
    }

    #[test]
    fn two_globs_meet_where_some_text_matches_both() {
        for (a, b, expected) in [
            ("a*", "*b", true),
            ("a*", "b*", false),
            ("*a", "*b", false),
            ("a*c", "ab*", true),
            ("*x*", "a*b", true),
            ("a*b*c", "a*c", true),
            ("ab*", "a*c*", true),
            ("ab*cd", "abcd*", true),
            ("aa*", "*a", true),
        ] {
            let (x, y) = (Glob::parse(a).unwrap(), Glob::parse(b).unwrap());
            assert_eq!((x.meets(&y), y.meets(&x)), (expected, expected), "{a} and {b}");
        }
    }
}
