//! The small files in the state directory that several gateways write in turn, under a short exclusive lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::trust::{self, TrustError};

/// How often, and how far apart, a lock that another process holds is tried: a fifth of a second in all.
pub(super) const TRIES: u32 = 20;
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// Why a file cannot be locked.
#[derive(Debug)]
pub(super) enum LockError {
    /// Others may write it, or it is a link.
    Trust(TrustError),
    /// It cannot be opened or locked.
    Unusable(io::Error),
    /// Another process holds the lock for longer than it should.
    Busy,
}

/// The file, made where there is none, checked, and locked until it is dropped.
pub(super) fn lock(path: &Path) -> Result<File, LockError> {
    for _ in 0..TRIES {
        match try_lock(path) {
            Err(LockError::Busy) => std::thread::sleep(PAUSE),
            tried => return tried,
        }
    }
    Err(LockError::Busy)
}

/// The same, without waiting for another process.
pub(super) fn try_lock(path: &Path) -> Result<File, LockError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path).map_err(LockError::Unusable)?;
    trust::check_private(&file, path).map_err(LockError::Trust)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Busy),
        Err(TryLockError::Error(source)) => Err(LockError::Unusable(source)),
    }
}
