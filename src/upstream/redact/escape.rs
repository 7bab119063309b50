//! The escapes in which an echo may be written: percent (RFC 3986), backslash (JSON and programming languages), entity (HTML).
//!
//! Promises to read a text as it looks once its escapes are undone, one layer after the other, each on what the one before it left;
//! to copy nothing; and to take a number of steps that grows with the length of the text alone. Only visible ASCII and the space are
//! undone, since no credential holds anything else.

/// The bytes with which an escape begins.
pub(super) const BEGINNINGS: [u8; 3] = [b'%', b'\\', b'&'];

/// In how many layers a text is undone at most: JSON in JSON in HTML in a URL.
pub(super) const MOST_LAYERS: usize = 4;

/// The digits that one numeric escape may have, leading zeros included.
const MOST_DIGITS: usize = 16;

/// One way to write escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Percent,
    Backslash,
    Entity,
}

/// One character, as it looks once the layers are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Character {
    pub(super) byte: u8,
    /// Where its spelling ends.
    pub(super) end: usize,
    /// No further layer would change it.
    settled: bool,
}

impl Character {
    /// Whether it is written as an escape when its spelling begins at `at`.
    pub(super) fn is_escape(self, at: usize) -> bool {
        self.end.saturating_sub(at) > 1
    }
}

/// A text, read with so many layers of escapes undone, whatever their kinds.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t [u8],
    layers: usize,
    /// For each number of layers the escape that was read last, and where it begins: what was looked at ahead is read again soon.
    known: [Option<(usize, Character)>; MOST_LAYERS],
}

/// The whole text with so many layers undone.
pub(super) fn undone(text: &[u8], layers: usize) -> Vec<u8> {
    let mut reader = Reader::new(text, layers);
    let mut undone = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(character) = reader.read(at) {
        undone.push(character.byte);
        at = character.end;
    }
    undone
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t [u8], layers: usize) -> Self {
        Self { text, layers: layers.min(MOST_LAYERS), known: [None; MOST_LAYERS] }
    }

    /// The character whose spelling begins at `at`; `None` at the end of the text.
    pub(super) fn read(&mut self, at: usize) -> Option<Character> {
        self.read_under(at, self.layers)
    }

    /// The same with only the first so many layers undone.
    fn read_under(&mut self, at: usize, layers: usize) -> Option<Character> {
        let byte = *self.text.get(at)?;
        let raw = Character { byte, end: at.checked_add(1)?, settled: Kind::begun_by(byte).is_none() };
        if raw.settled || layers == 0 {
            return Some(raw);
        }
        let known = self.known.iter().enumerate().take(layers).rev().find_map(|(below, known)| {
            known.filter(|(place, _)| *place == at).map(|(_, character)| (below + 1, character))
        });
        let (undone, mut character) = known.unwrap_or((0, raw));
        for before in undone..layers {
            if character.settled {
                break;
            }
            character = self.undo(character, before);
        }
        if let Some(known) = self.known.get_mut(layers - 1) {
            *known = Some((at, character));
        }
        Some(character)
    }

    /// What the layer after `before` others makes of a character and what follows it.
    fn undo(&mut self, first: Character, before: usize) -> Character {
        let Some(kind) = Kind::begun_by(first.byte) else { return first };
        let mut rest = Rest { reader: self, at: first.end, before, plain: true };
        let undone = match kind {
            Kind::Percent => rest.percent(),
            Kind::Backslash => rest.backslash(),
            Kind::Entity => rest.entity(),
        };
        let visible = undone.and_then(|value| u8::try_from(value).ok()).filter(|byte| matches!(byte, b' '..=b'~'));
        match visible {
            Some(byte) => Character { byte, end: rest.at, settled: Kind::begun_by(byte).is_none() },
            // Every layer would be given the same to read, and make nothing of it either.
            None => Character { settled: rest.plain, ..first },
        }
    }
}

impl Kind {
    fn begun_by(byte: u8) -> Option<Self> {
        match byte {
            b'%' => Some(Self::Percent),
            b'\\' => Some(Self::Backslash),
            b'&' => Some(Self::Entity),
            _ => None,
        }
    }
}

/// What follows the first character of what may be an escape.
struct Rest<'r, 't> {
    reader: &'r mut Reader<'t>,
    at: usize,
    before: usize,
    /// Nothing that was looked at is changed by any layer.
    plain: bool,
}

impl Rest<'_, '_> {
    /// The next character, without going on behind it.
    fn peek(&mut self) -> Option<Character> {
        let next = self.reader.read_under(self.at, self.before)?;
        self.plain &= next.settled && !next.is_escape(self.at);
        Some(next)
    }

    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.at = next.end;
        Some(next.byte)
    }

    /// Goes on behind the next character if it is this one.
    fn skip(&mut self, byte: u8) -> Option<()> {
        let next = self.peek().filter(|next| next.byte == byte)?;
        self.at = next.end;
        Some(())
    }

    /// `%41`, `%u0041`.
    fn percent(&mut self) -> Option<u32> {
        match self.next()? {
            b'u' => self.digits(0, 16, 4),
            high => self.digits(digit(high, 16)?, 16, 1),
        }
    }

    /// `\u0041`, `\u{41}`, `\U00000041`, `\x41`, `\101`, and `\` before what is neither a letter nor a digit.
    fn backslash(&mut self) -> Option<u32> {
        let start = self.at;
        match self.next()? {
            // That is an escape in this layer, and the backslash one in the next.
            b'%' | b'&' if self.begins_escape(start) => None,
            b'u' | b'x' if self.skip(b'{').is_some() => {
                let value = self.number(16)?;
                self.skip(b'}').map(|()| value)
            }
            b'u' => self.digits(0, 16, 4),
            b'U' => self.digits(0, 16, 8),
            b'x' => self.digits(0, 16, 2),
            high if high.is_ascii_digit() => self.digits(digit(high, 8)?, 8, 2),
            letter if letter.is_ascii_alphabetic() => None,
            other => Some(u32::from(other)),
        }
    }

    /// Whether this layer, too, makes an escape of what begins at a place.
    fn begins_escape(&mut self, at: usize) -> bool {
        self.plain = false;
        let here = self.reader.read_under(at, self.before);
        let undone = self.reader.read_under(at, self.before + 1);
        undone.map(|undone| undone.end) != here.map(|here| here.end)
    }

    /// `&#65;`, `&#x41;`, `&amp;`. As browsers have it, a number may end without `;`, and so may the oldest names.
    fn entity(&mut self) -> Option<u32> {
        let start = self.at;
        match self.next()? {
            b'#' => {}
            letter if letter.is_ascii_alphabetic() => {
                self.at = start;
                return self.name().map(u32::from);
            }
            _ => return None,
        }
        let hexadecimal = self.skip(b'x').or_else(|| self.skip(b'X')).is_some();
        let value = self.number(if hexadecimal { 16 } else { 10 })?;
        self.skip(b';');
        Some(value)
    }

    fn name(&mut self) -> Option<u8> {
        let start = self.at;
        let mut letters = [0_u8; MOST_LETTERS];
        let mut length = 0;
        while let Some(next) = self.peek().filter(|next| next.byte.is_ascii_alphabetic()) {
            let Some(letter) = letters.get_mut(length) else { break };
            *letter = next.byte;
            length += 1;
            self.at = next.end;
        }
        let name = letters.get(..length)?;
        if self.skip(b';').is_some()
            && let Some((_, byte)) = NAMES.iter().find(|(known, _)| known.as_bytes() == name)
        {
            return Some(*byte);
        }
        let (old, byte) = NAMES.iter().take(OLD_NAMES).find(|(old, _)| name.starts_with(old.as_bytes()))?;
        self.at = start;
        old.bytes().try_for_each(|letter| self.skip(letter))?;
        Some(*byte)
    }

    /// Exactly so many digits more.
    fn digits(&mut self, value: u32, radix: u32, count: usize) -> Option<u32> {
        (0..count).try_fold(value, |value, _| {
            let digit = digit(self.next()?, radix)?;
            value.checked_mul(radix)?.checked_add(digit)
        })
    }

    /// As many digits as there are, from one to [`MOST_DIGITS`].
    fn number(&mut self, radix: u32) -> Option<u32> {
        let mut value = self.digits(0, radix, 1)?;
        let mut left = MOST_DIGITS - 1;
        while let Some(next) = self.peek()
            && let Some(digit) = digit(next.byte, radix)
        {
            left = left.checked_sub(1)?;
            value = value.checked_mul(radix)?.checked_add(digit)?;
            self.at = next.end;
        }
        Some(value)
    }
}

fn digit(byte: u8, radix: u32) -> Option<u32> {
    char::from(byte).to_digit(radix)
}

/// How many of [`NAMES`] are as old as HTML, and end without `;` as well.
const OLD_NAMES: usize = 8;

/// The length of the longest of [`NAMES`].
const MOST_LETTERS: usize = 16;

/// HTML's names for visible ASCII (HTML standard, section 13.5).
const NAMES: [(&str, u8); 43] = [
    ("amp", b'&'),
    ("quot", b'"'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("AMP", b'&'),
    ("QUOT", b'"'),
    ("LT", b'<'),
    ("GT", b'>'),
    ("apos", b'\''),
    ("sol", b'/'),
    ("plus", b'+'),
    ("equals", b'='),
    ("lowbar", b'_'),
    ("UnderBar", b'_'),
    ("period", b'.'),
    ("colon", b':'),
    ("semi", b';'),
    ("comma", b','),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("grave", b'`'),
    ("DiacriticalGrave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("VerticalLine", b'|'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, layers: usize) -> String {
        String::from_utf8(undone(text.as_bytes(), layers)).unwrap()
    }

    #[test]
    fn every_kind_of_escape_is_undone() {
        for (written, expected) in [
            ("%41%2f%2F", "A//"),
            ("%u0041", "A"),
            (r"\u0041\u002f", "A/"),
            (r"\u{41}\u{000041}\x{41}", "AAA"),
            (r"\U00000041\x41\101", "AAA"),
            (r#"\"\\\/\'\+\ "#, r#""\/'+ "#),
            ("&#65;&#0065;&#x41;&#X0041;", "AAAA"),
            ("&#65&#x41.", "AA."),
            ("&amp;&AMP;&lt;&gt;&quot;&apos;", "&&<>\"'"),
            ("&amp&lt&gt&quot", "&<>\""),
            ("&sol;&plus;&equals;&lowbar;&DiacriticalGrave;", "/+=_`"),
        ] {
            assert_eq!(read(written, 1), expected, "{written}");
        }
    }

    #[test]
    fn what_is_no_escape_of_visible_ascii_stays_as_it_is() {
        for text in [
            "%",
            "%4",
            "%4g",
            "100%zz",
            "%00",
            "%0a",
            "%7f",
            "%80",
            "%C3%A9",
            "%u00e9",
            "%u41",
            r"\n",
            r"\b",
            r"\u004",
            r"\u00e9",
            r"\u{}",
            r"\u{41",
            r"\u{110000}",
            r"\08",
            r"\189",
            r"\x4",
            "\\\u{e9}",
            "&",
            "&;",
            "&#;",
            "&#x;",
            "&#10;",
            "&#128512;",
            "&nbsp;",
            "&sol",
            "&Sol;",
            "&#99999999999999999999;",
            "&page=1",
            "&unknownandverylongname;",
        ] {
            assert_eq!(read(text, MOST_LAYERS), text, "{text}");
        }
    }

    #[test]
    fn an_escape_around_an_escape_takes_a_layer_each() {
        for (written, layers, expected) in [
            ("%2541", 1, "%41"),
            ("%2541", 2, "A"),
            (r"\\u0041", 2, "A"),
            (r"\\\\u0041", 2, r"\u0041"),
            (r"\\\\u0041", 3, "A"),
            (r"\\\\\\\\u0041", 4, "A"),
            ("&amp;amp;#x41;", 3, "A"),
            (r"\u0026#65;", 2, "A"),
            ("%26%2365%3B", 2, "A"),
            ("%&#52;1", 2, "A"),
            (r"\\&#117;0041", 2, "A"),
            ("&amp;#37;25%34%31", 4, "A"),
            (r"\u0025\u0034\u0031", 2, "A"),
            ("%25252541", MOST_LAYERS, "A"),
            ("%2525252541", MOST_LAYERS, "%41"),
        ] {
            assert_eq!(read(written, layers), expected, "{written} in {layers}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_standard_and_fit() {
        assert_eq!(NAMES.iter().map(|(name, _)| name.len()).max(), Some(MOST_LETTERS));
        let old: Vec<&str> = NAMES.iter().take(OLD_NAMES).map(|(name, _)| *name).collect();
        assert_eq!(old, ["amp", "quot", "lt", "gt", "AMP", "QUOT", "LT", "GT"]);
        for (name, byte) in NAMES {
            assert_eq!(read(&format!("&{name};"), 1), char::from(byte).to_string(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn layers_of_any_kind_are_undone_one_by_one(
            text in "[ -$'-\\[\\]-~]{0,20}",
            kinds in prop::collection::vec(0..5_u8, 1..=MOST_LAYERS),
        ) {
            let mut written = text.clone();
            for kind in &kinds {
                written = written.bytes().map(|byte| match kind {
                    0 => format!("%{byte:02x}"),
                    1 => format!("\\u{byte:04X}"),
                    2 => format!("&#{byte};"),
                    3 => format!("&#x{byte:x};"),
                    _ => format!("\\x{byte:02x}"),
                }).collect();
            }
            prop_assert_eq!(read(&written, kinds.len()), text);
        }

        #[test]
        fn what_was_looked_at_ahead_reads_the_same_as_anew(text in r"[%\\&#;xu0-4amplt]{0,40}", layers in 0..=MOST_LAYERS) {
            let mut reader = Reader::new(text.as_bytes(), layers);
            for at in 0..text.len() {
                prop_assert_eq!(reader.read(at), Reader::new(text.as_bytes(), layers).read(at), "{} at {}", text, at);
            }
        }

        #[test]
        fn layers_undone_at_once_or_one_after_the_other_give_the_same(text in r"[%\\&#;xu0-4amplt]{0,40}", layers in 1..=MOST_LAYERS) {
            let mut step = text.clone().into_bytes();
            for _ in 0..layers {
                step = undone(&step, 1);
            }
            prop_assert_eq!(undone(text.as_bytes(), layers), step);
        }
    }
}
