//! What an OpenAPI document offers to a policy: its GET operations in groups, and what looks like access or people closed.

use std::collections::BTreeMap;
use std::path::Path;

use super::text::{list, toml_string};
use super::{Closed, Group, InitError, Offer, Openapi, Sample};
use crate::catalog::operation::Operation;
use crate::catalog::{Catalog, MAX_DOCUMENT};
use crate::config;
use crate::confirm::escape::shown;
use crate::request::method::Method;
use crate::request::template::globbed;

/// Words of a path that are about access, or about single people.
const SENSITIVE: &[&str] = &[
    "2fa",
    "admin",
    "apikey",
    "auth",
    "authentication",
    "authorization",
    "billing",
    "card",
    "cert",
    "certificate",
    "collaborator",
    "credential",
    "email",
    "employee",
    "hook",
    "impersonate",
    "impersonation",
    "invitation",
    "invite",
    "invoice",
    "key",
    "keyring",
    "login",
    "logout",
    "member",
    "membership",
    "mfa",
    "oauth",
    "oauth2",
    "otp",
    "passkey",
    "passphrase",
    "passwd",
    "password",
    "payment",
    "people",
    "permission",
    "person",
    "private",
    "role",
    "saml",
    "scim",
    "secret",
    "session",
    "signin",
    "signup",
    "sso",
    "token",
    "totp",
    "user",
    "webhook",
];
/// Parts of words that are about access wherever they stand.
const STEMS: &[&str] = &[
    "accesskey",
    "access_key",
    "apikey",
    "audit",
    "credential",
    "environment",
    "password",
    "privatekey",
    "secret",
    "serviceaccount",
    "service-account",
    "service_account",
    "sshkey",
    "token",
    "variable",
];

/// The rule for them.
const CLOSED: &str = "sensitive-looking";

/// The most paths of one rule.
const MAX_PATHS: usize = 256;

/// The longest summary beside a path, in characters.
const MAX_SUMMARY: usize = 60;

/// A path that a rule opens, and what it is for.
struct Opened {
    pattern: Vec<String>,
    template: String,
    summary: String,
}

/// The groups of a document's operations.
///
/// # Errors
/// It cannot be read, or has nothing to open.
pub(super) fn offer(path: &Path) -> Result<Offer, InitError> {
    let text = config::read_document(path, MAX_DOCUMENT)?;
    let document = |source| InitError::Document { path: path.to_owned(), source };
    let (catalog, _) = Catalog::read(text).map_err(document)?;
    let mut offer = groups(catalog.operations(), path);
    if offer.groups.is_empty() {
        return Err(InitError::NothingToOpen(path.to_owned()));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    offer.name = slug(&stem, 32);
    Ok(offer)
}

fn groups(operations: &[Operation], path: &Path) -> Offer {
    let mut grouped: BTreeMap<String, Vec<Opened>> = BTreeMap::new();
    let mut closed: BTreeMap<String, String> = BTreeMap::new();
    let mut left_out = 0;
    for operation in operations {
        let segments: Vec<&str> = operation.template().split('/').skip(1).collect();
        let sensitive = segments.iter().find(|segment| is_sensitive(segment));
        match (sensitive, pattern(&segments)) {
            (Some(segment), Some(_)) => {
                closed.entry(segment.to_ascii_lowercase()).or_insert_with(|| operation.template().to_owned());
            }
            (None, Some(pattern)) if operation.method() == Method::Get => {
                let opened = Opened {
                    pattern,
                    template: operation.template().to_owned(),
                    summary: operation.summary().to_owned(),
                };
                grouped.entry(group_of(operation, &segments)).or_default().push(opened);
            }
            (None, Some(_)) => {}
            (None | Some(_), None) => left_out += 1,
        }
    }
    settle(&mut grouped);
    let groups = grouped.into_iter().flat_map(|(id, opened)| rules(&id, &opened)).collect();
    let openapi = Openapi::File(path.to_owned());
    Offer { openapi, base_url: None, name: String::new(), groups, closed: denials(&closed), left_out }
}

/// The tag, else the first word of the path that says something.
fn group_of(operation: &Operation, segments: &[&str]) -> String {
    let tag = operation.tags().first().map(String::as_str);
    let version = |segment: &str| {
        segment == "api"
            || segment.strip_prefix('v').is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let telling = segments.iter().copied().find(|segment| !segment.contains('{') && !version(segment));
    slug(tag.or(telling).unwrap_or("root"), 40)
}

/// Lower-case letters, digits and hyphens, beginning with a letter.
fn slug(text: &str, most: usize) -> String {
    let mut slug = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(most);
    let slug = slug.trim_end_matches('-');
    if slug.starts_with(|c: char| c.is_ascii_lowercase()) {
        slug.to_owned()
    } else {
        format!("api-{slug}").trim_end_matches('-').to_owned()
    }
}

/// The template with `*` for its variables; nothing where a rule could not name it as it stands.
pub(super) fn pattern(segments: &[&str]) -> Option<Vec<String>> {
    segments.iter().map(|segment| starred(segment)).collect()
}

fn starred(segment: &str) -> Option<String> {
    let pattern = globbed(segment);
    let plain = |c: char| c.is_ascii_alphanumeric() || "*._~-:@!$&'()+,=".contains(c);
    let literal = segment.contains('*');
    (pattern.chars().all(plain) && !literal).then_some(pattern)
}

/// Whether a segment of a path, by one of its words, is about access or people.
fn is_sensitive(segment: &str) -> bool {
    // The names of variables say nothing of what the path is about.
    let literal: String =
        segment.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after)).collect();
    let lower = literal.to_ascii_lowercase();
    STEMS.iter().any(|stem| lower.contains(stem))
        || words(&literal).iter().any(|word| SENSITIVE.contains(&word.as_str()))
}

/// The words of `api_keys`, `userInvites` and their like, in lower case and the singular.
fn words(segment: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in segment.chars() {
        let begins = !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && lower_before);
        if begins {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    let singular = |word: String| match word.strip_suffix('s') {
        Some(one) if one.len() >= 3 => one.to_owned(),
        Some(_) | None => word,
    };
    // Once as it stands (`sso`, `sms`), once in the singular.
    let singulars: Vec<String> = words.iter().cloned().map(singular).collect();
    words.into_iter().chain(singulars).filter(|word| !word.is_empty()).collect()
}

/// Sorts the paths, and takes out those that another one opens as well.
fn settle(grouped: &mut BTreeMap<String, Vec<Opened>>) {
    let mut all: Vec<Vec<String>> = grouped.values().flatten().map(|opened| opened.pattern.clone()).collect();
    all.sort();
    all.dedup();
    let mut seen: Vec<Vec<String>> = Vec::new();
    for opened in grouped.values_mut() {
        opened.sort_by(|one, other| one.pattern.cmp(&other.pattern));
        opened.retain(|opened| {
            let again = seen.contains(&opened.pattern);
            let covered = all.iter().any(|wide| *wide != opened.pattern && covers(wide, &opened.pattern));
            if !again && !covered {
                seen.push(opened.pattern.clone());
            }
            !again && !covered
        });
    }
    grouped.retain(|_, opened| !opened.is_empty());
}

/// Whether one pattern matches all that the other does, segment by segment.
pub(super) fn covers(wide: &[String], narrow: &[String]) -> bool {
    wide.len() == narrow.len() && wide.iter().zip(narrow).all(|(wide, narrow)| wide == "*" || wide == narrow)
}

/// The rules of one group, each of at most so many paths as a rule can have.
fn rules(id: &str, opened: &[Opened]) -> Vec<Group> {
    let several = opened.len() > MAX_PATHS;
    let rule = |(number, some): (usize, &[Opened])| {
        let id = if several { format!("{id}-{}", number + 1) } else { id.to_owned() };
        let path = |opened: &Opened| {
            let summary: String = shown(&opened.summary).chars().take(MAX_SUMMARY).collect();
            let comment = if summary.is_empty() { summary } else { format!("  # {summary}") };
            format!("  {},{comment}\n", toml_string(&joined(&opened.pattern)))
        };
        let paths: String = some.iter().map(path).collect();
        let toml = format!("[[allow]]\nid      = {}\nmethods = [\"GET\"]\npaths   = [\n{paths}]", toml_string(&id));
        let path = some.first().map(|opened| filled(&opened.template)).unwrap_or_default();
        Group { id, toml, paths: some.len(), case: Sample { method: "GET", path, body: None } }
    };
    opened.chunks(MAX_PATHS).enumerate().map(rule).collect()
}

/// The pattern as a rule writes it.
pub(super) fn joined(pattern: &[String]) -> String {
    format!("/{}", pattern.join("/"))
}

/// The template with a number for each variable.
fn filled(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        path.push_str(literal);
        path.push('1');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    path.push_str(rest);
    path
}

fn denials(closed: &BTreeMap<String, String>) -> Vec<Closed> {
    let closed: Vec<(&String, &String)> = closed.iter().collect();
    let several = closed.len() > MAX_PATHS;
    let rule = |(number, some): (usize, &[(&String, &String)])| {
        let id = if several { format!("{CLOSED}.{}", number + 1) } else { CLOSED.to_owned() };
        let paths: Vec<String> = some.iter().map(|(segment, _)| format!("/**/{segment}")).collect();
        let toml = format!(
            "[[deny]]\nid     = {}\npaths  = {}\nreason = \"about access, or about single people: not for agents\"",
            toml_string(&id),
            list(&paths),
        );
        let path = some.first().map(|(_, template)| filled(template)).unwrap_or_default();
        Closed { id, toml, case: Sample { method: "GET", path, body: None } }
    };
    closed.chunks(MAX_PATHS).enumerate().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_sensitive_by_one_of_its_words() {
        for segment in [
            "token",
            "tokens",
            "api_keys",
            "apiKeys",
            "apikeys",
            "APIKeys",
            "user",
            "users",
            "user_invites",
            "userInvites",
            "reset-password",
            "authtoken",
            "sso",
            "ssh-keys",
            "oauth2",
            "personal_access_tokens",
            "2fa",
        ] {
            assert!(is_sensitive(segment), "{segment}");
        }
        for segment in
            ["", "monkeys", "turnkey", "usage", "author", "repos", "keyboard", "{token}", "address", "roles2"]
        {
            assert!(!is_sensitive(segment), "{segment}");
        }
    }

    #[test]
    fn a_template_becomes_a_pattern_or_nothing() {
        let of = |template: &str| pattern(&template.split('/').skip(1).collect::<Vec<_>>()).map(|parts| joined(&parts));
        for (template, expected) in [
            ("/a/{id}/b/", Some("/a/*/b/")),
            ("/a/{x}.json", Some("/a/*.json")),
            ("/a/{x}{y}", Some("/a/*")),
            ("/a/{x}:{y}", Some("/a/*:*")),
            ("/", Some("/")),
            ("/a/*", None),
            ("/a/x?y", None),
            ("/a/[x]", None),
            ("/a/%41", None),
        ] {
            assert_eq!(of(template).as_deref(), expected, "{template}");
        }
        assert_eq!(filled("/a/{id}/b/{x}.json"), "/a/1/b/1.json");
    }

    #[test]
    fn an_id_is_made_of_any_tag() {
        for (tag, id) in
            [("Pull Requests", "pull-requests"), ("répos", "r-pos"), ("42", "api-42"), ("…", "api"), ("a__b", "a-b")]
        {
            assert_eq!(slug(tag, 40), id);
        }
    }
}
