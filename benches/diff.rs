//! How long it takes to tell whether one policy is wider than another, by the number of rules.
//!
//! `cargo bench --bench diff`
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot be set up should say so and stop")]

use std::fmt::Write as _;

use divan::{Bencher, black_box};
use portcullis::policy::Policy;
use portcullis::policy::diff::{Budget, Comparison, widening};

const RULES: [usize; 3] = [50, 500, 1_000];

fn main() {
    divan::main();
}

/// A policy of many rules of the kinds that people write: literal paths, ids, subtrees, names with a wildcard inside,
/// writes with constraints, denies.
fn text(rules: usize) -> String {
    let mut text = String::from(
        "version = 1\nname = \"bench\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n[access]\nwrites = true\n",
    );
    for n in 0..rules {
        let (table, methods, path, more) = match n % 7 {
            0 => ("allow", "[\"GET\"]", format!("/api/v1/resource{n}/*/items/"), ""),
            1 => ("allow", "[\"GET\"]", format!("/api/v1/organization/*/area{n}/**"), ""),
            2 => ("allow", "[\"GET\"]", format!("/api/v1/report{n}/summary"), "query = { only = [\"from\", \"to\"] }"),
            3 => ("allow", "[\"GET\"]", format!("/api/v{n}/file-*.json"), ""),
            4 => (
                "allow",
                "[\"POST\"]",
                format!("/api/v1/project/*/task{n}"),
                "body = { only = [\"name\"] }\nrate = \"5/min\"",
            ),
            5 => ("allow", "[\"PUT\", \"DELETE\"]", format!("/api/v1/project/*/label{n}/*"), "confirm = \"typed\""),
            _ => ("deny", "[\"GET\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\"]", format!("/**/secret{n}/**"), ""),
        };
        write!(text, "[[{table}]]\nid = \"rule-{n}\"\nmethods = {methods}\npaths = [\"{path}\"]\n{more}\n").unwrap();
    }
    text
}

fn policy(text: &str) -> Policy {
    let parsed = Policy::parse("bench.toml", text);
    parsed.policy.unwrap_or_else(|| panic!("{:?}", parsed.findings.first()))
}

#[divan::bench(args = RULES, sample_count = 10)]
fn no_wider(bencher: Bencher<'_, '_>, rules: usize) {
    let old = text(rules);
    // Narrower in one place, so that the rules are not the same.
    let new = old.replace("/api/v1/resource0/*/items/", "/api/v1/resource0/7/items/");
    let (old, new) = (policy(&old), policy(&new));
    assert_eq!(widening(&old, &new, Budget::ORDINARY), Comparison::NoWider);
    bencher.bench(|| black_box(widening(&old, &new, Budget::ORDINARY)));
}

#[divan::bench(args = RULES, sample_count = 10)]
fn wider_in_two_places(bencher: Bencher<'_, '_>, rules: usize) {
    let old = text(rules);
    let new =
        old.replace("/api/v1/resource0/*/items/", "/api/v1/resource0/**").replace("/**/secret6/**", "/api/secret6/**");
    let (old, new) = (policy(&old), policy(&new));
    assert!(matches!(widening(&old, &new, Budget::ORDINARY), Comparison::Wider(_)));
    bencher.bench(|| black_box(widening(&old, &new, Budget::ORDINARY)));
}

/// Overlapping `**` of which every combination is a state of its own: how long it takes to give up.
#[divan::bench(sample_count = 1)]
fn undecided(bencher: Bencher<'_, '_>) {
    let rules = |last: &str| -> String {
        let names = (0..40).map(|n| format!("/**/a{n}/**")).chain([last.to_owned()]);
        let rule = |(n, path)| format!("[[allow]]\nid = \"r{n}\"\nmethods = [\"GET\"]\npaths = [\"{path}\"]\n");
        text(0) + &names.enumerate().map(rule).collect::<String>()
    };
    let (old, new) = (policy(&rules("/b/**")), policy(&rules("/b/*")));
    assert_eq!(widening(&old, &new, Budget::ORDINARY), Comparison::Undecided);
    bencher.bench(|| black_box(widening(&old, &new, Budget::ORDINARY)));
}
