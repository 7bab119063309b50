//! Where the long containers of a JSON text end.
//!
//! Promises that each of them is passed over in one step: whoever goes into one after the other looks at no byte once for
//! each container around it.

use super::cursor::{Broken, Cursor, Kind};

/// A container of up to so many bytes is passed over by reading it. No smaller: each longer one takes eight bytes here.
pub(super) const SHORT: usize = 256;

/// The first and the last byte of each container longer than [`SHORT`], in the order of the first.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<(u32, u32)>);

impl Spans {
    /// Looks for them in a text of one value.
    pub(super) fn of(text: &str) -> Result<Self, Broken> {
        let mut spans = Self::default();
        spans.read(&mut Cursor::new(text))?;
        Ok(spans)
    }

    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Broken> {
        let (from, index) = (cursor.offset(), self.0.len());
        let place = |byte: usize| u32::try_from(byte).map_err(|_| Broken);
        match cursor.kind() {
            Kind::Text | Kind::Null | Kind::Plain => return cursor.scalar().map(|_| ()),
            Kind::Object | Kind::Array => self.0.push((place(from)?, 0)),
        }
        match cursor.kind() {
            Kind::Object => cursor.members(&mut |cursor, _| self.read(cursor))?,
            Kind::Array | Kind::Text | Kind::Null | Kind::Plain => cursor.elements(&mut |cursor| self.read(cursor))?,
        }
        if cursor.offset() - from <= SHORT {
            // What is inside was short as well, and is gone.
            self.0.truncate(index);
        } else if let Some((_, end)) = self.0.get_mut(index) {
            *end = place(cursor.offset())?;
        }
        Ok(())
    }

    /// Passes over one value; its text.
    pub(super) fn value<'t>(&self, cursor: &mut Cursor<'t>) -> Result<&'t str, Broken> {
        match cursor.kind() {
            Kind::Object | Kind::Array => {}
            Kind::Text | Kind::Null | Kind::Plain => return cursor.scalar(),
        }
        let from = u32::try_from(cursor.offset()).map_err(|_| Broken)?;
        match self.0.binary_search_by_key(&from, |span| span.0).ok().and_then(|index| self.0.get(index)) {
            Some((_, end)) => Ok(cursor.jump(usize::try_from(*end).map_err(|_| Broken)?)),
            None => cursor.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_passed_over_as_by_reading_it() {
        let list = format!("[{}]", vec!["[1,{\"a\":2}]"; 100].join(","));
        let text = format!("{{\"s\":\"{}\",\"l\":{list},\"d\":[[{list}]],\"e\":[]}}", "x".repeat(500));
        let spans = Spans::of(&text).unwrap();
        assert_eq!(spans.0.len(), 5, "the text, and the lists in it");
        for (from, _) in text.match_indices(['[', '{', '"', '1']) {
            let (mut read, mut passed) = (Cursor::at(&text, from), Cursor::at(&text, from));
            assert_eq!(read.value(), spans.value(&mut passed), "{from}");
            assert_eq!(read.offset(), passed.offset(), "{from}");
        }
    }
}
