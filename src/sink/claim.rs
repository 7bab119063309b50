//! Who brings a log to its sinks: one process at a time, by a lock on a file beside the log.
//!
//! Promises that a log whose process is gone is taken over by exactly one other, and that what nobody waits for any more is
//! cleared away.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cursor::{self, Cursor};
use crate::audit::tail::CURSOR;
use crate::trust;

/// Logs that one process takes over; what is beyond is for the next.
const MOST_ORPHANS: usize = 1_024;

/// The lock of a new file is tried so often.
const TRIES: u32 = 200;
/// And after this time again.
const AGAIN: Duration = Duration::from_millis(5);

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
    /// Claims the log that this process begins: each sink is at its beginning.
    pub(super) fn begin(directory: &Path, log: &str, sinks: &[&str]) -> io::Result<Self> {
        let stem = log.strip_suffix(".jsonl").unwrap_or(log);
        let path = claim_path(directory, stem);
        let lock = cursor::create(&path)?;
        // Another gateway that starts may just look whose it is.
        let mut tries = 0;
        while let Err(held) = lock.try_lock() {
            if tries == TRIES || !matches!(held, TryLockError::WouldBlock) {
                return Err(held.into());
            }
            tries += 1;
            std::thread::sleep(AGAIN);
        }
        for sink in sinks {
            Cursor::start(log).save(&cursor::path(directory, stem, sink))?;
        }
        Ok(Self { directory: directory.to_owned(), stem: stem.to_owned(), path, _lock: lock })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a sink's cursor of this log lies.
    pub(super) fn cursor(&self, sink: &str) -> PathBuf {
        cursor::path(&self.directory, &self.stem, sink)
    }

    /// How far a sink has this log; `None` where it has all of it, or never was to have it.
    pub(super) fn place(&self, sink: &str) -> Option<Cursor> {
        let path = self.cursor(sink);
        if !path.exists() {
            return None;
        }
        let cursor = Cursor::load(&path).unwrap_or_else(|| {
            tracing::warn!(path = %path.display(), "how far a sink is cannot be read; it gets the log from its beginning");
            Cursor::start(&format!("{}.jsonl", self.stem))
        });
        Some(cursor)
    }

    /// A sink has all of this log, which is at its end.
    pub(super) fn done(&self, sink: &str) {
        if let Err(error) = std::fs::remove_file(self.cursor(sink)) {
            tracing::debug!(%error, "a cursor was gone already");
        }
    }
}

impl Drop for Claim {
    /// Clears the file away once no sink waits for the log.
    fn drop(&mut self) {
        if waiting(&self.directory, &self.stem).is_ok_and(|sinks| sinks.is_empty())
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "a claim was gone already");
        }
    }
}

/// Claims every log with the prefix of `own` that no process brings to its sinks any more, the oldest first. Another prefix may be
/// another policy's, whose sinks go elsewhere.
pub(super) fn orphans(own: &Claim, sinks: &[&str]) -> io::Result<Vec<Claim>> {
    let (directory, mut stems) = (own.directory(), BTreeSet::new());
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".sinks")) {
            stems.insert(stem.to_owned());
        }
    }
    stems.retain(|stem| *stem != own.stem && prefix(stem) == prefix(&own.stem));
    let mut claims = Vec::new();
    for stem in stems {
        let path = claim_path(directory, &stem);
        let lock = match trust::open_private(&path) {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(%error, "a log that waits for its sinks cannot be taken over");
                continue;
            }
        };
        match lock.try_lock() {
            Ok(()) => claims.push(Claim { directory: directory.to_owned(), stem, path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if claims.len() >= MOST_ORPHANS {
            break;
        }
    }
    for claim in &claims {
        for sink in waiting(directory, &claim.stem)?.iter().filter(|sink| !sinks.contains(&sink.as_str())) {
            tracing::warn!(sink, log = claim.stem, "records wait for a sink that the policy does not name any more");
        }
    }
    Ok(claims)
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

/// What the policy calls its logs: `PREFIX-TIME-PID`.
fn prefix(stem: &str) -> Option<&str> {
    stem.rsplitn(3, '-').nth(2)
}

fn claim_path(directory: &Path, stem: &str) -> PathBuf {
    directory.join(format!("{stem}.sinks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_taken_over_once_its_process_is_gone_and_only_under_its_own_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let begin = |log: &str| Claim::begin(directory.path(), log, &["siem"]).unwrap();
        let own = begin("audit-20260101T000000.000Z-9.jsonl");
        let alive = begin("audit-20260101T000000.000Z-1.jsonl");
        drop(begin("audit-20260101T000000.000Z-2.jsonl"));
        drop(begin("audit-b-20260101T000000.000Z-3.jsonl"));
        let found = orphans(&own, &["siem"]).unwrap();
        let [orphan] = &found[..] else { panic!("{found:?}") };
        assert_eq!(orphan.stem, "audit-20260101T000000.000Z-2");
        assert!(orphans(&own, &["siem"]).unwrap().is_empty(), "by one process alone");
        assert_eq!(orphan.place("siem"), Some(Cursor::start("audit-20260101T000000.000Z-2.jsonl")));
        assert_eq!(orphan.place("other"), None);
        orphan.done("siem");
        drop((found, alive));
        let left = orphans(&own, &["siem"]).unwrap();
        assert_eq!(left.iter().map(|claim| claim.stem.as_str()).collect::<Vec<_>>(), ["audit-20260101T000000.000Z-1"]);
    }
}
