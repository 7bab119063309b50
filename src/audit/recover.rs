//! What a gateway does at its start with the logs that others have left.
//!
//! Promises: a log that another process writes is left alone; one that ended in order under the directory's key is known by its last two
//! records, and by its name, size and time from then on; any other is checked whole, once. Half a record at an end is set aside, in a
//! file of its own, after this gateway's log says so, and so is a file that holds no more than that behind one that lost its end; a
//! whole record never is. Refuses to go on beside a log that does not verify, unless a person has acknowledged exactly that file with
//! that content; `signers` says of which keys a log may be. That a log which ended in order was not changed, is for `audit verify`
//! to say.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Disk, replace};
use super::note::PublicKey;
use super::signers::{Known, Named, Signers, end};
use super::verify::{Broken, Log, Summary, VerifyError, whole_logs};
use super::{AuditError, MAX_RECORD, regular, segment};
use crate::trust;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The key of the digests that the newest log named.
    pub(super) digests: Option<String>,
    /// The keys of checkpoints that came before the own one, which signs its first log now.
    pub(super) signers: Vec<String>,
    pub(super) torn: Vec<TornTail>,
    /// The files that were looked at now, and need no look any more.
    closed: Vec<PathBuf>,
    /// Those that needed none, by name, with their state.
    unchanged: BTreeMap<String, String>,
    /// Those of the last time.
    known: BTreeMap<String, String>,
}

/// What is no part of a log, at its end.
#[derive(Debug)]
pub(super) struct TornTail {
    pub(super) name: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    path: PathBuf,
    part: Part,
    /// The one in which the log ends; holds its lock.
    file: Arc<File>,
}

/// How much of a file that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Half a record, at its end.
    End,
    /// All of it: half a record and no whole one, behind a file that lost its end.
    Whole,
}

/// Looks at every log of this prefix that no process writes and that was not looked at before. Changes no content.
pub(super) fn look(disk: &dyn Disk, directory: &Path, prefix: &str, key: &PublicKey) -> Result<Left, AuditError> {
    let mut left = Left { known: known(directory, prefix), ..Left::default() };
    let logs = match whole_logs(directory) {
        Ok(logs) => logs,
        Err(VerifyError::Nothing { .. }) => return Ok(left),
        Err(error) => return Err(damaged(directory, error)),
    };
    let signers = Signers::of(&logs, key);
    let of_prefix: Vec<_> = logs.iter().filter(|log| segment::has_prefix(log.path(), prefix)).collect();
    let newest = of_prefix.last().copied();
    left.digests = newest.and_then(|newest| Named::by(newest.path()).key);
    for log in of_prefix {
        left.look_at(disk, log, &signers)?;
    }
    left.signers = signers.before(newest);
    Ok(left)
}

impl Left {
    fn look_at(&mut self, disk: &dyn Disk, log: &Log, signers: &Signers<'_>) -> Result<(), AuditError> {
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
        let ended = end(&file).map_err(open)?.filter(|end| end.kind == "stop");
        if ended.is_some_and(|end| signers.know(log, &end) == Known::Good) {
            self.closed.push(path.clone());
            return Ok(());
        }
        let (rest, lost) = without_lost(log).map_err(open)?;
        let Some((end, file)) = end_of(&rest, path, Arc::new(file))? else { return Ok(()) };
        if let Some(summary) = signers.check(&rest)? {
            self.mend(disk, end, file, lost, &summary)?;
        }
        self.closed.extend(rest.files().last().cloned());
        Ok(())
    }

    /// Notes what is to be set aside of a log that is good but for its end; space that was reserved behind it is given back. The
    /// lock on the file in which it ends is held.
    fn mend(
        &mut self,
        disk: &dyn Disk,
        path: PathBuf,
        file: Arc<File>,
        lost: Option<PathBuf>,
        summary: &Summary,
    ) -> Result<(), AuditError> {
        let open = |path: &Path, source| AuditError::Open { path: path.to_owned(), source };
        let length = |path: &Path| path.metadata().map(|metadata| metadata.len()).map_err(|error| open(path, error));
        let records = summary.first + summary.records;
        if let Some(path) = lost {
            let (name, bytes) = (segment::name(&path), length(&path)?);
            self.torn.push(TornTail { name, records, bytes, path, part: Part::Whole, file: file.clone() });
        }
        match summary.torn_tail {
            // Nothing but the space that was reserved behind the end is given back.
            0 => disk.truncate(&file, length(&path)?).map_err(|error| open(&path, error)),
            bytes => {
                self.torn.push(TornTail { name: segment::name(&path), records, bytes, path, part: Part::End, file });
                Ok(())
            }
        }
    }

    /// Moves what is torn out of the logs, and remembers which logs need no look any more.
    pub(super) fn set_aside(self, disk: &dyn Disk, directory: &Path, prefix: &str) -> Result<(), AuditError> {
        for torn in &self.torn {
            torn.set_aside(disk).map_err(|source| AuditError::Open { path: torn.path.clone(), source })?;
            let TornTail { name, bytes, .. } = torn;
            tracing::warn!(log = name, bytes, "a half-written end of an older audit log was set aside");
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

impl TornTail {
    /// Moves it out of the log.
    fn set_aside(&self, disk: &dyn Disk) -> io::Result<()> {
        let aside = self.path.with_extension("torn");
        if self.part == Part::Whole {
            disk.rename(&self.path, &aside)?;
            return disk.sync_names(self.path.parent().unwrap_or(Path::new(".")));
        }
        let file = &self.file;
        let begin = file.metadata()?.len().saturating_sub(self.bytes);
        let mut tail = Vec::new();
        let mut reader = file.try_clone()?;
        io::Seek::seek(&mut reader, io::SeekFrom::Start(begin))?;
        reader.take(MAX_RECORD).read_to_end(&mut tail)?;
        replace(disk, &aside, &tail)?;
        disk.truncate(file, begin)?;
        disk.sync(file)
    }
}

/// The log without its last file, where that holds half a record and no whole one, behind a file that lost its end: a power cut
/// leaves that. A file with records is never left out: who cut the end of the one before would have it taken away.
fn without_lost(log: &Log) -> io::Result<(Log, Option<PathBuf>)> {
    let [before @ .., last] = log.files() else { return Ok((log.clone(), None)) };
    let Some(previous) = before.last() else { return Ok((log.clone(), None)) };
    let is_empty = last.metadata()?.len() == 0;
    if is_empty || end(&regular::open(previous)?)?.is_some_and(|end| end.kind == "rotate") || holds_record(last)? {
        return Ok((log.clone(), None));
    }
    Ok((log.first_files(before.len()), Some(last.clone())))
}

/// The file in which a log ends, with its lock: the last, of which the lock is given, or one before that has the last records. `None`
/// where a gateway holds that: it lives, and is about to go on in the file that it just made.
fn end_of(rest: &Log, last: &Path, lock: Arc<File>) -> Result<Option<(PathBuf, Arc<File>)>, AuditError> {
    let Some(path) = rest.last_with_records().filter(|path| *path != last) else {
        return Ok(Some((last.to_owned(), lock)));
    };
    let file = open_log(path)?;
    let locked = disk::lock(&file).map_err(|source| AuditError::Open { path: path.clone(), source })?;
    Ok(locked.then(|| (path.clone(), Arc::new(file))))
}

/// Whether a line of this file is whole.
fn holds_record(path: &Path) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(regular::open(path)?).take(MAX_RECORD).read_until(b'\n', &mut line)?;
    Ok(line.ends_with(b"\n") || line.len() as u64 >= MAX_RECORD)
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
