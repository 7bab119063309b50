//! A policy told in words, for the agent that works under it: what is open, what is closed, and how often.
//!
//! Says what rules say and nothing of credentials, files or how a policy is changed.

use std::fmt::Write as _;

use super::file::File;
use super::rule::{Allow, Deny, Written};
use super::verdict::{Channel, Confirm, Effect};
use crate::request::method::Method;

/// The policy of a file that has no error.
pub(super) fn words(file: &File) -> String {
    let mut text = format!("What may be asked of `{}`. Everything that is not listed is refused.\n", file.name);
    let writes = if file.writes { "Writes are possible where a rule says so." } else { "Nothing can be changed." };
    text.push_str(writes);
    if let Some(report) = &file.report {
        text.push_str(&format!(" On trial until {}: reads that no line below closes pass as well.", report.day()));
    }
    text.push_str("\n\nOpen (`*` is one segment of the path, `**` any number):\n");
    file.allows.iter().for_each(|rule| allow(&mut text, rule, file.writes));
    if !file.denies.is_empty() {
        text.push_str("\nClosed, whatever is open above:\n");
        file.denies.iter().for_each(|rule| deny(&mut text, rule));
    }
    text
}

fn allow(text: &mut String, written: &Written<Allow>, writes: bool) {
    let Written { rule, paths, .. } = written;
    let at = match rule.channel {
        Channel::Any => "",
        Channel::Client => " in the client",
        Channel::Desk => " at the desk",
    };
    for method in Method::ALL.into_iter().filter(|method| rule.methods.contains(*method)) {
        let how = match (rule.effect_of(method), writes, rule.confirm) {
            (Effect::Read, _, _) => String::new(),
            (Effect::Write, false, _) => continue,
            (Effect::Write, true, Confirm::Never) => " (a write)".to_owned(),
            (Effect::Write, true, Confirm::Each) => format!(" (a write; a human approves each{at})"),
            (Effect::Write, true, Confirm::Typed) => format!(" (a write; a human approves each{at} by typing a word)"),
        };
        for path in paths {
            line(text, &format!("- {method} {}{how}", path.pattern.text()));
        }
    }
}

fn deny(text: &mut String, written: &Written<Deny>) {
    let Written { rule, paths, .. } = written;
    let methods: Vec<_> = Method::ALL.into_iter().filter(|method| rule.methods.contains(*method)).collect();
    let all = methods.len() == Method::ALL.len();
    let names: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
    let which = if all { String::new() } else { format!("{} ", names.join(", ")) };
    let query = if rule.names.is_some() { ", with certain names in the query" } else { "" };
    let reason = rule.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    for path in paths {
        line(text, &format!("- {which}{}{query}{reason}", path.pattern.text()));
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{line}").ok();
}
