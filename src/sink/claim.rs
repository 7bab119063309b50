//! Who brings a log to its sinks: one process at a time, by a lock on a file beside the log.
//!
//! Promises that the claim of a log is on disk before the log is, that a log whose process is gone is taken over by exactly one
//! other, and that what nobody waits for any more is cleared away. Of the logs that others have left it holds those alone that
//! are being brought to a sink.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::cursor::{self, Cursor};
use crate::audit::beside;
use crate::audit::tail::CURSOR;
use crate::trust;

/// The right and the duty to bring one log to its sinks.
#[derive(Debug)]
pub(super) struct Claim {
    directory: PathBuf,
    /// The name of the log's first file, without its ending.
    stem: String,
    path: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Claim {
    /// Claims the log that this process is about to begin: each sink is at its beginning.
    pub(super) fn begin(log: &Path, sinks: &[&str]) -> io::Result<Self> {
        let name = log.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidFilename)?;
        let directory = log.parent().unwrap_or(Path::new(".")).to_owned();
        let stem = beside::stem(name);
        let path = claim_path(&directory, &stem);
        let claim = Self { _lock: beside::claim(&path)?, directory, stem, path };
        for sink in sinks {
            Cursor::start(name).save(&claim.cursor(sink))?;
        }
        Ok(claim)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a sink's cursor of this log lies.
    pub(super) fn cursor(&self, sink: &str) -> PathBuf {
        cursor::path(&self.directory, &self.stem, sink)
    }

    /// Where it is noted which records a sink will not have.
    pub(super) fn refused(&self, sink: &str) -> PathBuf {
        self.directory.join(format!("{}.{sink}.refused", self.stem))
    }

    /// How far a sink has this log; `None` where it has all of it, or never was to have it.
    pub(super) fn place(&self, sink: &str) -> Option<Cursor> {
        let path = self.cursor(sink);
        if !path.exists() {
            return None;
        }
        let cursor = Cursor::load(&path).filter(|cursor| beside::stem(&cursor.log) == self.stem);
        Some(cursor.unwrap_or_else(|| {
            tracing::warn!(path = %path.display(), "how far a sink is cannot be read; it gets the log from its beginning");
            self.start()
        }))
    }

    /// A sink has all of this log, which is at its end.
    pub(super) fn done(&self, sink: &str) {
        if let Err(error) = std::fs::remove_file(self.cursor(sink)) {
            tracing::debug!(%error, "a cursor was gone already");
        }
    }

    fn start(&self) -> Cursor {
        Cursor::start(&format!("{}.jsonl", self.stem))
    }

    /// Whether there is no first file: the log was not begun, or is so old that it was deleted.
    fn has_no_beginning(&self) -> bool {
        let first = self.directory.join(self.start().log).symlink_metadata();
        first.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// Gives up what can never come: a sink is at the beginning of a log that has none.
    fn give_up(&self) {
        if !self.has_no_beginning() {
            return;
        }
        for sink in waiting(&self.directory, &self.stem).unwrap_or_default() {
            if Cursor::load(&self.cursor(&sink)) == Some(self.start()) {
                tracing::debug!(sink, log = self.stem, "a sink waited for a log that was not begun");
                self.done(&sink);
            }
        }
    }
}

impl Drop for Claim {
    /// Clears the file away once no sink waits for the log.
    fn drop(&mut self) {
        self.give_up();
        if waiting(&self.directory, &self.stem).is_ok_and(|sinks| sinks.is_empty())
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "a claim was gone already");
        }
    }
}

/// The logs that other processes have left, the oldest first. Each is claimed when the first sink comes to it, and held until the
/// last one that is at it has gone on.
#[derive(Debug)]
pub(super) struct Orphans {
    directory: PathBuf,
    stems: Vec<String>,
    /// The sinks of the policy.
    sinks: Vec<String>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    claims: Vec<(usize, Weak<Claim>)>,
    /// Those of which it was said that the policy names their sinks no more.
    said: BTreeSet<usize>,
}

impl Orphans {
    /// Finds them. Another prefix may be another policy's, whose sinks go elsewhere.
    pub(super) fn find(own: &Claim, prefix: &str, sinks: &[&str]) -> io::Result<Self> {
        let mut stems = Vec::new();
        for entry in own.directory.read_dir()? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".sinks"));
            stems.extend(stem.filter(|stem| *stem != own.stem && beside::has_prefix(stem, prefix)).map(str::to_owned));
        }
        stems.sort_unstable();
        let sinks = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        Ok(Self { directory: own.directory.clone(), stems, sinks, held: Mutex::default() })
    }

    /// The next one that no other process brings to its sinks; `place` counts on.
    pub(super) fn next(&self, place: &mut usize) -> Option<Arc<Claim>> {
        while let Some(stem) = self.stems.get(*place) {
            let at = *place;
            *place += 1;
            match self.claim(at, stem) {
                Ok(Some(claim)) => return Some(claim),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, log = stem, "a log that waits for its sinks cannot be taken over"),
            }
        }
        None
    }

    fn claim(&self, at: usize, stem: &str) -> io::Result<Option<Arc<Claim>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.claims.retain(|(_, claim)| claim.strong_count() > 0);
        if let Some(claim) = held.claims.iter().find(|(of, _)| *of == at).and_then(|(_, claim)| claim.upgrade()) {
            return Ok(Some(claim));
        }
        let path = claim_path(&self.directory, stem);
        if !path.exists() {
            return Ok(None);
        }
        let lock = trust::open_private(&path).map_err(io::Error::other)?;
        if !beside::lock(&lock)? {
            return Ok(None);
        }
        let claim = Arc::new(Claim { directory: self.directory.clone(), stem: stem.to_owned(), path, _lock: lock });
        claim.give_up();
        if held.said.insert(at) {
            for sink in waiting(&self.directory, stem)?.iter().filter(|sink| !self.sinks.contains(sink)) {
                tracing::warn!(sink, log = stem, "records wait for a sink that the policy does not name any more");
            }
        }
        held.claims.push((at, Arc::downgrade(&claim)));
        Ok(Some(claim))
    }
}

/// The sinks that have not all of a log.
fn waiting(directory: &Path, stem: &str) -> io::Result<Vec<String>> {
    let mut sinks = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        let sink = name.to_str().and_then(|name| name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(CURSOR));
        sinks.extend(sink.filter(|sink| !sink.contains('.')).map(str::to_owned));
    }
    Ok(sinks)
}

fn claim_path(directory: &Path, stem: &str) -> PathBuf {
    directory.join(format!("{stem}.sinks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "audit";

    fn begin(directory: &Path, log: &str) -> Claim {
        let log = directory.join(log);
        let claim = Claim::begin(&log, &["siem"]).unwrap();
        std::fs::write(log, "").unwrap();
        claim
    }

    fn left(own: &Claim) -> Vec<Arc<Claim>> {
        let (orphans, mut place) = (Orphans::find(own, PREFIX, &["siem"]).unwrap(), 0);
        std::iter::from_fn(|| orphans.next(&mut place)).collect()
    }

    #[test]
    fn a_log_is_taken_over_once_its_process_is_gone_and_only_under_its_own_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let begin = |log: &str| begin(directory.path(), log);
        let own = begin("audit-20260101T000000.000Z-9.jsonl");
        let alive = begin("audit-20260101T000000.000Z-1.jsonl");
        drop(begin("audit-20260101T000000.000Z-2.jsonl"));
        drop(begin("audit-b-20260101T000000.000Z-3.jsonl"));
        let found = left(&own);
        let [orphan] = &found[..] else { panic!("{found:?}") };
        assert_eq!(orphan.stem, "audit-20260101T000000.000Z-2");
        assert!(left(&own).is_empty(), "by one process alone");
        assert_eq!(orphan.place("siem"), Some(Cursor::start("audit-20260101T000000.000Z-2.jsonl")));
        assert_eq!(orphan.place("other"), None);
        orphan.done("siem");
        drop((found, alive));
        let left = left(&own);
        assert_eq!(left.iter().map(|claim| claim.stem.as_str()).collect::<Vec<_>>(), ["audit-20260101T000000.000Z-1"]);
    }

    #[test]
    fn of_many_logs_that_wait_only_those_are_held_that_are_brought_to_a_sink() {
        let directory = tempfile::tempdir().unwrap();
        let own = begin(directory.path(), "audit-20260101T000000.000Z-9.jsonl");
        for pid in 100..120 {
            drop(begin(directory.path(), &format!("audit-20260101T000000.000Z-{pid}.jsonl")));
        }
        let orphans = Orphans::find(&own, PREFIX, &["siem"]).unwrap();
        let (mut one, mut two) = (0, 0);
        let first = orphans.next(&mut one).unwrap();
        assert!(Arc::ptr_eq(&first, &orphans.next(&mut two).unwrap()), "two sinks at one log share its claim");
        assert_eq!(left(&own).len(), 19, "all others are free");
        drop(first);
        assert_eq!(left(&own).len(), 20);
        assert_eq!(std::iter::from_fn(|| orphans.next(&mut one)).count(), 19);
    }

    #[test]
    fn a_claim_of_a_log_that_was_never_begun_is_cleared_away() {
        let directory = tempfile::tempdir().unwrap();
        let files = || directory.path().read_dir().unwrap().count();
        let log = directory.path().join("audit-20260101T000000.000Z-2.jsonl");
        drop(Claim::begin(&log, &["siem", "other"]).unwrap());
        assert_eq!(files(), 0, "by its own process");
        std::mem::forget(Claim::begin(&log, &["siem"]).unwrap());
        let own = begin(directory.path(), "audit-20260101T000000.000Z-9.jsonl");
        // Its lock lives on in this process: another claim in its place has none.
        let path = claim_path(directory.path(), "audit-20260101T000000.000Z-2");
        std::fs::remove_file(&path).unwrap();
        drop(beside::claim(&path).unwrap());
        drop(left(&own));
        assert_eq!(files(), 3, "by the next: only its own claim, cursor and log are left");
        let later = directory.path().join("audit-20260101T000000.000Z-3.jsonl");
        let claim = Claim::begin(&later, &["siem"]).unwrap();
        let cursor = Cursor { log: "audit-20260101T000000.000Z-3_00002.jsonl".into(), offset: 0, seq: 7 };
        cursor.save(&claim.cursor("siem")).unwrap();
        drop(claim);
        assert_eq!(files(), 5, "a log whose first files are gone still waits");
    }
}
