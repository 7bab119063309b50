//! The keys of a state directory: files of 32 random bytes, made at first use and shared by all its logs.
//!
//! Promises: of two processes that start at once one key wins, and a key that was made is on disk. Refuses a key that
//! others may read or write, or that is not 32 bytes. Trusts the system's random numbers.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{AuditError, hex};
use crate::trust;

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// Reads the key `name` of `directory`, making one when there is none.
pub(super) fn load(directory: &Path, name: &str) -> Result<Zeroizing<Vec<u8>>, AuditError> {
    let path = directory.join(name);
    let open = |source| AuditError::Open { path: path.clone(), source };
    if !path.try_exists().map_err(open)? {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *key).map_err(AuditError::Random)?;
        place(directory, &path, &*key)?;
    }
    read(&path)
}

/// Reads a key that is there.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, AuditError> {
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let file = trust::open_private(path).map_err(AuditError::Trust)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(open)?;
    if bytes.len() != KEY_BYTES {
        return Err(AuditError::Key { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Puts a file where none is, whole or not at all: made under another name and linked. One that is there stays.
pub(super) fn place(directory: &Path, path: &Path, content: &[u8]) -> Result<(), AuditError> {
    let open = |source| AuditError::Open { path: path.to_owned(), source };
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(AuditError::Random)?;
    // A random name: one that a killed process left behind must not stop the next.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", hex(&random)));
    let draft = Path::new(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(open)?;
    let linked =
        file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| match std::fs::hard_link(draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    std::fs::remove_file(draft).map_err(open)?;
    linked.and_then(|()| File::open(directory)?.sync_all()).map_err(open)
}
