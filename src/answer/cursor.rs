//! A cursor over JSON text that builds no tree and copies nothing.
//!
//! Promises that what it has passed over follows the grammar of RFC 8259 and nests at most [`DEPTH_LIMIT`] deep. More
//! lenient than [`crate::json`], since an answer is shown and not obeyed: names may repeat, numbers be of any size, half
//! a surrogate pair stand alone in a value. A name that cannot be unescaped is refused: nobody could compare it.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::DEPTH_LIMIT;
use crate::json::text::{plain_length, unescape};

/// The text is not JSON, or nests too deep to be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// What a value is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Null,
    /// A number, `true` or `false`; or nothing that is JSON.
    Plain,
}

/// A place in a text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self::at(text, 0)
    }

    /// Begins inside a text that was passed over before.
    pub(super) fn at(text: &'t str, at: usize) -> Self {
        Self { text, at, depth: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn kind(&self) -> Kind {
        match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(b'n') => Kind::Null,
            Some(_) | None => Kind::Plain,
        }
    }

    /// Whether this text stands here.
    pub(super) fn is_at(&self, text: &str) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Passes over white space, and over the record separators of RFC 7464 where `between` values.
    pub(super) fn space(&mut self, between: bool) {
        while let Some(byte) = self.peek()
            && (matches!(byte, b' ' | b'\n' | b'\r' | b'\t') || (between && byte == 0x1e))
        {
            self.at += 1;
        }
    }

    /// Passes over this byte if it stands here.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn take(&mut self, byte: u8) -> Result<(), Broken> {
        if self.eat(byte) { Ok(()) } else { Err(Broken) }
    }

    pub(super) fn text_of(&self, range: Range<usize>) -> &'t str {
        self.text.get(range).unwrap_or_default()
    }

    /// Passes over what ends before the byte `to`, which was passed over before; its text.
    pub(super) fn jump(&mut self, to: usize) -> &'t str {
        let from = std::mem::replace(&mut self.at, to);
        self.text_of(from..to)
    }

    /// Passes over one value; its text.
    pub(super) fn value(&mut self) -> Result<&'t str, Broken> {
        let from = self.at;
        match self.kind() {
            Kind::Object => self.members(&mut |cursor, _| cursor.value().map(|_| ()))?,
            Kind::Array => self.elements(&mut |cursor| cursor.value().map(|_| ()))?,
            Kind::Text | Kind::Null | Kind::Plain => return self.scalar(),
        }
        Ok(self.text_of(from..self.at))
    }

    /// Passes over an object; `each` is given every name with its quotes and passes over the value.
    pub(super) fn members(
        &mut self,
        each: &mut impl FnMut(&mut Self, &'t str) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        self.enter(b'{')?;
        while !self.eat(b'}') {
            if self.peek() != Some(b'"') {
                return Err(Broken);
            }
            let name = self.string()?;
            self.space(false);
            self.take(b':')?;
            self.space(false);
            each(self, name)?;
            self.next(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Passes over an array; `each` passes over one element.
    pub(super) fn elements(&mut self, each: &mut impl FnMut(&mut Self) -> Result<(), Broken>) -> Result<(), Broken> {
        self.enter(b'[')?;
        while !self.eat(b']') {
            each(self)?;
            self.next(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn enter(&mut self, open: u8) -> Result<(), Broken> {
        self.take(open)?;
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(Broken);
        }
        self.space(false);
        Ok(())
    }

    /// After a member or an element: a comma with another one behind it, or the end.
    fn next(&mut self, close: u8) -> Result<(), Broken> {
        self.space(false);
        if self.eat(b',') {
            self.space(false);
            return if self.peek() == Some(close) { Err(Broken) } else { Ok(()) };
        }
        if self.peek() == Some(close) { Ok(()) } else { Err(Broken) }
    }

    /// Passes over a string, a number or a word.
    pub(super) fn scalar(&mut self) -> Result<&'t str, Broken> {
        let from = self.at;
        match self.peek() {
            Some(b'"') => return self.string(),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(_) | None => return Err(Broken),
        }
        Ok(self.text_of(from..self.at))
    }

    fn word(&mut self, word: &str) -> Result<(), Broken> {
        word.bytes().try_for_each(|byte| self.take(byte))
    }

    fn string(&mut self) -> Result<&'t str, Broken> {
        let from = self.at;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = plain_length(rest);
            self.at += plain;
            match rest.get(plain..).unwrap_or_default() {
                [b'"', ..] => break,
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
                [b'\\', b'u', digits @ ..]
                    if digits.get(..4).is_some_and(|four| four.iter().all(u8::is_ascii_hexdigit)) =>
                {
                    self.at += 6;
                }
                _ => return Err(Broken),
            }
        }
        self.at += 1;
        Ok(self.text_of(from..self.at))
    }

    fn number(&mut self) -> Result<(), Broken> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(Broken) }
    }
}

/// What stands between the quotes of a string literal, as it is written.
pub(super) fn inner(literal: &str) -> &str {
    literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(literal)
}

/// The name that a literal stands for.
pub(super) fn name(literal: &str) -> Result<Cow<'_, str>, Broken> {
    let inner = inner(literal);
    if inner.contains('\\') { unescape(inner).map(Cow::Owned).ok_or(Broken) } else { Ok(Cow::Borrowed(inner)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::{Numbers, scan_with};

    fn passes(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.space(false);
        let good = cursor.value().is_ok();
        cursor.space(false);
        good && cursor.peek().is_none()
    }

    #[test]
    fn names_may_repeat_and_numbers_be_of_any_size() {
        for text in [r#"{"a":1,"a":2}"#, "[1e999,123456789012345678901234567890]", r#"["\ud800"]"#, " [ ] ", "0"] {
            assert!(passes(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_broken() {
        for text in ["", "{", "[1,]", r#"{"a":1,}"#, "[1 2]", "01", "1.", "nul", "\"a\nb\"", r#""\x""#, "{a:1}", "[,]"]
        {
            assert!(!passes(text), "{text}");
        }
        assert!(passes(&format!("{}{}", "[".repeat(128), "]".repeat(128))));
        assert!(!passes(&format!("{}{}", "[".repeat(129), "]".repeat(129))));
    }

    proptest! {
        #[test]
        fn it_accepts_all_that_the_strict_scanner_accepts(text in r#"[\[\]{}:,"\\a1e.\- ]{0,12}"#) {
            let strict = scan_with(&text, DEPTH_LIMIT, Numbers::Any, &mut |_| ()).is_ok();
            prop_assert!(!strict || passes(&text), "{}", text);
            prop_assert_eq!(passes(&text), serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{}", text);
        }
    }
}
