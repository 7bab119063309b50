//! How the files of a state directory are opened to be read, whatever stands in their place.
//!
//! Promises: what is opened is a regular file and no link, and nobody waits for the other end of a pipe; of a small file no more
//! is read than it may hold. Trusts the kernel's word on what a file is. Who may write it, is not asked here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// More than a key, a checkpoint or a head file holds.
pub(super) const SMALL: u64 = 64 << 10;

/// Opens a regular file to read it, or to write it as well where `options` say so.
pub(super) fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => io::Error::other("it is a symbolic link; name what it leads to"),
        Ok(_) | Err(_) => error,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// Opens a regular file to read it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// The text of a regular file that has no more than `most` bytes.
pub(super) fn text(path: &Path, most: u64) -> io::Result<String> {
    capped(open(path)?, most)
}

/// The text of a source that has no more than `most` bytes.
pub(super) fn capped(source: impl Read, most: u64) -> io::Result<String> {
    let mut text = String::new();
    source.take(most.saturating_add(1)).read_to_string(&mut text)?;
    match text.len() as u64 <= most {
        true => Ok(text),
        false => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {most} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting_and_what_is_too_long_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "12345").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(text(&at("file"), 5).unwrap(), "12345");
        for (path, said) in [
            (at("link"), "symbolic link"),
            (at("pipe"), "not a regular file"),
            (directory.path().to_owned(), "not a regular file"),
            ("/dev/null".into(), "not a regular file"),
        ] {
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(said), "{}: {error}", path.display());
        }
        assert_eq!(text(&at("file"), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(open(&at("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
