//! The cases of `tests/data/protocol.jsonl` that need elicitation. Their `api_write` is `api_send` here, and their field
//! `approve` is `confirm`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::common::{
    MEMORY_CAP_KIB, corpus,
    gate::{Client, Gate, Home, Launch, MODERN},
    person::{Held, Question, Way, brought, client, labels, with_form},
    policy,
    recorder::Recorder,
};

/// Told in steps; each has a test of its own below, but for two: MB-142 is
/// `confirm_attacks::a_hundred_copies_of_one_approval_at_once_send_one_request`, and MB-148 needs two agents at one
/// gateway, which standard input and output do not have.
const STEPS: [&str; 7] = ["MB-142", "MB-143", "MB-147", "MB-148", "MB-150", "MB-151", "MB-154"];

/// The arguments of every case, as policy B holds them.
const ARGUMENTS: &str = r#"{"method":"PATCH","path":"/api/v1/service_item/42/labels/","body":{"labels":["a"]}}"#;

fn start(policy: &str, client: &Client) -> Gate {
    let mut gate = Launch::new(&Home::new(policy)).start();
    gate.introduce(client);
    gate
}

fn cases() -> Vec<Value> {
    let mut cases = corpus("protocol.jsonl");
    cases.retain(|case| case["class"] == "elicitation");
    cases
}

/// The frame of a case, with the state of the question where it names one.
fn frame(case: &Value, question: &Question) -> String {
    let mut frame: Value = serde_json::from_str(case["input"].as_str().expect("a frame")).expect("a frame is JSON");
    let params = &mut frame["params"];
    assert_eq!(params["name"], "api_write", "{case}");
    params["name"] = json!("api_send");
    params["arguments"]["method"] = json!("PATCH");
    if params["requestState"].as_str().is_some_and(|state| state.starts_with('<')) {
        params["requestState"] = json!(question.state());
    }
    frame.to_string().replace(r#""approve""#, r#""confirm""#)
}

#[test]
fn every_hostile_answer_of_a_person_or_of_an_agent_in_their_place_is_met_as_expected() {
    let mut told = 0;
    for case in cases().iter().filter(|case| case["steps"].is_null()) {
        told += 1;
        let (name, expect) = (&case["id"], &case["expect"]);
        let upstream = Recorder::plain();
        let mut gate = start(&policy::b(&upstream, ""), &with_form(MODERN));
        let question = gate.ask(ARGUMENTS);
        gate.send(&frame(case, &question));
        let answer = gate.first(name.as_str().expect("a name"), |message| message["id"] == 2);
        if let Some(words) = expect["tool_error"].as_str() {
            let refusal = answer.refusal();
            assert_eq!(refusal["code"], "declined", "{name}: {refusal}");
            assert!(refusal["message"].as_str().is_some_and(|text| text.contains(words)), "{name}: {refusal}");
        } else if expect["input_required_again"] == true {
            assert_eq!(answer.message["result"]["resultType"], "input_required", "{name}: {answer:?}");
        } else {
            let code = expect["jsonrpc_error"].as_i64();
            assert!(code.is_some() && answer.rpc_error() == code, "{name}: {answer:?}");
        }
        assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{name}: {} KiB", gate.peak_memory());
        assert_eq!(gate.finish(), Vec::<Value>::new(), "{name}: answered once");
        assert_eq!(upstream.count() as u64, case["upstream_requests"].as_u64().expect("a count"), "{name}");
    }
    assert!(told >= 8, "the corpus is there");
}

#[test]
fn every_case_that_is_told_in_steps_has_a_test() {
    let steps: BTreeSet<_> =
        cases().iter().filter(|case| case["steps"].is_array()).map(|case| case["id"].to_string()).collect();
    assert_eq!(steps, STEPS.iter().map(|id| json!(id).to_string()).collect());
}

#[test]
fn mb_143_the_state_of_one_write_lets_no_other_through() {
    let upstream = Recorder::plain();
    let mut gate = start(&policy::b(&upstream, ""), &with_form(MODERN));
    let question = gate.ask(&labels(42));
    let id = gate.id();
    let more = brought(question.state(), &question.yes());
    gate.send(&gate.line(&id, "tools/call", &format!(r#"{{"name":"api_send","arguments":{}{more}}}"#, labels(43))));
    assert_eq!(gate.answer(&id).rpc_error(), Some(-32602));
    gate.finish();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn mb_147_a_state_from_before_a_restart_is_refused_and_the_call_is_asked_again() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let mut gate = Launch::new(&home).start();
    gate.introduce(&with_form(MODERN));
    let question = gate.ask(ARGUMENTS);
    gate.finish();
    let mut gate = Launch::new(&home).start();
    gate.introduce(&with_form(MODERN));
    assert_eq!(gate.reply(&question, &question.yes()).rpc_error(), Some(-32602));
    let again = gate.ask(ARGUMENTS);
    assert_ne!(again.state(), question.state());
    gate.finish();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn mb_150_and_mb_151_a_client_without_a_form_is_told_so_where_it_alone_could_ask() {
    // By default a person may answer in another terminal too. Then the call can still be approved, so it is no error of
    // the protocol: the agent is told the code that names the question, and to come again.
    for (channel, modern) in [(r#"channel = "client""#, Some(-32021)), ("", None)] {
        for capabilities in [json!({}), json!({ "elicitation": { "url": {} } })] {
            let upstream = Recorder::plain();
            let mut gate = start(&policy::b(&upstream, channel), &client(MODERN, capabilities.clone()));
            let answer = gate.unasked(ARGUMENTS);
            assert_eq!(answer.rpc_error(), modern, "{channel} {capabilities}: {answer:?}");
            if modern.is_some() {
                let needed = &answer.message["error"]["data"]["requiredCapabilities"];
                assert!(needed["elicitation"].is_object(), "it names what is missing: {answer:?}");
            } else {
                let refusal = answer.refusal();
                assert_eq!(refusal["code"], "approval_required", "{refusal}");
                assert!(refusal["approval"]["code"].as_str().is_some_and(|code| code.len() == 7), "{refusal}");
            }
            gate.finish();
            assert_eq!(upstream.count(), 0, "{channel} {capabilities}");
        }
    }
}

/// How many questions may wait.
const MAX_PENDING: usize = 64;

/// Asks about so many writes, each of its own: how many were asked, and with which codes the others were refused.
fn ask_all(gate: &mut Gate, writes: usize) -> (usize, Vec<String>) {
    let (mut asked, mut codes) = (0, Vec::new());
    for item in 0..writes {
        match gate.write(&labels(item)) {
            Held::Asked(_) => asked += 1,
            Held::Ended(answer) => codes.push(answer.code()),
        }
    }
    (asked, codes)
}

#[test]
fn mb_154_two_thousand_questions_that_nobody_answers_stay_within_the_table_and_the_memory() {
    for (version, writes) in [(MODERN, 2_000), ("2025-11-25", 400)] {
        let upstream = Recorder::plain();
        let mut gate = start(&policy::b(&upstream, ""), &with_form(version));
        let (asked, codes) = ask_all(&mut gate, writes);
        assert_eq!(asked, MAX_PENDING, "{version}");
        assert!(codes.iter().all(|code| code == "busy"), "{version}: {codes:?}");
        assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{version}: {} KiB", gate.peak_memory());
        assert!(gate.get("/api/v1/organization/1").is_success(), "{version}: reads go on");
        gate.finish();
        assert_eq!(upstream.count(), 1, "{version}: the read");
    }
}

#[test]
fn mb_154_by_default_a_person_is_not_asked_two_thousand_times() {
    let upstream = Recorder::plain();
    let text = policy::b(&upstream, "").replace("prompts = \"1000000/s\"\n", "");
    let mut gate = start(&text, &with_form(MODERN));
    let (asked, codes) = ask_all(&mut gate, 2_000);
    // Six a minute, and the test may take longer than ten seconds.
    assert!((6..=20).contains(&asked), "{asked} questions");
    assert!(codes.iter().all(|code| code == "throttled"), "{codes:?}");
    gate.finish();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn mb_243_of_a_no_and_a_yes_under_one_id_the_no_counts() {
    for version in ["2025-06-18", "2025-11-25"] {
        let upstream = Recorder::plain();
        let mut gate = start(&policy::b(&upstream, ""), &with_form(version));
        let question = gate.ask(ARGUMENTS);
        let Way::Open(id) = &question.way else { panic!("asked while the call is open") };
        let answer = |result: &Value| json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
        let both = format!("{}\n{}\n", answer(&json!({ "action": "decline" })), answer(&question.yes()));
        gate.send_bytes(both.as_bytes());
        let refusal = gate.answer(&question.call).refusal();
        assert!(refusal["message"].as_str().is_some_and(|text| text.contains("declined by the user")), "{refusal}");
        assert_eq!(gate.finish(), Vec::<Value>::new(), "{version}: answered once");
        assert_eq!(upstream.count(), 0, "{version}");
    }
}
