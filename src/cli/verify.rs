//! `portcullis audit verify` and `audit checkpoint`: whether a log is what the gateway wrote.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

use super::audit::text::printable;
use super::out::counted;
use super::{FOUND, Format, complain, out};
use crate::audit;
use crate::audit::verify::{self, Against, Broken, Found, Log, Signed, Summary, Whole};
use crate::clock::SystemClock;

/// A checkpoint of which nobody knows who signed it is not worth keeping.
const UNSIGNED: &str =
    "no key beside the log (`checkpoint.pub`): whose its checkpoints are is not known, and none is printed";
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

/// `audit verify`.
pub(super) fn run(path: &Path, keys: &[PathBuf], since: &[String], tail: Tail, format: Format) -> ExitCode {
    let against = verify::whole_logs(path)
        .and_then(|_| Against::keys(keys, path))
        .and_then(|against| since.iter().try_fold(against, |against, checkpoint| against.since(checkpoint)));
    let (whole, against) =
        match against.and_then(|against| Ok((verify::verify_all(path, &mut |log| look(log, &against))?, against))) {
            Ok(found) => found,
            Err(error) => return complain(&error),
        };
    let good: Vec<_> = whole.summaries().collect();
    let unmet = against.unmet(&good);
    let written = match format {
        Format::Human => say_all(&mut io::stdout(), &against, &whole, &unmet),
        Format::Json => {
            let list: Vec<_> = whole.logs.iter().map(|found| as_json(found, &whole, &against)).collect();
            let (keys, strays) = (against.fingerprints(), &whole.strays);
            let copies: Vec<_> = whole.copies().into_iter().map(|(one, other)| [one.path(), other.path()]).collect();
            let found = json!({ "keys": keys, "logs": list, "missing": unmet, "strays": strays, "copies": copies });
            writeln!(io::stdout(), "{found}")
        }
    };
    // A file that was named alone may be any file of its log.
    let is_whole = whole.is_whole() || (path.is_file() && good.len() == whole.logs.len());
    let is_firm = tail == Tail::Named || good.iter().all(|summary| summary.is_anchored());
    // Without a key anybody can have written all of it.
    let code = match is_whole && is_firm && unmet.is_empty() && !against.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FOUND),
    };
    out::ended(written.and_then(|()| io::stdout().flush()), code)
}

/// `audit checkpoint`.
pub(super) fn checkpoint(path: &Path) -> ExitCode {
    let (logs, against) = match verify::whole_logs(path).and_then(|logs| Ok((logs, Against::keys(&[], path)?))) {
        Ok(found) => found,
        Err(error) => return complain(&error),
    };
    if against.is_empty() {
        complain(&UNSIGNED);
        return ExitCode::from(FOUND);
    }
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
fn look(log: &Log, against: &Against) -> Result<Summary, Broken> {
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

fn say_all(out: &mut impl Write, against: &Against, whole: &Whole, unmet: &[&str]) -> io::Result<()> {
    if against.is_empty() {
        writeln!(out, "no key beside the log (`checkpoint.pub`), and none by --key: who wrote it cannot be told")?;
    }
    for fingerprint in against.fingerprints() {
        writeln!(out, "checkpoints are checked with the key {fingerprint}")?;
    }
    for Found { log, result } in &whole.logs {
        match result {
            Ok(summary) => say(out, log, summary, whole)?,
            Err(broken) => say_broken(out, broken, against)?,
        }
    }
    for head in &whole.strays {
        let head = head.display();
        writeln!(out, "{head}: the log of this checkpoint is not here: it was deleted, or has another name")?;
    }
    for (one, other) in whole.copies() {
        let (one, other) = (one.path().display(), other.path().display());
        writeln!(out, "{other}: the same log as `{one}`: one of the two is a copy, or another log was there before")?;
    }
    unmet
        .iter()
        .try_for_each(|origin| writeln!(out, "{origin}: the log of this checkpoint is not here, or does not verify"))
}

/// What is wrong, and who knows of it: that explains it and makes nothing good.
fn say_broken(out: &mut impl Write, broken: &Broken, against: &Against) -> io::Result<()> {
    writeln!(out, "{broken}")?;
    match audit::acknowledgement(&broken.file, against) {
        Some(known) => writeln!(
            out,
            "  acknowledged by user {} because: {}; a gateway starts beside it, and it stays a doubt",
            known.uid,
            printable(&known.reason, 1_000)
        ),
        None => Ok(()),
    }
}

fn say(out: &mut impl Write, log: &Log, summary: &Summary, whole: &Whole) -> io::Result<()> {
    let Summary { records, questions, answers, checkpoints, tail, .. } = summary;
    let name = log.path().display();
    let files = match log.files().len() {
        0 | 1 => String::new(),
        count => format!(" of {count} files"),
    };
    writeln!(
        out,
        "{name}: {}{files} in an unbroken chain: {} asked, {answers} answered",
        counted(*records, "record"),
        counted(*questions, "call")
    )?;
    match (checkpoints, summary.signed) {
        (0, _) => writeln!(out, "  no checkpoint yet")?,
        (1, Signed::Proven) => writeln!(out, "  1 checkpoint, signed with the key")?,
        (count, Signed::Proven) => writeln!(out, "  {count} checkpoints, all signed with the key")?,
        (count, Signed::Unproven) => writeln!(
            out,
            "  {}; no key: that they are the gateway's own, and the log was not written anew, is not proven",
            counted(*count, "checkpoint")
        )?,
    }
    match summary.held {
        Some(size) => writeln!(out, "  the {size} records of the checkpoint that it was held against are there")?,
        None => writeln!(out, "  no head file and no --since: what was cut off behind a checkpoint would not show")?,
    }
    if let Some(before) = &summary.before {
        let name = printable(&before.file, 100);
        let why = match whole.missing(summary) {
            None => "and was deleted as the policy says",
            Some(_) => "and no record under a signed checkpoint here says that it was deleted",
        };
        writeln!(out, "  begins with record {}: `{name}` came before, {why}", summary.first)?;
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

fn as_json(found: &Found, whole: &Whole, against: &Against) -> Value {
    let log = found.log.path();
    match &found.result {
        Ok(s) => json!({
            "log": log, "ok": !against.is_empty(), "origin": s.origin, "records": s.records, "questions": s.questions,
            "answers": s.answers, "open": s.open, "torn_tail": s.torn_tail, "stopped": s.stopped,
            "checkpoints": s.checkpoints, "checkpoint": s.newest, "signatures": s.signed == Signed::Proven,
            "held": s.held, "unanchored": s.tail, "files": found.log.files(), "first": s.first,
            "before": s.before.as_ref().map(|before| &before.file), "explained": whole.missing(s).is_none(),
            "next": s.next, "retired": s.retired.iter().map(|retired| &retired.file).collect::<Vec<_>>(),
        }),
        Err(broken) => json!({
            "log": log, "ok": false, "file": broken.file, "error": broken.error.to_string(),
            "acknowledged": audit::acknowledgement(&broken.file, against),
        }),
    }
}
