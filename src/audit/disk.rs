//! What the log changes on disk, one operation each, so that a test can fail, tear or delay every one of them. Not among them:
//! reading, locks, the keys, which are made before there is a log, and the cursors of sinks, which are no part of it.
//!
//! Promises: a log file is created new or not at all, never through a link, for its owner alone, and its lock is held.
//! Trusts the file system to do what it says it did.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The operations.
pub(super) trait Disk: Debug + Send + Sync {
    /// Creates a file that was not there, to append to it.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Hands bytes to the system; it may take fewer.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize>;
    /// Brings what was written to disk (on macOS by `F_FULLFSYNC`, which std's `sync_data` is there).
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Puts a file in the place of another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Cuts a file off.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Reserves space for so many bytes behind the end of a file, which stays as long as it is.
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Brings the names of a directory to disk.
    fn sync_names(&self, directory: &Path) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(super) struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        options.custom_flags(i32::from_ne_bytes(flags.bits().to_ne_bytes())).open(path)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        let end = file.metadata()?.len();
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, end, bytes).map_err(io::Error::from)
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, _file: &File, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

/// Writes all of `bytes`.
pub(super) fn write_all(disk: &dyn Disk, file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Space that is reserved behind the end of a log.
const AHEAD: u64 = 4 << 20;
/// It is reserved anew when less than this is left: more than is written between two looks at it.
const LOW: u64 = 2 << 20;

/// How far a log may grow before space has to be reserved again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// To this size.
    Until(u64),
    /// The file system reserves none; it is written as long as that works.
    Unknown,
    /// The disk is full. What is left of the last reservation is for the ends of what has begun.
    None,
}

impl Room {
    /// Reserves space behind the `size` bytes of a file, where little is left.
    pub(super) fn renew(self, disk: &dyn Disk, file: &File, size: u64) -> Self {
        match self {
            Self::Until(end) if end.saturating_sub(size) < LOW => {}
            Self::Until(_) | Self::Unknown | Self::None => return self,
        }
        match disk.reserve(file, AHEAD) {
            Ok(()) => Self::Until(size + AHEAD),
            Err(error) if is_full(&error) => Self::None,
            Err(_) => Self::Unknown,
        }
    }
}

/// Whether an error says that there is no space, for this user or at all.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Puts a file with this content in the place of whatever has its name, whole or not at all.
pub(super) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = Path::new(&draft);
    match disk.remove(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = disk.create(draft)?;
    write_all(disk, &file, content)?;
    disk.sync(&file)?;
    disk.rename(draft, path)?;
    disk.sync_names(path.parent().unwrap_or(Path::new(".")))
}

/// Takes the lock that says that a process writes this file; false where another one holds it.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the file that is held is still the one of this name: a log that was moved or deleted holds what nobody will find.
pub(super) fn is_in_place(file: &File, path: &Path) -> io::Result<bool> {
    let (held, found) = (file.metadata()?, path.symlink_metadata()?);
    Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_gets_no_lock_and_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let first = System.create(&path).unwrap();
        assert!(lock(&first).unwrap());
        assert_eq!(System.create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let second = OpenOptions::new().append(true).open(&path).unwrap();
        assert!(!lock(&second).unwrap(), "two processes hold it");
        drop(first);
        assert!(lock(&second).unwrap(), "the lock goes with its holder");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert!(System.create(&link).is_err(), "through a link");
        assert_eq!(first_mode(&path), 0o600);
    }

    fn first_mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_that_was_moved_or_replaced_is_not_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("log"), directory.path().join("other"));
        let file = System.create(&path).unwrap();
        assert!(is_in_place(&file, &path).unwrap());
        replace(&System, &path, b"another").unwrap();
        assert!(!is_in_place(&file, &path).unwrap());
        std::fs::rename(&path, &other).unwrap();
        assert!(is_in_place(&file, &path).is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"another");
    }
}
