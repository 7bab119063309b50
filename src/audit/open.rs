//! The beginning of a log: what others have left is looked at, then a file of its own is begun.
//!
//! Promises: the first records are on disk before anything is served; what was set aside of another log is in this one
//! before it is moved. Refuses to begin beside a log that was changed. Trusts the state directory's check.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::book::Book;
use super::checkpoint::{Keeper, Last, Name, Offset, Segment};
use super::digest::DigestKey;
use super::disk::{self, Disk, Room, System};
use super::merkle::Tree;
use super::note::Signer;
use super::record::{Fact, Key, Start, Torn};
use super::recover::{self, Left};
use super::retire::Retention;
use super::segment::Limits;
use super::sync::Syncer;
use super::tail::Tail;
use super::{AuditError, AuditLog, Place, Shared, Told, hex};
use crate::clock::Clock;
use crate::policy::{FieldPath, Policy};

/// The lock of a new file is tried so often.
const TRIES: u32 = 200;
/// And after this time again.
const AGAIN: Duration = Duration::from_millis(5);

/// Whose log is begun.
#[derive(Debug)]
pub(super) struct Owner<'a> {
    pub(super) policy: &'a str,
    pub(super) hash: [u8; 32],
    pub(super) text: &'a str,
    /// Members that are not told in clear.
    pub(super) redact: &'a [FieldPath],
    /// How long a write waits for the sinks that it requires.
    pub(super) patience: Duration,
}

impl AuditLog {
    /// Creates this process's own log file, locks it and writes its first record, which is on disk on return. Half-written
    /// records at the ends of other logs are set aside first, and said to be in this one.
    ///
    /// # Errors
    /// [`AuditError`] for a directory, key or file that cannot be used, and for another log that was changed.
    pub fn open(place: &Place<'_>, policy: &Policy, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        Self::open_at(&Self::next(place, &*clock), place, policy, clock)
    }

    /// Where a log lies that is begun now: for what has to be beside it before it is there.
    #[must_use]
    pub fn next(place: &Place<'_>, clock: &dyn Clock) -> PathBuf {
        let time = compact_time(clock.wall());
        place.directory.join(format!("{}-{time}-{}.jsonl", place.audit.prefix, std::process::id()))
    }

    /// As [`AuditLog::open`], where [`AuditLog::next`] has said.
    ///
    /// # Errors
    /// As there.
    pub fn open_at(path: &Path, place: &Place<'_>, policy: &Policy, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        let disk: Arc<dyn Disk> = Arc::new(System);
        let signer = Signer::load(place.directory)?;
        let left = recover::look(&*disk, place.directory, &place.audit.prefix, signer.public())?;
        let owner = Owner {
            policy: policy.name(),
            hash: policy.hash(),
            text: policy.text(),
            redact: &policy.response().redact,
            patience: policy.upstream().timeout,
        };
        let log = Self::begin_at(path, place, &owner, signer, &left, disk.clone(), clock)?;
        left.set_aside(&*disk, place.directory, &place.audit.prefix)?;
        Ok(log)
    }

    /// Begins a log whose first records are on disk on return.
    pub(super) fn begin(
        place: &Place<'_>,
        owner: &Owner<'_>,
        signer: Signer,
        left: &Left,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        Self::begin_at(&Self::next(place, &*clock), place, owner, signer, left, disk, clock)
    }

    fn begin_at(
        path: &Path,
        place: &Place<'_>,
        owner: &Owner<'_>,
        signer: Signer,
        left: &Left,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        let key = DigestKey::load(place.directory)?;
        let id = random_id()?;
        let limits = Limits { bytes: place.audit.max_bytes, age: place.audit.max_age };
        let segment = first_segment(&*disk, path, clock.monotonic(), &limits)?;
        let book = Arc::new(Mutex::new(Book::new(disk.clone(), segment.file.clone())));
        let name = Name {
            log: id.clone(),
            policy: owner.policy.to_owned(),
            policy_hash: hex(&owner.hash),
            key: key.id().to_owned(),
            signer: signer.public().fingerprint(),
        };
        let prefix = place.audit.prefix.clone();
        let retention = place.audit.keep.map(|keep| Retention::new(prefix, keep, signer.public().clone()));
        let offset = Offset::of(&*clock);
        let (tree, last) = (Tree::default(), Last::default());
        let (shared_book, shared_clock) = (book.clone(), clock.clone());
        let keeper = Keeper {
            disk,
            clock: shared_clock,
            book: shared_book,
            signer,
            name: name.clone(),
            limits,
            segment,
            tree,
            last,
            retention,
            offset,
        };
        let (calls, open) = (AtomicU64::new(0), AtomicUsize::new(0));
        let tail = Tail::new(place.audit.sinks.iter().filter(|sink| sink.require).count());
        let syncer = Syncer::start(keeper, tail.clone())?;
        let sync = place.audit.sync;
        let told = Told { policy: name.policy_hash.clone(), redact: owner.redact.to_vec(), patience: owner.patience };
        let shared = Shared { id, path: path.to_owned(), calls, open, book, syncer, key, sync, tail, clock };
        let log = Self { shared: Arc::new(shared), told: Arc::new(told) };
        let seq = log.shared.write(&first_facts(&name, owner.text, left))?;
        match log.shared.syncer.wait_blocking(seq) {
            true => Ok(log),
            false => Err(AuditError::Broken),
        }
    }
}

/// The new file of a new log, with room for what it has to hold.
fn first_segment(disk: &dyn Disk, path: &Path, now: Duration, limits: &Limits) -> Result<Segment, AuditError> {
    let file = Arc::new(create(disk, path)?);
    let room = Room::Until(0).renew(disk, &file, 0);
    if room == Room::None {
        disk.remove(path).map_err(|source| AuditError::Open { path: path.to_owned(), source })?;
        return Err(AuditError::Full);
    }
    let until = now.saturating_add(limits.age);
    Ok(Segment { file, path: path.to_owned(), room, until, stays: now, looked: false })
}

/// Whose log it is, which keys are others than before, and what was left of other logs.
fn first_facts<'a>(name: &'a Name, text: &'a str, left: &'a Left) -> Vec<Fact<'a>> {
    let Name { log, policy, policy_hash, key, signer } = name;
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let mut facts = vec![Fact::Start(Start { log, version, policy, policy_hash, policy_text: text, key, signer, pid })];
    if let Some(before) = left.digests.as_deref().filter(|before| before != key) {
        facts.push(Fact::Key(Key { of: "digests", before, now: key }));
    }
    facts.extend(left.signers.iter().map(|before| Fact::Key(Key { of: "checkpoints", before, now: signer })));
    let torn =
        left.torn.iter().map(|torn| Fact::Torn(Torn { file: &torn.name, records: torn.records, bytes: torn.bytes }));
    facts.extend(torn);
    facts
}

/// Creates a log file and takes its lock; its name is on disk on return.
pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<File, AuditError> {
    let file = create_locked(disk, path).map_err(|source| AuditError::Open { path: path.to_owned(), source })?;
    file.ok_or_else(|| AuditError::Locked { path: path.to_owned() })
}

/// Creates a file and takes its lock; `None` where another process keeps that. Its name is on disk on return.
pub(super) fn create_locked(disk: &dyn Disk, path: &Path) -> io::Result<Option<File>> {
    let file = disk.create(path)?;
    // Another gateway that starts may just look at it.
    let mut tries = 0;
    while !disk::lock(&file)? {
        if tries == TRIES {
            return Ok(None);
        }
        tries += 1;
        std::thread::sleep(AGAIN);
    }
    disk.sync_names(path.parent().unwrap_or(Path::new(".")))?;
    Ok(Some(file))
}

fn random_id() -> Result<String, AuditError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(AuditError::Random)?;
    Ok(hex(&bytes))
}

/// `20261123T143000.123Z`: sorts by time and holds nothing that a file name must not.
fn compact_time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string().replace(['-', ':'], "")
}
