//! Everything under a path: each log, and what of their directory no log accounts for.
//!
//! Promises: a file that is missing before a log's first is accounted for by nothing but a record, under a signed checkpoint, that
//! names it and the very record that it ended with; what is wrong only because files were begun or deleted while they were
//! read is looked at again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::place::stray_heads;
use super::{Broken, FileEnd, Log, Summary, VerifyError, whole_logs};

/// So often a directory is looked at that changes while it is read.
pub(super) const TRIES: u32 = 5;

/// What was found of one log.
#[derive(Debug)]
pub struct Found {
    /// The log.
    pub log: Log,
    /// What it holds, or what is wrong with it.
    pub result: Result<Summary, Broken>,
}

/// What was found under a path.
#[derive(Debug)]
pub struct Whole {
    /// Each log.
    pub logs: Vec<Found>,
    /// Head files whose log is not there.
    pub strays: Vec<PathBuf>,
}

impl Whole {
    /// What is known of the logs that verify.
    pub fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.logs.iter().filter_map(|found| found.result.as_ref().ok())
    }

    /// The file that is missing before the first of a log, where no record that counts says that it was deleted.
    #[must_use]
    pub fn missing<'s>(&self, summary: &'s Summary) -> Option<&'s FileEnd> {
        summary.before.as_ref().filter(|before| !self.summaries().any(|other| other.retired.contains(before)))
    }

    /// Logs with the name of one before them in their checkpoints, each with that one: a log is written once, so that one of the two
    /// is a copy, perhaps in the place of another.
    #[must_use]
    pub fn copies(&self) -> Vec<(&Log, &Log)> {
        let mut seen: BTreeMap<&str, &Log> = BTreeMap::new();
        let mut copies = Vec::new();
        for found in &self.logs {
            let origin = found.result.as_ref().map_or("", |summary| summary.origin.as_str());
            match seen.get(origin) {
                Some(first) => copies.push((*first, &found.log)),
                None if origin.is_empty() => {}
                None => drop(seen.insert(origin, &found.log)),
            }
        }
        copies
    }

    /// Whether every log verifies and is there once, and nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.strays.is_empty()
            && self.copies().is_empty()
            && self.summaries().count() == self.logs.len()
            && self.summaries().all(|summary| self.missing(summary).is_none())
    }
}

/// Looks at every log under a path with `look`.
///
/// # Errors
/// [`VerifyError`] where there is none or the directory cannot be read.
pub fn verify_all(path: &Path, look: &mut dyn FnMut(&Log) -> Result<Summary, Broken>) -> Result<Whole, VerifyError> {
    let mut left = TRIES;
    loop {
        let logs = whole_logs(path)?;
        let files = of_all(&logs);
        let logs = logs.into_iter().map(|log| Found { result: look(&log), log }).collect();
        let whole = Whole { logs, strays: strays(path)? };
        left -= 1;
        // What a running gateway began or deleted since the list was made is no doubt the next time.
        if left == 0 || whole.is_whole() || of_all(&whole_logs(path)?) == files {
            return Ok(whole);
        }
    }
}

fn of_all(logs: &[Log]) -> Vec<PathBuf> {
    logs.iter().flat_map(Log::files).cloned().collect()
}

fn strays(path: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    match path.is_dir() {
        true => stray_heads(path).map_err(|source| VerifyError::Read { path: path.to_owned(), source }),
        false => Ok(Vec::new()),
    }
}
