//! What an agent or its client could try so that a write is sent that nobody approved, or sent twice.

use std::{fmt::Write as _, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::common::{
    gate::{Gate, Home, Launch, MODERN},
    person::{ERAS, Held, Question, Way, brought, labels, target, with_form},
    policy,
    recorder::{Recorder, held_upstream},
};

/// Nobody waits for the desk, and refusals close writes for long.
const TIMES: &str = r#"wait = "0ms""#;

fn start(home: &Arc<Home>, version: &'static str) -> Gate {
    let mut gate = Launch::new(home).start();
    gate.introduce(&with_form(version));
    gate
}

/// A gate under policy B whose client, of this version, shows forms.
fn gate(upstream: &Recorder, version: &'static str) -> Gate {
    start(&Home::new(&policy::held(upstream, TIMES, "")), version)
}

/// Makes the question's call again with these members beside its arguments, which must be refused as a bad state.
fn assert_bad_state(gate: &mut Gate, question: &Question, what: &str, more: &str) {
    let id = gate.id();
    let line = question.repeated(gate, &id, more);
    assert_refused_state(gate, &id, what, &line);
}

fn assert_refused_state(gate: &mut Gate, id: &str, what: &str, line: &str) {
    gate.send(line);
    let answer = gate.answer(id);
    assert_eq!(answer.rpc_error(), Some(-32602), "{what}: {answer:?}");
    assert_eq!(answer.message["error"]["message"], "requestState failed verification", "{what}: {answer:?}");
}

/// The causes that the log gives for states that were refused, in order.
fn causes(home: &Home) -> Vec<String> {
    let records = home.records();
    let questions = records.iter().filter(|record| record["kind"] == "question" && record["code"] == "bad_request");
    questions.filter_map(|record| record["cause"].as_str()).map(str::to_owned).collect()
}

fn assert_causes(home: &Home, wanted: &[&str]) {
    let causes = causes(home);
    assert_eq!(causes.len(), wanted.len(), "one record for each: {causes:#?}");
    for (cause, wanted) in causes.iter().zip(wanted) {
        assert!(cause.starts_with("requestState") && cause.contains(wanted), "{wanted}: {causes:#?}");
    }
}

#[test]
fn a_state_that_was_forged_or_changed_in_any_byte_is_refused_and_the_true_one_still_counts() {
    let upstream = Recorder::plain();
    let mut gate = gate(&upstream, MODERN);
    let home = Arc::clone(&gate.home);
    let question = gate.ask(&labels(42));
    let state = question.state().to_owned();
    let mut forged = vec!["AAAA".to_owned(), "x".repeat(5_000), format!("{state}A"), format!(" {state}")];
    for (at, _) in state.char_indices() {
        let (before, after) = state.split_at(at);
        forged.push(before.to_owned());
        for other in ['A', 'Q', '.', '\u{e9}'] {
            let changed: String = before.chars().chain([other]).chain(after.chars().skip(1)).collect();
            forged.extend((changed != state).then_some(changed));
        }
    }
    for state in &forged {
        assert_bad_state(&mut gate, &question, state, &brought(state, &question.yes()));
    }
    for state in ["null", "7", "true", "[]", r#"{"a":1}"#] {
        assert_bad_state(&mut gate, &question, state, &format!(r#","requestState":{state}"#));
    }
    assert_eq!(upstream.count(), 0, "nothing was sent");
    assert!(gate.reply(&question, &question.yes()).is_success(), "the question still stands");
    gate.finish();
    assert_eq!(upstream.count(), 1);
    assert_eq!(causes(&home).len(), forged.len(), "each is in the log");
}

#[test]
fn an_approval_holds_for_the_very_request_that_was_shown_and_for_no_other() {
    let upstream = Recorder::plain();
    let mut gate = gate(&upstream, MODERN);
    let home = Arc::clone(&gate.home);
    let question = gate.ask(&labels(42));
    let others = [
        labels(43),
        labels("42%21"),
        r#"{"method":"PATCH","path":"/api/v1/service_item/42/labels/","body":{"labels":["b"]}}"#.to_owned(),
        r#"{"method":"PATCH","path":"/api/v1/service_item/42/labels/","body":{"labels": ["a"]}}"#.to_owned(),
        r#"{"method":"PATCH","path":"/api/v1/service_item/42/labels/","body":{"labels":["a"],"more":1}}"#.to_owned(),
        r#"{"method":"PATCH","path":"/api/v1/service_item/42/labels/","body":{}}"#.to_owned(),
        labels(42).replace("}}", r#"},"query":{"dry_run":"false"}}"#),
        labels(42).replace("}}", r#"},"headers":{"Accept-Language":"de"}}"#),
    ];
    for arguments in &others {
        let id = gate.id();
        let more = brought(question.state(), &question.yes());
        let line = gate.line(&id, "tools/call", &format!(r#"{{"name":"api_send","arguments":{arguments}{more}}}"#));
        assert_refused_state(&mut gate, &id, arguments, &line);
    }
    assert_eq!(upstream.count(), 0, "nothing was sent");
    // The same request in other words: members in another order, and white space outside the body.
    let id = gate.id();
    let same = r#"{ "body":{"labels":["a"]}, "path" : "/api/v1/service_item/42/labels/", "method":"PATCH" }"#;
    let more = brought(question.state(), &question.yes());
    gate.send(&gate.line(&id, "tools/call", &format!(r#"{{"name":"api_send","arguments":{same}{more}}}"#)));
    assert!(gate.answer(&id).is_success());
    gate.finish();
    let [seen] = &upstream.seen()[..] else { panic!("one request") };
    assert_eq!((seen.target(), &*seen.body), (&*target(42), &br#"{"labels":["a"]}"#[..]));
    assert_causes(&home, &["integrity"; 8]);
}

#[test]
fn a_state_of_another_process_or_of_another_policy_is_refused() {
    let upstream = Recorder::plain();
    let text = policy::held(&upstream, TIMES, "");
    let home = Home::new(&text);
    let mut first = start(&home, MODERN);
    let mut neighbour = start(&home, MODERN);
    let question = first.ask(&labels(42));
    let yes = brought(question.state(), &question.yes());
    assert_bad_state(&mut neighbour, &question, "of a gate beside this one", &yes);
    first.finish();
    neighbour.finish();
    let mut again = start(&home, MODERN);
    assert_bad_state(&mut again, &question, "from before a restart", &yes);
    again.finish();
    home.rewrite(&format!("{text}\n# Another policy, if only by this line.\n"));
    let mut changed = start(&home, MODERN);
    assert_bad_state(&mut changed, &question, "of the policy before", &yes);
    let asked = changed.ask(&labels(42));
    assert!(changed.reply(&asked, &asked.yes()).is_success(), "asked again, and approved");
    changed.finish();
    assert_eq!(upstream.count(), 1);
    assert_causes(&home, &["integrity"; 3]);
}

#[test]
fn a_state_of_another_api_of_the_same_process_is_refused() {
    let upstream = Recorder::plain();
    let text = policy::held(&upstream, TIMES, "");
    let home = Home::new(&text);
    let other = home.path().join("other.toml");
    std::fs::write(&other, text.replace(r#"name = "sample""#, r#"name = "other""#)).expect("a second policy");
    let mut gate = Launch::new(&home).and(&other).start();
    gate.introduce(&with_form(MODERN));
    let call = |gate: &Gate, id: &str, tool: &str, more: &str| {
        gate.line(id, "tools/call", &format!(r#"{{"name":"{tool}","arguments":{}{more}}}"#, labels(42)))
    };
    let id = gate.id();
    gate.send(&call(&gate, &id, "sample_api_send", ""));
    let Held::Asked(question) = gate.held(&id, &labels(42)) else { panic!("somebody is asked") };
    let more = brought(question.state(), &question.yes());
    let id = gate.id();
    let line = call(&gate, &id, "other_api_send", &more);
    assert_refused_state(&mut gate, &id, "the same write to another API", &line);
    assert_eq!(upstream.count(), 0);
    let id = gate.id();
    gate.send(&call(&gate, &id, "sample_api_send", &more));
    assert!(gate.answer(&id).is_success());
    gate.close_stdin();
    assert!(gate.exit().success());
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_state_with_a_call_that_nobody_is_asked_about_is_refused() {
    let upstream = Recorder::plain();
    let mut gate = gate(&upstream, MODERN);
    let home = Arc::clone(&gate.home);
    let question = gate.ask(&labels(42));
    let more = brought(question.state(), &question.yes());
    let calls = [
        ("a read", "api_get", r#"{"path":"/api/v1/organization/1"}"#),
        ("a denied read", "api_get", r#"{"path":"/api/v1/user/me"}"#),
        ("a denied write", "api_send", r#"{"method":"DELETE","path":"/api/v1/service_item/42/labels/"}"#),
        ("a bad call", "api_send", r#"{"method":"PATCH","path":"/api/v1/service_item/../labels/"}"#),
        ("no call at all", "api_send", "{}"),
        ("what is known here", "read_more", r#"{"handle":"x"}"#),
    ];
    for (what, tool, arguments) in calls {
        let id = gate.id();
        let line = gate.line(&id, "tools/call", &format!(r#"{{"name":"{tool}","arguments":{arguments}{more}}}"#));
        assert_refused_state(&mut gate, &id, what, &line);
    }
    let id = gate.id();
    gate.send(&gate.line(&id, "tools/call", &format!(r#"{{"name":"no_tool","arguments":{{}}{more}}}"#)));
    assert_eq!(gate.answer(&id).rpc_error(), Some(-32602), "an unknown tool");
    gate.finish();
    assert_eq!(upstream.count(), 0, "nothing was sent, not even the read");
    assert_causes(&home, &["needs no answer"; 6]);
}

#[test]
fn consent_that_answers_no_question_asks_again_and_sends_nothing() {
    let upstream = Recorder::plain();
    let mut gate = gate(&upstream, MODERN);
    let question = gate.ask(&labels(42));
    let yes = question.yes();
    for more in [
        format!(r#","inputResponses":{{"confirm":{yes}}}"#),
        format!(r#","inputResponses":{{"confirm":{yes},"other":{yes}}}"#),
        r#","inputResponses":{}"#.to_owned(),
        format!(r#","confirm":{yes},"approved":true"#),
        // The state without an answer, or with the answer to something else.
        format!(r#","requestState":{}"#, json!(question.state())),
        format!(r#","requestState":{},"inputResponses":{{"other":{yes}}}"#, json!(question.state())),
    ] {
        let id = gate.id();
        let line = question.repeated(&gate, &id, &more);
        gate.send(&line);
        let held = gate.held(&id, &labels(42));
        assert!(matches!(held, Held::Asked(_)), "{more}: {held:?}");
    }
    gate.finish();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn consent_in_the_arguments_or_the_metadata_is_none() {
    let upstream = Recorder::plain();
    for version in ERAS {
        let mut gate = gate(&upstream, version);
        for extra in [r#""confirm":true"#, r#""approve":"yes""#, r#""inputResponses":{"confirm":{"action":"accept"}}"#]
        {
            let arguments = labels(42).replacen('{', &format!("{{{extra},"), 1);
            assert_eq!(gate.unasked(&arguments).code(), "bad_request", "{version}: {extra}");
        }
        let id = gate.id();
        let line = gate.call_line(&id, "api_send", &labels(42));
        let consent = r#""confirm":true,"requestState":"x","inputResponses":{"confirm":{"action":"accept","content":{"confirm":true}}}"#;
        let line = match version {
            MODERN => line.replacen(r#""_meta":{"#, &format!(r#""_meta":{{{consent},"#), 1),
            _ => line.replacen(r#""params":{"#, &format!(r#""params":{{"_meta":{{{consent}}},"#), 1),
        };
        gate.send(&line);
        assert!(matches!(gate.held(&id, &labels(42)), Held::Asked(_)), "{version}: asked all the same");
        gate.finish();
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn of_two_answers_the_first_counts() {
    for (version, yes_first) in ERAS.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let upstream = Recorder::plain();
        let mut gate = gate(&upstream, version);
        let question = gate.ask(&labels(42));
        let (yes, no) = (question.yes(), json!({ "action": "decline" }));
        let (first, second) = if yes_first { (&yes, &no) } else { (&no, &yes) };
        let id = gate.say(&question, first);
        let late = gate.say(&question, second);
        assert_eq!(gate.answer(&id).is_success(), yes_first, "{version}: the first answer");
        if version == MODERN {
            let refusal = gate.answer(&late).refusal();
            assert_eq!(refusal["code"], "declined", "{refusal}");
            assert!(refusal["message"].as_str().is_some_and(|text| text.contains("already used")), "{refusal}");
        }
        assert_eq!(gate.finish(), Vec::<Value>::new(), "{version}: nothing else was answered");
        assert_eq!(upstream.count(), usize::from(yes_first), "{version}");
    }
}

#[test]
fn an_answer_under_an_id_that_was_never_asked_is_none() {
    let upstream = Recorder::plain();
    for version in ["2025-06-18", "2025-11-25"] {
        let before = upstream.count();
        let mut gate = gate(&upstream, version);
        let question = gate.ask(&labels(42));
        let Way::Open(id) = question.way.clone() else { panic!("asked while the call is open") };
        let number = id.as_i64().expect("a number");
        let ids =
            [json!(number + 1), json!(number.to_string()), json!(777), json!(-1), json!(question.call), Value::Null];
        let yes = question.yes();
        for other in ids {
            gate.send(&json!({ "jsonrpc": "2.0", "id": other, "result": yes }).to_string());
        }
        gate.send(&json!({ "jsonrpc": "2.0", "result": yes }).to_string());
        // Lines that are no strict JSON: which of the two results would count?
        gate.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"action":"decline"}},"result":{yes}}}"#));
        gate.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{yes}"#));
        assert!(gate.get("/api/v1/organization/1").is_success(), "all of it was heard");
        assert_eq!(upstream.count(), before + 1, "{version}: only the read");
        assert!(gate.reply(&question, &yes).is_success(), "{version}: the question still stood");
        gate.finish();
        assert_eq!(upstream.count(), before + 2, "{version}");
    }
}

#[test]
fn a_legacy_client_that_brings_a_state_is_refused() {
    let upstream = Recorder::plain();
    let mut modern = gate(&upstream, MODERN);
    let question = modern.ask(&labels(42));
    for version in ["2025-06-18", "2025-11-25"] {
        let mut gate = gate(&upstream, version);
        assert_bad_state(&mut gate, &question, version, &brought(question.state(), &question.yes()));
        gate.finish();
    }
    modern.finish();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_hundred_copies_of_one_approval_at_once_send_one_request() {
    let (upstream, release) = held_upstream();
    let mut gate = gate(&upstream, MODERN);
    let question = gate.ask(&labels("slow"));
    let more = brought(question.state(), &question.yes());
    let ids: Vec<_> = (0..100).map(|_| gate.id()).collect();
    let mut lines = String::new();
    for id in &ids {
        writeln!(lines, "{}", question.repeated(&gate, id, &more)).expect("text");
    }
    gate.send_bytes(lines.as_bytes());
    upstream.wait_for(1);
    // Any further one would have a connection of its own, and these answers would come only after it was sent.
    release.send(()).expect("the upstream waits");
    let answers: Vec<_> = ids.iter().map(|id| gate.answer(id)).collect();
    let sent = answers.iter().filter(|answer| answer.is_success()).count();
    assert_eq!(sent, 1);
    let used = answers.iter().filter(|answer| !answer.is_success()).map(|answer| answer.refusal());
    used.for_each(|refusal| assert!(refusal["message"].as_str().is_some_and(|text| text.contains("already used"))));
    gate.finish();
    assert_eq!(upstream.count(), 1);
}

#[test]
fn twenty_identical_calls_at_once_are_one_question_and_one_answer_sends_one_request() {
    for version in ERAS {
        let upstream = Recorder::plain();
        let mut gate = gate(&upstream, version);
        let ids: Vec<_> = (0..20).map(|_| gate.id()).collect();
        let mut lines = String::new();
        for id in &ids {
            writeln!(lines, "{}", gate.call_line(id, "api_send", &labels(42))).expect("text");
        }
        gate.send_bytes(lines.as_bytes());
        let held = gate.held(&ids[0], &labels(42));
        let Held::Asked(question) = held else { panic!("{version}: {held:?}") };
        let (mut yes, mut no) = (0, 0);
        let mut count = |sent: bool| if sent { yes += 1 } else { no += 1 };
        if version == MODERN {
            // Each got the question; each brings the one answer.
            let questions: Vec<_> = ids[1..].iter().map(|id| gate.held(id, &labels(42))).collect();
            let more = questions.into_iter().map(|held| match held {
                Held::Asked(question) => question,
                Held::Ended(answer) => panic!("not asked: {answer:?}"),
            });
            let all: Vec<_> = [question].into_iter().chain(more).collect();
            let ids: Vec<_> = all.iter().map(|question| gate.say(question, &question.yes())).collect();
            ids.iter().for_each(|id| count(gate.answer(id).is_success()));
        } else {
            let Way::Open(id) = &question.way else { panic!("asked while the call is open") };
            // The others have joined by the time a later call is answered.
            assert!(gate.get("/api/v1/organization/1").is_success());
            gate.send(&json!({ "jsonrpc": "2.0", "id": id, "result": question.yes() }).to_string());
            ids.iter().for_each(|id| count(gate.answer(id).is_success()));
        }
        assert_eq!((yes, no), (1, 19), "{version}");
        assert_eq!(gate.finish(), Vec::<Value>::new(), "{version}: no further question");
        let writes = upstream.seen().iter().filter(|seen| seen.method() == "PATCH").count();
        assert_eq!(writes, 1, "{version}");
    }
}

/// A second write, which nobody is asked about.
const UNCONFIRMED: &str = r#"
[[allow]]
id = "names"
methods = ["PATCH"]
paths = ["/api/v1/service_item/*/name/"]
confirm = "never"
"#;

#[test]
fn three_refusals_in_a_row_close_all_writes_of_a_state_directory_and_no_reads() {
    for version in ERAS {
        let upstream = Recorder::plain();
        let home = Home::new(&format!("{}{UNCONFIRMED}", policy::held(&upstream, TIMES, "")));
        let (mut gate, mut other) = (start(&home, version), start(&home, version));
        let named = r#"{"method":"PATCH","path":"/api/v1/service_item/1/name/","body":{}}"#;
        let no = json!({ "action": "decline" });
        let decline = |gate: &mut Gate, item: u32| {
            let question = gate.ask(&labels(item));
            assert_eq!(gate.reply(&question, &no).code(), "declined", "{version}");
        };
        decline(&mut gate, 1);
        decline(&mut other, 2);
        let question = gate.ask(&labels(3));
        assert!(gate.reply(&question, &question.yes()).is_success(), "{version}: a yes between them");
        assert!(other.unasked(named).is_success(), "{version}: writes are open");
        let waiting = gate.ask(&labels(4));
        decline(&mut other, 5);
        decline(&mut gate, 6);
        decline(&mut other, 7);
        let sent = upstream.count();
        for gate in [&mut gate, &mut other] {
            for arguments in [labels(8), labels(1), named.to_owned()] {
                let refusal = gate.unasked(&arguments).refusal();
                assert_eq!(refusal["code"], "throttled", "{version}: {refusal}");
                assert!(
                    refusal["retry_after_seconds"].as_u64().is_some_and(|left| (1..=600).contains(&left)),
                    "{refusal}"
                );
            }
            assert!(gate.get("/api/v1/organization/1").is_success(), "{version}: reads go on");
        }
        if version == MODERN {
            assert_eq!(gate.reply(&waiting, &waiting.yes()).code(), "throttled", "a state from before");
        }
        let writes = upstream.seen_since(sent).iter().filter(|seen| seen.method() == "PATCH").count();
        assert_eq!(writes, 0, "{version}");
        other.finish();
        drop(gate);
        let closings = home.records().iter().filter(|record| record["kind"] == "writes").count();
        assert_eq!(closings, 1, "{version}: the closing is on record, once");
        let mut later = start(&home, version);
        assert_eq!(later.unasked(&labels(9)).code(), "throttled", "{version}: a restart opens nothing");
        later.finish();
    }
}

#[test]
fn while_writes_are_closed_no_answer_to_an_older_question_opens_them_or_sends_its_write() {
    for version in ["2025-06-18", "2025-11-25"] {
        let upstream = Recorder::plain();
        let home = Home::new(&format!("{}{UNCONFIRMED}", policy::held(&upstream, TIMES, "")));
        let mut gate = start(&home, version);
        let questions: Vec<_> = (0..8).map(|item| gate.ask(&labels(item))).collect();
        let [one, two, three, four, five, last @ ..] = &questions[..] else { panic!("eight questions") };
        let no = json!({ "action": "decline" });
        for question in [one, two, three, four] {
            assert_eq!(gate.reply(question, &no).code(), "declined", "{version}");
        }
        let named = r#"{"method":"PATCH","path":"/api/v1/service_item/1/name/","body":{}}"#;
        assert_eq!(gate.unasked(named).code(), "throttled", "{version}: a fourth no opens nothing");
        let refusal = gate.reply(five, &five.yes()).refusal();
        assert_eq!(refusal["code"], "throttled", "{version}: closed for a yes too: {refusal}");
        for question in last {
            assert_eq!(gate.reply(question, &no).code(), "declined", "{version}");
            assert_eq!(gate.unasked(named).code(), "throttled", "{version}: still closed");
        }
        gate.finish();
        assert_eq!(upstream.count(), 0, "{version}");
        let records = home.records();
        let late = records.iter().find(|record| record["kind"] == "question" && record["person"]["said"] == "approved");
        assert_eq!(late.map(|record| record["code"].clone()), Some(json!("throttled")), "{version}: {records:#?}");
    }
}

#[test]
fn a_damaged_or_foreign_state_of_writes_refuses_every_write() {
    let upstream = Recorder::plain();
    let home = Home::new(&format!("{}{UNCONFIRMED}", policy::held(&upstream, TIMES, "")));
    let mut gate = start(&home, MODERN);
    assert!(gate.get("/api/v1/organization/1").is_success());
    let file = home.state().join("writes");
    let named = r#"{"method":"PATCH","path":"/api/v1/service_item/1/name/","body":{}}"#;
    let refused = |gate: &mut Gate, what: &str| {
        for arguments in [&*labels(1), named] {
            let refusal = gate.unasked(arguments).refusal();
            assert_eq!(refusal["code"], "throttled", "{what}: {refusal}");
            assert!(refusal["message"].as_str().is_some_and(|text| text.contains("tell the operator")), "{refusal}");
        }
    };
    for text in ["nonsense\n", "000 ", "0 0", "999 18446744073709551616\n", "-1 -1\n"] {
        std::fs::write(&file, text).expect("written");
        make_private(&file);
        refused(&mut gate, text);
    }
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("/dev/null", &file).expect("a link");
    refused(&mut gate, "a link");
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("a directory");
    refused(&mut gate, "a directory");
    std::fs::remove_dir(&file).expect("removed");
    assert!(gate.unasked(named).is_success(), "without the file writes are open");
    gate.finish();
    assert_eq!(upstream.count(), 2);
}

fn make_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("the mode is set");
}
