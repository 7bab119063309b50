//! Whether writes are closed, for every gateway of one state directory: three refusals in a row close them for a while.
//!
//! One file, `writes`, holds one record: how many refusals came in a row, and until when writes are closed, in seconds
//! since 1970. It appears whole, and is read and written under a short exclusive lock, for which no thread is held up. Refuses
//! every write while the file cannot be read, and where it is empty: somebody took its record out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::lock::{LockError, PAUSE, TRIES, try_lock};
use crate::clock::Clock;
use crate::trust::{TrustError, quoted};

/// So often a lock is tried again before anything else has its turn.
const AT_ONCE: u32 = 5;
/// And after this time.
const FORKED: Duration = Duration::from_millis(1);

/// Refusals in a row that close writes.
pub const REFUSALS: u8 = 3;

/// The file's name in the state directory.
const FILE: &str = "writes";
/// Longer than any record.
const MAX_RECORD: u64 = 64;

/// The state of writes in one state directory.
#[derive(Debug)]
pub(super) struct Closed {
    path: PathBuf,
    cooldown: Duration,
    clock: Arc<dyn Clock>,
}

/// What a refusal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streak {
    /// Writes stay as they are.
    Open,
    /// This one closed them, for so long.
    Closes(Duration),
}

/// Why the state of writes cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum ClosedError {
    /// Others may write the file, or it is a link.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file cannot be opened, read or written.
    #[error("cannot use the state of writes `{}`: {source}", quoted(path))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock for longer than it should.
    #[error("the state of writes `{}` stays locked by another process", quoted(path))]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than one record.
    #[error("the state of writes `{}` is damaged; look at it, and remove it to open writes", quoted(path))]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The file's content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Record {
    refusals: u8,
    /// Seconds since 1970; 0 while writes are open.
    until: u64,
}

impl Record {
    /// Always of the same length.
    fn text(self) -> String {
        format!("{:03} {:020}\n", self.refusals, self.until)
    }
}

impl Closed {
    pub(super) fn new(directory: &Path, cooldown: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { path: directory.join(FILE), cooldown, clock }
    }

    /// The same, where refusals close writes for another while.
    pub(super) fn renewed(&self, cooldown: Duration) -> Self {
        Self { path: self.path.clone(), cooldown, clock: Arc::clone(&self.clock) }
    }

    /// How long writes stay closed; `None` while they are open.
    pub(super) async fn left(&self) -> Result<Option<Duration>, ClosedError> {
        match self.path.try_exists() {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(source) => return Err(self.unusable(source)),
        }
        let record = self.read(&mut self.lock().await?)?;
        // A clock that was set back closes no longer than the policy says.
        let left = Duration::from_secs(record.until.saturating_sub(self.now())).min(self.cooldown);
        Ok((!left.is_zero()).then_some(left))
    }

    /// A question was answered with no.
    pub(super) async fn refused(&self) -> Result<Streak, ClosedError> {
        let mut file = self.lock().await?;
        let record = self.read(&mut file)?;
        let refusals = record.refusals.saturating_add(1);
        if refusals < REFUSALS {
            // Questions from before may be answered while writes are closed: they stay closed.
            self.write(&mut file, Record { refusals, ..record })?;
            return Ok(Streak::Open);
        }
        let until = self.now().saturating_add(self.cooldown.as_secs().max(1));
        self.write(&mut file, Record { refusals: 0, until })?;
        Ok(Streak::Closes(self.cooldown))
    }

    /// A question was answered with yes: refusals are counted anew.
    pub(super) async fn approved(&self) -> Result<(), ClosedError> {
        let mut file = self.lock().await?;
        let record = self.read(&mut file)?;
        if record.refusals == 0 { Ok(()) } else { self.write(&mut file, Record { refusals: 0, ..record }) }
    }

    /// Opens writes, whatever the file says.
    pub(super) async fn reopen(&self) -> Result<(), ClosedError> {
        let mut file = self.lock().await?;
        self.write(&mut file, Record::default())
    }

    fn now(&self) -> u64 {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// The file, open, checked and locked until it is dropped.
    async fn lock(&self) -> Result<File, ClosedError> {
        if !self.path.try_exists().map_err(|source| self.unusable(source))? {
            self.create().map_err(|source| self.unusable(source))?;
        }
        for attempt in 0..TRIES {
            match try_lock(&self.path) {
                Ok(file) => return Ok(file),
                // A process that was just forked holds it until it becomes another program.
                Err(LockError::Busy) if attempt < AT_ONCE => std::thread::sleep(FORKED),
                // In real time, by which the other process lives.
                Err(LockError::Busy) => tokio::time::sleep(PAUSE).await,
                Err(LockError::Trust(error)) => return Err(ClosedError::Trust(error)),
                Err(LockError::Unusable(source)) => return Err(self.unusable(source)),
            }
        }
        Err(ClosedError::Locked { path: self.path.clone() })
    }

    /// Makes the file with its first record in it, unless another process is first: nobody ever sees it empty.
    fn create(&self) -> io::Result<()> {
        let unfinished = self.path.with_extension(format!("{:08x}", getrandom::u32().map_err(io::Error::other)?));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(Record::default().text().as_bytes()).and_then(|()| file.sync_data());
        let linked = written.and_then(|()| std::fs::hard_link(&unfinished, &self.path));
        std::fs::remove_file(&unfinished)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn read(&self, file: &mut File) -> Result<Record, ClosedError> {
        let mut text = String::new();
        file.take(MAX_RECORD).read_to_string(&mut text).map_err(|source| self.unusable(source))?;
        let fields = text.strip_suffix('\n').and_then(|line| line.split_once(' '));
        let record = fields.and_then(|(refusals, until)| {
            Some(Record { refusals: refusals.parse().ok()?, until: until.parse().ok()? })
        });
        record.ok_or_else(|| ClosedError::Damaged { path: self.path.clone() })
    }

    /// One write of always the same length, in place: never a moment at which the file holds less than a record.
    fn write(&self, file: &mut File, record: Record) -> Result<(), ClosedError> {
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(record.text().as_bytes()));
        written.and_then(|()| file.sync_data()).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: io::Error) -> ClosedError {
        ClosedError::Unusable { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const COOLDOWN: Duration = Duration::from_secs(600);

    fn two() -> (tempfile::TempDir, ManualClock, Closed, Closed) {
        let directory = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let closed = || Closed::new(directory.path(), COOLDOWN, Arc::new(clock.clone()));
        let (one, other) = (closed(), closed());
        (directory, clock, one, other)
    }

    #[tokio::test]
    async fn three_refusals_in_a_row_close_writes_for_all_and_time_opens_them() {
        let (_directory, clock, one, other) = two();
        assert_eq!(one.left().await.unwrap(), None);
        assert_eq!(one.refused().await.unwrap(), Streak::Open);
        assert_eq!(other.refused().await.unwrap(), Streak::Open);
        assert_eq!(one.left().await.unwrap(), None);
        assert_eq!(one.refused().await.unwrap(), Streak::Closes(COOLDOWN));
        assert_eq!(other.left().await.unwrap(), Some(COOLDOWN));
        clock.advance(COOLDOWN - Duration::from_secs(1));
        assert_eq!(other.left().await.unwrap(), Some(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(one.left().await.unwrap(), None);
        assert_eq!(one.refused().await.unwrap(), Streak::Open, "the count began anew");
    }

    #[tokio::test]
    async fn an_approval_ends_the_row_and_opens_nothing() {
        let (_directory, _, one, _) = two();
        for _ in 0..5 {
            assert_eq!(one.refused().await.unwrap(), Streak::Open);
            assert_eq!(one.refused().await.unwrap(), Streak::Open);
            one.approved().await.unwrap();
        }
        one.refused().await.unwrap();
        one.refused().await.unwrap();
        one.refused().await.unwrap();
        one.approved().await.unwrap();
        assert_eq!(one.left().await.unwrap(), Some(COOLDOWN));
        one.reopen().await.unwrap();
        assert_eq!(one.left().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_refusal_while_writes_are_closed_opens_nothing_and_a_row_of_them_closes_anew() {
        let (_directory, clock, one, other) = two();
        for _ in 0..3 {
            one.refused().await.unwrap();
        }
        clock.advance(COOLDOWN / 2);
        assert_eq!(one.refused().await.unwrap(), Streak::Open);
        assert_eq!(other.refused().await.unwrap(), Streak::Open);
        assert_eq!(one.left().await.unwrap(), Some(COOLDOWN / 2));
        assert_eq!(one.refused().await.unwrap(), Streak::Closes(COOLDOWN));
        assert_eq!(one.left().await.unwrap(), Some(COOLDOWN));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_no_open_door() {
        let (directory, _, one, _) = two();
        for text in ["", "x", "1 2 3\n", "300 0\n", "003 00000000000000000000", " 1\n"] {
            std::fs::write(directory.path().join(FILE), text).unwrap();
            std::fs::set_permissions(directory.path().join(FILE), std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            assert!(one.left().await.is_err(), "{text:?}");
            assert!(one.refused().await.is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_closes_no_longer_than_the_policy_says() {
        let (directory, _, one, _) = two();
        one.reopen().await.unwrap();
        std::fs::write(directory.path().join(FILE), format!("000 {:020}\n", u64::MAX)).unwrap();
        assert_eq!(one.left().await.unwrap(), Some(COOLDOWN));
    }

    #[tokio::test]
    async fn whoever_waits_for_another_process_holds_nobody_up() {
        let (directory, _, one, _) = two();
        one.refused().await.unwrap();
        let held = try_lock(&directory.path().join(FILE)).unwrap();
        let (left, ()) = tokio::join!(one.left(), async { drop(held) });
        assert_eq!(left.unwrap(), None, "the other one had its turn on this very thread");
    }
}
