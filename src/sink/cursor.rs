//! How far a sink has a log, in a small file of the state directory.
//!
//! Promises that the file is whole or the one before it, and for its owner alone. One that cannot be believed is none: what was
//! sent is sent again then.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::beside;
use crate::audit::tail::CURSOR;
use crate::trust;

/// More than any cursor is long.
const MOST: u64 = 4_096;

/// The place of the next record that a sink has to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// The name of the file in which it stands.
    pub(super) log: String,
    /// In bytes.
    pub(super) offset: u64,
    pub(super) seq: u64,
}

impl Cursor {
    /// The beginning of a log.
    pub(super) fn start(log: &str) -> Self {
        Self { log: log.to_owned(), offset: 0, seq: 0 }
    }

    /// `None` where the file cannot be read or says something else than a place in a log.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let mut text = String::new();
        trust::open_private(path).ok()?.take(MOST).read_to_string(&mut text).ok()?;
        let cursor: Self = serde_json::from_str(&text).ok()?;
        let plain = cursor.log.ends_with(".jsonl") && !cursor.log.contains('/');
        plain.then_some(cursor)
    }

    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        beside::keep(path, &serde_json::to_vec(self).map_err(io::Error::other)?)
    }
}

/// Where a sink's cursor of a log lies. `stem` is the name of the log's first file without its ending.
pub(super) fn path(directory: &Path, stem: &str, sink: &str) -> PathBuf {
    directory.join(format!("{stem}.{sink}{CURSOR}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_kept_and_nothing_else_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path(), "audit-1-2", "siem");
        let cursor = Cursor { log: "audit-1-2.jsonl".into(), offset: 7, seq: 1 };
        cursor.save(&path).unwrap();
        cursor.save(&path).unwrap();
        assert_eq!(Cursor::load(&path), Some(cursor));
        for wrong in ["", "{}", r#"{"log":"../a.jsonl","offset":0,"seq":0}"#, r#"{"log":"a","offset":0,"seq":0}"#] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(Cursor::load(&path), None, "{wrong}");
        }
    }
}
