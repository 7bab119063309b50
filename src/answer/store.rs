//! What was cut from answers and may still be read, for a while.
//!
//! Promises that no more is held than the caps say, that a remainder is given to the agent whose call it came from and to
//! nobody else, and once. What it holds was redacted before. Without random bytes nothing is held.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::part::{Part, Remainder};
use crate::agent::Agent;
use crate::clock::Clock;

/// How many remainders are held at once; for one more the oldest goes.
pub const MAX_HANDLES: usize = 32;
/// What they take in memory together, and one of them at most.
pub const MAX_BYTES: usize = 16 << 20;
/// See [`MAX_BYTES`].
pub const MAX_EACH: usize = 8 << 20;
/// How long one is held.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// Remainders of answers, by handle; a clone is the same store.
#[derive(Debug, Clone)]
pub struct Store {
    clock: Arc<dyn Clock>,
    held: Arc<Mutex<VecDeque<Held>>>,
}

/// What is left of an answer, taken out of the store by its handle.
#[derive(Debug)]
pub struct Rest {
    store: Store,
    agent: Agent,
    rest: Remainder,
}

#[derive(Debug)]
struct Held {
    agent: Agent,
    handle: String,
    since: Duration,
    rest: Remainder,
}

impl Store {
    /// An empty store that measures age by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: Arc::default() }
    }

    /// Holds what is left of a part, if it may, and writes the handle into its note.
    pub(super) fn keep(&self, agent: &Agent, part: &mut Part) {
        let (Some(mut rest), Some(cut)) = (part.rest.take(), &mut part.cut) else { return };
        rest.shrink();
        if rest.size() > MAX_EACH {
            return;
        }
        let mut bytes = [0; 12];
        if getrandom::fill(&mut bytes).is_err() {
            return;
        }
        let handle = URL_SAFE_NO_PAD.encode(bytes);
        cut.next = Some(handle.clone());
        let now = self.clock.monotonic();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut held, now);
        let room = MAX_BYTES - rest.size();
        while held.len() >= MAX_HANDLES || held.iter().map(|held| held.rest.size()).sum::<usize>() > room {
            held.pop_front();
        }
        held.push_back(Held { agent: agent.clone(), handle, since: now, rest });
    }

    /// What `handle` names, which it then names no more, for the agent whose call it came from; `None` where nothing is
    /// held under that handle (any more).
    #[must_use]
    pub fn take(&self, agent: &Agent, handle: &str) -> Option<Rest> {
        let now = self.clock.monotonic();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut held, now);
        let index = held.iter().position(|held| held.handle == handle && held.agent == *agent)?;
        let Held { rest, agent, .. } = held.remove(index)?;
        Some(Rest { store: self.clone(), agent, rest })
    }
}

impl Rest {
    /// What it takes in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.rest.size()
    }

    /// Its next part; what is left after that has a handle of its own.
    pub(super) fn next(self, max_bytes: usize) -> Part {
        let Self { store, agent, rest } = self;
        let mut part = rest.next(max_bytes);
        store.keep(&agent, &mut part);
        part
    }
}

/// Drops what is too old.
fn forget(held: &mut VecDeque<Held>, now: Duration) {
    while held.front().is_some_and(|oldest| now.saturating_sub(oldest.since) >= MAX_AGE) {
        held.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::first;
    use super::*;
    use crate::clock::ManualClock;

    fn cut(bytes: usize) -> Part {
        first("x".repeat(bytes), 0, None, false, 1_024)
    }

    fn keep(store: &Store, agent: &Agent, bytes: usize) -> Option<String> {
        let mut part = cut(bytes);
        store.keep(agent, &mut part);
        part.cut.unwrap().next
    }

    fn next(store: &Store, agent: &Agent, handle: &str, max_bytes: usize) -> Option<Part> {
        store.take(agent, handle).map(|rest| rest.next(max_bytes))
    }

    #[test]
    fn a_remainder_is_read_to_its_end_by_one_handle_after_the_other() {
        let (store, agent) = (Store::new(Arc::new(ManualClock::default())), Agent::stdio(1));
        let mut handle = keep(&store, &agent, 3_000).unwrap();
        let second = next(&store, &agent, &handle, 1_024).unwrap();
        assert_eq!(second.text.len(), 1_024);
        assert!(next(&store, &agent, &handle, 1_024).is_none(), "a handle is good once");
        handle = second.cut.unwrap().next.unwrap();
        let third = next(&store, &agent, &handle, 1_024).unwrap();
        assert_eq!((third.text.len(), third.cut.unwrap().next), (952, None));
    }

    #[test]
    fn a_remainder_is_for_its_agent_alone_and_for_ten_minutes() {
        let clock = ManualClock::default();
        let store = Store::new(Arc::new(clock.clone()));
        let handle = keep(&store, &Agent::stdio(1), 3_000).unwrap();
        assert!(next(&store, &Agent::stdio(2), &handle, 1_024).is_none());
        assert!(next(&store, &Agent::stdio(1), "", 1_024).is_none());
        clock.advance(MAX_AGE);
        assert!(next(&store, &Agent::stdio(1), &handle, 1_024).is_none());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
        let (store, agent) = (Store::new(Arc::new(ManualClock::default())), Agent::stdio(1));
        let many: Vec<String> = (0..=MAX_HANDLES).map(|_| keep(&store, &agent, 3_000).unwrap()).collect();
        assert!(next(&store, &agent, &many[0], 10_000).is_none());
        assert!(next(&store, &agent, &many[1], 10_000).is_some());
        let large: Vec<String> = (0..3).map(|_| keep(&store, &agent, MAX_EACH).unwrap()).collect();
        let total: usize = store.held.lock().unwrap().iter().map(|held| held.rest.size()).sum();
        assert!(total <= MAX_BYTES, "{total}");
        assert!(next(&store, &agent, &large[0], 10_000).is_none());
        assert!(next(&store, &agent, &large[2], 10_000).is_some());
    }

    #[test]
    fn what_is_too_large_to_hold_has_no_handle() {
        let store = Store::new(Arc::new(ManualClock::default()));
        assert_eq!(keep(&store, &Agent::stdio(1), MAX_EACH + 1), None);
    }
}
