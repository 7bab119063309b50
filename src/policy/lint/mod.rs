//! What is wrong between rules, though each of them can be read: rules that contradict, cover or repeat one another.
//!
//! Promises that a finding is true of some request, or, where it says that something never happens, of none. The
//! decision does not depend on these checks: where two rules overlap, it takes the stricter reading by itself.

mod include;
mod look_alike;
mod pairs;

use std::collections::{BTreeSet, HashMap};

use self::pairs::Pairs;
use super::file::File;
use super::finding::{Findings, quoted};
use super::rule::{Allow, Deny, Written};
use super::spec::SourceSpec;
use super::verdict::{Confirm, Effect};
use crate::request::encoded::Encoded;

/// Reports everything that the rules of a file say about one another.
pub(super) fn check(file: &File, findings: &mut Findings<'_>) {
    if file.allows.is_empty() && findings.errors() == 0 {
        findings.warn(
            "nothing-allowed",
            0..0,
            "there is no `[[allow]]` rule: every request is refused".to_owned(),
            None,
        );
    }
    for allow in &file.allows {
        check_opening(allow, file.writes, findings);
    }
    check_unused_credentials(file, findings);
    check_duplicates(file, findings);
    look_alike::check(file, findings);
    let pairs = Pairs::new(&file.allows, &file.denies);
    pairs.check_effects(findings);
    pairs.check_credentials(findings);
    pairs.check_limits(findings);
    pairs.check_covered(findings);
    pairs.check_depth(findings);
}

/// What one rule opens, perhaps wider than meant.
fn check_opening(allow: &Written<Allow>, writes: bool, findings: &mut Findings<'_>) {
    let Written { rule, paths, places } = allow;
    for path in paths.iter().filter(|path| path.pattern.is_everything()) {
        let methods: Vec<&str> = rule.methods.iter().map(|method| method.as_str()).collect();
        let message = format!("this opens the whole API for {}", methods.join(", "));
        findings.warn("allow-everything", path.span.clone(), message, Some("name the parts that are needed"));
    }
    let mut written = rule.methods.iter().filter(|method| rule.effect_of(*method) == Effect::Write);
    let first_write = written.next();
    if let Some(span) = &places.confirm {
        match first_write {
            None => {
                let message = "`confirm` is about writes, and this rule allows reads only".to_owned();
                findings.warn("confirm-on-read", span.clone(), message, None);
            }
            Some(_) if rule.confirm == Confirm::Never => {
                let message = "nobody is asked before these writes are sent".to_owned();
                findings.warn(
                    "confirm-never",
                    span.clone(),
                    message,
                    Some("`confirm = \"each\"` asks a human each time"),
                );
            }
            Some(_) => {}
        }
    }
    if let (Some(method), false) = (first_write, writes) {
        let message = format!("{method} sleeps here: it is a write, and `access.writes` is false");
        findings.warn("asleep", places.methods.clone(), message, None);
    }
    if let Some(span) = places.encoded.clone().filter(|_| rule.encoded != Encoded::NONE) {
        let message = "paths with encoded reserved characters are read differently by different servers".to_owned();
        findings.warn("encoded", span, message, Some("make sure that the upstream takes them for part of one segment"));
    }
}

fn check_unused_credentials(file: &File, findings: &mut Findings<'_>) {
    let used: BTreeSet<&str> = file.allows.iter().filter_map(|allow| allow.rule.credential.as_deref()).collect();
    for name in file.upstream.credentials.keys().filter(|name| !used.contains(name.as_str())) {
        let key = format!("upstream.credentials.{name}.");
        let source = file
            .sources
            .iter()
            .find(|source| matches!(source.spec, SourceSpec::Secret(_)) && source.key.starts_with(&key));
        let span = source.map_or(0..0, |source| source.place.span.clone());
        findings.warn("unused-credential", span, format!("no rule uses the credential {}", quoted(name)), None);
    }
}

fn check_duplicates(file: &File, findings: &mut Findings<'_>) {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let allows = file.allows.iter().map(|allow| (allow_key(allow), allow.rule.name.line(), &allow.places));
    let denies = file.denies.iter().map(|deny| (deny_key(deny), deny.rule.name.line(), &deny.places));
    for (key, line, places) in allows.chain(denies) {
        let first = *seen.entry(key).or_insert(line);
        if first != line {
            findings.warn("duplicate-rule", places.id.clone(), format!("same rule as on line {first}"), None);
        }
    }
}

fn allow_key(allow: &Written<Allow>) -> String {
    let Allow { name: _, methods, effect, query, body, encoded, confirm, credential, rate } = &allow.rule;
    let paths: BTreeSet<&str> = allow.paths.iter().map(|path| path.pattern.text()).collect();
    format!("{paths:?} {methods:?} {effect:?} {query:?} {body:?} {encoded:?} {confirm:?} {credential:?} {rate:?}")
}

fn deny_key(deny: &Written<Deny>) -> String {
    let Deny { name: _, methods, names, reason: _ } = &deny.rule;
    let paths: BTreeSet<&str> = deny.paths.iter().map(|path| path.pattern.text()).collect();
    format!("deny {paths:?} {methods:?} {names:?}")
}
