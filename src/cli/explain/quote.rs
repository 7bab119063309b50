//! A rule as it stands in the policy file.

use std::io::{self, Write};

use crate::policy::{Policy, RuleRef};

/// The most lines of a rule that are quoted.
const MOST: usize = 14;

/// The lines of a rule, each with its number, from 1; at most [`MOST`]. Secrets are covered in the text of a policy.
pub(super) fn lines<'p>(policy: &'p Policy, rule: &RuleRef) -> Vec<(usize, &'p str)> {
    let first = rule.line() as usize;
    let from = policy.text().lines().enumerate().map(|(index, line)| (index + 1, line)).skip(first.saturating_sub(1));
    let mut lines: Vec<(usize, &str)> =
        from.take_while(|(number, line)| *number == first || !line.trim_start().starts_with('[')).collect();
    let is_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let end = lines.iter().rposition(|(_, line)| is_text(line)).map_or(0, |last| last + 1);
    lines.truncate(end);
    lines
}

/// Prints them behind a gutter.
pub(super) fn print(out: &mut dyn Write, policy: &Policy, rule: &RuleRef) -> io::Result<()> {
    let lines = lines(policy, rule);
    let width = lines.last().map_or(1, |(number, _)| number.to_string().len());
    for (number, line) in lines.iter().take(MOST) {
        writeln!(out, "  {number:>width$} | {}", crate::cli::audit::text::printable(line, 200))?;
    }
    if let Some(left) = lines.len().checked_sub(MOST).filter(|left| *left > 0) {
        writeln!(out, "  {:>width$} | … and {left} more lines", "")?;
    }
    Ok(())
}
