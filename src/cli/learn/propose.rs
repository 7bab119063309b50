//! The policy for some groups of requests: the old one with other allow rules, compared with it.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

use super::fold::{Templates, fold};
use super::group::{Bodies, Demands, Group, Seen};
use super::{Budget, Comparison, Policy, widening};
use crate::policy::{Effect, Preview, REPORT, Rate};

/// The most paths of one rule that a policy may have.
const MOST_PATHS: usize = 256;

/// A policy and what is known of it.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) text: String,
    pub(super) rules: usize,
    pub(super) paths: usize,
    /// Against the policy in force, with what report mode let through.
    pub(super) wider: Comparison,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProposeError {
    /// The comparison finds it wider, or cannot tell, whatever is tried.
    #[error("no policy for these calls can be proved to be no wider than the one in force, so none is printed")]
    Unproved,
    /// The text of the policy is not what its rules say.
    #[error("the policy in force cannot be edited: {0}")]
    Text(#[from] toml_edit::TomlError),
    /// A fault of ours.
    #[error("the learnt policy has an error: {message}; tell the maintainers")]
    Broken {
        /// The first finding.
        message: String,
    },
}

/// How the paths of a group are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With `*` for what varies.
    Folded,
    /// One by one, as they were asked for.
    Exact,
    /// As the old rule writes them, which then stands as it is.
    Kept,
}

/// The smallest policy that is no wider: folded paths where that can be proved, else the paths as they were, else the old rule.
pub(super) fn propose(
    base: &Policy,
    text: &str,
    groups: &BTreeMap<String, Group>,
    templates: &Templates,
) -> Result<Proposal, ProposeError> {
    let document: DocumentMut = text.parse()?;
    let mut forms: Vec<Form> = groups.values().map(|_| Form::Folded).collect();
    // Each turn makes at least one group narrower, and each can be made so twice.
    for _ in 0..=groups.len() * 2 {
        let granted = || groups.values().zip(&forms).filter(|(group, _)| group.rule.is_some());
        let (written, owners) = write(&document, granted(), templates);
        let policy = parse(&written)?;
        match widening(base, &policy, Budget::ORDINARY) {
            Comparison::NoWider => {
                let (text, _) = write(&document, groups.values().zip(&forms), templates);
                let all = parse(&text)?;
                let rules = all.rules().iter().filter(|rule| rule.terms().is_some());
                let (rules, paths) = rules.fold((0, 0), |(rules, paths), rule| (rules + 1, paths + rule.paths().len()));
                return Ok(Proposal { wider: widening(base, &all, Budget::ORDINARY), text, rules, paths });
            }
            Comparison::Wider(found) => {
                let wider: BTreeSet<&str> =
                    found.iter().filter_map(|one| one.rule.as_ref()).map(|rule| rule.id()).collect();
                let places =
                    groups.values().enumerate().filter(|(_, group)| group.rule.is_some()).map(|(place, _)| place);
                let mut narrowed = false;
                for (place, id) in places.zip(&owners) {
                    let Some(form) = forms.get_mut(place).filter(|_| wider.contains(id.as_str())) else { continue };
                    narrowed |= *form != Form::Kept;
                    *form = if *form == Form::Folded { Form::Exact } else { Form::Kept };
                }
                if !narrowed {
                    return Err(ProposeError::Unproved);
                }
            }
            Comparison::Undecided => {
                // What report mode let through was not compared.
                let mut granted: Vec<&mut Form> = groups
                    .values()
                    .zip(&mut forms)
                    .filter(|(group, _)| group.rule.is_some())
                    .map(|(_, form)| form)
                    .collect();
                if granted.iter().all(|form| **form == Form::Kept) {
                    return Err(ProposeError::Unproved);
                }
                granted
                    .iter_mut()
                    .for_each(|form| **form = if **form == Form::Folded { Form::Exact } else { Form::Kept });
            }
        }
    }
    Err(ProposeError::Unproved)
}

fn parse(text: &str) -> Result<Policy, ProposeError> {
    let parsed = Policy::parse("the learnt policy", text);
    let errors = parsed.findings.iter().filter(|finding| finding.severity == crate::policy::Severity::Error);
    let message = errors.map(|finding| finding.message.clone()).next().unwrap_or_default();
    parsed.policy.ok_or(ProposeError::Broken { message })
}

/// The policy's text with a rule for each group, and the rules' names in that order.
fn write<'g>(
    document: &DocumentMut,
    groups: impl Iterator<Item = (&'g Group, &'g Form)>,
    templates: &Templates,
) -> (String, Vec<String>) {
    let mut document = document.clone();
    let old = match document.remove("allow").map(Item::into_array_of_tables) {
        Some(Ok(tables)) => tables,
        Some(Err(_)) | None => ArrayOfTables::new(),
    };
    if let Some(access) = document.get_mut("access").and_then(Item::as_table_like_mut) {
        access.remove("report_until");
    }
    // Where the first of them stood.
    let place = old.iter().next().and_then(Table::position);
    let (mut rules, mut ids, mut taken) = (ArrayOfTables::new(), Vec::new(), Vec::new());
    for (group, form) in groups {
        let base = group.rule.as_ref().and_then(|(rule, _)| named(&old, rule.id())).cloned().unwrap_or_default();
        let id = unused(&group.id(), &group.method, &taken);
        for (part, mut rule) in parts(&table(base, &id, group, *form, templates)).into_iter().enumerate() {
            if part > 0 {
                let another = unused(&format!("{id}-more"), &group.method, &taken);
                set(&mut rule, "id", another.as_str());
                taken.push(another);
            }
            rule.set_position(place);
            rules.push(rule);
        }
        taken.push(id.clone());
        ids.push(id);
    }
    document.insert("allow", Item::ArrayOfTables(rules));
    (document.to_string(), ids)
}

/// The rule as several, none with more paths than one may have.
fn parts(rule: &Table) -> Vec<Table> {
    let all: Vec<Value> = rule.get("paths").and_then(Item::as_array).into_iter().flatten().cloned().collect();
    if all.len() <= MOST_PATHS {
        return vec![rule.clone()];
    }
    let part = |paths: &[Value]| {
        let mut part = rule.clone();
        let mut list: Array = paths.iter().cloned().collect();
        list.iter_mut().for_each(|path| path.decor_mut().set_prefix("\n  "));
        list.set_trailing_comma(true);
        list.set_trailing("\n");
        part.insert("paths", toml_edit::value(list));
        part
    };
    all.chunks(MOST_PATHS).map(part).collect()
}

fn named<'t>(tables: &'t ArrayOfTables, id: &str) -> Option<&'t Table> {
    tables.iter().find(|table| table.get("id").and_then(Item::as_str) == Some(id))
}

/// A name that no other rule has.
fn unused(id: &str, method: &str, taken: &[String]) -> String {
    let is_free = |id: &String| id != REPORT && !taken.contains(id);
    let short: String = id.chars().take(50).collect();
    let with_method = format!("{short}-{}", method.to_ascii_lowercase());
    let more = (2..).map(|number| format!("{short}-{number}"));
    [id.to_owned(), with_method].into_iter().chain(more).find(is_free).unwrap_or_else(|| id.to_owned())
}

/// Tables below the rule (`[allow.query]`) as values of it: with other rules around them they would be another one's.
fn inline(table: &mut Table) {
    let keys: Vec<String> = table.iter().filter(|(_, item)| item.is_table()).map(|(key, _)| key.to_owned()).collect();
    for key in keys {
        if let Some(Ok(mut value)) = table.remove(&key).map(Item::into_value) {
            if let Some(limit) = value.as_inline_table_mut() {
                limit.fmt();
            }
            table.insert(&key, toml_edit::value(value));
        }
    }
}

fn table(mut table: Table, id: &str, group: &Group, form: Form, templates: &Templates) -> Table {
    let mut seen = Seen::default();
    group.paths.values().for_each(|of| seen.add(of));
    table.decor_mut().set_prefix(format!("\n# {}\n", seen.words()));
    inline(&mut table);
    set(&mut table, "id", id);
    if form == Form::Kept {
        return table;
    }
    set(&mut table, "methods", Value::from_iter([group.method.as_str()]));
    let mut paths: BTreeMap<String, Seen> = BTreeMap::new();
    let folded = match form {
        Form::Folded => fold(&group.method, group.paths.keys().map(String::as_str), templates),
        Form::Exact | Form::Kept => BTreeMap::new(),
    };
    for (path, seen) in &group.paths {
        paths.entry(folded.get(path).unwrap_or(path).clone()).or_default().add(seen);
    }
    set(&mut table, "paths", Value::Array(listed(&paths)));
    narrow(&mut table, "query", &group.names);
    match &group.bodies {
        Bodies::Members(members) => narrow(&mut table, "body", members),
        Bodies::None if ["POST", "PUT", "PATCH", "DELETE"].contains(&group.method.as_str()) => {
            narrow(&mut table, "body", &BTreeSet::new());
        }
        Bodies::None | Bodies::Arrays => {}
    }
    if let Some((_, asked)) = &group.rule {
        ask(&mut table, asked);
    }
    table
}

fn set(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key, toml_edit::value(value));
}

/// One path a line, with how often it was asked for behind it.
fn listed(paths: &BTreeMap<String, Seen>) -> Array {
    let mut list = Array::new();
    let mut before = String::new();
    for (path, seen) in paths {
        let mut value = Value::from(path);
        value.decor_mut().set_prefix(format!("{before}\n  "));
        list.push_formatted(value);
        before = format!("  # {}", seen.words());
    }
    list.set_trailing_comma(true);
    list.set_trailing(format!("{before}\n"));
    list
}

/// Lets nothing but these names into the query or the body, of those that the rule let in.
fn narrow(table: &mut Table, key: &str, names: &BTreeSet<String>) {
    let mut limit = match table.get(key).and_then(Item::as_table_like) {
        Some(old) => old.iter().filter_map(|(key, item)| Some((key.to_owned(), item.as_value()?.clone()))).collect(),
        None => InlineTable::new(),
    };
    limit.insert("only", Value::from_iter(names.iter().map(String::as_str)));
    if let Some(values) = limit.get_mut("values").and_then(Value::as_inline_table_mut) {
        // Values of a name that the query may not hold are an error.
        let gone: Vec<String> =
            values.iter().map(|(name, _)| name.to_owned()).filter(|name| !names.contains(name)).collect();
        gone.iter().for_each(|name| drop(values.remove(name)));
    }
    limit.fmt();
    table.insert(key, toml_edit::value(limit));
}

/// What was asked of the requests by all the rules about them, of which this one may be the last.
fn ask(table: &mut Table, demands: &Demands) {
    match &demands.credential {
        Some(name) => set(table, "credential", name),
        None => drop(table.remove("credential")),
    }
    if let Some(Rate { count, per }) = demands.rate {
        let unit = match per.as_secs() {
            1 => "s",
            60 => "min",
            3_600 => "h",
            _ => "day",
        };
        set(table, "rate", format!("{count}/{unit}"));
    }
    if demands.effect == Effect::Read {
        return;
    }
    set(table, "confirm", demands.confirm.as_str());
    set(table, "channel", demands.channel.as_str());
    match demands.preview {
        Preview::No => drop(table.remove("preview")),
        Preview::IfPossible => set(table, "preview", "if-possible"),
        Preview::Yes => set(table, "preview", true),
    }
    if demands.idempotency_key {
        set(table, "idempotency_key", true);
    }
}
