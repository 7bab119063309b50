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
use super::rule::{Allow, Deny, Places, Written};
use super::spec::SourceSpec;
use super::verdict::{Confirm, Effect, Preview};
use crate::request::encoded::Encoded;
use crate::request::method::Method;

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
    let first_write = written_methods(rule).next();
    match first_write {
        None => check_asked_of_reads(places, findings),
        Some(_) => check_asked_of_writes(allow, findings),
    }
    if let (Some(_), false) = (first_write, writes) {
        let methods: Vec<&str> = written_methods(rule).map(Method::as_str).collect();
        let message = match &methods[..] {
            [method] => format!("{method} sleeps here: it is a write, and `access.writes` is false"),
            many => format!("{} sleep here: they are writes, and `access.writes` is false", many.join(", ")),
        };
        findings.warn("asleep", places.methods.clone(), message, None);
    }
    if let Some(span) = places.encoded.clone().filter(|_| rule.encoded != Encoded::NONE) {
        let message = "paths with encoded reserved characters are read differently by different servers".to_owned();
        findings.warn("encoded", span, message, Some("make sure that the upstream takes them for part of one segment"));
    }
}

/// What a rule that allows reads only says of writes.
fn check_asked_of_reads(places: &Places, findings: &mut Findings<'_>) {
    for (code, key, span) in [
        ("confirm-on-read", "confirm", &places.confirm),
        ("channel-on-read", "channel", &places.channel),
        ("preview-on-read", "preview", &places.preview),
        ("idempotency-key-on-read", "idempotency_key", &places.idempotency_key),
    ] {
        if let Some(span) = span {
            let message = format!("`{key}` is about writes, and this rule allows reads only");
            findings.warn(code, span.clone(), message, None);
        }
    }
}

/// What a rule says of how its writes are approved, where that is less than it looks.
fn check_asked_of_writes(Written { rule, places, .. }: &Written<Allow>, findings: &mut Findings<'_>) {
    if let Some(span) = places.confirm.clone().filter(|_| rule.confirm == Confirm::Never) {
        let message = "nobody is asked before these writes are sent".to_owned();
        findings.warn("confirm-never", span, message, Some("`confirm = \"each\"` asks a human each time"));
    }
    // What a POST makes is not there before, and a GET that writes is the write itself.
    let shown = |method| matches!(method, Method::Put | Method::Patch | Method::Delete);
    if let Some(span) =
        places.preview.clone().filter(|_| rule.preview != Preview::No && !rule.methods.iter().any(shown))
    {
        let methods: Vec<&str> = written_methods(rule).map(Method::as_str).collect();
        let message =
            format!("there is nothing to show before a {}: no GET reads the same thing", methods.join(" or "));
        let help = "leave it out: before a PUT, PATCH or DELETE there is something to show";
        findings.warn("preview-of-nothing", span, message, Some(help));
    }
}

/// The methods whose requests the rule takes for writes.
fn written_methods(rule: &Allow) -> impl Iterator<Item = Method> {
    rule.methods.iter().filter(|method| rule.effect_of(*method) == Effect::Write)
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
    let Allow {
        name: _,
        methods,
        effect,
        query,
        body,
        encoded,
        confirm,
        channel,
        preview,
        credential,
        rate,
        idempotency_key,
        values,
        reason: _,
    } = &allow.rule;
    let paths: BTreeSet<&str> = allow.paths.iter().map(|path| path.pattern.text()).collect();
    let asked = format!("{confirm:?} {channel:?} {preview:?} {idempotency_key:?} {values:?}");
    format!("{paths:?} {methods:?} {effect:?} {query:?} {body:?} {encoded:?} {asked} {credential:?} {rate:?}")
}

fn deny_key(deny: &Written<Deny>) -> String {
    let Deny { name: _, methods, names, reason: _ } = &deny.rule;
    let paths: BTreeSet<&str> = deny.paths.iter().map(|path| path.pattern.text()).collect();
    format!("deny {paths:?} {methods:?} {names:?}")
}
