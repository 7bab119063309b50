//! How long the tools take: reading an API's description, listing what a policy opens, a call's arguments, a search, and
//! the shape of a large answer.
//!
//! `cargo bench --bench tools`
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should say so and stop")]

use divan::{Bencher, black_box};
use portcullis::catalog::Catalog;
use portcullis::policy::Policy;
use portcullis::tools::Toolbox;

fn main() {
    divan::main();
}

fn policy(tools: &str) -> Policy {
    let text = include_str!("../policy.example.toml").replace("[tools]", &format!("[tools]\n{tools}"));
    Policy::parse("policy.example.toml", &text).policy.unwrap()
}

fn toolbox(tools: &str) -> Toolbox {
    Toolbox::new(&policy(tools), Some(Catalog::allstacks().unwrap()))
}

#[divan::bench]
fn read_the_169_operations_of_allstacks() -> Catalog {
    Catalog::allstacks().unwrap()
}

#[divan::bench]
fn choose_and_list_what_the_example_policy_opens(bencher: Bencher<'_, '_>) {
    let policy = policy("");
    bencher
        .with_inputs(|| Catalog::allstacks().unwrap())
        .bench_values(|catalog| black_box(Toolbox::new(&policy, Some(catalog)).faces()));
}

#[divan::bench(sample_size = 100)]
fn make_a_request_of_a_call(bencher: Bencher<'_, '_>) {
    let toolbox = toolbox("");
    let tool = toolbox.named("list_service_items").unwrap();
    bencher.bench(|| toolbox.resolve(tool, black_box(r#"{"limit": 20}"#)).1.unwrap());
}

#[divan::bench(sample_size = 10)]
fn find_an_operation(bencher: Bencher<'_, '_>) {
    let toolbox = toolbox("mode = \"search\"");
    let tool = toolbox.named("find_operations").unwrap();
    bencher.bench(|| toolbox.resolve(tool, black_box(r#"{"query": "list the labels of an organization"}"#)).1.unwrap());
}
