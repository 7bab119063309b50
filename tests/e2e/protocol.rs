//! Every stdio case of `tests/data/protocol.jsonl` that needs neither elicitation (`confirm_corpus` has those) nor a wrapped
//! server: what is expected comes back, and the gate lives on, within its memory.
//!
//! Each single-frame case runs twice: as the very first thing a fresh gate hears, after which its
//! whole output is read to the end; and among all the others on one long-lived gate. The cases
//! that are told in steps have a test each.

use std::{collections::BTreeSet, io::Write, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::common::{
    Dice, MEMORY_CAP_KIB, corpus, eventually,
    gate::{Answer, Gate, Home, LEGACY, Launch, META, cancel, ended, initialize},
    policy,
    recorder::{Recorder, Reply, held_upstream},
    rounds,
};

/// Told in steps; each has a test of its own below, but for MB-243, which is in `confirm_corpus`.
const STEPS: [&str; 7] = ["MB-052", "MB-118", "MB-119", "MB-122", "MB-123", "MB-241", "MB-243"];

/// Longer than a frame may be, so the frame is refused before its arguments are looked at;
/// [`a_call_with_fifty_thousand_arguments_is_refused`] has the shorter one.
const OVER_THE_LINE_CAP: &str = "MB-033";

const GOOD: &str = "/api/v1/organization/1";

fn single_frames(era: &str) -> Vec<Value> {
    let mut cases = corpus("protocol.jsonl");
    cases.retain(|case| {
        let class = case["class"].as_str().expect("a class");
        case["transport"] != "http" && class != "elicitation" && class != "wrapped-server" && case["era"] == era
    });
    let steps: Vec<_> = cases.iter().filter(|case| case["steps"].is_array()).map(|case| case["id"].clone()).collect();
    assert!(steps.iter().all(|id| STEPS.iter().any(|known| id == known)), "a step case without a test: {steps:?}");
    cases.retain(|case| case["steps"].is_null());
    cases
}

/// Writes the input of `case`, with a line end; generated ones in pieces.
fn send(gate: &mut Gate, case: &Value) {
    if let Some(text) = case["input"].as_str() {
        return gate.send(text);
    }
    if let Some(text) = case["input_b64"].as_str() {
        gate.send_bytes(&STANDARD.decode(text).expect("base64"));
        return gate.send("");
    }
    let part = |name: &str| case["gen"][name].as_str().unwrap_or_else(|| panic!("{}: {name}", case["id"]));
    let (unit, count) = (part("unit"), case["gen"]["count"].as_u64().expect("a count"));
    gate.send_bytes(part("prefix").as_bytes());
    for first in (0..count).step_by(4_096) {
        let numbers = first..count.min(first + 4_096);
        let piece = match unit.contains("{n}") {
            true => numbers.map(|number| unit.replace("{n}", &number.to_string())).collect(),
            false => unit.repeat(numbers.count()),
        };
        gate.send_bytes(piece.as_bytes());
    }
    gate.send(part("suffix"));
}

/// Whether `case` must be answered, as opposed to may or must not.
fn must_answer(case: &Value) -> bool {
    case["expect"]["no_response"].is_null() && case["expect"]["stdio_may_be_silent"].is_null()
}

/// Whether `message` can be the answer to a case: it has the case's id, or none.
fn answers_case(message: &Value) -> bool {
    message["id"].is_null() || message["id"] == 1
}

fn assert_expected(case: &Value, answer: &Answer) {
    let (name, expect) = (&case["id"], &case["expect"]);
    assert!(expect["no_response"].is_null(), "{name}: no answer is due: {answer:?}");
    if expect["result"] == true {
        assert!(answer.is_success(), "{name}: {answer:?}");
        assert_eq!(answer.message["id"], 1, "{name}: {answer:?}");
        return;
    }
    if !expect["or_tool_error"].is_null() && answer.rpc_error().is_none() {
        assert_eq!(answer.code(), "bad_request", "{name}: {answer:?}");
        return;
    }
    let over = *name == OVER_THE_LINE_CAP && answer.rpc_error() == Some(-32600);
    assert!(over || answer.rpc_error() == expect["jsonrpc_error"].as_i64(), "{name} ({}): {answer:?}", case["why"]);
    if expect.get("id").is_some_and(Value::is_null) {
        assert!(answer.message["id"].is_null(), "{name}: an id that was never read: {answer:?}");
    }
}

/// Nothing of this machine or of the upstream is in what the gate said.
fn assert_discreet(name: &Value, gate_home: &Home, upstream: &Recorder, said: &Value) {
    let text = said.to_string();
    let home = gate_home.path().display().to_string();
    for secret in ["127.0.0.1", "localhost", &format!(":{}", upstream.port()), &home, "src/"] {
        assert!(!text.contains(secret), "{name}: `{secret}` in {text}");
    }
}

/// A refused tool call leaves a question and an answer of the same call behind; a refused frame,
/// one record.
fn assert_logged(case: &Value, records: &[Value], answer: &Answer) {
    let name = &case["id"];
    if answer.is_tool_error() {
        let id = answer.refusal()["request_id"].clone();
        let kinds: Vec<_> =
            records.iter().filter(|record| record["call"] == id).map(|record| &record["kind"]).collect();
        assert_eq!(kinds, ["question", "answer"], "{name}: the records of {id}: {records:#?}");
    } else if answer.rpc_error().is_some() && (case["class"] == "tool-name" || answers_no_request(answer)) {
        let logged = records.iter().any(|record| record["kind"] == "frame" || record["verdict"] == "refuse");
        assert!(logged, "{name}: nothing in the log: {records:#?}");
    }
}

fn answers_no_request(answer: &Answer) -> bool {
    answer.message["id"].is_null()
}

/// One case as the first thing a fresh gate hears.
fn run_alone(case: &Value) {
    let name = &case["id"];
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let home = std::sync::Arc::clone(&gate.home);
    if case["era"] != "2026-07-28" {
        gate.initialize(case["era"].as_str().expect("a version"));
    }
    send(&mut gate, case);
    let early = must_answer(case).then(|| gate.first(name.as_str().expect("text"), answers_case));
    assert!(gate.get(GOOD).is_success(), "{name}: a good call after it");
    assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{name}: {} KiB", gate.peak_memory());
    let late = gate.finish();
    let answers: Vec<_> = early.into_iter().chain(late.into_iter().map(|message| Answer { message })).collect();
    assert!(answers.len() <= 1, "{name}: one answer at most: {answers:?}");
    let records = home.records();
    for answer in &answers {
        assert_expected(case, answer);
        assert_discreet(name, &home, &upstream, &answer.message);
        assert_logged(case, &records, answer);
    }
    assert_arrived(case, &upstream);
}

/// Only the good call arrived, and the case itself where it may.
fn assert_arrived(case: &Value, upstream: &Recorder) {
    let mut targets: Vec<_> = upstream.seen().iter().map(|seen| seen.target().to_owned()).collect();
    targets.retain(|target| target != GOOD);
    assert_eq!(
        targets.len() as u64,
        case["upstream_requests"].as_u64().expect("a count"),
        "{}: {targets:?}",
        case["id"]
    );
    if let Some(part) = case["expect"]["upstream_sees"].as_str() {
        assert!(targets.iter().all(|target| target.contains(part)), "{}: {targets:?}", case["id"]);
    }
}

#[test]
fn every_hostile_frame_is_answered_as_expected_by_a_gate_that_heard_nothing_else() {
    let cases = single_frames("2026-07-28");
    assert!(cases.len() > 50, "the corpus is there");
    cases.iter().for_each(run_alone);
}

#[test]
fn every_hostile_legacy_frame_is_answered_as_expected() {
    let cases = single_frames("2025-11-25");
    assert!(!cases.is_empty(), "the corpus is there");
    cases.iter().for_each(run_alone);
}

/// All cases one after the other on `gate`, a good call between them.
fn run_together(mut gate: Gate, upstream: &Recorder, cases: &[Value]) {
    assert!(gate.get(GOOD).is_success(), "a good call before");
    for case in cases {
        send(&mut gate, case);
        if must_answer(case) {
            let answer = gate.first(case["id"].as_str().expect("text"), answers_case);
            assert_expected(case, &answer);
            assert_discreet(&case["id"], &gate.home, upstream, &answer.message);
        }
        assert!(gate.get(GOOD).is_success(), "{}: a good call after it", case["id"]);
        for message in gate.so_far() {
            assert!(!must_answer(case), "{}: answered twice: {message}", case["id"]);
            assert_expected(case, &Answer { message });
        }
    }
    assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{} KiB", gate.peak_memory());
    assert_eq!(gate.finish(), Vec::<Value>::new(), "nothing is left to say");
}

#[test]
fn one_gate_outlives_every_hostile_frame() {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy::a(&upstream));
    run_together(gate, &upstream, &single_frames("2026-07-28"));
}

#[test]
fn one_gate_of_a_legacy_client_outlives_every_hostile_frame() {
    let upstream = Recorder::plain();
    let gate = Gate::legacy(&policy::a(&upstream), "2025-11-25");
    run_together(gate, &upstream, &single_frames("2026-07-28"));
}

#[test]
fn a_call_with_fifty_thousand_arguments_is_refused() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let junk: String = (0..50_000).map(|index| format!(r#","k{index}":1"#)).collect();
    let id = gate.begin("api_get", &format!(r#"{{"path":"{GOOD}"{junk}}}"#));
    let answer = gate.answer(&id);
    assert!(answer.rpc_error() == Some(-32602) || answer.code() == "bad_request", "{answer:?}");
    assert!(gate.get(GOOD).is_success());
    assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{} KiB", gate.peak_memory());
    gate.finish();
    assert_eq!(upstream.count(), 1, "only the good call");
}

#[test]
fn mb_052_an_id_in_flight_is_refused_the_second_time_and_answered_once() {
    let (upstream, release) = held_upstream();
    let mut gate = Gate::start(&policy::a(&upstream));
    let line = gate.call_line("twice", "api_get", r#"{"path":"/api/v1/organization/slow"}"#);
    gate.send(&line);
    upstream.wait_for(1);
    gate.send(&line);
    let second = gate.first("the refusal", |message| message["error"]["code"] == -32600);
    assert!(second.message["id"].is_null() || second.message["id"] == "twice", "{second:?}");
    release.send(()).expect("the upstream waits");
    assert!(gate.answer("twice").is_success());
    assert!(gate.get(GOOD).is_success());
    assert_eq!(gate.finish(), Vec::<Value>::new(), "answered once");
    assert_eq!(upstream.count(), 2, "the call and the good call");
}

#[test]
fn an_id_may_be_used_again_once_it_was_answered() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let line = gate.call_line("again", "api_get", &json!({ "path": GOOD }).to_string());
    for _ in 0..3 {
        gate.send(&line);
        assert!(gate.answer("again").is_success());
    }
    gate.finish();
    assert_eq!(upstream.count(), 3);
}

#[test]
fn mb_118_a_cancel_that_races_the_answer_leaves_at_most_one_answer_and_a_closed_record() {
    let calls = rounds(100, 1_000);
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let home = std::sync::Arc::clone(&gate.home);
    let mut dice = Dice::seeded(118);
    for _ in 0..calls {
        let id = gate.begin("api_get", r#"{"path":"/api/v1/organization/7"}"#);
        std::thread::sleep(Duration::from_micros(dice.below(5_000)));
        gate.send(&cancel(&id));
    }
    let mut answers: Vec<_> = gate.finish().iter().map(|message| message["id"].to_string()).collect();
    let all = answers.len();
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), all, "at most one answer each");
    assert!(upstream.count() as u64 <= calls, "{} requests for {calls} calls", upstream.count());
    assert_every_question_closed(&home.records(), usize::try_from(calls).expect("a small number"));
}

/// Every question has exactly one end after it: an answer, or an `abandoned` record.
fn assert_every_question_closed(records: &[Value], questions: usize) {
    let mut open = BTreeSet::new();
    let mut asked = 0;
    for record in records {
        let call = record["call"].to_string();
        match record["kind"].as_str() {
            Some("question") => {
                asked += 1;
                assert!(open.insert(call), "asked twice: {record}");
            }
            Some("answer" | "abandoned") => assert!(open.remove(&call), "an end without a beginning: {record}"),
            Some(_) | None => {}
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    assert!(asked <= questions, "{asked} questions for {questions} calls");
}

#[test]
fn mb_119_a_write_cancelled_in_the_same_breath_is_either_unsent_or_on_record() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let home = std::sync::Arc::clone(&gate.home);
    assert!(gate.get(GOOD).is_success());
    let mut lines = String::new();
    for number in 0..50 {
        let id = gate.id();
        let arguments =
            format!(r#"{{"method":"PATCH","path":"/api/v1/service_item/{number}/labels/","body":{{"n":{number}}}}}"#);
        lines.push_str(&format!("{}\n{}\n", gate.call_line(&id, "api_send", &arguments), cancel(&id)));
    }
    gate.send_bytes(lines.as_bytes());
    gate.finish();
    let records = home.records();
    assert_every_question_closed(&records, 51);
    for seen in upstream.seen() {
        let intent = records.iter().position(|record| record["kind"] == "question" && record["path"] == seen.target());
        let intent = intent.unwrap_or_else(|| panic!("sent without an intent: {}", seen.target()));
        let call = &records[intent]["call"];
        let outcome = records.iter().skip(intent).any(|record| record["call"] == *call && record["kind"] != "question");
        assert!(outcome, "sent without an outcome: {}", seen.target());
    }
}

#[test]
fn mb_122_a_client_that_reads_nothing_holds_the_gate_back_and_not_its_memory() {
    const CALLS: usize = 300;
    let body = format!("\"{}\"", "x".repeat(64 * 1024));
    let upstream = Recorder::start(move |_| Reply::json(&body));
    let mut gate = Launch::new(&Home::new(&policy::a(&upstream))).deaf().start();
    let mut input = gate.take_input();
    // White space that JSON allows makes each frame 60 KB long.
    let padded = format!(r#"{{"path":"{GOOD}"{}}}"#, " ".repeat(60_000));
    let lines: Vec<_> = (0..CALLS).map(|number| gate.call_line(&format!("f{number}"), "api_get", &padded)).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\n")).expect("the gate reads on, later");
        }
    });
    upstream.wait_for(1);
    wait_until_quiet(&upstream);
    assert!(!writer.is_finished(), "18 MB of calls were taken in while nobody read the answers");
    assert!(upstream.count() <= 100, "{} calls were made for a client that reads nothing", upstream.count());
    assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{} KiB", gate.peak_memory());
    gate.listen();
    for number in 0..CALLS {
        let answer = gate.answer(&format!("f{number}"));
        assert!(answer.is_success() || answer.code() == "throttled", "{answer:?}");
    }
    writer.join().expect("everything was written");
    assert!(gate.peak_memory() < 2 * MEMORY_CAP_KIB, "{} KiB", gate.peak_memory());
}

/// Returns once no request has arrived for a while. The length of that while can only make a test
/// more lenient, never fail it.
fn wait_until_quiet(upstream: &Recorder) {
    let (mut last, mut still) = (0, 0);
    eventually("the upstream falls quiet", || {
        still = if upstream.count() == last { still + 1 } else { 0 };
        last = upstream.count();
        still > 100
    });
}

#[test]
fn mb_123_half_a_call_before_the_end_of_input_is_never_run() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    assert!(gate.get(GOOD).is_success());
    let line = gate.call_line("half", "api_get", r#"{"path":"/api/v1/organization/7"}"#);
    let half = line.as_bytes().split_at(line.len() / 2).0.to_vec();
    gate.send_bytes(&half);
    let home = std::sync::Arc::clone(&gate.home);
    for message in gate.finish() {
        assert!(message["error"]["code"] == -32700, "half a line is no call: {message}");
    }
    assert_eq!(upstream.count(), 1, "only the good call");
    assert!(ended(&home.records()), "the log is closed");
}

#[test]
fn a_whole_call_without_its_line_end_is_never_run() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    assert!(gate.get(GOOD).is_success());
    let line = gate.call_line("whole", "api_get", r#"{"path":"/api/v1/organization/7"}"#);
    gate.send_bytes(line.as_bytes());
    gate.finish();
    assert_eq!(upstream.count(), 1, "a frame ends with its line end");
}

#[test]
fn mb_241_a_second_initialize_is_refused_and_changes_nothing() {
    let upstream = Recorder::plain();
    let mut gate = Gate::legacy(&policy::a(&upstream), "2025-11-25");
    gate.send(&initialize("again", "2025-11-25", &json!({ "elicitation": { "form": {} } })));
    assert_eq!(gate.answer("again").rpc_error(), Some(-32600));
    assert!(gate.get(GOOD).is_success(), "the connection lives on");
    gate.finish();
}

#[test]
fn every_protocol_version_lists_the_tools_and_calls_them() {
    let upstream = Recorder::plain();
    for version in LEGACY.iter().chain(&["2026-07-28"]) {
        let policy = policy::b(&upstream, policy::NEVER);
        let mut gate = if *version == "2026-07-28" { Gate::start(&policy) } else { Gate::legacy(&policy, version) };
        let list = gate.request("tools/list", "{}");
        let tools = list.message["result"]["tools"].as_array().unwrap_or_else(|| panic!("{version}: {list:?}"));
        let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
        assert_eq!(names, ["api_get", "api_send", "read_more"], "{version}");
        assert_eq!(tools[0]["annotations"]["readOnlyHint"], true, "{version}");
        assert_eq!(tools[1]["annotations"]["readOnlyHint"], false, "{version}");
        for hint in ["destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tools.iter().all(|tool| tool["annotations"][hint].is_boolean()), "{version}: {hint}: {list:?}");
        }
        assert_eq!(gate.get(GOOD).text(), r#"{"ok":true}"#, "{version}");
        let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/1/labels/", "body": {} });
        assert!(gate.call("api_send", &write).is_success(), "{version}");
        assert_eq!(gate.get("/api/v1/user/me").code(), "denied", "{version}");
        gate.finish();
    }
}

#[test]
fn a_modern_client_may_ask_who_is_there_before_anything_else() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let discovered = gate.request("server/discover", "{}");
    let versions = &discovered.message["result"]["supportedVersions"];
    assert!(
        versions.as_array().is_some_and(|list| list.iter().any(|version| version == "2026-07-28")),
        "{discovered:?}"
    );
    assert!(gate.get(GOOD).is_success());
    gate.finish();
}

#[test]
fn the_sending_tool_is_unlisted_where_no_rule_could_send_but_judged_and_logged_when_called() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let home = std::sync::Arc::clone(&gate.home);
    let list = gate.request("tools/list", "{}");
    let tools = list.message["result"]["tools"].as_array().expect("a list");
    assert!(tools.iter().all(|tool| tool["name"] != "api_send"), "{list:?}");
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/1/labels/", "body": {} });
    let refusal = gate.call("api_send", &write).refusal();
    assert_eq!(refusal["code"], "denied");
    gate.finish();
    assert_eq!(upstream.count(), 0, "nothing is sent");
    assert!(home.records().iter().any(|record| record["call"] == refusal["request_id"] && record["verdict"] == "deny"));
}

#[test]
fn metadata_is_needed_for_every_request_of_a_modern_client() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    assert!(gate.get(GOOD).is_success());
    let bare = gate
        .call_line("bare", "api_get", &json!({ "path": GOOD }).to_string())
        .replace(&format!(r#","_meta":{META}"#), "");
    gate.send(&bare);
    assert_eq!(gate.answer("bare").rpc_error(), Some(-32602));
    gate.finish();
    assert_eq!(upstream.count(), 1, "the bare call is not run");
}
