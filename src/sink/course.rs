//! One log on its way to one sink: what is sent next, and what is kept of how far it is.
//!
//! Promises to go on in the file that follows once it holds the next record, and nowhere else.

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

    /// The next records below `limit`, and the place behind them.
    pub(super) fn read(&mut self, limit: u64, most: usize) -> Result<Option<(Batch, Cursor)>, ReadError> {
        let read = self.segment.read(limit, most)?;
        if read.is_some() || self.next() >= limit || !self.is_at_the_end()? {
            return Ok(read);
        }
        // What is below the limit is on disk: if it is not in this file, it is in the next.
        let Some(next) = self.segment.after(self.claim.directory())? else { return Ok(None) };
        let read = next.read(limit, most)?;
        if read.is_some() {
            self.segment = next;
        }
        Ok(read)
    }

    /// The sink has everything before `next`.
    pub(super) fn took(&mut self, next: Cursor) {
        self.before = Some(self.segment.place().clone());
        self.segment.set(next);
    }

    /// The last batch is to be sent again.
    pub(super) fn retreat(&mut self) {
        let Some(before) = self.before.take() else { return };
        if before.log == self.segment.place().log {
            return self.segment.set(before);
        }
        match Segment::open(self.claim.directory(), before) {
            Ok(segment) => self.segment = segment,
            Err(error) => tracing::warn!(%error, sink = self.sink, "the last batch of a sink cannot be sent again"),
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
    pub(super) fn is_at_the_end(&self) -> Result<bool, ReadError> {
        Ok(self.segment.size()? == self.segment.place().offset)
    }

    /// Nothing more comes.
    pub(super) fn done(&self) {
        self.claim.done(&self.sink);
    }
}
