//! Reads what is verified of one log or of all logs of a directory.

use std::io;
use std::path::{Path, PathBuf};

use super::super::complain;
use super::calls::{Calls, Item};
use super::record::Record;
use super::select::Select;
use crate::audit::verify::{self, Against, Broken, VerifyError};

/// What could not be shown, because it could not be verified.
#[derive(Debug, Default)]
pub(in crate::cli) struct Hidden {
    /// What is wrong first in each log that is wrong.
    pub(in crate::cli) faults: Vec<Broken>,
    /// How many lines stand there from there on, where that was counted.
    pub(in crate::cli) lines: Option<u64>,
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ReadError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] VerifyError),
    /// What was found could not be written.
    #[error("what was found cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Is given a call or an event, and the file in which it begins.
pub(in crate::cli) type Each<'a> = dyn FnMut(&Path, Item) -> io::Result<()> + 'a;

/// Hands every wanted call and event of the logs under `path` on, of each log up to the first record that is not as it
/// was written.
pub(in crate::cli) fn read(path: &Path, select: &Select, each: &mut Each<'_>) -> Result<Hidden, ReadError> {
    let logs = verify::whole_logs(path)?;
    let (mut hidden, against) = (Hidden::default(), against(path)?);
    for log in logs {
        let mut gathering = Gathering::new(select);
        let verified =
            verify::verify_lines(&log, &against, &mut |_| (), &mut |file, line| gathering.take(file, line, each));
        let lines = gathering.finish(each)?;
        if let Err(fault) = verified {
            let all = log.files().iter().map(|file| verify::count_lines(file)).sum::<Result<u64, _>>()?;
            hidden.lines = Some(hidden.lines.unwrap_or_default() + all.saturating_sub(lines));
            hidden.faults.push(fault);
        }
    }
    Ok(hidden)
}

/// The key beside the logs; where there is none, that is said.
pub(super) fn against(path: &Path) -> Result<Against, VerifyError> {
    let against = Against::keys(&[], path)?;
    if against.is_empty() {
        let said = "no key beside the log (`checkpoint.pub`): the signatures of its checkpoints were not checked";
        // The exit code is that of what is found.
        complain(&said);
    }
    Ok(against)
}

/// Puts the lines of one log together.
pub(in crate::cli) struct Gathering<'s> {
    select: &'s Select,
    calls: Calls,
    lines: u64,
    written: io::Result<()>,
    file: PathBuf,
}

impl<'s> Gathering<'s> {
    pub(in crate::cli) fn new(select: &'s Select) -> Self {
        Self { select, calls: Calls::default(), lines: 0, written: Ok(()), file: PathBuf::new() }
    }

    /// The next line, which is verified and so is JSON; members of other types than were foreseen are left out.
    pub(in crate::cli) fn take(&mut self, file: &Path, line: &[u8], each: &mut Each<'_>) {
        self.lines += 1;
        if self.file != file {
            file.clone_into(&mut self.file);
        }
        let text = std::str::from_utf8(line).unwrap_or_default();
        let record = serde_json::from_str::<Record>(text).unwrap_or_default();
        let item = self.calls.next(record, text).filter(|item| self.select.takes(item));
        if let (Some(item), Ok(())) = (item, &self.written) {
            self.written = each(file, item);
        }
    }

    /// Whether everything could be written so far.
    pub(in crate::cli) fn check(&mut self) -> io::Result<()> {
        std::mem::replace(&mut self.written, Ok(()))
    }

    /// The calls without an end; how many lines there were.
    fn finish(mut self, each: &mut Each<'_>) -> io::Result<u64> {
        self.check()?;
        let Self { select, calls, lines, file, .. } = self;
        calls.rest().filter(|item| select.takes(item)).try_for_each(|item| each(&file, item))?;
        Ok(lines)
    }
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
    /// What is wrong, a sentence for each log, and how much is hidden for it.
    pub(in crate::cli) fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        if let Some(lines) = self.lines {
            sentences.push(format!("{lines} lines from there on are hidden: they are not verified"));
        }
        sentences
    }
}
