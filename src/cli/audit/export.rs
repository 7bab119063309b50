//! `audit export`: one line for each call, for other tools.

mod ocsf;
mod table;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::calls::Item;
use super::read::read;
use super::select::Select;
use super::show::finish;

/// In what form calls are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    /// OCSF 1.6.0, class API Activity (6003), one JSON object a line.
    Ocsf,
    /// Comma-separated values (RFC 4180) with a head line.
    Csv,
}

/// Exit codes as of `audit show`.
pub(in crate::cli) fn export(path: &Path, select: &Select, form: Form) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout());
    let begun = match form {
        Form::Ocsf => Ok(()),
        Form::Csv => table::head(&mut out),
    };
    let read = begun.map_err(Into::into).and_then(|()| {
        read(path, select, &mut |log, item| match (item, form) {
            (Item::Call(question, answer), Form::Ocsf) => {
                let answer = answer.as_deref().map(|line| &line.record);
                writeln!(out, "{}", ocsf::event(log, &question.record, answer))
            }
            (Item::Call(question, answer), Form::Csv) => {
                table::row(&mut out, log, &question.record, answer.as_deref().map(|line| &line.record))
            }
            (Item::Event(_), _) => Ok(()),
        })
    });
    finish(read.and_then(|hidden| {
        out.flush()?;
        Ok(hidden)
    }))
}
