//! Credentials: which kind, and where each secret comes from.
//!
//! Promises that no secret stands in the policy, and that the text of what may be one is shown nowhere.

use std::collections::BTreeMap;

use super::headers::refuse_header;
use super::is_label;
use super::section::{Section, Value};
use super::upstream::{file_name, source};
use crate::policy::finding::{Findings, quoted};
use crate::policy::spec::{CredentialSpec, SecretSpec, Source, SourceSpec};

pub(super) const CREDENTIAL: [&str; 3] = ["bearer", "basic", "header"];
const SECRET: [&str; 4] = ["env", "file", "command", "systemd"];

pub(super) fn read_credentials(
    section: &Section<'_>,
    sources: &mut Vec<Source>,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, CredentialSpec> {
    let mut credentials = BTreeMap::new();
    let Some(table) = section.get("credentials").and_then(|value| value.table(findings)) else { return credentials };
    for (name, span, value) in table.entries() {
        let good = is_label(name, &span, "the credential's name", "-_", findings);
        let Some(credential) = value.table(findings) else { continue };
        credential.refuse_unknown(&CREDENTIAL, findings);
        if let Some(credential) = read_credential(&credential, sources, findings).filter(|_| good) {
            credentials.insert(name.to_owned(), credential);
        }
    }
    credentials
}

pub(super) fn read_credential(
    section: &Section<'_>,
    sources: &mut Vec<Source>,
    findings: &mut Findings<'_>,
) -> Option<CredentialSpec> {
    match one_of(section, &CREDENTIAL, findings)? {
        ("bearer", value) => Some(CredentialSpec::Bearer(read_secret(&value, sources, findings)?)),
        ("basic", value) => {
            let parts = whole(&value, &["username", "password"], findings)?;
            let username = parts.need("username", findings).and_then(|value| read_secret(&value, sources, findings));
            let password = parts.need("password", findings).and_then(|value| read_secret(&value, sources, findings));
            Some(CredentialSpec::Basic { username: username?, password: password? })
        }
        (_, value) => {
            let parts = whole(&value, &["name", "value"], findings)?;
            let name = parts.need("name", findings).and_then(|value| read_credential_header(&value, findings));
            let value = parts.need("value", findings).and_then(|value| read_secret(&value, sources, findings));
            Some(CredentialSpec::Header { name: name?, value: value? })
        }
    }
}

fn read_credential_header(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let name = value.text(findings)?;
    let lower = name.to_ascii_lowercase();
    refuse_header(name, &lower, value.span(), findings).then_some(lower)
}

/// A table with known keys, in whose place some would write the secret itself.
fn whole<'a>(value: &Value<'a>, keys: &[&str], findings: &mut Findings<'_>) -> Option<Section<'a>> {
    if value.is_text() {
        refuse_literal(value, findings);
        return None;
    }
    let section = value.table(findings)?;
    section.refuse_unknown(keys, findings);
    Some(section)
}

fn refuse_literal(value: &Value<'_>, findings: &mut Findings<'_>) {
    findings.hide(value.span());
    let message =
        format!("{}: a secret may not stand in the policy (its text is not repeated here)", quoted(value.name()));
    findings.error("inline-secret", value.span(), message, Some("write `{ env = \"NAME\" }` or `{ file = \"name\" }`"));
}

pub(super) fn read_secret(
    value: &Value<'_>,
    sources: &mut Vec<Source>,
    findings: &mut Findings<'_>,
) -> Option<SecretSpec> {
    if let Some(keyring) = value.peek("keyring") {
        let message = "`keyring` is not in this build".to_owned();
        let help = Some("use `command = [\"…\"]` with a program that prints the secret");
        findings.error("unknown-key", keyring.span(), message, help);
        return None;
    }
    let section = whole(value, &SECRET, findings)?;
    let secret = match one_of(&section, &SECRET, findings)? {
        ("env", value) => SecretSpec::Env(variable(&value, "_", findings)?),
        ("file", value) => SecretSpec::File(file_name(&value, findings)?),
        ("command", value) => SecretSpec::Command(read_command(&value, findings)?),
        (_, value) => SecretSpec::Systemd(variable(&value, "_.-", findings)?),
    };
    sources.push(source(SourceSpec::Secret(secret.clone()), value, findings));
    Some(secret)
}

/// The one key of these that is there.
pub(super) fn one_of<'a, 'k>(
    section: &Section<'a>,
    keys: &[&'k str],
    findings: &mut Findings<'_>,
) -> Option<(&'k str, Value<'a>)> {
    let mut given = keys.iter().filter_map(|key| section.get(key).map(|value| (*key, value)));
    let (first, second) = (given.next(), given.next());
    if let (Some((one, _)), Some((two, value))) = (&first, &second) {
        // Either may be the secret itself; nobody looks into them any more.
        section.entries().for_each(|(_, _, value)| findings.hide(value.span()));
        let message = format!("give `{one}` or `{two}` in {}, not both", quoted(section.name()));
        findings.error("two-sources", value.span(), message, None);
        return None;
    }
    if first.is_none() && section.entries().next().is_none() {
        let message = format!("{} needs one of {}", quoted(section.name()), keys.join(", "));
        findings.error("missing-key", section.span(), message, None);
    }
    first
}

/// A name in the environment or among systemd's credentials. What is not one may be the secret itself.
fn variable(value: &Value<'_>, also: &str, findings: &mut Findings<'_>) -> Option<String> {
    let text = value.text(findings)?;
    let known = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    if text.is_empty() || text.len() > 255 || !text.chars().all(known) || text.starts_with(|c: char| c.is_ascii_digit())
    {
        findings.hide(value.span());
        let message = format!("{} must be a name, not the secret itself", quoted(value.name()));
        findings.error("bad-name", value.span(), message, None);
        return None;
    }
    Some(text.to_owned())
}

fn read_command(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    if value.is_text() {
        let message =
            format!("{} must be a list: the program, then its arguments; no shell reads it", quoted(value.name()));
        findings.error("wrong-type", value.span(), message, Some("write `[\"program\", \"argument\"]`"));
        return None;
    }
    let words: Vec<String> = value.texts(findings)?.into_iter().map(|(word, _)| word.to_owned()).collect();
    if words.first().is_none_or(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
        findings.error("bad-value", value.span(), format!("{} names no program", quoted(value.name())), None);
        return None;
    }
    Some(words)
}
