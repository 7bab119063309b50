//! The allow paths of a policy, held against the operations that the API is known to have.

use crate::catalog::Catalog;
use crate::catalog::operation::Operation;
use crate::policy::{Finding, Opened, Passage, Policy, Severity, nearest};
use crate::request::method::Method;
use crate::request::template::globbed;

/// The most operations that a hint names.
const MOST: usize = 5;

/// One finding for each path that opens nothing that is known, or much by one `**`.
pub(in crate::cli) fn findings(policy: &Policy, catalog: &Catalog) -> Vec<Finding> {
    let operations: Vec<(Method, &str)> =
        catalog.operations().iter().map(|operation| (operation.method(), operation.template())).collect();
    policy.opened(&operations).iter().filter_map(|opened| finding(opened, catalog)).collect()
}

fn finding(opened: &Opened<'_>, catalog: &Catalog) -> Option<Finding> {
    let Opened { rule, path, operations } = opened;
    if operations.is_empty() {
        let methods: Vec<&str> = rule.methods().map(Method::as_str).collect();
        let message = format!("the API's description has no {} of a path like this", methods.join(", "));
        let known = catalog.operations().iter().filter(|of| rule.methods().any(|method| method == of.method()));
        let known: Vec<String> = known.map(|operation| globbed(operation.template())).collect();
        let help = nearest(&path.text, known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        return Some(Finding::new(Severity::Warning, "matches-no-operation", message, &path.place, help));
    }
    let open = operations.iter().filter(|(_, passage)| *passage != Passage::Never);
    let names = open.filter_map(|(place, _)| catalog.operations().get(*place)).map(Operation::name);
    let mut names: Vec<&str> = names.collect();
    let count = names.len();
    if count < 2 || !path.text.contains("**") {
        return None;
    }
    names.sort_unstable();
    let left = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let more = if left > 0 { format!(" and {left} more") } else { String::new() };
    let message = format!("`**` opens {count} operations today: {}{more}", names.join(", "));
    let help = "list their paths to keep out what the API adds below".to_owned();
    Some(Finding::new(Severity::Hint, "opens-many", message, &path.place, Some(help)))
}
