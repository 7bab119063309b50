//! Which files make up which log.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::VerifyError;
use super::against::heads_elsewhere;
use crate::audit::{regular, segment};

/// The files of one log, in order; at least one.
#[derive(Debug, Clone)]
pub struct Log {
    pub(super) files: Vec<PathBuf>,
    pub(super) scope: Scope,
    pub(super) strays: Strays,
}

/// The head files that have the name of no log beside them, by the log that their checkpoint names: looked for once for all the
/// logs of a list, and only where a log has no head.
#[derive(Debug, Clone, Default)]
pub(super) struct Strays(Arc<OnceLock<BTreeMap<String, PathBuf>>>);

impl Strays {
    /// The one of the log with this origin, of which this is a file.
    pub(super) fn of(&self, log: &Path, origin: &str) -> Option<PathBuf> {
        self.0.get_or_init(|| heads_elsewhere(log)).get(origin).cloned()
    }
}

/// Which of a log's files there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that are left in its directory.
    All,
    /// The one that was named.
    One,
}

impl Log {
    /// The first of its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// All of them.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether it is the same log as another, whichever of its files are there.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        segment::first(self.path()).0 == segment::first(other.path()).0
    }

    /// The log as if it ended with its file of this number, counted from 1.
    pub(in crate::audit) fn first_files(&self, count: usize) -> Self {
        Self { files: self.files.iter().take(count).cloned().collect(), ..self.clone() }
    }

    /// The last of its files that is not empty.
    pub(in crate::audit) fn last_with_records(&self) -> Option<&PathBuf> {
        self.files.iter().rev().find(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 0))
    }

    /// Whether its files are there still and none was begun or put back beside them: known without a look at the whole directory,
    /// which may hold very many logs.
    fn is_as_listed(&self) -> bool {
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let beside = self.files.iter().flat_map(|file| {
            let (first, number) = segment::first(file);
            let before = match number {
                0 | 1 => None,
                2 => Some(first.clone()),
                _ => Some(segment::path(&first, number - 1)),
            };
            before.into_iter().chain([segment::path(&first, number.saturating_add(1))])
        });
        let mut fresh = beside.filter(|file| !self.files.contains(file));
        self.files.iter().all(|file| is_there(file)) && !fresh.any(|file| is_there(&file))
    }

    /// The log as its directory has it now; `None` where that is the same, or it is gone.
    pub(in crate::audit) fn again(&self) -> Option<Self> {
        let directory = self.path().parent().filter(|_| self.scope == Scope::All && !self.is_as_listed())?;
        let now = whole_logs(directory).ok()?.into_iter().find(|log| self.is(log))?;
        (now.files != self.files).then_some(now)
    }
}

/// The log files under `path`: itself, or the `*.jsonl` files of a directory, sorted.
///
/// # Errors
/// [`VerifyError::Read`] or [`VerifyError::Nothing`].
pub fn logs(path: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    if !path.metadata().map_err(read)?.is_dir() {
        // A link has no head file beside it, and a device no end.
        return regular::open(path).map(|_| vec![path.to_owned()]).map_err(read);
    }
    let logs = named(path, "jsonl").map_err(read)?;
    if logs.is_empty() {
        return Err(VerifyError::Nothing { path: path.to_owned() });
    }
    Ok(logs)
}

/// The head files of a directory whose log has no file there: it was renamed, or deleted whole.
pub(super) fn stray_heads(directory: &Path) -> io::Result<Vec<PathBuf>> {
    // The heads first: a log is there before its head, and goes after it.
    let heads = named(directory, "head")?;
    let own: BTreeSet<_> = named(directory, "jsonl")?.iter().map(|file| segment::head(file)).collect();
    Ok(heads.into_iter().filter(|head| !own.contains(head)).collect())
}

/// The files of a directory with this ending, sorted.
fn named(directory: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in directory.read_dir()? {
        let file = file?.path();
        if file.extension().is_some_and(|e| e == ending) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The logs under `path`: the one file, or those of a directory, each with all its files.
///
/// # Errors
/// [`VerifyError::Read`] or [`VerifyError::Nothing`].
pub fn whole_logs(path: &Path) -> Result<Vec<Log>, VerifyError> {
    let files = logs(path)?;
    if files == [path] {
        return Ok(vec![Log { files, scope: Scope::One, strays: Strays::default() }]);
    }
    let mut logs: BTreeMap<PathBuf, Vec<(u32, PathBuf)>> = BTreeMap::new();
    for file in files {
        let (first, number) = segment::first(&file);
        logs.entry(first).or_default().push((number, file));
    }
    let strays = Strays::default();
    let log = |mut files: Vec<(u32, PathBuf)>| {
        files.sort();
        let files = files.into_iter().map(|(_, file)| file).collect();
        Log { files, scope: Scope::All, strays: strays.clone() }
    };
    Ok(logs.into_values().map(log).collect())
}
