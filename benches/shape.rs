//! How long it takes to shape an answer, by its size and by what is asked of it: rows as issue trackers give them.
//!
//! `cargo bench --bench shape`
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should say so and stop")]

use std::fmt::Write as _;
use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use portcullis::agent::Agent;
use portcullis::answer::{Ask, Facts, Store, View, shape};
use portcullis::clock::SystemClock;
use portcullis::policy::{FieldPath, Format, ResponseSpec};

/// 40 KB, which are shaped where the call runs, and 5 MB, which are not.
const ROWS: [usize; 2] = [100, 12_500];
/// More than any answer here: nothing is cut.
const WHOLE: u64 = 64 << 20;

fn main() {
    divan::main();
}

/// Indented JSON, about 400 bytes a row.
fn rows(count: usize) -> String {
    let mut text = String::from("{\n  \"count\": 1,\n  \"results\": [");
    for id in 0..count {
        let comma = if id == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}
    {{
      "id": {id},
      "url": "https://api.example.test/repos/portcullis/gate/issues/{id}",
      "title": "The gate answers call {id} too slowly",
      "state": "open",
      "comments": 7,
      "created_at": "2026-03-01T09:30:00Z",
      "closed_at": null,
      "user": {{
        "login": "ann",
        "email": "ann@example.test",
        "site_admin": false
      }},
      "labels": ["bug", "speed"]
    }}"#
        )
        .unwrap();
    }
    text + "\n  ]\n}\n"
}

/// Shapes `body` again and again, with a store that is thrown away.
fn run(bencher: Bencher<'_, '_>, kind: &str, body: &str, redact: &[&str], ask: &str, max_bytes: u64) {
    let redact = redact.iter().map(|path| FieldPath::anywhere(path).unwrap()).collect();
    let response = ResponseSpec { read_max_bytes: 8 << 20, max_bytes, format: Format::Json, redact };
    let (ask, agent, clock) = (Ask::parse(ask).unwrap(), Agent::stdio(1_000), Arc::new(SystemClock::new()));
    let input = || {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        let facts = Facts { status: 200, headers, location: None, retry_after: None };
        (facts, body.as_bytes().to_vec(), Store::new(clock.clone()))
    };
    bencher.counter(BytesCount::new(body.len())).with_inputs(input).bench_values(|(facts, body, store)| {
        let view = View { response: &response, ask: &ask, store: &store, agent: &agent, call: "c1" };
        let (shaped, refusal) = shape(facts, black_box(body), &view);
        assert!(refusal.is_none());
        shaped
    });
}

const JSON: &str = "application/json";

#[divan::bench(args = ROWS)]
fn compact(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, JSON, &rows(count), &[], "", WHOLE);
}

#[divan::bench(args = ROWS)]
fn redact(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, JSON, &rows(count), &["email", "results.user.login", "**.token"], "", WHOLE);
}

#[divan::bench(args = ROWS)]
fn fields(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, JSON, &rows(count), &["email"], "fields=results.id,results.title,results.user.login", WHOLE);
}

#[divan::bench(args = ROWS)]
fn table(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, JSON, &rows(count), &["email"], "as=toon", WHOLE);
}

#[divan::bench(args = ROWS)]
fn cut(bencher: Bencher<'_, '_>, count: usize) {
    run(bencher, JSON, &rows(count), &["email"], "", 16 << 10);
}

/// Text that is no JSON is searched for members that are redacted.
#[divan::bench(args = ROWS)]
fn search_text(bencher: Bencher<'_, '_>, count: usize) {
    let line = "2026-03-01T09:30:00Z INFO {gate} call \"read\" of 'ann' took 12 ms, it's answered with \"200 OK\"\n";
    run(bencher, "text/plain", &line.repeat(count * 4), &["email", "**.token"], "", WHOLE);
}

/// The most work for its size: one array at the bottom of sixty objects.
#[divan::bench(args = ROWS)]
fn cut_what_is_nested_deep(bencher: Bencher<'_, '_>, count: usize) {
    let body = format!("{}[{}]{}", "{\"a\":".repeat(60), vec!["1"; count * 200].join(","), "}".repeat(60));
    run(bencher, JSON, &body, &["email"], "", 16 << 10);
}
