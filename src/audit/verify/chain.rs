//! A log as it is read, record by record: the chain, the Merkle tree, the checkpoints and the calls.

use std::collections::HashSet;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::fault::{Fault, VerifyError};
use super::line::Line;
use super::{Signed, Summary};
use crate::audit::hex;
use crate::audit::merkle::Tree;
use crate::audit::note::{Note, PublicKey};

/// What has been read.
#[derive(Debug, Clone)]
pub(super) struct Chain<'k> {
    keys: &'k [PublicKey],
    /// Checkpoints from elsewhere, of any log.
    others: &'k [Note],
    key: Option<&'k PublicKey>,
    tree: Tree,
    prev: String,
    time: String,
    open: HashSet<String>,
    ends: Ends,
    pub(super) summary: Summary,
}

/// How far the log is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    No,
    /// Only a checkpoint may follow.
    Almost,
    Yes,
}

#[derive(Deserialize)]
struct Start<'a> {
    log: &'a str,
    policy: &'a str,
    signer: &'a str,
}

#[derive(Deserialize)]
struct Checkpoint {
    note: String,
}

impl<'k> Chain<'k> {
    pub(super) fn new(keys: &'k [PublicKey], others: &'k [Note]) -> Self {
        Self {
            keys,
            others,
            key: None,
            tree: Tree::default(),
            prev: "0".repeat(64),
            time: String::new(),
            open: HashSet::new(),
            ends: Ends::No,
            summary: Summary::default(),
        }
    }

    /// Takes the next line, without its end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let line = Line::read(bytes).ok_or(Fault::NotARecord)?;
        if line.seq != self.tree.size() {
            return Err(Fault::Sequence { found: line.seq, expected: self.tree.size() });
        }
        if line.prev != self.prev {
            return Err(Fault::Chain);
        }
        match (self.ends, line.kind) {
            (Ends::No, _) | (Ends::Almost, "checkpoint") => {}
            (Ends::Almost | Ends::Yes, _) => return Err(Fault::AfterEnd),
        }
        self.judge(&line, bytes)?;
        let hash = Sha256::digest(bytes);
        self.prev = hex(&hash);
        line.time.clone_into(&mut self.time);
        self.tree.push(&hash);
        self.summary.records += 1;
        self.summary.tail = if line.kind == "checkpoint" { 0 } else { self.summary.tail + 1 };
        self.compare()
    }

    /// What was found, once there is no more; checkpoints from elsewhere that name more than there is are a cut.
    pub(super) fn finish(mut self) -> Result<Summary, VerifyError> {
        let records = self.tree.size();
        for note in self.others() {
            let size = note.checkpoint.size;
            if !self.believes(note) {
                return Err(VerifyError::Foreign { size });
            }
            if size > records {
                return Err(VerifyError::Cut { records, size });
            }
        }
        self.summary.held = self.others().map(|note| note.checkpoint.size).max();
        self.summary.open = self.open.len() as u64;
        Ok(self.summary)
    }

    /// The checkpoints from elsewhere that are of this log.
    fn others(&self) -> impl Iterator<Item = &'k Note> {
        self.others.iter().filter(|note| note.checkpoint.origin == self.summary.origin)
    }

    /// Whether the key signed it, where there is a key.
    fn believes(&self, note: &Note) -> bool {
        self.key.is_none_or(|key| key.signed(note))
    }

    /// Checks what a kind of record has to be, and where it may stand.
    fn judge(&mut self, line: &Line<'_>, bytes: &[u8]) -> Result<(), Fault> {
        let first = line.seq == 0;
        if first != (line.kind == "start") {
            return Err(Fault::Order);
        }
        let in_order = match line.kind {
            "start" => return self.begin(bytes),
            "checkpoint" => return self.anchor(line, bytes),
            "question" => {
                self.summary.questions += 1;
                self.open.insert(line.call.to_owned())
            }
            "answer" => {
                self.summary.answers += 1;
                self.open.remove(line.call)
            }
            // A call that ended before its question was written has none.
            "abandoned" => {
                self.open.remove(line.call);
                true
            }
            // A person is asked while their call has neither question nor answer in the log.
            "ask" => !self.open.contains(line.call),
            "decision" | "writes" | "frame" | "sink" => true,
            "stop" => {
                self.ends = Ends::Almost;
                self.summary.stopped = true;
                true
            }
            _ => false,
        };
        if in_order { Ok(()) } else { Err(Fault::Order) }
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let start: Start<'_> = serde_json::from_slice(bytes).map_err(|_| Fault::NotARecord)?;
        if !start.signer.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Fault::NotARecord);
        }
        self.summary.origin = format!("portcullis/{}/{}", start.policy, start.log);
        self.key = self.keys.iter().find(|key| key.fingerprint() == start.signer);
        self.summary.signed = if self.key.is_some() { Signed::Proven } else { Signed::Unproven };
        match self.key.is_some() || self.keys.is_empty() {
            true => Ok(()),
            false => Err(Fault::Signer { signer: start.signer.to_owned() }),
        }
    }

    /// Everything in a checkpoint's record is determined by what stands before it and by the key.
    fn anchor(&mut self, line: &Line<'_>, bytes: &[u8]) -> Result<(), Fault> {
        let Checkpoint { note: text } = serde_json::from_slice(bytes).map_err(|_| Fault::NotARecord)?;
        let note = Note::parse(&text).filter(|note| note.text() == text).ok_or(Fault::Checkpoint)?;
        let of_this = note.checkpoint.origin == self.summary.origin
            && note.checkpoint.size == self.tree.size()
            && note.checkpoint.root == self.tree.root()
            && line.time == self.time;
        if !of_this {
            return Err(Fault::Checkpoint);
        }
        if !self.believes(&note) {
            return Err(Fault::Signature);
        }
        if self.ends == Ends::Almost {
            self.ends = Ends::Yes;
        }
        self.summary.checkpoints += 1;
        self.summary.newest = Some(note.line());
        Ok(())
    }

    /// Holds the log against checkpoints from elsewhere of this very size.
    fn compare(&self) -> Result<(), Fault> {
        let size = self.tree.size();
        for note in self.others().filter(|note| note.checkpoint.size == size) {
            if note.checkpoint.root != self.tree.root() {
                return Err(Fault::Rewritten { size });
            }
        }
        Ok(())
    }
}
