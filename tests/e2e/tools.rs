//! Typed tools, search, resources and the rest of an answer: each through the same gate as the generic tools.

use std::fs;

use serde_json::{Value, json};

use super::common::{
    gate::{Gate, Home, Launch},
    policy,
    recorder::{Recorder, Reply},
};

/// The built-in description of Allstacks under a policy that opens `paths` for reading.
fn allstacks(upstream: &Recorder, paths: &str, more: &str) -> String {
    let head = policy::head(upstream).replace("allow_http", "openapi = \"builtin:allstacks\"\nallow_http");
    let rules = format!("[[allow]]\nid = \"reads\"\nmethods = [\"GET\"]\npaths = [{paths}]\n");
    format!("{head}{}{rules}{more}", policy::OPEN_LIMITS)
}

fn tools(gate: &mut Gate) -> Vec<Value> {
    let list = gate.request("tools/list", "{}").message;
    list["result"]["tools"].as_array().expect("tools").clone()
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default()).collect()
}

#[test]
fn only_operations_that_some_rule_opens_are_tools_and_all_are_annotated() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&allstacks(&upstream, "\"/organization/*/\", \"/project/*/\"", ""));
    let tools = tools(&mut gate);
    assert_eq!(names(&tools), ["api_get", "get_organization", "get_project", "read_more"]);
    for tool in &tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
    }
    assert!(gate.call("get_organization", &json!({"org_id": 7})).is_success());
    assert_eq!(upstream.seen()[0].request_line(), "GET /organization/7/ HTTP/1.1");
    assert_eq!(gate.call("delete_project", &json!({"project_id": 7})).rpc_error(), Some(-32602));
    assert_eq!(upstream.count(), 1);
    let records = gate.home.records();
    let question = records.iter().find(|record| record["kind"] == "question").expect("a question");
    assert_eq!((&question["tool"], &question["path"]), (&json!("get_organization"), &json!("/organization/7/")));
}

#[test]
fn an_argument_that_leaves_its_segment_or_its_schema_is_refused_and_nothing_is_sent() {
    let upstream = Recorder::plain();
    let more = "[access]\nwrites = true\n[[allow]]\nid = \"all\"\nmethods = [\"GET\", \"POST\", \"DELETE\"]\npaths = [\"/**\"]\nconfirm = \"never\"\n[tools]\nmode = \"typed\"\n";
    let mut gate = Gate::start(&allstacks(&upstream, "\"/organization/**\"", more));
    for value in [
        "..",
        "%2e%2e",
        ".",
        "...",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "",
        "%2F",
        "../../organization/1/x/?",
        "a;b",
        "\u{202e}",
    ] {
        let answer = gate.call("get_forecasting_config", &json!({"project_id": value, "slot_type": value}));
        assert_eq!(answer.code(), "bad_request", "{value:?}: {answer:?}");
        let answer =
            gate.call("get_slot_configuration", &json!({"project_id": 1, "slot_type": value, "slot_id": value}));
        assert_eq!(answer.code(), "bad_request", "{value:?}: {answer:?}");
    }
    let answer = gate.call("get_organization", &json!({"org_id": 7, "orgid": 8}));
    assert_eq!(answer.code(), "bad_request");
    assert!(answer.texts()[0].contains("unknown argument `orgid`"), "{answer:?}");
    let answer = gate.call("get_organization", &json!({}));
    assert!(answer.texts()[0].contains("`org_id`"), "{answer:?}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_large_api_is_searched_and_its_operations_are_called_through_the_same_gate() {
    let upstream = Recorder::plain();
    let more = "[access]\nwrites = true\n[[allow]]\nid = \"labels\"\nmethods = [\"POST\"]\npaths = [\"/organization/**\"]\n\
        [[deny]]\nid = \"six\"\npaths = [\"/organization/6\"]\n[tools]\nmode = \"search\"\n";
    let mut gate = Gate::start(&allstacks(&upstream, "\"/organization/**\", \"/project/**\"", more));
    let list = tools(&mut gate);
    let expected =
        ["api_get", "api_send", "call_read", "call_write", "describe_operation", "find_operations", "read_more"];
    assert_eq!(names(&list), expected);
    assert!(json!(list).to_string().len() < 4_096, "{}", json!(list).to_string().len());

    let found = gate.call("find_operations", &json!({"query": "get one organization"}));
    let found: Value = serde_json::from_str(found.texts()[0]).expect("JSON");
    assert_eq!((&found[0]["name"], &found[0]["call"]), (&json!("get_organization"), &json!("call_read")), "{found}");
    let described = gate.call("describe_operation", &json!({"name": "get_organization"}));
    assert!(described.texts()[0].contains("\"org_id\""), "{described:?}");
    assert_eq!(upstream.count(), 0, "what the gateway knows is asked of nobody");

    assert!(gate.call("call_read", &json!({"name": "get_organization", "arguments": {"org_id": 5}})).is_success());
    assert_eq!(upstream.seen()[0].target(), "/organization/5/");
    let denied = gate.call("call_read", &json!({"name": "get_organization", "arguments": {"org_id": 6}}));
    assert_eq!(denied.code(), "denied");
    let held =
        gate.call("call_write", &json!({"name": "create_label_family", "arguments": {"org_id": 1, "name": "x"}}));
    assert!(["approval_required", "bad_request"].contains(&&*held.code()), "{held:?}");
    for (tool, arguments, words) in [
        ("call_write", json!({"name": "get_organization", "arguments": {"org_id": 5}}), "`call_read`"),
        ("call_read", json!({"name": "no_such"}), "no operation"),
        ("call_read", json!({"name": "get_organization", "arguments": {"org_id": ".."}}), "`org_id`"),
        ("describe_operation", json!({"name": "no_such", "x": 1}), "nothing else"),
        ("find_operations", json!({}), "`query`"),
    ] {
        let answer = gate.call(tool, &arguments);
        assert_eq!(answer.code(), "bad_request", "{tool} {arguments}: {answer:?}");
        assert!(answer.texts()[0].contains(words), "{tool} {arguments}: {answer:?}");
    }
    assert_eq!(upstream.count(), 1);
    assert_eq!(gate.call("get_organization", &json!({"org_id": 5})).rpc_error(), Some(-32602), "it is not in the list");
    let questions = gate.home.records().iter().filter(|record| record["kind"] == "question").count();
    assert_eq!(questions, 10, "a search is logged like any call");
}

#[test]
fn an_answer_that_is_cut_goes_on_by_its_handle_once_and_for_its_agent() {
    let rows: Vec<Value> =
        (0..400).map(|id| json!({"id": id, "name": format!("row {id}"), "email": "a@b.test"})).collect();
    let body = json!(rows).to_string();
    let upstream = Recorder::start(move |_| Reply::json(&body));
    let more = "[response]\nmax_bytes = \"4KiB\"\nredact = [\"email\"]\n";
    let mut gate = Gate::start(&allstacks(&upstream, "\"/organization/**\"", more));
    let mut seen = Vec::new();
    let mut answer = gate.call("list_organizations", &json!({"answer": "fields=id,email"}));
    for _ in 0..20 {
        let texts: Vec<String> = answer.texts().iter().map(|text| (*text).to_owned()).collect();
        let part: Value = serde_json::from_str(&texts[0]).unwrap_or_else(|error| panic!("{error}: {texts:?}"));
        seen.extend(part.as_array().expect("rows").clone());
        let notes: Value = texts.get(1).map_or(Value::Null, |notes| serde_json::from_str(notes).expect("notes"));
        let Some(next) = notes["cut"]["next"].as_str().map(str::to_owned) else { break };
        answer = gate.call("read_more", &json!({"handle": next}));
        assert_eq!(gate.call("read_more", &json!({"handle": next})).code(), "bad_request", "a handle works once");
    }
    assert_eq!(seen.len(), 400);
    assert_eq!(seen[399], json!({"id": 399, "email": "[redacted]"}));
    assert_eq!(upstream.count(), 1);
    assert_eq!(gate.call("read_more", &json!({"handle": "made-up"})).code(), "bad_request");
}

#[test]
fn resources_say_what_is_open_and_are_logged() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&allstacks(&upstream, "\"/organization/*/\"", ""));
    let list = gate.request("resources/list", "{}").message;
    let uris: Vec<_> = list["result"]["resources"].as_array().expect("resources").iter().map(|r| &r["uri"]).collect();
    assert_eq!(uris, ["policy://sample", "openapi://sample"]);
    let policy = gate.request("resources/read", r#"{"uri":"policy://sample"}"#).message;
    let text = policy["result"]["contents"][0]["text"].as_str().expect("text");
    assert!(text.contains("GET /organization/*/") && text.contains("Nothing can be changed."), "{text}");
    let openapi = gate.request("resources/read", r#"{"uri":"openapi://sample"}"#).message;
    let text = openapi["result"]["contents"][0]["text"].as_str().expect("text");
    assert!(text.starts_with("get_organization: ") && text.lines().count() == 1, "{text}");
    assert!(gate.request("resources/read", r#"{"uri":"policy://other"}"#).rpc_error().is_some());
    let records = gate.home.records();
    let asked: Vec<_> = records.iter().filter(|r| r["kind"] == "question").map(|r| &r["tool"]).collect();
    assert_eq!(asked, ["policy://sample", "openapi://sample"]);
    assert!(gate.home.verify().status.success());
}

#[test]
fn a_description_beside_the_policy_makes_tools_and_a_broken_one_stops_the_start() {
    let upstream = Recorder::plain();
    let document = r#"
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /items/{id}:
    get: {operationId: item, summary: One item, parameters: [{name: id, in: path, required: true, schema: {type: string}}]}
"#;
    let policy = allstacks(&upstream, "\"/items/*\"", "").replace("builtin:allstacks", "api.yaml");
    let home = Home::new(&policy);
    let refused = Launch::new(&home).refused();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    for (text, words) in [("openapi: 2", "api.yaml"), ("{", "api.yaml"), ("swagger: '2.0'", "api.yaml")] {
        fs::write(home.path().join("api.yaml"), text).expect("written");
        let refused = Launch::new(&home).refused();
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(words) && stderr.trim().lines().count() == 1, "{stderr}");
    }
    fs::write(home.path().join("api.yaml"), document).expect("written");
    let mut gate = Launch::new(&home).start();
    assert_eq!(names(&tools(&mut gate)), ["api_get", "item", "read_more"]);
    assert!(gate.call("item", &json!({"id": "ü x"})).is_success());
    assert_eq!(upstream.seen()[0].target(), "/items/%C3%BC%20x");
}

#[test]
fn what_a_document_hides_from_people_is_hidden_from_agents() {
    let upstream = Recorder::plain();
    let hidden = ['\u{202e}', '\u{200b}', '\u{e0041}', '\u{fe0f}', '\u{9b}', '\u{1b}'];
    let all: String = hidden.iter().collect();
    let document = json!({"openapi": "3.1.0", "tags": [all], "paths": {
        "/items": {"get": {"operationId": format!("list{all}"), "summary": format!("Lists{all} items"), "tags": [all], "parameters": [
            {"name": "q", "in": "query", "description": format!("What{all} to find"), "schema": {
                "title": all, "enum": ["plain", all], "default": all, "pattern": all}},
            {"name": format!("x{all}"), "in": "query"}]},
            "post": {"requestBody": {"content": {"application/json": {"schema": {"properties": {all.clone(): {"const": all}}}}}}}},
        format!("/{{{all}}}"): {"get": {}},
    }});
    for mode in ["typed", "search"] {
        let more = format!(
            "[access]\nwrites = true\n[[allow]]\nid = \"all\"\nmethods = [\"POST\"]\npaths = [\"/**\"]\n[tools]\nmode = \"{mode}\"\n"
        );
        let policy = allstacks(&upstream, "\"/**\"", &more).replace("builtin:allstacks", "api.json");
        let home = Home::new(&policy);
        fs::write(home.path().join("api.json"), document.to_string()).expect("written");
        for format in ["human", "json"] {
            let output = home.tools(format);
            assert!(output.status.success(), "{output:?}");
            let said =
                String::from_utf8(output.stdout).expect("UTF-8") + &String::from_utf8(output.stderr).expect("UTF-8");
            assert!(said.contains("invisible") && !said.contains(hidden), "{said:?}");
        }
        let mut gate = Launch::new(&home).start();
        let mut said = json!(tools(&mut gate)).to_string();
        for uri in ["policy://sample", "openapi://sample"] {
            said += &gate.request("resources/read", &json!({"uri": uri}).to_string()).message.to_string();
        }
        if mode == "search" {
            let found = gate.call("find_operations", &json!({"query": "lists items"}));
            let name = serde_json::from_str::<Value>(found.texts()[0]).expect("JSON")[0]["name"].clone();
            said += found.texts()[0];
            said += gate.call("describe_operation", &json!({"name": name})).texts()[0];
        }
        assert!(said.contains("Lists items") && said.contains("What to find"), "{said}");
        assert!(!said.contains(hidden), "{said:?}");
    }
}

#[test]
fn the_log_says_which_operation_a_call_means_and_what_else_it_names_as_digests() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&allstacks(&upstream, "\"/organization/**\"", "[tools]\nmode = \"search\"\n"));
    for query in ["secret words", "secret words", "other words"] {
        assert!(gate.call("find_operations", &json!({"query": query})).is_success());
    }
    let by_name = [
        ("describe_operation", json!({"name": "get_organization"})),
        ("call_read", json!({"name": "get_organization", "arguments": {"org_id": 5}})),
        ("call_read", json!({"name": "get_organization", "arguments": {"org_id": ["secret value"]}})),
        ("describe_operation", json!({"name": format!("no-such-operation{}", "x".repeat(1_000))})),
    ];
    for (tool, arguments) in &by_name {
        gate.call(tool, arguments);
    }
    for handle in ["secret-handle", "secret-handle"] {
        assert_eq!(gate.call("read_more", &json!({"handle": handle})).code(), "bad_request");
    }
    let records = gate.home.records();
    let text = json!(records).to_string();
    assert!(!text.contains("secret"), "{text}");
    let asked: Vec<&Value> = records.iter().filter(|record| record["kind"] == "question").collect();
    let digests: Vec<_> = asked.iter().filter_map(|question| question["argument"].as_array()).collect();
    assert_eq!(
        digests.iter().map(|pair| &pair[0]).collect::<Vec<_>>(),
        ["query", "query", "query", "handle", "handle"]
    );
    assert!(digests[0] == digests[1] && digests[1] != digests[2] && digests[3] == digests[4], "{digests:?}");
    assert!(digests.iter().all(|pair| pair[1].as_str().is_some_and(|digest| digest.len() == 32)), "{digests:?}");
    let operations: Vec<&str> = asked.iter().filter_map(|question| question["operation"].as_str()).collect();
    assert_eq!(operations[..3], ["get_organization"; 3]);
    assert!(operations[3].starts_with("no-such-operation") && operations[3].len() == 128, "{operations:?}");
    assert_eq!((&asked[4]["tool"], &asked[4]["path"]), (&json!("call_read"), &json!("/organization/5/")));
    let cause = asked[5]["cause"].as_str().expect("a cause");
    assert!(cause.contains("`org_id` must be"), "{cause}");
    assert!(gate.home.verify().status.success());
}
