//! `portcullis audit verify` and `audit checkpoint`: whether a log is what the gateway wrote.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::audit::printable;
use super::{FOUND, Format, complain};
use crate::audit;
use crate::audit::verify::{self, Against, Broken, Log, Signed, Summary};
use crate::clock::SystemClock;

/// The progress is shown again after so many bytes.
const STEP: u64 = 64 << 20;

/// What records after the last checkpoint are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Named, and no doubt.
    Named,
    /// A doubt.
    Refused,
}

/// What came of one log.
struct Result<'a> {
    log: &'a Log,
    found: std::result::Result<Summary, Broken>,
}

/// `audit verify`.
pub(super) fn run(path: &Path, keys: &[PathBuf], since: &[String], tail: Tail, format: Format) -> ExitCode {
    let against = Against::keys(keys, path)
        .and_then(|against| since.iter().try_fold(against, |against, checkpoint| against.since(checkpoint)));
    let (logs, against) = match verify::whole_logs(path).and_then(|logs| Ok((logs, against?))) {
        Ok(found) => found,
        Err(error) => return complain(&error),
    };
    let results: Vec<_> = logs.iter().map(|log| Result { log, found: look(log, &against) }).collect();
    let good: Vec<_> = results.iter().filter_map(|result| result.found.as_ref().ok()).collect();
    let unmet = against.unmet(&good);
    let written = match format {
        Format::Human => say_all(&mut io::stdout(), &against, &results, &unmet),
        Format::Json => {
            let list: Vec<_> = results.iter().map(as_json).collect();
            let answer = json!({ "keys": against.fingerprints(), "logs": list, "missing": unmet });
            writeln!(io::stdout(), "{answer}")
        }
    };
    let retired: Vec<&String> = good.iter().flat_map(|summary| &summary.retired).collect();
    let firm = |summary: &&Summary| {
        let begins = summary.before.as_ref().is_none_or(|before| retired.contains(&before));
        (begins || path.is_file()) && (tail == Tail::Named || summary.is_anchored())
    };
    match written.is_ok() && good.len() == results.len() && unmet.is_empty() && good.iter().all(firm) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FOUND),
    }
}

/// `audit checkpoint`.
pub(super) fn checkpoint(path: &Path) -> ExitCode {
    let (logs, against) = match verify::whole_logs(path).and_then(|logs| Ok((logs, Against::keys(&[], path)?))) {
        Ok(found) => found,
        Err(error) => return complain(&error),
    };
    let mut code = ExitCode::SUCCESS;
    for log in logs {
        let said = match look(&log, &against) {
            Ok(Summary { newest: Some(newest), .. }) => writeln!(io::stdout(), "{newest}"),
            Ok(_) => {
                code = ExitCode::from(FOUND);
                writeln!(io::stderr(), "portcullis: `{}` has no checkpoint yet", log.path().display())
            }
            Err(error) => {
                code = ExitCode::from(FOUND);
                writeln!(io::stderr(), "portcullis: {error}")
            }
        };
        if said.is_err() {
            return ExitCode::from(FOUND);
        }
    }
    code
}

/// `audit acknowledge`.
pub(super) fn acknowledge(file: &Path, reason: &str) -> ExitCode {
    match audit::acknowledge(file, reason, Arc::new(SystemClock::new())) {
        Ok(log) => match writeln!(io::stdout(), "recorded in `{}`", log.display()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error),
        },
        Err(error) => complain(&error),
    }
}

/// Verifies a log; of a long one, a person at a terminal sees how far it is.
fn look(log: &Log, against: &Against) -> std::result::Result<Summary, Broken> {
    let size: u64 = log.files().iter().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum();
    let shown = size > STEP && io::stderr().is_terminal();
    let mut next = STEP;
    let result = verify::verify(log, against, &mut |done| {
        if shown && done >= next {
            next = done + STEP;
            let percent = done.saturating_mul(100) / size.max(1);
            // A closed standard error leaves nobody to tell.
            drop(write!(io::stderr(), "\r{}: {percent} %", log.path().display()));
        }
    });
    if shown {
        drop(write!(io::stderr(), "\r\x1b[K"));
    }
    result
}

fn say_all(out: &mut impl Write, against: &Against, results: &[Result<'_>], unmet: &[&str]) -> io::Result<()> {
    for fingerprint in against.fingerprints() {
        writeln!(out, "checkpoints are checked with the key {fingerprint}")?;
    }
    for Result { log, found } in results {
        match found {
            Ok(summary) => say(out, log, summary)?,
            Err(error) => writeln!(out, "{error}")?,
        }
    }
    unmet
        .iter()
        .try_for_each(|origin| writeln!(out, "{origin}: the log of this checkpoint is not here, or does not verify"))
}

fn say(out: &mut impl Write, log: &Log, summary: &Summary) -> io::Result<()> {
    let Summary { records, questions, answers, checkpoints, tail, .. } = summary;
    let name = log.path().display();
    let files = match log.files().len() {
        0 | 1 => String::new(),
        count => format!(" of {count} files"),
    };
    writeln!(
        out,
        "{name}: {records} records{files} in an unbroken chain: {questions} calls asked, {answers} answered"
    )?;
    match (checkpoints, summary.signed) {
        (0, _) => writeln!(out, "  no checkpoint yet")?,
        (count, Signed::Proven) => writeln!(out, "  {count} checkpoints, all signed with the key")?,
        (count, Signed::Unproven) => writeln!(
            out,
            "  {count} checkpoints; no key: that they are the gateway's own, and the log was not written anew, is not proven"
        )?,
    }
    match summary.held {
        Some(size) => writeln!(out, "  the {size} records of the checkpoint that it was held against are there")?,
        None => writeln!(out, "  no head file and no --since: what was cut off behind a checkpoint would not show")?,
    }
    if let Some(before) = &summary.before {
        writeln!(out, "  begins with record {}: `{}` came before", summary.first, printable(before, 100))?;
    }
    if let Some(next) = &summary.next {
        writeln!(out, "  goes on in `{}`", printable(next, 100))?;
    }
    if *tail > 0 {
        writeln!(out, "  {tail} records after the last checkpoint are chained, not anchored")?;
    }
    if summary.open > 0 {
        let open = summary.open;
        writeln!(out, "  {open} calls have no end: the gateway was stopped hard while they ran, or still runs")?;
    }
    if summary.torn_tail > 0 {
        let torn = summary.torn_tail;
        writeln!(out, "  {torn} bytes of a half-written record at the end, left by a hard stop")?;
    }
    if !summary.stopped && summary.next.is_none() {
        writeln!(out, "  no record of an orderly end: the gateway was stopped hard, or still runs")?;
    }
    Ok(())
}

fn as_json(result: &Result<'_>) -> Value {
    let log = result.log.path();
    match &result.found {
        Ok(s) => json!({
            "log": log, "ok": true, "origin": s.origin, "records": s.records, "questions": s.questions,
            "answers": s.answers, "open": s.open, "torn_tail": s.torn_tail, "stopped": s.stopped,
            "checkpoints": s.checkpoints, "checkpoint": s.newest, "signatures": s.signed == Signed::Proven,
            "held": s.held, "unanchored": s.tail, "files": result.log.files(), "first": s.first, "before": s.before,
            "next": s.next, "retired": s.retired,
        }),
        Err(Broken { file, error }) => json!({"log": log, "ok": false, "file": file, "error": error.to_string()}),
    }
}
