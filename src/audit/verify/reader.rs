//! Reads a log line by line, file after file, as far as it is written.
//!
//! Promises to hand on only what is confirmed: a line once the one after it named its hash, the last one once nothing
//! is wrong with the log. May be asked again for what was written since.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::fault::{Fault, VerifyError};
use super::line::may_begin;
use super::place::{Log, Scope};
use super::{Against, Broken, Summary};
use crate::audit::note::Note;
use crate::audit::{MAX_RECORD, regular, segment};

/// Hears of each confirmed line, without its end, and in which file it stands.
pub type Each<'a> = dyn FnMut(&Path, &[u8]) + 'a;

/// A log that is being read.
#[derive(Debug)]
pub struct Reader<'k> {
    log: Log,
    chain: Chain<'k>,
    /// Which of the files is being read.
    at: usize,
    open: Option<Lines<BufReader<File>>>,
    /// Bytes of the files before it.
    before: u64,
    confirmed: Confirmed,
}

/// The last line that was read, and where it stands.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    file: PathBuf,
    line: Vec<u8>,
}

/// The lines of one source.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    /// The beginning of a line that is not whole yet.
    buffer: Vec<u8>,
    line: u64,
    done: u64,
}

/// Why a source was not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    Read(io::Error),
    Wrong(VerifyError),
}

impl<'k> Reader<'k> {
    /// Of a log as it is now, against these keys and the checkpoints of `others`.
    #[must_use]
    pub(super) fn new(log: Log, against: &'k Against, others: &'k [Note]) -> Self {
        let chain = Chain::new(against, others);
        Self { log, chain, at: 0, open: None, before: 0, confirmed: Confirmed::default() }
    }

    /// Of a log that grows while it is read: it is not held against its head file.
    #[must_use]
    pub fn following(log: Log, against: &'k Against) -> Self {
        Self::new(log, against, &against.since)
    }

    /// Whether it reads this log, whichever of its files are there.
    #[must_use]
    pub fn reads(&self, log: &Log) -> bool {
        self.log.is(log)
    }

    /// Takes the files that were begun since. Those that were read may be gone; the one that is being read is read to its end
    /// all the same.
    pub fn extend(&mut self, log: Log) {
        let current = self.log.files.get(self.at).cloned();
        let number = current.as_deref().map_or(0, |path| segment::first(path).1);
        let kept = current.filter(|path| self.open.is_some() || log.files.contains(path));
        let ahead = log.files.into_iter().filter(|path| segment::first(path).1 > number);
        self.log.files = kept.into_iter().chain(ahead).collect();
        self.at = 0;
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file and line.
    pub fn advance(&mut self, progress: &mut dyn FnMut(u64), each: &mut Each<'_>) -> Result<(), Broken> {
        while let Some(path) = self.log.files.get(self.at).cloned() {
            let is_last = self.at + 1 >= self.log.files.len();
            self.begin(&path).map_err(|error| Broken { file: path.clone(), error })?;
            if let Some(lines) = &mut self.open {
                let (before, confirmed) = (self.before, &mut self.confirmed);
                let read = lines.take(&mut self.chain, &mut |done| progress(before + done), &mut |line| {
                    confirmed.next(&path, line, each);
                });
                let kept = read.and_then(|()| lines.is_kept(&path));
                kept.map_err(|trouble| Broken { error: trouble.at(&path), file: path.clone() })?;
            }
            if is_last {
                return Ok(());
            }
            self.turn().map_err(|error| Broken { file: path.clone(), error })?;
        }
        Ok(())
    }

    /// Opens the file that is read, but for one that a gateway, stopped hard as it began it, left empty.
    fn begin(&mut self, path: &Path) -> Result<(), VerifyError> {
        if self.open.is_some() {
            return Ok(());
        }
        let read = |source| VerifyError::Read { path: path.to_owned(), source };
        let file = regular::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.len() > 0 {
            self.chain.turn(&segment::name(path))?;
            self.open = Some(Lines::new(BufReader::with_capacity(1 << 20, file)));
        }
        Ok(())
    }

    /// Hands the last line on that was read, though nothing has confirmed it yet.
    pub fn hand_on_last(&mut self, each: &mut Each<'_>) {
        self.confirmed.hand_on(each);
        self.confirmed.line.clear();
    }

    /// Goes to the next file.
    fn turn(&mut self) -> Result<(), VerifyError> {
        self.at += 1;
        let Some(lines) = self.open.take() else { return Ok(()) };
        self.before += lines.done;
        lines.end(&mut self.chain)
    }

    /// The end of a log that nobody writes any more.
    ///
    /// # Errors
    /// What is missing, or that the end is not that of the newest checkpoint.
    pub fn finish(mut self, each: &mut Each<'_>) -> Result<Summary, Broken> {
        let last = self.log.files.last().cloned().unwrap_or_default();
        let broken = |error| Broken { file: last.clone(), error };
        self.turn().map_err(broken)?;
        if let (Scope::All, Some(next)) = (self.log.scope, self.chain.next())
            && !self.log.files.iter().any(|file| segment::name(file) == next)
        {
            return Err(broken(VerifyError::Missing { next: next.to_owned() }));
        }
        let summary = self.chain.finish(self.log.scope).map_err(broken)?;
        self.confirmed.hand_on(each);
        Ok(summary)
    }
}

impl Confirmed {
    /// Hands the line before on, and keeps this one.
    fn next(&mut self, file: &Path, line: &[u8], each: &mut Each<'_>) {
        self.hand_on(each);
        if self.file != file {
            file.clone_into(&mut self.file);
        }
        self.line.clear();
        self.line.extend_from_slice(line);
    }

    fn hand_on(&self, each: &mut Each<'_>) {
        if !self.line.is_empty() {
            each(&self.file, &self.line);
        }
    }
}

impl Lines<BufReader<File>> {
    /// Whether what was read is in the file still, and the file in its place; it may have been deleted, as the policy says, and lost
    /// half a record at its end.
    fn is_kept(&self, path: &Path) -> Result<(), Trouble> {
        let (file, whole) =
            (self.source.get_ref().metadata().map_err(Trouble::Read)?, self.done - self.buffer.len() as u64);
        let other = path.symlink_metadata().is_ok_and(|there| (there.dev(), there.ino()) != (file.dev(), file.ino()));
        match other || file.len() < whole {
            true => Err(Trouble::Wrong(VerifyError::Exchanged)),
            false => Ok(()),
        }
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), line: 0, done: 0 }
    }

    /// Takes every whole line that is there; `each` hears of it once it is part of the chain.
    pub(super) fn take(
        &mut self,
        chain: &mut Chain<'_>,
        progress: &mut dyn FnMut(u64),
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Trouble> {
        loop {
            let room = MAX_RECORD.saturating_sub(self.buffer.len() as u64);
            let size = (&mut self.source).take(room).read_until(b'\n', &mut self.buffer).map_err(Trouble::Read)?;
            self.done += size as u64;
            progress(self.done);
            let wrong = |fault| Trouble::Wrong(VerifyError::Record { line: self.line + 1, fault });
            match self.buffer.strip_suffix(b"\n") {
                Some(line) => {
                    chain.take(line).map_err(wrong)?;
                    each(line);
                    self.line += 1;
                    self.buffer.clear();
                }
                None if self.buffer.len() as u64 >= MAX_RECORD => return Err(wrong(Fault::NotARecord)),
                None => return Ok(()),
            }
        }
    }

    /// What is left is the half-written line of a gateway that was stopped hard; behind an end in order there is none.
    pub(super) fn end(self, chain: &mut Chain<'_>) -> Result<(), VerifyError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if chain.has_ended() {
            return Err(VerifyError::Record { line: self.line + 1, fault: Fault::AfterEnd });
        }
        if !may_begin(&self.buffer) {
            return Err(VerifyError::Record { line: self.line + 1, fault: Fault::NotARecord });
        }
        chain.summary.torn_tail = self.buffer.len() as u64;
        Ok(())
    }
}

impl Trouble {
    fn at(self, path: &Path) -> VerifyError {
        match self {
            Self::Read(source) => VerifyError::Read { path: path.to_owned(), source },
            Self::Wrong(error) => error,
        }
    }
}
