//! What a write would change, in words that are true whatever the API makes of it.

use super::{CHANGE_BYTES, REASON_BYTES, beside};
use crate::confirm::difference::{Basis, Change, Row};
use crate::confirm::escape::shown;
use crate::confirm::page::Section;

/// Why nothing is known of it.
pub(super) fn unseen(why: &str) -> Section {
    let mut section = Section::new("change", REASON_BYTES).label("What it changes is not known:");
    section.value(0, &shown(why));
    section
}

/// The difference to what was read of the target, with the query of the request where it has one.
pub(super) fn changes(change: &Change, has_query: bool) -> Section {
    let mut section = heading(change, Section::new("change", CHANGE_BYTES));
    if has_query {
        section = section
            .label("What the API has now was read with the query of this request, which the")
            .label("agent chose: it may leave things out.");
    }
    if change.hidden > 0 {
        section = section.label(&format!("Redacted by the policy, so not compared: {}", change.hidden));
    }
    if change.rows.is_empty() {
        section = section
            .label("No difference was found. That does not prove that nothing would change: the")
            .label("API may read the body in another way, or have more than it shows.");
    }
    for row in &change.rows {
        section.value(0, &line(row));
    }
    (0..change.more).for_each(|_| section.leave_out());
    section
}

fn heading(change: &Change, section: Section) -> Section {
    let Change { changed, added, removed, unchanged, unnamed, .. } = change;
    let counted = format!("Counted: {changed} changed, {added} added, {removed} removed, {unchanged} as before");
    match change.basis {
        Basis::Delete => section
            .label(&format!("What the API has now and would be gone, {removed} in all:"))
            .label("The API may delete more than it shows."),
        Basis::Replace => section.label("Change, if the body takes the place of what the API has now:").label(&counted),
        Basis::Merge => section
            .label("Change, if the body is merged into what the API has now:")
            .label(&counted)
            .label(&format!("Not named by the body, so left alone: {unnamed}")),
    }
}

fn line(Row { path, old, new }: &Row) -> String {
    let path = if path.is_empty() { "(the whole)" } else { path };
    match (old, new) {
        (Some(old), Some(new)) => format!("~ {} -> {}", beside(path, ": ", old), shown(new)),
        (Some(old), None) => format!("- {}", beside(path, ": ", old)),
        (None, Some(new)) => format!("+ {}", beside(path, ": ", new)),
        (None, None) => format!("? {}", beside(path, ": ", "redacted, so not compared")),
    }
}
