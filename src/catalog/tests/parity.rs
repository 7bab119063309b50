//! The builtin catalog against what allstacks-mcp 0.1.6 was seen to send.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::*;
use crate::catalog::operation::Operation;

/// One recorded call a line, each of which led to one request.
const CALLS: &str = include_str!("../../../tests/data/allstacks/calls.jsonl");

/// What is said of the differences.
const PAGE: &str = include_str!("../../../tests/data/allstacks/differences.md");

/// A call that means the same to both and is answered differently on purpose.
struct Difference {
    tool: &'static str,
    arguments: &'static str,
    /// What the original does with it.
    original: &'static str,
    /// What we send, or the refusal.
    ours: &'static str,
    why: &'static str,
}

/// Every deliberate difference. No recorded call is among them: all of those are sent alike.
const DIFFERENCES: [Difference; 10] = [
    Difference {
        tool: "get_slot_configuration",
        arguments: r#"{"project_id":1,"slot_type":"../../organization"}"#,
        original: "puts the text into the URL unescaped",
        ours: "the argument `slot_type` holds `/`: it must be exactly one segment of the path",
        why: "a value must not choose another path",
    },
    Difference {
        tool: "send_v2_capitalization_report",
        arguments: r#"{"org_id":1,"config":{"a":1},"debug":false}"#,
        original: "drops `false`",
        ours: r#"POST /organization/1/send_v2_cap_report/?debug=false {"config":{"a":1}}"#,
        why: "what is given is sent",
    },
    Difference {
        tool: "list_alert_rules",
        arguments: r#"{"org_id":1,"project_id":0}"#,
        original: "drops `0`",
        ours: "GET /organization/1/alert_rules/?project_id=0&limit=100&offset=0",
        why: "what is given is sent",
    },
    Difference {
        tool: "list_alert_rules",
        arguments: r#"{"org_id":1,"ordering":""}"#,
        original: "drops the empty text",
        ours: "GET /organization/1/alert_rules/?ordering=&limit=100&offset=0",
        why: "what is given is sent",
    },
    Difference {
        tool: "create_shared_link",
        arguments: r#"{"dashboard_id":1,"expires_at":"","org_id":2}"#,
        original: "drops the empty text",
        ours: r#"POST /organization/2/shared_links/ {"dashboard_id":1,"expires_at":""}"#,
        why: "what is given is sent",
    },
    Difference {
        tool: "get_risk_summary",
        arguments: r#"{"org_id":1,"project_ids":[]}"#,
        original: "drops an empty list",
        ours: "the argument `project_ids` is empty and would not be sent: leave it out",
        why: "a list that vanishes would widen the question",
    },
    Difference {
        tool: "get_project_metrics_v2_data",
        arguments: r#"{"project_id":1,"config":{"config":{"a":1},"variables":{"b":2}}}"#,
        original: "unwraps a `config` that is itself an envelope",
        ours: r#"POST /project/1/metrics_v2/metrics?use_cache=true {"config":{"config":{"a":1},"variables":{"b":2}},"get_count_only":false,"variables":{}}"#,
        why: "one way to say a thing; `variables` is an argument",
    },
    Difference {
        tool: "get_project_metrics_v2_data",
        arguments: r#"{"project_id":1,"config":{},"variables":null}"#,
        original: "sends `{}` for `null`",
        ours: "the argument `variables` must be of type object, and is `null`",
        why: "leave it out: absent sends `{}`",
    },
    Difference {
        tool: "add_team_tag",
        arguments: r#"{"project_id":1,"tag_id":2,"body":null}"#,
        original: "sends `{}` for `null`",
        ours: "the argument `body` must be of type object, and is `null`",
        why: "leave it out: absent sends `{}`",
    },
    Difference {
        tool: "send_v2_capitalization_report",
        arguments: r#"{"org_id":1,"config":{"config":{"a":1}}}"#,
        original: "sends a `config` that has a key `config` whole",
        ours: r#"POST /organization/1/send_v2_cap_report/ {"config":{"config":{"a":1}}}"#,
        why: "one way to say a thing",
    },
];

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
fn every_recorded_call_sends_what_the_original_sent() {
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
    assert_eq!(differences, []);
    assert_eq!((CALLS.lines().count(), tools.len()), (338, 169));
}

#[test]
fn every_deliberate_difference_is_as_listed_and_on_the_page() {
    let catalog = Catalog::allstacks().unwrap();
    let mut rows = String::from("| call | allstacks-mcp 0.1.6 | here | why |\n|---|---|---|---|\n");
    for Difference { tool, arguments, original, ours, why } in DIFFERENCES {
        let got = match catalog.named(tool).unwrap().request(arguments) {
            Err(error) => error.to_string(),
            Ok(parts) => {
                let request = Request::parse(&parts.raw()).unwrap();
                let body = request.body().map(|body| format!(" {}", String::from_utf8_lossy(body.bytes())));
                format!("{} {}{}", request.method(), request.target(), body.unwrap_or_default())
            }
        };
        assert_eq!(got, ours, "{tool} {arguments}");
        let shown = if ours.starts_with("the argument") { format!("refused: {ours}") } else { format!("`{ours}`") };
        rows.push_str(&format!("| `{tool} {arguments}` | {original} | {shown} | {why} |\n"));
    }
    assert!(PAGE.contains(&rows), "differences.md should hold:\n{rows}");
}

#[test]
fn the_builtin_catalog_is_whole_and_its_tools_are_small() {
    let (catalog, warnings) = Catalog::read(allstacks::DOCUMENT).unwrap();
    assert_eq!((catalog.operations().len(), warnings.as_slice()), (169, [].as_slice()));
    assert_eq!(notes(&catalog), []);
    let size = |operation: &Operation| {
        let schema = serde_json::to_string(operation.input_schema()).unwrap();
        operation.name().len() + operation.description().len() + schema.len()
    };
    let all: usize = catalog.operations().iter().map(size).sum();
    println!("all tools: {all} bytes");
    assert!(all < 60_000, "{all} bytes");
}

#[test]
fn no_tool_lets_a_path_value_leave_its_segment() {
    let catalog = Catalog::allstacks().unwrap();
    let mut tried = 0;
    for line in CALLS.lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let operation = catalog.named(call["tool"].as_str().unwrap()).unwrap();
        let good = ours(operation, call["args"].as_object().unwrap());
        let variables = operation.template().split('{').skip(1).filter_map(|rest| rest.split('}').next());
        for (variable, value) in
            variables.flat_map(|name| ["../x", "a/b", "x?y=1", "..", "", "%2e%2e"].map(|v| (name, v)))
        {
            let mut bad = good.clone();
            bad.insert(variable.to_owned(), value.into());
            let error = operation.request(&serde_json::to_string(&bad).unwrap()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{variable}`")), "{} {value}: {error}", operation.name());
            tried += 1;
        }
    }
    assert!(tried > 2_000, "{tried}");
}
