//! Whether an answer could stand in a policy, by the policy's own parser and before there is a policy.
//!
//! Promises that what is said of it is one sentence in the words of the command line: no key, and no place in a file that is not there.

use clap::Args;

use super::text::toml_string;
use crate::policy::{Finding, Parsed, Policy, Severity};

/// What stands for an answer that is judged by itself.
const NAME: &str = "name";
const BASE_URL: &str = "https://api.example.com/";

/// What the parser names, and what a person can give instead of it; the longer ones first.
const WORDS: [(&str, &str); 7] = [
    ("set `allow_http = true`", "give --allow-http"),
    ("set `allow_private = true`", "give --allow-private"),
    ("`allow_http = true`", "--allow-http"),
    ("`allow_private = true`", "--allow-private"),
    ("`[upstream.credential]`", "--credential"),
    ("`upstream.base_url`", "--base-url"),
    ("`name`", "--name"),
];

/// What a policy reaches only where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
pub(super) struct Allow {
    /// The policy allows plain HTTP, which goes to this machine alone: 127.0.0.1 or ::1.
    #[arg(long)]
    allow_http: bool,
    /// The policy allows private addresses too: this machine's, 10.0.0.0/8 and the like.
    #[arg(long)]
    allow_private: bool,
}

/// What keeps an answer out of a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(super) struct Fault {
    sentence: String,
}

impl Allow {
    /// The lines of a policy that say so.
    pub(super) fn toml(self) -> String {
        let mut lines = String::new();
        if self.allow_http {
            lines.push_str("allow_http = true      # plain HTTP, to this machine alone\n");
        }
        if self.allow_private {
            lines.push_str(
                "allow_private = true   # private addresses too: whoever answers the API's name decides which\n",
            );
        }
        lines
    }
}

/// # Errors
/// No API can be called so.
pub(super) fn name(name: &str) -> Result<(), Fault> {
    judge(&upstream(name, BASE_URL, Allow::default()))
}

/// # Errors
/// No policy may reach an API there that allows no more than this.
pub(super) fn base_url(url: &str, allow: Allow) -> Result<(), Fault> {
    judge(&upstream(NAME, url, allow))
}

/// # Errors
/// No secret may be sent in a header of this name.
pub(super) fn header(name: &str) -> Result<(), Fault> {
    let credential =
        format!("credential = {{ header = {{ name = {}, value = {{ env = \"A\" }} }} }}\n", toml_string(name));
    judge(&(upstream(NAME, BASE_URL, Allow::default()) + &credential))
}

/// The first thing for which a policy of this text would not be used.
///
/// # Errors
/// There is one.
pub(super) fn judge(policy: &str) -> Result<(), Fault> {
    let Parsed { findings, .. } = Policy::parse("", policy);
    let wrong = findings.iter().find(|finding| finding.severity == Severity::Error);
    wrong.map_or(Ok(()), |finding| Err(Fault::of(finding)))
}

impl Fault {
    fn of(Finding { message, help, .. }: &Finding) -> Self {
        let sentence = match help {
            Some(help) => format!("{message}; {help}"),
            None => message.clone(),
        };
        Self { sentence: WORDS.iter().fold(sentence, |sentence, (key, flag)| sentence.replace(key, flag)) }
    }
}

/// The head of a policy.
fn upstream(name: &str, base_url: &str, allow: Allow) -> String {
    let (name, base_url) = (toml_string(name), toml_string(base_url));
    format!("version = 1\nname = {name}\n[upstream]\nbase_url = {base_url}\n{}", allow.toml())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_may_not_reach_is_told_with_the_flag_that_allows_it() {
        let none = Allow::default();
        let http = Allow { allow_http: true, ..none };
        let private = Allow { allow_private: true, ..none };
        for (url, allow, flags) in [
            ("https://api.example.com/v1/", none, None),
            ("http://127.0.0.1:9/", none, Some(&["--base-url", "--allow-http"][..])),
            ("http://127.0.0.1:9/", private, Some(&["--base-url", "--allow-http"])),
            ("http://127.0.0.1:9/", http, None),
            ("http://api.example.com/", none, Some(&["--base-url", "https://", "--allow-http"])),
            ("http://api.example.com/", http, Some(&["--base-url", "https://"])),
            ("https://10.0.0.1/", none, Some(&["--base-url", "--allow-private"])),
            ("https://10.0.0.1/", private, None),
            ("https://127.0.0.1/", none, Some(&["--base-url", "--allow-private", "--allow-http"])),
            ("ftp://api.example.com/", none, Some(&["--base-url", "https://"])),
            ("api.example.com", none, Some(&["--base-url"])),
            ("https://u:p@api.example.com/", none, Some(&["--base-url", "--credential"])),
            ("", none, Some(&["--base-url"])),
        ] {
            let said = base_url(url, allow).err().map(|fault| fault.to_string());
            assert_eq!(said.is_none(), flags.is_none(), "{url} {allow:?}: {said:?}");
            let said = said.unwrap_or_default();
            assert!(flags.unwrap_or_default().iter().all(|flag| said.contains(flag)), "{url} {allow:?}: {said}");
            assert!(!said.contains("allow_") && !said.contains("upstream."), "no key: {said}");
        }
    }

    #[test]
    fn a_name_and_a_header_are_judged_by_themselves() {
        for (good, said) in [
            (name("my-shop").is_ok(), name("My Shop").unwrap_err().to_string()),
            (header("X-Api-Key").is_ok(), header("X Api Key").unwrap_err().to_string()),
            (header("Private-Token").is_ok(), header("Host").unwrap_err().to_string()),
        ] {
            assert!(good && !said.contains('\n'), "{said}");
        }
        assert!(name("My Shop").unwrap_err().to_string().starts_with("--name `My Shop` must be"));
    }
}
