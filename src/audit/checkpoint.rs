//! What the thread `audit-sync` does beside syncing: it grows the Merkle tree and signs checkpoints.
//!
//! Promises: a checkpoint follows the records that it covers at once, and stands in the head file only when it is on disk
//! in the log, so that a head file never is ahead of its log. Trusts the lock on the book.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::AuditError;
use super::book::Book;
use super::disk::{Disk, is_in_place, replace};
use super::merkle::Tree;
use super::note::{Checkpoint, Note, Signer};
use crate::clock::Clock;

/// After so many records a checkpoint is due.
const RECORDS: u64 = 1_000;
/// But no sooner than this after the last, so that a busy log does not sync head files all the time.
const SOONEST: Duration = Duration::from_secs(1);
/// And after this time, if there is any record that none covers.
const LATEST: Duration = Duration::from_secs(5 * 60);

/// The side of the log that looks back.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) signer: Signer,
    /// The log's name in its checkpoints.
    pub(super) origin: String,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// The file that holds the newest checkpoint.
    pub(super) head: PathBuf,
    pub(super) tree: Tree,
    pub(super) last: Last,
}

/// The newest checkpoint.
#[derive(Debug, Default)]
pub(super) struct Last {
    note: Option<Note>,
    /// Records up to it, itself included.
    records: u64,
    /// On the monotonic clock.
    at: Duration,
}

impl Keeper {
    /// How long to wait for the next checkpoint of a log of so many records; `None` where nothing is new.
    pub(super) fn wait(&self, records: u64) -> Option<Duration> {
        let every = match records.saturating_sub(self.last.records) {
            0 => return None,
            fresh if fresh < RECORDS => LATEST,
            _ => SOONEST,
        };
        Some(every.saturating_sub(self.clock.monotonic().saturating_sub(self.last.at)))
    }

    /// Signs what there is; the sequence number of the checkpoint's record, which is with the system on return.
    pub(super) fn checkpoint(&mut self) -> Result<u64, AuditError> {
        // Most of the work is done before the lock is held.
        let fresh = self.book.lock().unwrap_or_else(PoisonError::into_inner).take_fresh();
        fresh.iter().for_each(|hash| self.tree.push(hash));
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.take_fresh().iter().for_each(|hash| self.tree.push(hash));
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: self.tree.size(), root: self.tree.root() };
        let note = self.signer.sign(checkpoint);
        let seq = book.anchor(&note.text())?;
        let written = book.flush(seq)?;
        drop(book);
        self.last = Last { note: Some(note), records: seq + 1, at: self.clock.monotonic() };
        Ok(written)
    }

    /// Brings the log to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)?;
        match is_in_place(&self.file, &self.path)? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted or moved away")),
        }
    }

    /// Writes the newest checkpoint to the head file. The log holds it already: that this failed is said, and no more.
    pub(super) fn publish(&self) {
        let Some(note) = &self.last.note else { return };
        if let Err(error) = replace(&*self.disk, &self.head, note.text().as_bytes()) {
            tracing::error!(%error, head = %self.head.display(), "the newest checkpoint of the audit log could not be kept beside it");
        }
    }
}
