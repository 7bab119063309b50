//! Checks a log: every line names the hash of the line before it, numbers run without a gap, nothing is torn inside.
//!
//! Shows that a log was not edited, cut out of or added to in the middle by anybody who did not rewrite all that
//! follows. It cannot show that the end was not cut off, nor find a log that was rewritten whole.

use std::collections::HashSet;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::book::VERSION;
use super::hex;

/// The longest line that is read as a record: a question names at most 64 query pairs and a body's members.
const MAX_RECORD: u64 = 16 << 20;

/// What a log was found to hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records whose place in the chain was checked.
    pub records: u64,
    /// Calls that were asked about.
    pub questions: u64,
    /// Calls whose end is in the log.
    pub answers: u64,
    /// Calls whose intent is in the log and whose end is not: the gateway was stopped hard while they ran.
    pub open: u64,
    /// Bytes of a half-written last line, left by a hard stop; they count as nothing.
    pub torn_tail: u64,
    /// Whether the gateway ended in order.
    pub stopped: bool,
}

/// What is wrong with a log, and on which line.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file or directory cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory without a log.
    #[error("`{}` holds no audit log (*.jsonl)", path.display())]
    Nothing {
        /// The directory.
        path: PathBuf,
    },
    /// A line that is no record of this version.
    #[error("line {line}: not a record of version {VERSION}")]
    NotARecord {
        /// Counted from 1.
        line: u64,
    },
    /// A sequence number out of turn.
    #[error("line {line}: record {found} stands where record {expected} belongs")]
    Sequence {
        /// Counted from 1.
        line: u64,
        /// The number that is there.
        found: u64,
        /// The number that should be.
        expected: u64,
    },
    /// A record of an unknown kind, a second start, an answer without its question or with two.
    #[error("line {line}: a record of this kind cannot stand here")]
    Order {
        /// Counted from 1.
        line: u64,
    },
    /// A record after the one that ends the log.
    #[error("line {line}: a record stands after the one that ends the log")]
    AfterStop {
        /// Counted from 1.
        line: u64,
    },
    /// The hash of the line before is another one.
    #[error("line {line}: the line before it was changed, or this one was put in")]
    Chain {
        /// Counted from 1.
        line: u64,
    },
}

#[derive(Deserialize)]
struct Link<'a> {
    v: u8,
    seq: u64,
    prev: &'a str,
    kind: &'a str,
    #[serde(default)]
    call: &'a str,
}

/// The logs under `path`: itself, or the `*.jsonl` files of a directory, sorted.
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

/// Checks one log file.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn verify_file(path: &Path) -> Result<Summary, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let mut reader = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(path).map_err(read)?);
    let mut summary = Summary::default();
    let mut open = HashSet::new();
    let mut prev = "0".repeat(64);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let size = (&mut reader).take(MAX_RECORD).read_until(b'\n', &mut buffer).map_err(read)?;
        if size == 0 {
            break;
        }
        let number = summary.records + 1;
        let Some(line) = buffer.strip_suffix(b"\n") else {
            if size as u64 == MAX_RECORD {
                return Err(VerifyError::NotARecord { line: number });
            }
            summary.torn_tail = size as u64;
            break;
        };
        let link: Link<'_> = serde_json::from_slice(line).map_err(|_| VerifyError::NotARecord { line: number })?;
        if link.v != VERSION {
            return Err(VerifyError::NotARecord { line: number });
        }
        if link.seq != summary.records {
            return Err(VerifyError::Sequence { line: number, found: link.seq, expected: summary.records });
        }
        if summary.stopped {
            return Err(VerifyError::AfterStop { line: number });
        }
        if link.prev != prev {
            return Err(VerifyError::Chain { line: number });
        }
        if !summary.note(&link, &mut open) {
            return Err(VerifyError::Order { line: number });
        }
        prev = hex(&Sha256::digest(line));
    }
    summary.open = open.len() as u64;
    Ok(summary)
}

impl Summary {
    /// Counts a record; false for one that cannot stand where it stands.
    fn note(&mut self, link: &Link<'_>, open: &mut HashSet<String>) -> bool {
        let first = self.records == 0;
        self.records += 1;
        self.stopped = link.kind == "stop";
        match link.kind {
            "start" => first,
            "question" => {
                self.questions += 1;
                !first && open.insert(link.call.to_owned())
            }
            "answer" => {
                self.answers += 1;
                open.remove(link.call)
            }
            // A call that ended before its question was written has none.
            "abandoned" => {
                open.remove(link.call);
                !first
            }
            // A person is asked while their call has neither question nor answer in the log.
            "ask" => !first && !open.contains(link.call),
            "decision" | "writes" | "frame" | "sink" | "stop" => !first,
            _ => false,
        }
    }
}
