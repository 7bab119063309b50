//! The pieces that segments are put together from: each a spelling on the wire and what it is in deny form.
//!
//! A segment is looked for as a chain of pieces, each of them one character or a letter with a mark. Promises that for
//! every segment of any path there is a chain that the same labels match: of characters that no label waits for one
//! stands for all. What several marks in a row make of the letter before them, and in which order they are composed, no
//! list can hold: pieces that no path can have stand in for them, with any letter for their deny form, so that nothing is
//! left out.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

use unicode_normalization::char::{canonical_combining_class, compose};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::policy::pattern::DENY_ENDS;
use crate::policy::trie::stepped::Label;
use crate::request::fold::{fold_segment, is_ignorable};

/// ASCII that a path may hold only as `%HH`, and ASCII that it may hold either way.
const ENCODED_ONLY: &str = " \"<>[]^`{|}";
const EITHER: &str = "!$&'()*+,=:@";
/// Ordinary characters, for one that no label waits for; the first that is free is taken.
const ORDINARY: &str = "xyzabcdefghijklmnopqrstuvw0123456789_-";
/// Characters beyond ASCII that fold to themselves and compose with nothing.
const PLAIN_BEYOND: &str = "中文字人大小山川";
/// Stands for encoded text that no label waits for, where it is unknown what it looks like.
const UNSEEN: char = '\u{1}';
/// Stands for characters that no label has.
const OTHER: char = '\u{0}';
/// A variation selector: it is left out of the deny form.
const LEFT_OUT: char = '\u{fe0f}';
/// A space beyond ASCII.
const SPACE: char = '\u{a0}';

/// One piece of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Token {
    pub(super) canonical: Box<str>,
    pub(super) folded: Box<str>,
    pub(super) sort: Sort,
}

/// What a piece does beside standing where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sort {
    /// Something of the name.
    Name,
    /// At the end it is no part of the deny form, and alone it makes no name: a dot, a space.
    Trimmed,
    /// It is in no deny form, and alone it makes no name.
    Ignored,
    /// No path can have it.
    Imagined,
}

impl Token {
    fn new(canonical: impl Into<Box<str>>, folded: impl Into<Box<str>>, sort: Sort) -> Self {
        Self { canonical: canonical.into(), folded: folded.into(), sort }
    }

    /// Text as it may stand in a path, with what it folds to in the middle of a name.
    fn of(canonical: String, sort: Sort) -> Self {
        let folded = inner_fold(&canonical);
        Self::new(canonical, folded, sort)
    }

    /// A character as it is.
    fn raw(character: char) -> Self {
        let sort = if character == '.' { Sort::Trimmed } else { Sort::Name };
        Self::new(character.to_string(), character.to_ascii_lowercase().to_string(), sort)
    }

    /// A character as `%HH`.
    fn encoded(character: char) -> Self {
        let sort = match (is_ignorable(character), character.is_whitespace()) {
            (true, _) => Sort::Ignored,
            (false, true) => Sort::Trimmed,
            (false, false) => Sort::Name,
        };
        Self::of(percent(character), sort)
    }
}

/// The characters beyond ASCII that a set of labels knows, and what else the pieces depend on.
#[derive(Debug)]
pub(super) struct Alphabet {
    /// Pieces that are always tried.
    fixed: Vec<Token>,
    /// Marks of labels, which change the letter before them, with what each is where there is none.
    marks: Vec<(char, Vec<Token>)>,
    /// The digits of `%HH` with which a label may begin to match.
    digits: BTreeSet<char>,
    /// Other characters beyond ASCII that labels know.
    letters: Vec<char>,
}

impl Alphabet {
    pub(super) fn new<'t>(canonical: impl Iterator<Item = Label<'t>>, folded: impl Iterator<Item = Label<'t>>) -> Self {
        let mut known = BTreeSet::new();
        let mut digits = BTreeSet::new();
        let (canonical, folded): (Vec<_>, Vec<_>) = (canonical.collect(), folded.collect());
        for label in canonical.iter().copied() {
            digits.extend(digits_of(label));
            escapes(label, &mut known);
        }
        let beyond = |label: Label<'t>| text_of(label).chars().filter(|c| !c.is_ascii()).collect::<Vec<_>>();
        known.extend(folded.iter().copied().flat_map(beyond));
        let mut fixed = vec![
            Token::raw('.'),
            Token::encoded(' '),
            Token::encoded(SPACE),
            Token::encoded(LEFT_OUT),
            // What as it is written is an end of R5 and in deny form none.
            Token::of(format!("={}", percent('\u{338}')), Sort::Name),
        ];
        fixed.extend(PLAIN_BEYOND.chars().find(|plain| !known.contains(plain)).map(Token::encoded));
        let mut marks = Vec::new();
        for character in known.iter().copied() {
            if follows(character) {
                marks.push((character, spellings(character)));
                let letters = known.iter().filter(|letter| !letter.is_ascii());
                fixed.extend(letters.map(|letter| Token::of(percent(*letter) + &percent(character), Sort::Name)));
            } else {
                fixed.extend(spellings(character));
            }
        }
        if !digits.is_empty() {
            let seen = |token: &Token| token.canonical.contains(|c| digits.contains(&c));
            let ascii = ENCODED_ONLY.chars().chain(EITHER.chars()).map(Token::encoded);
            let bytes = (0x80..=0xf4_u8).map(|byte| Token::new(format!("%{byte:02X}"), "", Sort::Imagined));
            fixed.extend(ascii.chain(latin()).chain(left_out()).chain(bytes).filter(seen));
            let unseen = [String::new(), UNSEEN.to_string()];
            fixed.extend(unseen.map(|folded| Token::new(UNSEEN.to_string(), folded, Sort::Imagined)));
        }
        let is_mark = |c: &char| marks.iter().any(|(mark, _)| mark == c);
        let letters = known.iter().copied().filter(|c| !c.is_ascii() && !is_mark(c)).collect();
        let mut alphabet = Self { fixed: Vec::new(), marks, letters, digits };
        let (written, folded) = (characters(&canonical), characters(&folded));
        let mut seen = HashSet::new();
        fixed.retain(|piece| {
            let (canonical, folded) = (outline(&piece.canonical, &written), outline(&piece.folded, &folded));
            seen.insert((canonical, folded, piece.sort, alphabet.last(&piece.canonical)))
        });
        alphabet.fixed = fixed;
        alphabet
    }

    /// What stands before the next piece, as far as it matters.
    pub(super) fn last(&self, canonical: &str) -> Last {
        let is_encoded = canonical.ends_with(UNSEEN) || canonical.bytes().rev().nth(2) == Some(b'%');
        if is_encoded && !self.marks.is_empty() { Last::Encoded } else { Last::Raw }
    }

    /// The pieces that may come next, where labels wait for these characters as it is written and in deny form.
    pub(super) fn next(&self, last: Last, written: &[char], folded: &[char]) -> Vec<Token> {
        let mut tokens = Vec::with_capacity(self.fixed.len() + 16);
        let free = |c: &char| !written.contains(c) && !folded.contains(&c.to_ascii_lowercase());
        let fresh = ORDINARY.chars().find(free);
        let end = DENY_ENDS.chars().filter(|c| *c != '.').find(free);
        tokens.extend(fresh.into_iter().chain(end).map(Token::raw));
        end.into_iter().chain(['.']).for_each(|end| self.marked(end, &mut tokens));
        let hidden = EITHER.chars().find(|c| DENY_ENDS.contains(*c) && !folded.contains(c));
        tokens.extend(hidden.into_iter().flat_map(|c| [Token::encoded(c), wide(c)]));
        for character in written.iter().copied().filter(|c| *c != '%' && *c != '.') {
            tokens.push(Token::raw(character));
            self.composed(character, folded, &mut tokens);
        }
        for character in folded.iter().copied() {
            self.spelled(character, written, &mut tokens);
        }
        fresh.into_iter().for_each(|fresh| self.composed(fresh, folded, &mut tokens));
        for (mark, alone) in &self.marks {
            tokens.extend(base_of(*mark, free, folded));
            match last {
                // Composed pieces say what becomes of it.
                Last::Raw => {}
                Last::Nothing | Last::Encoded => tokens.extend(alone.iter().cloned()),
            }
        }
        tokens.extend(self.fixed.iter().cloned());
        self.several(last, written, folded, &mut tokens);
        let mut seen = HashSet::with_capacity(tokens.len());
        tokens.retain(|token| seen.insert(token.clone()));
        tokens
    }

    /// What several marks in a row may make of a letter: any other, or one that no label waits for.
    fn several(&self, last: Last, written: &[char], folded: &[char], tokens: &mut Vec<Token>) {
        let imagined = |canonical: String, folded: String| Token::new(canonical, folded, Sort::Imagined);
        let others = || folded.iter().filter(|c| !c.is_ascii()).map(char::to_string);
        // Of marks that no label knows.
        let known = || self.letters.iter().chain(self.marks.iter().map(|(mark, _)| mark)).map(|c| percent(*c));
        tokens.extend(known().flat_map(|c| others().map(move |other| imagined(format!("{c}{UNSEEN}"), other))));
        let raw = written.iter().filter(|c| is_raw(**c)).map(char::to_string);
        let letters: Vec<String> = raw.chain(known()).collect();
        for mark in self.marks.iter().map(|(mark, _)| percent(*mark)) {
            for letter in &letters {
                let others = others().chain([UNSEEN.to_string()]);
                tokens.extend(others.map(|other| imagined(format!("{letter}{mark}"), other)));
            }
            tokens.extend(others().map(|other| imagined(mark.clone(), other)));
            if last == Last::Encoded {
                tokens.push(imagined(mark, String::new()));
            }
        }
    }

    /// Everything that a character of a deny form may be on the wire.
    fn spelled(&self, character: char, written: &[char], tokens: &mut Vec<Token>) {
        if !self.digits.is_empty() {
            tokens.push(Token::new(UNSEEN.to_string(), character.to_string(), Sort::Imagined));
        }
        if !character.is_ascii() {
            return;
        }
        let upper = character.to_ascii_uppercase();
        let raw = [character, upper].into_iter().filter(|c| is_raw(*c) && *c != '.' && !written.contains(c));
        for character in raw {
            tokens.push(Token::raw(character));
            self.marked(character, tokens);
        }
        if is_encodable(character) {
            tokens.push(Token::encoded(character));
        }
        if matches!(character, '!'..='~') && !"./%?#;\\".contains(character) {
            tokens.push(wide(character));
        }
    }

    /// A letter with a mark that makes another letter of it, which no label waits for.
    fn composed(&self, base: char, folded: &[char], tokens: &mut Vec<Token>) {
        let mut known = COMPOSED.get(base as usize).into_iter().flatten();
        tokens.extend(known.find(|token| !token.folded.starts_with(folded)).cloned());
        self.marked(base, tokens);
    }

    /// A letter with each mark that a label knows.
    fn marked(&self, base: char, tokens: &mut Vec<Token>) {
        tokens.extend(self.marks.iter().map(|(mark, _)| Token::of(format!("{base}{}", percent(*mark)), Sort::Name)));
    }
}

/// What stands before a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Last {
    /// Nothing: it is the first.
    Nothing,
    /// A character as it is.
    Raw,
    /// `%HH`.
    Encoded,
}

/// For each ASCII character, itself with each mark that makes another letter of it.
static COMPOSED: LazyLock<Vec<Vec<Token>>> = LazyLock::new(|| {
    let composed = |base: char| -> Vec<Token> {
        let marks = FOLLOWERS.iter().filter(|mark| compose(base, **mark).is_some());
        let tokens = marks.map(|mark| Token::of(format!("{base}{}", percent(*mark)), Sort::Name));
        tokens.filter(|token| !token.folded.starts_with(base.to_ascii_lowercase())).collect()
    };
    ('\0'..='\u{7f}').map(composed).collect()
});

/// Whether a character can change the letter before it, or let one behind it do so: a mark, or what no deny form has.
fn follows(character: char) -> bool {
    let is_mark = || canonical_combining_class(character) != 0 || FOLLOWERS.contains(&character);
    !character.is_ascii() && (is_mark() || is_ignorable(character))
}

/// Every way to write a character that a label knows, beyond the ones that all characters have.
fn spellings(character: char) -> Vec<Token> {
    let mut tokens = vec![Token::encoded(character)];
    if character.is_ascii() {
        return tokens;
    }
    let mut upper = character.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(upper), None) if upper != character => Some(upper),
        (Some(_) | None, _) => None,
    };
    tokens.extend(upper.map(Token::encoded));
    tokens.extend([Some(character), upper].into_iter().flatten().filter_map(apart));
    // In a way that no label knows.
    tokens.push(Token::new(UNSEEN.to_string(), inner_fold(&percent(character)), Sort::Imagined));
    // What a mark makes of it, which may be composed before the marks that it has.
    let alone = inner_fold(&percent(character));
    let with = |mark: &char| Token::of(percent(character) + &percent(*mark), Sort::Name);
    tokens.extend(FOLLOWERS.iter().map(with).find(|token| !token.folded.starts_with(&alone)));
    tokens
}

/// A letter and its marks, one after another.
fn apart(character: char) -> Option<Token> {
    let spelled = character.nfd().map(|c| if c.is_ascii() { c.to_string() } else { percent(c) });
    (character.nfd().count() > 1).then(|| Token::of(spelled.collect(), Sort::Name))
}

/// A letter that no label waits for, with the mark, where they make a letter that no label waits for.
fn base_of(mark: char, free: impl Fn(&char) -> bool, folded: &[char]) -> Option<Token> {
    let letters = ('a'..='z').chain('A'..='Z').filter(|base| free(base) && compose(*base, mark).is_some());
    let mut tokens = letters.map(|base| (base, Token::of(format!("{base}{}", percent(mark)), Sort::Name)));
    let is_new = |(base, token): &(char, Token)| {
        !token.folded.starts_with(base.to_ascii_lowercase()) && !token.folded.starts_with(folded)
    };
    tokens.find(is_new).map(|(_, token)| token)
}

/// The characters that may make another letter of the one before them (NFC_Quick_Check=Maybe, UAX #15).
static FOLLOWERS: LazyLock<Vec<char>> = LazyLock::new(|| {
    let may_follow = |c: &char| is_nfc_quick(std::iter::once(*c)) == IsNormalized::Maybe;
    ('\u{300}'..=char::MAX).filter(may_follow).collect()
});

/// Letters of the Latin-1 block, for their last two digits on the wire.
fn latin() -> impl Iterator<Item = Token> {
    ('\u{c0}'..='\u{ff}').map(Token::encoded)
}

/// Variation selectors with every last byte that there is: they bring digits into a name that they are no part of.
fn left_out() -> impl Iterator<Item = Token> {
    ('\u{e0100}'..='\u{e013f}').map(Token::encoded)
}

/// The full-width form of an ASCII character, which folds to it.
fn wide(character: char) -> Token {
    let wide = char::from_u32(u32::from(character) + 0xfee0).unwrap_or(character);
    Token::new(percent(wide), character.to_ascii_lowercase().to_string(), Sort::Name)
}

/// What text folds to between two letters that it does nothing to.
fn inner_fold(canonical: &str) -> String {
    let fence = percent('中');
    let folded = fold_segment(&format!("{fence}{canonical}{fence}"));
    folded.strip_prefix('中').and_then(|rest| rest.strip_suffix('中')).unwrap_or_default().to_owned()
}

fn characters(labels: &[Label<'_>]) -> BTreeSet<char> {
    labels.iter().flat_map(|label| text_of(*label).chars().collect::<Vec<_>>()).collect()
}

/// What labels of these characters can tell of a text: which of them it holds and where it ends by R5. Other characters are alike,
/// and so are one and several of them: none of them goes on from anywhere but a `*`.
fn outline(text: &str, characters: &BTreeSet<char>) -> String {
    let mut outline = String::with_capacity(text.len());
    for character in text.chars() {
        if characters.contains(&character) || DENY_ENDS.contains(character) {
            outline.push(character);
        } else if !outline.ends_with(OTHER) {
            outline.push(OTHER);
        }
    }
    outline
}

fn percent(character: char) -> String {
    let mut text = String::with_capacity(9);
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a String cannot fail.
        write!(text, "%{byte:02X}").ok();
    }
    text
}

fn is_raw(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character) || EITHER.contains(character)
}

fn is_encodable(character: char) -> bool {
    ENCODED_ONLY.contains(character) || EITHER.contains(character)
}

fn text_of(label: Label<'_>) -> String {
    match label {
        Label::Literal(text) => text.to_owned(),
        Label::Glob(glob) => glob.to_string(),
    }
}

/// The hexadecimal digits with which a part of the label begins that may stand anywhere, so that it may begin inside of
/// `%HH`.
fn digits_of(label: Label<'_>) -> Vec<char> {
    match label {
        Label::Literal(_) => Vec::new(),
        Label::Glob(glob) => {
            let first = glob.pieces().skip(1).filter_map(|piece| piece.chars().next());
            first.filter(|c| matches!(c, '0'..='9' | 'A'..='F')).collect()
        }
    }
}

/// The characters that the label has as `%HH`.
fn escapes(label: Label<'_>, known: &mut BTreeSet<char>) {
    let text = text_of(label);
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('%') {
        if at > 0 {
            known.extend(String::from_utf8_lossy(&std::mem::take(&mut bytes)).chars());
        }
        let digits = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.extend(digits);
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    known.extend(String::from_utf8_lossy(&bytes).chars());
}
