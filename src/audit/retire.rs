//! Which files of older logs may go.
//!
//! Promises: only a file that ends with a checkpoint over all of it, that no process writes, and that is older than the
//! policy keeps them, and that no sink waits for; and a record of this log names it, its size and its last record's hash before it is deleted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::verify::{closing, logs};
use super::{disk, hex, recover, segment, tail};

/// What is kept for how long.
#[derive(Debug, Clone)]
pub(super) struct Retention {
    /// The names of the logs begin with it.
    pub(super) prefix: String,
    pub(super) keep: Duration,
}

/// A file that may go.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) size: u64,
    /// The hash of its last record.
    pub(super) hash: String,
    /// Whether it is the last of its log.
    pub(super) last: bool,
}

/// The files of a directory that may go, all but `own`.
pub(super) fn expired(own: &Path, retention: &Retention, now: SystemTime) -> Vec<Old> {
    let Some(files) = own.parent().and_then(|directory| logs(directory).ok()) else { return Vec::new() };
    let others = files.into_iter().filter(|path| segment::has_prefix(path, &retention.prefix) && path != own);
    // In order, and none before the one that it follows: what is left of a log is its end.
    let (mut expired, mut kept) = (Vec::new(), None);
    for path in others {
        let log = segment::first(&path).0;
        if kept.as_ref() == Some(&log) {
            continue;
        }
        match old(path, retention.keep, now) {
            Ok(Some(file)) => expired.push(file),
            Ok(None) | Err(_) => kept = Some(log),
        }
    }
    expired
}

/// A file that cannot be looked at stays.
fn old(path: PathBuf, keep: Duration, now: SystemTime) -> io::Result<Option<Old>> {
    let metadata = path.symlink_metadata()?;
    let age = now.duration_since(metadata.modified()?).unwrap_or_default();
    if !metadata.is_file() || age < keep {
        return Ok(None);
    }
    let file = recover::open_log(&path).map_err(io::Error::other)?;
    if !disk::lock(&file)? {
        return Ok(None);
    }
    if tail::is_waited_for(&path)? {
        return Ok(None);
    }
    let size = metadata.len();
    Ok(end(&file, size)?.map(|(hash, last)| Old { name: segment::name(&path), path, size, hash, last }))
}

/// The hash of the checkpoint that ends a file, and whether the log ends there; `None` where it does not end with one over
/// all of it.
fn end(file: &File, size: u64) -> io::Result<Option<(String, bool)>> {
    let mut end = vec![0; usize::try_from(size.min(recover::END)).unwrap_or_default()];
    file.read_exact_at(&mut end, size.saturating_sub(recover::END))?;
    let Some(kind) = closing(&end).filter(|kind| matches!(*kind, "stop" | "rotate")) else { return Ok(None) };
    let last = end.strip_suffix(b"\n").and_then(|text| text.rsplit(|byte| *byte == b'\n').next());
    Ok(last.map(|line| (hex(&Sha256::digest(line)), kind == "stop")))
}
