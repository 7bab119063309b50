//! `portcullis tools`: what the agent will see, and what it costs.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Format, complain, load};
use crate::catalog::warning::Warning;
use crate::server::tools::entry;
use crate::tools::{Face, Toolbox};

/// Bytes of JSON that make one token, about.
const BYTES_PER_TOKEN: usize = 4;

/// The most notes on schemas that are printed.
const MAX_NOTES: usize = 1_000;

/// One tool, as it is printed.
struct Row {
    name: String,
    mark: &'static str,
    json: Box<RawValue>,
}

/// What programs read.
#[derive(Serialize)]
struct List<'a> {
    name: &'a str,
    tools: Vec<&'a RawValue>,
    bytes: usize,
    tokens: usize,
}

pub(super) fn run(path: &Path, format: Format) -> ExitCode {
    match list(path).and_then(|(name, rows)| print(&name, &rows, format).map_err(|error| complain(&error))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn list(path: &Path) -> Result<(String, Vec<Row>), ExitCode> {
    let loaded = load::policy(path)?;
    let (catalog, warnings) = loaded.catalog()?;
    let policy = loaded.policy;
    let toolbox = Toolbox::new(&policy, catalog);
    // A closed standard error leaves nobody to tell.
    drop(print_notes(&warnings, &toolbox));
    let row = |face: Face| -> serde_json::Result<Row> {
        let mark = if face.hints.read_only { "read" } else { "write" };
        Ok(Row { name: face.name.clone(), mark, json: to_raw_value(&entry(face))? })
    };
    let rows = toolbox.faces().into_iter().map(row).collect::<Result<_, _>>();
    rows.map(|rows| (policy.name().to_owned(), rows)).map_err(|error| complain(&error))
}

fn print_notes(warnings: &[Warning], toolbox: &Toolbox) -> io::Result<()> {
    // A note is written in many pieces.
    let mut err = BufWriter::new(io::stderr().lock());
    for warning in warnings {
        writeln!(err, "note: {warning}")?;
    }
    let mut notes = toolbox.notes();
    for note in notes.by_ref().take(MAX_NOTES) {
        writeln!(err, "note: {note}")?;
    }
    if notes.next().is_some() {
        writeln!(err, "note: there are more notes on schemas than are shown")?;
    }
    err.flush()
}

fn print(name: &str, rows: &[Row], format: Format) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let bytes: usize = rows.iter().map(Row::bytes).sum();
    let tokens = bytes.div_ceil(BYTES_PER_TOKEN);
    match format {
        Format::Json => {
            let tools = rows.iter().map(|row| &*row.json).collect();
            serde_json::to_writer(&mut out, &List { name, tools, bytes, tokens })?;
            writeln!(out)?;
        }
        Format::Human => {
            writeln!(out, "{name}: {} tools, {bytes} bytes, about {tokens} tokens\n", rows.len())?;
            writeln!(out, "{:>7}  {:>6}  {:<5}  name", "bytes", "tokens", "")?;
            for row @ Row { name, mark, .. } in rows {
                let bytes = row.bytes();
                writeln!(out, "{bytes:>7}  {:>6}  {mark:<5}  {name}", bytes.div_ceil(BYTES_PER_TOKEN))?;
            }
        }
    }
    out.flush()
}

impl Row {
    fn bytes(&self) -> usize {
        self.json.get().len()
    }
}
