//! The small files that lie beside a log, and what the log's name says: for whoever brings the log elsewhere.
//!
//! Promises: such a file is made new or put in place whole, for its owner alone, and its name is on disk on return.

use std::fs::File;
use std::io;
use std::path::Path;

use super::disk::{self, Disk as _, System};
use super::{open, segment};

/// The longest record that is read.
pub const MAX_RECORD: u64 = super::MAX_RECORD;

/// Creates a file that was not there and takes its lock.
///
/// # Errors
/// It cannot be made or locked.
pub fn claim(path: &Path) -> io::Result<File> {
    open::create_locked(&System, path)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

/// Takes the lock of a file, for as long as it is open; false where another process holds it.
///
/// # Errors
/// The system's.
pub fn lock(file: &File) -> io::Result<bool> {
    disk::lock(file)
}

/// Puts a file with this content in the place of whatever has its name, whole or not at all.
///
/// # Errors
/// The system's; what was there before is there still.
pub fn keep(path: &Path, content: &[u8]) -> io::Result<()> {
    disk::replace(&System, path, content)
}

/// Puts a line at the end of a file, which is made where it is not there.
///
/// # Errors
/// The system's; half a line may be there.
pub fn note(path: &Path, line: &[u8]) -> io::Result<()> {
    let file = match System.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            crate::trust::open_private(path).map_err(io::Error::other)?;
            File::options().append(true).open(path)?
        }
        made => made?,
    };
    disk::write_all(&System, &file, line)?;
    System.sync(&file)?;
    System.sync_names(path.parent().unwrap_or(Path::new(".")))
}

/// The log that a file is of: its first file's name without the ending.
#[must_use]
pub fn stem(file: &str) -> String {
    let first = segment::first(Path::new(file)).0;
    first.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a log's name begins with this prefix of the policy's, and not with one that only begins like it.
#[must_use]
pub fn has_prefix(stem: &str, prefix: &str) -> bool {
    segment::has_prefix(Path::new(stem), prefix)
}
