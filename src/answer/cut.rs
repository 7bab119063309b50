//! Cuts JSON that is too long so that it stays JSON.
//!
//! Promises that what is shown is valid, no longer than asked for, and that all that is missing is named: whole elements
//! from the end of the largest array first, then members, then the ends of strings. Trusts that the text was rewritten
//! (see [`super::rewrite()`]): compact, and already redacted.

use serde::Serialize;

use super::cursor::{Broken, Cursor, Kind, inner, name};

/// A value that is shortened is given at least so much room, or it goes whole.
const LEAST: usize = 24;
/// Members of one object that are weighed against each other; of a larger one the first are kept.
const WEIGHED: usize = 1_024;
/// Places that a note names.
const NAMED: usize = 8;
/// The place of the lines of a text of several values.
pub(super) const LINES: &str = "lines";
/// Stands at the end of a string that was cut.
const ELLIPSIS: &str = "…";

/// The array of a text that is worth reading in parts: the largest one that can be reached through the largest members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    /// Where it is, as RFC 6901 writes it; [`LINES`] for a text of several values.
    pub(super) at: String,
    /// The byte of its `[`, if it has one.
    pub(super) open: usize,
    /// The byte of its first element.
    pub(super) first: usize,
    /// The byte of its `]`, or the end of the text.
    pub(super) end: usize,
    /// How many elements it has.
    pub(super) of: usize,
}

/// What was left out at one place: so many elements, members or bytes are shown, of so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    pub(super) at: String,
    pub(super) shown: usize,
    pub(super) of: usize,
}

impl Rows {
    /// Finds the array in `doc`, which holds `values` values.
    pub(super) fn find(doc: &str, values: usize) -> Option<Self> {
        if values == 1 {
            return Self::within(&mut Cursor::new(doc), String::new()).ok().flatten();
        }
        Some(Self { at: LINES.to_owned(), open: 0, first: 0, end: doc.len(), of: values })
    }

    /// The array that begins here.
    pub(super) fn array(cursor: &mut Cursor<'_>, at: String) -> Result<Self, Broken> {
        let (open, mut of) = (cursor.offset(), 0);
        cursor.elements(&mut |cursor| {
            of += 1;
            cursor.value().map(|_| ())
        })?;
        Ok(Self { at, open, first: open + 1, end: cursor.offset() - 1, of })
    }

    fn within(cursor: &mut Cursor<'_>, at: String) -> Result<Option<Self>, Broken> {
        match cursor.kind() {
            Kind::Array => Self::array(cursor, at).map(Some),
            Kind::Object => {
                // The largest array, and the largest container: the array may be inside an object.
                let (mut array, mut largest) = (None, None);
                let longer = |best: &Option<(usize, Cursor<'_>, &str)>, length| {
                    best.as_ref().is_none_or(|(most, ..)| length > *most)
                };
                cursor.members(&mut |cursor, name| {
                    let (start, kind) = (cursor.clone(), cursor.kind());
                    let length = cursor.value()?.len();
                    if kind == Kind::Array && longer(&array, length) {
                        array = Some((length, start.clone(), name));
                    }
                    if matches!(kind, Kind::Array | Kind::Object) && longer(&largest, length) {
                        largest = Some((length, start, name));
                    }
                    Ok(())
                })?;
                for (_, mut start, name) in [largest, array].into_iter().flatten() {
                    if let Some(rows) = Self::within(&mut start, pointer(&at, name)?)? {
                        return Ok(Some(rows));
                    }
                }
                Ok(None)
            }
            Kind::Text | Kind::Null | Kind::Plain => Ok(None),
        }
    }

    /// The elements from the byte `at` on, where one begins.
    pub(super) fn elements<'d>(&self, doc: &'d str, at: usize) -> impl Iterator<Item = Element<'d>> + use<'d> {
        let (mut cursor, end) = (Cursor::at(doc, at), self.end);
        std::iter::from_fn(move || {
            if cursor.offset() >= end {
                return None;
            }
            let text = cursor.value().ok()?;
            let end = cursor.offset();
            if !cursor.eat(b',') {
                cursor.eat(b'\n');
            }
            Some(Element { text, end, next: cursor.offset() })
        })
    }

    /// The byte at which the element `index` begins, or the end.
    pub(super) fn place_of(&self, doc: &str, index: usize) -> usize {
        match index.checked_sub(1) {
            None => self.first,
            Some(before) => self.elements(doc, self.first).nth(before).map_or(self.end, |element| element.next),
        }
    }

    /// The elements from the byte `at` on that fit into `room`, with what divides them.
    pub(super) fn fitting<'d>(&self, doc: &'d str, at: usize, room: usize) -> Part<'d> {
        let (mut shown, mut end, mut next) = (0, at, at);
        for element in self.elements(doc, at).take_while(|element| element.end - at <= room) {
            (shown, end, next) = (shown + 1, element.end, element.next);
        }
        Part { text: doc.get(at..end).unwrap_or_default(), shown, next }
    }
}

/// One element of [`Rows`]: its text, the byte after it, and the byte at which the next begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'d> {
    pub(super) text: &'d str,
    pub(super) end: usize,
    pub(super) next: usize,
}

/// Elements that follow each other, and the byte at which those begin that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'d> {
    pub(super) text: &'d str,
    pub(super) shown: usize,
    pub(super) next: usize,
}

/// Shortens one value to `room` bytes; what it leaves out is added to `gaps`.
pub(super) fn shorten(value: &str, room: usize, at: &str, gaps: &mut Vec<Gap>) -> String {
    let mut out = String::with_capacity(room.min(value.len()));
    let mut knife = Knife { out: &mut out, gaps };
    // A text that was rewritten is JSON; were it not, an empty value is left.
    if knife.value(&mut Cursor::new(value), room, at).is_err() {
        return "null".to_owned();
    }
    out
}

struct Knife<'o> {
    out: &'o mut String,
    gaps: &'o mut Vec<Gap>,
}

impl Knife<'_> {
    fn value(&mut self, cursor: &mut Cursor<'_>, room: usize, at: &str) -> Result<(), Broken> {
        let whole = cursor.clone().value()?;
        if whole.len() <= room {
            self.out.push_str(whole);
            return cursor.value().map(|_| ());
        }
        match cursor.kind() {
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

    fn gap(&mut self, at: &str, shown: usize, of: usize) {
        if self.gaps.len() < NAMED {
            self.gaps.push(Gap { at: at.to_owned(), shown, of });
        }
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, room: usize, at: &str) -> Result<(), Broken> {
        let (start, mut shown, mut of) = (self.out.len(), 0, 0);
        self.out.push('[');
        cursor.elements(&mut |cursor| {
            let used = self.out.len() - start;
            let left = room.saturating_sub(used + 2);
            let length = cursor.clone().value()?.len();
            // Whole elements from the start; of the very first, if it is too long, as much as fits.
            if shown == of && (length <= left || (of == 0 && left >= LEAST)) {
                if of > 0 {
                    self.out.push(',');
                }
                self.value(cursor, left, &format!("{at}/{of}"))?;
                shown += 1;
            } else {
                cursor.value()?;
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

    fn object(&mut self, cursor: &mut Cursor<'_>, room: usize, at: &str) -> Result<(), Broken> {
        let (mut lengths, mut of, mut names) = (Vec::new(), 0, 2);
        cursor.clone().members(&mut |cursor, name| {
            let length = cursor.value()?.len();
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
                self.value(cursor, most, &pointer(at, literal)?)?;
            } else {
                cursor.value()?;
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
    fn text(&mut self, literal: &str, room: usize, at: &str) -> Result<(), Broken> {
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

/// The pointer to the member of a name with its quotes (RFC 6901).
fn pointer(at: &str, literal: &str) -> Result<String, Broken> {
    Ok(format!("{at}/{}", name(literal)?.replace('~', "~0").replace('/', "~1")))
}
