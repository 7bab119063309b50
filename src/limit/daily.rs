//! The day's count, shared by every process of one state directory.
//!
//! One file, `daily`, holds one record of 32 bytes: the date in UTC, a space, the calls spent in 20 digits, a line feed. It is read and written under a
//! short exclusive lock, and a process takes calls from it in blocks, so that most calls touch no file. A block is charged
//! before any of it is spent: a process that dies loses calls, and the day's total is never exceeded. What is left of a block goes
//! back when the counter is dropped.
//!
//! Refuses to count in a file that it cannot read, that is not its owner's alone, or whose date lies after tomorrow; then no call passes.
//! A record survives the death of a process at any moment. After a power cut the file may show an earlier count of the same day; the
//! first write of a day is synced, so that it never shows an earlier day's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use crate::clock::Clock;
use crate::trust::{self, TrustError, quoted};

/// The file's name in the state directory.
pub const DAILY_FILE: &str = "daily";

/// The most calls taken from the file at once: asking the file takes about 40 µs, so a call's part of it is a fraction of one.
const BLOCK: u64 = 256;
/// A block is at most this part of what is left, so that a process that dies loses little and processes share a day's last calls.
const SHARE: u64 = 64;
/// How often, and how far apart, a lock that another process holds is tried: for a second in all.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// How long a refusal stands before the file is asked again.
const REFUSED_FOR: Duration = Duration::from_secs(1);
const RECORD: usize = 32;
const SECONDS_PER_DAY: u64 = 86_400;

/// Counts the calls of a day. Dropping it gives back what it took and did not spend.
#[derive(Debug, Clone)]
pub struct DailyCount {
    shared: Option<Arc<Shared>>,
}

impl DailyCount {
    /// No limit; no file is touched.
    pub const fn unlimited() -> Self {
        Self { shared: None }
    }

    /// Counts up to `limit` calls a day in `directory`, which the caller has checked; `None` is [`unlimited`](Self::unlimited).
    ///
    /// # Errors
    /// The file cannot be used as it is; nobody's calls would pass.
    pub fn open(directory: &Path, limit: Option<u64>, clock: Arc<dyn Clock>) -> Result<Self, DailyError> {
        let Some(limit) = limit else { return Ok(Self::unlimited()) };
        let shared =
            Shared { path: directory.join(DAILY_FILE), limit, clock, lease: Mutex::default(), turn: Arc::default() };
        let day = shared.today()?;
        Record::read(&shared.lock()?, &shared.path)?.count_on(day, &shared.path)?;
        Ok(Self { shared: Some(Arc::new(shared)) })
    }

    /// This one, with the block that it holds, where another counts the same; else the other.
    pub(super) fn or(&self, other: Self) -> Self {
        let same = match (&self.shared, &other.shared) {
            (Some(one), Some(other)) => one.limit == other.limit && one.path == other.path,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same { self.clone() } else { other }
    }

    /// Takes one call of today's. Touches the file only when the block is spent, and then on a thread of its own.
    ///
    /// Dropping the future loses nothing: a call taken for it goes back to the block.
    pub(super) async fn take(&self) -> Result<Option<Unit>, DailyError> {
        let Some(shared) = &self.shared else { return Ok(None) };
        if let Some(unit) = Shared::spend(shared)? {
            return Ok(Some(unit));
        }
        let turn = Arc::clone(&shared.turn).lock_owned().await;
        if let Some(unit) = Shared::spend(shared)? {
            return Ok(Some(unit));
        }
        let shared = Arc::clone(shared);
        // The turn comes back behind the call: if nobody waits for them any more, the call is back in the block before the turn ends.
        let lease = tokio::task::spawn_blocking(move || (Shared::lease(&shared), turn));
        let (unit, _turn) = lease.await.map_err(|_| DailyError::Stopped)?;
        unit.map(Some)
    }

    /// The time until the next day begins in UTC.
    pub(super) fn until_tomorrow(&self) -> Duration {
        let Some(shared) = &self.shared else { return Duration::ZERO };
        let now = shared.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Duration::from_secs(SECONDS_PER_DAY.saturating_sub(now % SECONDS_PER_DAY))
    }
}

/// One call of a day, charged. Dropped, it goes back to the block unless it was spent.
#[derive(Debug)]
pub(super) struct Unit {
    shared: Arc<Shared>,
    day: u64,
    spent: bool,
}

impl Unit {
    /// The call was made: its charge is final.
    pub(super) fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if self.spent {
            return;
        }
        let mut lease = self.shared.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if lease.day == self.day {
            lease.left = lease.left.saturating_add(1);
        }
    }
}

/// Why a day's calls cannot be counted, or are spent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DailyError {
    /// The day's calls are spent, or leased to other processes.
    #[error("the day's calls are spent")]
    Spent,
    /// Others may write the file, or it is a link.
    #[error(transparent)]
    Trust(#[from] Arc<TrustError>),
    /// The file cannot be opened, read or written.
    #[error("cannot use the day's count `{}`: {source}", quoted(path))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another process holds the lock for longer than it should.
    #[error("the day's count `{}` stays locked by another process", quoted(path))]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else than one record.
    #[error("the day's count `{}` is damaged; look at it, and remove it to begin the day's count anew", quoted(path))]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file was written under a clock that was ahead, or this machine's clock is behind.
    #[error(
        "the day's count `{}` is of a day to come; set the clock, or remove the file to begin the day's count anew",
        quoted(path)
    )]
    Future {
        /// The file.
        path: PathBuf,
    },
    /// The clock shows a time before 1970 or after 9999.
    #[error("the clock shows no date that can be counted on")]
    Clock,
    /// The thread that asks the file was stopped, or it panicked.
    #[error("counting the day's calls was cut short")]
    Stopped,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    limit: u64,
    clock: Arc<dyn Clock>,
    lease: Mutex<Lease>,
    /// Held while the file is asked, so that one call asks for all that wait.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The calls of `day` that are charged in the file and not yet spent.
#[derive(Debug, Default)]
struct Lease {
    day: u64,
    left: u64,
    refused: Option<Refusal>,
}

/// An answer of the file that stands until the clock has come to `until`, but no longer than the day.
#[derive(Debug)]
struct Refusal {
    error: DailyError,
    today: u64,
    until: Duration,
}

impl Shared {
    /// Takes a call from the block; `None` if the file must be asked.
    fn spend(shared: &Arc<Self>) -> Result<Option<Unit>, DailyError> {
        let today = shared.today()?;
        let mut lease = shared.lease.lock().map_err(|_| DailyError::Stopped)?;
        // A block of tomorrow's is good where the clock stepped back over midnight: the file counts tomorrow's calls by then.
        if lease.left > 0 && (today..=today.saturating_add(1)).contains(&lease.day) {
            lease.left = lease.left.saturating_sub(1);
            return Ok(Some(Unit { shared: Arc::clone(shared), day: lease.day, spent: false }));
        }
        match &lease.refused {
            Some(refusal) if refusal.today == today && shared.clock.monotonic() < refusal.until => {
                Err(refusal.error.clone())
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Charges a block in the file, takes one call from it and keeps the others.
    fn lease(shared: &Arc<Self>) -> Result<Unit, DailyError> {
        let today = shared.today()?;
        let charged = shared.charge(today);
        let mut lease = shared.lease.lock().map_err(|_| DailyError::Stopped)?;
        let (day, block) = charged.inspect_err(|error| {
            let until = shared.clock.monotonic().saturating_add(REFUSED_FOR);
            lease.refused = Some(Refusal { error: error.clone(), today, until });
        })?;
        let kept = if lease.day == day { lease.left } else { 0 };
        *lease = Lease { day, left: kept.saturating_add(block.saturating_sub(1)), refused: None };
        Ok(Unit { shared: Arc::clone(shared), day, spent: false })
    }

    /// Charges a block in the file: the day it is of, and how many calls, at least one.
    fn charge(&self, today: u64) -> Result<(u64, u64), DailyError> {
        let file = self.lock()?;
        let record = Record::read(&file, &self.path)?;
        let (day, used) = record.count_on(today, &self.path)?;
        let left = self.limit.saturating_sub(used);
        if left == 0 {
            return Err(DailyError::Spent);
        }
        let block = (left / SHARE).clamp(1, BLOCK);
        Record::of(day, used.saturating_add(block))?.write(&file, &self.path)?;
        if used == 0 {
            file.sync_data().map_err(|source| self.unusable(source))?;
        }
        Ok((day, block))
    }

    /// Gives what is left of the block back to the file.
    fn give_back(&self, lease: &Lease) -> Result<(), DailyError> {
        let file = self.lock()?;
        match Record::read(&file, &self.path)?.count_on(lease.day, &self.path) {
            Ok((day, used)) if day == lease.day => {
                Record::of(day, used.saturating_sub(lease.left))?.write(&file, &self.path)
            }
            // A later day is being counted: there is nothing to give back to.
            Ok(_) | Err(DailyError::Future { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The file, open, checked and locked until it is dropped.
    fn lock(&self) -> Result<File, DailyError> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        for _ in 0..TRIES {
            let file = options.open(&self.path).map_err(|source| self.unusable(source))?;
            trust::check_private(&file, &self.path).map_err(Arc::new)?;
            match file.try_lock() {
                // A file that was removed while it was being locked counts for nobody else.
                Ok(()) if file.metadata().map_err(|source| self.unusable(source))?.nlink() > 0 => return Ok(file),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(source)) => return Err(self.unusable(source)),
            }
        }
        Err(DailyError::Locked { path: self.path.clone() })
    }

    /// The date in UTC, as days since 1970-01-01.
    fn today(&self) -> Result<u64, DailyError> {
        let now = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).map_err(|_| DailyError::Clock)?;
        Ok(now.as_secs() / SECONDS_PER_DAY)
    }

    fn unusable(&self, source: io::Error) -> DailyError {
        DailyError::Unusable { path: self.path.clone(), source: Arc::new(source) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let lease = self.lease.get_mut().unwrap_or_else(PoisonError::into_inner);
        let lease = std::mem::take(lease);
        if lease.left == 0 {
            return;
        }
        if let Err(error) = self.give_back(&lease) {
            tracing::warn!(%error, calls = lease.left, "unspent calls of the day are lost");
        }
    }
}

/// The bytes of the file; empty in a file that was just created.
#[derive(Debug, PartialEq, Eq)]
struct Record(Vec<u8>);

impl Record {
    fn of(day: u64, used: u64) -> Result<Self, DailyError> {
        Ok(Self(format!("{} {used:020}\n", date(day)?).into_bytes()))
    }

    fn read(file: &File, path: &Path) -> Result<Self, DailyError> {
        let unusable = |source| DailyError::Unusable { path: path.to_owned(), source: Arc::new(source) };
        let length = file.metadata().map_err(unusable)?.len();
        if length == 0 {
            return Ok(Self(Vec::new()));
        }
        if length != RECORD as u64 {
            return Err(DailyError::Damaged { path: path.to_owned() });
        }
        let mut bytes = vec![0; RECORD];
        file.read_exact_at(&mut bytes, 0).map_err(unusable)?;
        Ok(Self(bytes))
    }

    /// One write, in place: never a moment at which the file holds less than a record.
    fn write(&self, file: &File, path: &Path) -> Result<(), DailyError> {
        file.write_all_at(&self.0, 0)
            .map_err(|source| DailyError::Unusable { path: path.to_owned(), source: Arc::new(source) })
    }

    /// The day on which a call made `today` counts, and how many count on it so far. That day is tomorrow where the file says so already:
    /// the clock stepped back over midnight, and a step back must not bring a new day's calls.
    fn count_on(&self, today: u64, path: &Path) -> Result<(u64, u64), DailyError> {
        if self.0.is_empty() {
            return Ok((today, 0));
        }
        let damaged = || DailyError::Damaged { path: path.to_owned() };
        let text = std::str::from_utf8(&self.0).map_err(|_| damaged())?;
        let (written, rest) = text.split_once(' ').ok_or_else(damaged)?;
        let digits = rest.strip_suffix('\n').ok_or_else(damaged)?;
        if !is_date(written) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(damaged());
        }
        let used = digits.parse().map_err(|_| damaged())?;
        let tomorrow = today.saturating_add(1);
        // Dates of four-digit years sort as text.
        if written < date(today)?.as_str() {
            Ok((today, 0))
        } else if written == date(today)? {
            Ok((today, used))
        } else if written == date(tomorrow)? {
            Ok((tomorrow, used))
        } else {
            Err(DailyError::Future { path: path.to_owned() })
        }
    }
}

/// `YYYY-MM-DD` of a day since 1970-01-01, in the Gregorian calendar.
fn date(day: u64) -> Result<String, DailyError> {
    // Counted from 0000-03-01 in eras of 400 years, so that a leap day is the last of its year (H. Hinnant, `civil_from_days`).
    let day = day.checked_add(719_468).ok_or(DailyError::Clock)?;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    if year > 9_999 {
        return Err(DailyError::Clock);
    }
    Ok(format!("{year:04}-{month:02}-{day_of_month:02}"))
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;

    use crate::clock::ManualClock;

    const DAY: Duration = Duration::from_secs(SECONDS_PER_DAY);

    fn open(directory: &Path, limit: u64, clock: &ManualClock) -> Result<DailyCount, DailyError> {
        DailyCount::open(directory, Some(limit), Arc::new(clock.clone()))
    }

    fn home() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// A clock at noon of 2026-11-23.
    fn noon() -> ManualClock {
        ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(20_780 * SECONDS_PER_DAY + 43_200))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    async fn spend(count: &DailyCount) -> bool {
        match count.take().await {
            Ok(unit) => {
                unit.into_iter().for_each(Unit::spend);
                true
            }
            Err(DailyError::Spent) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn record(directory: &Path) -> String {
        fs::read_to_string(directory.join(DAILY_FILE)).unwrap()
    }

    #[tokio::test]
    async fn a_day_lets_exactly_its_number_of_calls_through() {
        for limit in [1, 2, 63, 64, 65, 500, 1_000, 20_000] {
            let (home, clock) = (home(), noon());
            let count = open(home.path(), limit, &clock).unwrap();
            for call in 0..limit {
                assert!(spend(&count).await, "call {call} of {limit}");
            }
            assert!(!spend(&count).await, "one more than {limit}");
        }
    }

    #[tokio::test]
    async fn without_a_limit_no_file_is_touched() {
        let home = home();
        let count = DailyCount::open(home.path(), None, Arc::new(noon())).unwrap();
        assert!(count.take().await.unwrap().is_none());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_left_of_a_block_goes_back_when_the_counter_is_dropped() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 6_400, &clock).unwrap();
        for _ in 0..3 {
            assert!(spend(&count).await);
        }
        assert_eq!(record(home.path()), "2026-11-23 00000000000000000100\n");
        drop(count);
        assert_eq!(record(home.path()), "2026-11-23 00000000000000000003\n");
    }

    #[tokio::test]
    async fn a_call_that_was_not_made_goes_back_to_the_block() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 1, &clock).unwrap();
        drop(count.take().await.unwrap());
        assert!(spend(&count).await);
        assert!(!spend(&count).await);
    }

    #[tokio::test]
    async fn a_process_that_dies_loses_calls_and_never_gains_any() {
        let (home, clock) = (home(), noon());
        let mut spent = 0;
        for _ in 0..500 {
            let count = open(home.path(), 1_000, &clock).unwrap();
            spent += u32::from(spend(&count).await);
            std::mem::forget(count);
        }
        assert!(
            (100..500).contains(&spent),
            "{spent}: of a day of 1,000 blocks were lost, and the last calls still shared"
        );
        assert_eq!(record(home.path()), "2026-11-23 00000000000000001000\n");
    }

    #[test]
    fn processes_that_share_a_directory_never_spend_more_than_the_day_holds() {
        let (home, clock) = (home(), noon());
        let limit = 7_000;
        let process = || {
            let count = open(home.path(), limit, &clock).unwrap();
            runtime().block_on(async {
                let mut spent = 0_u64;
                for turn in 0..4_000_u32 {
                    match count.take().await {
                        Ok(Some(unit)) if turn % 5 == 0 => drop(unit),
                        Ok(Some(unit)) => {
                            unit.spend();
                            spent += 1;
                        }
                        Ok(None) => panic!("there is a limit"),
                        Err(DailyError::Spent) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                spent
            })
        };
        let spent: u64 = std::thread::scope(|scope| {
            let processes: Vec<_> = (0..4).map(|_| scope.spawn(process)).collect();
            processes.into_iter().map(|process| process.join().unwrap()).sum()
        });
        assert!(spent <= limit, "{spent}");
        assert_eq!(record(home.path()), format!("2026-11-23 {spent:020}\n"), "all that was not spent went back");
    }

    #[tokio::test]
    async fn a_new_day_begins_at_midnight_utc() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 1, &clock).unwrap();
        assert!(spend(&count).await);
        clock.advance(DAY / 2 - Duration::from_millis(1));
        assert!(!spend(&count).await);
        assert_eq!(count.until_tomorrow(), Duration::from_secs(1));
        clock.advance(Duration::from_millis(1));
        assert!(spend(&count).await, "a refusal of yesterday does not outlive the day");
        assert_eq!(record(home.path()), "2026-11-24 00000000000000000001\n");
    }

    #[tokio::test]
    async fn yesterdays_block_is_not_spent_today() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 1_000, &clock).unwrap();
        assert!(spend(&count).await);
        clock.advance(DAY);
        assert!(spend(&count).await);
        drop(count);
        assert_eq!(record(home.path()), "2026-11-24 00000000000000000001\n");
    }

    #[tokio::test]
    async fn a_clock_that_steps_back_over_midnight_brings_no_new_calls() {
        let (home, clock) = (home(), noon());
        clock.advance(DAY / 2);
        let count = open(home.path(), 2, &clock).unwrap();
        assert!(spend(&count).await);
        clock.set_wall(clock.wall() - Duration::from_secs(1));
        assert!(spend(&count).await);
        assert!(!spend(&count).await);
        assert_eq!(record(home.path()), "2026-11-24 00000000000000000002\n");
    }

    #[tokio::test]
    async fn a_count_from_a_day_to_come_lets_nothing_through() {
        let (home, clock) = (home(), noon());
        drop(open(home.path(), 5, &clock).unwrap());
        fs::write(home.path().join(DAILY_FILE), "2099-01-01 00000000000000000000\n").unwrap();
        assert!(matches!(open(home.path(), 5, &clock), Err(DailyError::Future { .. })));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let (home, clock) = (home(), noon());
        drop(open(home.path(), 5, &clock).unwrap());
        let good = "2026-11-23 00000000000000000003\n";
        let cases = [
            "x".to_owned(),
            good.replace('\n', " "),
            good.replace("2026-11", "2026/11"),
            good.replace("003", "+03"),
            good.replace("000000003", "99999999\u{0}"),
            "2026-11-23 99999999999999999999\n".to_owned(),
            good.replace(' ', "\u{0}"),
            "\u{0}".repeat(RECORD),
            format!("{good}{good}"),
        ];
        for text in cases {
            fs::write(home.path().join(DAILY_FILE), &text).unwrap();
            assert!(matches!(open(home.path(), 5, &clock), Err(DailyError::Damaged { .. })), "{text:?}");
        }
        fs::write(home.path().join(DAILY_FILE), good).unwrap();
        assert!(open(home.path(), 5, &clock).is_ok());
    }

    #[test]
    fn a_file_that_others_may_read_or_write_or_that_is_a_link_is_refused() {
        let (home, clock) = (home(), noon());
        let path = home.path().join(DAILY_FILE);
        drop(open(home.path(), 5, &clock).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
        assert!(matches!(open(home.path(), 5, &clock), Err(DailyError::Trust(_))));
        fs::rename(&path, home.path().join("elsewhere")).unwrap();
        fs::set_permissions(home.path().join("elsewhere"), Permissions::from_mode(0o600)).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(matches!(open(home.path(), 5, &clock), Err(DailyError::Unusable { .. })));
    }

    #[tokio::test]
    async fn a_lock_that_another_process_keeps_ends_in_a_refusal() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 5, &clock).unwrap();
        let held = File::open(home.path().join(DAILY_FILE)).unwrap();
        held.lock().unwrap();
        assert!(matches!(count.take().await, Err(DailyError::Locked { .. })));
        drop(held);
        assert!(matches!(count.take().await, Err(DailyError::Locked { .. })), "it stands for a second");
        clock.advance(REFUSED_FOR);
        assert!(spend(&count).await);
    }

    #[tokio::test]
    async fn a_file_that_is_removed_is_begun_anew() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 1, &clock).unwrap();
        assert!(spend(&count).await);
        assert!(!spend(&count).await);
        fs::remove_file(home.path().join(DAILY_FILE)).unwrap();
        clock.advance(REFUSED_FOR);
        assert!(spend(&count).await);
    }

    #[tokio::test]
    async fn a_call_given_up_while_the_file_is_asked_loses_nothing() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 3, &clock).unwrap();
        let mut given_up = Box::pin(count.take());
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(given_up.as_mut().poll(context).is_pending())).await
        );
        drop(given_up);
        for _ in 0..3 {
            assert!(spend(&count).await);
        }
        assert!(!spend(&count).await);
    }

    #[tokio::test]
    async fn a_call_of_yesterday_that_was_not_made_is_not_given_to_today() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 2, &clock).unwrap();
        let yesterdays = count.take().await.unwrap();
        clock.advance(DAY);
        assert!(spend(&count).await);
        drop(yesterdays);
        assert!(spend(&count).await);
        assert!(!spend(&count).await);
    }

    #[tokio::test]
    async fn a_file_removed_while_its_lock_was_awaited_counts_for_nothing() {
        let (home, clock) = (home(), noon());
        let count = open(home.path(), 5, &clock).unwrap();
        let path = home.path().join(DAILY_FILE);
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let lease = count.take();
        let removal = async {
            tokio::task::yield_now().await;
            fs::remove_file(&path).unwrap();
            drop(held);
        };
        let (unit, ()) = tokio::join!(lease, removal);
        unit.unwrap().into_iter().for_each(Unit::spend);
        assert_eq!(record(home.path()), "2026-11-23 00000000000000000001\n");
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        let cases = [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (20_780, "2026-11-23"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
        ];
        for (day, text) in cases {
            assert_eq!(date(day).unwrap(), text);
        }
        assert!(date(2_932_897).is_err());
        assert!(date(u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn later_days_have_later_dates(day in 0_u64..2_932_896) {
            prop_assert!(date(day).unwrap() < date(day + 1).unwrap());
        }
    }
}
