//! Cuts JSON that is too long so that it stays JSON.
//!
//! Promises that what is shown is valid, no longer than asked for, and that what is missing is named: whole elements
//! from the end of an array, then members, then the ends of strings. No byte is looked at more than a few times, however
//! deep it lies. Trusts that the text was rewritten (see [`super::rewrite()`]): compact, and already redacted.

use serde::Serialize;

use super::cursor::{Broken, Cursor, Kind, inner};
use super::place::{ELLIPSIS, Place};
use super::rows::Rows;
use super::spans::{SHORT, Spans};

/// A value that is shortened is given at least so much room, or it goes whole.
const LEAST: usize = 24;
/// Members of one object that are weighed against each other; of a larger one the first are kept.
const WEIGHED: usize = 1_024;
/// Places that a note names.
const NAMED: usize = 8;

/// What was left out at one place: so many elements, members or bytes are shown, of so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    pub(super) at: String,
    pub(super) shown: usize,
    pub(super) of: usize,
}

/// Shortens one value, whose pointer is `at`, to `room` bytes; what it leaves out is added to `gaps`.
pub(super) fn shorten(value: &str, room: usize, at: &str, gaps: &mut Vec<Gap>) -> String {
    let mut out = String::with_capacity(room.min(value.len()));
    let shortened = Spans::of(value).and_then(|spans| {
        let mut knife = Knife { spans: &spans, out: &mut out, gaps };
        knife.value(&mut Cursor::new(value), room, &Place::Root(at))
    });
    // A text that was rewritten is JSON; were it not, an empty value is left.
    if shortened.is_err() { "null".to_owned() } else { out }
}

struct Knife<'o> {
    spans: &'o Spans,
    out: &'o mut String,
    gaps: &'o mut Vec<Gap>,
}

impl Knife<'_> {
    fn value(&mut self, cursor: &mut Cursor<'_>, room: usize, at: &Place<'_>) -> Result<(), Broken> {
        let mut after = cursor.clone();
        let whole = self.spans.value(&mut after)?;
        if whole.len() <= room {
            self.out.push_str(whole);
            *cursor = after;
            return Ok(());
        }
        match cursor.kind() {
            Kind::Object | Kind::Array if whole.len() <= SHORT => self.empty(cursor, at),
            Kind::Object => self.object(cursor, room, at),
            Kind::Array => self.array(cursor, room, at),
            Kind::Text => self.text(cursor.scalar()?, room, at),
            Kind::Null | Kind::Plain => {
                // A number of more than a thousand digits.
                self.gap(at, 0, cursor.scalar()?.len());
                self.out.push_str("null");
                Ok(())
            }
        }
    }

    fn gap(&mut self, at: &Place<'_>, shown: usize, of: usize) {
        if self.gaps.len() < NAMED {
            self.gaps.push(Gap { at: at.pointer(), shown, of });
        }
    }

    /// A short container without what is in it: where it does not fit, little of it would.
    fn empty(&mut self, cursor: &mut Cursor<'_>, at: &Place<'_>) -> Result<(), Broken> {
        let mut of = 0;
        if cursor.kind() == Kind::Object {
            cursor.members(&mut |cursor, _| {
                of += 1;
                cursor.value().map(|_| ())
            })?;
            self.out.push_str("{}");
        } else {
            of = Rows::array(cursor)?.of;
            self.out.push_str("[]");
        }
        self.gap(at, 0, of);
        Ok(())
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, room: usize, at: &Place<'_>) -> Result<(), Broken> {
        let (start, mut shown, mut of) = (self.out.len(), 0, 0);
        self.out.push('[');
        cursor.elements(&mut |cursor| {
            let left = room.saturating_sub(self.out.len() - start + 2);
            let mut after = cursor.clone();
            let length = self.spans.value(&mut after)?.len();
            // Whole elements from the start; of the very first, if it is too long, as much as fits.
            if shown == of && (length <= left || (of == 0 && left >= LEAST)) {
                if of > 0 {
                    self.out.push(',');
                }
                self.value(cursor, left, &Place::Element(at, of))?;
                shown += 1;
            } else {
                *cursor = after;
            }
            of += 1;
            Ok(())
        })?;
        self.out.push(']');
        if shown < of {
            self.gap(at, shown, of);
        }
        Ok(())
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, room: usize, at: &Place<'_>) -> Result<(), Broken> {
        let (mut lengths, mut of, mut names) = (Vec::new(), 0, 2);
        cursor.clone().members(&mut |cursor, name| {
            let length = self.spans.value(cursor)?.len();
            // With its name, the colon and the comma; the last value kept is the last that LEAST more would fit.
            if lengths.len() == of && of < WEIGHED && names + name.len() + 2 + LEAST * (of + 1) <= room {
                names += name.len() + 2;
                lengths.push(length);
            }
            of += 1;
            Ok(())
        })?;
        let most = share(&lengths, room.saturating_sub(names));
        let (start, mut index) = (self.out.len(), 0);
        self.out.push('{');
        cursor.members(&mut |cursor, literal| {
            if index < lengths.len() {
                if index > 0 {
                    self.out.push(',');
                }
                self.out.push_str(literal);
                self.out.push(':');
                self.value(cursor, most, &Place::Member(at, literal))?;
            } else {
                self.spans.value(cursor)?;
            }
            index += 1;
            Ok(())
        })?;
        self.out.push('}');
        debug_assert!(self.out.len() - start <= room, "an object is cut to its room");
        if lengths.len() < of {
            self.gap(at, lengths.len(), of);
        }
        Ok(())
    }

    /// The beginning of a string, with no character and no escape cut in two.
    fn text(&mut self, literal: &str, room: usize, at: &Place<'_>) -> Result<(), Broken> {
        let text = inner(literal);
        let most = text.floor_char_boundary(room.saturating_sub(2 + ELLIPSIS.len()));
        let mut end = 0;
        while let Some(rest) = text.get(end..most) {
            let Some(plain) = rest.find('\\') else {
                end = most;
                break;
            };
            let length = escape_length(text.get(end + plain..).unwrap_or_default());
            if end + plain + length > most {
                end += plain;
                break;
            }
            end += plain + length;
        }
        self.out.push('"');
        self.out.push_str(text.get(..end).unwrap_or_default());
        self.out.push_str(ELLIPSIS);
        self.out.push('"');
        self.gap(at, end, text.len());
        Ok(())
    }
}

/// How long the escape is that stands at the beginning, both halves of a surrogate pair taken as one.
fn escape_length(text: &str) -> usize {
    match text.as_bytes() {
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'A' | b'b' | b'B', _, _, b'\\', b'u', ..] => 12,
        [b'\\', b'u', ..] => 6,
        _ => 2,
    }
}

/// The most that each of some lengths may have so that they fit into `room` together.
fn share(lengths: &[usize], room: usize) -> usize {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let (mut left, mut count) = (room, sorted.len());
    for length in sorted {
        if length.saturating_mul(count) > left {
            return left / count.max(1);
        }
        left -= length;
        count -= 1;
    }
    usize::MAX
}
