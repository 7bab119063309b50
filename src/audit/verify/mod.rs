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

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

pub use self::fault::{Fault, VerifyError};
pub use self::place::{Log, logs, whole_logs};

use self::chain::Chain;
use self::line::Line;
use self::place::Scope;
use super::note::{Note, PUBLIC_FILE, PublicKey};
use super::{MAX_RECORD, segment};

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
    let last = log.files.last().map_or(Path::new(""), PathBuf::as_path);
    let broken = |file: &Path, error| Broken { file: file.to_owned(), error };
    // The head first: a gateway that runs may put a newer one there while its log is read.
    let mut others = head(last).map_err(|error| broken(last, error))?;
    others.extend(against.since.iter().cloned());
    let mut chain = Chain::new(&against.keys, &others);
    let mut before = 0;
    for path in &log.files {
        let read = |source| broken(path, VerifyError::Read { path: path.clone(), source });
        let file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        // A gateway that was stopped hard as it began a file left it empty.
        if size == 0 {
            continue;
        }
        chain.turn(&segment::name(path)).map_err(|error| broken(path, error))?;
        let reader = BufReader::with_capacity(1 << 20, file);
        feed(reader, &mut chain, &mut |done| progress(before + done)).map_err(|trouble| match trouble {
            Trouble::Read(source) => read(source),
            Trouble::Wrong(error) => broken(path, error),
        })?;
        before += size;
    }
    if let (Scope::All, Some(next)) = (log.scope, chain.next())
        && !log.files.iter().any(|file| segment::name(file) == next)
    {
        return Err(broken(last, VerifyError::Missing { next: next.to_owned() }));
    }
    chain.finish(log.scope).map_err(|error| broken(last, error))
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

/// Takes every line of a file.
fn feed(mut reader: impl BufRead, chain: &mut Chain<'_>, progress: &mut dyn FnMut(u64)) -> Result<(), Trouble> {
    let mut buffer = Vec::new();
    let (mut line, mut done) = (0, 0);
    loop {
        buffer.clear();
        let size = (&mut reader).take(MAX_RECORD).read_until(b'\n', &mut buffer).map_err(Trouble::Read)? as u64;
        if size == 0 {
            return Ok(());
        }
        line += 1;
        done += size;
        progress(done);
        let wrong = |fault| Trouble::Wrong(VerifyError::Record { line, fault });
        match buffer.strip_suffix(b"\n") {
            Some(text) => chain.take(text).map_err(wrong)?,
            None if size == MAX_RECORD => return Err(wrong(Fault::NotARecord)),
            None => chain.summary.torn_tail = size,
        }
    }
}

/// Why a file was not taken.
#[derive(Debug)]
enum Trouble {
    Read(std::io::Error),
    Wrong(VerifyError),
}

#[cfg(test)]
mod tests;
