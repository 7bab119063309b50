//! What becomes of an answer on its way to the agent, through the real binary.

use std::io::Write as _;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use portcullis::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::common::{
    MEMORY_CAP_KIB,
    gate::Gate,
    policy,
    recorder::{Recorder, Reply, head},
};

const PATH: &str = "/api/v1/organization/7";

/// What large answers may take in all, in KiB, beside what a gate takes without them: 16 MiB that they share, one of 8 MiB
/// without a share and its copy, 16 MiB of what was cut, and 1 MiB for each of sixteen calls.
const LARGE_ANSWERS_KIB: u64 = 64 * 1024 + 8 * 1024;

fn rows(count: usize) -> Value {
    (0..count).map(|id| json!({"id": id, "name": format!("row {id}"), "email": "ann@example.test"})).collect()
}

fn gate(upstream: &Recorder, response: &str) -> Gate {
    Gate::start(&format!("{}\n[response]\n{response}\n", policy::a(upstream)))
}

#[test]
fn an_answer_that_is_too_long_stays_json_and_goes_on_where_it_was_cut() {
    let upstream = Recorder::start(|_| Reply::json(json!({"count": 500, "results": rows(500)}).to_string()));
    let mut gate = gate(&upstream, "max_bytes = \"8KiB\"\nredact = [\"email\"]");
    let (mut from, mut ids) = (0, Vec::new());
    while from < 500 {
        let arguments = json!({"path": PATH, "answer": format!("from={from}")});
        let answer = if from == 0 { gate.get(PATH) } else { gate.call("api_get", &arguments) };
        let [body, notes] = answer.texts()[..] else { panic!("two blocks: {answer:?}") };
        assert!(body.len() <= 8 << 10 && !body.contains("example.test"), "{body}");
        let (body, notes): (Value, Value) =
            (serde_json::from_str(body).expect("JSON"), serde_json::from_str(notes).expect("JSON"));
        let part = if from == 0 { &body["results"] } else { &body }.as_array().expect("rows").clone();
        assert_eq!(notes["cut"]["shown"], part.len(), "{notes}");
        assert_eq!(notes["cut"]["next"].is_string(), from + part.len() < 500, "{notes}");
        from += part.len();
        ids.extend(part.iter().map(|row| row["id"].as_u64().expect("a number")));
    }
    assert_eq!(ids, (0..500).collect::<Vec<u64>>());
    gate.finish();
}

#[test]
fn an_agent_chooses_the_form_of_an_answer_and_the_api_never_hears_of_it() {
    let upstream = Recorder::start(|_| Reply::json(rows(3).to_string()));
    let mut gate = gate(&upstream, "redact = [\"email\"]");
    let answer = gate.call("api_get", &json!({"path": PATH, "answer": "fields=id,email; as=toon; from=1"}));
    assert_eq!(answer.texts()[0], "[2]{id,email}:\n  1,\"[redacted]\"\n  2,\"[redacted]\"");
    assert!(upstream.seen().iter().all(|seen| !seen.head.contains("fields") && seen.target() == PATH));
    for answer in [json!("fields"), json!("as=xml"), json!(7), json!("from=1;from=2")] {
        assert_eq!(gate.call("api_get", &json!({"path": PATH, "answer": answer})).code(), "bad_request", "{answer}");
    }
    assert_eq!(upstream.count(), 1, "a word that nobody knows stops the call");
    gate.finish();
}

#[test]
fn objects_are_structured_content_where_the_policy_says_so() {
    let upstream = Recorder::start(|seen| Reply::json(if seen.target() == PATH { "{ \"a\": 1 }" } else { "[ 1 ]" }));
    let mut gate = gate(&upstream, "format = \"structured\"");
    let answer = gate.get(PATH);
    assert_eq!(answer.message["result"]["structuredContent"], json!({"a": 1}), "{answer:?}");
    assert_eq!(answer.texts(), Vec::<&str>::new(), "one of both");
    assert_eq!(gate.get("/api/v1/organization/8").texts(), ["[1]"]);
    gate.finish();
}

#[test]
fn an_error_of_the_api_is_redacted_too_and_what_cannot_be_is_withheld() {
    let upstream = Recorder::start(|seen| {
        let body = json!({"detail": "no", "email": "ann@example.test"}).to_string();
        let body = if seen.target() == PATH { body } else { body.replace('}', "") };
        Reply::new("404 Not Found", &[("content-type", "application/json")], body)
    });
    let mut gate = gate(&upstream, "redact = [\"email\"]");
    let refusal = gate.get(PATH).refusal();
    assert_eq!(refusal["body"], r#"{"detail":"no","email":"[redacted]"}"#, "{refusal}");
    let refusal = gate.get("/api/v1/organization/8").refusal();
    assert!(refusal["body"].is_null() && refusal["body_omitted"].is_string(), "{refusal}");
    gate.finish();
}

#[test]
fn a_large_answer_that_is_nested_deep_holds_up_no_other_call() {
    let elements = vec!["1"; (4 << 20) - 300].join(",");
    let deep = format!("{}[{elements}]{}", "{\"a\":".repeat(60), "}".repeat(60));
    let upstream = Recorder::start(move |seen| Reply::json(if seen.target() == PATH { &deep } else { "{}" }));
    let mut gate = gate(&upstream, "redact = [\"email\", \"**.user.**.name\"]");
    let clock = SystemClock::new();
    let (start, mut slowest, mut others) = (clock.monotonic(), Duration::ZERO, 0);
    let large = gate.begin("api_get", &json!({ "path": PATH }).to_string());
    while gate.so_far().iter().all(|message| message["id"] != large) {
        let began = clock.monotonic();
        assert!(gate.get("/api/v1/organization/8").is_success());
        (slowest, others) = (slowest.max(clock.monotonic() - began), others + 1);
    }
    let whole = clock.monotonic() - start;
    println!("{others} other calls in {whole:?}, the slowest in {slowest:?}");
    assert!(slowest * 2 < whole, "one of {others} other calls took {slowest:?} of {whole:?}");
    gate.finish();
}

#[test]
fn a_large_answer_takes_less_than_twice_its_size_while_it_is_redacted() {
    let rows = rows(80_000);
    let compact = serde_json::to_string(&rows).expect("JSON");
    assert!(compact.len() > 4_000_000, "{}", compact.len());
    let size = u64::try_from(compact.len() / 1_024).expect("a size");
    let upstream = Recorder::start(move |seen| Reply::json(if seen.target() == PATH { &compact } else { "{}" }));
    let mut gate = gate(&upstream, "redact = [\"email\"]");
    assert!(gate.get("/api/v1/organization/8").is_success());
    let idle = gate.peak_memory();
    assert!(gate.get(PATH).is_success());
    let peak = gate.peak_memory() - idle;
    println!("{peak} KiB for {size} KiB");
    assert!(peak < 2 * size, "{peak} KiB for {size} KiB");
    gate.finish();
}

#[test]
fn large_answers_stay_within_the_memory_of_the_gate() {
    let body = serde_json::to_string_pretty(&rows(64_000)).expect("JSON");
    assert!(body.len() > 5_000_000, "{}", body.len());
    let upstream = Recorder::start(move |_| Reply::json(&body));
    let mut gate = gate(&upstream, "redact = [\"email\"]");
    for _ in 0..6 {
        assert!(gate.get(PATH).is_success());
    }
    let peak = gate.peak_memory();
    println!("{peak} KiB");
    assert!(peak < MEMORY_CAP_KIB, "{peak} KiB");
    gate.finish();
}

#[test]
fn many_large_answers_at_once_stay_within_the_memory_of_the_gate() {
    let text = "x".repeat(1_900);
    let rows: Value = (0..4_200).map(|id| json!({"id": id, "text": text, "email": "ann@example.test"})).collect();
    let compact = serde_json::to_string(&rows).expect("JSON");
    let pretty = serde_json::to_string_pretty(&rows).expect("JSON");
    for body in [&compact, &pretty] {
        assert!(body.len() > 8_000_000 && body.len() < 8 << 20, "{}", body.len());
    }
    let chunked = |body: &str| {
        let (length, body) = (body.len(), body.to_owned());
        let head = head("200 OK", &[("content-type", "application/json"), ("transfer-encoding", "chunked")], None);
        Reply::Stream(Box::new(move |stream| write!(stream, "{head}{length:x}\r\n{body}\r\n0\r\n\r\n")))
    };
    let upstream = Recorder::start(move |seen| match seen.target().rsplit('/').next() {
        Some("0") => Reply::json("{}"),
        Some("1") => Reply::json(&compact),
        Some("2") => Reply::json(&pretty),
        Some("3") => chunked(&pretty),
        Some(_) | None => Reply::json(format!("\u{feff}{pretty}")),
    });
    // The last waits for all the others to be read and shaped, which takes as long as the machine makes it.
    let policy = policy::a(&upstream).replace("timeout = \"20s\"", "timeout = \"5min\"");
    let mut gate = Gate::start(&format!("{policy}\n[response]\nredact = [\"email\"]\n"));
    let path = |n: usize| json!({"path": format!("/api/v1/organization/{n}")}).to_string();
    assert!(gate.call("api_get", &json!({"path": "/api/v1/organization/0"})).is_success());
    let idle = gate.peak_memory();
    let calls: Vec<String> = (0..16).map(|n| gate.begin("api_get", &path(1 + n % 4))).collect();
    let answers: Vec<_> = calls.iter().map(|call| gate.answer(call)).collect();
    let (shown, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_success());
    // A slow machine may keep some waiting for too long.
    assert!(shown.len() >= 4 && busy.iter().all(|answer| answer.code() == "busy"), "{busy:?}");
    let peak = gate.peak_memory() - idle;
    println!("{} shown, {peak} KiB above {idle} KiB", shown.len());
    assert!(peak < LARGE_ANSWERS_KIB, "{peak} KiB");
    gate.finish();
}

#[test]
fn a_large_answer_that_finds_no_room_in_time_is_refused_as_busy_and_small_ones_need_none() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Recorder::start(move |seen| match seen.target().rsplit('/').next() {
        Some("1") => {
            let head = head("200 OK", &[("content-type", "application/json")], Some(8_000_000));
            Reply::Keep(head.into_bytes())
        }
        Some("2") => {
            held.lock().expect("nobody panicked").recv().ok();
            Reply::json(format!("[{}]", vec!["1"; 600_000].join(",")))
        }
        Some(_) | None => Reply::json("{}"),
    });
    let policy = policy::a(&upstream).replace("timeout = \"20s\"", "timeout = \"6s\"");
    let mut gate = Gate::start(&policy);
    let path = |n: usize| json!({"path": format!("/api/v1/organization/{n}")}).to_string();
    // Two find room, and one more without.
    let hanging: Vec<String> = (0..3).map(|_| gate.begin("api_get", &path(1))).collect();
    upstream.wait_for(3);
    let large = gate.begin("api_get", &path(2));
    upstream.wait_for(4);
    assert!(gate.get("/api/v1/organization/3").is_success());
    release.send(()).expect("the upstream waits");
    let refusal = gate.answer(&large).refusal();
    assert_eq!((&refusal["code"], &refusal["retry_after_seconds"]), (&json!("busy"), &json!(1)), "{refusal}");
    for call in hanging {
        assert_eq!(gate.answer(&call).code(), "upstream_timeout");
    }
    drop(release);
    assert!(gate.get("/api/v1/organization/2").is_success(), "there is room again");
    gate.finish();
}
