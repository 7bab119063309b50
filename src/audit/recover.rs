//! What a gateway does at its start with the logs that others have left.
//!
//! Promises: a log that another process writes is left alone; one that ended in order is known by its last two records,
//! and by its name, size and time from then on; any other is checked whole, once. A half-written last record is set
//! aside, in a file of its own, after this gateway's log says so. Refuses to go on beside a log that does not verify,
//! unless a person has acknowledged exactly that file with that content; one that is signed with another key than the own
//! verifies only where a log of the own key names that key as an earlier one, and then by its chain alone. That a log which ended in order was not
//! changed, is for `audit verify` to say.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::acknowledge::acknowledgement;
use super::disk::{self, Disk, replace};
use super::note::PublicKey;
use super::verify::{Against, Broken, Fault, Log, Summary, VerifyError, closing, verify, whole_logs};
use super::{AuditError, MAX_RECORD, regular, segment};
use crate::trust;

/// Two records that end a log are shorter than this.
pub(super) const END: u64 = 8 << 10;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) keys: Option<Keys>,
    pub(super) torn: Vec<TornTail>,
    /// The files that were looked at now, and need no look any more.
    closed: Vec<PathBuf>,
    /// Those that needed none, by name, with their state.
    unchanged: BTreeMap<String, String>,
    /// Those of the last time.
    known: BTreeMap<String, String>,
}

/// The keys that a log named.
#[derive(Debug, Deserialize)]
pub(super) struct Keys {
    pub(super) key: Option<String>,
    pub(super) signer: Option<String>,
}

/// Half a record at the end of a log.
#[derive(Debug)]
pub(super) struct TornTail {
    pub(super) name: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

/// Looks at every log of this prefix that no process writes and that was not looked at before. Changes no content.
pub(super) fn look(disk: &dyn Disk, directory: &Path, prefix: &str, key: &PublicKey) -> Result<Left, AuditError> {
    let mut left = Left { known: known(directory, prefix), ..Left::default() };
    let logs = match whole_logs(directory) {
        Ok(logs) => logs,
        Err(VerifyError::Nothing { .. }) => return Ok(left),
        Err(error) => return Err(damaged(directory, error)),
    };
    let logs: Vec<_> = logs.into_iter().filter(|log| segment::has_prefix(log.path(), prefix)).collect();
    if let Some(newest) = logs.last() {
        left.keys = keys(newest.path());
    }
    for log in logs {
        left.look_at(disk, log, key)?;
    }
    Ok(left)
}

impl Left {
    fn look_at(&mut self, disk: &dyn Disk, log: Log, key: &PublicKey) -> Result<(), AuditError> {
        let Some(path) = log.files().last() else { return Ok(()) };
        let open = |source| AuditError::Open { path: path.clone(), source };
        let name = segment::name(path);
        if let Some(state) = self.known.get(&name).filter(|state| state_of(path).is_ok_and(|now| now == **state)) {
            self.unchanged.insert(name, state.clone());
            return Ok(());
        }
        let file = match open_log(path) {
            // Another gateway has deleted it since the list was made.
            Err(AuditError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        // A gateway that turned to a new file since then gave this one's lock up, and holds that one's.
        if !disk::lock(&file).map_err(open)? || log.again().is_some_and(|now| now.files().last() != Some(path)) {
            return Ok(());
        }
        if !ended_in_order(&file).map_err(open)?
            && let Some(Summary { first, records, torn_tail: bytes, .. }) = check(&log, key)?
        {
            let path = path.clone();
            match bytes {
                // Nothing but the space that was reserved behind the end is given back.
                0 => file.metadata().and_then(|metadata| disk.truncate(&file, metadata.len())).map_err(open)?,
                _ => self.torn.push(TornTail { name, records: first + records, bytes, path, file }),
            }
        }
        self.closed.push(path.clone());
        Ok(())
    }

    /// Moves what is torn out of the logs, and remembers which logs need no look any more.
    pub(super) fn set_aside(self, disk: &dyn Disk, directory: &Path, prefix: &str) -> Result<(), AuditError> {
        for TornTail { name, bytes, path, file, .. } in &self.torn {
            let open = |source| AuditError::Open { path: path.clone(), source };
            let end = file.metadata().map_err(open)?.len();
            let begin = end.saturating_sub(*bytes);
            let mut tail = Vec::new();
            let mut reader = file.try_clone().map_err(open)?;
            io::Seek::seek(&mut reader, io::SeekFrom::Start(begin)).map_err(open)?;
            reader.take(MAX_RECORD).read_to_end(&mut tail).map_err(open)?;
            replace(disk, &path.with_extension("torn"), &tail).map_err(open)?;
            disk.truncate(file, begin).and_then(|()| disk.sync(file)).map_err(open)?;
            tracing::warn!(log = name, bytes, "a half-written record at the end of an older audit log was set aside");
        }
        let state = |path: &PathBuf| Some((segment::name(path), state_of(path).ok()?));
        let mut states = self.unchanged;
        states.extend(self.closed.iter().filter_map(state));
        let path = closed_file(directory, prefix);
        if self.known != states {
            let text: String = states.iter().map(|(name, state)| format!("{name} {state}\n")).collect();
            // It spares work, no more; another gateway that starts may put its own there at this moment.
            if let Err(error) = replace(disk, &path, text.as_bytes()) {
                tracing::debug!(%error, file = %path.display(), "which audit logs were looked at could not be kept");
            }
        }
        Ok(())
    }
}

/// Checks a whole log. `None` for one that is bad and was acknowledged.
fn check(log: &Log, key: &PublicKey) -> Result<Option<Summary>, AuditError> {
    let own = Against::key(key.clone());
    let mut found = verify(log, &own, &mut |_| ());
    if let Err(Broken { error: VerifyError::Record { fault: Fault::Signer { .. }, .. }, .. }) = &found {
        found = verify(log, &Against::key(key.clone()).earlier(earlier_keys(log, &own)), &mut |_| ());
    }
    match found {
        Ok(summary) => Ok(Some(summary)),
        Err(broken) if acknowledgement(&broken.file, &own).is_some() => Ok(None),
        Err(broken) => Err(AuditError::Damaged { broken }),
    }
}

/// The fingerprints of the earlier keys that other logs beside this one name, under checkpoints that the own key signed. Nothing
/// else says that a key was this directory's.
fn earlier_keys(log: &Log, own: &Against) -> Vec<String> {
    let beside = log.path().parent().and_then(|directory| whole_logs(directory).ok()).unwrap_or_default();
    let others = beside.iter().filter(|other| !log.is(other));
    others.filter_map(|other| verify(other, own, &mut |_| ()).ok()).flat_map(|summary| summary.earlier).collect()
}

fn damaged(path: &Path, error: VerifyError) -> AuditError {
    AuditError::Damaged { broken: Broken { file: path.to_owned(), error } }
}

/// Opens another log: this user's own file, by its only name, and no link.
pub(super) fn open_log(path: &Path) -> Result<File, AuditError> {
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let file = regular::open_with(OpenOptions::new().read(true).write(true), path).map_err(open)?;
    trust::check_private(&file, path).map_err(AuditError::Trust)?;
    match file.metadata().map_err(open)?.nlink() {
        1 => Ok(file),
        _ => Err(open(io::Error::other("the file has a second name"))),
    }
}

/// Whether the last two records are those that end a log.
fn ended_in_order(file: &File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let mut end = vec![0; usize::try_from(size.min(END)).unwrap_or_default()];
    file.read_exact_at(&mut end, size.saturating_sub(END))?;
    Ok(closing(&end).is_some_and(|kind| kind == "stop"))
}

/// The keys that the first record of a log names.
fn keys(path: &Path) -> Option<Keys> {
    let mut line = Vec::new();
    BufReader::new(regular::open(path).ok()?).take(MAX_RECORD).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// The file that remembers which logs need no look any more: name, size and time of change of each.
fn closed_file(directory: &Path, prefix: &str) -> PathBuf {
    directory.join(format!("{prefix}.closed"))
}

fn known(directory: &Path, prefix: &str) -> BTreeMap<String, String> {
    // Without it, or with a damaged one, every log is looked at again.
    let text = regular::text(&closed_file(directory, prefix), MAX_RECORD).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(' ')).map(|(name, state)| (name.into(), state.into())).collect()
}

fn state_of(path: &Path) -> io::Result<String> {
    let metadata = path.symlink_metadata()?;
    Ok(format!("{} {}.{:09} {}", metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))
}
