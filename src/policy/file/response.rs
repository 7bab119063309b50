//! `[response]`: how much of an answer is read and shown, in which form, and what is left out of it.

use super::section::Section;
use super::units::Size;
use crate::policy::field::FieldPath;
use crate::policy::finding::{Findings, quoted};
use crate::policy::spec::{Format, ResponseSpec};

/// More paths than a person could keep in mind.
const MOST_PATHS: usize = 256;

pub(super) fn read(root: &Section<'_>, findings: &mut Findings<'_>) -> ResponseSpec {
    let (read, shown) = (Size(8 << 20), Size(256 << 10));
    let mut spec =
        ResponseSpec { read_max_bytes: read.0, max_bytes: shown.0, format: Format::Json, redact: Vec::new() };
    let keys = ["read_max_bytes", "max_bytes", "format", "redact"];
    let Some(section) = root.section("response", &keys, findings) else { return spec };
    Size(spec.read_max_bytes) = section.number("read_max_bytes", read, Size(1 << 10)..=Size(1 << 30), findings);
    Size(spec.max_bytes) = section.number("max_bytes", shown, Size(1 << 10)..=Size(64 << 20), findings);
    let words = [("json", Format::Json), ("structured", Format::Structured), ("toon", Format::Toon)];
    spec.format = section.word("format", &words, findings).unwrap_or(spec.format);
    spec.redact = read_redact(&section, findings);
    spec
}

fn read_redact(section: &Section<'_>, findings: &mut Findings<'_>) -> Vec<FieldPath> {
    let Some(value) = section.get("redact") else { return Vec::new() };
    let Some(texts) = value.texts(findings) else { return Vec::new() };
    if texts.len() > MOST_PATHS {
        let message = format!("`response.redact` holds {} paths; the limit is {MOST_PATHS}", texts.len());
        findings.error("bad-value", value.span(), message, None);
    }
    let mut paths: Vec<FieldPath> = Vec::with_capacity(texts.len());
    for (text, span) in texts {
        match FieldPath::anywhere(text) {
            Ok(path) if paths.contains(&path) => {
                let message = format!("`response.redact` names {} twice", quoted(text));
                findings.warn("duplicate-path", span, message, Some("remove one of them"));
            }
            Ok(path) => paths.push(path),
            Err(error) => {
                let message = format!("`response.redact` cannot read {}: {error}", quoted(text));
                let help = "write a name, met at any depth, or a path from the root: `email`, `user.email`, `**.token`";
                findings.error("bad-value", span, message, Some(help));
            }
        }
    }
    paths
}
