//! The text of a learnt policy: the one in force with other allow rules.
//!
//! Promises that a rule lets through no method that was not seen, unless it stands as it is, and that no two rules are alike.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

use super::Effects;
use super::fold::{Templates, fold};
use super::group::{Approval, Bodies, Demands, Group, Seen};
use crate::policy::{Preview, REPORT, Rate, Values};

/// The most paths of one rule that a policy may have.
const MOST_PATHS: usize = 256;
/// The longest name of a rule, in characters.
const MOST_NAME: usize = 64;
/// What is asked of writes alone.
const APPROVAL: [&str; 4] = ["confirm", "channel", "preview", "idempotency_key"];
/// Above a rule that stands as it is.
const WHOLE: &str =
    "# As it stands in the policy in force: nothing else can name paths with encoded reserved characters.";

/// How the paths of a group are written, each form narrower than the one before or easier to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// By the old rule as it stands, for the sake of paths that no pattern can name.
    Whole,
    /// With `*` for what varies.
    Folded,
    /// One by one, as they were asked for.
    Exact,
    /// As the old rule writes them, with what it says of the requests that were seen.
    Kept,
}

impl Form {
    /// How many there are.
    pub(super) const COUNT: usize = 4;

    /// What is tried after it.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::Folded),
            Self::Folded => Some(Self::Exact),
            Self::Exact => Some(Self::Kept),
            Self::Kept => None,
        }
    }
}

/// The policy in force, into which rules are written.
#[derive(Debug)]
pub(super) struct Frame<'t> {
    /// Without its allow rules.
    document: DocumentMut,
    old: ArrayOfTables,
    templates: &'t Templates,
}

/// A policy with a rule for each group.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: String,
    /// Calls of these groups that no rule lets through, because no pattern can name their paths.
    pub(super) unnamed: u64,
    /// The names of each group's rules.
    owners: Vec<Vec<String>>,
}

impl Written {
    /// The names of the rules of a group, by its place.
    pub(super) fn ids(&self, group: usize) -> &[String] {
        self.owners.get(group).map_or(&[], Vec::as_slice)
    }
}

/// The rules that were written so far.
#[derive(Default)]
struct Rules {
    tables: ArrayOfTables,
    taken: Vec<String>,
}

impl<'t> Frame<'t> {
    pub(super) fn new(document: &DocumentMut, templates: &'t Templates) -> Self {
        let mut document = document.clone();
        let old = match document.remove("allow").map(Item::into_array_of_tables) {
            Some(Ok(tables)) => tables,
            Some(Err(_)) | None => ArrayOfTables::new(),
        };
        if let Some(access) = document.get_mut("access").and_then(Item::as_table_like_mut) {
            access.remove("report_until");
        }
        Self { document, old, templates }
    }

    /// The form with which each group begins: where a rule is needed as it stands and lets through nothing that is not to be
    /// learnt, all of its groups have that one.
    pub(super) fn first(&self, groups: &[&Group], effects: Effects) -> Vec<Form> {
        let is_learnt = |id: &&str| effects == Effects::All || self.named(id).is_some_and(is_of_reads);
        let needed = groups.iter().filter(|group| group.unnamed.count > 0).filter_map(|group| group.granted_by());
        let whole: BTreeSet<&str> = needed.filter(is_learnt).collect();
        let is_whole = |group: &Group| group.granted_by().is_some_and(|id| whole.contains(id));
        groups.iter().map(|group| if is_whole(group) { Form::Whole } else { Form::Folded }).collect()
    }

    /// The names of the denials, which stay.
    fn denied(&self) -> Vec<String> {
        let denials = self.document.get("deny").and_then(Item::as_array_of_tables).into_iter().flatten();
        denials.filter_map(|rule| rule.get("id")?.as_str().map(str::to_owned)).collect()
    }

    /// The policy's text with rules for the groups, each in its form.
    pub(super) fn write(&self, groups: &[&Group], forms: &[Form]) -> Written {
        let all: Vec<(&Group, Form)> = groups.iter().copied().zip(forms.iter().copied()).collect();
        let mut rules = Rules { taken: self.denied(), ..Rules::default() };
        let (mut owners, mut unnamed) = (Vec::new(), 0);
        // Rules that stand for several groups, each written once.
        let mut shared: BTreeMap<(&str, Form), Vec<String>> = BTreeMap::new();
        for (group, form) in &all {
            let alike = || {
                let alike = |(of, other): &&(&Group, Form)| of.granted_by() == group.granted_by() && other == form;
                all.iter().filter(alike).map(|(group, _)| *group).collect::<Vec<_>>()
            };
            let ids = match (group.granted_by(), form) {
                // Of these nothing is left without the rule as it stands.
                (_, Form::Folded | Form::Exact | Form::Kept) if group.paths.is_empty() => Vec::new(),
                (Some(id), Form::Whole | Form::Kept) => {
                    let write = || rules.push(self.standing(id, &alike(), *form), group);
                    shared.entry((id, *form)).or_insert_with(write).clone()
                }
                (_, Form::Whole | Form::Folded | Form::Exact | Form::Kept) => {
                    rules.push(self.table(group, *form), group)
                }
            };
            unnamed += if *form == Form::Whole { 0 } else { group.unnamed.count };
            owners.push(ids);
        }
        // Where the first of them stood.
        let place = self.old.iter().next().and_then(Table::position);
        rules.tables.iter_mut().for_each(|rule| rule.set_position(place));
        let mut document = self.document.clone();
        document.insert("allow", Item::ArrayOfTables(rules.tables));
        Written { text: document.to_string(), unnamed, owners }
    }

    fn named(&self, id: &str) -> Option<&Table> {
        self.old.iter().find(|table| table.get("id").and_then(Item::as_str) == Some(id))
    }

    /// An old rule with its own paths, for all of these groups.
    fn standing(&self, id: &str, groups: &[&Group], form: Form) -> Table {
        let mut table = self.named(id).cloned().unwrap_or_default();
        let (mut seen, mut why) = (Seen::default(), String::new());
        groups.iter().flat_map(|group| group.paths.values()).for_each(|path| seen.add(path));
        inline(&mut table);
        if form == Form::Whole {
            groups.iter().for_each(|group| seen.add(&group.unnamed));
            why = format!("{WHOLE}\n");
        } else {
            let named: Vec<&&Group> = groups.iter().filter(|group| !group.paths.is_empty()).collect();
            let methods: BTreeSet<&str> = named.iter().map(|group| group.method.as_str()).collect();
            let before = table.get("methods").and_then(Item::as_array).map_or(0, Array::len);
            let demands = || named.iter().filter_map(|group| group.rule.as_ref()).map(|(_, asked)| asked);
            if methods.len() < before && demands().all(|asked| asked.approval.is_none()) {
                reads(&mut table);
            }
            set(&mut table, "methods", Value::from_iter(methods));
            table.remove("encoded");
        }
        table.decor_mut().set_prefix(format!("\n# {}\n{why}", seen.words()));
        table
    }

    /// A rule for just this group.
    fn table(&self, group: &Group, form: Form) -> Table {
        let mut table = group.granted_by().and_then(|id| self.named(id)).cloned().unwrap_or_default();
        let mut paths: BTreeMap<String, Seen> = BTreeMap::new();
        let folded = match form {
            Form::Folded => fold(&group.method, group.paths.keys().map(String::as_str), self.templates),
            Form::Whole | Form::Exact | Form::Kept => BTreeMap::new(),
        };
        let mut all = Seen::default();
        for (path, seen) in &group.paths {
            paths.entry(folded.get(path).unwrap_or(path).clone()).or_default().add(seen);
            all.add(seen);
        }
        table.decor_mut().set_prefix(format!("\n# {}\n", all.words()));
        inline(&mut table);
        set(&mut table, "methods", Value::from_iter([group.method.as_str()]));
        set(&mut table, "paths", Value::Array(listed(&paths)));
        table.remove("encoded");
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
}

impl Rules {
    /// Adds the rule under a name that no other has, as several where it has too many paths; their names.
    fn push(&mut self, rule: Table, group: &Group) -> Vec<String> {
        let id = unused(&group.id(), &group.method, &self.taken);
        let mut ids = Vec::new();
        for (part, mut rule) in parts(&rule).into_iter().enumerate() {
            let own = if part == 0 { id.clone() } else { unused(&more(&id), &group.method, &self.taken) };
            set(&mut rule, "id", own.as_str());
            self.tables.push(rule);
            self.taken.push(own.clone());
            ids.push(own);
        }
        ids
    }
}

/// Whether a rule lets through nothing but reads.
fn is_of_reads(rule: &Table) -> bool {
    let methods = rule.get("methods").and_then(Item::as_array).into_iter().flatten();
    match rule.get("effect").and_then(Item::as_str) {
        Some(effect) => effect == "read",
        None => methods.filter_map(Value::as_str).all(|method| ["GET", "HEAD"].contains(&method)),
    }
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

/// The name of what one rule has no room for.
fn more(id: &str) -> String {
    id.chars().take(MOST_NAME - "-more".len()).chain("-more".chars()).collect()
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

/// Takes away what is asked of writes alone.
fn reads(table: &mut Table) {
    APPROVAL.iter().for_each(|key| drop(table.remove(key)));
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
    match demands.values {
        Values::Names => set(table, "log", "names"),
        Values::Digest => drop(table.remove("log")),
        Values::Full => set(table, "log", "full"),
    }
    let Some(Approval { confirm, channel, preview, idempotency_key }) = &demands.approval else {
        reads(table);
        return;
    };
    set(table, "confirm", confirm.as_str());
    set(table, "channel", channel.as_str());
    match preview {
        Preview::No => drop(table.remove("preview")),
        Preview::IfPossible => set(table, "preview", "if-possible"),
        Preview::Yes => set(table, "preview", true),
    }
    if *idempotency_key {
        set(table, "idempotency_key", true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const TEXT: &str = "version = 1\nname = \"t\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n[access]\nwrites = true\n\
                        [[allow]]\nid = \"f\"\nmethods = [\"GET\", \"PUT\", \"DELETE\"]\npaths = [\"/q/**\", \"/p/*\"]\n\
                        encoded = [\"%2F\"]\nconfirm = \"never\"\n";

    /// A group of the rule, with these paths that a pattern can name and so many calls with others.
    fn group(method: &str, paths: &[&str], unnamed: u64) -> Group {
        let policy = Policy::parse("t.toml", TEXT).policy.unwrap();
        let rule = policy.writes().next().unwrap().0.clone();
        let seen = |count| Seen { count, first: "2026-01-01".to_owned(), last: "2026-01-01".to_owned() };
        Group {
            rule: Some((rule, Demands { approval: None, credential: None, rate: None, values: Values::Digest })),
            method: method.to_owned(),
            paths: paths.iter().map(|path| ((*path).to_owned(), seen(1))).collect(),
            unnamed: if unnamed > 0 { seen(unnamed) } else { Seen::default() },
            names: BTreeSet::new(),
            bodies: Bodies::None,
        }
    }

    fn written(groups: &[Group], forms: &[Form]) -> Written {
        let templates = Templates::default();
        let frame = Frame::new(&TEXT.parse().unwrap(), &templates);
        frame.write(&groups.iter().collect::<Vec<_>>(), forms)
    }

    #[test]
    fn an_old_rule_stands_once_for_all_its_groups_with_no_method_that_was_not_seen() {
        let groups = [group("GET", &["/q/x"], 0), group("PUT", &["/q/x"], 0), group("DELETE", &[], 1)];
        let Written { text, unnamed, owners } = written(&groups, &[Form::Kept; 3]);
        assert_eq!((text.matches("[[allow]]").count(), unnamed), (1, 1), "{text}");
        assert!(text.contains("methods = [\"GET\", \"PUT\"]\n") && !text.contains("encoded"), "{text}");
        assert!(text.contains("# 2 calls, 2026-01-01\n") && text.contains("\"/q/**\", \"/p/*\""), "{text}");
        assert_eq!(owners, [vec!["f".to_owned()], vec!["f".to_owned()], vec![]]);
        let Written { text, owners, .. } = written(&groups[..2], &[Form::Kept, Form::Exact]);
        assert!(text.contains("methods = [\"GET\"]\n") && text.contains("methods = [\"PUT\"]\n"), "{text}");
        assert_eq!(owners, [["f".to_owned()], ["f-put".to_owned()]]);
        // Reads alone are left of it.
        assert!(!text.contains("confirm"), "{text}");
    }

    #[test]
    fn a_rule_that_stands_whole_is_the_old_one_and_lets_every_call_of_it_through() {
        let groups = [group("GET", &["/p/x"], 3), group("PUT", &[], 2)];
        let Written { text, unnamed, .. } = written(&groups, &[Form::Whole; 2]);
        assert_eq!((text.matches("[[allow]]").count(), unnamed), (1, 0), "{text}");
        assert!(text.contains(&format!("# 6 calls, 2026-01-01\n{WHOLE}\n[[allow]]\nid = \"f\"\n")), "{text}");
        let rule = |text: &str| text.split_once("methods").unwrap().1.to_owned();
        assert_eq!(rule(&text), rule(TEXT));
    }

    #[test]
    fn a_rule_that_may_write_stands_whole_only_where_writes_are_learnt() {
        let group = group("GET", &[], 1);
        let templates = Templates::default();
        for (text, effects, form) in [
            (TEXT.to_owned(), Effects::All, Form::Whole),
            (TEXT.to_owned(), Effects::Reads, Form::Folded),
            (TEXT.replace(", \"PUT\", \"DELETE\"", ", \"HEAD\""), Effects::Reads, Form::Whole),
            (TEXT.replace("encoded", "effect = \"write\"\nencoded"), Effects::Reads, Form::Folded),
            (TEXT.replace("encoded", "effect = \"read\"\nencoded"), Effects::Reads, Form::Whole),
        ] {
            let frame = Frame::new(&text.parse().unwrap(), &templates);
            assert_eq!(frame.first(&[&group], effects), [form], "{text}");
        }
    }

    #[test]
    fn a_rule_with_too_many_paths_is_several_each_with_a_name() {
        let paths: Vec<String> = (0..MOST_PATHS + 1).map(|number| format!("/q/{}x", "y/".repeat(number))).collect();
        let groups = [group("GET", &paths.iter().map(String::as_str).collect::<Vec<_>>(), 0)];
        let written = written(&groups, &[Form::Exact]);
        assert_eq!(written.ids(0), ["f", "f-more"]);
    }
}
