//! What logs are held against: public keys, and checkpoints that were kept elsewhere or beside them.
//!
//! Promises: what lies beside a log is a regular file of its own that only its owner may write; a file that a person named may be a
//! link or a pipe. No file is read further than a key or a checkpoint is long. Whose file it is, is not asked: an auditor is
//! another user than the gateway.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::place::stray_heads;
use super::{Summary, VerifyError};
use crate::audit::note::{Note, PUBLIC_FILE, PublicKey};
use crate::audit::regular::{SMALL, capped, open};
use crate::audit::segment;
use crate::trust;

/// More than the checkpoints of all logs of a directory take.
const KEPT: u64 = 4 << 20;

/// What logs are held against.
#[derive(Debug, Default)]
pub struct Against {
    pub(super) keys: Vec<PublicKey>,
    /// The fingerprints of keys that are not there: of a log that names one, the chain alone is checked.
    pub(super) earlier: Vec<String>,
    pub(super) since: Vec<Note>,
}

impl Against {
    /// These keys; without any, the one beside the log (`checkpoint.pub`), if there is one.
    ///
    /// # Errors
    /// [`VerifyError`] for a file that cannot be read, holds no key, or lies beside the log for others to write.
    pub fn keys(files: &[PathBuf], log: &Path) -> Result<Self, VerifyError> {
        let beside = if log.is_dir() { log } else { log.parent().unwrap_or(Path::new("")) }.join(PUBLIC_FILE);
        let what = "public key of checkpoints";
        let parse = |path: &Path, text: &str| {
            let strange = || VerifyError::Strange { path: path.to_owned(), what };
            PublicKey::parse(text.trim_end()).ok_or_else(strange)
        };
        let keys = match files {
            [] => believed(&beside)?.map(|text| parse(&beside, &text)).into_iter().collect::<Result<_, _>>()?,
            files => files.iter().map(|path| parse(path, &named(path, SMALL)?)).collect::<Result<_, _>>()?,
        };
        Ok(Self { keys, ..Self::default() })
    }

    /// This key.
    #[must_use]
    pub fn key(key: PublicKey) -> Self {
        Self { keys: vec![key], ..Self::default() }
    }

    /// Takes logs of keys with these fingerprints as well, though their signatures cannot be checked.
    pub(in crate::audit) fn earlier(mut self, fingerprints: Vec<String>) -> Self {
        self.earlier = fingerprints;
        self
    }

    /// Whether there is no key to check signatures with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds checkpoints that were kept elsewhere: a file that holds one, or one on each line, or the text itself.
    ///
    /// # Errors
    /// [`VerifyError`] for a file that cannot be read or holds anything else.
    pub fn since(mut self, checkpoints: &str) -> Result<Self, VerifyError> {
        let path = Path::new(checkpoints);
        let strange = || VerifyError::Strange { path: path.to_owned(), what: "checkpoint" };
        let notes = match notes(checkpoints) {
            Some(notes) => notes,
            None => notes(&named(path, KEPT)?).ok_or_else(strange)?,
        };
        self.since.extend(notes);
        Ok(self)
    }

    /// The checkpoints of [`since`](Self::since) that are of none of these logs.
    #[must_use]
    pub fn unmet(&self, logs: &[&Summary]) -> Vec<&str> {
        let origins = self.since.iter().map(|note| note.checkpoint.origin.as_str());
        origins.filter(|origin| !logs.iter().any(|log| log.origin == **origin)).collect()
    }

    /// The fingerprints of the keys.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(PublicKey::fingerprint).collect()
    }
}

/// The checkpoint of the head file of a log, if there is one.
pub(super) fn head(log: &Path) -> Result<Option<Note>, VerifyError> {
    let path = segment::head(log);
    believed(&path)?.map(|text| parse(&path, &text)).transpose()
}

/// The head files beside this file of a log that have the name of no log there, by the log that their checkpoint names.
pub(super) fn heads_elsewhere(log: &Path) -> BTreeMap<String, PathBuf> {
    let directory = log.parent().filter(|directory| !directory.as_os_str().is_empty());
    let strays = stray_heads(directory.unwrap_or(Path::new("."))).unwrap_or_default();
    // What cannot be read there says nothing of any log.
    let named = |stray: PathBuf| Some((head(&stray).ok()??.checkpoint.origin, stray));
    strays.into_iter().filter_map(named).collect()
}

/// One checkpoint, or one on each line.
fn notes(text: &str) -> Option<Vec<Note>> {
    if let Some(note) = Note::parse(text) {
        return Some(vec![note]);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(Note::parse).collect::<Option<Vec<_>>>().filter(|notes| !notes.is_empty())
}

fn parse(path: &Path, text: &str) -> Result<Note, VerifyError> {
    Note::parse(text).ok_or_else(|| VerifyError::Strange { path: path.to_owned(), what: "checkpoint" })
}

/// The text of a small file that lies beside a log, if it is there.
fn believed(path: &Path) -> Result<Option<String>, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let file = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(read)?,
    };
    trust::check_unshared(&file, path).map_err(VerifyError::Trust)?;
    capped(file, SMALL).map(Some).map_err(read)
}

/// The text of a small file that a person named.
fn named(path: &Path, most: u64) -> Result<String, VerifyError> {
    let text = File::open(path).and_then(|file| capped(file, most));
    text.map_err(|source| VerifyError::Read { path: path.to_owned(), source })
}
