//! Every request of `tests/data/requests.jsonl` through the real binary: what is allowed arrives
//! byte for byte, what is denied never arrives, and nothing else does.
//!
//! The body of a case is spliced in raw, so that a body that is no JSON makes a line that is no
//! JSON; one with a line end in it (which would end the frame) goes in as a string instead.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::common::{
    corpus,
    gate::{Answer, Gate},
    policy,
    recorder::Recorder,
};

/// Sends the call of `case`, and answers what came back for it: its answer, or an error without
/// an id.
fn ask(gate: &mut Gate, case: &Value) -> Answer {
    let method = case["method"].as_str().expect("a method");
    let mut members = Vec::new();
    if method != "GET" {
        members.push(format!(r#""method":{}"#, case["method"]));
    }
    members.push(format!(r#""path":{}"#, case["path"]));
    for name in ["query", "headers"] {
        if !case[name].is_null() {
            members.push(format!(r#""{name}":{}"#, case[name]));
        }
    }
    match case["body"].as_str() {
        Some(text) if text.contains(['\r', '\n']) => members.push(format!(r#""body":{}"#, case["body"])),
        Some(text) => members.push(format!(r#""body":{text}"#)),
        None => {}
    }
    let tool = if method == "GET" { "api_get" } else { "api_send" };
    let id = gate.begin(tool, &format!("{{{}}}", members.join(",")));
    gate.first(case["id"].as_str().expect("an id"), |message| message["id"] == id || message["id"].is_null())
}

fn assert_refused(case: &Value, answer: &Answer) {
    let name = &case["id"];
    if let Some(code) = answer.rpc_error() {
        assert!(matches!(code, -32700 | -32600 | -32602), "{name}: {answer:?}");
        return;
    }
    let code = answer.code();
    assert!(matches!(code.as_str(), "bad_request" | "denied"), "{name}: {code}: {answer:?}");
}

fn cases(policy: &str) -> Vec<Value> {
    let mut cases = corpus("requests.jsonl");
    cases.retain(|case| case["policy"] == policy);
    assert!(cases.len() > 20, "the corpus is there");
    cases
}

fn is_write(case: &Value) -> bool {
    case["requires_confirmation"] == true
}

/// Runs `cases` and checks after each that the upstream has seen exactly what was allowed so far.
/// A write counts as allowed if `writes_pass`; else it must be refused with `approval_required`.
fn run(mut gate: Gate, upstream: &Recorder, cases: &[Value], writes_pass: bool) {
    let mut arrived = 0;
    let mut verdicts = BTreeMap::<String, usize>::new();
    for case in cases {
        let name = &case["id"];
        let answer = ask(&mut gate, case);
        let allowed = case["expect"] == "allow";
        if allowed && (writes_pass || !is_write(case)) {
            assert!(answer.is_success(), "{name} ({}): {answer:?}", case["why"]);
            arrived += 1;
            let seen = upstream.seen().pop().expect("the request arrived");
            let line = format!(
                "{} {} HTTP/1.1",
                case["method"].as_str().expect("text"),
                case["expect_target"].as_str().expect("text")
            );
            assert_eq!(seen.request_line(), line, "{name}: the bytes on the wire");
            assert_eq!(seen.body, case["body"].as_str().unwrap_or_default().as_bytes(), "{name}: the body on the wire");
        } else if allowed {
            assert_eq!(answer.code(), "approval_required", "{name}: {answer:?}");
        } else {
            assert_refused(case, &answer);
        }
        assert_eq!(upstream.count(), arrived, "{name} ({}): what arrived", case["why"]);
        *verdicts.entry(case["expect"].to_string()).or_default() += 1;
    }
    assert!(verdicts.len() == 2 || cases.iter().all(is_write), "both verdicts occur: {verdicts:?}");
    assert_eq!(gate.finish(), Vec::<Value>::new(), "one answer for one call");
    assert_eq!(upstream.count(), arrived, "nothing arrives later");
}

#[test]
fn every_request_under_a_read_only_policy_gets_its_verdict_and_only_allowed_bytes_arrive() {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy::a(&upstream));
    run(gate, &upstream, &cases("A"), false);
}

#[test]
fn every_request_under_a_policy_with_writes_gets_its_verdict_and_only_allowed_bytes_arrive() {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    run(gate, &upstream, &cases("B"), true);
}

#[test]
fn an_unanswered_write_is_refused_as_such_and_never_sent() {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy::b(&upstream, ""));
    run(gate, &upstream, &cases("B"), false);
    assert!(upstream.seen().iter().all(|seen| seen.method() == "GET"), "no write arrives: {:?}", upstream.seen());
}

#[test]
fn a_held_write_names_the_rule_that_asks_for_a_person_and_not_the_one_that_grants_it() {
    let upstream = Recorder::plain();
    let asking = "[[allow]]\nid = \"ask-first\"\nmethods = [\"PATCH\"]\npaths = [\"/api/v1/service_item/**\"]\n";
    let mut gate = Gate::start(&format!("{}\n{asking}", policy::b(&upstream, policy::NEVER)));
    let write = serde_json::json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": {"a": 1} });
    let refusal = gate.call("api_send", &write).refusal();
    assert_eq!((&refusal["code"], &refusal["rule"]), (&"approval_required".into(), &"ask-first".into()), "{refusal}");
    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let question = records.iter().find(|record| record["kind"] == "question").expect("the call is on record");
    assert_eq!(question["rule"], "ask-first", "{question}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn the_verdicts_are_the_same_for_a_client_of_the_oldest_version() {
    let upstream = Recorder::plain();
    let gate = Gate::legacy(&policy::b(&upstream, policy::NEVER), "2024-11-05");
    run(gate, &upstream, &cases("B"), true);
}

#[test]
fn an_allowed_request_carries_the_credential_once_and_only_headers_of_the_policy() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let bearer = format!("Bearer {}", gate.home.canary.secret());
    assert!(gate.get("/api/v1/organization/7").is_success());
    let write = serde_json::json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": {"a": 1} });
    assert!(gate.call("api_send", &write).is_success());
    for seen in upstream.seen() {
        assert_eq!(seen.headers("authorization"), [bearer.as_str()], "{}", seen.head);
        assert_eq!(seen.headers("host"), [format!("127.0.0.1:{}", upstream.port())], "{}", seen.head);
        let agent = seen.headers("user-agent").concat();
        assert!(agent.starts_with("portcullis/"), "{agent}");
        let known =
            ["authorization", "host", "user-agent", "accept", "accept-encoding", "content-type", "content-length"];
        for line in seen.head.lines().skip(1) {
            let name = line.split(':').next().unwrap_or_default().to_lowercase();
            assert!(known.contains(&name.as_str()), "an unexpected header: {line}");
        }
    }
    gate.finish();
}
