//! What becomes of a text that is read once from its beginning to its end, at the least cost in memory.
//!
//! Promises that a text in which little changes is changed where it stands, and that one in which much changes is written
//! anew, at the size that it then has.

/// What stands in place of a redacted value.
const REDACTED: &str = "\"[redacted]\"";
/// No more than one gap for so many bytes is kept in a list, where it takes eight.
const BYTES_A_GAP: usize = 32;

/// A text, or what to change in the one that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// So many bytes of it, but for these gaps, in order.
    Same(usize, Vec<Gap>),
    New(String),
}

/// From one byte to another: white space that goes, or a value that is redacted, which never begins with white space.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap {
    from: u32,
    to: u32,
}

/// What goes out of a text.
#[derive(Debug)]
pub(super) struct Output<'t> {
    text: &'t str,
    room: usize,
    at: usize,
    gaps: Vec<Gap>,
    own: Option<String>,
}

impl<'t> Output<'t> {
    /// Of `text`; a new one gets `room` bytes at once.
    pub(super) fn new(text: &'t str, room: usize) -> Self {
        Self { text, room, at: 0, gaps: Vec::new(), own: None }
    }

    /// Adds a piece: the next of those that stand in the text, or one that does not.
    pub(super) fn put(&mut self, piece: &str) {
        if let Some(own) = &mut self.own {
            return own.push_str(piece);
        }
        if self.rest(self.at).starts_with(piece) {
            self.at += piece.len();
            return;
        }
        let start = self.after_blank();
        if self.rest(start).starts_with(piece) && self.leave_out(start) {
            self.at += piece.len();
        } else {
            self.anew().push_str(piece);
        }
    }

    /// Redacts the value that ends before the byte `end`.
    pub(super) fn redact(&mut self, end: usize) {
        if self.own.is_some() || !self.leave_out(self.after_blank()) || !self.leave_out(end) {
            self.anew().push_str(REDACTED);
        }
    }

    pub(super) fn end(self) -> Text {
        match self.own {
            Some(own) => Text::New(own),
            None => Text::Same(self.at, self.gaps),
        }
    }

    fn rest(&self, from: usize) -> &'t str {
        self.text.get(from..).unwrap_or_default()
    }

    fn after_blank(&self) -> usize {
        let rest = self.rest(self.at);
        self.at + rest.bytes().take_while(|byte| is_blank(*byte)).count()
    }

    /// Passes over what stands before the byte `to`; not if that is one gap too many.
    fn leave_out(&mut self, to: usize) -> bool {
        if to == self.at {
            return true;
        }
        let (Ok(from), Ok(end)) = (u32::try_from(self.at), u32::try_from(to)) else { return false };
        if from > end || self.gaps.len() >= self.text.len() / BYTES_A_GAP {
            return false;
        }
        self.gaps.push(Gap { from, to: end });
        self.at = to;
        true
    }

    /// A text of its own, from here on.
    fn anew(&mut self) -> &mut String {
        let gaps = std::mem::take(&mut self.gaps);
        self.own.get_or_insert_with(|| {
            let mut own = String::with_capacity(self.room);
            let mut from = 0;
            for gap in gaps {
                own.push_str(self.text.get(from..gap.from()).unwrap_or_default());
                own.push_str(gap.in_its_place(self.text.as_bytes().get(gap.from())));
                from = gap.to();
            }
            own.push_str(self.text.get(from..self.at).unwrap_or_default());
            own
        })
    }
}

impl Gap {
    fn from(&self) -> usize {
        self.from as usize
    }

    fn to(&self) -> usize {
        self.to as usize
    }

    /// What is written where it was, by the byte that it began with.
    fn in_its_place(&self, first: Option<&u8>) -> &'static str {
        if first.is_some_and(|byte| is_blank(*byte)) { "" } else { REDACTED }
    }
}

impl Text {
    /// What `came` is turned into.
    pub(super) fn of(self, came: String) -> String {
        let (length, gaps) = match self {
            Self::New(new) => return new,
            Self::Same(length, gaps) => (length, gaps),
        };
        let mut bytes = came.into_bytes();
        bytes.truncate(length);
        close(&mut bytes, &gaps);
        // Every gap began and ended between two tokens, which are characters of one byte or strings in their quotes.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Writes what belongs in place of the gaps, and puts the rest of the text together.
fn close(bytes: &mut Vec<u8>, gaps: &[Gap]) {
    let Some(first) = gaps.first().map(Gap::from) else { return };
    let length = bytes.len();
    // What is written is never ahead of what is read: the rest stands as much further back as the text may grow.
    let back =
        gaps.iter().map(|gap| gap.in_its_place(bytes.get(gap.from())).len().saturating_sub(gap.to() - gap.from()));
    let back: usize = back.sum();
    bytes.reserve_exact(back);
    bytes.resize(length + back, 0);
    bytes.copy_within(first..length, first + back);
    let mut end = first;
    for (index, gap) in gaps.iter().enumerate() {
        let new = gap.in_its_place(bytes.get(gap.from() + back)).as_bytes();
        if let Some(place) = bytes.get_mut(end..end + new.len()) {
            place.copy_from_slice(new);
        }
        end += new.len();
        let next = gaps.get(index + 1).map_or(length, Gap::from);
        bytes.copy_within(gap.to() + back..next + back, end);
        end += next - gap.to();
    }
    bytes.truncate(end);
}

/// White space of JSON, or the record separator of RFC 7464.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x1e)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 bytes for each row, of which the policy redacts one.
    fn rows(count: usize, blank: &str) -> (String, Text) {
        let row = format!("{{\"id\":{blank}1,\"name\":\"{}\"}}", "x".repeat(80));
        let text = format!("[{}]", vec![row; count].join(","));
        let mut output = Output::new(&text, text.len());
        let mut end = 0;
        for (at, _) in text.match_indices('1') {
            output.put(text.get(end..at - blank.len()).unwrap());
            end = at + 1;
            output.redact(end);
        }
        output.put(text.get(end..).unwrap());
        let made = output.end();
        (text, made)
    }

    #[test]
    fn few_values_are_redacted_where_they_stand_even_if_the_text_grows() {
        for blank in ["", " \n"] {
            let (text, made) = rows(1_000, blank);
            let Text::Same(length, gaps) = &made else { panic!("it was written anew") };
            assert_eq!((*length, gaps.len()), (text.len(), if blank.is_empty() { 1_000 } else { 2_000 }));
            assert!(gaps.capacity() * size_of::<Gap>() <= text.len() / 2);
            let expected = text.replace(&format!("{blank}1"), "\"[redacted]\"");
            assert!(made.of(text) == expected);
        }
    }

    #[test]
    fn a_text_with_more_gaps_than_are_worth_a_list_is_written_anew() {
        let text = format!("[{}]", ["1"; 100].join(" , "));
        let mut output = Output::new(&text, text.len());
        for piece in text.split_inclusive(' ') {
            output.put(piece.trim());
        }
        assert_eq!(output.end(), Text::New(text.replace(' ', "")));
    }
}
