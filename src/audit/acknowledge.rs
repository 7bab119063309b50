//! `portcullis audit acknowledge`: a person says that a log is bad and why, and the gateway may start beside it.
//!
//! Promises: an acknowledgement is a log of its own, signed as every log is, and holds for one file with one content.
//! Refuses one of a log that verifies. Trusts who can read the signing key.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::disk::System;
use super::note::{PublicKey, Signer};
use super::open::Owner;
use super::record::{Acknowledged, Fact};
use super::recover::Left;
use super::verify::{Against, verify_file};
use super::{AuditError, AuditLog, MAX_RECORD, Place, hex, segment};
use crate::clock::Clock;
use crate::policy::{AuditSpec, Sync};

/// What the names of the logs of acknowledgements begin with.
const PREFIX: &str = "acknowledge";
/// The longest reason, in bytes.
const MOST_REASON: usize = 1_000;

/// Records that this log does not verify and why that is known; the file of the record.
///
/// # Errors
/// [`AuditError`] for a log that verifies, a reason that is none, and what cannot be read or written.
pub fn acknowledge(path: &Path, reason: &str, clock: Arc<dyn Clock>) -> Result<PathBuf, AuditError> {
    if reason.trim().is_empty() || reason.len() > MOST_REASON {
        return Err(AuditError::Reason);
    }
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(open)?;
    let directory = real.parent().unwrap_or(Path::new("/"));
    let signer = Signer::load(directory)?;
    let Err(error) = verify_file(&real, &Against::key(signer.public().clone())) else {
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

#[derive(Deserialize)]
struct Said {
    kind: String,
    #[serde(default)]
    file: String,
    #[serde(default)]
    sha256: String,
}

/// Whether a log beside this file acknowledges it as it is.
pub(super) fn is_acknowledged(path: &Path, key: &PublicKey) -> bool {
    let Some(directory) = path.parent() else { return false };
    let (name, Ok(sha256)) = (segment::name(path), digest(path)) else { return false };
    let Ok(files) = directory.read_dir() else { return false };
    let logs = files.filter_map(|file| Some(file.ok()?.path()));
    let mut logs = logs.filter(|log| segment::has_prefix(log, PREFIX) && log.extension().is_some_and(|e| e == "jsonl"));
    logs.any(|log| says_so(&log, key, &name, &sha256))
}

/// Whether a log that verifies whole acknowledges that file.
fn says_so(log: &Path, key: &PublicKey, name: &str, digest: &str) -> bool {
    if !verify_file(log, &Against::key(key.clone())).is_ok_and(|summary| summary.is_anchored()) {
        return false;
    }
    let Ok(file) = File::open(log) else { return false };
    let lines = BufReader::new(file.take(MAX_RECORD)).lines().map_while(Result::ok);
    let mut said = lines.filter_map(|line| serde_json::from_str::<Said>(&line).ok());
    said.any(|said| said.kind == "acknowledge" && said.file == name && said.sha256 == digest)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
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
