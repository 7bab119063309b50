//! Which files make up which log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::VerifyError;
use crate::audit::segment;

/// The files of one log, in order; at least one.
#[derive(Debug, Clone)]
pub struct Log {
    pub(super) files: Vec<PathBuf>,
    pub(super) scope: Scope,
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
}

/// The log files under `path`: itself, or the `*.jsonl` files of a directory, sorted.
///
/// # Errors
/// [`VerifyError::Read`] or [`VerifyError::Nothing`].
pub fn logs(path: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    if !path.metadata().map_err(read)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut logs = Vec::new();
    for file in path.read_dir().map_err(read)? {
        let file = file.map_err(read)?.path();
        if file.extension().is_some_and(|e| e == "jsonl") {
            logs.push(file);
        }
    }
    logs.sort();
    if logs.is_empty() {
        return Err(VerifyError::Nothing { path: path.to_owned() });
    }
    Ok(logs)
}

/// The logs under `path`: the one file, or those of a directory, each with all its files.
///
/// # Errors
/// [`VerifyError::Read`] or [`VerifyError::Nothing`].
pub fn whole_logs(path: &Path) -> Result<Vec<Log>, VerifyError> {
    let files = logs(path)?;
    if files == [path] {
        return Ok(vec![Log { files, scope: Scope::One }]);
    }
    let mut logs: BTreeMap<PathBuf, Vec<(u32, PathBuf)>> = BTreeMap::new();
    for file in files {
        let (first, number) = segment::first(&file);
        logs.entry(first).or_default().push((number, file));
    }
    let log = |mut files: Vec<(u32, PathBuf)>| {
        files.sort();
        Log { files: files.into_iter().map(|(_, file)| file).collect(), scope: Scope::All }
    };
    Ok(logs.into_values().map(log).collect())
}
