//! What the log does with files, one operation each, so that a test can fail, tear or delay every one of them.
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

/// Puts a file with this content in the place of whatever has its name, whole or not at all.
pub(super) fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = Path::new(&draft);
    match std::fs::remove_file(draft) {
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

/// Whether the file that is held is still the one of this name, and has no other name: a log that was moved or deleted
/// holds what nobody will find.
pub(super) fn is_in_place(file: &File, path: &Path) -> io::Result<bool> {
    let (held, found) = (file.metadata()?, path.symlink_metadata()?);
    Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
}
