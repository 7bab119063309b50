//! The file of one log: lines that each name the hash of the line before.
//!
//! One writer (the lock on the file and the mutex around it), append only. Records are formatted and hashed one by one
//! and handed to the system together, each before what it announces, so a crash leaves whole lines and at most one torn
//! tail.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::record::Fact;
use super::{AuditError, hex};

/// The format's version, the `v` of every record.
pub(super) const VERSION: u8 = 1;
/// Above this the line buffer is given back after use.
const KEEP_BUFFER: usize = 64 << 10;

/// The chain's state: the next sequence number and the hash that the next record names.
#[derive(Debug)]
pub(super) struct Book {
    file: File,
    seq: u64,
    prev: String,
    /// Lines that are in the chain and not yet with the system.
    buffer: Vec<u8>,
    /// One more than the last sequence number that the system has.
    written: u64,
    broken: bool,
}

impl Book {
    pub(super) fn new(file: File) -> Self {
        Self { file, seq: 0, prev: "0".repeat(64), buffer: Vec::with_capacity(2048), written: 0, broken: false }
    }

    /// Puts records at the end of the chain, to be written by [`flush`](Self::flush); the sequence number of the last.
    pub(super) fn append(&mut self, time: SystemTime, facts: &[Fact<'_>]) -> Result<u64, AuditError> {
        if self.broken {
            return Err(AuditError::Broken);
        }
        let before = self.buffer.len();
        let (mut seq, mut prev) = (self.seq, None);
        for fact in facts {
            match self.format(time, fact, seq, prev.as_deref()) {
                Ok(hash) => prev = Some(hash),
                Err(error) => {
                    self.buffer.truncate(before);
                    return Err(error);
                }
            }
            seq += 1;
        }
        self.seq = seq;
        self.prev = prev.unwrap_or_else(|| std::mem::take(&mut self.prev));
        Ok(seq.saturating_sub(1))
    }

    /// Hands everything up to record `seq` to the system, unless somebody else has; the last record that it has.
    pub(super) fn flush(&mut self, seq: u64) -> Result<u64, AuditError> {
        if self.broken {
            return Err(AuditError::Broken);
        }
        if self.written <= seq {
            if let Err(error) = self.file.write_all(&self.buffer) {
                // Half a line may be in the file: nothing may follow it.
                self.broken = true;
                return Err(AuditError::Write(error));
            }
            self.written = self.seq;
            self.buffer.clear();
            if self.buffer.capacity() > KEEP_BUFFER {
                self.buffer = Vec::new();
            }
        }
        Ok(self.written.saturating_sub(1))
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
        Ok(hex(&hash))
    }
}

/// Creates the log file (never an existing one, never through a link), takes its lock, syncs its directory.
pub(super) fn create(path: &Path) -> Result<File, AuditError> {
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(i32::from_ne_bytes(flags.bits().to_ne_bytes()))
        .open(path)
        .map_err(open)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(AuditError::Locked { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => return Err(open(source)),
    }
    if let Some(directory) = path.parent() {
        File::open(directory).and_then(|d| d.sync_all()).map_err(open)?;
    }
    Ok(file)
}
