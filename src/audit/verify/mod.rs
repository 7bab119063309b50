//! Checks a log: every line is in its one form and names the hash of the line before it, numbers run without a gap, every
//! checkpoint is of the records before it and signed, nothing is torn inside.
//!
//! Shows that a log was not edited, cut out of or added to before its last checkpoint by anybody without the signing key.
//! What follows the last checkpoint is chained, not anchored: it can be cut off or rewritten. A cut at a checkpoint shows
//! by the head file or by a checkpoint that was kept elsewhere, and by nothing else. A file that follows another can be checked
//! alone: it begins with the signed checkpoint of all that came before.

mod chain;
mod fault;
mod line;
mod place;
mod reader;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

pub use self::fault::{Fault, VerifyError};
pub use self::place::{Log, logs, whole_logs};
pub use self::reader::{Each, Reader};

use self::line::Line;
use self::place::Scope;
use super::note::{Note, PUBLIC_FILE, PublicKey};
use super::segment;

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
    pub before: Option<String>,
    /// The file in which the log goes on.
    pub next: Option<String>,
    /// Files that the gateway has deleted, as its policy says.
    pub retired: Vec<String>,
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

/// What is known of the signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signed {
    /// They are good.
    Proven,
    /// There was no key to check them with.
    #[default]
    Unproven,
}

/// What logs are held against.
#[derive(Debug, Default)]
pub struct Against {
    keys: Vec<PublicKey>,
    since: Vec<Note>,
}

impl Against {
    /// These keys; without any, the one beside the log (`checkpoint.pub`), if there is one.
    ///
    /// # Errors
    /// [`VerifyError`] for a file that cannot be read or holds no key.
    pub fn keys(files: &[PathBuf], log: &Path) -> Result<Self, VerifyError> {
        let beside = if log.is_dir() { log } else { log.parent().unwrap_or(Path::new("")) }.join(PUBLIC_FILE);
        let files = match files {
            [] if !beside.exists() => &[],
            [] => std::slice::from_ref(&beside),
            files => files,
        };
        let key = |path: &PathBuf| {
            let read = PublicKey::read(path).map_err(|source| VerifyError::Read { path: path.clone(), source })?;
            read.ok_or_else(|| VerifyError::Strange { path: path.clone(), what: "public key of checkpoints" })
        };
        Ok(Self { keys: files.iter().map(key).collect::<Result<_, _>>()?, since: Vec::new() })
    }

    /// This key.
    #[must_use]
    pub fn key(key: PublicKey) -> Self {
        Self { keys: vec![key], since: Vec::new() }
    }

    /// Adds a checkpoint that was kept elsewhere: a file that holds one, or the line itself.
    ///
    /// # Errors
    /// [`VerifyError`] for a file that cannot be read or holds no checkpoint.
    pub fn since(mut self, checkpoint: &str) -> Result<Self, VerifyError> {
        let path = Path::new(checkpoint);
        let note = match Note::parse(checkpoint) {
            Some(note) => note,
            None => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| VerifyError::Read { path: path.to_owned(), source })?;
                Note::parse(&text).ok_or_else(|| VerifyError::Strange { path: path.to_owned(), what: "checkpoint" })?
            }
        };
        self.since.push(note);
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

/// Checks one log, file by file, and holds it against its head file, if there is one. `progress` hears how many bytes were read.
///
/// # Errors
/// The first thing that is wrong, with its file and line.
pub fn verify(log: &Log, against: &Against, progress: &mut dyn FnMut(u64)) -> Result<Summary, Broken> {
    verify_lines(log, against, progress, &mut |_, _| ())
}

/// As [`verify`]; `each` hears of every line that is confirmed, up to what is wrong.
///
/// # Errors
/// The first thing that is wrong, with its file and line.
pub fn verify_lines(
    log: &Log,
    against: &Against,
    progress: &mut dyn FnMut(u64),
    each: &mut Each<'_>,
) -> Result<Summary, Broken> {
    let last = log.files.last().map_or(Path::new(""), PathBuf::as_path);
    // The head first: a gateway that runs may put a newer one there while its log is read.
    let mut others = head(last).map_err(|error| Broken { file: last.to_owned(), error })?;
    others.extend(against.since.iter().cloned());
    let mut reader = Reader::new(log.clone(), against, &others);
    reader.advance(progress, each)?;
    let summary = reader.finish(each)?;
    // A log without a record has no name by which the chain could find its head.
    match others.first().filter(|_| summary.records == 0 && against.since.len() < others.len()) {
        Some(note) => {
            let error = VerifyError::Cut { records: 0, size: note.checkpoint.size };
            Err(Broken { file: last.to_owned(), error })
        }
        None => Ok(summary),
    }
}

/// Checks one file, as [`verify`] does.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn verify_file(path: &Path, against: &Against) -> Result<Summary, VerifyError> {
    let log = Log { files: vec![path.to_owned()], scope: Scope::One };
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

/// How a file ends, of which these are the last bytes: the kind of the record before the checkpoint that comes last.
pub(super) fn closing(end: &[u8]) -> Option<&str> {
    let (before, last) = split_last(end.strip_suffix(b"\n")?)?;
    let kind = |line| Line::read(line).map(|line| line.kind);
    let (_, other) = split_last(before)?;
    kind(last).filter(|kind| *kind == "checkpoint").and(kind(other))
}

/// A text before its last line end, and what follows.
fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memrchr(b'\n', text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The checkpoint of the head file of a log.
fn head(log: &Path) -> Result<Vec<Note>, VerifyError> {
    let path = segment::head(log);
    match std::fs::read_to_string(&path) {
        Ok(text) => match Note::parse(&text) {
            Some(note) => Ok(vec![note]),
            None => Err(VerifyError::Strange { path, what: "checkpoint" }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(VerifyError::Read { path, source }),
    }
}

/// How many lines a file has, a last one without an end among them.
///
/// # Errors
/// It cannot be read.
pub fn count_lines(path: &Path) -> Result<u64, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(read)?);
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
