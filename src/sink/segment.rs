//! Reads whole records from a file of the log, from a place on.
//!
//! Promises that what it gives are lines of the log in their order, each with the number of its place. Refuses to go on at a line
//! that is none.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::batch::{Batch, View};
use super::cursor::Cursor;
use crate::audit::{beside, tail};
use crate::trust::{self, TrustError};

/// What one batch holds at most; a longer line is a batch of its own.
pub(super) const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 256 << 10;

/// One file, and the place of the next record.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    place: Cursor,
}

/// Why no more can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Open(#[from] TrustError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{log}, byte {offset}: record {seq} does not stand there")]
    Damaged { log: String, offset: u64, seq: u64 },
}

impl Segment {
    pub(super) fn open(directory: &Path, place: Cursor) -> Result<Self, ReadError> {
        let file = trust::open_private(&directory.join(&place.log))?;
        Ok(Self { file, place })
    }

    pub(super) fn place(&self) -> &Cursor {
        &self.place
    }

    /// Bytes in the file.
    pub(super) fn size(&self) -> Result<u64, ReadError> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|source| self.unreadable(source))
    }

    /// The file that follows, if there is one, at its beginning.
    pub(super) fn after(&self, directory: &Path) -> Result<Option<Self>, ReadError> {
        let path = tail::after(&directory.join(&self.place.log));
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| path.exists());
        let place = name.map(|log| Cursor { log: log.to_owned(), offset: 0, seq: self.place.seq });
        place.map(|place| Self::open(directory, place)).transpose()
    }

    /// Whether the place is one: the end of what is there, or the beginning of the record with its number.
    pub(super) fn stands(&self) -> Result<bool, ReadError> {
        if self.place.offset == 0 {
            return Ok(true);
        }
        let mut before = [0];
        let read = self.file.read_at(&mut before, self.place.offset - 1).map_err(|source| self.unreadable(source))?;
        if read == 0 || before != *b"\n" {
            return Ok(false);
        }
        match self.read(u64::MAX, 1) {
            Ok(_) => Ok(true),
            Err(ReadError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The beginning of this file.
    pub(super) fn beginning(&self) -> Result<Cursor, ReadError> {
        let start = Cursor::start(&self.place.log);
        if format!("{}.jsonl", beside::stem(&start.log)) == start.log {
            return Ok(start);
        }
        let bytes = self.fill(0, MOST_BYTES)?;
        let line = bytes.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
        // Of a file without a record nothing can be sent again.
        let seq = line.and_then(View::of).map_or(self.place.seq, |view| view.seq);
        Ok(Cursor { seq, ..start })
    }

    /// Moves to another place in the same file.
    pub(super) fn set(&mut self, place: Cursor) {
        self.place = place;
    }

    /// Up to `most` records with a number below `limit`; `None` where none is whole yet.
    pub(super) fn read(&self, limit: u64, most: usize) -> Result<Option<(Batch, Cursor)>, ReadError> {
        let mut most = usize::try_from(limit.saturating_sub(self.place.seq)).unwrap_or(usize::MAX).min(most);
        if most == 0 {
            return Ok(None);
        }
        let mut bytes = self.fill(self.place.offset, MOST_BYTES)?;
        let longest = usize::try_from(beside::MAX_RECORD).unwrap_or(usize::MAX);
        if !bytes.contains(&b'\n') && bytes.len() >= MOST_BYTES {
            bytes = self.fill(self.place.offset, longest)?;
            most = 1;
        }
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let ends: Vec<usize> = ends.take(most).collect();
        let Some(end) = ends.last().copied() else {
            return if bytes.len() >= longest { Err(self.damaged(0)) } else { Ok(None) };
        };
        bytes.truncate(end);
        let lines = String::from_utf8(bytes).map_err(|_| self.damaged(0))?;
        let mut views = Vec::with_capacity(ends.len());
        for (at, line) in (0..).zip(lines.lines()) {
            let expected = self.place.seq.saturating_add(at);
            let view = View::of(line).filter(|view| view.seq == expected);
            views.push(view.ok_or_else(|| self.damaged(at))?);
        }
        let (log, offset) = (self.place.log.clone(), self.place.offset.saturating_add(lines.len() as u64));
        let batch = Batch { log: log.clone(), first: self.place.seq, lines, views };
        let seq = batch.next();
        Ok(Some((batch, Cursor { log, offset, seq })))
    }

    /// The bytes from a place on, as many as there are.
    fn fill(&self, from: u64, most: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; most];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let offset = from.saturating_add(filled as u64);
            match self.file.read_at(rest, offset) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.unreadable(source)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn unreadable(&self, source: io::Error) -> ReadError {
        ReadError::Read { path: PathBuf::from(&self.place.log), source }
    }

    fn damaged(&self, ahead: u64) -> ReadError {
        let Cursor { log, offset, seq } = self.place.clone();
        ReadError::Damaged { log, offset, seq: seq.saturating_add(ahead) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const LOG: &str = "audit-1-2.jsonl";

    fn log(text: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOG);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        directory
    }

    fn line(seq: u64, filler: usize) -> String {
        format!("{{\"seq\":{seq},\"kind\":\"{}\"}}\n", "x".repeat(filler))
    }

    #[test]
    fn whole_lines_are_read_in_their_order_up_to_what_is_on_disk() {
        let directory = log(&format!("{}{}{}{{\"seq\":3", line(0, 1), line(1, 300_000), line(2, 1)));
        let mut segment = Segment::open(directory.path(), Cursor::start(LOG)).unwrap();
        assert!(segment.read(0, MOST_RECORDS).unwrap().is_none());
        let mut sizes = Vec::new();
        while let Some((batch, next)) = segment.read(9, MOST_RECORDS).unwrap() {
            sizes.push((batch.first, batch.views.len()));
            segment.set(next);
        }
        assert_eq!(sizes, [(0, 1), (1, 1), (2, 1)], "the torn tail is no record");
        segment.set(Cursor::start(LOG));
        assert_eq!(segment.read(1, MOST_RECORDS).unwrap().unwrap().0.views.len(), 1, "no further than the disk");
    }

    #[test]
    fn the_file_that_follows_begins_with_the_next_number() {
        let directory = log(&line(0, 1));
        let mut segment = Segment::open(directory.path(), Cursor::start(LOG)).unwrap();
        segment.set(segment.read(9, MOST_RECORDS).unwrap().unwrap().1);
        assert!(segment.after(directory.path()).unwrap().is_none(), "there is none");
        for (text, good) in [(line(1, 1), true), (line(2, 1), false), (line(0, 1), false)] {
            let path = directory.path().join("audit-1-2_00002.jsonl");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let next = segment.after(directory.path()).unwrap().unwrap();
            assert_eq!(next.read(9, MOST_RECORDS).is_ok(), good);
        }
    }

    #[test]
    fn a_line_that_is_not_the_record_of_its_place_is_not_sent() {
        for text in ["{\"seq\":1}\n", "nonsense\n", "\n", "{\"seq\":0}\n{\"seq\":0}\n"] {
            let directory = log(text);
            let segment = Segment::open(directory.path(), Cursor::start(LOG)).unwrap();
            assert!(matches!(segment.read(9, MOST_RECORDS), Err(ReadError::Damaged { .. })), "{text:?}");
        }
    }
}
