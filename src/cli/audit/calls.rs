//! Puts the records of a log together into calls.
//!
//! Promises that each record comes out once, a call with its answer when that is read, and what has no end at the end or when too
//! many have none.

use std::collections::{BTreeMap, HashMap};

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

/// So many calls without an end are kept; a gate has at most 256 under way.
const MOST: usize = 1_024;

/// Calls that were asked about and have no end yet. Of more than a gate can have under way the oldest comes out without its end, so
/// that no log, however long and however many calls of it have none, takes more memory than that.
#[derive(Debug, Default)]
pub(in crate::cli) struct Calls {
    /// In the order in which they were asked.
    open: BTreeMap<u64, Box<Line>>,
    /// Where each stands there.
    places: HashMap<String, u64>,
    asked: u64,
}

impl Calls {
    /// Takes the next record; what it completes.
    pub(in crate::cli) fn next(&mut self, record: Record, text: &str) -> Option<Item> {
        let line = Box::new(Line { record, text: text.to_owned() });
        match line.record.kind.as_str() {
            "question" => self.ask(line).map(|lost| Item::Call(lost, None)),
            "answer" | "abandoned" => Some(match self.take(&line.record.call) {
                Some(question) => Item::Call(question, Some(line)),
                None => Item::Event(line),
            }),
            _ => Some(Item::Event(line)),
        }
    }

    /// Keeps a question; the one that goes for it.
    fn ask(&mut self, line: Box<Line>) -> Option<Box<Line>> {
        let same = self.take(&line.record.call);
        self.places.insert(line.record.call.clone(), self.asked);
        self.open.insert(self.asked, line);
        self.asked += 1;
        if self.open.len() <= MOST {
            return same;
        }
        let (_, oldest) = self.open.pop_first()?;
        self.places.remove(&oldest.record.call);
        Some(oldest)
    }

    fn take(&mut self, call: &str) -> Option<Box<Line>> {
        self.places.remove(call).and_then(|place| self.open.remove(&place))
    }

    /// The calls that have no end, in the order in which they were asked.
    pub(in crate::cli) fn rest(self) -> impl Iterator<Item = Item> {
        self.open.into_values().map(|line| Item::Call(line, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(calls: &mut Calls, kind: &str, call: u64) -> Option<Item> {
        let text = format!("{{\"seq\":{call},\"kind\":\"{kind}\",\"call\":\"{call}\"}}");
        calls.next(serde_json::from_str(&text).unwrap(), &text)
    }

    #[test]
    fn of_calls_without_an_end_the_oldest_comes_out_before_memory_fills_up() {
        let (mut calls, most) = (Calls::default(), MOST as u64);
        for call in 0..most {
            assert!(told(&mut calls, "question", call).is_none(), "{call} is waited for");
        }
        assert!(matches!(told(&mut calls, "answer", 5), Some(Item::Call(_, Some(_)))));
        assert!(told(&mut calls, "question", most).is_none(), "there is room for one again");
        for (more, oldest) in (most + 1..3 * most).zip((0..).filter(|call| *call != 5)) {
            let Some(Item::Call(lost, None)) = told(&mut calls, "question", more) else { panic!("{more} fits") };
            assert_eq!(lost.record.call, oldest.to_string());
            assert_eq!((calls.open.len(), calls.places.len()), (MOST, MOST));
        }
        assert!(matches!(told(&mut calls, "answer", 0), Some(Item::Event(_))), "its call came out before");
        let rest: Vec<_> = calls.rest().map(|item| matches!(item, Item::Call(_, None))).collect();
        assert_eq!(rest, vec![true; MOST]);
    }
}
