//! What the thread `audit-sync` does beside syncing: it grows the Merkle tree, signs checkpoints and turns to a new file.
//!
//! Promises: a checkpoint follows the records that it covers at once, and stands in the head file only when it is on disk
//! in the log, so that a head file never is ahead of its log; a file is on disk whole before the next one has a record.
//! Trusts the lock on the book.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::book::Book;
use super::disk::{Disk, is_in_place, replace};
use super::merkle::Tree;
use super::note::{Checkpoint, Note, Signer};
use super::record::{Continue, Fact};
use super::segment::{self, Limits};
use super::{AuditError, create, hex};
use crate::clock::Clock;

/// After so many records a checkpoint is due.
const RECORDS: u64 = 1_000;
/// But no sooner than this after the last, so that a busy log does not sync head files all the time.
const SOONEST: Duration = Duration::from_secs(1);
/// And after this time, if there is any record that none covers.
const LATEST: Duration = Duration::from_secs(5 * 60);
/// A new file that could not be made is tried for again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// The side of the log that looks back.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) signer: Signer,
    pub(super) name: Name,
    pub(super) limits: Limits,
    pub(super) segment: Segment,
    pub(super) tree: Tree,
    pub(super) last: Last,
}

/// Whose log it is.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) log: String,
    pub(super) policy: String,
    pub(super) policy_hash: String,
    /// Names the key of the digests.
    pub(super) key: String,
    /// Names the key of the checkpoints.
    pub(super) signer: String,
}

impl Name {
    /// The log's name in its checkpoints.
    pub(super) fn origin(&self) -> String {
        format!("portcullis/{}/{}", self.policy, self.log)
    }
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// When it is too old, on the monotonic clock.
    pub(super) until: Duration,
    /// Before this no other file is begun: one could not be made.
    pub(super) stays: Duration,
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
        self.grow();
        let shared = self.book.clone();
        let (seq, _) = self.anchor(&mut lock(&shared))?;
        Ok(seq)
    }

    /// Whether the file is to be followed by another.
    pub(super) fn is_full(&self) -> bool {
        let now = self.clock.monotonic();
        let book = lock(&self.book);
        let over = book.bytes() >= self.limits.bytes || now >= self.segment.until;
        over && book.is_open() && now >= self.segment.stays
    }

    /// Ends the file and begins the next; the sequence number of its first record, which is with the system on return.
    /// Where none can be made, the log goes on in this one, which is said.
    pub(super) fn turn(&mut self) -> Result<Option<u64>, AuditError> {
        let (first, number) = segment::first(&self.segment.path);
        let path = segment::path(&first, number + 1);
        let file = match create(&*self.disk, &path) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                tracing::error!(%error, "the audit log stays in its old file");
                self.segment.stays = self.clock.monotonic() + AGAIN;
                return Ok(None);
            }
        };
        let (before, next) = (segment::name(&self.segment.path), segment::name(&path));
        self.grow();
        let shared = self.book.clone();
        let mut book = lock(&shared);
        let time = self.clock.wall();
        book.append(time, &[Fact::Rotate { next: &next }])?;
        let (_, note) = self.anchor(&mut book)?;
        // Under the lock, once for each file: a record of the next must not be on disk without the end of this one.
        self.disk.sync(&self.segment.file).map_err(AuditError::Write)?;
        let Name { log, policy, policy_hash, key, signer } = &self.name;
        let peaks = self.tree.peaks().iter().map(|peak| hex(peak)).collect();
        let (before, note) = (&before, &note);
        let first = Continue { log, policy, policy_hash, key, signer, segment: number + 1, before, note, peaks };
        let seq = book.turn(file.clone(), time, first)?;
        drop(book);
        let now = self.clock.monotonic();
        self.segment = Segment { file, path, until: now + self.limits.age, stays: now };
        Ok(Some(seq))
    }

    /// Brings the log to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.segment.file)?;
        match is_in_place(&self.segment.file, &self.segment.path)? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted or moved away")),
        }
    }

    /// Writes the newest checkpoint to the head file. The log holds it already: that this failed is said, and no more.
    pub(super) fn publish(&self) {
        let Some(note) = &self.last.note else { return };
        let head = segment::head(&self.segment.path);
        if let Err(error) = replace(&*self.disk, &head, note.text().as_bytes()) {
            tracing::error!(%error, head = %head.display(), "the newest checkpoint of the audit log could not be kept beside it");
        }
    }

    /// Puts what is new into the tree.
    fn grow(&mut self) {
        let fresh = lock(&self.book).take_fresh();
        fresh.iter().for_each(|hash| self.tree.push(hash));
    }

    /// Signs what there is; the checkpoint's sequence number and text. It is with the system on return.
    fn anchor(&mut self, book: &mut Book) -> Result<(u64, String), AuditError> {
        book.take_fresh().iter().for_each(|hash| self.tree.push(hash));
        let (origin, size, root) = (self.name.origin(), self.tree.size(), self.tree.root());
        let note = self.signer.sign(Checkpoint { origin, size, root });
        let text = note.text();
        let seq = book.anchor(&text)?;
        book.flush(seq)?;
        self.last = Last { note: Some(note), records: seq + 1, at: self.clock.monotonic() };
        Ok((seq, text))
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}
