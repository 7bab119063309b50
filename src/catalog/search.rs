//! Search by words over the operations of a large API.
//!
//! Promises the same answer for the same operations, in whatever order they came; a bounded amount of work for any
//! query; positions of what it was given and nothing else. Trusts nothing: names and summaries come from a document that
//! someone else wrote, and here they are only counted. Finding an operation permits nothing.
//!
//! The rule is BM25F (Robertson and Zaragoza, 2009): a word counts more the fewer operations have it and the more
//! prominent the place where it stands. To that come the two things that tell operations of one API apart: the method
//! that the verb of the question asks for, and how much of what the operation says was asked for at all, so that the
//! plain operation comes before its special cases.
//!
//! Own code, since the kept crate for this (`bm25`) knows one field per document, counts words under 32-bit hashes and
//! leaves ties to the order of a `HashSet`; `tantivy` is a database.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::request::method::Method;

/// What is read of a query: so many characters, and so many different words.
const MAX_QUERY: usize = 256;
const MAX_QUERY_WORDS: usize = 16;
/// What is read of an operation, in words, the most prominent places first; how long a word may be, in bytes; and how
/// many different ones are known, about ten for each of the most operations that there may be.
const MAX_WORDS: usize = 64;
const MAX_WORD: usize = 64;
const MAX_KNOWN: usize = 100_000;
/// How many known words an unknown beginning of one may stand for.
const MAX_COMPLETIONS: usize = 8;
/// How long such a beginning must be, in letters.
const MIN_BEGINNING: usize = 3;

/// How soon more of the same word stops to count, and how much a long field takes from each word in it (BM25).
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.4;
/// What the method is worth that the verb asks for, as a part of what the best possible answer gets for its words.
const METHOD: f64 = 0.15;
/// The same for an operation that says nothing but what was asked for.
const FOCUS: f64 = 0.6;

/// Words that say nothing about an operation.
const STOP: [&str; 23] = [
    "a", "an", "and", "any", "are", "as", "at", "be", "by", "for", "from", "how", "i", "in", "is", "its", "of", "on",
    "or", "that", "the", "to", "with",
];

/// Short forms that the documents of many APIs use beside the whole word, and the caller, who is `me` to one document
/// and `authenticated` to the next.
const SHORT: [(&str, &str); 8] = [
    ("config", "configuration"),
    ("env", "environment"),
    ("me", "authenticated"),
    ("my", "authenticated"),
    ("org", "organization"),
    ("pr", "pull"),
    ("repo", "repository"),
    ("var", "variable"),
];

/// Without one of these the end of a word is no ending of it.
const VOWELS: [char; 6] = ['a', 'e', 'i', 'o', 'u', 'y'];

/// One operation, as its document describes it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its `operationId`, or what stands for it.
    pub name: &'a str,
    /// Its method.
    pub method: Method,
    /// Its path template.
    pub path: &'a str,
    /// Its summary; empty where there is none.
    pub summary: &'a str,
    /// Its tags.
    pub tags: &'a [String],
}

/// The words of many operations, and which operation has them.
#[derive(Debug)]
pub struct Index {
    words: BTreeMap<Box<str>, Word>,
    operations: Vec<Operation>,
}

/// One word of the index.
#[derive(Debug, Default)]
struct Word {
    /// Every operation that has it, with its weight there.
    places: Vec<Place>,
    /// How much it tells: the fewer operations have it, the more.
    worth: f64,
}

/// What is kept of an operation to rank it.
#[derive(Debug)]
struct Operation {
    method: Method,
    /// Whether the path ends in a variable: one thing, and not a collection of them.
    is_one: bool,
    /// The worth of all that its name says, and of all that its summary says.
    said: Said,
    /// Its place in the order of names, which decides between equals.
    order: usize,
}

/// Where a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Summary,
    Path,
    Variable,
    Tag,
}

impl Field {
    fn weight(self) -> f64 {
        match self {
            Self::Name => 3.0,
            Self::Summary => 2.5,
            Self::Path => 1.5,
            Self::Variable => 0.5,
            Self::Tag => 0.5,
        }
    }
}

/// Something for the two places that say what an operation does, and not only where.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    name: f64,
    summary: f64,
}

impl Said {
    fn add(&mut self, other: Self, share: f64) {
        self.name += other.name * share;
        self.summary += other.summary * share;
    }

    /// Which part of `whole` this is, in the place where it is more.
    fn part_of(self, whole: Self) -> f64 {
        let part = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        part(self.name, whole.name).max(part(self.summary, whole.summary))
    }
}

/// What a query asks for, by its verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// A verb of the API's own, such as `merge`.
    Act,
    List,
    Read,
    Create,
    Update,
    Delete,
}

impl Verb {
    fn of(word: &str) -> Option<Self> {
        match word {
            "list" | "browse" | "enumerate" => Some(Self::List),
            "get" | "read" | "show" | "fetch" | "view" | "check" | "download" | "find" | "search" => Some(Self::Read),
            "create" | "add" | "new" | "post" | "make" => Some(Self::Create),
            "update" | "edit" | "change" | "modify" | "patch" | "rename" | "replace" | "set" => Some(Self::Update),
            "delete" | "remove" | "erase" | "drop" | "revoke" => Some(Self::Delete),
            _ => None,
        }
    }

    /// The first verb that is known. Without one, what stands before an article is a verb (`star a repository`), and
    /// anything else asks for a list (`issues of a repository`).
    fn in_query(query: &str) -> Self {
        let mut words = query.split_whitespace().map(str::to_lowercase);
        let of = |word: String| Self::of(&word);
        let article = |word: Option<String>| word.is_some_and(|word| matches!(word.as_str(), "a" | "an" | "the"));
        words.clone().find_map(of).unwrap_or(if article(words.nth(1)) { Self::Act } else { Self::List })
    }

    /// How well an operation's method suits, from 0 to 1.
    fn suits(self, operation: &Operation) -> f64 {
        match (self, operation.method) {
            (Self::List, Method::Get) if operation.is_one => 0.5,
            (Self::Read, Method::Get) if !operation.is_one => 0.8,
            (Self::Act, Method::Post | Method::Put | Method::Patch) => 1.0,
            (Self::Act, Method::Delete) => 0.8,
            (Self::List | Self::Read, Method::Get)
            | (Self::Create, Method::Post)
            | (Self::Update, Method::Patch)
            | (Self::Delete, Method::Delete) => 1.0,
            (Self::Create | Self::Update, Method::Put) => 0.8,
            (Self::Update, Method::Post) => 0.5,
            (
                Self::Act | Self::List | Self::Read | Self::Create | Self::Update | Self::Delete,
                Method::Get | Method::Head | Method::Post | Method::Put | Method::Patch | Method::Delete,
            ) => 0.0,
        }
    }
}

impl Index {
    /// Reads operations; the answers of [`Index::find`] are their positions in this order.
    pub fn new<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Self {
        let entries: Vec<Entry<'a>> = entries.collect();
        let mut index = Self { words: BTreeMap::new(), operations: Vec::with_capacity(entries.len()) };
        let usual = usual_lengths(&entries);
        for (at, entry) in (0_u32..).zip(&entries) {
            for (word, Weight { sum, in_name, in_summary }) in weights(&fields(entry), &usual) {
                let place = Place { at, in_name, in_summary, weight: sum / (SATURATION + sum) };
                let is_full = index.words.len() == MAX_KNOWN;
                match index.words.get_mut(word) {
                    Some(known) => known.places.push(place),
                    None if is_full => {}
                    None => drop(index.words.insert(word.into(), Word { places: vec![place], worth: 0.0 })),
                }
            }
        }
        let mut said = vec![Said::default(); entries.len()];
        for word in index.words.values_mut() {
            let (all, having) = (count(entries.len()), count(word.places.len()));
            word.worth = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
            for place in &word.places {
                if let Some(said) = said.get_mut(place.at()) {
                    said.add(place.said(), word.worth);
                }
            }
        }
        let orders = orders(&entries);
        index.operations.extend(entries.iter().zip(said).zip(orders).map(|((entry, said), order)| Operation {
            method: entry.method,
            is_one: entry.path.trim_end_matches('/').ends_with('}'),
            said,
            order,
        }));
        index
    }

    /// The positions of the operations that have a word of the query, at most `limit` of them, the best first.
    #[must_use]
    pub fn find(&self, query: &str, limit: usize) -> Vec<usize> {
        let query: String = query.chars().take(MAX_QUERY).collect();
        let mut asked: Vec<String> = Vec::new();
        let verb = Verb::in_query(&query);
        for word in words(&query) {
            let word = stem(word);
            if asked.len() < MAX_QUERY_WORDS && !asked.contains(&word) {
                asked.push(word);
            }
        }
        let mut found: Vec<Found> = self.operations.iter().map(|_| Found::default()).collect();
        let mut best = 0.0;
        for (word, share) in asked.iter().flat_map(|word| self.known(word)) {
            best += word.worth * share;
            for place in &word.places {
                let Some(found) = found.get_mut(place.at()) else { continue };
                found.words += word.worth * share * place.weight;
                found.said.add(place.said(), word.worth * share);
            }
        }
        let ranked = found.iter().zip(&self.operations).enumerate().filter(|(_, (found, _))| found.words > 0.0);
        let mut ranked: Vec<(f64, usize, usize)> = ranked
            .map(|(at, (found, operation))| {
                let focus = found.said.part_of(operation.said);
                let suits = verb.suits(operation);
                (found.words + best * (FOCUS * focus + METHOD * suits), operation.order, at)
            })
            .collect();
        ranked.sort_unstable_by(|(a, x, _), (b, y, _)| b.total_cmp(a).then(x.cmp(y)));
        ranked.into_iter().take(limit).map(|(_, _, at)| at).collect()
    }

    /// The word of the index that this is, or else those that it begins, each with its share.
    fn known(&self, asked: &str) -> Vec<(&Word, f64)> {
        if let Some(word) = self.words.get(asked) {
            return vec![(word, 1.0)];
        }
        if asked.chars().count() < MIN_BEGINNING {
            return Vec::new();
        }
        let begun = self
            .words
            .range::<str, _>((Bound::Included(asked), Bound::Unbounded))
            .take_while(|(word, _)| word.starts_with(asked));
        let begun: Vec<&Word> = begun.take(MAX_COMPLETIONS).map(|(_, word)| word).collect();
        let share = 1.0 / count(begun.len() + 1);
        begun.into_iter().map(|word| (word, share)).collect()
    }
}

/// One operation in which a word stands. There are many of these.
#[derive(Debug)]
struct Place {
    at: u32,
    in_name: bool,
    in_summary: bool,
    weight: f64,
}

impl Place {
    fn at(&self) -> usize {
        usize::try_from(self.at).unwrap_or(usize::MAX)
    }

    /// 1 where it stands.
    fn said(&self) -> Said {
        Said { name: f64::from(u8::from(self.in_name)), summary: f64::from(u8::from(self.in_summary)) }
    }
}

/// What a word weighs in one operation, and whether name or summary say it.
#[derive(Debug, Default)]
struct Weight {
    sum: f64,
    in_name: bool,
    in_summary: bool,
}

/// What speaks for an operation.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    words: f64,
    said: Said,
}

/// The words of each field.
fn fields(entry: &Entry<'_>) -> [(Field, Vec<String>); 5] {
    let parts = |nth: usize| entry.path.split(['{', '}']).skip(nth).step_by(2);
    let mut room = MAX_WORDS;
    let mut read = |texts: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let read: Vec<String> = texts.flat_map(stems).take(room).collect();
        room -= read.len();
        read
    };
    [
        (Field::Name, read(&mut std::iter::once(entry.name))),
        (Field::Summary, read(&mut std::iter::once(entry.summary))),
        (Field::Path, read(&mut parts(0))),
        (Field::Variable, read(&mut parts(1))),
        (Field::Tag, read(&mut entry.tags.iter().map(String::as_str))),
    ]
}

/// The number of words that each field has on average.
fn usual_lengths(entries: &[Entry<'_>]) -> [f64; 5] {
    let mut sums = [0_usize; 5];
    for entry in entries {
        for (sum, (_, words)) in sums.iter_mut().zip(fields(entry)) {
            *sum += words.len();
        }
    }
    sums.map(|sum| (count(sum) / count(entries.len()).max(1.0)).max(1.0))
}

/// Every word of an operation with its weight.
fn weights<'w>(fields: &'w [(Field, Vec<String>); 5], usual: &[f64; 5]) -> BTreeMap<&'w str, Weight> {
    let mut weights: BTreeMap<&str, Weight> = BTreeMap::new();
    for ((field, words), usual) in fields.iter().zip(usual) {
        let weight = field.weight() / (1.0 - LENGTH + LENGTH * count(words.len()) / usual);
        for word in words {
            let known = weights.entry(word).or_default();
            known.sum += weight;
            match field {
                Field::Name => known.in_name = true,
                Field::Summary => known.in_summary = true,
                Field::Path | Field::Variable | Field::Tag => {}
            }
        }
    }
    weights
}

/// The place of each operation among all of them by name.
fn orders(entries: &[Entry<'_>]) -> Vec<usize> {
    let key = |entry: &Entry<'_>| (entry.name.len(), entry.name.to_owned(), entry.path.to_owned(), entry.method);
    let mut sorted: Vec<_> = entries.iter().enumerate().map(|(at, entry)| (key(entry), at)).collect();
    sorted.sort_unstable();
    let mut orders = vec![0; entries.len()];
    for (order, (_, at)) in sorted.into_iter().enumerate() {
        if let Some(place) = orders.get_mut(at) {
            *place = order;
        }
    }
    orders
}

fn stems(text: &str) -> impl Iterator<Item = String> {
    words(text).map(stem)
}

/// The words of a text in lower case, cut at everything that is no letter or digit and where lower case turns to upper,
/// without those that say nothing.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|character: char| !character.is_alphanumeric()).flat_map(humps);
    let short = |part: &&str| part.len() <= MAX_WORD;
    parts.filter(short).map(str::to_lowercase).filter(|word| word.len() > 4 || !STOP.contains(&word.as_str()))
}

/// `list` and `Issues` of `listIssues`.
fn humps(part: &str) -> impl Iterator<Item = &str> {
    let mut rest = part;
    std::iter::from_fn(move || {
        let mut after_lower = false;
        let begins = |(_, character): &(usize, char)| {
            let begins = after_lower && character.is_uppercase();
            after_lower = !character.is_uppercase();
            begins
        };
        let end = rest.char_indices().find(begins).map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at_checked(end)?;
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// What a word has in common with its plural and with the forms of its verb; not always a word itself.
fn stem(mut word: String) -> String {
    if word.len() > 4 && word.ends_with("ies") {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if word.len() > 3 && word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.pop();
    }
    if let Some((_, whole)) = SHORT.iter().find(|(short, _)| *short == word) {
        (*whole).clone_into(&mut word);
    }
    for ending in ["ing", "ed"] {
        let rest = word.strip_suffix(ending).filter(|rest| rest.len() > 2 && rest.contains(VOWELS));
        if let Some(end) = rest.map(|rest| undoubled(rest).len()) {
            word.truncate(end);
        }
    }
    if word.len() > 3 && word.ends_with('e') {
        word.pop();
    }
    word
}

/// `starr` of `starred` as `star`, but not `bill` of `billing`.
fn undoubled(stem: &str) -> &str {
    let mut letters = stem.chars();
    let last = letters.next_back();
    let once = letters.as_str();
    match (last, letters.next_back()) {
        (Some(last), Some(before)) if last == before && !"aeioulsz".contains(last) => once,
        _ => stem,
    }
}

/// A count as a number to reckon with.
fn count(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some of GitHub's operations: name, method, path, summary, tags, as its document has them.
    const GITHUB: &str = include_str!("../../tests/data/operations-github.tsv");
    const ALLSTACKS: &str = include_str!("../../tests/data/operations-allstacks.tsv");

    struct Row {
        columns: [&'static str; 4],
        method: Method,
        tags: Vec<String>,
    }

    impl Row {
        fn entry(&self) -> Entry<'_> {
            let [name, _, path, summary] = self.columns;
            Entry { name, method: self.method, path, summary, tags: &self.tags }
        }
    }

    fn rows(text: &'static str) -> Vec<Row> {
        let row = |line: &'static str| {
            let columns: Vec<&str> = line.split('\t').collect();
            let tags = columns[4].split(',').map(str::to_owned).collect();
            Row { columns: columns[..4].try_into().unwrap(), method: Method::parse(columns[1]).unwrap(), tags }
        };
        text.lines().map(row).collect()
    }

    fn index(rows: &[Row]) -> Index {
        Index::new(rows.iter().map(Row::entry))
    }

    fn names<'r>(rows: &'r [Row], found: &[usize]) -> Vec<&'r str> {
        found.iter().map(|at| rows[*at].columns[0]).collect()
    }

    fn expect_first(text: &'static str, cases: &[(&str, &str)]) {
        let rows = rows(text);
        let index = index(&rows);
        for (query, first) in cases {
            let found = index.find(query, 5);
            assert_eq!(names(&rows, &found).first(), Some(first), "{query}: {:?}", names(&rows, &found));
        }
    }

    #[test]
    fn a_question_to_github_finds_its_operation_first() {
        expect_first(
            GITHUB,
            &[
                ("list issues of a repository", "issues/list-for-repo"),
                ("issues of a repo", "issues/list-for-repo"),
                ("create a pull request", "pulls/create"),
                ("open pull requests of a repository", "pulls/list"),
                ("delete a branch protection", "repos/delete-branch-protection"),
                ("get the authenticated user", "users/get-authenticated"),
                ("merge a pull request", "pulls/merge"),
                ("list workflow runs for a workflow", "actions/list-workflow-runs"),
                ("cancel workflow run", "actions/cancel-workflow-run"),
                ("add a label to an issue", "issues/add-labels"),
                ("remove a label from an issue", "issues/remove-label"),
                ("create a label", "issues/create-label"),
                ("download a repository archive as tar", "repos/download-tarball-archive"),
                ("list branches", "repos/list-branches"),
                ("create an issue", "issues/create"),
                ("edit an issue", "issues/update"),
                ("list comments on an issue", "issues/list-comments"),
                ("list members of an organization", "orgs/list-members"),
                ("get a repository", "repos/get"),
                ("delete a repository", "repos/delete"),
                ("list repositories of an org", "repos/list-for-org"),
                ("list repos for user", "repos/list-for-user"),
                ("list my repositories", "repos/list-for-authenticated-user"),
                ("get the latest release", "repos/get-latest-release"),
                ("compare two commits", "repos/compare-commits"),
                ("list files of a pull request", "pulls/list-files"),
                ("submitting a review", "pulls/submit-review"),
                ("search code", "search/code"),
                ("webhook", "repos/create-webhook"),
                ("follow a user", "users/follow"),
                ("rateLimit", "rate-limit/get"),
                ("milest", "issues/create-milestone"),
            ],
        );
    }

    #[test]
    fn a_question_to_allstacks_finds_its_operation_first() {
        expect_first(
            ALLSTACKS,
            &[
                ("list alert rules", "list_alert_rules"),
                ("delete a dashboard", "delete_org_dashboard"),
                ("create a work bundle", "create_work_bundle"),
                ("list projects of an organization", "list_projects"),
                ("get one project", "get_project"),
                ("update organization settings", "update_organization_settings"),
                ("forecast of a work bundle", "get_work_bundle_forecast"),
                ("clone a dashboard", "clone_dashboard"),
                ("acknowledge a risk", "acknowledge_risk"),
                ("invite a user", "create_user_invite"),
                ("survey results", "get_survey_results"),
                ("list labels", "list_labels"),
            ],
        );
    }

    #[test]
    fn nothing_is_found_for_words_that_say_nothing() {
        let rows = rows(GITHUB);
        for query in ["", "   ", "of the", "/-_{}.", "zzzz", "\u{0}"] {
            assert_eq!(index(&rows).find(query, 5), Vec::<usize>::new(), "{query:?}");
        }
        assert_eq!(Index::new(std::iter::empty()).find("list issues", 5), Vec::<usize>::new());
    }

    #[test]
    fn a_word_and_its_forms_have_one_stem() {
        for forms in [
            &["list", "lists", "listing", "listed"][..],
            &["issue", "issues", "Issues"],
            &["repository", "repositories", "repo", "repos"],
            &["merge", "merges", "merged", "merging"],
            &["star", "stars", "starred", "starring"],
            &["branch", "branches"],
            &["status", "statuses"],
            &["policy", "policies"],
            &["access", "accesses"],
            &["config", "configs", "configuration", "configurations"],
        ] {
            let stems: Vec<String> = forms.iter().flat_map(|form| stems(form)).collect();
            assert!(stems.windows(2).all(|two| two[0] == two[1]), "{forms:?}: {stems:?}");
        }
        for (one, other) in [("user", "use"), ("run", "runner"), ("string", "str"), ("team", "teamwork")] {
            assert!(stems(one).ne(stems(other)), "{one} and {other}");
        }
    }

    #[test]
    fn names_and_paths_are_cut_into_words() {
        let words = |text| words(text).collect::<Vec<_>>();
        assert_eq!(words("repos/list-forOrg_v2"), ["repos", "list", "org", "v2"]);
        assert_eq!(words("/orgs/{org}/teams.json"), ["orgs", "org", "teams", "json"]);
        assert_eq!(words("getHTTPStatus"), ["get", "httpstatus"]);
        assert_eq!(words("Größe ÄNDERN"), ["größe", "ändern"]);
    }

    proptest! {
        #[test]
        fn any_query_gets_at_most_so_many_operations_and_each_once(query: String, limit in 0_usize..100) {
            let rows = rows(GITHUB);
            let found = index(&rows).find(&query, limit);
            let mut once = found.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert!(once.len() == found.len() && found.len() <= limit && found.iter().all(|at| *at < rows.len()));
        }

        #[test]
        fn any_document_can_be_indexed(texts in prop::collection::vec((".{0,20}", ".{0,20}", ".{0,20}"), 0..5), query in ".{0,20}") {
            let entries = texts.iter().map(|(name, path, summary)| Entry { name, method: Method::Get, path, summary, tags: &[] });
            prop_assert!(Index::new(entries).find(&query, 9).len() <= texts.len());
        }

        #[test]
        fn the_order_of_the_operations_changes_no_answer(
            words in prop::collection::vec(prop::sample::select(vec!["list", "issue", "repos", "a", "user", "create", "pull", "branch", "s", "pro"]), 0..6),
            shuffled in Just((0..rows(GITHUB).len()).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let rows = rows(GITHUB);
            let query = words.join(" ");
            let straight = index(&rows).find(&query, 20);
            let turned = Index::new(shuffled.iter().map(|at| rows[*at].entry())).find(&query, 20);
            let turned: Vec<usize> = turned.into_iter().map(|at| shuffled[at]).collect();
            prop_assert_eq!(names(&rows, &straight), names(&rows, &turned), "{}", query);
        }
    }
}
