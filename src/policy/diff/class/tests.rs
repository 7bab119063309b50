//! Segments of letters, marks and what folds to them, held against the classes of labels of the same.

use std::cell::Cell;
use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::policy::Policy;
use crate::policy::file::File;
use crate::policy::finding::Findings;

/// Letters with and without a decomposition, with one form or several, and marks of several classes.
const CHARACTERS: [&str; 46] = [
    "a", "A", "e", "k", "K", "i", "I", "s", "f", "n", "9", "C", ".", ":", "=", "é", "É", "ȩ", "ê", "İ", "ß", "Å", "ŉ",
    "²", "ς", "Σ", "か", "가", "ᾳ", "\u{212a}", "\u{212b}", "\u{ff41}", "\u{ff21}", "\u{fb01}", "\u{1fbe}", "\u{301}",
    "\u{327}", "\u{323}", "\u{338}", "\u{345}", "\u{3099}", "\u{fe0f}", "\u{ad}", "\u{1100}", "\u{1161}", "\u{11a8}",
];
/// The patterns of one policy, allowed and denied.
type Patterns = (Vec<String>, Vec<String>);

fn text(most: usize, more: &[&'static str]) -> impl Strategy<Value = String> {
    let pieces: Vec<&'static str> = CHARACTERS.iter().chain(more).copied().collect();
    prop::collection::vec(prop::sample::select(pieces), 1..=most).prop_map(|pieces| pieces.concat())
}

fn patterns() -> impl Strategy<Value = Patterns> {
    let some = || prop::collection::vec(text(3, &["*", "*", "*", "*", "*", "*"]), 1..=2);
    (some(), some())
}

/// `None` where one of the patterns is none.
fn policy((allowed, denied): &Patterns) -> Option<Policy> {
    let paths =
        |patterns: &[String]| patterns.iter().map(|pattern| format!("\"/{pattern}\"")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "version = 1\nname = \"c\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n\
         [[allow]]\nid = \"a\"\nmethods = [\"GET\"]\npaths = [{}]\n[[deny]]\nid = \"d\"\npaths = [{}]\n",
        paths(allowed),
        paths(denied)
    );
    let mut findings = Findings::new(&text);
    let file = File::read(&mut findings)?;
    (findings.errors() == 0).then(|| Policy::new("class.toml", &text, &[], file))
}

impl Sieve {
    /// What the labels say of a segment as it is written and in deny form.
    fn kind(&self, canonical: &str, folded: &str) -> Kind {
        let (mut written, mut kept) = (self.written.begin(), self.folded.begin());
        canonical.chars().for_each(|character| self.written.read(&mut written, character));
        folded.chars().for_each(|character| self.folded.read(&mut kept, character));
        (self.written.hits(&written), self.folded.hits(&kept))
    }
}

#[expect(clippy::disallowed_methods, reason = "the counts of the soak run are chosen by the environment")]
fn cases() -> u32 {
    if std::env::var("PORTCULLIS_SOAK").is_ok_and(|value| !value.is_empty()) { 10_000 } else { 20 }
}

#[test]
fn every_segment_of_a_path_is_of_a_class_that_is_found() {
    let (looked, ended) = (Cell::new(0_u32), Cell::new(0_u32));
    let segments = prop::collection::vec((any::<prop::sample::Index>(), text(3, &["%20"]), text(2, &["%20"])), 200);
    let config = Config { cases: cases(), failure_persistence: None, max_global_rejects: 100_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(patterns(), segments), |(patterns, segments)| {
        let policy = policy(&patterns);
        prop_assume!(policy.is_some());
        let policy = policy.unwrap();
        let mut labels = Labels::default();
        policy.rules.labels(&policy.rules.begin(), &mut labels);
        let sieve = Sieve::new(&key(labels));
        let Some(classes) = sieve.classes(&mut Steps { left: 30_000_000 }) else {
            ended.set(ended.get() + 1);
            return Ok(());
        };
        let kinds: HashSet<Kind> = classes.iter().map(|class| sieve.kind(&class.canonical, &class.folded)).collect();
        let all: Vec<&String> = patterns.0.iter().chain(&patterns.1).collect();
        for (index, one, other) in segments {
            // What a pattern stands for, or nearly.
            let segment = index.get(&all).replacen('*', &one, 1).replace('*', &other);
            let Ok(path) = Path::parse(&format!("/{segment}")) else { continue };
            let [form] = path.deny_forms() else { continue };
            let [folded] = form.segments() else { continue };
            looked.set(looked.get() + 1);
            let canonical = path.canonical().trim_start_matches('/');
            prop_assert!(kinds.contains(&sieve.kind(canonical, folded)), "{canonical} as {folded}");
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    println!("{} segments; {} without an end", looked.get(), ended.get());
    assert!(looked.get() > cases() * 50 && ended.get() * 10 < cases(), "{looked:?} {ended:?}");
}
