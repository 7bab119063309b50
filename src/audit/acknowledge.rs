//! `portcullis audit acknowledge`: a person says that a log is bad and why, and the gateway may start beside it.
//!
//! Promises: an acknowledgement is a log of its own, signed as every log is, and holds for one file with one content.
//! Refuses one of a log that verifies, and of anything but a log of a state directory. Trusts who can read the signing key.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::disk::System;
use super::note::{KEY_FILE, Signer};
use super::open::Owner;
use super::record::{Acknowledged, Fact};
use super::recover::Left;
use super::verify::{Against, VerifyError, verify, verify_file, whole_logs};
use super::{AuditError, AuditLog, MAX_RECORD, Place, hex, regular, segment};
use crate::clock::Clock;
use crate::policy::{AuditSpec, Sync};

/// What the names of the logs of acknowledgements begin with.
pub(super) const PREFIX: &str = "acknowledge";
/// The longest reason, in bytes.
const MOST_REASON: usize = 1_000;

/// Records that this log does not verify and why that is known; the file of the record.
///
/// # Errors
/// [`AuditError`] for what is no log or verifies, a reason that is none, and what cannot be read or written.
pub fn acknowledge(path: &Path, reason: &str, clock: Arc<dyn Clock>) -> Result<PathBuf, AuditError> {
    if reason.trim().is_empty() || reason.len() > MOST_REASON {
        return Err(AuditError::Reason);
    }
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = &parent.canonicalize().map_err(open)?;
    let real = directory.join(segment::name(path));
    // Keys are made where they are missing, and an acknowledgement lies beside its log: neither belongs anywhere else.
    if !segment::is_log(&real) || !directory.join(KEY_FILE).exists() {
        return Err(AuditError::NotALog { path: path.to_owned() });
    }
    regular::open(&real).map_err(open)?;
    let signer = Signer::load(directory)?;
    let Some(error) = wrong(directory, &real, &Against::key(signer.public().clone())) else {
        return Err(AuditError::Verifies { path: path.to_owned() });
    };
    let (file, sha256, error) = (segment::name(&real), digest(&real).map_err(open)?, error.to_string());
    let audit = AuditSpec {
        prefix: PREFIX.to_owned(),
        sync: Sync::Each,
        max_bytes: u64::MAX,
        max_age: Duration::MAX,
        keep: None,
        sinks: Vec::new(),
    };
    let (hash, patience) = (Sha256::digest("").into(), Duration::ZERO);
    let owner = Owner { policy: PREFIX, hash, text: "", redact: &[], patience };
    let place = Place { directory, audit: &audit };
    let log = AuditLog::begin(&place, &owner, signer, &Left::default(), Arc::new(System), clock)?;
    let uid = rustix::process::getuid().as_raw();
    let fact = Acknowledged { file: &file, sha256: &sha256, error: &error, reason, uid };
    log.shared.write(&[Fact::Acknowledge(fact)])?;
    log.stop("acknowledged", 0)?;
    Ok(log.path().to_owned())
}

/// What is wrong with a file, alone or among those of its log: a start looks at the whole log.
fn wrong(directory: &Path, file: &PathBuf, own: &Against) -> Option<VerifyError> {
    let logs = whole_logs(directory).unwrap_or_default();
    let log = logs.iter().find(|log| log.files().contains(file));
    let whole = log.and_then(|log| verify(log, own, &mut |_| ()).err()).filter(|broken| broken.file == *file);
    whole.map(|broken| broken.error).or_else(|| verify_file(file, own).err())
}

/// Who knows that a log is bad, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Acknowledgement {
    /// The number of the user.
    pub uid: u32,
    /// What they said.
    pub reason: String,
}

#[derive(Deserialize)]
struct Said {
    file: String,
    sha256: String,
    #[serde(flatten)]
    said: Acknowledgement,
}

#[derive(Deserialize)]
struct Kind<'a> {
    kind: &'a str,
}

/// What a log beside this file says of it as it is now; only one that verifies whole under a known key counts.
#[must_use]
pub fn acknowledgement(path: &Path, against: &Against) -> Option<Acknowledgement> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (name, sha256) = (segment::name(path), digest(path).ok()?);
    let logs = directory.read_dir().ok()?.filter_map(|file| Some(file.ok()?.path()));
    let mut logs = logs.filter(|log| segment::has_prefix(log, PREFIX) && log.extension().is_some_and(|e| e == "jsonl"));
    logs.find_map(|log| said(&log, against, &name, &sha256))
}

/// What a log that verifies whole says of that file.
fn said(log: &Path, against: &Against, name: &str, digest: &str) -> Option<Acknowledgement> {
    if !verify_file(log, against).is_ok_and(|summary| summary.is_anchored()) {
        return None;
    }
    let lines = BufReader::new(regular::open(log).ok()?.take(MAX_RECORD)).lines().map_while(Result::ok);
    let said = |line: String| {
        let Kind { kind } = serde_json::from_str(&line).ok()?;
        let said: Said = (kind == "acknowledge").then(|| serde_json::from_str(&line).ok())??;
        (said.file == name && said.sha256 == digest).then_some(said.said)
    };
    lines.filter_map(said).next()
}

fn digest(path: &Path) -> io::Result<String> {
    let mut reader = BufReader::with_capacity(1 << 20, regular::open(path)?);
    let mut hash = Sha256::new();
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(chunk);
        let read = chunk.len();
        reader.consume(read);
    }
}
