//! The audit log: one record for each question and one for each answer, each naming the hash of the one before.
//!
//! Promises: a request reaches the upstream only as a [`Recorded`](entry::Recorded), and that exists only once its question is in the
//! file (on disk, for a write); a front door can send back only an [`Answer`](entry::Answer), and that exists only once it is in
//! the file. Refuses: to go on after a write or a sync failed. Trusts: the file system's `fdatasync`, and whoever can
//! write to the state directory (the chain shows an edit, it does not prevent one).

mod acknowledge;
pub mod beside;
mod book;
mod checkpoint;
pub mod digest;
mod disk;
pub mod entry;
#[cfg(test)]
mod faults;
mod keys;
mod merkle;
pub mod note;
mod open;
mod record;
mod recover;
mod regular;
mod reload;
mod retire;
mod segment;
mod signers;
mod subject;
mod sync;
pub mod tail;
pub mod verify;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use acknowledge::{Acknowledgement, acknowledge, acknowledgement};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::confirm::{No, Ticket};
use crate::policy::{AuditSpec, Effect, FieldPath, Sync};
use crate::trust::quoted;
use book::Book;
use digest::DigestKey;
use entry::Entry;
use open::create;
pub use record::SinkState;
use record::{Decision, Fact, Frame, Stop, Writes};
pub use reload::By;
use sync::Syncer;
use tail::Tail;

/// Up to so many open calls each writes its records at once: letting others go first costs a turn of the runtime, which
/// is more than a `write` that few would share.
const FEW_CALLS: usize = 16;
/// The longest record that is read: a `start` holds the policy's text, a question at most 64 query pairs and a body's members.
const MAX_RECORD: u64 = 16 << 20;
/// Characters of an unknown tool's, an operation's, a method's or a client's name that a record keeps.
const NAME_CAP: usize = 128;

/// Why the log cannot be opened or written. Each is an exit code 2 at the start and `audit_unavailable` later.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file could not be created or opened.
    #[error("the audit log `{}` cannot be opened: {source}", path.display())]
    Open {
        /// The log or key file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key or its directory can be read or changed by others.
    #[error(transparent)]
    Trust(crate::trust::TrustError),
    /// Another process holds the lock of this very file.
    #[error("the audit log `{}` is locked by another process; give each gateway its own state directory or stop the other one", path.display())]
    Locked {
        /// The log file.
        path: PathBuf,
    },
    /// A key file holds something else than 32 bytes.
    #[error("the key `{}` is not 32 bytes; restore it from a copy or move it away to begin a new one", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
    },
    /// The signing key is gone and its public half is there.
    #[error(
        "`{}` is missing, and its public half `{}` is there; restore the key from a copy, or move the public half away to go on with a new key",
        key.display(),
        public.display()
    )]
    NoKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of its public half.
        public: PathBuf,
    },
    /// The public key is not that of the signing key.
    #[error("`{}` is not the public half of the key beside it; restore both from a copy, or move it away to have it written anew", path.display())]
    PublicKey {
        /// The file of the public key.
        path: PathBuf,
    },
    /// No randomness for a new key or a log's name.
    #[error("the system gave no random bytes for the audit log: {0}")]
    Random(getrandom::Error),
    /// A record could not be written; nothing is forwarded from then on.
    #[error("the audit log cannot be written: {0}")]
    Write(std::io::Error),
    /// An earlier write or sync failed; that is final for this process.
    #[error("the audit log failed earlier; restart the gateway once the disk is well")]
    Broken,
    /// Another log of the directory does not verify.
    #[error("{broken}; where that is known, `portcullis audit acknowledge {} --reason TEXT` records it, and the gateway starts again", quoted(&broken.file))]
    Damaged {
        /// The file and what is wrong with it.
        broken: verify::Broken,
    },
    /// A log that verifies is to be acknowledged as one that does not.
    #[error("`{}` verifies: there is nothing to acknowledge", path.display())]
    Verifies {
        /// The log.
        path: PathBuf,
    },
    /// Something else than a log of a state directory is to be acknowledged.
    #[error("`{}` is no log of a state directory; name a file PREFIX-TIME-PID.jsonl that lies beside `checkpoint.key`", path.display())]
    NotALog {
        /// What was named.
        path: PathBuf,
    },
    /// A reason that says nothing, or too much.
    #[error("a reason is a text of 1 to 1000 bytes")]
    Reason,
    /// The disk is full; what has begun is still recorded.
    #[error("the disk of the audit log is full")]
    Full,
    /// More records wait for the disk than are kept in memory; it goes on once they are there.
    #[error("the disk is so slow that too many records of the audit log wait for it")]
    Behind,
    /// A record could not be put into words (never seen; refused all the same).
    #[error("a record could not be serialized: {0}")]
    Serialize(serde_json::Error),
    /// The thread that syncs could not be started.
    #[error("the thread that syncs the audit log could not be started: {0}")]
    Thread(std::io::Error),
}

/// Where and how the log is kept.
#[derive(Debug)]
pub struct Place<'a> {
    /// The state directory, already checked.
    pub directory: &'a Path,
    /// What the policy says of it.
    pub audit: &'a AuditSpec,
}

/// The open log of this process; cheap to share.
#[derive(Debug, Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
    told: Arc<Told>,
}

/// What the policy of a call says of its records.
#[derive(Debug)]
pub(crate) struct Told {
    /// The policy's SHA-256, in hexadecimal digits.
    policy: String,
    /// Members that are not told in clear.
    redact: Vec<FieldPath>,
    /// How long a write waits for the sinks that the policy requires.
    patience: Duration,
}

/// What every entry of one log shares.
#[derive(Debug)]
pub(crate) struct Shared {
    id: String,
    path: PathBuf,
    calls: AtomicU64,
    /// Calls that have no answer yet.
    open: AtomicUsize,
    book: Arc<Mutex<Book>>,
    syncer: Syncer,
    key: DigestKey,
    sync: Sync,
    tail: Tail,
    clock: Arc<dyn Clock>,
}

impl AuditLog {
    /// The file this process writes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Opens the books for one tool call: from here on it cannot end unlogged.
    #[must_use]
    pub fn entry(&self, agent: &Agent, tool: &str) -> Entry {
        let call = self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(self.shared.id.len() + 8);
        // Writing to a String cannot fail.
        if write!(id, "{}-{call}", self.shared.id).is_err() {
            id.clone_from(&self.shared.id);
        }
        Entry::new(self, id, agent.clone(), capped(tool))
    }

    /// Records a message that never became a call: a bad frame, an unknown method or tool.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written.
    pub fn frame(
        &self,
        agent: &Agent,
        code: i32,
        cause: &str,
        name: Option<&str>,
        unlogged: u64,
    ) -> Result<(), AuditError> {
        let name = name.map(capped);
        let frame = Frame { agent: agent.name(), code, cause, name: name.as_deref(), unlogged };
        self.shared.write(&[Fact::Frame(frame)]).map(drop)
    }

    /// Records what the desk said to a question.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written: the answer must not count.
    pub fn decision(&self, ticket: &Ticket, no: Option<No>, uid: u32, took: Duration) -> Result<(), AuditError> {
        let said = if no.is_none() { "approved" } else { "declined" };
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let decision = Decision { call: &ticket.question.call, code: &ticket.code, said, uid, took_ms };
        self.shared.write(&[Fact::Decision(decision)]).map(drop)
    }

    /// Records that writes were closed, for so long.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written.
    pub fn writes_closed(&self, cooldown: Duration) -> Result<(), AuditError> {
        let writes = Writes { state: "closed", seconds: Some(cooldown.as_secs()), uid: None };
        self.shared.write(&[Fact::Writes(writes)]).map(drop)
    }

    /// Records that a person opened writes.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written: they must stay closed.
    pub fn writes_opened(&self, uid: u32) -> Result<(), AuditError> {
        let writes = Writes { state: "open", seconds: None, uid: Some(uid) };
        self.shared.write(&[Fact::Writes(writes)]).map(drop)
    }

    /// Records how a sink stands.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written.
    pub fn sink(&self, state: &SinkState<'_>) -> Result<(), AuditError> {
        self.shared.write(&[Fact::Sink(state)]).map(drop)
    }

    /// Where sinks follow this log.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.shared.tail.clone()
    }

    /// Ends the log, with a checkpoint over all of it, and waits until that is on disk. `unlogged` counts the bad frames that no
    /// record tells of.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written or synced.
    pub fn stop(&self, reason: &'static str, unlogged: u64) -> Result<(), AuditError> {
        let calls = self.shared.calls.load(Ordering::Relaxed);
        let mut book = self.shared.book.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = self.shared.append_to(&mut book, &[Fact::Stop(Stop { reason, calls, unlogged })])?;
        book.end();
        self.shared.syncer.wrote(book.flush(seq)?);
        drop(book);
        match self.shared.syncer.close_blocking() {
            true => Ok(()),
            false => Err(AuditError::Broken),
        }
    }
}

/// Whether an intent is where it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Safe {
    Yes,
    /// It never will be on disk.
    NotOnDisk,
    /// A sink that the policy requires has not taken it in time.
    NotTaken,
}

impl Shared {
    /// Puts records into the chain; the sequence number of the last. They are in the file after
    /// [`settle`](Self::settle) or the next [`write`](Self::write).
    fn append(&self, facts: &[Fact<'_>]) -> Result<u64, AuditError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        self.append_to(&mut book, facts)
    }

    /// Puts records into the file; the sequence number of the last.
    fn write(&self, facts: &[Fact<'_>]) -> Result<u64, AuditError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = self.append_to(&mut book, facts)?;
        self.syncer.wrote(book.flush(seq)?);
        Ok(seq)
    }

    /// Waits until record `seq` is in the file. Where many calls are open, whoever else is ready puts its records beside
    /// it first, so that they share one `write`.
    async fn settle(&self, seq: u64) -> Result<(), AuditError> {
        if self.open.load(Ordering::Relaxed) > FEW_CALLS {
            tokio::task::yield_now().await;
        }
        self.flush(seq)
    }

    fn flush(&self, seq: u64) -> Result<(), AuditError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        self.syncer.wrote(book.flush(seq)?);
        Ok(())
    }

    /// Waits until record `seq` is where it has to be before what it announces is sent, `patience` long for sinks.
    async fn safe(&self, seq: u64, effect: Effect, patience: Duration) -> Safe {
        let on_disk = match (effect, self.sync) {
            (Effect::Write, _) | (Effect::Read, Sync::Each) => self.syncer.wait(seq).await,
            (Effect::Read, Sync::Writes) => true,
        };
        match (on_disk, effect) {
            (false, _) => Safe::NotOnDisk,
            (true, Effect::Write) if self.tail.is_required() => tokio::select! {
                biased;
                () = self.tail.taken(seq) => Safe::Yes,
                () = self.clock.sleep(patience) => Safe::NotTaken,
            },
            (true, Effect::Write | Effect::Read) => Safe::Yes,
        }
    }

    fn append_to(&self, book: &mut Book, facts: &[Fact<'_>]) -> Result<u64, AuditError> {
        if self.syncer.failed() {
            return Err(AuditError::Broken);
        }
        book.append(self.clock.wall(), facts)
    }
}

fn capped(name: &str) -> String {
    name.chars().take(NAME_CAP).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        digits.extend([byte >> 4, byte & 15].map(|nibble| nibble + if nibble < 10 { b'0' } else { b'a' - 10 }));
    }
    // Digits are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}
