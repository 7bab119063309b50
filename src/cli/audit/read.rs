//! Reads what is verified of one log or of all logs of a directory.

use std::io;
use std::path::{Path, PathBuf};

use super::calls::{Calls, Item};
use super::record::Record;
use super::select::Select;
use crate::audit::verify::{self, Against, VerifyError};

/// What could not be shown, because it could not be verified.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// Each log that is wrong, and what is wrong first in it.
    pub(super) logs: Vec<(PathBuf, VerifyError)>,
    /// How many lines stand in them from there on.
    pub(super) lines: u64,
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] VerifyError),
    /// What was found could not be written.
    #[error("what was found cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Hands every wanted call and event of the logs under `path` on, up to the first record of a log that is not as it was
/// written.
pub(super) fn read(
    path: &Path,
    select: &Select,
    each: &mut dyn FnMut(&Path, Item) -> io::Result<()>,
) -> Result<Hidden, ReadError> {
    let (mut hidden, against) = (Hidden::default(), Against::keys(&[], path)?);
    for log in verify::logs(path)? {
        read_log(&log, &against, select, each, &mut hidden)?;
    }
    Ok(hidden)
}

fn read_log(
    log: &Path,
    against: &Against,
    select: &Select,
    each: &mut dyn FnMut(&Path, Item) -> io::Result<()>,
    hidden: &mut Hidden,
) -> Result<(), ReadError> {
    let mut calls = Calls::default();
    let mut written = Ok(());
    let mut lines = 0_u64;
    let verified = verify::verify_lines(log, against, &mut |_| (), &mut |line| {
        lines += 1;
        let line = std::str::from_utf8(line).unwrap_or_default();
        // A record that is verified is JSON; one that has other members than were foreseen shows those that it has.
        let record = serde_json::from_str::<Record>(line).unwrap_or_default();
        if written.is_ok()
            && let Some(item) = calls.next(record, line).filter(|item| select.takes(item))
        {
            written = each(log, item);
        }
    });
    written?;
    for item in calls.rest().filter(|item| select.takes(item)) {
        each(log, item)?;
    }
    if let Err(error) = verified {
        hidden.lines += verify::count_lines(log)?.saturating_sub(lines);
        hidden.logs.push((log.to_owned(), error));
    }
    Ok(())
}

impl Select {
    fn takes(&self, item: &Item) -> bool {
        match item {
            Item::Call(question, answer) => {
                self.takes_call(&question.record, answer.as_deref().map(|answer| &answer.record))
            }
            Item::Event(line) => self.takes_event(&line.record),
        }
    }
}

impl Hidden {
    /// One sentence for each log that is wrong, for people.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> =
            self.logs.iter().map(|(log, error)| format!("`{}`: {error}", log.display())).collect();
        if self.lines > 0 {
            sentences.push(format!("{} lines from there on are hidden: they are not verified", self.lines));
        }
        sentences
    }
}
