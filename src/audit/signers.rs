//! Whose signatures a starting gateway takes at the ends of the logs that others have left.
//!
//! Promises: a log that ended in order is known by its last two records only where its last checkpoint is signed with the directory's
//! own key. Another key counts as an earlier one where a log of the own key names it under a signed checkpoint, or while the own key
//! has signed no log here yet: then it was just made, and whatever ended in order before is of the keys that came before it.
//! Refuses any other key.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;

use super::acknowledge::{self, acknowledgement};
use super::note::PublicKey;
use super::verify::{Against, Broken, End, Fault, Log, Summary, VerifyError, closing, verify};
use super::{AuditError, MAX_RECORD, regular, segment};

/// Two records that end a log are shorter than this.
const END: u64 = 8 << 10;

/// Whose log it is, as the first record of a file says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Named {
    /// The key of the digests.
    pub(super) key: Option<String>,
    #[serde(default)]
    signer: String,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    log: String,
}

impl Named {
    /// What the first record of this file says; nothing where there is none.
    pub(super) fn by(path: &Path) -> Self {
        let read = || {
            let mut line = Vec::new();
            BufReader::new(regular::open(path).ok()?).take(MAX_RECORD).read_until(b'\n', &mut line).ok()?;
            serde_json::from_slice(&line).ok()
        };
        read().unwrap_or_default()
    }
}

/// The keys of a state directory.
#[derive(Debug)]
pub(super) struct Signers<'l> {
    key: &'l PublicKey,
    own: String,
    /// Every log of the directory.
    logs: &'l [Log],
    age: Age,
    earlier: OnceCell<Vec<String>>,
}

/// What the own key has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Nothing yet but acknowledgements.
    New,
    /// At least one log.
    Used,
}

impl<'l> Signers<'l> {
    pub(super) fn of(logs: &'l [Log], key: &'l PublicKey) -> Self {
        let own = key.fingerprint();
        let mut gateways = logs.iter().rev().filter(|log| !segment::has_prefix(log.path(), acknowledge::PREFIX));
        // That a log names it is enough: one that nobody signed must not make the key a new one.
        let age = if gateways.any(|log| names(log).signer == own) { Age::Used } else { Age::New };
        Self { key, own, logs, age, earlier: OnceCell::new() }
    }

    /// Whether a log that ended in order needs no other look than this at its end.
    pub(super) fn know(&self, log: &Log, end: &End) -> Known {
        let Named { signer, policy, log: name, .. } = names(log);
        let is_good = match self.age {
            _ if signer == self.own => {
                end.note.checkpoint.origin == format!("portcullis/{policy}/{name}") && self.key.signed(&end.note)
            }
            Age::New => !signer.is_empty(),
            Age::Used => false,
        };
        if is_good { Known::Good } else { Known::Unknown }
    }

    /// The keys that came before the own one, where this is the first log that it signs: those of the logs that ended in order,
    /// and that of the newest log, which was looked at.
    pub(super) fn before(&self, newest: Option<&Log>) -> Vec<String> {
        if self.age == Age::Used {
            return Vec::new();
        }
        let ended = |log: &&Log| {
            let file = log.files().last().and_then(|path| regular::open(path).ok());
            file.and_then(|file| end(&file).ok()?).is_some_and(|end| end.kind == "stop")
        };
        let signers = self.logs.iter().filter(ended).chain(newest).map(|log| names(log).signer);
        let others: BTreeSet<_> = signers.filter(|signer| !signer.is_empty() && *signer != self.own).collect();
        others.into_iter().collect()
    }

    /// Checks a whole log. `None` for one that is bad and was acknowledged.
    pub(super) fn check(&self, log: &Log) -> Result<Option<Summary>, AuditError> {
        let own = Against::key(self.key.clone());
        let mut found = verify(log, &own, &mut |_| ());
        if let Err(Broken { error: VerifyError::Record { fault: Fault::Signer { .. }, .. }, .. }) = &found {
            let earlier = Against::key(self.key.clone()).earlier(self.earlier(&own).to_vec());
            found = verify(log, &earlier, &mut |_| ());
        }
        match found {
            Ok(summary) => Ok(Some(summary)),
            Err(broken) if acknowledgement(&broken.file, &own).is_some() => Ok(None),
            Err(broken) => Err(AuditError::Damaged { broken }),
        }
    }

    /// The fingerprints of the earlier keys that the logs of the own key name, under checkpoints that it signed.
    fn earlier(&self, own: &Against) -> &[String] {
        self.earlier.get_or_init(|| {
            let mine = self.logs.iter().filter(|log| names(log).signer == self.own);
            mine.filter_map(|log| verify(log, own, &mut |_| ()).ok()).flat_map(|summary| summary.earlier).collect()
        })
    }
}

/// What is known of a log that ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Known {
    /// Its end is that of a log of this directory.
    Good,
    /// It has to be checked whole.
    Unknown,
}

/// Whose log it is, by the file in which it ends.
fn names(log: &Log) -> Named {
    log.last_with_records().map(|path| Named::by(path)).unwrap_or_default()
}

/// How a file ends, where it ends with a checkpoint.
pub(super) fn end(file: &File) -> std::io::Result<Option<End>> {
    let size = file.metadata()?.len();
    let mut end = vec![0; usize::try_from(size.min(END)).unwrap_or_default()];
    file.read_exact_at(&mut end, size.saturating_sub(END))?;
    Ok(closing(&end))
}
