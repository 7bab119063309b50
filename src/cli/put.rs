//! Files that a command writes for a person: whole or not at all, and never over what was not looked at.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of what is new: its owner's alone.
pub(super) const PRIVATE: u32 = 0o600;

/// Writes a file that is not there yet.
///
/// # Errors
/// It is there (`AlreadyExists`), or it cannot be written; then nothing of it stays.
pub(super) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    let written = file.write_all(content).and_then(|()| settle(&file, mode));
    written.and_then(|()| sync_names(path)).inspect_err(|_| discard(path))
}

/// Puts `content` in the place of the file, under its name and with this mode, unless it holds something else than `before` by now.
///
/// # Errors
/// It changed meanwhile (`ResourceBusy`), or it cannot be replaced; then it is as it was. Where the directory cannot be brought
/// to disk, it is replaced, but may not be after a crash.
pub(super) fn replace(path: &Path, before: &[u8], content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(path)?;
    create(&draft, content, mode)?;
    still(path, before).and_then(|()| fs::rename(&draft, path)).inspect_err(|_| discard(&draft))?;
    sync_names(path)
}

/// Removes what could not be finished.
fn discard(path: &Path) {
    // Why it could not be finished is what is told; that the rest of it could not be removed says no more.
    fs::remove_file(path).ok();
}

fn still(path: &Path, before: &[u8]) -> io::Result<()> {
    match fs::read(path)? == before {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changed meanwhile; try again")),
    }
}

/// A name beside the file that nobody else has.
fn draft(path: &Path) -> io::Result<PathBuf> {
    let number = getrandom::u32().map_err(io::Error::other)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{number:08x}.new"));
    Ok(path.with_file_name(name))
}

fn settle(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn sync_names(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        create(&path, b"one", PRIVATE).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path, b"two", PRIVATE).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_file_is_exchanged_whole_and_only_as_it_was_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "one").unwrap();
        replace(&path, b"one", b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(replace(&path, b"one", b"three", 0o640).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["a"], "no draft is left");
    }
}
