//! `portcullis audit`: the auditor's side.

mod calls;
pub(super) mod export;
mod read;
mod record;
pub(super) mod select;
pub(super) mod show;
pub(super) mod stats;
mod text;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::{FOUND, Format, complain};
use crate::audit::verify::{self, Summary, VerifyError};

/// `audit verify`: exit 0 when all is well, 1 on any doubt, 2 when nothing can be read.
pub(super) fn verify(path: &Path, format: Format) -> ExitCode {
    let logs = match verify::logs(path) {
        Ok(logs) => logs,
        Err(error) => return complain(&error),
    };
    let results: Vec<_> = logs.iter().map(|log| (log, verify::verify_file(log))).collect();
    let written = match format {
        Format::Human => results.iter().try_for_each(|(log, result)| say(&mut io::stdout(), log, result)),
        Format::Json => {
            let list: Vec<_> = results.iter().map(|(log, result)| as_json(log, result)).collect();
            writeln!(io::stdout(), "{}", json!(list))
        }
    };
    match (written, results.iter().all(|(_, result)| result.is_ok())) {
        (Ok(()), true) => ExitCode::SUCCESS,
        (Ok(()), false) | (Err(_), _) => ExitCode::from(FOUND),
    }
}

fn say(out: &mut impl Write, log: &Path, result: &Result<Summary, VerifyError>) -> io::Result<()> {
    let name = log.display();
    match result {
        Ok(summary) => {
            let Summary { records, questions, answers, open, torn_tail, stopped } = summary;
            writeln!(
                out,
                "{name}: {records} records in an unbroken chain: {questions} calls asked, {answers} answered"
            )?;
            if *open > 0 {
                writeln!(
                    out,
                    "  {open} calls have no end: the gateway was stopped hard while they ran, or still runs"
                )?;
            }
            if *torn_tail > 0 {
                writeln!(out, "  {torn_tail} bytes of a half-written record at the end, left by a hard stop")?;
            }
            if !stopped {
                writeln!(out, "  no record of an orderly end: what was cut off the end would not show")?;
            }
            Ok(())
        }
        Err(error) => writeln!(out, "{name}: {error}"),
    }
}

fn as_json(log: &Path, result: &Result<Summary, VerifyError>) -> serde_json::Value {
    match result {
        Ok(s) => json!({
            "log": log, "ok": true, "records": s.records, "questions": s.questions, "answers": s.answers,
            "open": s.open, "torn_tail": s.torn_tail, "stopped": s.stopped,
        }),
        Err(error) => json!({"log": log, "ok": false, "error": error.to_string()}),
    }
}
