//! The array of an answer that is read in parts, and its elements.
//!
//! Promises to find it in one pass. Trusts that the text was rewritten (see [`super::rewrite()`]).

use super::cursor::{Broken, Cursor, Kind};
use super::place;

/// The place of the lines of a text of several values.
pub(super) const LINES: &str = "lines";

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

impl Rows {
    /// Finds the array in `doc`, which holds `values` values.
    pub(super) fn find(doc: &str, values: usize) -> Option<Self> {
        if values == 1 {
            let Found { rows, names } = Found::within(&mut Cursor::new(doc)).ok().flatten()?;
            return Some(Self { at: place::pointer(&names), ..rows });
        }
        Some(Self { at: LINES.to_owned(), open: 0, first: 0, end: doc.len(), of: values })
    }

    /// The array that begins here, whose place is not known.
    pub(super) fn array(cursor: &mut Cursor<'_>) -> Result<Self, Broken> {
        let (open, mut of) = (cursor.offset(), 0);
        cursor.elements(&mut |cursor| {
            of += 1;
            cursor.value().map(|_| ())
        })?;
        Ok(Self { at: String::new(), open, first: open + 1, end: cursor.offset() - 1, of })
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
    pub(super) fn fitting<'d>(&self, doc: &'d str, at: usize, room: usize) -> Run<'d> {
        let (mut shown, mut end, mut next) = (0, at, at);
        for element in self.elements(doc, at).take_while(|element| element.end - at <= room) {
            (shown, end, next) = (shown + 1, element.end, element.next);
        }
        Run { text: doc.get(at..end).unwrap_or_default(), shown, next }
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
pub(super) struct Run<'d> {
    pub(super) text: &'d str,
    pub(super) shown: usize,
    pub(super) next: usize,
}

/// An array and the names of the members that lead to it, with their quotes, the innermost first.
struct Found<'t> {
    rows: Rows,
    names: Vec<&'t str>,
}

impl<'t> Found<'t> {
    /// Passes over the value that begins here.
    fn within(cursor: &mut Cursor<'t>) -> Result<Option<Self>, Broken> {
        match cursor.kind() {
            Kind::Array => Ok(Some(Self { rows: Rows::array(cursor)?, names: Vec::new() })),
            Kind::Object => Self::member(cursor),
            Kind::Text | Kind::Null | Kind::Plain => cursor.scalar().map(|_| None),
        }
    }

    /// The array in the longest member, if that holds one, or else the longest array among the members.
    fn member(cursor: &mut Cursor<'t>) -> Result<Option<Self>, Broken> {
        let (mut object, mut array) = ((0, None), (0, None));
        cursor.members(&mut |cursor, name| {
            let (from, kind) = (cursor.offset(), cursor.kind());
            let found = Self::within(cursor)?;
            let length = cursor.offset() - from;
            let longest = if kind == Kind::Object { &mut object } else { &mut array };
            if matches!(kind, Kind::Object | Kind::Array) && length > longest.0 {
                *longest = (length, found.map(|found| (found, name)));
            }
            Ok(())
        })?;
        let found = if object.0 > array.0 { object.1.or(array.1) } else { array.1 };
        Ok(found.map(|(mut found, name)| {
            found.names.push(name);
            found
        }))
    }
}
