//! One log on its way to one sink: what is sent next, and what is kept of how far it is.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::batch::Batch;
use super::claim::Claim;
use super::cursor::Cursor;
use super::segment::{ReadError, Segment};

/// A log, a sink, and the place of the next record.
#[derive(Debug)]
pub(super) struct Course {
    claim: Arc<Claim>,
    sink: String,
    segment: Segment,
    /// Before the last batch.
    before: Option<Cursor>,
    /// As the state directory has it.
    saved: Cursor,
}

impl Course {
    /// Goes on where the sink is; `None` where it has all of the log.
    pub(super) fn begin(claim: &Arc<Claim>, sink: &str) -> Result<Option<Self>, ReadError> {
        let Some(place) = claim.place(sink) else { return Ok(None) };
        let segment = Segment::open(claim.directory(), place.clone())?;
        Ok(Some(Self { claim: claim.clone(), sink: sink.to_owned(), segment, before: None, saved: place }))
    }

    /// One more than the last sequence number that the sink has.
    pub(super) fn next(&self) -> u64 {
        self.segment.place().seq
    }

    pub(super) fn read(&self, limit: u64, most: usize) -> Result<Option<(Batch, Cursor)>, ReadError> {
        self.segment.read(limit, most)
    }

    /// The sink has everything before `next`.
    pub(super) fn took(&mut self, next: Cursor) {
        self.before = Some(self.segment.place().clone());
        self.segment.set(next);
    }

    /// The last batch is to be sent again.
    pub(super) fn retreat(&mut self) {
        if let Some(before) = self.before.take() {
            self.segment.set(before);
        }
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
    pub(super) fn is_at_the_end(&self) -> io::Result<bool> {
        let place = self.segment.place();
        Ok(self.claim.directory().join(&place.log).symlink_metadata()?.size() == place.offset)
    }

    /// Nothing more comes.
    pub(super) fn done(&self) {
        self.claim.done(&self.sink);
    }
}
