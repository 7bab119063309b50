//! Approval from another terminal: a held write is listed at the desk, shown whole, and passes once after a yes that was
//! typed there; anything else sends nothing.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Output},
    slice,
    sync::Arc,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::common::{
    desk::{Desk, PROMPT, digest, held_code, word},
    eventually,
    gate::{Gate, Home, Launch, binary, cancel},
    policy,
    recorder::Recorder,
    terminal::{END_OF_INPUT, Terminal},
};

/// Where [`labels`] arrives.
fn target(item: &str) -> String {
    format!("/api/v1/service_item/{item}/labels/")
}

/// A write that policy B holds.
fn labels(item: &str) -> Value {
    json!({ "method": "PATCH", "path": target(item), "body": { "labels": ["a"] } })
}

/// A policy under which a call waits for the desk, so long.
fn waiting(upstream: &Recorder, wait: &str) -> String {
    policy::held(upstream, &format!("wait = \"{wait}\""), "")
}

/// An upstream, a gate before it under the policy that `policy` makes, and the desk of its state directory.
fn scene(policy: impl FnOnce(&Recorder) -> String) -> (Recorder, Gate, Desk) {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy(&upstream));
    let desk = Desk::of(&gate.home);
    (upstream, gate, desk)
}

/// The same under policy B with this line in its rule.
fn scene_b(rule: &str) -> (Recorder, Gate, Desk) {
    scene(|upstream| policy::b(upstream, rule))
}

/// Makes a call that somebody has to approve: the code that names it.
fn held(gate: &mut Gate, item: &str) -> String {
    held_code(&gate.call("api_send", &labels(item)))
}

/// What arrived at the API.
fn arrived(upstream: &Recorder) -> Vec<String> {
    upstream.seen().iter().map(|seen| format!("{} {}", seen.method(), seen.target())).collect()
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

/// The exit code of a command that ran without a terminal, and what it said on standard error.
fn failed(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn after_a_typed_yes_the_same_call_passes_once_and_the_log_says_who_said_so_and_how_long_it_took() {
    let (upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    assert_eq!(held(&mut gate, "7"), code, "the same call is the same question");
    let mut terminal = desk.at_terminal(&["approve", &code]);
    terminal.until(PROMPT);
    for shown in ["PATCH", &target("7"), "\"labels\"", "Rule: labels", "Credential: the default one", "Digest: "] {
        assert!(terminal.screen().contains(shown), "`{shown}` is not shown: {}", terminal.screen());
    }
    terminal.type_in("yes\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    assert_eq!(upstream.count(), 0, "a yes alone sends nothing");
    assert!(gate.call("api_send", &labels("7")).is_success());
    assert_ne!(held(&mut gate, "7"), code, "a yes is for one use");
    assert_eq!(arrived(&upstream), [format!("PATCH {}", target("7"))]);

    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let asked = of_kind(&records, "ask");
    assert_eq!((&asked[0]["code"], &asked[0]["rule"]), (&json!(code), &json!("labels")), "{asked:?}");
    assert_eq!((&asked[0]["channels"], &asked[0]["client"]), (&json!(["desk"]), &json!("t 1")), "{asked:?}");
    let uid = rustix::process::geteuid().as_raw();
    let [decision] = of_kind(&records, "decision")[..] else { panic!("one decision: {records:#?}") };
    assert_eq!((&decision["said"], &decision["uid"]), (&json!("approved"), &json!(uid)), "{decision}");
    assert_eq!((&decision["call"], &decision["code"]), (&asked[0]["call"], &json!(code)), "{decision}");
    let sent: Vec<_> = records.iter().filter(|record| record["verdict"] == "allow").collect();
    let [sent] = sent[..] else { panic!("one call was let through: {records:#?}") };
    let person = &sent["person"];
    assert_eq!((&person["said"], &person["channel"]), (&json!("approved"), &json!("desk")), "{sent}");
    assert_eq!((&person["uid"], &person["client"]), (&json!(uid), &Value::Null), "{sent}");
    assert!(person["took_ms"].is_u64() && person["took_ms"] == decision["took_ms"], "{sent}");
}

#[test]
fn where_a_word_is_asked_for_that_word_alone_is_a_yes() {
    let (upstream, mut gate, desk) = scene_b(r#"confirm = "typed""#);
    let code = held(&mut gate, "7");
    for keys in ["yes\n", "Labels\n", "label\n", "labels labels\n", "\n"] {
        let (status, screen) = desk.answer(&["approve", &code], keys);
        assert_eq!(status, 1, "{keys:?}: {screen}");
        assert!(screen.contains("labels"), "the word is named: {screen}");
    }
    assert_eq!(held(&mut gate, "7"), code, "it still waits");
    let (status, screen) = desk.answer(&["approve", &code], " labels \n");
    assert_eq!(status, 0, "{screen}");
    assert!(gate.call("api_send", &labels("7")).is_success());
    assert_eq!(upstream.count(), 1);
    gate.finish();
}

#[test]
fn what_is_neither_yes_nor_no_leaves_the_write_waiting() {
    let (upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    let long = format!("yes{}\n", "s".repeat(2_000));
    let typed =
        ["\n", "y\n", "YES\n", "yes please\n", "yes\u{a0}\n", "n\n", "NO\n", "\u{ff}\u{1b}[A\n", &long, END_OF_INPUT];
    for keys in typed {
        let (status, screen) = desk.answer(&["approve", &code], keys);
        assert_eq!(status, 1, "{keys:?}: {screen}");
    }
    // No text at all.
    let mut terminal = desk.at_terminal(&["approve", &code]);
    terminal.until(PROMPT);
    terminal.press(b"yes\xff\n");
    assert_eq!(terminal.end().0, 1);
    assert_eq!(held(&mut gate, "7"), code, "it still waits");
    assert_eq!(desk.codes(1), [code]);
    assert_eq!(upstream.count(), 0);
    let home = Arc::clone(&gate.home);
    gate.finish();
    assert_eq!(of_kind(&home.records(), "decision"), Vec::<&Value>::new());
}

#[test]
fn after_a_no_the_same_call_is_told_so_once() {
    let (upstream, mut gate, desk) = scene_b("");
    let first = held(&mut gate, "7");
    let (status, screen) = desk.answer(&["approve", &first], "no\n");
    assert_eq!(status, 1, "nothing was approved: {screen}");
    assert_eq!(gate.call("api_send", &labels("7")).code(), "declined");
    let second = held(&mut gate, "7");
    assert_ne!(second, first, "it is a question of its own again");
    let declined = desk.run_without_terminal(&["decline", &second]);
    assert!(declined.status.success(), "a no needs no terminal: {declined:?}");
    assert_eq!(gate.call("api_send", &labels("7")).code(), "declined");
    assert_eq!(upstream.count(), 0);
    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let said: Vec<_> = of_kind(&records, "decision").iter().map(|record| &record["said"]).collect();
    assert_eq!(said, ["declined", "declined"]);
    let heard: Vec<_> = records.iter().filter(|record| record["person"].is_object()).collect();
    assert_eq!(heard.len(), 2, "{heard:#?}");
    for record in heard {
        assert_eq!(
            (&record["person"]["said"], &record["person"]["channel"]),
            (&json!("declined"), &json!("desk")),
            "{record}"
        );
    }
}

#[test]
fn a_no_takes_back_a_yes_that_no_call_has_used() {
    let (upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    desk.approve(&code);
    assert!(desk.run(&["decline", &code]).status.success());
    for order in ["approve", "decline"] {
        assert_eq!(desk.run(&[order, &code]).status.code(), Some(1), "{order}: a no is the last word");
    }
    assert_eq!(gate.call("api_send", &labels("7")).code(), "declined");
    assert_eq!(upstream.count(), 0);
    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let said: Vec<_> = of_kind(&records, "decision").iter().map(|record| &record["said"]).collect();
    assert_eq!(said, ["approved", "declined"]);
}

#[test]
fn who_is_too_late_is_told_so() {
    let (upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    desk.approve(&code);
    assert!(gate.call("api_send", &labels("7")).is_success());
    let (status, said) = failed(&desk.run(&["decline", &code]));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("it is too late: this question was answered, and a call has taken the answer"), "{said}");
    assert_eq!(upstream.count(), 1);
    gate.finish();
}

#[test]
fn a_request_that_is_too_long_for_a_form_can_be_seen_whole() {
    let (_upstream, mut gate, desk) = scene_b("");
    let labels: Vec<String> = (0..400).map(|number| format!("label {number} é")).collect();
    let body = json!({ "labels": labels });
    let call = json!({ "method": "PATCH", "path": target("7"), "body": body });
    let code = held_code(&gate.call("api_send", &call));
    let question = desk.questions().pop().unwrap();
    assert!(!word(&question["message"]).contains("label 399"), "{question}");
    let sent = word(&question["request"]["body"]);
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), body);
    assert!(word(&question["request"]["url"]).ends_with(&target("7")), "{question}");
    let (status, screen) = desk.answer(&["approve", &code], "later\n");
    assert_eq!(status, 1, "{screen}");
    assert!(
        screen.contains("To see all of it, in another terminal:  portcullis pending --format json --state-dir"),
        "{screen}"
    );
    gate.finish();
}

#[test]
fn the_bodies_of_what_waits_take_a_bounded_room() {
    let (upstream, mut gate, _desk) = scene_b(r#"body = { max_bytes = "1MiB" }"#);
    let call = |number: usize| {
        let body = json!({ "labels": "x".repeat(1_000_000) });
        json!({ "method": "PATCH", "path": target(&number.to_string()), "body": body })
    };
    let codes: Vec<_> = (0..10).map(|number| gate.call("api_send", &call(number)).code()).collect();
    assert_eq!(codes[..8], ["approval_required"; 8], "{codes:?}");
    assert_eq!(codes[8..], ["busy"; 2], "{codes:?}");
    assert_eq!(upstream.count(), 0);
    gate.finish();
}

#[test]
fn what_was_typed_before_the_question_does_not_answer_it() {
    let (_upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    let mut terminal = Terminal::start(desk.command(&["approve", &code]), "yes\nyes\nye");
    terminal.until(PROMPT);
    terminal.type_in("s\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 1, "{screen}");
    assert_eq!(held(&mut gate, "7"), code, "it still waits");
    gate.finish();
}

#[test]
fn without_a_terminal_nobody_can_say_yes() {
    let (_upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    for words in [&["approve", &code][..], &["approve", &code, "--digest", &digest(&desk, &code)][..]] {
        let (status, said) = failed(&desk.run_without_terminal(words));
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("there is no terminal to ask at"), "{said}");
    }
    assert_eq!(held(&mut gate, "7"), code, "it still waits");
    gate.finish();
}

#[test]
fn a_program_says_yes_by_the_digest_of_the_request_alone() {
    let (upstream, mut gate, desk) = scene_b(r#"confirm = "typed""#);
    let code = held(&mut gate, "7");
    let digest = digest(&desk, &code);
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    let (status, said) = failed(&desk.run_without_terminal(&["approve", &code, "--yes"]));
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("--digest"), "{said}");
    for wrong in ["", "0", digest.split_at(1).1, &format!("{digest}0"), &digest.replace(['0', '1', '2'], "3")] {
        let (status, said) = failed(&desk.run_without_terminal(&["approve", &code, "--yes", "--digest", wrong]));
        assert_eq!(status, Some(1), "{wrong}: {said}");
    }
    assert_eq!(held(&mut gate, "7"), code, "it still waits");
    let output = desk.run_without_terminal(&["approve", &code, "--yes", "--digest", &digest.to_uppercase()]);
    assert!(output.status.success(), "{output:?}");
    assert!(gate.call("api_send", &labels("7")).is_success());
    assert_eq!(upstream.count(), 1);
    gate.finish();
}

#[test]
fn a_code_names_one_question_however_it_is_spelled_and_no_other() {
    let (_upstream, mut gate, desk) = scene_b("");
    let code = held(&mut gate, "7");
    let other = if code.starts_with("AAA") { "BBB-BBB" } else { "AAA-AAA" };
    for wrong in [other, code.split_at(1).1, &format!("{code}A"), "", "\u{1b}[2J", &code.replace('-', "é")] {
        for order in ["approve", "decline"] {
            let (status, said) = failed(&desk.run_without_terminal(&[order, wrong]));
            assert_eq!(status, Some(1), "{order} {wrong:?}: {said}");
            assert!(!said.contains('\u{1b}'), "{said:?}");
        }
    }
    let spelled = code.to_lowercase().replace('-', "");
    let (status, screen) = desk.answer(&["approve", &spelled], "yes\n");
    assert_eq!(status, 0, "{screen}");
    assert_eq!(desk.run(&["approve", &code]).status.code(), Some(1), "it was answered");
    assert!(gate.call("api_send", &labels("7")).is_success());
    assert_eq!(desk.run(&["decline", &code]).status.code(), Some(1), "its answer was used");
    gate.finish();
}

#[test]
fn a_question_that_nobody_answers_in_time_is_gone() {
    let times = "wait = \"0ms\"\nttl = \"5s\"\ndesk_ttl = \"10s\"";
    let (upstream, mut gate, desk) = scene(|upstream| policy::held(upstream, times, ""));
    let code = held(&mut gate, "7");
    let mut terminal = desk.at_terminal(&["approve", &code]);
    terminal.until(PROMPT);
    desk.codes(0);
    terminal.type_in("yes\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 1, "{screen}");
    assert_ne!(held(&mut gate, "7"), code);
    assert_eq!(upstream.count(), 0);
    gate.finish();
}

#[test]
fn a_call_that_waits_goes_on_with_the_answer() {
    let (upstream, mut gate, desk) = scene(|upstream| waiting(upstream, "60s"));
    let approved = gate.begin("api_send", &labels("yes").to_string());
    desk.approve(&desk.codes(1)[0]);
    assert!(gate.answer(&approved).is_success());
    let declined = gate.begin("api_send", &labels("no").to_string());
    let output = desk.run(&["decline", &desk.codes(1)[0]]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(gate.answer(&declined).code(), "declined");
    assert_eq!(arrived(&upstream), [format!("PATCH {}", target("yes"))]);
    desk.codes(0);
    gate.finish();
}

#[test]
fn a_call_that_has_stopped_waiting_passes_when_it_comes_again() {
    let (upstream, mut gate, desk) = scene(|upstream| waiting(upstream, "200ms"));
    let code = held(&mut gate, "7");
    desk.approve(&code);
    assert_eq!(upstream.count(), 0);
    assert!(gate.call("api_send", &labels("7")).is_success());
    assert_eq!(upstream.count(), 1);
    gate.finish();
}

#[test]
fn the_command_on_standard_error_works_as_it_stands_and_the_agent_learns_no_path() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let state = home.path().join("a state's place");
    let mut gate = Launch::new(&home).state(&state).start();
    let answer = gate.call("api_send", &labels("7"));
    let code = held_code(&answer);
    let message = word(&answer.refusal()["message"]);
    assert!(message.contains("`--state-dir`") && !message.contains("place"), "{message}");
    let begin = format!("portcullis approve {code}");
    let mut command = String::new();
    eventually("the command is on standard error", || {
        let told = gate.stderr();
        let line = told.split_inclusive('\n').find(|line| line.contains(&begin) && line.ends_with('\n'));
        let rest = line.and_then(|line| line.split_once(&begin)).map(|(_, rest)| rest.trim_end());
        command = rest.map(|rest| format!("{begin}{rest}")).unwrap_or_default();
        !command.is_empty()
    });
    let mut shell = Command::new("/bin/sh");
    let binary = super::common::gate::binary();
    let directory = Path::new(binary.get_program()).parent().expect("a directory");
    shell.args(["-c", &command]).env_clear().env("PATH", directory);
    let mut terminal = Terminal::start(shell, "");
    terminal.until(PROMPT);
    terminal.type_in("yes\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 0, "{screen}");
    assert!(gate.call("api_send", &labels("7")).is_success());
    assert_eq!(upstream.count(), 1);
    gate.close_stdin();
    assert!(gate.exit().success());
}

#[test]
fn who_asks_is_listed_by_the_name_that_the_client_gives_itself() {
    let (_upstream, mut gate, desk) = scene_b("");
    held(&mut gate, "7");
    assert_eq!(desk.questions()[0]["client"], "t 1");
    let listed = desk.run(&["pending"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("client t 1,"), "{listed:?}");
    gate.finish();
}

#[test]
fn of_identical_calls_that_wait_one_passes() {
    let (upstream, mut gate, desk) = scene(|upstream| waiting(upstream, "60s"));
    let calls: Vec<_> = (0..5).map(|_| gate.begin("api_send", &labels("7").to_string())).collect();
    let code = desk.codes(1).remove(0);
    // Until each of them is there, however late it was read.
    assert!(gate.get("/api/v1/organization/1").is_success());
    desk.approve(&code);
    let answers: Vec<_> = calls.iter().map(|call| gate.answer(call)).collect();
    let passed = answers.iter().filter(|answer| answer.is_success()).count();
    assert_eq!(passed, 1, "{answers:#?}");
    for refused in answers.iter().filter(|answer| !answer.is_success()) {
        assert_eq!(refused.code(), "declined", "{refused:?}");
    }
    let writes = upstream.seen().iter().filter(|seen| seen.method() == "PATCH").count();
    assert_eq!(writes, 1);
    gate.finish();
}

#[test]
fn a_call_that_is_taken_back_while_it_waits_takes_its_question_along() {
    let (upstream, mut gate, desk) = scene(|upstream| waiting(upstream, "60s"));
    let call = gate.begin("api_send", &labels("7").to_string());
    let mut terminal = desk.at_terminal(&["approve", &desk.codes(1)[0]]);
    terminal.until(PROMPT);
    gate.send(&cancel(&call));
    desk.codes(0);
    terminal.type_in("yes\n");
    let (status, screen) = terminal.end();
    assert_eq!(status, 1, "{screen}");
    assert_eq!(upstream.count(), 0);
    gate.finish();
}

#[test]
fn after_three_refusals_in_a_row_nothing_is_approved_until_a_person_opens_writes_at_a_terminal() {
    let (upstream, mut gate, desk) = scene_b("");
    let waits = held(&mut gate, "waits");
    assert!(desk.run_without_terminal(&["reopen"]).status.success(), "they are open");
    for item in ["1", "2", "3"] {
        let code = held(&mut gate, item);
        assert!(desk.run(&["decline", &code]).status.success());
    }
    assert_eq!(gate.call("api_send", &labels("4")).code(), "throttled");
    let digest = digest(&desk, &waits);
    for words in [&["approve", &waits][..], &["approve", &waits, "--yes", "--digest", &digest][..]] {
        let (status, said) = failed(&desk.run(words));
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("closed") && said.contains("portcullis reopen"), "{said}");
    }
    let listed = desk.run(&["pending"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("portcullis reopen"), "{listed:?}");
    let (status, said) = failed(&desk.run_without_terminal(&["reopen"]));
    assert!(!said.contains("--yes"), "what `approve` takes opens nothing: {said}");
    assert_eq!(status, Some(2), "{said}");
    for keys in ["\n", "no\n", "y\n", END_OF_INPUT] {
        assert_eq!(desk.answer(&["reopen"], keys).0, 1, "{keys:?}");
    }
    assert_eq!(gate.call("api_send", &labels("4")).code(), "throttled", "they are still closed");
    let (status, screen) = desk.answer(&["reopen"], "yes\n");
    assert_eq!(status, 0, "{screen}");
    desk.approve(&waits);
    assert!(gate.call("api_send", &labels("waits")).is_success());
    assert_eq!(arrived(&upstream), [format!("PATCH {}", target("waits"))]);
    let home = Arc::clone(&gate.home);
    gate.finish();
    let records = home.records();
    let states: Vec<_> = of_kind(&records, "writes").iter().map(|record| &record["state"]).collect();
    assert_eq!(states, ["closed", "open"]);
}

#[test]
fn several_gates_of_one_state_directory_are_one_desk() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let mut gates: Vec<Gate> = (0..12).map(|_| Launch::new(&home).start()).collect();
    let desk = Desk::of(&home);
    desk.await_sockets(12);
    let codes: Vec<_> = gates.iter_mut().enumerate().map(|(n, gate)| held(gate, &n.to_string())).collect();
    let listed: Vec<_> = desk.questions().iter().map(|question| word(&question["code"])).collect();
    assert!(codes.iter().all(|code| listed.contains(code)) && listed.len() == 12, "{codes:?}, {listed:?}");
    desk.approve(&codes[2]);
    for (n, gate) in gates.iter_mut().enumerate() {
        let answer = gate.call("api_send", &labels("2"));
        assert_eq!(answer.is_success(), n == 2, "the yes is the third gate's: {answer:?}");
    }
    assert_eq!(upstream.count(), 1);
    for gate in gates {
        gate.finish();
    }
    assert_eq!(desk.sockets(), Vec::<PathBuf>::new(), "a gate takes its socket along");
    let listed = desk.run(&["pending"]);
    assert!(listed.status.success(), "nothing waits where nobody asks: {listed:?}");
    assert_eq!(failed(&desk.run(&["decline", &codes[0]])).0, Some(2), "and there is nobody to tell");
    let (code, said) = failed(&desk.run(&["reopen"]));
    assert_eq!(
        (code, said.contains("no gateway runs below")),
        (Some(2), true),
        "nor to ask whether writes are open: {said}"
    );
}

#[test]
fn a_place_that_cannot_be_looked_into_is_said_to_be_one() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    for order in [&["pending"][..], &["pending", "--format", "json"], &["reopen"], &["decline", "K7F-3QD"], &["reload"]]
    {
        let output = binary().args(order).arg("--state-dir").arg(home.policy()).output().expect("it runs");
        let (code, said) = failed(&output);
        assert_eq!((code, said.contains("whether a gateway runs in")), (Some(2), true), "{order:?}: {said}");
    }
}

#[test]
fn several_apis_have_a_desk_each_and_one_below_them_all() {
    let (one, two) = (Recorder::plain(), Recorder::plain());
    let home = Home::new(&policy::b(&one, ""));
    let path = home.path().join("other.toml");
    fs::write(&path, policy::b(&two, "").replace("name = \"sample\"", "name = \"other\"")).expect("written");
    let mut gate = Launch::new(&home).and(&path).start();
    let first = held_code(&gate.call("sample_api_send", &labels("7")));
    let second = held_code(&gate.call("other_api_send", &labels("7")));
    let all = Desk::of(&home);
    let mut apis: Vec<_> = all.questions().iter().map(|question| word(&question["api"])).collect();
    apis.sort();
    assert_eq!(apis, ["other", "sample"]);
    let other = Desk::at(&home.state().join("other"));
    assert_eq!(other.codes(1), slice::from_ref(&second));
    assert_eq!(other.run(&["decline", &first]).status.code(), Some(1), "it is asked elsewhere");
    all.approve(&second);
    assert_eq!(held_code(&gate.call("sample_api_send", &labels("7"))), first, "the yes is the other's");
    assert!(gate.call("other_api_send", &labels("7")).is_success());
    assert_eq!((one.count(), two.count()), (0, 1));
    gate.close_stdin();
    assert!(gate.exit().success());
    for api in ["sample", "other"] {
        assert!(home.verify_log(&home.state().join(api)).status.success(), "{api}");
    }
}

#[test]
fn by_default_the_desk_looks_at_every_api_of_the_user() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let state = home.path().join("xdg/portcullis/sample");
    let mut gate = Launch::new(&home).state(&state).start();
    let code = held(&mut gate, "7");
    let mut command = super::common::gate::binary();
    command.args(["pending", "--format", "json"]).env_clear().env("XDG_STATE_HOME", home.path().join("xdg"));
    let output = command.output().expect("the binary runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains(&code), "{output:?}");
}

#[test]
fn the_socket_of_a_killed_gate_is_passed_over_and_cleared_by_the_next() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let desk = Desk::of(&home);
    let mut killed = Launch::new(&home).start();
    held(&mut killed, "7");
    killed.signal(Signal::KILL);
    killed.expect_killed();
    let stale = desk.await_sockets(1);
    let output = desk.run(&["pending"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(desk.run(&["approve", "AAA-AAA"]).status.code(), Some(2));
    let mut gate = Launch::new(&home).start();
    let code = held(&mut gate, "7");
    assert_eq!(desk.codes(1), slice::from_ref(&code));
    let sockets = desk.sockets();
    assert!(sockets.len() == 1 && sockets != stale, "{sockets:?}");
    desk.approve(&code);
    assert!(gate.call("api_send", &labels("7")).is_success());
    gate.finish();
}

#[test]
fn a_socket_that_a_killed_gate_has_not_finished_is_cleared_once_it_is_old() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    Launch::new(&home).start().finish();
    let named = |id: &str| home.state().join(format!("desk-{id}.new"));
    let [young, old, heard, file] = ["00000001", "00000002", "00000003", "00000004"].map(named);
    for path in [&young, &old] {
        drop(UnixListener::bind(path).expect("a socket"));
    }
    let _listener = UnixListener::bind(&heard).expect("a socket");
    fs::write(&file, "").expect("a file");
    for path in [&old, &heard, &file] {
        let touched = Command::new("touch").args(["-d", "2 minutes ago"]).arg(path).status();
        assert!(touched.expect("it runs").success());
    }
    let mut gate = Launch::new(&home).start();
    assert!(gate.get("/api/v1/organization/1").is_success());
    assert_eq!([&young, &old, &heard, &file].map(|path| path.exists()), [true, false, true, true]);
    gate.finish();
}

#[test]
fn the_socket_is_its_users_alone_whatever_the_umask_says() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let desk = Desk::of(&home);
    for umask in ["000", "022", "077"] {
        let mut gate = Launch::new(&home).under(&format!("umask {umask}")).start();
        assert!(gate.get("/api/v1/organization/1").is_success());
        let socket = desk.await_sockets(1).remove(0);
        let mode = fs::metadata(&socket).expect("the socket").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "umask {umask}: {mode:o}");
        gate.finish();
    }
}

#[test]
fn a_policy_that_holds_nothing_has_a_desk_at_which_nothing_waits() {
    let upstream = Recorder::plain();
    for policy in [policy::a(&upstream), policy::b(&upstream, policy::NEVER)] {
        let mut gate = Gate::start(&policy);
        assert!(gate.get("/api/v1/organization/1").is_success());
        let desk = Desk::of(&gate.home);
        assert_eq!((desk.sockets().len(), desk.questions()), (1, Vec::new()), "another policy may come");
        gate.finish();
    }
}

#[test]
fn a_state_directory_with_a_path_too_long_for_a_socket_stops_the_start_where_a_write_could_be_held() {
    let upstream = Recorder::plain();
    let long = "x".repeat(100);
    let home = Home::new(&policy::b(&upstream, ""));
    let (status, said) = failed(&Launch::new(&home).state(&home.path().join(&long)).refused());
    assert_eq!(status, Some(2), "{said}");
    let sentences: Vec<_> = said.lines().filter(|line| line.starts_with("portcullis: ")).collect();
    let [sentence] = sentences[..] else { panic!("one sentence: {said}") };
    assert!(sentence.contains("too long a path") && sentence.contains("--state-dir"), "{sentence}");
    let home = Home::new(&policy::a(&upstream));
    let mut gate = Launch::new(&home).state(&home.path().join(&long)).start();
    assert!(gate.get("/api/v1/organization/1").is_success(), "where none could, it starts");
}
