//! `portcullis tools`: what the agent will see, and what it costs.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::check::{self, Checked, Look};
use super::{FOUND, Format, catalog, complain};
use crate::config;
use crate::policy::{Parsed, Policy};
use crate::server::tools::entry;
use crate::tools::Toolbox;

/// Bytes of JSON that make one token, about.
const BYTES_PER_TOKEN: usize = 4;

/// One tool, as it is printed.
struct Row {
    name: String,
    bytes: usize,
    mark: &'static str,
    json: serde_json::Value,
}

pub(super) fn run(path: &Path, format: Format) -> ExitCode {
    match list(path).and_then(|(name, rows)| print(&name, &rows, format).map_err(|error| complain(&error))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn list(path: &Path) -> Result<(String, Vec<Row>), ExitCode> {
    let file = config::read_policy(path).map_err(|error| complain(&error))?;
    let beside = file.directory().to_owned();
    let Parsed { policy, findings, hidden } = Policy::parse(&file.name(), &file.text);
    let Some(policy) = policy else {
        let checked = Checked { file: file.name(), text: file.text, findings, hidden };
        check::write_human(&mut io::stderr(), &[checked], Look::Plain).map_err(|error| complain(&error))?;
        return Err(ExitCode::from(FOUND));
    };
    let read = catalog::read(&policy, &beside).map_err(|error| complain(&error))?;
    let (catalog, warnings) = read.map_or((None, Vec::new()), |(catalog, warnings)| (Some(catalog), warnings));
    let notes = catalog.iter().flat_map(crate::catalog::Catalog::examine);
    for warning in warnings.into_iter().chain(notes) {
        // A closed standard error leaves nobody to tell.
        drop(writeln!(io::stderr(), "note: {warning}"));
    }
    let faces = Toolbox::new(&policy, catalog).faces();
    let rows = faces.into_iter().map(|face| {
        let mark = if face.hints.read_only { "read" } else { "write" };
        let json = serde_json::to_value(entry(face.clone())).unwrap_or_default();
        Row { name: face.name, bytes: json.to_string().len(), mark, json }
    });
    Ok((policy.name().to_owned(), rows.collect()))
}

fn print(name: &str, rows: &[Row], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let bytes: usize = rows.iter().map(|row| row.bytes).sum();
    let tokens = bytes.div_ceil(BYTES_PER_TOKEN);
    match format {
        Format::Json => {
            let tools: Vec<_> = rows.iter().map(|row| &row.json).collect();
            let whole = json!({"name": name, "tools": tools, "bytes": bytes, "tokens": tokens});
            writeln!(out, "{whole}")
        }
        Format::Human => {
            writeln!(out, "{name}: {} tools, {bytes} bytes, about {tokens} tokens\n", rows.len())?;
            writeln!(out, "{:>7}  {:>6}  {:<5}  name", "bytes", "tokens", "")?;
            for Row { name, bytes, mark, .. } in rows {
                writeln!(out, "{bytes:>7}  {:>6}  {mark:<5}  {name}", bytes.div_ceil(BYTES_PER_TOKEN))?;
            }
            Ok(())
        }
    }
}
