//! The comparison held against brute force: every request of a small alphabet, put to both policies.
//!
//! `PORTCULLIS_SOAK=1` runs the full count.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::compare::slack;
use super::example::Content;
use super::rates::is_within;
use super::{Budget, Comparison, Kind, widening};
use crate::policy::Policy;
use crate::policy::diff::compare::{Sides, is_held};
use crate::policy::diff::example::{Ask, Example};
use crate::policy::file::File;
use crate::policy::finding::Findings;
use crate::policy::verdict::Grant;
use crate::request::Request;
use crate::request::method::Method;
use crate::request::path::Path;

/// One rule, as a line of a file would have it.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    deny: bool,
    methods: Vec<&'static str>,
    paths: Vec<String>,
    effect: Option<&'static str>,
    asks: (&'static str, &'static str, &'static str, bool, &'static str),
    credential: Option<&'static str>,
    rate: Option<&'static str>,
    query: Option<&'static str>,
    body: Option<&'static str>,
    names: Option<&'static str>,
    encoded: bool,
}

impl Rule {
    fn toml(&self, id: usize) -> String {
        let kind = if self.deny { "deny" } else { "allow" };
        let mut text = format!("[[{kind}]]\nid = \"r{id}\"\nmethods = {:?}\npaths = {:?}\n", self.methods, self.paths);
        if self.deny {
            text.extend(self.names.map(|names| format!("query = {{ names = {names} }}\n")));
            return text;
        }
        let (confirm, channel, preview, key, log) = self.asks;
        text += &format!(
            "confirm = {confirm:?}\nchannel = {channel:?}\npreview = {preview}\nidempotency_key = {key}\nlog = {log:?}\n"
        );
        text.extend(self.encoded.then_some("encoded = [\"%2F\"]\n"));
        text.extend(self.effect.map(|effect| format!("effect = {effect:?}\n")));
        text.extend(self.credential.map(|name| format!("credential = {name:?}\n")));
        text.extend(self.rate.map(|rate| format!("rate = {rate:?}\n")));
        text.extend(self.query.map(|query| format!("query = {query}\n")));
        text.extend(self.body.map(|body| format!("body = {body}\n")));
        text
    }
}

fn policy(rules: &[Rule], writes: bool) -> Policy {
    let head = "version = 1\nname = \"m\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n\
                [upstream.credentials.one]\nbearer = { env = \"ONE\" }\n";
    let rules: String = rules.iter().enumerate().map(|(id, rule)| rule.toml(id)).collect();
    let text = format!("{head}[access]\nwrites = {writes}\n{rules}");
    // Whatever the checks between the rules say: the comparison must not need them.
    let mut findings = Findings::new(&text);
    let file = File::read(&mut findings).unwrap();
    assert_eq!(findings.errors(), 0, "{:?}\n{text}", findings.finish());
    Policy::new("model.toml", &text, &[], file)
}

/// Which parts of a segment the patterns and the paths are made of.
const LETTERS: [&str; 10] = ["a", "A", "b", ".", ":", "%C3%A9", "%C3%89", "%CC%81", "%CC%A7", "%20"];
const PATTERNS: [&str; 24] = [
    "a", "b", "A", "a", "*", "*", "**", "a*", "*a", "A*", "*b", "a*b", "ab", "a.", "a:b", "é", "é*", "*é", "É*",
    "a%CC%81", "a%CC%81*", "*.*", "b%20", "*9",
];

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(PATTERNS.to_vec());
    (prop::collection::vec(segment, 1..4), prop::bool::weighted(0.2))
        .prop_map(|(segments, slash)| format!("/{}{}", segments.join("/"), if slash { "/" } else { "" }))
}

fn rule() -> impl Strategy<Value = Rule> {
    let methods = prop::collection::btree_set(prop::sample::select(vec!["GET", "HEAD", "POST"]), 1..3);
    let asks = (
        prop::sample::select(vec!["never", "each", "typed"]),
        prop::sample::select(vec!["any", "any", "client", "desk"]),
        prop::sample::select(vec!["false", "false", "\"if-possible\"", "true"]),
        prop::bool::weighted(0.2),
        prop::sample::select(vec!["digest", "digest", "names", "full"]),
    );
    let some = |texts: &[&'static str]| prop::option::weighted(0.3, prop::sample::select(texts.to_vec()));
    let limits = (
        some(&[
            "{ only = [\"p\"] }",
            "{ only = [] }",
            "{ only = [\"p\", \"P\"] }",
            "{ values = { p = [\"0\"] } }",
            "{ only = [\"p\"], values = { p = [\"0\", \"1\"] } }",
        ]),
        some(&[
            "{ only = [\"k\"] }",
            "{ only = [] }",
            "{ max_bytes = \"3B\" }",
            "{ max_bytes = \"4B\" }",
            "{ only = [\"k\", \"m\"] }",
        ]),
        some(&["[\"p\"]", "[\"P\", \"q\"]"]),
    );
    let paths = prop::collection::vec(pattern(), 1..3);
    let flags = (
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.05),
        some(&["read", "write"]),
        some(&["one"]),
        some(&["5/min", "6/min", "5/h"]),
    );
    (methods, paths, asks, limits, flags).prop_map(
        |(methods, paths, asks, (query, body, names), (deny, encoded, effect, credential, rate))| {
            let mut methods: Vec<_> = methods.into_iter().collect();
            if effect == Some("read") {
                methods = vec!["POST"];
            }
            let is_flat = |path: &String| !path.contains("**");
            let effect = effect.filter(|effect| *effect == "write" || paths.iter().all(is_flat));
            Rule { deny, methods, paths, effect, asks, credential, rate, query, body, names, encoded }
        },
    )
}

/// What is done to a rule of the old policy.
#[derive(Debug, Clone)]
enum Change {
    Keep,
    Drop,
    Replace(Box<Rule>),
    Paths(Vec<String>),
    Asks(Box<Rule>),
    Limits(Box<Rule>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => Just(Change::Keep),
        1 => Just(Change::Drop),
        1 => rule().prop_map(|rule| Change::Replace(Box::new(rule))),
        2 => prop::collection::vec(pattern(), 1..3).prop_map(Change::Paths),
        1 => rule().prop_map(|rule| Change::Asks(Box::new(rule))),
        1 => rule().prop_map(|rule| Change::Limits(Box::new(rule))),
    ]
}

impl Change {
    fn done_to(self, old: &Rule) -> Option<Rule> {
        let rule = old.clone();
        match self {
            Self::Keep => Some(rule),
            Self::Drop => None,
            Self::Replace(other) => Some(*other),
            Self::Paths(paths) if old.effect != Some("read") => Some(Rule { paths, ..rule }),
            Self::Paths(_) => Some(rule),
            Self::Asks(other) => {
                Some(Rule { asks: other.asks, rate: other.rate, credential: other.credential, ..rule })
            }
            Self::Limits(other) => Some(Rule { query: other.query, body: other.body, names: other.names, ..rule }),
        }
    }
}

/// An old and a new policy, and whether each has writes on.
fn pair() -> impl Strategy<Value = (Vec<Rule>, Vec<Rule>, bool, bool)> {
    let rules = prop::collection::vec((rule(), change()), 1..6);
    let more = prop::collection::vec(rule(), 0..2);
    (rules, more, prop::bool::weighted(0.2), prop::bool::weighted(0.8), prop::bool::weighted(0.9)).prop_map(
        |(rules, more, adds, writes, same)| {
            let old: Vec<Rule> = rules.iter().map(|(rule, _)| rule.clone()).collect();
            let mut new: Vec<Rule> = rules.into_iter().filter_map(|(rule, change)| change.done_to(&rule)).collect();
            new.extend(more.into_iter().filter(|_| adds));
            (old, new, writes, writes == same)
        },
    )
}

/// Every path of up to three segments over the letters, the deeper the shorter its segments.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let one: Vec<String> = LETTERS.map(str::to_owned).to_vec();
    let two: Vec<String> = LETTERS.iter().flat_map(|a| LETTERS.map(|b| format!("{a}{b}"))).collect();
    let mut all = vec![String::new()];
    all.extend(one.iter().chain(&two).map(|last| format!("/{last}")));
    all.extend(one.iter().flat_map(|first| one.iter().chain(&two).map(move |last| format!("/{first}/{last}"))));
    let deep = ["a", "A", "b", "%C3%A9"];
    all.extend(deep.iter().flat_map(|a| deep.iter().flat_map(move |b| deep.map(|c| format!("/{a}/{b}/{c}")))));
    let paths = all.into_iter().flat_map(|path| [format!("{path}/"), path]);
    paths.filter(|path| Path::parse(path).is_ok()).collect()
});

/// Queries and bodies that the constraints tell apart.
fn asks(method: Method) -> Vec<Ask> {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let queries: [&[(&str, &str)]; 7] =
        [&[], &[("p", "0")], &[("p", "1")], &[("p", "2")], &[("P", "0")], &[("q", "0")], &[("r", "0")]];
    let members =
        |names: &[&str], size| Content { members: Some(names.iter().map(|name| (*name).into()).collect()), size };
    let bodies = match method {
        Method::Post => vec![
            None,
            Some(Content { members: None, size: 0 }),
            Some(members(&[], 4)),
            Some(members(&[], 5)),
            Some(members(&["k"], 0)),
            Some(members(&["m"], 0)),
        ],
        Method::Get | Method::Head | Method::Put | Method::Patch | Method::Delete => vec![None],
    };
    let with = |query: &[(&str, &str)]| {
        bodies.iter().map(|body| Ask { pairs: pairs(query), body: body.clone() }).collect::<Vec<_>>()
    };
    queries.into_iter().flat_map(with).collect()
}

const METHODS: [Method; 3] = [Method::Get, Method::Head, Method::Post];

/// Every request without and with constraints in play.
static PLAIN: LazyLock<Vec<Request>> = LazyLock::new(|| {
    let of = |method| PATHS.iter().filter_map(move |path| Example::new(method, path, &Ask::default()).request());
    METHODS.into_iter().flat_map(of).collect()
});
static FULL: LazyLock<Vec<Request>> = LazyLock::new(|| {
    let paths = || PATHS.iter().filter(|path| path.len() < 6);
    let of = |method| {
        asks(method)
            .into_iter()
            .flat_map(move |ask| paths().filter_map(move |path| Example::new(method, path, &ask).request()))
    };
    METHODS.into_iter().flat_map(of).collect()
});

/// Paths with an encoded slash.
static ENCODED: LazyLock<Vec<Request>> = LazyLock::new(|| {
    let segments = ["a%2Fa", "%2F", "A%2Fb", "a", "b"];
    let two = segments.iter().flat_map(|first| segments.map(|last| format!("/{first}/{last}")));
    let all: Vec<String> = two.chain(segments.map(|only| format!("/{only}"))).collect();
    let of = |method| all.iter().filter_map(move |path| Example::new(method, path, &Ask::default()).request());
    METHODS.into_iter().flat_map(of).collect()
});

/// The kinds in which NEW is wider, by every request there is.
fn brute<'r>(sides: Sides<'_>, requests: impl Iterator<Item = &'r Request>) -> BTreeMap<Kind, String> {
    let mut found = BTreeMap::new();
    let mut bounds: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for request in requests {
        let Ok(new) = sides.new.rules.weigh(request) else { continue };
        let mut note = |kind| {
            found.entry(kind).or_insert_with(|| format!("{} {}", request.method(), request.target()));
        };
        let Ok(old) = sides.old.rules.weigh(request) else {
            note(if is_held(&new) { Kind::Held } else { Kind::Passes });
            continue;
        };
        slack(sides, &old, &new).into_iter().for_each(|slack| note(slack.kind));
        for (index, kept) in kept(sides, &old, &new) {
            let bound = bounds.entry(index).or_insert_with(|| kept.clone());
            bound.retain(|rule| kept.contains(rule));
            if bound.is_empty() {
                note(Kind::Rate);
            }
        }
    }
    found
}

/// For each rate that OLD asks for, the rates of NEW that are no looser.
fn kept(sides: Sides<'_>, old: &Grant, new: &Grant) -> Vec<(usize, BTreeSet<usize>)> {
    let rate = |policy: &Policy, index: usize| policy.rules()[index].rate().unwrap();
    let within = |index: usize| {
        new.rates().iter().copied().filter(move |other| is_within(rate(sides.new, *other), rate(sides.old, index)))
    };
    old.rates().iter().map(|index| (*index, within(*index).collect())).collect()
}

/// Holds one pair against brute force. Gives what came of it.
fn hold(old: &[Rule], new: &[Rule], writes: (bool, bool)) -> Result<&'static str, String> {
    let is_limited = |rule: &Rule| rule.query.is_some() || (rule.deny && rule.names.is_some()) || rule.body.is_some();
    let requests = if old.iter().chain(new).any(is_limited) { &FULL } else { &PLAIN };
    let takes_encoded = new.iter().any(|rule| rule.encoded && !rule.deny);
    let (old, new) = (policy(old, writes.0), policy(new, writes.1));
    let sides = Sides { old: &old, new: &new };
    let encoded = ENCODED.iter().filter(|_| takes_encoded);
    let expected = brute(sides, requests.iter().chain(encoded));
    match widening(&old, &new, Budget::ORDINARY) {
        Comparison::NoWider if expected.is_empty() => Ok("no wider"),
        Comparison::NoWider => Err(format!("missed: {expected:?}")),
        // In paths with an encoded slash, what is wider may be left undecided.
        Comparison::Undecided if takes_encoded => Ok("undecided"),
        // Nothing is wider, and that no path has some segment could not be proved: seldom, and never taken for "no wider".
        Comparison::Undecided if expected.is_empty() => Ok(UNPROVED),
        Comparison::Undecided => Err(format!("not decided: {expected:?}")),
        Comparison::Wider(found) => {
            for widening in found.iter() {
                let request = widening.example.as_ref().and_then(Example::request).ok_or("no request")?;
                // It shows by itself that it is wider, in that kind.
                let alone = brute(sides, std::iter::once(&request));
                if !alone.contains_key(&widening.kind) && widening.kind != Kind::Rate {
                    return Err(format!("{widening:?} shows {alone:?}"));
                }
            }
            let kinds: BTreeSet<Kind> = found.iter().map(|widening| widening.kind).collect();
            let missed: Vec<_> = expected.iter().filter(|(kind, _)| !kinds.contains(kind)).collect();
            if missed.is_empty() || takes_encoded {
                Ok("wider")
            } else {
                Err(format!("missed kinds: {missed:?} in {found:#?}"))
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the counts of the soak run are chosen by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What is said of a pair of which nothing is wider and that could not be proved.
const UNPROVED: &str = "undecided, and no wider";

/// How many pairs: `PORTCULLIS_ROUNDS`, or the full count for `PORTCULLIS_SOAK`.
fn cases() -> u32 {
    match (variable("PORTCULLIS_ROUNDS"), variable("PORTCULLIS_SOAK")) {
        (Some(rounds), _) => rounds.parse().unwrap(),
        (None, Some(_)) => 10_000,
        (None, None) => 30,
    }
}

#[test]
fn every_widening_is_found_and_none_where_there_is_none() {
    let cases = cases();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let counts: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    let outcome = TestRunner::new(config).run(&pair(), |(old, new, before, after)| {
        let told = hold(&old, &new, (before, after)).map_err(|why| {
            let text = |rules: &[Rule]| rules.iter().enumerate().map(|(id, rule)| rule.toml(id)).collect::<String>();
            TestCaseError::fail(format!("{why}\nOLD {before}\n{}\nNEW {after}\n{}", text(&old), text(&new)))
        })?;
        *counts.borrow_mut().entry(told).or_default() += 1;
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let counts = counts.into_inner();
    println!("{counts:?}");
    let share = |what: &str| counts.get(what).copied().unwrap_or(0) * 100 / cases;
    assert!(share("wider") >= 20 && share("no wider") >= 10, "the pairs say little: {counts:?}");
    let unproved = counts.get(UNPROVED).copied().unwrap_or(0);
    assert!(unproved <= (cases / 100).max(1), "too much cannot be proved: {counts:?}");
}
