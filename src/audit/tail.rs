//! Where the log is followed while it is written: how far it is on disk, and how far the sinks that a policy requires have it.
//!
//! Promises that nobody who follows holds a call up, but for a write that waits for a required sink. What is told is how far
//! the disk has the log, so that no sink ever holds a record that a power cut took from the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::segment;

/// Shared by the log and everybody who follows it.
#[derive(Debug, Clone)]
pub struct Tail {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One more than the last sequence number on disk.
    synced: watch::Sender<u64>,
    /// The same of what each required sink has.
    taken: Vec<watch::Sender<u64>>,
    /// Writes that wait for them.
    waits: watch::Sender<usize>,
}

impl Tail {
    pub(super) fn new(required: usize) -> Self {
        let taken = (0..required).map(|_| watch::Sender::new(0)).collect();
        Self { shared: Arc::new(Shared { synced: watch::Sender::new(0), taken, waits: watch::Sender::new(0) }) }
    }

    /// The file is on disk up to before this sequence number.
    pub(super) fn synced(&self, next: u64) {
        self.shared.synced.send_replace(next);
    }

    pub(super) fn is_required(&self) -> bool {
        !self.shared.taken.is_empty()
    }

    /// Resolves once every required sink has record `seq`.
    pub(super) async fn taken(&self, seq: u64) {
        let _wait = Wait::begin(&self.shared.waits);
        for taken in &self.shared.taken {
            // The sender is `self`'s own, so that it cannot be gone.
            taken.subscribe().wait_for(|next| *next > seq).await.ok();
        }
    }

    /// One more than the last sequence number on disk, now and whenever it grows.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.shared.synced.subscribe()
    }

    /// A required sink, counted from 0 in the order of the policy, has everything before this sequence number.
    pub fn took(&self, required: usize, next: u64) {
        if let Some(taken) = self.shared.taken.get(required) {
            taken.send_if_modified(|taken| std::mem::replace(taken, (*taken).max(next)) < next);
        }
    }

    /// Resolves while a write waits for the required sinks.
    pub async fn wanted(&self) {
        // The sender is `self`'s own, so that it cannot be gone.
        self.shared.waits.subscribe().wait_for(|waits| *waits > 0).await.ok();
    }
}

/// The file in which a log goes on after this one, if it does.
#[must_use]
pub fn after(file: &Path) -> PathBuf {
    let (first, number) = segment::first(file);
    segment::path(&first, number.saturating_add(1))
}

/// One write that waits, for as long as it does.
struct Wait<'a>(&'a watch::Sender<usize>);

impl<'a> Wait<'a> {
    fn begin(waits: &'a watch::Sender<usize>) -> Self {
        waits.send_modify(|waits| *waits = waits.saturating_add(1));
        Self(waits)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waits| *waits = waits.saturating_sub(1));
    }
}
