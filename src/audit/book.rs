//! The file of one log: lines that each name the hash of the line before.
//!
//! One writer (the lock on the file and the mutex around it), append only. Records are formatted and hashed one by one
//! and handed to the system together, each before what it announces, so a crash leaves whole lines and at most one torn
//! tail.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::disk::{Disk, write_all};
use super::merkle::Hash;
use super::record::{Continue, Fact};
use super::{AuditError, hex};

/// The format's version, the `v` of every record.
pub(super) const VERSION: u8 = 2;
/// Above this the line buffer is given back after use.
const KEEP_BUFFER: usize = 64 << 10;
/// So many records may wait for the tree (8 MiB): more come together only while a sync takes seconds.
const MOST_FRESH: usize = 1 << 18;

/// The chain's state: the next sequence number and the hash that the next record names.
#[derive(Debug)]
pub(super) struct Book {
    disk: Arc<dyn Disk>,
    file: Arc<File>,
    seq: u64,
    prev: String,
    /// When the last record was made.
    time: SystemTime,
    /// Lines that are in the chain and not yet with the system.
    buffer: Vec<u8>,
    /// One more than the last sequence number that the system has.
    written: u64,
    /// Bytes in the file.
    bytes: u64,
    /// The hashes of the records that are not yet in the Merkle tree.
    fresh: Vec<Hash>,
    /// The hash of the policy that took effect last, where that is another than at the start.
    policy: Option<String>,
    /// So many of them may there be before nothing new begins.
    most_fresh: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The disk is full: nothing new begins.
    Full,
    /// The log ended in order: only a checkpoint may follow.
    Ended,
    /// A write failed: half a line may be in the file, and nothing may follow it.
    Broken,
}

impl Book {
    pub(super) fn new(disk: Arc<dyn Disk>, file: Arc<File>) -> Self {
        Self {
            disk,
            file,
            seq: 0,
            prev: "0".repeat(64),
            time: SystemTime::UNIX_EPOCH,
            buffer: Vec::with_capacity(2048),
            written: 0,
            bytes: 0,
            fresh: Vec::new(),
            policy: None,
            most_fresh: MOST_FRESH,
            state: State::Open,
        }
    }

    /// Puts records at the end of the chain, to be written by [`flush`](Self::flush); the sequence number of the last.
    pub(super) fn append(&mut self, time: SystemTime, facts: &[Fact<'_>]) -> Result<u64, AuditError> {
        match self.state {
            // What has begun is ended all the same.
            State::Open if self.fresh.len() >= self.most_fresh && facts.iter().any(Fact::is_new) => {
                Err(AuditError::Behind)
            }
            State::Full if facts.iter().any(Fact::is_new) => Err(AuditError::Full),
            State::Open | State::Full => self.add(time, facts),
            State::Ended | State::Broken => Err(AuditError::Broken),
        }
    }

    /// Puts a checkpoint at the end of the chain, which may have ended. It has the time of the record before it, so that
    /// nothing in it is not covered by what it signs.
    pub(super) fn anchor(&mut self, note: &str) -> Result<u64, AuditError> {
        match self.state {
            State::Open | State::Full | State::Ended => self.add(self.time, &[Fact::Checkpoint { note }]),
            State::Broken => Err(AuditError::Broken),
        }
    }

    /// The hash of the policy in force, where it is another than at the start.
    pub(super) fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Bytes in the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.seq
    }

    /// Whether records may follow.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Goes on in another file with its first record; the sequence number of that.
    pub(super) fn turn(&mut self, file: Arc<File>, time: SystemTime, first: Continue<'_>) -> Result<u64, AuditError> {
        self.file = file;
        self.bytes = 0;
        let seq = self.add(time, &[Fact::Continue(first)])?;
        self.flush(seq)
    }

    /// Lets nothing but a checkpoint follow.
    pub(super) fn end(&mut self) {
        if self.state != State::Broken {
            self.state = State::Ended;
        }
    }

    /// Says that the disk is full, and lets nothing new begin; the sequence number of that record.
    pub(super) fn fill(&mut self, time: SystemTime) -> Result<u64, AuditError> {
        let seq = self.append(time, &[Fact::Full {}])?;
        if self.state == State::Open {
            self.state = State::Full;
        }
        self.flush(seq)
    }

    /// The hashes of the records since this was asked last, in order.
    pub(super) fn take_fresh(&mut self) -> Vec<Hash> {
        std::mem::take(&mut self.fresh)
    }

    /// Hands everything up to record `seq` to the system, unless somebody else has; the last record that it has.
    pub(super) fn flush(&mut self, seq: u64) -> Result<u64, AuditError> {
        if self.state == State::Broken {
            return Err(AuditError::Broken);
        }
        if self.written <= seq {
            if let Err(error) = write_all(&*self.disk, &self.file, &self.buffer) {
                self.state = State::Broken;
                return Err(AuditError::Write(error));
            }
            self.written = self.seq;
            self.bytes += self.buffer.len() as u64;
            self.buffer.clear();
            if self.buffer.capacity() > KEEP_BUFFER {
                self.buffer = Vec::new();
            }
        }
        Ok(self.written.saturating_sub(1))
    }

    fn add(&mut self, time: SystemTime, facts: &[Fact<'_>]) -> Result<u64, AuditError> {
        let (lines, hashes) = (self.buffer.len(), self.fresh.len());
        let (mut seq, mut prev) = (self.seq, None);
        for fact in facts {
            match self.format(time, fact, seq, prev.as_deref()) {
                Ok(hash) => {
                    prev = Some(hash);
                    if let Fact::Policy(change) = fact {
                        self.policy = Some(change.now.to_owned());
                    }
                }
                Err(error) => {
                    self.buffer.truncate(lines);
                    self.fresh.truncate(hashes);
                    return Err(error);
                }
            }
            seq += 1;
        }
        self.seq = seq;
        self.time = time;
        self.prev = prev.unwrap_or_else(|| std::mem::take(&mut self.prev));
        Ok(seq.saturating_sub(1))
    }

    /// Puts one line at the end of the buffer; its hash. `prev` is that of the line before it, where that is new as well.
    fn format(
        &mut self,
        time: SystemTime,
        fact: &Fact<'_>,
        seq: u64,
        prev: Option<&str>,
    ) -> Result<String, AuditError> {
        let begin = self.buffer.len();
        let time = humantime::format_rfc3339_millis(time);
        let prev = prev.unwrap_or(&self.prev);
        write!(self.buffer, "{{\"v\":{VERSION},\"seq\":{seq},\"time\":\"{time}\",\"prev\":\"{prev}\"")
            .map_err(AuditError::Write)?;
        let join = self.buffer.len();
        serde_json::to_writer(&mut self.buffer, fact).map_err(AuditError::Serialize)?;
        // The fact's own `{` becomes the comma between the chain's members and its own.
        if let Some(brace) = self.buffer.get_mut(join) {
            *brace = b',';
        }
        let hash = Sha256::digest(self.buffer.get(begin..).unwrap_or_default());
        self.buffer.push(b'\n');
        self.fresh.push(hash.into());
        Ok(hex(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::disk::System;
    use crate::audit::record::{Abandoned, Frame};

    #[test]
    fn while_the_tree_lags_nothing_new_begins_and_what_has_begun_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(System);
        let file = Arc::new(disk.create(&directory.path().join("log")).unwrap());
        let mut book = Book::new(disk, file);
        book.most_fresh = 3;
        let new = || Fact::Frame(Frame { agent: "a", code: -32600, cause: "c", name: None, unlogged: 0 });
        let end = || Fact::Abandoned(Abandoned { call: "c", agent: "a", tool: "t", asked: true, duration_us: 1 });
        let now = SystemTime::UNIX_EPOCH;
        for seq in 0..3 {
            assert_eq!(book.append(now, &[new()]).unwrap(), seq);
        }
        assert!(matches!(book.append(now, &[new()]), Err(AuditError::Behind)));
        assert!(
            matches!(book.append(now, &[end(), new()]), Err(AuditError::Behind)),
            "one that is new is one too many"
        );
        assert_eq!(book.append(now, &[end()]).unwrap(), 3, "and no number was used up");
        assert!(matches!(book.append(now, &[new()]), Err(AuditError::Behind)));
        assert_eq!(book.take_fresh().len(), 4);
        assert_eq!(book.append(now, &[new()]).unwrap(), 4, "it goes on once the tree has them");
        book.flush(4).unwrap();
        let text = std::fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}
