//! The builtin catalog against what allstacks-mcp 0.1.6 was seen to send.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::*;
use crate::catalog::operation::Operation;

/// One recorded call a line, each of which led to one request.
const CALLS: &str = include_str!("../../../tests/data/allstacks/calls.jsonl");

/// What is said of the differences.
const PAGE: &str = include_str!("../../../tests/data/allstacks/differences.md");

/// Every recorded call in which we differ: the tool, the set of calls, and in which part.
const DIFFERENCES: [(&str, &str, &str); 0] = [];

/// Arguments that are called after the member of the body that they are.
const RENAMED: [(&str, &str, &str); 2] =
    [("clone_dashboard", "new_name", "name"), ("clone_work_bundle", "new_name", "name")];

/// What is compared.
#[derive(Debug, PartialEq)]
struct Sent {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

/// The arguments as our tool takes them: JSON where the original took JSON text, arrays where it took comma text, the
/// whole body as `body`.
fn ours(operation: &Operation, args: &Map<String, Value>) -> Map<String, Value> {
    let schemas = &operation.input_schema()["properties"];
    let mut arguments = Map::new();
    for (name, value) in args.iter().filter(|(name, _)| *name != "response_format") {
        let renamed = RENAMED.iter().find(|(tool, old, _)| *tool == operation.name() && old == name);
        let name = match renamed {
            Some((.., new)) => new,
            None if schemas.get(name).is_some() => name.as_str(),
            None => "body",
        };
        let value = match value.as_str() {
            Some(text) if schemas[name]["type"] == "array" && !text.starts_with('[') => text.split(',').collect(),
            Some(text) if schemas[name]["type"] != "string" => {
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{} {name} {text}: {error}", operation.name()))
            }
            Some(_) | None => value.clone(),
        };
        arguments.insert(name.to_owned(), value);
    }
    arguments
}

fn recorded(call: &Value) -> Sent {
    let target = call["target"].as_str().unwrap().strip_prefix("/api/v1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    query.sort();
    let body = call["body"].as_str().map(|body| serde_json::from_str(body).unwrap());
    Sent { method: call["method"].as_str().unwrap().to_owned(), path: path.to_owned(), query, body }
}

fn sent(operation: &Operation, arguments: &Map<String, Value>) -> Sent {
    let text = serde_json::to_string(arguments).unwrap();
    let parts = operation.request(&text).unwrap_or_else(|error| panic!("{} {text}: {error}", operation.name()));
    let request = Request::parse(&parts.raw()).unwrap_or_else(|error| panic!("{} {text}: {error}", operation.name()));
    let mut query = request.query().pairs().to_vec();
    query.sort();
    Sent {
        method: request.method().as_str().to_owned(),
        path: request.path().canonical().to_owned(),
        query,
        body: request.body().map(|body| serde_json::from_slice(body.bytes()).unwrap()),
    }
}

#[test]
fn every_recorded_call_sends_what_the_original_sent_but_for_the_listed_ones() {
    let catalog = Catalog::allstacks().unwrap();
    let mut differences = Vec::new();
    let mut tools = BTreeSet::new();
    for line in CALLS.lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let name = call["tool"].as_str().unwrap();
        let operation = catalog.named(name).unwrap_or_else(|| panic!("no tool {name}"));
        tools.insert(name.to_owned());
        let want = recorded(&call);
        let got = sent(operation, &ours(operation, call["args"].as_object().unwrap()));
        for (part, same) in [
            ("method", want.method == got.method),
            ("path", want.path == got.path),
            ("query", want.query == got.query),
            ("body", want.body == got.body),
        ] {
            if !same {
                println!("{name}: {want:?} {got:?}");
                differences.push((name.to_owned(), call["set"].as_str().unwrap().to_owned(), part));
            }
        }
    }
    let listed: Vec<_> =
        DIFFERENCES.iter().map(|(tool, set, part)| ((*tool).to_owned(), (*set).to_owned(), *part)).collect();
    assert_eq!(differences, listed);
    assert_eq!((CALLS.lines().count(), tools.len()), (338, 169));
    for (tool, ..) in DIFFERENCES {
        assert!(PAGE.contains(&format!("`{tool}`")), "differences.md does not tell of {tool}");
    }
}

#[test]
fn the_builtin_catalog_is_whole_and_its_tools_are_small() {
    let (catalog, warnings) = Catalog::read(allstacks::DOCUMENT).unwrap();
    assert_eq!((catalog.operations().len(), warnings.as_slice()), (169, [].as_slice()));
    assert_eq!(catalog.examine(), []);
    let size = |operation: &Operation| {
        let schema = serde_json::to_string(operation.input_schema()).unwrap();
        operation.name().len() + operation.description().len() + schema.len()
    };
    let all: usize = catalog.operations().iter().map(size).sum();
    println!("all tools: {all} bytes");
    assert!(all < 60_000, "{all} bytes");
}

#[test]
fn values_that_the_original_dropped_are_sent() {
    let catalog = Catalog::allstacks().unwrap();
    let target = |tool: &str, arguments: &str| {
        let parts = catalog.named(tool).unwrap().request(arguments).unwrap();
        Request::parse(&parts.raw()).unwrap().target().to_owned()
    };
    assert_eq!(
        target("list_alert_rules", r#"{"org_id":1,"project_id":0,"ordering":""}"#),
        "/organization/1/alert_rules/?project_id=0&ordering=&limit=100&offset=0"
    );
    assert_eq!(
        target("send_v2_capitalization_report", r#"{"org_id":1,"config":{},"debug":false}"#),
        "/organization/1/send_v2_cap_report/?debug=false"
    );
}

#[test]
fn a_path_value_that_the_original_put_in_unescaped_stays_one_segment() {
    let catalog = Catalog::allstacks().unwrap();
    let tool = catalog.named("get_slot_configuration").unwrap();
    for value in ["../../organization", "a/b", "x?y=1", "..", ""] {
        let arguments = serde_json::json!({"project_id": 1, "slot_type": value}).to_string();
        assert!(tool.request(&arguments).unwrap_err().to_string().contains("`slot_type`"), "{value}");
    }
}
