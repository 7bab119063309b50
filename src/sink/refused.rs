//! Records that a sink refuses for good: when it is given up, and what is kept of that.
//!
//! Promises that one record which a sink will never take does not keep the others from it; that what is given up is noted beside
//! the log first; and that a sink which refuses everything is not taken for one that refuses a record.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::batch::{Batch, hash};
use crate::audit::beside;

/// A record is offered alone so often.
const TRIES: u32 = 5;
/// So many are given up one after the other. More are no faults of records: the sink refuses all.
const MOST_IN_A_ROW: u32 = 8;

/// What a sink refuses.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The record that was refused last, alone: its log and number.
    record: Option<(String, u64)>,
    /// How often.
    tries: u32,
    /// Records given up since the last one that was taken.
    row: u32,
}

/// What is to be done with a record that was refused alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Again,
    GiveUp,
}

#[derive(Serialize)]
struct Note<'a> {
    log: &'a str,
    /// The first of the batch.
    seq: u64,
    records: usize,
    /// How many of them the sink will not have; of more than one record it does not say which.
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    cause: &'a str,
}

impl Refusals {
    /// A batch was taken.
    pub(super) fn taken(&mut self) {
        *self = Self::default();
    }

    /// A record was refused that came alone.
    pub(super) fn refused(&mut self, batch: &Batch) -> Next {
        let record = Some((batch.log.clone(), batch.first));
        self.tries = if self.record == record { self.tries.saturating_add(1) } else { 1 };
        self.record = record;
        if self.tries >= TRIES && self.row < MOST_IN_A_ROW { Next::GiveUp } else { Next::Again }
    }

    /// It was given up.
    pub(super) fn gave_up(&mut self) {
        self.row = self.row.saturating_add(1);
        self.record = None;
    }
}

/// Notes that a sink will not have so many records of a batch; on disk on return.
pub(super) fn note(path: &Path, batch: &Batch, refused: u64, cause: &str) -> io::Result<()> {
    let records = batch.views.len();
    let hash = batch.records().next().filter(|_| records == 1).map(|(line, _)| hash(line));
    let note = Note { log: &batch.log, seq: batch.first, records, refused, hash, cause };
    let mut line = serde_json::to_vec(&note).map_err(io::Error::other)?;
    line.push(b'\n');
    beside::note(path, &line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::View;

    fn batch(seq: u64) -> Batch {
        let lines = format!("{{\"seq\":{seq}}}\n");
        let views = vec![View::of(&lines).unwrap()];
        Batch { log: "audit-1-2.jsonl".into(), first: seq, lines, views }
    }

    /// Offers one record until it is given up, if ever; how often.
    fn offer(refusals: &mut Refusals, seq: u64) -> Option<u32> {
        let tries = (1..100).find(|_| refusals.refused(&batch(seq)) == Next::GiveUp)?;
        refusals.gave_up();
        Some(tries)
    }

    #[test]
    fn a_record_is_given_up_after_some_tries_and_a_sink_that_refuses_everything_is_not() {
        let mut refusals = Refusals::default();
        for seq in 0..u64::from(MOST_IN_A_ROW) {
            assert_eq!(offer(&mut refusals, seq), Some(TRIES), "record {seq}");
        }
        assert_eq!(offer(&mut refusals, 8), None, "it refuses everything");
        refusals.taken();
        assert_eq!(offer(&mut refusals, 8), Some(TRIES));
    }

    #[test]
    fn what_is_given_up_is_noted_beside_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit-1-2.siem.refused");
        note(&path, &batch(3), 1, "status 400").unwrap();
        note(&path, &batch(5), 1, "status 422").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let notes: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((notes[0]["seq"].as_u64(), notes[1]["cause"].as_str()), (Some(3), Some("status 422")), "{text}");
        assert_eq!(notes[0]["hash"], hash("{\"seq\":3}"));
    }
}
