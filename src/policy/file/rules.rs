//! `[[allow]]` and `[[deny]]`.

use std::ops::Range;
use std::sync::Arc;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::confirm::{read_channel, read_confirm, read_preview};
use super::ids::Ids;
use super::section::{Section, Value, inside, suggest};
use super::units::Size;
use crate::policy::finding::{Findings, quoted};
use crate::policy::pattern::{Pattern, PatternError};
use crate::policy::rule::{Allow, BodyLimit, DEFAULT_BODY, Deny, Methods, Places, QueryLimit, Written, WrittenPath};
use crate::policy::verdict::{Effect, RuleRef, Values};
use crate::request::body::MAX_BODY;
use crate::request::encoded::Encoded;
use crate::request::fold::fold_name;
use crate::request::method::{Method, MethodError};
use crate::request::query::Query;

const MOST_RULES: usize = 10_000;
const MOST_PATHS: usize = 256;
const ALLOW: [&str; 15] = [
    "id",
    "methods",
    "paths",
    "effect",
    "query",
    "body",
    "encoded",
    "confirm",
    "channel",
    "preview",
    "credential",
    "rate",
    "idempotency_key",
    "log",
    "reason",
];
const DENY: [&str; 5] = ["id", "methods", "paths", "query", "reason"];

/// All rules that could be read. `credentials` are the names that a rule may choose from.
pub(super) fn read(
    root: &Section<'_>,
    credentials: &[&str],
    findings: &mut Findings<'_>,
) -> (Vec<Written<Allow>>, Vec<Written<Deny>>) {
    let (allows, denies) = (tables(root, "allow", findings), tables(root, "deny", findings));
    if allows.len() + denies.len() > MOST_RULES {
        let span = root.get("allow").or_else(|| root.get("deny")).map_or(0..0, |value| value.span());
        let message = format!("{} rules; the limit is {MOST_RULES}", allows.len() + denies.len());
        findings.error("too-many-rules", span, message, None);
        return (Vec::new(), Vec::new());
    }
    let mut ids = Ids::default();
    let mut index = 0;
    let mut next = |section: &Section<'_>, ids: &mut Ids, findings: &mut Findings<'_>| {
        let rule = ids.read(section, index, findings);
        index += 1;
        rule
    };
    let mut read = (Vec::with_capacity(allows.len()), Vec::with_capacity(denies.len()));
    for section in &allows {
        let rule = next(section, &mut ids, findings);
        read.0.extend(read_allow(section, rule, credentials, findings));
    }
    for section in &denies {
        let rule = next(section, &mut ids, findings);
        read.1.extend(read_deny(section, rule, findings));
    }
    read
}

fn tables<'a>(root: &Section<'a>, key: &str, findings: &mut Findings<'_>) -> Vec<Section<'a>> {
    let Some(value) = root.get(key) else { return Vec::new() };
    if value.is_text() || value.is_table() {
        let message = format!("`{key}` must be a list of rules");
        findings.error("wrong-type", value.span(), message, Some(&format!("write `[[{key}]]` above each rule")));
        return Vec::new();
    }
    let list = value.list("a list of rules", findings).unwrap_or_default();
    let sections: Vec<_> = list.iter().filter_map(|rule| rule.table(findings)).collect();
    let keys: &[&str] = if key == "allow" { &ALLOW } else { &DENY };
    sections.iter().for_each(|section| section.refuse_unknown(keys, findings));
    sections
}

fn read_allow(
    section: &Section<'_>,
    rule: Option<RuleRef>,
    credentials: &[&str],
    findings: &mut Findings<'_>,
) -> Option<Written<Allow>> {
    let methods = section.need("methods", findings).and_then(|value| read_methods(&value, findings));
    let paths = section.need("paths", findings).and_then(|value| read_paths(&value, findings));
    let effect = section.word("effect", &[("read", Effect::Read), ("write", Effect::Write)], findings);
    let (confirm, channel) = (read_confirm(section, findings), read_channel(section, findings));
    let preview = read_preview(section, findings);
    let query = read_query(section, findings);
    let body = read_body(section, findings);
    let encoded = read_encoded(section, findings);
    let credential = read_credential(section, credentials, findings);
    let rate = section.rate("rate", findings);
    let idempotency_key = section.flag("idempotency_key", findings);
    let words = [("names", Values::Names), ("digest", Values::Digest), ("full", Values::Full)];
    let values = section.word("log", &words, findings).unwrap_or_default();
    let reason = read_reason(section, findings);
    let (methods, paths) = (methods?, paths?);
    check_effect(section, effect, methods, &paths, findings);
    let span = |key: &str| section.get(key).map(|value| value.span());
    Some(Written {
        rule: Allow {
            name: rule?,
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
            reason,
        },
        paths,
        places: Places {
            id: span("id").unwrap_or_else(|| section.span()),
            methods: span("methods").unwrap_or_default(),
            confirm: span("confirm"),
            channel: span("channel"),
            preview: span("preview"),
            idempotency_key: span("idempotency_key"),
            encoded: span("encoded"),
            limits: span("query").or_else(|| span("body")),
        },
    })
}

/// `effect` can turn a POST into a read and a GET into a write, nothing else; and what it calls a read has to be named
/// one segment at a time.
fn check_effect(
    section: &Section<'_>,
    effect: Option<Effect>,
    methods: Methods,
    paths: &[WrittenPath],
    findings: &mut Findings<'_>,
) {
    let Some(value) = section.get("effect") else { return };
    if effect != Some(Effect::Read) {
        return;
    }
    for method in methods.iter().filter(|method| matches!(method, Method::Put | Method::Patch | Method::Delete)) {
        let message = format!("`effect = \"read\"` cannot be said of {method}: only a POST may be a read");
        findings.error(
            "bad-effect",
            value.span(),
            message,
            Some("give this method a rule of its own, without `effect`"),
        );
    }
    if !methods.contains(Method::Post) {
        return;
    }
    for path in paths.iter().filter(|path| path.pattern.is_deep()) {
        let message = "a POST that counts as a read must not be named with `**`".to_owned();
        findings.error(
            "bad-effect",
            path.span.clone(),
            message,
            Some("list the exact paths, with `*` for one segment"),
        );
    }
}

fn read_deny(section: &Section<'_>, rule: Option<RuleRef>, findings: &mut Findings<'_>) -> Option<Written<Deny>> {
    let methods = match section.get("methods") {
        Some(value) => read_methods(&value, findings),
        None => Some(Methods::ALL),
    };
    let paths = section.need("paths", findings).and_then(|value| read_paths(&value, findings));
    let names = match section.section("query", &["names"], findings) {
        Some(query) => query.need("names", findings).and_then(|value| read_denied_names(&value, findings)).map(Some),
        None => Some(None),
    };
    let reason = read_reason(section, findings);
    let mut methods = methods?;
    if methods.contains(Method::Get) {
        methods.insert(Method::Head);
    }
    let span = |key: &str| section.get(key).map(|value| value.span());
    let places = Places {
        id: span("id").unwrap_or_else(|| section.span()),
        methods: span("methods").unwrap_or_default(),
        ..Places::default()
    };
    Some(Written { paths: paths?, rule: Deny { name: rule?, methods, names: names?, reason }, places })
}

fn read_methods(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Methods> {
    let texts = value.texts(findings)?;
    let mut methods = Methods::default();
    refuse_empty(value, &texts, findings)?;
    let mut all_good = true;
    for (text, span) in texts {
        match Method::parse(text) {
            Ok(method) if methods.contains(method) => {
                findings.warn("duplicate-method", span, format!("{method} is listed twice"), None);
            }
            Ok(method) => methods.insert(method),
            Err(error) => {
                all_good = false;
                refuse_method(text, span, &error, findings);
            }
        }
    }
    all_good.then_some(methods)
}

fn refuse_method(text: &str, span: Range<usize>, error: &MethodError, findings: &mut Findings<'_>) {
    let names = Method::ALL.map(Method::as_str);
    let (message, help) = match error {
        MethodError::Spelling { method } => {
            (format!("method {}: methods are upper case", quoted(text)), Some(format!("did you mean `{method}`?")))
        }
        MethodError::Unknown if text == "*" => ("`*` is not a method; list them".to_owned(), None),
        MethodError::Unknown => {
            (format!("unknown method {}; one of {}", quoted(text), names.join(", ")), suggest(text, names))
        }
    };
    findings.error("bad-method", span, message, help.as_deref());
}

fn read_paths(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Vec<WrittenPath>> {
    let texts = value.texts(findings)?;
    refuse_empty(value, &texts, findings)?;
    if texts.len() > MOST_PATHS {
        let message = format!("{} paths in one rule; the limit is {MOST_PATHS}", texts.len());
        findings.error("too-many-paths", value.span(), message, None);
        return None;
    }
    let mut paths: Vec<WrittenPath> = Vec::with_capacity(texts.len());
    let mut all_good = true;
    for (text, span) in texts {
        match Pattern::parse(text) {
            Ok(pattern) if paths.iter().any(|path| path.pattern.text() == pattern.text()) => {
                findings.warn("duplicate-path", span, format!("{} is listed twice", quoted(text)), None);
            }
            Ok(pattern) => paths.push(WrittenPath { pattern, span }),
            Err(error) => {
                all_good = false;
                refuse_path(text, span, &error, findings);
            }
        }
    }
    all_good.then_some(paths)
}

fn refuse_path(text: &str, span: Range<usize>, error: &PatternError, findings: &mut Findings<'_>) {
    if let PatternError::Query { at } = error {
        // What follows a `?` may be a credential.
        findings.hide(inside(span.clone(), text, at + 1..text.len(), findings));
    }
    let at = error.span().map_or_else(|| span.clone(), |within| inside(span.clone(), text, within, findings));
    findings.error("bad-path", at, error.to_string(), error.help());
}

fn read_query(section: &Section<'_>, findings: &mut Findings<'_>) -> QueryLimit {
    let Some(query) = section.section("query", &["only", "values"], findings) else { return QueryLimit::default() };
    let only = query.get("only").and_then(|value| read_names(&value, findings));
    let mut values = Vec::new();
    if let Some(table) = query.get("values").and_then(|value| value.table(findings)) {
        for (name, span, value) in table.entries() {
            refuse_query_name(name, span.clone(), findings);
            if only.as_ref().is_some_and(|only| only.iter().all(|listed| **listed != *name)) {
                let message = format!("values for {}, which `only` does not list", quoted(name));
                findings.error("pointless-values", span, message, Some("add it to `only`, or drop its values"));
            }
            let Some(texts) = value.texts(findings) else { continue };
            if refuse_empty(&value, &texts, findings).is_some() {
                values.push((name.into(), sorted(texts.into_iter().map(|(text, _)| text.into()))));
            }
        }
    }
    values.sort();
    QueryLimit { only, values }
}

/// Names that a query may hold; none at all closes the query.
fn read_names(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Vec<Box<str>>> {
    let texts = value.texts(findings)?;
    for (text, span) in &texts {
        refuse_query_name(text, span.clone(), findings);
    }
    Some(sorted(texts.into_iter().map(|(text, _)| text.into())))
}

fn refuse_query_name(name: &str, span: Range<usize>, findings: &mut Findings<'_>) {
    // A query that holds just this name, through the parser that every query goes through.
    let query = serde_json::json!({ name: true }).to_string();
    if let Err(error) = Query::parse(Some(&query)) {
        let message = format!("this name can never be sent: {error}");
        findings.error("bad-query-name", span, message, None);
    }
}

fn read_denied_names(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Vec<Box<str>>> {
    let texts = value.texts(findings)?;
    refuse_empty(value, &texts, findings)?;
    let mut names = Vec::with_capacity(texts.len());
    for (text, span) in texts {
        let folded = fold_name(text);
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$:[]-".contains(&byte);
        if folded.is_empty() || text.len() > 128 || !text.bytes().all(known) {
            let message = format!("no query holds the name {}", quoted(text));
            findings.error("bad-query-name", span, message, Some("1 to 128 letters, digits and `_ . $ : [ ] -`"));
        }
        names.push(folded.as_ref().into());
    }
    Some(sorted(names))
}

fn read_body(section: &Section<'_>, findings: &mut Findings<'_>) -> BodyLimit {
    let Some(body) = section.section("body", &["only", "max_bytes"], findings) else { return BodyLimit::default() };
    let only = body.get("only").and_then(|value| value.texts(findings));
    let range = Size(1)..=Size(MAX_BODY as u64);
    let Size(most) = body.number("max_bytes", Size(DEFAULT_BODY), range, findings);
    for (text, span) in only.iter().flatten() {
        if *text == "*" {
            let message = "`*` is not a member's name; list them, or leave `only` out".to_owned();
            findings.error("bad-value", span.clone(), message, None);
        }
    }
    BodyLimit { only: only.map(|texts| sorted(texts.into_iter().map(|(text, _)| text.into()))), most }
}

fn read_encoded(section: &Section<'_>, findings: &mut Findings<'_>) -> Encoded {
    let mut encoded = Encoded::NONE;
    let Some(value) = section.get("encoded") else { return encoded };
    let Some(texts) = value.texts(findings) else { return encoded };
    if refuse_empty(&value, &texts, findings).is_none() {
        return encoded;
    }
    for (text, span) in texts {
        match Encoded::parse(text) {
            Some(one) => encoded = encoded.union(one),
            None => {
                let message = format!("{} is not one of `%2F`, `%25`, `%3F`, `%23`, `%3B`", quoted(text));
                findings.error(
                    "bad-value",
                    span,
                    message,
                    suggest(text, ["%2F", "%25", "%3F", "%23", "%3B"]).as_deref(),
                );
            }
        }
    }
    encoded
}

fn read_credential(section: &Section<'_>, known: &[&str], findings: &mut Findings<'_>) -> Option<Arc<str>> {
    let (name, span) = section.text("credential", findings)?;
    if !known.contains(&name) {
        let message = format!("there is no `[upstream.credentials.NAME]` named {}", quoted(name));
        findings.error("unknown-credential", span, message, suggest(name, known.iter().copied()).as_deref());
        return None;
    }
    Some(name.into())
}

/// A sentence that an agent or a person may read: printable, one line.
fn read_reason(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Arc<str>> {
    let (reason, span) = section.text("reason", findings)?;
    let printable = |character: char| match character.general_category_group() {
        GeneralCategoryGroup::Other => false,
        GeneralCategoryGroup::Separator => character == ' ',
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Mark
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol => true,
    };
    if reason.trim().is_empty() || reason.len() > 500 || !reason.chars().all(printable) {
        let message = "`reason` must be one line of 1 to 500 bytes, without invisible characters".to_owned();
        findings.error("bad-value", span, message, None);
        return None;
    }
    Some(reason.into())
}

/// An empty list reads like "all" to some and like "none" to others.
fn refuse_empty<T>(value: &Value<'_>, list: &[T], findings: &mut Findings<'_>) -> Option<()> {
    if list.is_empty() {
        let message = format!("{} must not be empty", quoted(value.name()));
        findings.error("empty-list", value.span(), message, None);
        return None;
    }
    Some(())
}

fn sorted(names: impl IntoIterator<Item = Box<str>>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = names.into_iter().collect();
    names.sort();
    names.dedup();
    names
}
