//! Strict JSON (RFC 8259) in one pass that builds no tree.
//!
//! Promises: a text that [`scan`] accepts means the same to every conforming reader. It refuses what readers disagree
//! about: bad grammar, a byte order mark, raw controls in strings, lone surrogates, a key that an object holds twice
//! (compared unescaped), nesting beyond the given depth, text after the value, and numbers that a reader working with
//! 64-bit integers and doubles would change. Trusts: nothing but that the text is UTF-8.

mod number;
pub(crate) mod text;

use std::borrow::Cow;
use std::ops::Range;

use self::number::survives_as_double;
use self::text::{hex4, plain_length, unescape};

/// Nesting that [`scan`] never passes, whatever it is asked for: it recurses once for each level.
pub const DEPTH_LIMIT: usize = 128;

/// Up to this many keys an object is searched at each new key; a larger one is sorted when it closes.
const FEW_KEYS: usize = 16;

/// One member of an object, as [`scan`] reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// How many containers are open around the member; 1 is a member of the root object.
    pub depth: usize,
    /// The name, unescaped.
    pub key: Cow<'a, str>,
    /// Where the value stands in the scanned text, in bytes.
    pub value: Range<usize>,
}

/// Reads `text` as one JSON value and reports each object member after its value, so that a parent comes after its
/// children and the spans tell who contains whom. A container deeper than `max_depth` (at most [`DEPTH_LIMIT`]; the
/// root container is at depth 1) is refused.
///
/// # Errors
/// The first thing wrong with the text. Members may have been reported before it was found.
pub fn scan(text: &str, max_depth: usize, members: &mut impl FnMut(Member<'_>)) -> Result<(), JsonError> {
    scan_with(text, max_depth, Numbers::Exact, members)
}

/// Which numbers a scan lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Those that an `i64`, a `u64` or a double keeps.
    Exact,
    /// All of the grammar: for an envelope whose numbers are judged where they are used.
    Any,
}

/// As [`scan`], with a choice of the numbers that pass.
///
/// # Errors
/// The first thing wrong with the text. Members may have been reported before it was found.
pub fn scan_with(
    text: &str,
    max_depth: usize,
    numbers: Numbers,
    members: &mut impl FnMut(Member<'_>),
) -> Result<(), JsonError> {
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let mut scanner = Scanner::new(text, max_depth, members);
    scanner.numbers = numbers;
    scanner.skip_space();
    scanner.value(0)?;
    scanner.skip_space();
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(JsonError::Trailing { at: scanner.at }),
    }
}

/// Reports the text of each element of `array`, an array that [`scan`] has accepted. Nothing is reported for a value
/// of another kind.
///
/// # Errors
/// As [`scan`], when the text is not JSON after all.
pub fn elements<'t>(array: &'t str, each: &mut impl FnMut(&'t str)) -> Result<(), JsonError> {
    let mut ignore = |_: Member<'_>| ();
    let mut scanner = Scanner::new(array, DEPTH_LIMIT, &mut ignore);
    if scanner.peek() != Some(b'[') {
        return Ok(());
    }
    scanner.array(1, each)
}

/// The value of a string literal (with its quotes) that [`scan`] has accepted; `None` for a value of another kind.
pub fn string(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { unescape(inner).map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Whether two numbers that [`scan`] has accepted are worth the same, compared as decimals: `1.0` and `1` are.
pub fn same_number(one: &str, other: &str) -> bool {
    number::same(one, other)
}

/// Why a text is not the strict JSON that [`scan`] accepts. `at` is a byte offset into the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    /// The text begins with U+FEFF (RFC 8259 section 8.1).
    #[error("the text begins with a byte order mark: leave it out")]
    ByteOrderMark,
    /// The text ends inside a value.
    #[error("the text ends at byte {at} before its value does")]
    End {
        /// Where more was needed.
        at: usize,
    },
    /// A character that the grammar has no place for.
    #[error("the text is not JSON at byte {at}")]
    Unexpected {
        /// The character.
        at: usize,
    },
    /// U+0000 to U+001F inside a string, unescaped.
    #[error("a string holds a raw control character at byte {at}: escape it")]
    Control {
        /// The control character.
        at: usize,
    },
    /// A backslash that begins no escape sequence.
    #[error("a string holds an unknown escape at byte {at}")]
    Escape {
        /// The backslash.
        at: usize,
    },
    /// Half of a surrogate pair, which is no character.
    #[error("a string holds half of a surrogate pair at byte {at}: write both halves")]
    Surrogate {
        /// The backslash of the half.
        at: usize,
    },
    /// An object holds one name twice.
    #[error("an object holds the same key again at byte {at}: give each key once")]
    DuplicateKey {
        /// The quote that opens the second key.
        at: usize,
    },
    /// Containers nest too deep.
    #[error("the value is nested too deep at byte {at}")]
    Depth {
        /// The bracket that goes too deep.
        at: usize,
    },
    /// Something follows the value.
    #[error("something follows the value at byte {at}")]
    Trailing {
        /// Where it begins.
        at: usize,
    },
    /// An integer that neither `i64` nor `u64` holds.
    #[error("the integer at byte {at} does not fit in 64 bits: send it as a string")]
    Integer {
        /// Where the number begins.
        at: usize,
    },
    /// A number with a fraction or an exponent that no double holds.
    #[error("the number at byte {at} does not survive as a double: write fewer digits, or send it as a string")]
    Float {
        /// Where the number begins.
        at: usize,
    },
}

impl JsonError {
    /// The byte at which the text stopped being acceptable.
    pub fn offset(&self) -> usize {
        match *self {
            Self::ByteOrderMark => 0,
            Self::End { at }
            | Self::Unexpected { at }
            | Self::Control { at }
            | Self::Escape { at }
            | Self::Surrogate { at }
            | Self::DuplicateKey { at }
            | Self::Depth { at }
            | Self::Trailing { at }
            | Self::Integer { at }
            | Self::Float { at } => at,
        }
    }

    /// Whether the grammar was good up to here and a number is at fault.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Integer { .. } | Self::Float { .. })
    }
}

/// A key of an object that is still open.
struct Key<'t> {
    text: Cow<'t, str>,
    at: usize,
}

struct Scanner<'t, 'm, M> {
    text: &'t str,
    at: usize,
    max_depth: usize,
    numbers: Numbers,
    /// The keys of all open objects, the innermost object's last.
    keys: Vec<Key<'t>>,
    members: &'m mut M,
}

impl<'t, 'm, M: FnMut(Member<'_>)> Scanner<'t, 'm, M> {
    fn new(text: &'t str, max_depth: usize, members: &'m mut M) -> Self {
        Self {
            text,
            at: 0,
            max_depth: max_depth.min(DEPTH_LIMIT),
            numbers: Numbers::Exact,
            keys: Vec::with_capacity(FEW_KEYS),
            members,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// The error for whatever stands here, or for the end of the text.
    fn unexpected(&self) -> JsonError {
        let at = self.at;
        if self.peek().is_some() { JsonError::Unexpected { at } } else { JsonError::End { at } }
    }

    fn take(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.peek() != Some(wanted) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    /// One value inside `depth` open containers, without the space around it.
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.skip_string().map(|_| ()),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1, &mut |_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        word.iter().try_for_each(|&byte| self.take(byte))
    }

    fn enter(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > self.max_depth {
            return Err(JsonError::Depth { at: self.at });
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn array(&mut self, depth: usize, each: &mut impl FnMut(&'t str)) -> Result<(), JsonError> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let from = self.at;
            self.value(depth)?;
            each(self.text.get(from..self.at).unwrap_or_default());
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected()),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let first = self.keys.len();
        loop {
            self.key(first)?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            let from = self.at;
            self.value(depth)?;
            let value = from..self.at;
            if let Some(key) = self.keys.last() {
                (self.members)(Member { depth, key: Cow::Borrowed(&key.text), value });
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected()),
            }
            self.skip_space();
        }
        self.at += 1;
        self.close(first)
    }

    /// Reads a key and puts it on the list, on which the keys of this object begin at `first`.
    fn key(&mut self, first: usize) -> Result<(), JsonError> {
        let at = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let (inner, escaped) = self.skip_string()?;
        let text =
            if escaped { Cow::Owned(unescape(inner).ok_or(JsonError::Escape { at })?) } else { Cow::Borrowed(inner) };
        let known = self.keys.get(first..).unwrap_or_default();
        if known.len() <= FEW_KEYS && known.iter().any(|key| key.text == text) {
            return Err(JsonError::DuplicateKey { at });
        }
        self.keys.push(Key { text, at });
        Ok(())
    }

    /// Takes the keys of an object off the list; those of a large object are compared here.
    fn close(&mut self, first: usize) -> Result<(), JsonError> {
        if let Some(keys) = self.keys.get_mut(first..)
            && keys.len() > FEW_KEYS
        {
            keys.sort_unstable_by(|a, b| a.text.cmp(&b.text).then(a.at.cmp(&b.at)));
            let again = keys.array_windows().find(|[one, next]| one.text == next.text);
            if let Some([_, next]) = again {
                return Err(JsonError::DuplicateKey { at: next.at });
            }
        }
        self.keys.truncate(first);
        Ok(())
    }

    /// Passes over a string; gives the text between the quotes and whether it holds an escape.
    fn skip_string(&mut self) -> Result<(&'t str, bool), JsonError> {
        self.at += 1;
        let from = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain_length(rest);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.skip_escape()?,
                Some(_) => return Err(JsonError::Control { at: self.at }),
                None => return Err(JsonError::End { at: self.at }),
            }
            escaped = true;
        }
        let inner = self.text.get(from..self.at).unwrap_or_default();
        self.at += 1;
        Ok((inner, escaped))
    }

    fn skip_escape(&mut self) -> Result<(), JsonError> {
        let at = self.at;
        let rest = self.text.as_bytes().get(at + 1..).unwrap_or_default();
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', digits @ ..] => {
                let first = hex4(digits).ok_or(JsonError::Escape { at })?;
                match first {
                    0xd800..=0xdbff => {
                        let [_, _, _, _, b'\\', b'u', low @ ..] = digits else {
                            return Err(JsonError::Surrogate { at });
                        };
                        match hex4(low) {
                            Some(0xdc00..=0xdfff) => self.at += 12,
                            _ => return Err(JsonError::Surrogate { at }),
                        }
                    }
                    0xdc00..=0xdfff => return Err(JsonError::Surrogate { at }),
                    _ => self.at += 6,
                }
            }
            [] => return Err(JsonError::End { at: self.text.len() }),
            _ => return Err(JsonError::Escape { at }),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let Some(b'0'..=b'9') = self.peek() else {
            return Err(self.unexpected());
        };
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let at = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()?
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.numbers == Numbers::Any {
            return Ok(());
        }
        let written = self.text.get(at..self.at).unwrap_or_default();
        if integer && written.len() > 18 && written.parse::<i64>().is_err() && written.parse::<u64>().is_err() {
            return Err(JsonError::Integer { at });
        }
        if !integer && !survives_as_double(written) {
            return Err(JsonError::Float { at });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::JsonError::*;
    use super::*;

    fn accepts(text: &str) -> Result<(), JsonError> {
        scan(text, 32, &mut |_| ())
    }

    fn members(text: &str) -> Vec<(usize, String, String)> {
        let mut found = Vec::new();
        scan(text, 32, &mut |m| found.push((m.depth, m.key.into_owned(), text.get(m.value).unwrap().to_owned())))
            .unwrap();
        found
    }

    #[test]
    fn what_every_reader_reads_alike_is_accepted() {
        let cases = [
            ("empty object", "{}"),
            ("empty array", "[ ]"),
            ("words", "[true,false,null]"),
            ("space of all four kinds", " \t\r\n{ \"a\" : 1 , \"b\" : [ 1 , 2 ] } \n"),
            ("a bare string", r#""text""#),
            ("a bare number", "42"),
            ("zero and minus zero", "[0,-0,0.0,-0.0,0e5,0.000e-999999999999999999999999]"),
            ("the ends of 64 bits", "[-9223372036854775808,9223372036854775807,18446744073709551615]"),
            ("fractions that survive", "[0.1,-1.50,1e3,1E+3,12.5e-3,123456789012345e-20]"),
            (
                "seventeen digits of a double",
                "[0.30000000000000004,5e-324,1.7976931348623157e308,2.2250738585072014e-308]",
            ),
            ("a long decimal that is a double", "[0.1000000000000000000000,1.00000000000000000000000000e0]"),
            ("an exact power of two", "[2251799813685248.5,9007199254740992.0]"),
            ("both of two nearest fractions", "[187243829675776.62,187243829675776.63]"),
            ("all short escapes", r#""\"\\\/\b\f\n\r\t""#),
            ("an escaped nul", r#""\u0000""#),
            ("a surrogate pair", r#""\ud83d\uDE00""#),
            ("raw characters beyond ASCII", "\"é\u{7f}\u{2028}\u{feff}😀\""),
            ("one key in two objects", r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#),
            ("keys that differ in case", r#"{"a":1,"A":2}"#),
            ("an empty key", r#"{"":1}"#),
        ];
        for (name, text) in cases {
            assert_eq!(accepts(text), Ok(()), "{name}: {text}");
        }
    }

    fn refuses(cases: &[(&str, &str, JsonError)]) {
        for (name, text, error) in cases {
            assert_eq!(accepts(text), Err(*error), "{name}: {text:?}");
        }
    }

    #[test]
    fn bad_grammar_is_refused_where_it_stands() {
        refuses(&[
            ("nothing", "", End { at: 0 }),
            ("space only", "  ", End { at: 2 }),
            ("a byte order mark", "\u{feff}{}", ByteOrderMark),
            ("two values", "{}{}", Trailing { at: 2 }),
            ("a nul after the value", "{}\0", Trailing { at: 2 }),
            ("a trailing comma in an object", r#"{"a":1,}"#, Unexpected { at: 7 }),
            ("a trailing comma in an array", "[1,]", Unexpected { at: 3 }),
            ("a leading comma", "[,1]", Unexpected { at: 1 }),
            ("two commas", "[1,,2]", Unexpected { at: 3 }),
            ("no comma", "[1 2]", Unexpected { at: 3 }),
            ("no colon", r#"{"a" 1}"#, Unexpected { at: 5 }),
            ("a comment", "[/*c*/1]", Unexpected { at: 1 }),
            ("single quotes", "{'a':1}", Unexpected { at: 1 }),
            ("a bare key", "{a:1}", Unexpected { at: 1 }),
            ("a number for a key", "{1:1}", Unexpected { at: 1 }),
            ("NaN", "[NaN]", Unexpected { at: 1 }),
            ("Infinity", "[-Infinity]", Unexpected { at: 2 }),
            ("a word in capitals", "[True]", Unexpected { at: 1 }),
            ("a word cut short", "[tru]", Unexpected { at: 4 }),
            ("a word that goes on", "[nulll]", Unexpected { at: 5 }),
            ("a vertical tab for space", "[\u{b}1]", Unexpected { at: 1 }),
            ("a no-break space for space", "[\u{a0}1]", Unexpected { at: 1 }),
            ("brackets that cross", r#"{"a":[1}"#, Unexpected { at: 7 }),
            ("an open array", "[1", End { at: 2 }),
            ("an open object", r#"{"a":1"#, End { at: 6 }),
            ("an open string", r#"["abc"#, End { at: 5 }),
            ("an open escape", r#"["\"#, End { at: 3 }),
            ("a leading zero", "[01]", Unexpected { at: 2 }),
            ("a plus sign", "[+1]", Unexpected { at: 1 }),
            ("a minus alone", "[-]", Unexpected { at: 2 }),
            ("a point alone", "[.5]", Unexpected { at: 1 }),
            ("nothing after the point", "[1.]", Unexpected { at: 3 }),
            ("nothing in the exponent", "[1e]", Unexpected { at: 3 }),
            ("hexadecimal", "[0x10]", Unexpected { at: 2 }),
        ]);
    }

    #[test]
    fn strings_that_readers_disagree_about_are_refused() {
        refuses(&[
            ("a raw newline in a string", "[\"a\nb\"]", Control { at: 3 }),
            ("a raw nul in a key", "{\"\0\":1}", Control { at: 2 }),
            ("an unknown escape", r#"["\x41"]"#, Escape { at: 2 }),
            ("an escaped quote mark of another language", r#"["\'"]"#, Escape { at: 2 }),
            ("three hexadecimal digits", r#"["\u123"]"#, Escape { at: 2 }),
            ("a sign among hexadecimal digits", r#"["\u+123"]"#, Escape { at: 2 }),
            ("a high surrogate alone", r#"["\ud800"]"#, Surrogate { at: 2 }),
            ("a low surrogate alone", r#"["a\udc00"]"#, Surrogate { at: 3 }),
            ("two high surrogates", r#"["\ud800\ud800"]"#, Surrogate { at: 2 }),
            ("a pair the wrong way round", r#"["\udc00\ud800"]"#, Surrogate { at: 2 }),
            ("half a pair in a key", r#"{"\ud800":1}"#, Surrogate { at: 2 }),
        ]);
    }

    #[test]
    fn a_key_given_twice_is_refused_however_it_is_spelled() {
        refuses(&[
            ("a key twice", r#"{"a":1,"a":1}"#, DuplicateKey { at: 7 }),
            ("a key twice, once escaped", r#"{"path":1,"\u0070ath":2}"#, DuplicateKey { at: 10 }),
            ("a key twice, escaped in two ways", r#"{"\u002f":1,"\/":2}"#, DuplicateKey { at: 12 }),
            ("a key twice, deep down", r#"[{"x":{"b":1,"c":[],"b":2}}]"#, DuplicateKey { at: 20 }),
            ("a key twice around a nested one", r#"{"a":{"b":1},"b":1,"a":2}"#, DuplicateKey { at: 19 }),
        ]);
    }

    #[test]
    fn numbers_that_a_reader_would_change_are_refused() {
        refuses(&[
            ("an integer over 64 bits", "[18446744073709551616]", Integer { at: 1 }),
            ("an integer under 64 bits", "[-9223372036854775809]", Integer { at: 1 }),
            ("more than a double holds", "[1e999]", Float { at: 1 }),
            ("less than nothing", "[-1e999]", Float { at: 1 }),
            ("an exponent beyond counting", "[1e99999999999999999999]", Float { at: 1 }),
            ("a small number that becomes zero", "[1e-999]", Float { at: 1 }),
            ("a fraction with a digit too many", "[0.10000000000000001]", Float { at: 1 }),
            ("a third, written out", "[0.33333333333333333333]", Float { at: 1 }),
            ("a fraction beside the nearest", "[187243829675776.61]", Float { at: 1 }),
            ("a fraction beside the other nearest", "[187243829675776.64]", Float { at: 1 }),
            ("an integer beyond 2^53 as a double", "[9007199254740993.0]", Float { at: 1 }),
            ("a subnormal with more digits than it has", "[1.6e-323]", Float { at: 1 }),
        ]);
    }

    #[test]
    fn only_number_errors_say_that_the_grammar_was_good() {
        assert!(accepts("[1e999]").unwrap_err().is_number());
        assert!(accepts("[18446744073709551616]").unwrap_err().is_number());
        assert!(!accepts("[1,]").unwrap_err().is_number());
        assert!(!accepts(r#"{"a":1,"a":2}"#).unwrap_err().is_number());
        assert_eq!(accepts("[1,]").unwrap_err().offset(), 3);
        assert_eq!(accepts("\u{feff}1").unwrap_err().offset(), 0);
    }

    #[test]
    fn nesting_ends_at_the_depth_asked_for_and_always_at_the_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(scan("1", 0, &mut |_| ()), Ok(()));
        assert_eq!(scan("[]", 0, &mut |_| ()), Err(JsonError::Depth { at: 0 }));
        assert_eq!(scan(&nested(32), 32, &mut |_| ()), Ok(()));
        assert_eq!(scan(&nested(33), 32, &mut |_| ()), Err(JsonError::Depth { at: 32 }));
        assert_eq!(scan(r#"{"a":{"b":{}}}"#, 2, &mut |_| ()), Err(JsonError::Depth { at: 10 }));
        assert_eq!(scan(&nested(DEPTH_LIMIT), usize::MAX, &mut |_| ()), Ok(()));
        assert_eq!(scan(&nested(1_000_000), usize::MAX, &mut |_| ()), Err(JsonError::Depth { at: DEPTH_LIMIT }));
    }

    #[test]
    fn members_are_reported_after_their_values_with_depth_and_span() {
        let found = members(r#" {"a": {"b\n": [1, {"c":2}]}, "d" : "x" } "#);
        let expected =
            [(4, "c", "2"), (2, "b\n", r#"[1, {"c":2}]"#), (1, "a", r#"{"b\n": [1, {"c":2}]}"#), (1, "d", r#""x""#)];
        let expected = expected.map(|(depth, key, value)| (depth, key.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
        assert_eq!(members(r#"[{"a":1}]"#)[0].0, 2, "an object in an array is not the root");
        assert!(members("[1,2]").is_empty());
    }

    #[test]
    fn a_repeated_key_is_found_among_any_number_of_keys() {
        for count in [2, 16, 17, 18, 40, 1000] {
            for again in [0, count / 2, count - 1] {
                let mut text: String = (0..count).map(|n| format!(r#""k{n}":[{{"k1":1}}],"#)).collect();
                text.insert(0, '{');
                let honest = format!("{}}}", text.trim_end_matches(','));
                assert_eq!(accepts(&honest), Ok(()), "{count} keys");
                let at = text.len();
                text.push_str(&format!(r#""k{again}":1}}"#));
                assert_eq!(accepts(&text), Err(JsonError::DuplicateKey { at }), "{count} keys, k{again} again");
            }
        }
    }

    #[test]
    fn elements_of_an_array_are_given_as_they_are_written() {
        let list = |text: &'static str| {
            let mut found = Vec::new();
            elements(text, &mut |element| found.push(element)).map(|()| found)
        };
        assert_eq!(list("[]"), Ok(vec![]));
        assert_eq!(list(r#"[1, "a,b" ,[2,3], {"x":[4]}]"#), Ok(vec!["1", r#""a,b""#, "[2,3]", r#"{"x":[4]}"#]));
        assert_eq!(list(r#"{"a":[1]}"#), Ok(vec![]), "not an array");
        assert_eq!(list("[1"), Err(JsonError::End { at: 2 }));
    }

    #[test]
    fn a_string_literal_gives_its_value() {
        let cases = [
            ("plain", r#""abc""#, Some("abc")),
            ("empty", r#""""#, Some("")),
            ("short escapes", r#""\"\\\/\b\f\n\r\t""#, Some("\"\\/\u{8}\u{c}\n\r\t")),
            ("units", r#""\u0041\u00e9x""#, Some("Aéx")),
            ("a pair", r#""\ud83d\ude00!""#, Some("😀!")),
            ("a number", "1", None),
            ("an array", "[]", None),
            ("one quote", "\"", None),
        ];
        for (name, literal, value) in cases {
            assert_eq!(string(literal).as_deref(), value, "{name}");
        }
    }

    /// Any JSON value without floats that JSON cannot hold.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 24, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..24).prop_map(Value::from),
                prop::collection::vec((".{0,4}", inner), 0..24)
                    .prop_map(|pairs| Value::from(pairs.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn keys_in(value: &Value) -> usize {
        match value {
            Value::Object(map) => map.len() + map.values().map(keys_in).sum::<usize>(),
            Value::Array(list) => list.iter().map(keys_in).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    /// Holds the verdict of `scan` against that of serde_json, which is laxer on repeated keys and on numbers.
    fn compare(text: &str) -> Result<(), TestCaseError> {
        let mut count = 0;
        let verdict = scan(text, 100, &mut |member| {
            count += 1;
            assert!(serde_json::from_str::<Value>(text.get(member.value).unwrap()).is_ok());
        });
        match (verdict, serde_json::from_str::<Value>(text)) {
            (Ok(()), Ok(value)) => prop_assert_eq!(count, keys_in(&value), "as many keys as there are members"),
            (Ok(()), Err(error)) => prop_assert!(false, "accepted although {}", error),
            (Err(error), Ok(_)) => prop_assert!(
                matches!(
                    error,
                    JsonError::DuplicateKey { .. }
                        | JsonError::Integer { .. }
                        | JsonError::Float { .. }
                        | JsonError::Depth { .. }
                ),
                "refused for {:?}",
                error
            ),
            (Err(_), Err(_)) => {}
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn every_printed_value_is_accepted(value in value()) {
            let text = value.to_string();
            prop_assert_eq!(scan(&text, 100, &mut |_| ()), Ok(()), "{}", text);
            prop_assert_eq!(scan(&format!("{value:#}"), 100, &mut |_| ()), Ok(()));
            compare(&text)?;
        }

        #[test]
        fn a_value_with_a_piece_changed_is_judged_as_serde_json_judges_it(
            value in value(),
            place in any::<prop::sample::Index>(),
            cut in 0_usize..3,
            piece in prop::sample::select(vec![
                "", "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u0061", "\\ud800", "\\udc00", "0", "-", ".", "e9", "1e400", "99999999999999999999",
                "null", "true", " ", "\u{feff}", "\u{0}", "\"a\":1,", "\"a\":1,\"a\":1,",
            ]),
        ) {
            let text: Vec<char> = value.to_string().chars().collect();
            let at = place.index(text.len() + 1);
            let changed: String = text[..at].iter().copied().chain(piece.chars()).chain(text.iter().copied().skip(at + cut)).collect();
            compare(&changed)?;
        }

        #[test]
        fn no_text_makes_the_scanner_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            compare(&text)?;
            compare(&String::from_utf8_lossy(&bytes))?;
        }

        #[test]
        fn a_string_reads_back_as_what_was_printed(text in any::<String>()) {
            let literal = Value::from(text.as_str()).to_string();
            let read = string(&literal);
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let escaped = format!("\"{units}\"");
            prop_assert_eq!(accepts(&escaped), Ok(()));
            let read = string(&escaped);
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }
    }
}
