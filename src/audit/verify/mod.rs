//! Checks a log: every line is in its one form and names the hash of the line before it, numbers run without a gap, every
//! checkpoint is of the records before it and signed, nothing is torn inside.
//!
//! Shows that a log was not edited, cut out of or added to before its last checkpoint by anybody without the signing key.
//! What follows the last checkpoint is chained, not anchored: it can be cut off or rewritten. A cut at a checkpoint shows
//! by the head file or by a checkpoint that was kept elsewhere, and by nothing else. A file that follows another can be checked
//! alone: it begins with the signed checkpoint of all that came before.

mod against;
mod chain;
mod fault;
mod line;
mod place;
mod reader;
mod whole;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::against::Against;
pub use self::fault::{Fault, VerifyError};
pub use self::place::{Log, logs, whole_logs};
pub use self::reader::{Each, Reader};
pub use self::whole::{Found, Whole, verify_all};

use self::against::head;
use self::line::{Line, sequence};
use self::place::{Scope, Strays};
use self::whole::TRIES;
use super::note::Note;
use super::{hex, regular, segment};

/// What a log was found to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The log's name in its checkpoints: that of the policy and its own.
    pub origin: String,
    /// The sequence number of the first record that is there.
    pub first: u64,
    /// Records whose place in the chain was checked.
    pub records: u64,
    /// The file that is missing before the first, where the log does not begin with its beginning.
    pub before: Option<FileEnd>,
    /// The file in which the log goes on.
    pub next: Option<String>,
    /// Files that the gateway has deleted, as its policy says: those whose record a checkpoint covers that the key signed.
    pub retired: Vec<FileEnd>,
    /// The fingerprints of keys of checkpoints that came before this log's, of which the same holds.
    pub earlier: Vec<String>,
    /// Calls that were asked about.
    pub questions: u64,
    /// Calls whose end is in the log.
    pub answers: u64,
    /// Calls whose intent is in the log and whose end is not: the gateway was stopped hard while they ran.
    pub open: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The newest checkpoint, as `audit checkpoint` prints it.
    pub newest: Option<String>,
    /// Records after the last checkpoint.
    pub tail: u64,
    /// The size of the largest checkpoint from elsewhere (the head file's, or a given one) that it was held against.
    pub held: Option<u64>,
    /// Bytes of a half-written last line, left by a hard stop; they count as nothing.
    pub torn_tail: u64,
    /// Whether the gateway ended in order.
    pub stopped: bool,
    /// Whether the signatures of the checkpoints were checked.
    pub signed: Signed,
}

impl Summary {
    /// Whether a signed checkpoint covers everything there is.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        self.tail == 0 && self.torn_tail == 0 && self.checkpoints > 0 && self.signed == Signed::Proven
    }
}

/// A file of a log, and the hash of its last record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnd {
    /// Its name.
    pub file: String,
    /// In hex.
    pub hash: String,
}

/// What is known of the signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signed {
    /// They are good.
    Proven,
    /// There was no key to check them with.
    #[default]
    Unproven,
}

/// Checks one log, file by file, and holds it against its head file, if there is one. `progress` hears how many bytes were read.
///
/// # Errors
/// The first thing that is wrong, with its file and line.
pub fn verify(log: &Log, against: &Against, progress: &mut dyn FnMut(u64)) -> Result<Summary, Broken> {
    verify_lines(log, against, progress, &mut |_, _| ())
}

/// As [`verify`]; `each` hears of every line that is confirmed, up to what is wrong. Where files of the log are begun or deleted
/// while it is read, it goes on with what is there then.
///
/// # Errors
/// The first thing that is wrong, with its file and line.
pub fn verify_lines(
    log: &Log,
    against: &Against,
    progress: &mut dyn FnMut(u64),
    each: &mut Each<'_>,
) -> Result<Summary, Broken> {
    let mut next = 0;
    // A line is handed on once, however often the log is read.
    let mut once = |file: &Path, line: &[u8]| {
        let seq = sequence(line).unwrap_or_default();
        if seq >= next {
            next = seq + 1;
            each(file, line);
        }
    };
    let mut log = log.clone();
    for _ in 1..TRIES {
        match read(&log, against, progress, &mut once) {
            Err(broken) => match log.again() {
                Some(now) => log = now,
                None => return Err(broken),
            },
            whole => return whole,
        }
    }
    read(&log, against, progress, &mut once)
}

/// Reads the files of a log once.
fn read(log: &Log, against: &Against, progress: &mut dyn FnMut(u64), each: &mut Each<'_>) -> Result<Summary, Broken> {
    let last = log.files.last().map_or(Path::new(""), PathBuf::as_path);
    let broken = |error| Broken { file: last.to_owned(), error };
    // The head first: a gateway that runs may put a newer one there while its log is read.
    let own = head(last).map_err(broken)?;
    let others: Vec<_> = own.iter().chain(&against.since).cloned().collect();
    let mut reader = Reader::new(log.clone(), against, &others);
    reader.advance(progress, each)?;
    let summary = reader.finish(each)?;
    let wrong = match own.map(|note| note.checkpoint) {
        // A log without a record has no name by which the chain could find its head.
        Some(head) if summary.records == 0 => VerifyError::Cut { records: 0, size: head.size },
        Some(head) if head.origin != summary.origin => VerifyError::OtherHead { head: segment::head(last) },
        Some(_) => return Ok(summary),
        None => match log.strays.of(last, &summary.origin) {
            Some(head) => VerifyError::Renamed { head },
            None => return Ok(summary),
        },
    };
    Err(broken(wrong))
}

/// Checks one file, as [`verify`] does.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn verify_file(path: &Path, against: &Against) -> Result<Summary, VerifyError> {
    let log = Log { files: vec![path.to_owned()], scope: Scope::One, strays: Strays::default() };
    verify(&log, against, &mut |_| ()).map_err(|broken| broken.error)
}

/// A file that does not verify, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", file.display())]
pub struct Broken {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub error: VerifyError,
}

impl Broken {
    /// Whether the file was listed and is not there any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(&self.error, VerifyError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// How a file ends that ends with a checkpoint.
#[derive(Debug)]
pub(super) struct End {
    /// The kind of the record before the checkpoint.
    pub(super) kind: String,
    /// When that was written.
    pub(super) time: SystemTime,
    /// The hash of the checkpoint's own record, in hex.
    pub(super) hash: String,
    /// The checkpoint, whose signature was not checked.
    pub(super) note: Note,
}

/// How a file ends, of which these are the last bytes; `None` where its last two records are not a checkpoint and what it covers.
pub(super) fn closing(end: &[u8]) -> Option<End> {
    let (before, last) = split_last(end.strip_suffix(b"\n")?)?;
    let (_, other) = split_last(before)?;
    let (line, covered) = (Line::read(last)?, Line::read(other)?);
    let note = chain::note(last).filter(|note| note.checkpoint.size == line.seq)?;
    let is_end = line.kind == "checkpoint" && line.prev == hex(&Sha256::digest(other)) && line.time == covered.time;
    let time = humantime::parse_rfc3339(line.time).ok().filter(|_| is_end)?;
    Some(End { kind: covered.kind.to_owned(), time, hash: hex(&Sha256::digest(last)), note })
}

/// A text before its last line end, and what follows.
fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memrchr(b'\n', text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// How many lines a file has, a last one without an end among them.
///
/// # Errors
/// It cannot be read.
pub fn count_lines(path: &Path) -> Result<u64, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::with_capacity(1 << 20, regular::open(path).map_err(read)?);
    let (mut lines, mut partial) = (0, 0);
    loop {
        let bytes = reader.fill_buf().map_err(read)?;
        if bytes.is_empty() {
            return Ok(lines + partial);
        }
        lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        partial = u64::from(bytes.last() != Some(&b'\n'));
        let length = bytes.len();
        reader.consume(length);
    }
}

#[cfg(test)]
mod tests;
