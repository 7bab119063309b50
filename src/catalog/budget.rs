//! What one document may cost, whatever stands in it.
//!
//! Promises that work and memory end: to read a document costs so much text looked at, and to describe all its
//! operations so much again; what is kept of their schemas has a weight, and patterns a number. References and repeated
//! parts make a small document lead to much, so that the caps of each operation alone would not be enough. Where a
//! budget ends while a document is read, the rest of its paths is left out with one warning; where it ends in a schema,
//! the schema asks less and the API judges.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use serde_json::Value;

use super::MAX_DOCUMENT;
use super::members::Members;
use super::pattern::Patterns;
use super::warning::ReferenceError;

/// How much text is looked at to find the operations of a document, and how much to describe them all, in bytes.
pub(super) const MAX_READING: usize = 12 * MAX_DOCUMENT;
const MAX_DESCRIBING: usize = 8 * MAX_DOCUMENT;

/// The same for the description of one operation.
const MAX_DESCRIBING_ONE: usize = 8 << 20;

/// What it costs to look at any text at all, and at each member of an object, as bytes of text: short ones take their
/// time too.
const LOOK: usize = 64;
const MEMBER: usize = 48;

/// How much memory the schemas of a document may take, in bytes, about.
const MAX_WEIGHT: usize = 40 << 20;

/// How many bytes may still be looked at.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
    is_spent: bool,
}

impl Work {
    pub(super) fn of(bytes: usize) -> Self {
        Self { left: bytes, is_spent: bytes == 0 }
    }

    /// Whether a look was too much.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Takes a look at so many bytes. Once that is too much, everything is.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), ReferenceError> {
        match self.left.checked_sub(bytes.saturating_add(LOOK)) {
            Some(left) if !self.is_spent => {
                self.left = left;
                Ok(())
            }
            Some(_) | None => {
                self.is_spent = true;
                Err(ReferenceError::TooMuch)
            }
        }
    }

    /// The members of a text that is one object with each name once.
    pub(super) fn members<'a>(&mut self, text: &'a str) -> Result<Option<Members<'a>>, ReferenceError> {
        self.charge(text.len())?;
        let members = Members::read(text);
        self.charge(members.as_ref().map_or(0, Members::len) * MEMBER)?;
        Ok(members)
    }
}

/// What is left to describe the operations of one document with.
#[derive(Debug)]
pub(super) struct Pool {
    work: AtomicUsize,
    weight: AtomicUsize,
    patterns: Mutex<Patterns>,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self {
            work: AtomicUsize::new(MAX_DESCRIBING),
            weight: AtomicUsize::new(MAX_WEIGHT),
            patterns: Mutex::new(Patterns::new()),
        }
    }

    /// The work that one operation may take, to be given back.
    pub(super) fn lend(&self) -> Work {
        Work::of(take(&self.work, MAX_DESCRIBING_ONE))
    }

    /// What one operation has not used.
    pub(super) fn give_back(&self, work: &Work) {
        self.work.fetch_add(work.left, Ordering::Relaxed);
    }

    /// Whether there is room for more schemas at all.
    pub(super) fn has_room(&self) -> bool {
        self.weight.load(Ordering::Relaxed) > 0
    }

    /// Whether there is room for a schema, which then is taken.
    pub(super) fn keeps(&self, schema: &Value) -> bool {
        let weight = weight(schema);
        take(&self.weight, weight) == weight
    }

    /// A pattern, compiled; `None` where it is not understood, too large, or one too many.
    pub(super) fn pattern(&self, pattern: &str) -> Option<Arc<Regex>> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner).get(pattern)
    }
}

/// Takes as much as there is, up to `most`.
fn take(from: &AtomicUsize, most: usize) -> usize {
    let before = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(most)));
    before.unwrap_or_else(|left| left).min(most)
}

/// About how much memory a value takes, in bytes.
fn weight(value: &Value) -> usize {
    /// What a value takes where it stands, what an allocation costs, and what a map or a member has beside.
    const VALUE: usize = size_of::<Value>();
    const ALLOCATION: usize = 16;
    const MAP: usize = 96;
    const MEMBER: usize = size_of::<String>() + size_of::<u64>() + ALLOCATION;
    let member = |(name, member): (&String, &Value)| weight(member) + MEMBER + name.len();
    VALUE
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len() + ALLOCATION,
            Value::Array(items) => ALLOCATION + items.iter().map(weight).sum::<usize>(),
            Value::Object(members) => MAP + members.iter().map(member).sum::<usize>(),
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn work_ends_and_stays_at_its_end() {
        let mut work = Work::of(4 * LOOK + 80);
        assert!(work.members(r#"{"a":1}"#).unwrap().is_some() && work.members("[]").unwrap().is_none());
        assert!(!work.is_spent());
        assert_eq!(work.charge(LOOK), Err(ReferenceError::TooMuch));
        assert!(work.is_spent() && work.charge(0).is_err());
    }

    #[test]
    fn what_is_lent_comes_back_and_no_more_than_there_is() {
        let pool = Pool::new();
        let lent: Vec<Work> = std::iter::repeat_with(|| pool.lend()).take_while(|work| !work.is_spent()).collect();
        assert_eq!(lent.iter().map(|work| work.left).sum::<usize>(), MAX_DESCRIBING);
        pool.give_back(&lent[0]);
        assert_eq!(pool.lend().left, MAX_DESCRIBING_ONE);
        let schema = json!({"enum": ["a", 1, [true]]});
        let kept = std::iter::repeat_with(|| pool.keeps(&schema)).take_while(|kept| *kept).count();
        assert_eq!(kept, MAX_WEIGHT / weight(&schema));
        assert!(!pool.has_room());
    }
}
