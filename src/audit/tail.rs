//! Where the log is followed while it is written: how far it is on disk, and how far the sinks that a policy requires have it.
//!
//! Promises that nobody who follows holds a call up, but for a write that waits for a required sink. What is told is how far
//! the disk has the log, so that no sink ever holds a record that a power cut took from the file.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::watch;

use super::{regular, segment};

/// What the name of a file ends with that says how far a sink has a log: `LOG.SINK.cursor`.
pub const CURSOR: &str = ".cursor";

/// The part of a cursor that the log looks at.
#[derive(Deserialize)]
struct Place {
    log: String,
}

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

/// Whether a sink has not all of this file: a cursor of its log stands in it, or in one before it. What a cursor says that
/// cannot be read may be this file.
pub(super) fn is_waited_for(file: &Path) -> io::Result<bool> {
    let (first, _) = segment::first(file);
    let (Some(stem), Some(directory)) = (first.file_stem().and_then(OsStr::to_str), file.parent()) else {
        return Ok(false);
    };
    let name = segment::name(file);
    for entry in directory.read_dir()? {
        let path = entry?.path();
        let rest = path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(stem));
        let cursor = rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(CURSOR));
        if cursor && place(&path).is_none_or(|log| log <= name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file in which a cursor stands.
fn place(cursor: &Path) -> Option<String> {
    let place: Place = serde_json::from_str(&regular::text(cursor, regular::SMALL).ok()?).ok()?;
    Some(place.log)
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_file_is_waited_for_while_a_cursor_of_its_log_stands_in_it_or_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let files =
            ["audit-1.5Z-2.jsonl", "audit-1.5Z-2_00002.jsonl", "audit-1.5Z-2_00003.jsonl", "audit-1.5Z-22.jsonl"];
        for (cursor, waited) in [
            (None, [false; 4]),
            (Some(r#"{"log":"audit-1.5Z-2.jsonl","offset":0,"seq":0}"#), [true, true, true, false]),
            (Some(r#"{"log":"audit-1.5Z-2_00002.jsonl","offset":0,"seq":0}"#), [false, true, true, false]),
            (Some("nonsense"), [true, true, true, false]),
        ] {
            if let Some(text) = cursor {
                std::fs::write(file("audit-1.5Z-2.siem.cursor"), text).unwrap();
            }
            assert_eq!(files.map(|name| is_waited_for(&file(name)).unwrap()), waited, "{cursor:?}");
        }
        // Nobody waits for the other end of a pipe to hear what it says.
        let cursor = file("audit-1.5Z-2.siem.cursor");
        std::fs::remove_file(&cursor).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &cursor, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(files.map(|name| is_waited_for(&file(name)).unwrap()), [true, true, true, false]);
    }

    #[tokio::test]
    async fn a_write_waits_for_every_required_sink() {
        let tail = Tail::new(2);
        tail.took(0, 5);
        let mut waits = Box::pin(tail.taken(4));
        assert!((&mut waits).now_or_never().is_none());
        tail.wanted().await;
        tail.took(1, 4);
        assert!((&mut waits).now_or_never().is_none(), "the record itself is not there");
        tail.took(1, 5);
        waits.await;
        assert!(!Tail::new(0).is_required());
    }
}
