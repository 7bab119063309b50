//! How long a decision takes, by the number of rules: parse of the request, and the verdict alone.
//!
//! `cargo bench --bench decide`
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot be set up should say so and stop")]

use std::fmt::Write as _;

use divan::{Bencher, black_box};
use portcullis::agent::Agent;
use portcullis::policy::{Policy, Verdict};
use portcullis::request::body::DeleteBody;
use portcullis::request::{RawRequest, Request};

const RULES: [usize; 4] = [10, 100, 1_000, 10_000];

fn main() {
    divan::main();
}

/// A policy of many rules of the kinds that people write: literal paths, ids, subtrees, names with a wildcard inside, denies.
fn policy(rules: usize) -> Policy {
    let mut text =
        String::from("version = 1\nname = \"bench\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n");
    for n in 0..rules {
        let (table, path) = match n % 5 {
            0 => ("allow", format!("/api/v1/resource{n}/*/items/")),
            1 => ("allow", format!("/api/v1/organization/*/area{n}/**")),
            2 => ("allow", format!("/api/v1/report{n}/summary")),
            3 => ("allow", format!("/api/v{n}/file-*.json")),
            _ => ("deny", format!("/**/secret{n}/**")),
        };
        let methods = if table == "allow" { "methods = [\"GET\"]\n" } else { "" };
        write!(text, "[[{table}]]\nid = \"rule-{n}\"\n{methods}paths = [\"{path}\"]\n").unwrap();
    }
    let parsed = Policy::parse("bench.toml", &text);
    parsed.policy.unwrap_or_else(|| panic!("{:?}", parsed.findings.first()))
}

fn request(path: &str) -> Request {
    Request::parse(&RawRequest {
        method: "GET",
        path,
        query: None,
        headers: None,
        body: None,
        delete_body: DeleteBody::Refused,
    })
    .unwrap()
}

fn decide(bencher: Bencher<'_, '_>, rules: usize, path: &str, allowed: bool) {
    let (policy, agent) = (policy(rules), Agent::stdio(1000));
    let verdict = policy.authorize(&agent, request(path));
    assert_eq!(matches!(verdict, Verdict::Allow(_)), allowed, "{path}");
    bencher.with_inputs(|| request(path)).bench_values(|request| black_box(policy.authorize(&agent, request)));
}

#[divan::bench(args = RULES, sample_size = 100)]
fn allowed_by_one_rule(bencher: Bencher<'_, '_>, rules: usize) {
    decide(bencher, rules, "/api/v1/organization/42/area6/metrics/7", true);
}

#[divan::bench(args = RULES, sample_size = 100)]
fn refused_by_a_deny_rule(bencher: Bencher<'_, '_>, rules: usize) {
    decide(bencher, rules, "/api/v1/organization/42/area6/secret4/7", false);
}

#[divan::bench(args = RULES, sample_size = 100)]
fn refused_because_no_rule_matches(bencher: Bencher<'_, '_>, rules: usize) {
    decide(bencher, rules, "/api/v1/organization/42/elsewhere/metrics/7", false);
}

#[divan::bench(sample_size = 100)]
fn parse_a_request(bencher: Bencher<'_, '_>) {
    bencher.bench(|| request(black_box("/api/v1/organization/42/area6/metrics/7")));
}
