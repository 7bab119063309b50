//! One log on its way to one sink: what is sent next, and what is kept of how far it is.
//!
//! Promises to go on in the file that follows once it holds the next record, and nowhere else; to send a batch that was not taken
//! again as it was; and to begin a file anew where the place that was kept is none in it.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::Arc;

use super::batch::Batch;
use super::claim::Claim;
use super::cursor::Cursor;
use super::segment::{MOST_RECORDS, ReadError, Segment};

/// A log, a sink, and the place of the next record.
#[derive(Debug)]
pub(super) struct Course {
    claim: Arc<Claim>,
    sink: String,
    segment: Segment,
    /// Up to here the sink has it for certain.
    sure: Cursor,
    /// It was here when the sink was looked at last.
    seen: Cursor,
    /// One more than the last number of the batch that was tried last and not taken.
    tried: Option<u64>,
    /// As the state directory has it.
    saved: Cursor,
}

impl Course {
    /// Goes on where the sink is; `None` where it has all of the log.
    pub(super) fn begin(claim: &Arc<Claim>, sink: &str) -> Result<Option<Self>, ReadError> {
        let Some(place) = claim.place(sink) else { return Ok(None) };
        let segment = Segment::open(claim.directory(), place.clone())?;
        let (sure, seen) = (place.clone(), place.clone());
        let mut course =
            Self { claim: claim.clone(), sink: sink.to_owned(), segment, sure, seen, tried: None, saved: place };
        if !course.segment.stands()? {
            course.restart()?;
        }
        Ok(Some(course))
    }

    /// One more than the last sequence number that the sink has.
    pub(super) fn next(&self) -> u64 {
        self.segment.place().seq
    }

    /// The next records below `limit`, and the place behind them. After a batch that was not taken: the same.
    pub(super) fn read(&mut self, limit: u64, most: usize) -> Result<Option<(Batch, Cursor)>, ReadError> {
        let (limit, most) = match self.tried {
            Some(tried) => (limit.min(tried), MOST_RECORDS),
            None => (limit, most),
        };
        let read = self.read_on(limit, most)?;
        self.tried = read.as_ref().map(|(batch, _)| batch.next());
        Ok(read)
    }

    fn read_on(&mut self, limit: u64, most: usize) -> Result<Option<(Batch, Cursor)>, ReadError> {
        let read = self.segment.read(limit, most)?;
        if read.is_some() || self.next() >= limit {
            return Ok(read);
        }
        match self.segment.size()?.cmp(&self.segment.place().offset) {
            // A record that is not whole yet, or never will be.
            Ordering::Greater => return Ok(None),
            Ordering::Less => {
                self.restart()?;
                return self.segment.read(limit, most);
            }
            Ordering::Equal => {}
        }
        // What is below the limit is on disk: if it is not in this file, it is in the next.
        let Some(next) = self.segment.after(self.claim.directory())? else { return Ok(None) };
        let read = next.read(limit, most)?;
        if read.is_some() {
            self.segment = next;
        }
        Ok(read)
    }

    /// The sink has everything before `next`, unless it says otherwise later.
    pub(super) fn took(&mut self, next: Cursor) {
        self.tried = None;
        self.segment.set(next);
    }

    /// The sink has everything before this place for certain.
    pub(super) fn confirm(&mut self) {
        self.seen = self.segment.place().clone();
        self.sure = self.seen.clone();
    }

    /// The sink was looked at and is well: what it had at the look before, it has for certain.
    pub(super) fn settle(&mut self) {
        self.sure = std::mem::replace(&mut self.seen, self.segment.place().clone());
    }

    /// Whether the sink has everything before this place for certain.
    pub(super) fn is_sure(&self) -> bool {
        self.sure == *self.segment.place()
    }

    /// What is not certain is to be sent again.
    pub(super) fn retreat(&mut self) {
        self.tried = None;
        if self.is_sure() {
            return;
        }
        let sure = self.sure.clone();
        self.seen = sure.clone();
        if sure.log == self.segment.place().log {
            return self.segment.set(sure);
        }
        match Segment::open(self.claim.directory(), sure) {
            Ok(segment) => self.segment = segment,
            Err(error) => tracing::warn!(%error, sink = self.sink, "the last records of a sink cannot be sent again"),
        }
    }

    /// The next batch may be another than the one that was tried last.
    pub(super) fn regroup(&mut self) {
        self.tried = None;
    }

    /// The place is none in its file, which was cut or exchanged: better twice than not at all.
    fn restart(&mut self) -> Result<(), ReadError> {
        let Cursor { log, offset, seq } = self.segment.place().clone();
        let start = self.segment.beginning()?;
        tracing::warn!(
            sink = self.sink,
            log,
            offset,
            seq,
            "a sink had more of this file than there is, or other records; it gets all of the file again"
        );
        self.segment.set(start);
        self.confirm();
        self.tried = None;
        Ok(())
    }

    pub(super) fn is_saved(&self) -> bool {
        self.saved == *self.segment.place()
    }

    /// Keeps how far the sink is.
    pub(super) fn save(&mut self) {
        if self.is_saved() {
            return;
        }
        let place = self.segment.place().clone();
        match place.save(&self.claim.cursor(&self.sink)) {
            Ok(()) => self.saved = place,
            Err(error) => tracing::warn!(%error, sink = self.sink, "how far a sink is could not be kept"),
        }
    }

    /// Whether the file ends where the sink is.
    pub(super) fn is_at_the_end(&self) -> Result<bool, ReadError> {
        Ok(self.segment.size()? == self.segment.place().offset)
    }

    /// Nothing more comes.
    pub(super) fn done(&self) {
        self.claim.done(&self.sink);
    }

    /// Where it is noted which records of this log the sink will not have.
    pub(super) fn refused(&self) -> PathBuf {
        self.claim.refused(&self.sink)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LOG: &str = "audit-20260101T000000.000Z-2.jsonl";

    fn line(seq: u64) -> String {
        format!("{{\"seq\":{seq},\"kind\":\"question\"}}\n")
    }

    fn write(path: &Path, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A log with these records, on its way from its beginning.
    fn course(directory: &Path, records: u64) -> Course {
        let claim = Arc::new(Claim::begin(&directory.join(LOG), &["siem"]).unwrap());
        write(&directory.join(LOG), &(0..records).map(line).collect::<String>());
        Course::begin(&claim, "siem").unwrap().unwrap()
    }

    /// Brings up to `most` records; the numbers of the first and the one behind the last.
    fn bring(course: &mut Course, most: usize) -> Option<(u64, u64)> {
        let (batch, next) = course.read(u64::MAX, most).unwrap()?;
        course.took(next);
        Some((batch.first, batch.next()))
    }

    #[test]
    fn after_a_broken_connection_everything_comes_again_that_was_not_certain() {
        let directory = tempfile::tempdir().unwrap();
        let mut course = course(directory.path(), 9);
        assert_eq!(bring(&mut course, 2), Some((0, 2)));
        course.settle();
        assert_eq!(bring(&mut course, 1), Some((2, 3)));
        course.settle();
        assert_eq!(bring(&mut course, 1), Some((3, 4)));
        assert_eq!(bring(&mut course, 1), Some((4, 5)));
        course.retreat();
        assert_eq!(course.next(), 2, "one look says nothing about what was sent since the one before");
        course.retreat();
        assert_eq!(bring(&mut course, 9), Some((2, 9)));
        course.confirm();
        course.retreat();
        assert!(course.is_sure() && bring(&mut course, 9).is_none());
    }

    #[test]
    fn a_batch_that_was_not_taken_is_the_same_the_next_time_though_the_log_has_grown() {
        let directory = tempfile::tempdir().unwrap();
        let mut course = course(directory.path(), 3);
        let (first, _) = course.read(3, MOST_RECORDS).unwrap().unwrap();
        write(&directory.path().join(LOG), &(0..9).map(line).collect::<String>());
        let (again, next) = course.read(9, 1).unwrap().unwrap();
        assert_eq!(first.lines, again.lines);
        course.took(next);
        assert_eq!(bring(&mut course, MOST_RECORDS), Some((3, 9)));
    }

    #[test]
    fn a_place_that_is_none_in_its_file_begins_the_file_anew() {
        for (offset, seq) in [(999, 9), (line(0).len() as u64, 2), (3, 1)] {
            let directory = tempfile::tempdir().unwrap();
            let claim = course(directory.path(), 3).claim;
            Cursor { log: LOG.into(), offset, seq }.save(&claim.cursor("siem")).unwrap();
            let mut course = Course::begin(&claim, "siem").unwrap().unwrap();
            assert_eq!(bring(&mut course, 9), Some((0, 3)), "byte {offset}, record {seq}");
        }
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_followed_begins_anew_with_its_own_first_number() {
        let directory = tempfile::tempdir().unwrap();
        let second = directory.path().join("audit-20260101T000000.000Z-2_00002.jsonl");
        let mut course = course(directory.path(), 3);
        write(&second, &(3..9).map(line).collect::<String>());
        assert_eq!(bring(&mut course, 9), Some((0, 3)));
        assert_eq!(bring(&mut course, 9), Some((3, 9)));
        write(&second, &(3..5).map(line).collect::<String>());
        assert_eq!(bring(&mut course, 9), Some((3, 5)));
        assert_eq!(bring(&mut course, 9), None);
    }
}
