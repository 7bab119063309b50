//! Findings for code review: SARIF 2.1.0 (OASIS), one run of one tool.

use std::collections::HashMap;
use std::io::{self, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Checked, explained};
use crate::policy::{Finding, Severity};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What stands as it is in the path of a URI reference (RFC 3986 section 3.3), `/` included.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// One log of one run, on one line.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, files: &[Checked]) -> io::Result<()> {
    let places: HashMap<&str, usize> = explained::all().enumerate().map(|(at, rule)| (rule.code, at)).collect();
    let rules = explained::all().map(|rule| {
        json!({
            "id": rule.code,
            "shortDescription": { "text": rule.code.replace('-', " ") },
            "fullDescription": { "text": rule.plain() },
            "help": { "text": rule.plain(), "markdown": rule.text },
        })
    });
    let rules: Vec<Value> = rules.collect();
    let results = files.iter().flat_map(|file| file.findings.iter().map(|finding| result(file, finding, &places)));
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "portcullis", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    });
    writeln!(out, "{log}")
}

fn result(file: &Checked, finding: &Finding, rules: &HashMap<&str, usize>) -> Value {
    let help = finding.help.as_ref().map(|help| format!(": {help}")).unwrap_or_default();
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Hint => "note",
    };
    // Of a link, the name that was given.
    let name = file.file.split(" -> ").next().unwrap_or(&file.file);
    let (end_line, end_column) = end(&file.text, finding);
    json!({
        "ruleId": finding.code,
        "ruleIndex": rules.get(finding.code),
        "level": level,
        "message": { "text": format!("{}{help}", finding.message) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": utf8_percent_encode(name, IN_PATH).to_string() },
                "region": {
                    "startLine": finding.line, "startColumn": finding.column,
                    "endLine": end_line, "endColumn": end_column,
                    "byteOffset": finding.span.start, "byteLength": finding.span.len(),
                },
            },
        }],
    })
}

/// Line and column after the last character of a finding, from 1.
fn end(text: &str, finding: &Finding) -> (usize, usize) {
    let spanned = text.get(finding.span.clone()).unwrap_or_default();
    match spanned.rsplit_once('\n') {
        Some((before, last)) => (finding.line + 1 + before.matches('\n').count(), last.chars().count() + 1),
        None => (finding.line, finding.column + spanned.chars().count()),
    }
}
