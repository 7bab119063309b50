//! The names of rules.

use std::collections::HashMap;

use super::section::Section;
use crate::policy::finding::{Findings, quoted};
use crate::policy::report::REPORT;
use crate::policy::verdict::RuleRef;

/// The names of rules, each once.
#[derive(Debug, Default)]
pub(super) struct Ids {
    lines: HashMap<String, usize>,
}

impl Ids {
    /// The name of one rule, with its line and its place among all.
    pub(super) fn read(&mut self, section: &Section<'_>, index: usize, findings: &mut Findings<'_>) -> Option<RuleRef> {
        let value = section.need("id", findings)?;
        let id = value.text(findings)?;
        let starts = id.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        // What report mode lets through is recorded under this name.
        if id == REPORT {
            findings.error(
                "bad-name",
                value.span(),
                format!("id {} is taken by the key of that name", quoted(id)),
                None,
            );
            return None;
        }
        if !starts || id.len() > 64 || !id.chars().all(known) {
            let message = format!("id {} must be lower-case letters, digits, `.`, `_` and `-`, 64 at most", quoted(id));
            findings.error("bad-name", value.span(), message, None);
            return None;
        }
        let line = findings.place(section.span()).line;
        let first = *self.lines.entry(id.to_owned()).or_insert(line);
        if first != line {
            let message = format!("id {} is taken by the rule on line {first}", quoted(id));
            findings.error("duplicate-id", value.span(), message, None);
        }
        Some(RuleRef::new(id.into(), u32::try_from(line).unwrap_or(u32::MAX), index))
    }
}
