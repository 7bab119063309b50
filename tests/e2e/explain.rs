//! What `explain` says of a call, held against what the gate does with it and what arrives.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::common::{
    corpus,
    gate::{Home, Launch, binary},
    policy::{self, OPEN_LIMITS},
    recorder::Recorder,
};

/// `portcullis explain` of one call of a tool.
fn explain(policy: &Path, tool: &str, arguments: &str) -> Output {
    let mut command = binary();
    command.arg("explain").arg(policy).args(["--tool", tool, "--arguments", arguments, "--format", "json"]);
    command.output().expect("the binary runs")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The call of a case, as its agent spells it.
fn arguments(case: &Value) -> (&'static str, String) {
    let get = case["method"] == "GET";
    let mut members = vec![format!(r#""path":{}"#, case["path"])];
    members.extend((!get).then(|| format!(r#""method":{}"#, case["method"])));
    for name in ["query", "headers"].into_iter().filter(|name| !case[*name].is_null()) {
        members.push(format!(r#""{name}":{}"#, case[name]));
    }
    members.extend(case["body"].as_str().map(|text| format!(r#""body":{text}"#)));
    (if get { "api_get" } else { "api_send" }, format!("{{{}}}", members.join(",")))
}

#[test]
fn every_request_of_the_corpus_is_explained_as_it_is_judged() {
    let upstream = Recorder::plain();
    let (a, b) = (Home::new(&policy::a(&upstream)), Home::new(&policy::b(&upstream, "")));
    let mut seen = BTreeMap::<String, usize>::new();
    for case in corpus("requests.jsonl") {
        let home = if case["policy"] == "A" { &a } else { &b };
        let (tool, arguments) = arguments(&case);
        // The operating system passes no argument with a zero byte in it.
        if arguments.contains('\0') {
            continue;
        }
        let output = explain(&home.policy(), tool, &arguments);
        let told = json_of(&output);
        let verdict = told["verdict"].as_str().expect("a verdict").to_owned();
        let name = &case["id"];
        if case["expect"] == "allow" {
            let held = case["requires_confirmation"] == true;
            assert_eq!(verdict, if held { "hold" } else { "allow" }, "{name}: {told}");
            let url = told["request"]["url"].as_str().expect("a URL");
            assert!(url.ends_with(case["expect_target"].as_str().expect("a target")), "{name}: {url}");
            assert_eq!(told["request"]["body"], case["body"], "{name}");
            assert_eq!(output.status.code(), Some(0), "{name}");
        } else {
            assert!(matches!(verdict.as_str(), "deny" | "refuse"), "{name}: {told}");
            assert_eq!(output.status.code(), Some(1), "{name}");
        }
        *seen.entry(verdict).or_default() += 1;
    }
    assert_eq!(seen.len(), 4, "every verdict occurs: {seen:?}");
}

#[test]
fn a_request_arrives_with_the_headers_that_explain_tells() {
    let upstream = Recorder::plain();
    let rules = r#"
[upstream.credentials.writer]
header = { name = "X-Api-Key", value = { env = "PORTCULLIS_TEST_TOKEN" } }

[access]
writes = true

[[allow]]
id = "items"
methods = ["GET"]
paths = ["/items/**"]

[[allow]]
id = "changes"
methods = ["POST"]
paths = ["/items/*"]
confirm = "never"
credential = "writer"
"#;
    let text = policy::head(&upstream).replace("timeout =", "headers = { X-Team = \"delivery\" }\ntimeout =");
    let home = Home::new(&format!("{text}{OPEN_LIMITS}{rules}"));
    let mut gate = Launch::new(&home).start();
    for (tool, call) in [
        ("api_get", json!({ "path": "/items/1", "query": { "q": "a b" } })),
        ("api_get", json!({ "path": "/items/1", "headers": { "Accept": "text/csv", "If-None-Match": "\"1\"" } })),
        ("api_send", json!({ "method": "POST", "path": "/items/2", "body": { "n": [1, 2] } })),
    ] {
        let told = json_of(&explain(&home.policy(), tool, &call.to_string()));
        assert!(gate.call(tool, &call).is_success(), "{call}");
        let seen = upstream.seen().pop().expect("the request arrived");
        let request = &told["request"];
        let url = request["url"].as_str().expect("a URL");
        assert!(url.ends_with(seen.target()), "{url}, {}", seen.target());
        assert_eq!(request["method"], seen.method());
        assert_eq!(request["body"].as_str().unwrap_or_default().as_bytes(), seen.body, "{call}");
        let mut names: Vec<String> = seen
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        names.retain(|name| !matches!(name.as_str(), "host" | "content-length"));
        names.sort();
        let told: Vec<&Value> = request["headers"].as_array().expect("headers").iter().collect();
        assert_eq!(told.iter().map(|header| header["name"].as_str().unwrap()).collect::<Vec<_>>(), names, "{call}");
        for header in told {
            let arrived = seen.headers(header["name"].as_str().expect("a name"));
            match header["value"].as_str() {
                Some(value) => assert_eq!(arrived, [value], "{header}"),
                None => assert!(header["from"].as_str().is_some_and(|from| from.contains(policy::TOKEN)), "{header}"),
            }
        }
    }
    assert_eq!(gate.finish(), Vec::<Value>::new());
}

#[test]
fn a_rule_is_quoted_with_its_lines_and_no_secret() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let mut command = binary();
    command.arg("explain").arg(home.policy()).args(["PATCH", "/api/v1/service_item/7/labels/", "--body", "{\"a\":1}"]);
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for told in [
        "held  PATCH /api/v1/service_item/7/labels/",
        "as rule `labels` asks:",
        "| id = \"labels\"",
        "3 other rules are about other paths.",
        "authorization: (Bearer, from the environment variable PORTCULLIS_TEST_TOKEN)",
        "{\"a\":1}",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colour into a pipe: {text:?}");
}

#[test]
fn whoever_asks_for_what_is_not_there_is_told_what_is() {
    let home = Home::new(&policy::a(&Recorder::plain()));
    for (words, told) in [
        (&["--tool", "get_thing"][..], "names no description of the API"),
        (&["--all"], "names no description of the API"),
        (&["GET"], "required"),
        (&["GET", "/a", "--query", "q"], "`q` is not NAME=VALUE"),
        (&["POST", "/a", "--body", "{"], "the body is not JSON"),
    ] {
        let output = binary().arg("explain").arg(home.policy()).args(words).output().expect("the binary runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(told), "{words:?}: {error}");
    }
}
