//! What the thread `audit-sync` does beside syncing: it grows the Merkle tree, signs checkpoints, turns to a new file, and
//! looks at the clock and at the space that is left.
//!
//! Promises: a checkpoint follows the records that it covers at once, and stands in the head file only when it is on disk
//! in the log, so that a head file never is ahead of its log; a file is on disk whole before a record of the next one counts as on
//! disk, or a checkpoint stands there. No sync is waited for under the lock on the book, which it trusts.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::book::Book;
use super::disk::{Disk, Room, is_in_place, replace};
use super::merkle::Tree;
use super::note::{Checkpoint, Note, Signer};
use super::record::{Continue, Fact};
use super::retire::{Old, Retention};
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
/// A clock that is off by more than this was set.
const STEP_MS: i128 = 2_000;

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
    /// What of older logs is deleted and was not looked for since this file began.
    pub(super) retention: Option<Retention>,
    pub(super) offset: Offset,
}

/// How far the wall clock is ahead of the monotonic one, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offset(i128);

impl Offset {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        let wall = match clock.wall().duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_millis()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_millis()).unwrap_or(i128::MAX),
        };
        Self(wall.saturating_sub(i128::try_from(clock.monotonic().as_millis()).unwrap_or(i128::MAX)))
    }
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
    pub(super) room: Room,
    /// When it is too old, on the monotonic clock.
    pub(super) until: Duration,
    /// Before this no other file is begun: one could not be made.
    pub(super) stays: Duration,
    /// Whether older logs were looked at since it began.
    pub(super) looked: bool,
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
    /// Whether a search for old files has not told yet what it found.
    pub(super) fn is_searching(&self) -> bool {
        self.retention.as_ref().is_some_and(Retention::is_searching)
    }

    /// How long to wait for the next checkpoint of a log of so many records; `None` where nothing is new.
    pub(super) fn wait(&self, records: u64) -> Option<Duration> {
        let every = match records.saturating_sub(self.last.records) {
            0 => return None,
            fresh if fresh < RECORDS => LATEST,
            _ => SOONEST,
        };
        Some(every.saturating_sub(self.clock.monotonic().saturating_sub(self.last.at)))
    }

    /// Signs what there is, unless the last checkpoint covers it; the sequence number of the checkpoint's record, which is
    /// with the system on return.
    pub(super) fn checkpoint(&mut self) -> Result<Option<u64>, AuditError> {
        // Most of the work is done before the lock is held.
        self.grow();
        let shared = self.book.clone();
        let mut book = lock(&shared);
        if self.last.note.is_some() && book.records() == self.last.records {
            return Ok(None);
        }
        let (seq, _) = self.anchor(&mut book)?;
        Ok(Some(seq))
    }

    /// Looks at the clock and at the space that is left, and records what has changed; the sequence number of that.
    pub(super) fn look_around(&mut self) -> Result<Option<u64>, AuditError> {
        let (mut wrote, time) = (None, self.clock.wall());
        let offset = Offset::of(&*self.clock);
        let step = offset.0.saturating_sub(self.offset.0);
        if step.abs() > STEP_MS {
            self.offset = offset;
            let step_ms = i64::try_from(step).unwrap_or(if step > 0 { i64::MAX } else { i64::MIN });
            let mut book = self.emptied();
            if book.is_open() {
                let seq = book.append(time, &[Fact::Clock { step_ms }])?;
                wrote = Some(book.flush(seq)?);
            }
        }
        let size = lock(&self.book).bytes();
        // Without the lock: the file system may take its time.
        let room = self.segment.room.renew(&*self.disk, &self.segment.file, size);
        if room == Room::None && std::mem::replace(&mut self.segment.room, room) != Room::None {
            tracing::error!("the disk of the audit log is full; nothing new is forwarded any more");
            let mut book = self.emptied();
            if book.is_open() {
                wrote = Some(book.fill(time)?);
            }
        }
        self.segment.room = room;
        Ok(wrote)
    }

    /// The book, with room for another record among those that wait for the tree.
    fn emptied(&mut self) -> MutexGuard<'_, Book> {
        self.grow();
        lock(&self.book)
    }

    /// Deletes what the policy does not keep, after this log says so on disk.
    pub(super) fn retire(&mut self) -> Result<Option<u64>, AuditError> {
        let Some(retention) = &mut self.retention else { return Ok(None) };
        if !retention.is_searching() && !std::mem::replace(&mut self.segment.looked, true) {
            retention.begin(&self.segment.path, self.clock.wall());
        }
        let old = retention.found();
        let facts: Vec<_> =
            old.iter().map(|old| Fact::Retired { file: &old.name, size: old.size, hash: &old.hash }).collect();
        if facts.is_empty() {
            return Ok(None);
        }
        self.grow();
        let shared = self.book.clone();
        let mut book = lock(&shared);
        if !book.is_open() {
            return Ok(None);
        }
        book.append(self.clock.wall(), &facts)?;
        // At once: without a checkpoint over it the record explains no gap.
        let (wrote, _) = self.anchor(&mut book)?;
        drop(book);
        self.sync().map_err(AuditError::Write)?;
        self.publish();
        for Old { path, name, last, .. } in &old {
            if let Err(error) = self.delete(path, *last) {
                tracing::warn!(%error, file = name, "an old file of the audit log could not be deleted");
                // A file that follows this one must not go before it.
                break;
            }
        }
        Ok(Some(wrote))
    }

    /// Deletes a file, and before the last of a log its head: one that stays alone is a doubt.
    fn delete(&self, path: &Path, last: bool) -> io::Result<()> {
        let head = segment::head(path);
        if last && head.try_exists()? {
            self.disk.remove(&head)?;
            self.disk.sync_names(path.parent().unwrap_or(Path::new(".")))?;
        }
        self.disk.remove(path)
    }

    /// Gives back the space that was reserved behind the end.
    pub(super) fn trim(&self) {
        let size = lock(&self.book).bytes();
        if self.segment.room != Room::Unknown
            && let Err(error) = self.disk.truncate(&self.segment.file, size)
        {
            tracing::warn!(%error, "space that was reserved for the audit log could not be given back");
        }
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
        let Some((file, room)) = self.next_file(&path) else {
            self.segment.stays = self.clock.monotonic() + AGAIN;
            return Ok(None);
        };
        let (before, next) = (segment::name(&self.segment.path), segment::name(&path));
        self.grow();
        let shared = self.book.clone();
        let mut book = lock(&shared);
        // It may have ended meanwhile: the new file stays empty, and is none.
        if !book.is_open() {
            return Ok(None);
        }
        let time = self.clock.wall();
        book.append(time, &[Fact::Rotate { next: &next }])?;
        let (_, note) = self.anchor(&mut book)?;
        let Name { log, policy, policy_hash, key, signer } = &self.name;
        let in_force = book.policy().unwrap_or(policy_hash).to_owned();
        let policy_hash = &in_force;
        let peaks = self.tree.peaks().iter().map(|peak| hex(peak)).collect();
        let (before, note) = (&before, &note);
        let first = Continue { log, policy, policy_hash, key, signer, segment: number + 1, before, note, peaks };
        let end = book.bytes();
        let seq = book.turn(file.clone(), time, first)?;
        drop(book);
        // Without the lock: calls go on in the next file. INVARIANT (order): nothing in that counts as on disk, and this thread puts
        // no checkpoint there, before the end of this one is.
        self.disk.sync(&self.segment.file).map_err(AuditError::Write)?;
        if let Err(error) = self.disk.truncate(&self.segment.file, end) {
            tracing::warn!(%error, "space that was reserved for the audit log could not be given back");
        }
        let now = self.clock.monotonic();
        let until = now.saturating_add(self.limits.age);
        self.segment = Segment { file, path, room, until, stays: now, looked: false };
        Ok(Some(seq))
    }

    /// Creates the next file, with space for its first records.
    fn next_file(&self, path: &Path) -> Option<(Arc<File>, Room)> {
        let file = match create(&*self.disk, path) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                tracing::error!(%error, "the audit log stays in its old file");
                // One that was made and could not be used must not be in the way the next time.
                if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                    self.disk.remove(path).ok();
                }
                return None;
            }
        };
        let room = Room::Until(0).renew(&*self.disk, &file, 0);
        if room != Room::None {
            return Some((file, room));
        }
        tracing::error!("the audit log stays in its old file: the disk is full");
        if let Err(error) = self.disk.remove(path) {
            tracing::warn!(%error, "an empty file of the audit log could not be deleted");
        }
        None
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
