//! Text from outside, made safe to look at.
//!
//! Promises: what [`shown`] gives is one line, has one reading in a terminal as in a chat, holds nothing that either
//! acts on, and is given for no other text; two texts that look alike after it differ in nothing but letters and signs that
//! look alike (`а` of Cyrillic and `a`). What would be unseen or would rearrange its neighbours stands as
//! `\u{HEX}`, a run of the same as `\u{HEX*COUNT}`; everything else stands as it is.
//!
//! Markdown is kept from acting by the place: whoever puts such text into a message puts it into a code block fenced
//! by three backticks. No shown text holds three backticks in a row, so none can close that block, whatever the
//! renderer's idea of where a fence may stand.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::is_nfc;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::request::fold::is_ignorable;

/// The most marks (accents, vowel signs) that a letter carries; more would cover the lines around it.
const MARKS: usize = 2;
/// The combining class of marks that strike through their letter (UAX #44).
const OVERLAY: u8 = 1;
/// The backticks in a row that are one too many.
const FENCE: usize = 3;

/// The text as one line to look at; see the module's promise.
///
/// Escaped are: controls; every character of category Cf, Zl, Zp, Cs, Co, Cn, so also bidirectional controls, zero
/// widths and tags; characters without a shape; white space but for a single plain space between other characters;
/// letters written from right to left, which move the numbers and signs beside them; marks without a letter, beyond
/// two on a letter or through it; what is not in NFC, since it looks like another text that is; the backslash
/// of a `\u{`; the third of three backticks.
pub fn shown(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut line = Line::default();
    let mut before = None;
    for (at, character) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        if line.may_stand(character, before, rest) {
            line.keep(character);
        } else {
            line.escape(character);
        }
        before = Some(character);
    }
    line.flush();
    Cow::Owned(line.text)
}

/// A text of several lines, in which everything is spelled out that a terminal could act upon or nobody could see. What
/// [`shown`] gave stays as it is, on however many lines and however far indented.
#[must_use]
pub fn defused(text: &str) -> String {
    let harmless = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && !is_unseen(c));
    let mut line = Line::default();
    for character in text.chars() {
        if harmless(character) {
            line.keep(character);
        } else {
            line.escape(character);
        }
    }
    line.flush();
    line.text
}

/// Whether nothing in the text needs a second look: nearly always.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !["  ", "```", "\\u{"].iter().any(|sign| text.contains(sign))
}

/// A line as it grows.
#[derive(Default)]
struct Line {
    text: String,
    /// What is escaped next, and how many times it stands in a row.
    run: Option<(char, usize)>,
    /// The letter at the end of the text with its marks; empty where there is no letter.
    letter: String,
    /// The marks on it.
    marks: usize,
    /// The backticks at the end of the text.
    backticks: usize,
}

impl Line {
    /// Whether the first character of `rest` can stand as it is after what there is.
    fn may_stand(&mut self, character: char, before: Option<char>, rest: &str) -> bool {
        match character {
            ' ' => {
                let after = rest.chars().nth(1);
                let other = |neighbour: Option<char>| neighbour.is_some_and(|neighbour| neighbour != ' ');
                other(before) && other(after)
            }
            '\\' => !rest.starts_with("\\u{"),
            '`' => self.backticks + 1 < FENCE,
            ascii if ascii.is_ascii() => ascii.is_ascii_graphic(),
            other => !is_unseen(other) && self.joins(other),
        }
    }

    /// Whether a character beyond ASCII is a letter or sign of its own, or a mark that its letter can carry, and
    /// does not make of the letter before it what another character is too (UAX #15).
    fn joins(&mut self, character: char) -> bool {
        let overlay = canonical_combining_class(character) == OVERLAY;
        if is_mark(character) && (self.letter.is_empty() || self.marks == MARKS || overlay) {
            return false;
        }
        self.letter.push(character);
        let normal = is_nfc(&self.letter);
        self.letter.pop();
        normal
    }

    fn keep(&mut self, character: char) {
        self.flush();
        self.text.push(character);
        self.backticks = if character == '`' { self.backticks + 1 } else { 0 };
        if is_mark(character) {
            self.letter.push(character);
            self.marks += 1;
            return;
        }
        self.letter.clear();
        self.marks = 0;
        if character.is_ascii_alphabetic() || character.general_category_group() == GeneralCategoryGroup::Letter {
            self.letter.push(character);
        }
    }

    fn escape(&mut self, character: char) {
        match &mut self.run {
            Some((same, count)) if *same == character => *count += 1,
            _ => {
                self.flush();
                self.run = Some((character, 1));
            }
        }
        // An escape stands between a letter and what comes next.
        self.letter.clear();
        self.marks = 0;
        self.backticks = 0;
    }

    /// Writes the escape that waits for its count.
    fn flush(&mut self) {
        let Some((character, count)) = self.run.take() else {
            return;
        };
        let code = u32::from(character);
        // Writing to a String cannot fail.
        match count {
            1 => write!(self.text, "\\u{{{code:x}}}"),
            _ => write!(self.text, "\\u{{{code:x}*{count}}}"),
        }
        .ok();
    }
}

/// Whether a mark stands on the letter before it.
pub(super) fn is_mark(character: char) -> bool {
    !character.is_ascii() && character.general_category_group() == GeneralCategoryGroup::Mark
}

/// Whether a character beyond ASCII has no shape of its own, or changes the place or shape of others.
fn is_unseen(character: char) -> bool {
    matches!(
        character.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::EnclosingMark
    ) || is_ignorable(character)
        || BLANK.contains(&character)
        || is_right_to_left(character)
}

/// Signs that are drawn as nothing: the empty braille pattern, a note without a head, the place of an object.
const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', '\u{fffc}'];

/// The blocks whose characters are written from right to left unless stated otherwise (DerivedBidiClass.txt).
fn is_right_to_left(character: char) -> bool {
    matches!(
        character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_can_be_seen_stands_as_it_is() {
        for text in [
            "",
            "a b",
            r#"{"a": [1, "b\n\\ \u0041 \""]}"#,
            "[x](http://evil.test) <b> # | `code` ``more``",
            "Müller, Ελλάδα, Привет, 日本語, ไทย, हिन्दी, ẹ́",
            "q\u{323}\u{307}",
            "\\ \\u \\{ u{41}",
            "😀 → ·",
        ] {
            assert_eq!(shown(text), text);
        }
        assert!(matches!(shown("plain text"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_cannot_be_seen_or_would_act_is_spelled_out() {
        for (name, text, expected) in [
            ("escape sequence", "a\x1b[2Jb", r"a\u{1b}[2Jb"),
            ("line ends", "a\r\nb\n\n\nc", r"a\u{d}\u{a}b\u{a*3}c"),
            ("C1 controls", "\u{9b}31m\u{85}", r"\u{9b}31m\u{85}"),
            ("DEL and NUL", "\x7f\0", r"\u{7f}\u{0}"),
            ("bidirectional controls", "a\u{202e}b\u{2066}c\u{200f}", r"a\u{202e}b\u{2066}c\u{200f}"),
            ("zero widths", "a\u{200b}b\u{200d}c\u{feff}d\u{2060}", r"a\u{200b}b\u{200d}c\u{feff}d\u{2060}"),
            ("a soft hyphen", "a\u{ad}b", r"a\u{ad}b"),
            ("tags", "a\u{e0041}\u{e0042}", r"a\u{e0041}\u{e0042}"),
            ("variation selectors", "a\u{fe0f}b\u{e0100}", r"a\u{fe0f}b\u{e0100}"),
            ("separators", "a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("private and unassigned", "\u{e000}\u{378}\u{10ffff}", r"\u{e000}\u{378}\u{10ffff}"),
            ("white space of other kinds", "a\tb\u{a0}c\u{3000}d\u{2003}", r"a\u{9}b\u{a0}c\u{3000}d\u{2003}"),
            ("spaces at the ends", " a ", r"\u{20}a\u{20}"),
            ("spaces in a row", "a  b        c", r"a\u{20*2}b\u{20*8}c"),
            ("one space alone", " ", r"\u{20}"),
            ("fillers and blanks", "\u{3164}\u{115f}\u{2800}\u{34f}", r"\u{3164}\u{115f}\u{2800}\u{34f}"),
            ("a flood of marks", &format!("a{}b", "\u{489}\u{35c}".repeat(2)), r"a\u{489}\u{35c}\u{489}\u{35c}b"),
            ("marks beyond two", "q\u{323}\u{307}\u{307}\u{307}r", "q\u{323}\u{307}\\u{307*2}r"),
            ("a mark without a letter", "\"\u{301}1\u{301}", r#""\u{301}1\u{301}"#),
            ("a mark behind an escape", "a\u{200b}\u{301}", r"a\u{200b}\u{301}"),
            ("a mark through its letter", "a\u{336}b\u{338}", r"a\u{336}b\u{338}"),
            ("a letter in two parts", "e\u{301}", r"e\u{301}"),
            ("marks in another order", "q\u{307}\u{323}", "q\u{307}\\u{323}"),
            ("a syllable in parts", "\u{1100}\u{1161}", "\u{1100}\\u{1161}"),
            ("a sign for a letter", "\u{212b}\u{2126}\u{212a}", r"\u{212b}\u{2126}\u{212a}"),
            ("letters from the right", "שלום 100", r"\u{5e9}\u{5dc}\u{5d5}\u{5dd} 100"),
            ("our own spelling", r"\u{202e} \\u{41}", r"\u{5c}u{202e} \\u{5c}u{41}"),
            ("fences", "```a``````", r"``\u{60}a``\u{60}``\u{60}"),
        ] {
            assert_eq!(shown(text), expected, "{name}");
        }
    }

    #[test]
    fn a_flood_takes_no_room() {
        assert_eq!(shown(&"\u{200b}".repeat(100_000)), r"\u{200b*100000}");
        assert_eq!(shown(&format!("a{}", "\u{301}".repeat(9))), "a\\u{301*9}");
    }

    #[test]
    fn lines_keep_their_shape_and_lose_what_a_terminal_would_act_upon() {
        let honest = "Request:\n    PATCH /a  b\\u{1b}\n\n```\n";
        assert_eq!(defused(honest), honest);
        assert_eq!(
            defused("a\x1b[2J\r\n\u{9b}1m\tb\u{202e}\u{200b}\u{200b}"),
            concat!(r"a\u{1b}[2J\u{d}", "\n", r"\u{9b}1m\u{9}b\u{202e}\u{200b*2}")
        );
    }

    /// Undoes [`shown`]: that there is a way back is what makes it injective.
    fn hidden(line: &str) -> String {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("\\u{") {
            text.push_str(before);
            let (code, after) = after.split_once('}').unwrap();
            let (code, count) = code.split_once('*').unwrap_or((code, "1"));
            let character = char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap();
            text.extend(std::iter::repeat_n(character, count.parse().unwrap()));
            rest = after;
        }
        text + rest
    }

    /// Texts of what makes trouble, most of it close together.
    fn troubled() -> impl Strategy<Value = String> {
        let character = prop_oneof![
            3 => prop::sample::select("ab1 \"\\u{}`*<|#_[]().é日".chars().collect::<Vec<_>>()),
            3 => prop::sample::select(
                "\n\r\t\u{1b}\u{85}\u{a0}\u{200b}\u{202e}\u{2028}\u{301}\u{307}\u{323}\u{338}\u{489}\u{fe0f}\u{e0041}\u{5d0}\u{663}\u{3164}\u{1100}\u{1161}\u{11a8}\u{ac00}\u{212b}\u{915}\u{93c}\u{958}\u{9c7}\u{9be}\u{378}"
                    .chars()
                    .collect::<Vec<_>>()
            ),
            1 => any::<char>(),
        ];
        prop::collection::vec(character, 0..24).prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn no_two_texts_are_shown_alike(text in troubled()) {
            prop_assert_eq!(hidden(&shown(&text)), text);
        }

        #[test]
        fn a_shown_text_is_one_line_without_anything_unseen(text in troubled()) {
            let line = shown(&text);
            prop_assert!(is_nfc(&line), "{}", line);
            prop_assert!(!["```", "  "].iter().any(|sign| line.contains(sign)), "{}", line);
            prop_assert!(!line.starts_with(' ') && !line.ends_with(' '), "{}", line);
            prop_assert_eq!(&defused(&line), &*line);
            let mut marks = 0;
            let mut before = ' ';
            for character in line.chars() {
                let ascii = character == ' ' || character.is_ascii_graphic();
                prop_assert!(ascii || (!character.is_ascii() && !is_unseen(character)), "{:?}", line);
                marks = if is_mark(character) { marks + 1 } else { 0 };
                // By the same tables as the code: the standard library may know another version of Unicode.
                let letter = before.general_category_group() == GeneralCategoryGroup::Letter;
                prop_assert!(marks == 0 || letter || is_mark(before), "{:?}", line);
                prop_assert!(marks <= MARKS, "{:?}", line);
                before = character;
            }
        }

        #[test]
        fn printable_ascii_is_changed_for_spaces_fences_and_our_own_spelling_alone(text in "[!-~]{0,20}") {
            prop_assume!(!text.contains("```") && !text.contains("\\u{"));
            prop_assert_eq!(shown(&text), text.as_str());
        }
    }
}
