//! Sinks of the log, told by a webhook: what a sink has is the file, byte for byte, whatever happens to either side.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::common::{
    Dice, eventually,
    gate::{Gate, Home, Launch},
    policy,
    recorder::{Recorder, Reply},
    rounds,
    sink::{SECRET, Webhook, leftovers, name, secret},
};

const GOOD: &str = "/api/v1/organization/1";

fn start(home: &Arc<Home>) -> Gate {
    Launch::new(home).env(SECRET, &secret()).start()
}

fn states(records: &[Value]) -> Vec<String> {
    let sinks = records.iter().filter(|record| record["kind"] == "sink");
    sinks.map(|record| record["state"].as_str().expect("a state").to_owned()).collect()
}

#[test]
fn a_sink_gets_the_log_byte_for_byte_and_signed_and_never_the_credential() {
    let (upstream, hook) = (Recorder::plain(), Webhook::alive());
    let home = Home::new(&format!("{}{}", policy::b(&upstream, policy::NEVER), hook.policy("")));
    let mut gate = start(&home);
    for _ in 0..20 {
        assert!(gate.get(GOOD).is_success());
    }
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": { "label": "x" } });
    assert!(gate.call("api_send", &write).is_success());
    assert_eq!(gate.get("/api/v1/user/me").code(), "denied");
    gate.finish();
    assert!(hook.has_all(&home), "what is left at the end is delivered before the process ends");
    hook.search(&home);
    assert_eq!(leftovers(&home), [""; 0], "nothing waits any more");
}

#[test]
fn a_dead_sink_holds_up_no_call_and_gets_every_record_once_when_it_lives_again() {
    let (upstream, hook) = (Recorder::plain(), Webhook::dead());
    let home = Home::new(&format!("{}{}", policy::b(&upstream, policy::NEVER), hook.policy("")));
    let mut gate = start(&home);
    for _ in 0..10 {
        assert!(gate.get(GOOD).is_success());
    }
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": { "label": "x" } });
    assert!(gate.call("api_send", &write).is_success(), "nothing waits for a sink that is not required");
    gate.log_until("the log says that the sink is behind", |records| states(records) == ["behind"]);
    assert!(!hook.has("question"), "it is dead");
    hook.live();
    gate.log_until("the log says that the sink has caught up", |records| states(records) == ["behind", "caught_up"]);
    hook.wait_for_all(&home);
    assert!(gate.stderr().contains("a sink of the audit log is behind"), "{}", gate.stderr());
    gate.finish();
    hook.wait_for_all(&home);
    hook.search(&home);
}

#[test]
fn a_sink_that_keeps_failing_leaves_no_more_than_one_record_a_minute() {
    let (upstream, hook) = (Recorder::plain(), Webhook::alive());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let mut gate = start(&home);
    for round in 0..3 {
        hook.die();
        let before = hook.recorder.count();
        assert!(gate.get(GOOD).is_success());
        hook.recorder.wait_for(before + 1);
        hook.live();
        eventually(&format!("round {round}: it has the log"), || hook.has_all(&home));
    }
    assert_eq!(states(&home.records()), ["behind", "caught_up"]);
    gate.finish();
}

#[test]
fn what_a_killed_gate_left_undelivered_the_next_one_delivers() {
    let (upstream, hook) = (Recorder::plain(), Webhook::dead());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    for _ in 0..2 {
        let mut gate = start(&home);
        for _ in 0..5 {
            assert!(gate.get(GOOD).is_success());
        }
        gate.log_until("the sink was tried", |records| states(records) == ["behind"] || !states(records).is_empty());
        gate.signal(Signal::KILL);
        gate.expect_killed();
    }
    assert_eq!(leftovers(&home).len(), 4, "each log has a cursor and a claim");
    hook.live();
    let mut gate = start(&home);
    assert!(gate.get(GOOD).is_success());
    eventually("the sink has all three logs", || hook.has_all(&home));
    gate.finish();
    hook.wait_for_all(&home);
    assert_eq!(leftovers(&home), [""; 0]);
}

#[test]
fn gates_killed_at_any_moment_lose_no_record_on_the_way() {
    let (upstream, hook) = (Recorder::plain(), Webhook::alive());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let mut dice = Dice::seeded(5);
    for _ in 0..rounds(8, 200) {
        let mut gate = start(&home);
        for _ in 0..dice.below(40) {
            gate.begin("api_get", &json!({ "path": GOOD }).to_string());
        }
        assert!(gate.get(GOOD).is_success());
        std::thread::sleep(Duration::from_micros(dice.below(120_000)));
        gate.signal(Signal::KILL);
        gate.expect_killed();
    }
    let gate = start(&home);
    eventually("the sink has each record of each log", || hook.has_each(&home));
    gate.finish();
    assert!(hook.has_each(&home));
    assert_eq!(leftovers(&home), [""; 0]);
}

#[test]
fn a_gate_with_a_dead_sink_ends_in_order_and_leaves_the_rest_to_the_next() {
    let (upstream, hook) = (Recorder::plain(), Webhook::dead());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let mut gate = start(&home);
    assert!(gate.get(GOOD).is_success());
    gate.finish();
    assert_eq!(leftovers(&home).len(), 2);
    hook.live();
    let gate = start(&home);
    eventually("the sink has both logs", || hook.has_all(&home));
    gate.finish();
    hook.wait_for_all(&home);
}

#[test]
fn of_two_gates_each_brings_its_own_log_and_neither_the_others() {
    let (upstream, hook) = (Recorder::plain(), Webhook::alive());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let (mut one, mut two) = (start(&home), start(&home));
    for _ in 0..5 {
        assert!(one.get(GOOD).is_success());
        assert!(two.get(GOOD).is_success());
    }
    one.finish();
    assert!(two.get(GOOD).is_success());
    two.finish();
    hook.wait_for_all(&home);
}

#[test]
fn a_write_waits_for_a_required_sink_and_is_not_sent_without_it() {
    let hook = Arc::new(Webhook::dead());
    let early = Arc::new(AtomicUsize::new(0));
    let (sink, count) = (hook.clone(), early.clone());
    let upstream = Recorder::start(move |seen| {
        if seen.method() == "PATCH" && !sink.has(seen.target()) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Reply::json("{}")
    });
    let policy = policy::b(&upstream, policy::NEVER).replace(r#"timeout = "20s""#, r#"timeout = "2s""#);
    let home = Home::new(&format!("{policy}{}", hook.policy("require = true")));
    let mut gate = start(&home);
    let write = |item: u64| {
        let path = format!("/api/v1/service_item/{item}/labels/");
        json!({ "method": "PATCH", "path": path, "body": { "label": "x" } })
    };
    let refusal = gate.call("api_send", &write(1)).refusal();
    assert_eq!(refusal["code"], "audit_unavailable");
    assert!(refusal["message"].as_str().is_some_and(|message| message.contains("was not sent")), "{refusal}");
    assert_eq!(upstream.count(), 0, "nothing was sent");
    assert!(gate.get(GOOD).is_success(), "reads do not wait");
    let answers = gate.log_until("the refusal is in the log", |records| {
        records.iter().any(|record| record["kind"] == "answer" && record["code"] == "audit_unavailable")
    });
    assert!(answers.iter().any(|record| record["attempts"] == 0 && record["code"] == "audit_unavailable"));
    hook.live();
    eventually("the sink has what it missed", || hook.has("/service_item/1/labels/"));
    for item in 2..10 {
        let answer = gate.call("api_send", &write(item));
        assert!(answer.is_success(), "{answer:?}");
    }
    gate.finish();
    assert_eq!(early.load(Ordering::SeqCst), 0, "the sink had the intent of each write before it was sent");
    assert!(upstream.seen().iter().all(|seen| !seen.target().contains("/1/labels/")), "and the refused one never was");
    hook.wait_for_all(&home);
}

/// Calls until the log is in another file: 1 MiB is the least that one holds.
fn fill(gate: &mut Gate, home: &Home, files: usize) {
    let long = format!("{GOOD}/{}", "x".repeat(900));
    eventually("the log goes on in another file", || {
        let calls: Vec<_> = (0..50).map(|_| gate.begin("api_get", &json!({ "path": long }).to_string())).collect();
        calls.iter().for_each(|call| assert!(gate.answer(call).is_success()));
        home.logs().len() >= files
    });
}

#[test]
fn a_sink_follows_the_log_into_its_next_file_also_from_one_gate_to_another() {
    let (upstream, hook) = (Recorder::plain(), Webhook::alive());
    let small = "[audit]\nmax_bytes = \"1MiB\"\n";
    let home = Home::new(&format!("{}{small}{}", policy::a(&upstream), hook.policy("")));
    let mut gate = start(&home);
    fill(&mut gate, &home, 2);
    eventually("the sink has both files", || hook.has_all(&home));
    hook.die();
    fill(&mut gate, &home, 4);
    gate.signal(Signal::KILL);
    gate.expect_killed();
    hook.live();
    let gate = start(&home);
    eventually("the sink has all files", || hook.has_all(&home));
    gate.finish();
    hook.wait_for_all(&home);
    assert_eq!(leftovers(&home), [""; 0]);
}

#[test]
fn a_record_that_a_sink_refuses_for_good_is_noted_and_the_others_come() {
    const POISON: &str = "/api/v1/organization/666";
    let taken = Arc::<Mutex<Vec<u8>>>::default();
    let (upstream, told) = (Recorder::plain(), taken.clone());
    let sink = Recorder::start(move |seen| {
        if String::from_utf8_lossy(&seen.body).contains(POISON) {
            return Reply::new("400 Bad Request", &[], "");
        }
        told.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&seen.body);
        Reply::new("204 No Content", &[], "")
    });
    let policy = format!(
        "{}\n[[audit.sinks]]\nname = \"hook\"\nwebhook = \"{}\"\nallow_http = true\nsecret = {{ env = \"{SECRET}\" }}\n",
        policy::a(&upstream),
        sink.base_url()
    );
    let home = Home::new(&policy);
    let mut gate = start(&home);
    let calls: Vec<_> = [GOOD, POISON, GOOD, GOOD]
        .iter()
        .map(|path| gate.begin("api_get", &json!({ "path": path }).to_string()))
        .collect();
    calls.iter().for_each(|call| assert!(gate.answer(call).is_success()));
    gate.log_until("the log says that one was refused", |records| states(records).contains(&"refused".to_owned()));
    gate.log_until("and that the sink has caught up", |records| states(records).contains(&"caught_up".to_owned()));
    let log = &home.logs()[0];
    let note = log.with_extension("hook.refused");
    let noted = || fs::read_to_string(&note).expect("a note");
    assert!(gate.get(POISON).is_success());
    eventually("the second is noted as well", || noted().lines().count() == 2);
    // Within the minute it is in no record.
    let said = |gate: &Gate| gate.stderr().matches("a sink refuses records of the audit log").count();
    assert_eq!(said(&gate), 1);
    gate.close_stdin();
    eventually("whoever ends the gate is told", || said(&gate) == 2);
    gate.finish();
    let text = fs::read_to_string(log).expect("the log");
    let others: String = text.split_inclusive('\n').filter(|line| !line.contains(POISON)).collect();
    assert_eq!(String::from_utf8_lossy(&taken.lock().unwrap_or_else(PoisonError::into_inner)), others);
    let first: Option<Value> = noted().lines().next().and_then(|line| serde_json::from_str(line).ok());
    let note = first.expect("a line for each");
    let poison = text.lines().position(|line| line.contains(POISON)).expect("the record");
    assert_eq!((&note["seq"], &note["cause"]), (&json!(poison), &json!("status 400")));
    let record = home.records().into_iter().find(|record| record["state"] == "refused").expect("a record");
    assert_eq!(record["refused"], 1);
    assert_eq!(leftovers(&home), [""; 0], "nothing waits for it, nor does `keep`");
}

#[test]
fn a_batch_that_comes_again_is_the_same_under_the_same_name() {
    let (upstream, hook) = (Recorder::plain(), Webhook::dead());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let mut gate = start(&home);
    for round in 1..4 {
        hook.recorder.wait_for(round);
        assert!(gate.get(GOOD).is_success());
    }
    let tried: BTreeSet<_> =
        hook.recorder.seen().iter().map(|seen| (seen.headers("webhook-id").concat(), seen.body.clone())).collect();
    assert_eq!(tried.len(), 1, "the log grew, the batch did not");
    hook.live();
    eventually("the sink has the log", || hook.has_all(&home));
    gate.finish();
    hook.wait_for_all(&home);
}

#[test]
fn a_gate_whose_standard_error_nobody_reads_goes_on_though_its_sink_is_dead() {
    let (upstream, hook) = (Recorder::plain(), Webhook::dead());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let mut gate = Launch::new(&home).env(SECRET, &secret()).env("PORTCULLIS_LOG", "debug").unread().start();
    for tries in 1..4 {
        hook.recorder.wait_for(tries);
        assert!(gate.get(GOOD).is_success());
    }
    hook.live();
    eventually("the sink has the log", || hook.has_all(&home));
    gate.finish();
    hook.wait_for_all(&home);
}

#[test]
fn a_sink_that_has_more_of_a_log_than_there_is_gets_all_of_it_again() {
    let (upstream, hook) = (Recorder::plain(), Webhook::dead());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    let mut gate = start(&home);
    assert!(gate.get(GOOD).is_success());
    gate.finish();
    let log = home.logs().remove(0);
    let cursor = json!({ "log": name(&log), "offset": 1_000_000, "seq": 99 });
    fs::write(log.with_extension("hook.cursor"), cursor.to_string()).expect("the cursor");
    hook.live();
    let gate = start(&home);
    eventually("the sink has both logs", || hook.has_all(&home));
    let said = gate.stderr();
    assert!(said.contains("a sink had more of this file than there is"), "{said}");
    gate.finish();
    assert_eq!(leftovers(&home), [""; 0]);
}

#[test]
fn a_sink_that_cannot_be_used_stops_the_start() {
    let (upstream, hook) = (Recorder::plain(), Webhook::alive());
    let home = Home::new(&format!("{}{}", policy::a(&upstream), hook.policy("")));
    for (secret, why) in [(None, "is not set"), (Some("whsec_short"), "no signing secret")] {
        let launch = secret.map_or(Launch::new(&home), |secret| Launch::new(&home).env(SECRET, secret));
        let output = launch.refused();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("sink `hook`") && said.contains(why), "{said}");
    }
    assert_eq!(home.logs(), [""; 0].map(std::path::PathBuf::from), "no log was begun");
}
