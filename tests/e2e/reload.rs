//! Another policy for a running gateway: by SIGHUP where it is no wider, by a word at a terminal where it is, and by nothing
//! else; what began under the old one ends under it, and no approval outlives its policy.

use std::sync::Arc;

use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::common::{
    desk::{Desk, PROMPT, held_code},
    eventually,
    gate::{Answer, Gate, Home, Launch, MODERN, binary, cancel},
    person::{ERAS, Way, labels, with_form},
    policy::{self, OPEN_LIMITS, head},
    recorder::{Recorder, held_upstream},
};

const ITEMS: &str = "[[allow]]\nid = \"items\"\nmethods = [\"GET\"]\npaths = [\"/items/**\"]\n";
const NOTES: &str = "[[allow]]\nid = \"notes\"\nmethods = [\"GET\"]\npaths = [\"/notes/**\"]\n";

fn narrow(upstream: &Recorder) -> String {
    format!("{}{OPEN_LIMITS}{ITEMS}", head(upstream))
}

fn wide(upstream: &Recorder) -> String {
    narrow(upstream) + NOTES
}

/// Waits until the gate has said this so often.
fn said(gate: &Gate, text: &str, times: usize) {
    eventually(&format!("the gate says `{text}` {times} times"), || gate.stderr().matches(text).count() >= times);
}

/// Puts `policy` in the file and in force.
fn hang_up(gate: &mut Gate, policy: &str) {
    let before = gate.stderr().matches("another policy is in force").count();
    gate.home.rewrite(policy);
    gate.signal(Signal::HUP);
    said(gate, "another policy is in force", before + 1);
}

/// A gate under this policy that has begun: what is in the file from here on is another policy.
fn begun(policy: &str) -> Gate {
    let mut gate = Gate::start(policy);
    tools(&mut gate);
    gate
}

fn hash(policy: &str) -> String {
    Sha256::digest(policy).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The end of a read of this path.
fn get(gate: &mut Gate, path: &str) -> String {
    end(&gate.get(path))
}

fn end(answer: &Answer) -> String {
    if answer.is_success() { "ok".to_owned() } else { answer.code() }
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

#[test]
fn a_narrower_file_takes_effect_at_sighup_and_not_before_and_the_log_has_both_hashes() {
    let upstream = Recorder::plain();
    let (wide, narrow) = (wide(&upstream), narrow(&upstream));
    let mut gate = Gate::start(&wide);
    assert_eq!(get(&mut gate, "/notes/1"), "ok");
    gate.home.rewrite(&narrow);
    assert_eq!(get(&mut gate, "/notes/1"), "ok", "a file alone does nothing");
    hang_up(&mut gate, &narrow);
    assert_eq!(get(&mut gate, "/notes/1"), "denied");
    assert_eq!(get(&mut gate, "/items/1"), "ok");
    gate.signal(Signal::HUP);
    said(&gate, "nothing changed", 1);

    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let [change] = of_kind(&records, "policy")[..] else { panic!("one change: {records:#?}") };
    assert_eq!((&change["before"], &change["now"]), (&json!(hash(&wide)), &json!(hash(&narrow))), "{change}");
    assert_eq!(change["before"], records[0]["policy_hash"]);
    assert_eq!((&change["by"], &change["uid"], &change["wider"]), (&json!("signal"), &Value::Null, &json!(false)));
    assert_eq!(change["policy_text"], json!(narrow));
    let output = binary().args(["audit", "show"]).arg(&home.logs()[0]).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = format!("{:.12}… -> {:.12}…", hash(&wide), hash(&narrow));
    assert!(text.contains(&line) && text.contains("by SIGHUP"), "{text}");
}

#[test]
fn a_log_whose_change_of_policy_names_another_one_before_does_not_verify() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&wide(&upstream));
    assert_eq!(get(&mut gate, "/items/1"), "ok");
    hang_up(&mut gate, &narrow(&upstream));
    let home = Arc::clone(&gate.home);
    gate.finish();
    assert_eq!(home.verify().status.code(), Some(0));
    let log = &home.logs()[0];
    let text = std::fs::read_to_string(log).expect("a log");
    let change = text.lines().find(|line| line.contains("\"kind\":\"policy\"")).expect("a change");
    let other = change.replace(&hash(&wide(&upstream)), &hash("another"));
    std::fs::write(log, text.replace(change, &other)).expect("it is written");
    assert_eq!(home.verify().status.code(), Some(1));
}

#[test]
fn a_wider_file_is_refused_at_sighup() {
    let upstream = Recorder::plain();
    let mut gate = begun(&narrow(&upstream));
    gate.home.rewrite(&wide(&upstream));
    gate.signal(Signal::HUP);
    said(&gate, "wider than the policy in force, in 1 thing: `portcullis reload --wider` shows that", 1);
    assert_eq!(get(&mut gate, "/notes/1"), "denied");
    assert_eq!(upstream.count(), 0);
    let home = Arc::clone(&gate.home);
    gate.finish();
    assert_eq!(of_kind(&home.records(), "policy"), Vec::<&Value>::new());
}

#[test]
fn a_wrong_file_and_one_that_changes_what_is_fixed_leave_the_policy_in_force() {
    let upstream = Recorder::plain();
    let wide = wide(&upstream);
    let mut gate = begun(&wide);
    let desk = Desk::of(&gate.home);
    for (file, why) in [
        (wide.replace("paths", "path"), "errors, which `portcullis check` shows; the policy in force stays"),
        (format!("{wide}[["), "the policy in force stays"),
        (String::new(), "the policy in force stays"),
        (wide.replace("\"sample\"", "\"other\""), "`name` cannot change while the gateway runs: restart it"),
        (format!("{wide}[audit]\nsync = \"each\"\n"), "`[audit]` cannot change while the gateway runs"),
        (
            format!("{wide}[confirm]\nkey = {{ env = \"OTHER\" }}\n"),
            "`confirm.key` cannot change while the gateway runs",
        ),
    ] {
        gate.home.rewrite(&file);
        let before = gate.stderr().matches(why).count();
        gate.signal(Signal::HUP);
        said(&gate, why, before + 1);
        let output = desk.run(&["reload"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(why), "{why}: {output:?}");
        assert_eq!(get(&mut gate, "/notes/1"), "ok", "{why}");
    }
    assert!(gate.stderr().contains("error[unknown-key]"), "the findings are told: {}", gate.stderr());
    std::fs::remove_file(gate.home.policy()).expect("it was there");
    gate.signal(Signal::HUP);
    said(&gate, "No such file or directory (os error 2); the policy in force stays", 1);
    assert_eq!(get(&mut gate, "/notes/1"), "ok");
    let home = Arc::clone(&gate.home);
    gate.finish();
    assert_eq!(of_kind(&home.records(), "policy"), Vec::<&Value>::new());
}

#[test]
fn a_call_in_flight_ends_under_the_policy_that_let_it_through() {
    let (upstream, release) = held_upstream();
    let mut gate = Gate::start(&wide(&upstream));
    let id = gate.begin("api_get", r#"{"path":"/notes/slow"}"#);
    upstream.wait_for(1);
    hang_up(&mut gate, &(narrow(&upstream) + "[response]\nredact = [\"ok\"]\n"));
    assert_eq!(get(&mut gate, "/notes/slow"), "denied");
    release.send(()).expect("the upstream waits");
    let answer = gate.answer(&id);
    assert!(answer.is_success() && answer.text() == r#"{"ok":true}"#, "{answer:?}");
    let answer = gate.get("/items/1");
    assert!(answer.is_success() && !answer.text().contains("true"), "{answer:?}");
    assert_eq!(gate.finish(), Vec::<Value>::new());
}

/// Policy B, and the same with one rule less.
fn two_with_writes(upstream: &Recorder, wait: &str) -> (String, String) {
    let wide = policy::held(upstream, &format!("wait = \"{wait}\""), "");
    let narrow = wide.replace("\"/api/v1/organization/**\"", "\"/api/v1/organization/*\"");
    assert_ne!(wide, narrow);
    (wide, narrow)
}

#[test]
fn a_write_that_waits_for_its_turn_is_not_sent_under_a_policy_that_is_gone() {
    let (upstream, release) = held_upstream();
    let limits = OPEN_LIMITS.replace("concurrency = 64", "concurrency = 1\nmax_wait = \"20s\"");
    let writes = "[access]\nwrites = true\n[[allow]]\nid = \"writes\"\nmethods = [\"POST\"]\npaths = [\"/items/*\"]\nconfirm = \"never\"\n";
    let old = format!("{}{limits}{ITEMS}{writes}", head(&upstream));
    let mut gate = begun(&old);
    let read = gate.begin("api_get", r#"{"path":"/items/slow"}"#);
    upstream.wait_for(1);
    let write = gate.begin("api_send", r#"{"method":"POST","path":"/items/2","body":{"n":1}}"#);
    hang_up(&mut gate, &without_writes(&old));
    release.send(()).ok();
    assert!(gate.answer(&read).is_success(), "what was sent ends under the old policy");
    assert_eq!(gate.answer(&write).code(), "approval_expired");
    assert_eq!(upstream.count(), 1, "the write was not sent");
    assert_eq!(gate.home.verify().status.code(), Some(0));
}

#[test]
fn a_call_that_waits_for_the_desk_dies_with_its_policy() {
    let upstream = Recorder::plain();
    let (wide, narrow) = two_with_writes(&upstream, "30s");
    let mut gate = Gate::start(&wide);
    let desk = Desk::of(&gate.home);
    let id = gate.begin("api_send", &labels(7));
    let [code] = &desk.codes(1)[..] else { panic!("one code") };
    hang_up(&mut gate, &narrow);
    let refusal = gate.answer(&id).refusal();
    assert_eq!(refusal["code"], "approval_expired", "{refusal}");
    assert!(refusal["message"].as_str().is_some_and(|text| text.contains("the policy was changed")), "{refusal}");
    assert_eq!(desk.codes(0), Vec::<String>::new());
    let late = desk.run(&["approve", code, "--yes", "--digest", &"0".repeat(64)]);
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    assert_eq!(upstream.count(), 0);
    gate.finish();
}

#[test]
fn an_approval_that_no_call_has_taken_dies_with_its_policy() {
    let upstream = Recorder::plain();
    let (wide, narrow) = two_with_writes(&upstream, "0ms");
    let mut gate = Gate::start(&wide);
    let desk = Desk::of(&gate.home);
    let send = |gate: &mut Gate| gate.unasked(&labels(7));
    let code = held_code(&send(&mut gate));
    desk.approve(&code);
    hang_up(&mut gate, &narrow);
    let other = held_code(&send(&mut gate));
    assert_ne!(other, code, "it is asked about anew");
    assert_eq!(upstream.count(), 0);
    desk.approve(&other);
    assert_eq!(end(&send(&mut gate)), "ok");
    assert_eq!(upstream.count(), 1);
    gate.finish();
}

#[test]
fn an_answer_in_the_client_to_a_question_of_another_policy_sends_nothing() {
    for (version, key) in ERAS.into_iter().flat_map(|version| [(version, false), (version, true)]) {
        let upstream = Recorder::plain();
        let (mut wide, mut narrow) = two_with_writes(&upstream, "0ms");
        if key {
            for policy in [&mut wide, &mut narrow] {
                *policy = policy.replace("[confirm]\n", "[confirm]\nkey = { env = \"THE_KEY\" }\n");
            }
        }
        let mut gate = Launch::new(&Home::new(&wide)).env("THE_KEY", &"k".repeat(40)).start();
        gate.introduce(&with_form(version));
        let question = gate.ask(&labels(7));
        let yes = question.yes();
        hang_up(&mut gate, &narrow);
        match question.way {
            Way::Open(_) => {
                let refusal = gate.answer(&question.call).refusal();
                assert_eq!(refusal["code"], "approval_expired", "{version}: {refusal}");
                gate.first("the question is taken back", |message| message["method"] == "notifications/cancelled");
                gate.say(&question, &yes);
            }
            Way::Retry(_) => {
                let answer = gate.reply(&question, &yes);
                assert_eq!(answer.rpc_error(), Some(-32602), "{version}: {answer:?}");
                // Not under the old policy either, once that is in force again.
                let again = wide_again(&mut gate, &wide);
                assert_eq!(again, 0);
                let answer = gate.reply(&question, &yes);
                assert!(!answer.is_success(), "{version} {key}: {answer:?}");
            }
        }
        assert_eq!(get(&mut gate, "/api/v1/organization/1"), "ok");
        assert_eq!(upstream.seen().iter().filter(|seen| seen.method() == "PATCH").count(), 0, "{version} {key}");
        gate.finish();
    }
}

/// Widens the policy in force to this one, at a terminal; the exit code.
fn wide_again(gate: &mut Gate, policy: &str) -> i32 {
    gate.home.rewrite(policy);
    Desk::of(&gate.home).answer(&["reload", "--wider"], "wider\n").0
}

#[test]
fn a_wider_file_takes_effect_once_a_person_saw_in_what_and_typed_the_word() {
    let upstream = Recorder::plain();
    let (wide, narrow) = (wide(&upstream), narrow(&upstream));
    let mut gate = begun(&narrow);
    let desk = Desk::of(&gate.home);
    gate.home.rewrite(&wide);
    let plain = desk.run(&["reload"]);
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.status.code() == Some(1) && text.contains("`portcullis reload --wider`"), "{plain:?}");
    let nobody = desk.run_without_terminal(&["reload", "--wider"]);
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
    for keys in ["yes\n", "\n", "WIDER\n", "wider wider\n"] {
        let (code, screen) = desk.answer(&["reload", "--wider"], keys);
        assert_eq!(code, 1, "{keys:?}: {screen}");
    }
    assert_eq!(get(&mut gate, "/notes/1"), "denied");
    let (code, screen) = desk.answer(&["reload", "--wider"], "wider\n");
    assert_eq!(code, 0, "{screen}");
    for shown in ["wider than the policy in force, in 1 thing", "passes: GET /notes/", "(rule notes)", "is:  allowed"] {
        assert!(screen.contains(shown), "`{shown}` is not shown: {screen}");
    }
    assert_eq!(get(&mut gate, "/notes/1"), "ok");
    let same = desk.run(&["reload"]);
    let text = String::from_utf8_lossy(&same.stdout).into_owned();
    assert!(same.status.success() && text.contains("is in force already"), "{same:?}");
    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let [change] = of_kind(&records, "policy")[..] else { panic!("one change: {records:#?}") };
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!((&change["by"], &change["uid"], &change["wider"]), (&json!("desk"), &json!(uid), &json!(true)));
    assert_eq!((&change["before"], &change["now"]), (&json!(hash(&narrow)), &json!(hash(&wide))));
}

#[test]
fn a_word_counts_for_the_file_and_the_policy_that_were_shown() {
    let upstream = Recorder::plain();
    let (wide, narrow) = (wide(&upstream), narrow(&upstream));
    let mut gate = begun(&narrow);
    let desk = Desk::of(&gate.home);
    let wider_still = wide.replace("/notes/**", "/**");
    gate.home.rewrite(&wide);
    let mut terminal = desk.at_terminal(&["reload", "--wider"]);
    terminal.until(PROMPT);
    gate.home.rewrite(&wider_still);
    terminal.type_in("wider\n");
    let (code, screen) = terminal.end();
    assert!(code == 1 && screen.contains("begin again"), "the file is another one: {screen}");

    gate.home.rewrite(&wide);
    let mut terminal = desk.at_terminal(&["reload", "--wider"]);
    terminal.until(PROMPT);
    hang_up(&mut gate, &narrow.replace("/items/**", "/items/*"));
    gate.home.rewrite(&wide);
    terminal.type_in("wider\n");
    let (code, screen) = terminal.end();
    assert!(code == 1 && screen.contains("begin again"), "the policy in force is another one: {screen}");
    assert_eq!(get(&mut gate, "/notes/1"), "denied");
    gate.finish();
}

#[test]
fn reload_without_more_puts_a_narrower_file_in_force_at_every_gateway() {
    let upstream = Recorder::plain();
    let home = Home::new(&wide(&upstream));
    let mut gates = [Launch::new(&home).start(), Launch::new(&home).start()];
    let desk = Desk::of(&home);
    gates.iter_mut().for_each(|gate| assert_eq!(get(gate, "/notes/1"), "ok"));
    home.rewrite(&narrow(&upstream));
    let output = desk.run_without_terminal(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    gates.iter_mut().for_each(|gate| assert_eq!(get(gate, "/notes/1"), "denied"));
    gates.into_iter().for_each(Gate::leave);
    let changes = home.records();
    assert_eq!(of_kind(&changes, "policy").len(), 2);
    assert_eq!(desk.run(&["reload"]).status.code(), Some(2), "nobody is there any more");
}

#[test]
fn nobody_has_more_left_of_a_limit_after_a_reload_whatever_the_rule_is_called() {
    let upstream = Recorder::plain();
    let rated = |id: &str| narrow(&upstream).replace("id = \"items\"", &format!("id = \"{id}\"\nrate = \"2/day\""));
    let mut gate = Gate::start(&rated("items"));
    assert_eq!([get(&mut gate, "/items/1"), get(&mut gate, "/items/1")], ["ok", "ok"]);
    for id in ["others", "items", "again"] {
        assert_eq!(get(&mut gate, "/items/1"), "throttled");
        hang_up(&mut gate, &rated(id));
    }
    assert_eq!(get(&mut gate, "/items/1"), "throttled");
    assert_eq!(upstream.count(), 2);
    gate.finish();

    // Nor by the name of another rule, of which nothing is spent.
    let two = |one: &str, other: &str| {
        let policy = wide(&upstream)
            .replace("\"items\"", "\"?\"")
            .replace("\"notes\"", &format!("\"{other}\"\nrate = \"2/day\""));
        policy.replace("\"?\"", &format!("\"{one}\"\nrate = \"2/day\""))
    };
    let mut gate = Gate::start(&two("items", "notes"));
    assert_eq!([get(&mut gate, "/items/1"), get(&mut gate, "/items/1")], ["ok", "ok"]);
    hang_up(&mut gate, &two("notes", "items"));
    assert_eq!(get(&mut gate, "/items/1"), "throttled");
    gate.finish();
}

#[test]
fn a_changed_file_is_said_once_and_puts_nothing_in_force() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&narrow(&upstream));
    assert_eq!(get(&mut gate, "/items/1"), "ok");
    gate.home.rewrite(&wide(&upstream));
    said(&gate, "was changed and is not in force: portcullis reload --state-dir", 1);
    assert_eq!(get(&mut gate, "/notes/1"), "denied");
    gate.finish();
}

/// Policy B without its write.
fn without_writes(policy: &str) -> String {
    policy.replace("writes = true", "writes = false")
}

fn tools(gate: &mut Gate) -> Vec<String> {
    let list = gate.request("tools/list", "{}");
    let tools = list.message["result"]["tools"].as_array().expect("tools").clone();
    tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_client_hears_of_another_list_of_tools_as_its_version_has_it() {
    const CHANGED: &str = "notifications/tools/list_changed";
    let is_told = |message: &Value| message["method"] == CHANGED;
    for version in ["2025-11-25", MODERN] {
        let upstream = Recorder::plain();
        let (wide, narrow) = two_with_writes(&upstream, "0ms");
        let mut gate = Gate::start(&wide);
        if version != MODERN {
            let handshake = gate.initialize(version);
            assert_eq!(handshake["result"]["capabilities"]["tools"]["listChanged"], true);
        }
        assert_eq!(tools(&mut gate), ["api_get", "api_send", "read_more"]);
        let stream = (version == MODERN).then(|| {
            let id = gate.id();
            let line = gate.line(&id, "subscriptions/listen", r#"{"notifications":{"toolsListChanged":true}}"#);
            gate.send(&line);
            gate.first("the subscription stands", |message| {
                message["method"] == "notifications/subscriptions/acknowledged"
            });
            id
        });
        hang_up(&mut gate, &narrow);
        assert_eq!(tools(&mut gate), ["api_get", "api_send", "read_more"]);
        assert!(!gate.so_far().iter().any(is_told), "{version}: the list is the same");
        hang_up(&mut gate, &without_writes(&narrow));
        gate.first("another list", is_told);
        assert_eq!(tools(&mut gate), ["api_get", "read_more"]);
        if let Some(id) = stream {
            gate.send(&cancel(&id));
        }
        gate.finish();
    }
}

#[test]
fn a_client_that_asked_for_no_notifications_gets_none_in_the_version_without_a_handshake() {
    let upstream = Recorder::plain();
    let (wide, narrow) = two_with_writes(&upstream, "0ms");
    let mut gate = Gate::start(&wide);
    assert_eq!(tools(&mut gate), ["api_get", "api_send", "read_more"]);
    hang_up(&mut gate, &without_writes(&narrow));
    assert_eq!(tools(&mut gate), ["api_get", "read_more"]);
    assert_eq!(gate.finish(), Vec::<Value>::new());
}
