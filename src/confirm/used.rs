//! The questions that were answered, for every gateway of one state directory that shares a key with the others.
//!
//! Promises: one of them alone gets to use the answer to a question, whoever else holds the same state. One file, `used`: a
//! random number that belongs to the directory, then a record for each question, with the time at which its state ends. A
//! record is written before its answer counts; while the file cannot be read or written, no answer does.
//! Trusts the wall clock not to be set back by more than [`KEPT`].

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::lock::{LockError, lock};
use super::table::Nonce;
use crate::clock::Clock;
use crate::trust::{TrustError, quoted};

/// The file's name in the state directory.
const FILE: &str = "used";
/// Questions that are remembered; where all of their states could still be open, no further answer is taken.
const MAX_USED: usize = 4096;
/// How long after its end a record is kept at least: a state that opens again, because a clock was set back, is still used.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// 32 hexadecimal digits and a line end.
const HEADER: usize = 33;
/// 32 hexadecimal digits, a space, 20 digits, a line end.
const RECORD: usize = 54;

/// The answered questions of one state directory.
#[derive(Debug)]
pub(super) struct Used {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    id: String,
}

/// Whose the answer to a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Claim {
    /// The caller's.
    First,
    /// It was used before, here or in another process.
    Used,
}

/// Why nobody can tell whether a question was answered.
#[derive(Debug, thiserror::Error)]
pub enum UsedError {
    /// Others may write the file, or it is a link.
    #[error(transparent)]
    Trust(TrustError),
    /// The file cannot be opened, read or written.
    #[error("cannot use the list of answered questions `{}`: {source}", quoted(path))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock for longer than it should.
    #[error("the list of answered questions `{}` stays locked by another process", quoted(path))]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than such a list.
    #[error(
        "the list of answered questions `{}` is damaged; stop the gateways, remove it, and start them again",
        quoted(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It was removed or replaced while this process ran: what was used before is not known.
    #[error("the list of answered questions `{}` is another one than at the start; restart the gateway", quoted(path))]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Every record is about a state that may still be open.
    #[error("the list of answered questions `{}` is full", quoted(path))]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// No randomness for the directory's number.
    #[error("the system gave no random bytes for the list of answered questions: {0}")]
    Random(getrandom::Error),
}

/// The file's content.
struct List {
    /// Of each question its number, as it is written, and the end of its state in seconds since 1970.
    records: Vec<(String, u64)>,
}

impl Used {
    /// The list of a state directory, made where there is none.
    pub(super) fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Self, UsedError> {
        let mut used = Self { path: directory.join(FILE), clock, id: String::new() };
        let mut file = used.lock()?;
        let text = used.text(&mut file)?;
        used.id = match text.split_once('\n') {
            Some((id, _)) if is_number(id) => id.to_owned(),
            None if text.is_empty() => {
                let Nonce(id) = Nonce::random().map_err(UsedError::Random)?;
                let id = number(Nonce(id));
                used.write(&mut file, 0, &format!("{id}\n"))?;
                id
            }
            Some(_) | None => return Err(used.damaged()),
        };
        used.list(&text_or_header(text, &used.id))?;
        Ok(used)
    }

    /// What belongs to this directory alone, and to no list that stands in its place later.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Takes the answer to a question whose state is open for `left`.
    pub(super) fn claim(&self, nonce: Nonce, left: Duration) -> Result<Claim, UsedError> {
        let mut file = self.lock()?;
        let List { records } = self.list(&self.text(&mut file)?)?;
        let number = number(nonce);
        if records.iter().any(|(used, _)| *used == number) {
            return Ok(Claim::Used);
        }
        let now = self.now();
        let place = if records.len() < MAX_USED {
            records.len()
        } else {
            let oldest = records.iter().enumerate().min_by_key(|(_, (_, end))| *end);
            let over = oldest.filter(|(_, (_, end))| end.saturating_add(KEPT.as_secs()) < now);
            over.ok_or_else(|| UsedError::Full { path: self.path.clone() })?.0
        };
        let end = now.saturating_add(left.as_secs()).saturating_add(1);
        self.write(&mut file, HEADER + place * RECORD, &format!("{number} {end:020}\n"))?;
        Ok(Claim::First)
    }

    /// Whether the answer to a question was taken.
    pub(super) fn holds(&self, nonce: Nonce) -> Result<bool, UsedError> {
        let mut file = self.lock()?;
        let number = number(nonce);
        Ok(self.list(&self.text(&mut file)?)?.records.iter().any(|(used, _)| *used == number))
    }

    fn now(&self) -> u64 {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    fn lock(&self) -> Result<File, UsedError> {
        lock(&self.path).map_err(|error| match error {
            LockError::Trust(error) => UsedError::Trust(error),
            LockError::Unusable(source) => self.unusable(source),
            LockError::Busy => UsedError::Locked { path: self.path.clone() },
        })
    }

    fn text(&self, file: &mut File) -> Result<String, UsedError> {
        let most = u64::try_from(HEADER + MAX_USED * RECORD + 1).unwrap_or(u64::MAX);
        let mut text = String::new();
        file.take(most).read_to_string(&mut text).map_err(|source| self.unusable(source))?;
        Ok(text)
    }

    fn list(&self, text: &str) -> Result<List, UsedError> {
        let (id, records) = text.split_once('\n').unwrap_or((text, ""));
        if id != self.id {
            return Err(UsedError::Replaced { path: self.path.clone() });
        }
        let whole = records.is_empty() || records.ends_with('\n');
        let records: Option<Vec<_>> = records.lines().map(record).collect();
        let records = records.filter(|records| whole && records.len() <= MAX_USED).ok_or_else(|| self.damaged())?;
        Ok(List { records })
    }

    /// One write, in place: never a moment at which a record that stood there is half another.
    fn write(&self, file: &mut File, at: usize, text: &str) -> Result<(), UsedError> {
        let at = SeekFrom::Start(u64::try_from(at).unwrap_or(u64::MAX));
        let written = file.seek(at).and_then(|_| file.write_all(text.as_bytes()));
        written.and_then(|()| file.sync_data()).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: io::Error) -> UsedError {
        UsedError::Unusable { path: self.path.clone(), source }
    }

    fn damaged(&self) -> UsedError {
        UsedError::Damaged { path: self.path.clone() }
    }
}

/// What the file holds once it was begun.
fn text_or_header(text: String, id: &str) -> String {
    if text.is_empty() { format!("{id}\n") } else { text }
}

fn number(Nonce(bytes): Nonce) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn is_number(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn record(line: &str) -> Option<(String, u64)> {
    let (number, end) = line.split_once(' ')?;
    (line.len() + 1 == RECORD && is_number(number)).then(|| Some((number.to_owned(), end.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const LEFT: Duration = Duration::from_secs(60);

    fn two() -> (tempfile::TempDir, ManualClock, Used, Used) {
        let directory = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let used = || Used::open(directory.path(), Arc::new(clock.clone())).unwrap();
        let (one, other) = (used(), used());
        (directory, clock, one, other)
    }

    #[test]
    fn an_answer_is_taken_once_by_all_processes_together_and_after_a_restart() {
        let (directory, clock, one, other) = two();
        assert_eq!(one.id(), other.id());
        for (number, first) in [(1, &one), (2, &other), (3, &one)] {
            let nonce = Nonce([number; 16]);
            assert!(!other.holds(nonce).unwrap());
            assert_eq!(first.claim(nonce, LEFT).unwrap(), Claim::First);
            for later in [&one, &other] {
                assert_eq!(later.claim(nonce, LEFT).unwrap(), Claim::Used);
                assert!(later.holds(nonce).unwrap());
            }
        }
        let again = Used::open(directory.path(), Arc::new(clock)).unwrap();
        assert_eq!((again.id(), again.claim(Nonce([2; 16]), LEFT).unwrap()), (one.id(), Claim::Used));
    }

    #[test]
    fn a_list_that_is_full_takes_nothing_until_what_it_holds_is_long_over() {
        let (directory, clock, one, _) = two();
        let end = 1_800_000_060;
        let records: String = (0..MAX_USED).map(|number| format!("{number:032x} {end:020}\n")).collect();
        std::fs::write(directory.path().join(FILE), format!("{}\n{records}", one.id())).unwrap();
        let nonce = Nonce([255; 16]);
        assert!(matches!(one.claim(nonce, LEFT), Err(UsedError::Full { .. })));
        clock.advance(LEFT + KEPT);
        assert!(matches!(one.claim(nonce, LEFT), Err(UsedError::Full { .. })));
        clock.advance(Duration::from_secs(1));
        assert_eq!(one.claim(nonce, LEFT).unwrap(), Claim::First);
        assert_eq!(one.claim(nonce, LEFT).unwrap(), Claim::Used);
        assert!(!one.holds(Nonce([0; 16])).unwrap(), "it gave way");
    }

    #[test]
    fn a_list_that_is_gone_or_damaged_takes_nothing() {
        let (directory, clock, one, _) = two();
        let path = directory.path().join(FILE);
        let nonce = Nonce([1; 16]);
        assert_eq!(one.claim(nonce, LEFT).unwrap(), Claim::First);
        let whole = std::fs::read_to_string(&path).unwrap();
        for bad in
            [whole.split_at(whole.len() - 1).0, &whole.replace(' ', "x"), &format!("{whole}x\n"), whole.split_at(1).1]
        {
            std::fs::write(&path, bad).unwrap();
            assert!(one.claim(Nonce([2; 16]), LEFT).is_err(), "{bad}");
            assert!(one.holds(nonce).is_err(), "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(one.claim(nonce, LEFT), Err(UsedError::Replaced { .. })), "removed");
        let next = Used::open(directory.path(), Arc::new(clock)).unwrap();
        assert_ne!(next.id(), one.id());
        assert!(matches!(one.claim(nonce, LEFT), Err(UsedError::Replaced { .. })), "replaced");
    }
}
