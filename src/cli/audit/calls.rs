//! Puts the records of a log together into calls.
//!
//! Promises that each record comes out once, a call with its answer when that is read, and what has no end at the end.

use std::collections::HashMap;

use super::record::Record;

/// A record and its line in the file, without the end of the line.
#[derive(Debug)]
pub(in crate::cli) struct Line {
    pub(in crate::cli) record: Record,
    pub(in crate::cli) text: String,
}

/// What the log tells of.
#[derive(Debug)]
pub(in crate::cli) enum Item {
    /// A call: its question, and its end unless the log has none.
    Call(Box<Line>, Option<Box<Line>>),
    /// Anything else.
    Event(Box<Line>),
}

/// Calls that were asked about and have no end yet; a gate has at most some hundreds at a time.
#[derive(Debug, Default)]
pub(in crate::cli) struct Calls(HashMap<String, Box<Line>>);

impl Calls {
    /// Takes the next record; what it completes.
    pub(in crate::cli) fn next(&mut self, record: Record, text: &str) -> Option<Item> {
        let line = Box::new(Line { record, text: text.to_owned() });
        match line.record.kind.as_str() {
            "question" => self.0.insert(line.record.call.clone(), line).map(|lost| Item::Call(lost, None)),
            "answer" | "abandoned" => Some(match self.0.remove(&line.record.call) {
                Some(question) => Item::Call(question, Some(line)),
                None => Item::Event(line),
            }),
            _ => Some(Item::Event(line)),
        }
    }

    /// The calls that have no end, in the order in which they were asked.
    pub(in crate::cli) fn rest(self) -> impl Iterator<Item = Item> {
        let mut open: Vec<_> = self.0.into_values().collect();
        open.sort_by_key(|line| line.record.seq);
        open.into_iter().map(|line| Item::Call(line, None))
    }
}
