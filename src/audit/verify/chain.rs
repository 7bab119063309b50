//! A log as it is read, record by record: the chain, the Merkle tree, the checkpoints and the calls.

use std::collections::HashSet;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::fault::{Fault, VerifyError};
use super::line::Line;
use super::place::Scope;
use super::{Against, FileEnd, Signed, Summary};
use crate::audit::hex;
use crate::audit::merkle::{Hash, Tree};
use crate::audit::note::{Note, PublicKey};

/// What has been read.
#[derive(Debug, Clone)]
pub(super) struct Chain<'k> {
    keys: &'k [PublicKey],
    /// The fingerprints of keys that are not there and whose logs are taken all the same.
    earlier: &'k [String],
    /// Checkpoints from elsewhere, of any log, and those of this one.
    all: &'k [Note],
    others: Vec<&'k Note>,
    key: Option<&'k PublicKey>,
    tree: Tree,
    prev: String,
    time: String,
    /// The hash of the policy in force.
    policy: String,
    open: HashSet<String>,
    ends: Ends,
    /// Whether the next record is the first of its file.
    fresh: bool,
    claims: Claims,
    pub(super) summary: Summary,
}

/// What records say of other files and keys, and no checkpoint covers yet.
#[derive(Debug, Clone, Default)]
struct Claims {
    retired: Vec<FileEnd>,
    earlier: Vec<String>,
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
    policy_hash: &'a str,
    signer: &'a str,
}

#[derive(Deserialize)]
struct Continue<'a> {
    log: &'a str,
    policy: &'a str,
    policy_hash: &'a str,
    signer: &'a str,
    before: String,
    note: String,
    peaks: Vec<&'a str>,
}

#[derive(Deserialize)]
struct PolicyChange<'a> {
    before: &'a str,
    now: &'a str,
}

#[derive(Deserialize)]
struct Rotate {
    next: String,
}

#[derive(Deserialize)]
struct Key<'a> {
    of: &'a str,
    before: String,
}

#[derive(Deserialize)]
struct Checkpoint {
    note: String,
}

impl<'k> Chain<'k> {
    pub(super) fn new(against: &'k Against, all: &'k [Note]) -> Self {
        Self {
            keys: &against.keys,
            earlier: &against.earlier,
            all,
            others: Vec::new(),
            key: None,
            tree: Tree::default(),
            prev: "0".repeat(64),
            time: String::new(),
            policy: String::new(),
            open: HashSet::new(),
            ends: Ends::No,
            fresh: true,
            claims: Claims::default(),
            summary: Summary::default(),
        }
    }

    /// Begins the next file, which has this name.
    pub(super) fn turn(&mut self, name: &str) -> Result<(), VerifyError> {
        let expected = self.ends == Ends::Yes && self.summary.next.as_deref() == Some(name);
        if !expected && self.tree.size() > 0 {
            return Err(VerifyError::Unnamed);
        }
        (self.ends, self.fresh, self.summary.next) = (Ends::No, true, None);
        Ok(())
    }

    /// Whether the file ended in order, so that nothing may follow in it.
    pub(super) fn has_ended(&self) -> bool {
        self.ends == Ends::Yes
    }

    /// The file in which the log goes on.
    pub(super) fn next(&self) -> Option<&str> {
        self.summary.next.as_deref()
    }

    /// Takes the next line, without its end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let line = Line::read(bytes).ok_or(Fault::NotARecord)?;
        let first = std::mem::take(&mut self.fresh);
        if first && line.kind == "continue" {
            self.go_on(&line, bytes)?;
        }
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
        self.judge(&line, first, bytes)?;
        let hash = Sha256::digest(bytes);
        self.prev = hex(&hash);
        line.time.clone_into(&mut self.time);
        self.tree.push(&hash);
        self.summary.records += 1;
        self.summary.tail = if line.kind == "checkpoint" { 0 } else { self.summary.tail + 1 };
        self.compare()
    }

    /// What was found, once there is no more; checkpoints from elsewhere that name more than there is are a cut, unless
    /// only this one file was looked at and the log goes on.
    pub(super) fn finish(mut self, scope: Scope) -> Result<Summary, VerifyError> {
        let records = self.tree.size();
        for note in &self.others {
            let size = note.checkpoint.size;
            if !self.believes(note) {
                return Err(VerifyError::Foreign { size });
            }
            // It was made of a record that is on disk: where that one is missing, the end is. A file that was named alone and goes on
            // in another need not hold it.
            let elsewhere = scope == Scope::One && self.summary.next.is_some() && self.has_ended() && size > records;
            if size >= records && !elsewhere {
                return Err(VerifyError::Cut { records, size });
            }
        }
        let within = |size: &u64| (self.summary.first..=records).contains(size);
        self.summary.held = self.others.iter().map(|note| note.checkpoint.size).filter(within).max();
        self.summary.open = self.open.len() as u64;
        Ok(self.summary)
    }

    /// Whether the key signed it, where there is a key.
    fn believes(&self, note: &Note) -> bool {
        self.key.is_none_or(|key| key.signed(note))
    }

    /// Checks what a kind of record has to be, and where it may stand.
    fn judge(&mut self, line: &Line<'_>, first: bool, bytes: &[u8]) -> Result<(), Fault> {
        if first != matches!(line.kind, "start" | "continue") {
            return Err(Fault::Order);
        }
        let in_order = match line.kind {
            "start" if line.seq == 0 => return self.begin(bytes),
            "continue" => true,
            "checkpoint" => return self.anchor(line, bytes),
            "question" => {
                self.summary.questions += 1;
                self.open.insert(line.call.to_owned())
            }
            "answer" => {
                self.summary.answers += 1;
                self.open.remove(line.call) || self.summary.first > 0
            }
            // A call that ended before its question was written has none.
            "abandoned" => {
                self.open.remove(line.call);
                true
            }
            // A person is asked while their call has neither question nor answer in the log.
            "ask" => !self.open.contains(line.call),
            "decision" | "writes" | "frame" | "sink" | "torn" | "acknowledge" | "clock" | "full" => true,
            "key" | "retired" => self.claim(line.kind, bytes)?,
            "policy" => {
                let change: PolicyChange<'_> = serde_json::from_slice(bytes).map_err(|_| Fault::NotARecord)?;
                let known = std::mem::replace(&mut self.policy, change.now.to_owned());
                change.before == known
            }
            "rotate" => {
                let rotate: Rotate = serde_json::from_slice(bytes).map_err(|_| Fault::NotARecord)?;
                self.ends = Ends::Almost;
                self.summary.next = Some(rotate.next);
                true
            }
            "stop" => {
                self.ends = Ends::Almost;
                self.summary.stopped = true;
                true
            }
            _ => false,
        };
        if in_order { Ok(()) } else { Err(Fault::Order) }
    }

    /// Keeps what a record says of another file or key, until a checkpoint covers it.
    fn claim(&mut self, kind: &str, bytes: &[u8]) -> Result<bool, Fault> {
        let not = |_| Fault::NotARecord;
        if kind == "retired" {
            self.claims.retired.push(serde_json::from_slice(bytes).map_err(not)?);
            return Ok(true);
        }
        let key: Key<'_> = serde_json::from_slice(bytes).map_err(not)?;
        if key.of == "checkpoints" {
            self.claims.earlier.push(key.before);
        }
        Ok(true)
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let start: Start<'_> = serde_json::from_slice(bytes).map_err(|_| Fault::NotARecord)?;
        start.policy_hash.clone_into(&mut self.policy);
        self.belongs(start.policy, start.log, start.signer)
    }

    fn belongs(&mut self, policy: &str, log: &str, signer: &str) -> Result<(), Fault> {
        if !signer.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Fault::NotARecord);
        }
        self.summary.origin = format!("portcullis/{policy}/{log}");
        self.others = self.all.iter().filter(|note| note.checkpoint.origin == self.summary.origin).collect();
        self.key = self.keys.iter().find(|key| key.fingerprint() == signer);
        self.summary.signed = if self.key.is_some() { Signed::Proven } else { Signed::Unproven };
        match self.key.is_some() || self.keys.is_empty() || self.earlier.iter().any(|earlier| earlier == signer) {
            true => Ok(()),
            false => Err(Fault::Signer { signer: signer.to_owned() }),
        }
    }

    /// Takes the state of the tree from the first record of a file, or holds what was read before against it.
    fn go_on(&mut self, line: &Line<'_>, bytes: &[u8]) -> Result<(), Fault> {
        let first: Continue<'_> = serde_json::from_slice(bytes).map_err(|_| Fault::NotARecord)?;
        let note = Note::parse(&first.note).filter(|note| note.text() == first.note).ok_or(Fault::Checkpoint)?;
        let peaks = first.peaks.iter().map(|peak| unhex(peak)).collect::<Option<_>>().ok_or(Fault::NotARecord)?;
        let mut tree = Tree::restore(note.checkpoint.size, peaks).ok_or(Fault::Checkpoint)?;
        if tree.root() != note.checkpoint.root {
            return Err(Fault::Checkpoint);
        }
        // The last record of the file before is the checkpoint itself; its hash is the one that this record names.
        tree.push(&unhex(line.prev).ok_or(Fault::NotARecord)?);
        let alone = self.tree.size() == 0;
        let known = std::mem::take(&mut self.summary.origin);
        self.belongs(first.policy, first.log, first.signer)?;
        let of_this = note.checkpoint.origin == self.summary.origin
            && if alone {
                line.seq == tree.size()
            } else {
                known == self.summary.origin && tree == self.tree && first.policy_hash == self.policy
            };
        if !of_this {
            return Err(Fault::Checkpoint);
        }
        if !self.believes(&note) {
            return Err(Fault::Signature);
        }
        if alone {
            line.prev.clone_into(&mut self.prev);
            self.summary.first = line.seq;
            self.summary.before = Some(FileEnd { file: first.before, hash: line.prev.to_owned() });
            first.policy_hash.clone_into(&mut self.policy);
            self.tree = tree;
        }
        Ok(())
    }

    /// Everything in a checkpoint's record is determined by what stands before it and by the key.
    fn anchor(&mut self, line: &Line<'_>, bytes: &[u8]) -> Result<(), Fault> {
        let note = note(bytes).ok_or(Fault::Checkpoint)?;
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
        if self.key.is_some() {
            self.summary.retired.append(&mut self.claims.retired);
            self.summary.earlier.append(&mut self.claims.earlier);
        }
        self.summary.checkpoints += 1;
        self.summary.newest = Some(note.line());
        Ok(())
    }

    /// Holds the log against checkpoints from elsewhere of this very size.
    fn compare(&self) -> Result<(), Fault> {
        let size = self.tree.size();
        for note in self.others.iter().filter(|note| note.checkpoint.size == size) {
            if note.checkpoint.root != self.tree.root() {
                return Err(Fault::Rewritten { size });
            }
        }
        Ok(())
    }
}

/// The checkpoint that a record holds, in its one form.
pub(super) fn note(record: &[u8]) -> Option<Note> {
    let Checkpoint { note } = serde_json::from_slice(record).ok()?;
    Note::parse(&note).filter(|parsed| parsed.text() == note)
}

fn unhex(digits: &str) -> Option<Hash> {
    let mut bytes = Hash::default();
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (hex(&bytes) == digits).then_some(bytes)
}
