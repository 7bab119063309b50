//! How a message is laid out: our words at the left margin, everything from outside behind a gutter.
//!
//! Promises: no line is wider than [`COLUMNS`]; what is broken begins with a mark of ours; a section never takes more
//! room than it was given, and says how much it left out. Trusts: values are [shown] before they
//! come here.

use super::escape::{is_mark, shown};

/// The widest line, in columns of a terminal.
pub const COLUMNS: usize = 78;
/// What begins a line from outside.
const GUTTER: &str = "    ";
/// What begins the rest of a line that was too wide.
const GOES_ON: &str = "  > ";
/// How far from the end of a full line a better place to break it is looked for, in columns.
const LOOK_BACK: usize = 24;
/// What a note on left-out lines takes at most, in bytes.
const NOTE: usize = 64;

/// One part of a message, as it grows.
pub(super) struct Section {
    name: &'static str,
    text: String,
    room: usize,
    left_out: usize,
}

impl Section {
    /// A section that takes at most `room` bytes; `name` is what a note on left-out lines calls it.
    pub(super) fn new(name: &'static str, room: usize) -> Self {
        Self { name, text: String::new(), room: room.saturating_sub(NOTE), left_out: 0 }
    }

    /// A line of ours.
    pub(super) fn label(mut self, words: &str) -> Self {
        self.line("", words);
        self
    }

    /// A value of one line, after a label of ours.
    pub(super) fn named(mut self, label: &str, shown: &str) -> Self {
        let (first, rest) = split(shown, COLUMNS.saturating_sub(label.len() + 2));
        self.line(label, &format!(": {first}"));
        self.go_on(rest);
        self
    }

    /// A value on lines of its own.
    pub(super) fn value(&mut self, indent: usize, shown: &str) {
        // A space at the end can only be ours: one from outside is escaped there.
        let shown = shown.trim_end_matches(' ');
        let (first, rest) = split(shown, COLUMNS.saturating_sub(GUTTER.len() + indent));
        self.line(GUTTER, &format!("{:indent$}{first}", ""));
        self.go_on(rest);
    }

    /// Counts a line as left out without looking at it.
    pub(super) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// Whether nothing more can be added.
    pub(super) fn is_full(&self) -> bool {
        self.left_out > 0
    }

    /// The most bytes that [`Section::text`] gives.
    pub(super) fn size(&self) -> usize {
        self.text.len() + if self.is_full() { NOTE } else { 0 }
    }

    /// The name, if something was left out.
    pub(super) fn cut(&self) -> Option<&'static str> {
        self.is_full().then_some(self.name)
    }

    /// The lines, and a note on those that were left out.
    pub(super) fn text(mut self) -> String {
        if self.left_out > 0 {
            let lines = if self.left_out == 1 { "line" } else { "lines" };
            self.text.push_str(&format!("Not shown: {} more {lines} of the {}.\n", self.left_out, self.name));
        }
        self.text
    }

    fn go_on(&mut self, mut rest: &str) {
        while !rest.is_empty() {
            let (piece, after) = split(rest, COLUMNS - GOES_ON.len());
            self.line(GOES_ON, piece);
            rest = after;
        }
    }

    fn line(&mut self, begin: &str, text: &str) {
        let line = [begin, text].concat();
        let line = line.trim_end_matches(' ');
        if self.is_full() || self.text.len() + line.len() + 1 > self.room {
            self.left_out += 1;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A text from outside, folded into a few lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Folded {
    /// Its lines, or where it has too many those at its beginning.
    pub head: Vec<String>,
    /// How many characters between them are left out; 0 where all of it is there.
    pub left_out: usize,
    /// The lines at its end.
    pub tail: Vec<String>,
}

impl Folded {
    /// The text, shown on lines of at most `width` columns; of more than `most` lines those in the middle are left out.
    #[must_use]
    pub fn new(text: &str, width: usize, most: usize) -> Self {
        let text = shown(text);
        let (mut head, mut rest) = (Vec::new(), &*text);
        while !rest.is_empty() {
            let (piece, after) = split(rest, width);
            head.push(piece.to_owned());
            rest = after;
        }
        if head.len() <= most {
            return Self { head, left_out: 0, tail: Vec::new() };
        }
        let tail = head.split_off(head.len() - most / 2);
        let middle = head.split_off(most - most / 2);
        let left_out = middle.iter().map(|line| line.chars().count()).sum();
        Self { head, left_out, tail }
    }
}

/// What of a shown text fits into `width` columns, and the rest: broken after a sign or before a space near the end of
/// the line, or else where the line is full. A space begins the rest, where it can be seen.
fn split(shown: &str, width: usize) -> (&str, &str) {
    let (mut columns, mut end) = (0, 0);
    let mut near_end = 0;
    while let Some(unit) = shown.get(end..).and_then(unit) {
        let space = unit == " ";
        let late = columns >= width.saturating_sub(LOOK_BACK);
        if space && late {
            near_end = end;
        }
        columns += unit.chars().map(wide).sum::<usize>();
        if columns > width && end > 0 {
            let full = shown.get(..end).map_or(end, |piece| piece.trim_end_matches(' ').len());
            let at = if near_end > 0 { near_end } else { full.max(1) };
            return shown.split_at_checked(at).unwrap_or((shown, ""));
        }
        end += unit.len();
        if late && matches!(unit, "/" | "?" | "&" | ",") {
            near_end = end;
        }
    }
    (shown, "")
}

/// What must not be broken at the beginning of a shown text: an escape, or a character with its marks.
fn unit(shown: &str) -> Option<&str> {
    let first = shown.chars().next()?;
    let length = if shown.starts_with("\\u{") {
        shown.find('}').map_or(shown.len(), |end| end + 1)
    } else {
        let marks = shown.chars().skip(1).take_while(|mark| is_mark(*mark));
        first.len_utf8() + marks.map(char::len_utf8).sum::<usize>()
    };
    shown.get(..length)
}

/// The columns that a character takes at most: none before the first Hangul letter is a wide one (UAX #11).
fn wide(character: char) -> usize {
    if character < '\u{1100}' { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_value_is_broken_behind_a_sign_or_before_a_space_and_marked() {
        let word = "x".repeat(70);
        for (name, shown, expected) in [
            ("what fits", "x".repeat(74), vec![format!("    {}", "x".repeat(74))]),
            ("no place to break", "x".repeat(75), vec![format!("    {}", "x".repeat(74)), "  > x".to_owned()]),
            ("a sign", format!("{word}/yyyyyy"), vec![format!("    {word}/"), "  > yyyyyy".to_owned()]),
            ("a space", format!("{word} yyyyyy"), vec![format!("    {word}"), "  >  yyyyyy".to_owned()]),
            ("an early sign", format!("/{word}yyyyyy"), vec![format!("    /{word}yyy"), "  > yyy".to_owned()]),
            ("an escape", format!("{word}\\u{{200b}}"), vec![format!("    {word}"), "  > \\u{200b}".to_owned()]),
            ("wide letters", "日".repeat(38), vec![format!("    {}", "日".repeat(37)), "  > 日".to_owned()]),
            (
                "marks",
                format!("{}q\u{323}", "x".repeat(73)),
                vec![format!("    {}", "x".repeat(73)), "  > q\u{323}".to_owned()],
            ),
        ] {
            let mut section = Section::new("part", 1_000);
            section.value(0, &shown);
            assert_eq!(section.text().lines().collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn a_long_text_is_folded_and_keeps_its_beginning_and_its_end() {
        let of = |text: &str| Folded::new(text, 10, 4);
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(of(""), Folded { head: Vec::new(), left_out: 0, tail: Vec::new() });
        let whole = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";
        let four = lines(&["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd"]);
        assert_eq!(of(whole), Folded { head: four.clone(), left_out: 0, tail: Vec::new() });
        let longer = whole.replace('c', "cé\x1b");
        let Folded { head, left_out, tail } = of(&longer);
        let (head, tail, all) = (head.concat(), tail.concat(), shown(&longer));
        assert!(all.starts_with(&head) && all.ends_with(&tail), "{head} … {tail}");
        assert_eq!(head.chars().count() + left_out + tail.chars().count(), all.chars().count());
    }

    #[test]
    fn a_section_keeps_to_its_room_and_counts_what_it_leaves_out() {
        let mut section = Section::new("part", 100).label("Part:");
        assert_eq!(section.cut(), None);
        section.value(2, "one");
        section.value(0, &"x".repeat(150));
        section.value(0, "two");
        assert_eq!(section.cut(), Some("part"));
        assert!(section.size() >= section.text.len() + "Not shown: 4 more lines of the part.\n".len());
        assert_eq!(section.text(), "Part:\n      one\nNot shown: 4 more lines of the part.\n");
        let longest = "Not shown: 18446744073709551615 more lines of the decoded path.\n";
        assert!(longest.len() <= NOTE, "{}", longest.len());
    }
}
