//! What is wrong with a policy file: every finding of one run, each with its place.
//!
//! Promises that no finding repeats the text of a secret: what may be one is never put into a message, and its place
//! is handed on as hidden, so that whoever shows the source covers it.

use std::ops::Range;

use super::spec::Place;

/// Findings of one file beyond this number are not listed; the last one says so.
const MOST: usize = 1_000;

/// One thing that is wrong, or looks wrong, in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the policy may be used in spite of it.
    pub severity: Severity,
    /// Stable name of the kind, for machines: lower case, words joined by `-`.
    pub code: &'static str,
    /// What is wrong: one line, user text in backticks and escaped.
    pub message: String,
    /// Where, in bytes.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What to do.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is not used.
    Error,
    /// The policy works, though perhaps not as meant.
    Warning,
    /// Something to think about.
    Hint,
}

impl Severity {
    /// As shown to people and machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }
}

impl Finding {
    /// A finding about something that the policy names, such as a file.
    #[must_use]
    pub fn new(severity: Severity, code: &'static str, message: String, place: &Place, help: Option<String>) -> Self {
        Self { severity, code, message, span: place.span.clone(), line: place.line, column: place.column, help }
    }
}

/// Collects the findings of one file.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    found: Vec<Finding>,
    hidden: Vec<Range<usize>>,
    unlisted: usize,
    errors: usize,
}

impl<'t> Findings<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        Self { text, line_starts, found: Vec::new(), hidden: Vec::new(), unlisted: 0, errors: 0 }
    }

    pub(super) fn error(&mut self, code: &'static str, span: Range<usize>, message: String, help: Option<&str>) {
        self.push(Severity::Error, code, span, message, help);
    }

    pub(super) fn warn(&mut self, code: &'static str, span: Range<usize>, message: String, help: Option<&str>) {
        self.push(Severity::Warning, code, span, message, help);
    }

    /// Marks a place whose text must not be shown.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.hidden.push(span);
    }

    /// The file's text.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// How many errors there are by now.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Line and column of a place.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..span.start).map_or(0, |before| before.chars().count()) + 1;
        Place { span, line, column }
    }

    /// The bytes of one line, without its end.
    pub(super) fn line_span(&self, line: usize) -> Range<usize> {
        let start = line.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        start..start + rest.find('\n').unwrap_or(rest.len())
    }

    /// All findings in the order of the file, and the places to cover.
    pub(super) fn finish(mut self) -> (Vec<Finding>, Vec<Range<usize>>) {
        self.found.sort_by(|a, b| {
            (a.span.start, a.severity, a.code, &a.message).cmp(&(b.span.start, b.severity, b.code, &b.message))
        });
        self.found.dedup();
        if self.unlisted > 0 {
            let place = self.place(self.text.len()..self.text.len());
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            let message = format!("{} more findings are not listed", self.unlisted);
            let help = Some("correct these first and check again".to_owned());
            self.found.push(Finding::new(severity, "too-many-findings", message, &place, help));
        }
        (self.found, self.hidden)
    }

    fn push(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        message: String,
        help: Option<&str>,
    ) {
        self.errors += usize::from(severity == Severity::Error);
        if self.found.len() >= MOST {
            self.unlisted += 1;
            return;
        }
        let place = self.place(span);
        self.found.push(Finding::new(severity, code, message, &place, help.map(str::to_owned)));
    }
}

/// User text in backticks, escaped, cut after 64 characters.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(visible).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Everything outside printable ASCII as `\u{…}`: what is shown is what is there.
fn visible(character: char) -> impl Iterator<Item = char> {
    let plain = matches!(character, ' '..='~');
    let escaped = (!plain).then(|| character.escape_unicode());
    plain.then_some(character).into_iter().chain(escaped.into_iter().flatten())
}

/// The known word that `word` was probably meant to be.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let folded = word.to_lowercase();
    if folded.len() > 64 {
        return None;
    }
    let close = known.into_iter().map(|known| (distance(&folded, &known.to_lowercase()), known));
    let (distance, best) = close.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.chars().count() / 4).then_some(best)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = None;
        for (j, y) in b.iter().copied().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, j) + usize::from(x != y);
            let mut cost = replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if last == Some(y) && left == Some(x) {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            next.push(cost);
            left = Some(y);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(x);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_its_neighbour() {
        let known = ["methods", "paths", "bearer", "writes"];
        for (word, expected) in [
            ("method", Some("methods")),
            ("PATHS", Some("paths")),
            ("pahts", Some("paths")),
            ("baerer", Some("bearer")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let findings = Findings::new("a\r\nbé = 1\n");
        for (at, line, column) in [(0, 1, 1), (3, 2, 1), (7, 2, 4), (12, 3, 1), (99, 3, 1)] {
            let place = findings.place(at..at);
            assert_eq!((place.line, place.column), (line, column), "at {at}");
        }
    }

    #[test]
    fn text_from_the_file_is_shown_escaped_and_short() {
        assert_eq!(quoted("a\u{202e}b\n"), "`a\\u{202e}b\\u{a}`");
        assert!(quoted(&"x".repeat(1_000)).len() < 80);
    }
}
