//! The files as they are written, and what to type next.

use std::path::Path;

use super::answer::Allow;
use super::credential::{Credential, named_from};
use super::{Closed, Group, Offer, Openapi, Sample};
use crate::trust::quoted;

const LINE: &str = "# ---------------------------------------------------------------------------------------------------------------------";

/// A text as TOML writes it.
pub(super) fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list with an element on each line.
pub(super) fn list(elements: &[String]) -> String {
    let elements: String = elements.iter().map(|element| format!("  {},\n", toml_string(element))).collect();
    format!("[\n{elements}]")
}

/// The API, as it was answered.
pub(super) struct Upstream<'a> {
    pub(super) name: &'a str,
    pub(super) base_url: &'a str,
    pub(super) allow: Allow,
    pub(super) credential: Option<&'a Credential>,
}

/// The policy, which will lie in `directory`.
pub(super) fn policy(offer: &Offer, upstream: &Upstream<'_>, directory: &Path) -> String {
    let openapi = match &offer.openapi {
        Openapi::Builtin(name) => (*name).to_owned(),
        Openapi::File(path) => named_from(path, directory).unwrap_or_else(|_| path.to_string_lossy().into_owned()),
    };
    let mut text = format!(
        "# What an agent may ask of this API: to read what the rules below name, and to change nothing.\n#\n\
         # What no rule allows is denied; a deny always wins; the order of rules means nothing. `*` stays inside one segment,\n\
         # `**` is any number of segments. policy.example.toml shows every key there is.\n\n\
         version = 1\nname    = {}\n\n[upstream]\nbase_url = {}\n{}\
         openapi  = {}   # a tool for each operation that a rule opens\n\n",
        toml_string(upstream.name),
        toml_string(upstream.base_url),
        upstream.allow.toml(),
        toml_string(&openapi),
    );
    text.push_str(&credential_text(upstream.credential));
    text.push_str("[access]\nwrites = false   # while false only reads leave, whatever the rules say\n\n");
    text.push_str(&format!("{LINE}\n# What may be read. Take out what your agent does not need.\n\n"));
    offer.groups.iter().for_each(|Group { toml, .. }| text.push_str(&format!("{toml}\n\n")));
    if !offer.closed.is_empty() {
        text.push_str(&format!(
            "{LINE}\n# What stays closed, whatever a rule above allows or will allow. A deny covers what lies below it.\n\n"
        ));
        offer.closed.iter().for_each(|Closed { toml, .. }| text.push_str(&format!("{toml}\n\n")));
    }
    let limits = "# The defaults; a loop that runs away meets them first.\n\
                  [limits]\n# rate   = \"120/min\"   # all calls of one agent\n# daily  = 5000\n";
    text.push_str(&format!("{LINE}\n{limits}"));
    text
}

fn credential_text(credential: Option<&Credential>) -> String {
    match credential {
        None => "# No credential: the API is asked as anybody would.\n\n".to_owned(),
        Some(Credential { toml, header, .. }) => {
            let line = match header {
                Some(header) => format!("header = {{ name = {}, value = {toml} }}", toml_string(header)),
                None => format!("bearer = {toml}"),
            };
            format!(
                "# Where the secret is; it never stands here. Use one that can only read, if the API gives out such.\n\
                 [upstream.credential]\n{line}\n\n"
            )
        }
    }
}

/// The cases beside it.
pub(super) fn cases(offer: &Offer, output: &Path) -> String {
    let file = output.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# What {file} has to say of requests; `portcullis test {file}` asks each.\n#\n\
         # Write a case for whatever must not change when a rule does.\n"
    );
    let mut add = |sample: &Sample, expect: &str, rule: Option<&str>| {
        text.push_str(&format!("\n[[case]]\nmethod = \"{}\"\npath   = {}\n", sample.method, toml_string(&sample.path)));
        sample.body.iter().for_each(|body| text.push_str(&format!("body   = {body}\n")));
        text.push_str(&format!("expect = \"{expect}\"\n"));
        rule.iter().for_each(|rule| text.push_str(&format!("rule   = {}\n", toml_string(rule))));
    };
    offer.groups.iter().for_each(|Group { id, case, .. }| add(case, "allow", Some(id)));
    offer.closed.iter().for_each(|Closed { id, case, .. }| add(case, "deny", Some(id)));
    if let Some(Group { case, .. }) = offer.groups.iter().find(|group| group.case.method == "GET") {
        for method in ["POST", "DELETE"] {
            add(&Sample { method, ..case.clone() }, "deny", None);
        }
        add(&Sample { path: format!("{}/../x", case.path.trim_end_matches('/')), ..case.clone() }, "refuse", None);
    }
    text
}

/// What was done, and what to type next.
pub(super) fn next(offer: &Offer, output: &Path, cases: &Path, credential: Option<&Credential>) -> String {
    let (policy, cases) = (quoted(output), quoted(cases));
    let mut text = format!("wrote `{policy}` and `{cases}`\n");
    if offer.left_out > 0 {
        let count = offer.left_out;
        text.push_str(&format!(
            "{count} operations of the document have paths that no rule can name; they stay closed\n"
        ));
    }
    credential.iter().for_each(|credential| text.push_str(&format!("{}\n", credential.advice)));
    text.push_str(&format!(
        "\nNext:\n  portcullis check {policy}\n  portcullis test {policy}\n  portcullis tools {policy}\n  portcullis doctor {policy}\n  \
         portcullis install claude-desktop {policy}   # or claude-code, cursor, vscode, zed, …"
    ));
    text
}

#[cfg(test)]
mod tests;
