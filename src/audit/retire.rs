//! Which files of older logs may go.
//!
//! Promises: only a file that ends with a checkpoint over all of it, that no process writes, whose last record is older than the policy
//! keeps them, that verifies whole under the directory's own key, and that no sink waits for; and a record of this log names it,
//! its size and its last record's hash before it is deleted. What does not verify stays, which is said once. A file is read on a
//! thread of its own, since whoever waits for the disk must not wait for that. The time of a file is that of its last record,
//! which is signed: nobody can age a file by its name or times.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, SystemTime};

use super::note::PublicKey;
use super::signers::end;
use super::verify::{Against, VerifyError, logs, verify_file};
use super::{disk, recover, segment, tail};

/// What is kept for how long, and the search for what is not.
#[derive(Debug)]
pub(super) struct Retention {
    rule: Rule,
    search: Option<Receiver<Found>>,
    /// The files of which was said that they stay.
    named: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// The names of the logs begin with it.
    prefix: String,
    keep: Duration,
    key: PublicKey,
}

/// A file that may go.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) size: u64,
    /// The hash of its last record.
    pub(super) hash: String,
    /// Whether it is the last of its log.
    pub(super) last: bool,
}

/// What a search has found.
#[derive(Debug, Default)]
struct Found {
    old: Vec<Old>,
    /// Those that do not verify.
    bad: Vec<(String, VerifyError)>,
}

impl Retention {
    pub(super) fn new(prefix: String, keep: Duration, key: PublicKey) -> Self {
        Self { rule: Rule { prefix, keep, key }, search: None, named: BTreeSet::new() }
    }

    /// Begins to look for files that may go, all but `own`.
    pub(super) fn begin(&mut self, own: &Path, now: SystemTime) {
        let (sender, search) = channel();
        let (rule, own) = (self.rule.clone(), own.to_owned());
        // Nobody may be there any more to be told.
        let work = move || sender.send(rule.expired(&own, now)).unwrap_or_default();
        match std::thread::Builder::new().name("audit-retire".into()).spawn(work) {
            Ok(_) => self.search = Some(search),
            Err(error) => tracing::warn!(%error, "old files of the audit log could not be looked for"),
        }
    }

    /// Whether a search has not told yet what it found.
    pub(super) fn is_searching(&self) -> bool {
        self.search.is_some()
    }

    /// What was found since, and what is not kept for another reason is said once.
    pub(super) fn found(&mut self) -> Vec<Old> {
        let Found { old, bad } = match self.search.as_ref().map(Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => return Vec::new(),
            Some(Ok(found)) => found,
            Some(Err(TryRecvError::Disconnected)) => Found::default(),
        };
        self.search = None;
        for (file, error) in bad {
            if self.named.insert(file.clone()) {
                tracing::warn!(%error, file, "an old file of the audit log does not verify, and is kept for that");
            }
        }
        old
    }
}

impl Rule {
    /// The files of a directory that may go, all but `own`.
    fn expired(&self, own: &Path, now: SystemTime) -> Found {
        let mut found = Found::default();
        let Some(files) = own.parent().and_then(|directory| logs(directory).ok()) else { return found };
        let others = files.into_iter().filter(|path| segment::has_prefix(path, &self.prefix) && path != own);
        // In order, and none before the one that it follows: what is left of a log is its end.
        let mut kept = None;
        for path in others {
            let log = segment::first(&path).0;
            if kept.as_ref() == Some(&log) {
                continue;
            }
            let name = segment::name(&path);
            // A file that cannot be looked at stays.
            match self.old(path, now).unwrap_or(Look::Stays) {
                Look::Old(file) => found.old.push(file),
                Look::Stays => kept = Some(log),
                Look::Bad(error) => {
                    kept = Some(log);
                    found.bad.push((name, error));
                }
            }
        }
        found
    }

    fn old(&self, path: PathBuf, now: SystemTime) -> io::Result<Look> {
        let file = recover::open_log(&path).map_err(io::Error::other)?;
        let Some(end) = end(&file)?.filter(|end| matches!(&*end.kind, "stop" | "rotate")) else {
            return Ok(Look::Stays);
        };
        let age = now.duration_since(end.time).unwrap_or_default();
        if age < self.keep || !disk::lock(&file)? || tail::is_waited_for(&path)? {
            return Ok(Look::Stays);
        }
        let size = file.metadata()?.len();
        // Nobody writes it: a gateway that starts may look at it while it is read here.
        drop(file);
        Ok(match verify_file(&path, &Against::key(self.key.clone())) {
            Err(error) => Look::Bad(error),
            Ok(summary) if !summary.is_anchored() => Look::Stays,
            Ok(_) => {
                Look::Old(Old { name: segment::name(&path), path, size, hash: end.hash, last: end.kind == "stop" })
            }
        })
    }
}

/// What is known of a file.
#[derive(Debug)]
enum Look {
    /// It may go.
    Old(Old),
    /// It stays.
    Stays,
    /// It would go, and does not verify.
    Bad(VerifyError),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::disk::System;
    use crate::audit::note::Signer;
    use crate::audit::open::Owner;
    use crate::audit::record::{Fact, Frame};
    use crate::audit::recover::Left;
    use crate::audit::{AuditLog, Place};
    use crate::clock::{Clock, ManualClock};
    use crate::policy::{AuditSpec, Sync};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn begin(directory: &Path, clock: &ManualClock) -> AuditLog {
        let signer = Signer::load(directory).unwrap();
        let (max_age, sinks, prefix) = (Duration::from_secs(3600), Vec::new(), "audit".to_owned());
        let audit = AuditSpec { prefix, sync: Sync::Each, max_bytes: u64::MAX, max_age, keep: Some(DAY), sinks };
        let owner = Owner { policy: "test", hash: [0; 32], text: "", redact: &[], patience: Duration::ZERO };
        let place = Place { directory, audit: &audit };
        AuditLog::begin(&place, &owner, signer, &Left::default(), Arc::new(System), Arc::new(clock.clone())).unwrap()
    }

    /// A log that ended in order.
    fn ended(directory: &Path, clock: &ManualClock) -> PathBuf {
        let log = begin(directory, clock);
        let frame = Frame { agent: "stdio:uid=1", code: -32600, cause: "no JSON", name: None, unlogged: 0 };
        log.shared.write(&[Fact::Frame(frame)]).unwrap();
        log.stop("end of input", 0).unwrap();
        clock.advance(Duration::from_secs(1));
        log.path().to_owned()
    }

    fn clock() -> ManualClock {
        ManualClock::new(SystemTime::UNIX_EPOCH + DAY * 20_000)
    }

    fn set_modified(path: &Path, time: SystemTime) {
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn what_the_policy_does_not_keep_is_deleted_after_a_record_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let clock = clock();
        let old = ended(directory.path(), &clock);
        set_modified(&old, clock.wall() + DAY * 7);
        let head = segment::head(&old);
        assert!(head.exists());
        clock.advance(DAY);
        let young = ended(directory.path(), &clock);
        set_modified(&young, SystemTime::UNIX_EPOCH);
        let log = begin(directory.path(), &clock);
        // It is deleted though nothing more is written.
        let mut waits = 0..1_000;
        while old.exists() && waits.next().is_some() {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!old.exists() && !head.exists() && young.exists(), "by the times of the records");
        let text = std::fs::read_to_string(log.path()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let retired = lines.iter().position(|line| line.contains("\"kind\":\"retired\"")).unwrap();
        assert!(
            lines[retired + 1].contains("\"kind\":\"checkpoint\""),
            "it counts as soon as the file is gone: {text}"
        );
        assert!(text.contains(&segment::name(&old)) && !text.contains(&segment::name(&young)), "{text}");
        log.stop("end of input", 0).unwrap();
    }

    #[test]
    fn an_old_file_that_does_not_verify_is_never_deleted_and_that_is_said_once() {
        let other = tempfile::tempdir().unwrap();
        let foreign = ended(other.path(), &clock());
        type Change<'a> = &'a dyn Fn(&Path);
        let inside = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap();
            std::fs::write(path, text.replace("no JSON", "no XML!")).unwrap();
        };
        let signature = |path: &Path| {
            let mut text = std::fs::read(path).unwrap();
            let at = text.len() - 30;
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            std::fs::write(path, text).unwrap();
        };
        let exchanged = |path: &Path| {
            std::fs::copy(&foreign, path).unwrap();
            std::fs::copy(segment::head(&foreign), segment::head(path)).unwrap();
        };
        for (name, change) in
            [("inside", &inside as Change<'_>), ("signature", &signature), ("another key's", &exchanged)]
        {
            let directory = tempfile::tempdir().unwrap();
            let (clock, own) = (clock(), directory.path().join("audit-20991231T000000.000Z-1.jsonl"));
            let path = ended(directory.path(), &clock);
            let key = Signer::load(directory.path()).unwrap().public().clone();
            let mut retention = Retention::new("audit".into(), DAY, key);
            let late = clock.wall() + DAY;
            assert_eq!(retention.rule.expired(&own, late).old.len(), 1, "{name}: as it was written");
            assert!(retention.rule.expired(&own, late - DAY).old.is_empty(), "{name}: it is young");
            change(&path);
            let found = retention.rule.expired(&own, late);
            assert!(found.old.is_empty() && found.bad.len() == 1, "{name}: {found:?}");
            for _ in 0..2 {
                retention.begin(&own, late);
                while retention.is_searching() {
                    assert!(retention.found().is_empty(), "{name}");
                }
                assert_eq!(retention.named.len(), 1, "{name}");
            }
        }
    }
}
