//! Strict JSON (RFC 8259) in one pass that builds no tree.
//!
//! Promises: a text that [`scan`] accepts means the same to every conforming reader. It refuses what readers disagree
//! about: bad grammar, a byte order mark, raw controls in strings, lone surrogates, a key that an object holds twice
//! (compared unescaped), nesting beyond the given depth, text after the value, and numbers that a reader working with
//! 64-bit integers and doubles would change. Trusts: nothing but that the text is UTF-8.

use std::borrow::Cow;
use std::ops::Range;

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
            let plain = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else {
                return Err(JsonError::End { at: self.text.len() });
            };
            self.at += plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.skip_escape()?,
                _ => return Err(JsonError::Control { at: self.at }),
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

/// The code unit that four hexadecimal digits stand for.
fn hex4(digits: &[u8]) -> Option<u32> {
    let four = digits.get(..4)?;
    four.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// Undoes the escapes of a string's inside; `None` for one that [`Scanner::skip_string`] would have refused.
fn unescape(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut characters = escape.chars();
        let (character, length) = match characters.next()? {
            'b' => ('\u{8}', 1),
            'f' => ('\u{c}', 1),
            'n' => ('\n', 1),
            'r' => ('\r', 1),
            't' => ('\t', 1),
            'u' => unescape_unit(escape)?,
            other @ ('"' | '\\' | '/') => (other, 1),
            _ => return None,
        };
        text.push(character);
        rest = escape.get(length..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// The character that `uXXXX` or `uXXXX\uXXXX` stands for, and the length of what was read.
fn unescape_unit(escape: &str) -> Option<(char, usize)> {
    let first = hex4(escape.as_bytes().get(1..)?)?;
    if !(0xd800..=0xdbff).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    let second = hex4(escape.as_bytes().get(5..)?.strip_prefix(b"\\u")?)?.checked_sub(0xdc00)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?, 11))
}

/// Whether a reader that keeps `written` as a double still has the number that was written: the shortest decimal that
/// reads back as the same double is, as a decimal, the one written.
fn survives_as_double(written: &str) -> bool {
    let Some(decimal) = Decimal::read(written) else {
        return false;
    };
    // Every decimal of at most 15 digits survives, far from the ends of the range (IEEE 754, DBL_DIG).
    if decimal.digits.len() <= 15 && (-290..=290).contains(&decimal.exponent) {
        return true;
    }
    match written.parse::<f64>() {
        Ok(double) if double.is_finite() => Decimal::read(&format!("{double:e}")) == Some(decimal),
        Ok(_) | Err(_) => false,
    }
}

/// The magnitude of a number as written: `0.DIGITS × 10^exponent`, the digits without zeros at either end. Zero has no
/// digits and exponent 0. A sign survives always and is left out.
#[derive(PartialEq, Eq)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a number of the JSON grammar; `None` where its exponent is beyond counting and it is not zero.
    fn read(written: &str) -> Option<Self> {
        let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = whole.trim_start_matches('-').trim_start_matches('0');
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(end);
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Self { digits, exponent: 0 });
        }
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        Some(Self { digits, exponent })
    }
}
