//! Several gateways that share a key and a state directory: one takes the answer to another's question, and no answer is
//! used twice, by whichever of them.

use std::{fmt::Write as _, path::Path, sync::Arc};

use rustix::process::Signal;
use serde_json::Value;

use super::common::{
    desk::{Desk, held_code},
    gate::{Answer, Gate, Home, Launch, MODERN},
    person::{Question, brought, labels, with_form},
    policy,
    recorder::{Recorder, held_upstream},
};

const KEY: &str = "PORTCULLIS_TEST_KEY";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn home(upstream: &Recorder) -> Arc<Home> {
    let times = format!("wait = \"0ms\"\nkey = {{ env = \"{KEY}\" }}");
    Home::new(&policy::held(upstream, &times, ""))
}

fn start(home: &Arc<Home>) -> Gate {
    start_with(home, SECRET, &home.state())
}

fn start_with(home: &Arc<Home>, key: &str, state: &Path) -> Gate {
    let mut gate = Launch::new(home).env(KEY, key).state(state).start();
    gate.introduce(&with_form(MODERN));
    gate
}

/// Brings the yes to a question of any gate to this one.
fn bring(gate: &mut Gate, question: &Question) -> Answer {
    let id = gate.id();
    let line = question.repeated(gate, &id, &brought(question.state(), &question.yes()));
    gate.send(&line);
    gate.answer(&id)
}

fn assert_used(what: &str, answer: &Answer) {
    let refusal = answer.refusal();
    assert_eq!(refusal["code"], "declined", "{what}: {refusal}");
    assert!(refusal["message"].as_str().is_some_and(|text| text.contains("already used")), "{what}: {refusal}");
}

fn assert_bad_state(what: &str, answer: &Answer) {
    assert_eq!(answer.rpc_error(), Some(-32602), "{what}: {answer:?}");
    assert_eq!(answer.message["error"]["message"], "requestState failed verification", "{what}: {answer:?}");
}

#[test]
fn a_state_of_one_gate_is_taken_once_by_another_with_the_same_key() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let (mut one, mut other) = (start(&home), start(&home));
    let question = one.ask(&labels(42));
    assert!(bring(&mut other, &question).is_success());
    for gate in [&mut one, &mut other] {
        assert_used("a second time", &bring(gate, &question));
    }
    let next = one.ask(&labels(42));
    assert_ne!(next.state(), question.state(), "a question of its own");
    assert!(bring(&mut one, &next).is_success());
    assert_used("used where it was asked", &bring(&mut other, &next));
    one.finish();
    other.finish();
    assert_eq!(upstream.count(), 2);
    let records = home.records();
    let approved: Vec<_> = records.iter().filter(|record| record["person"]["said"] == "approved").collect();
    assert_eq!(approved.len(), 2, "{approved:#?}");
    for record in approved {
        assert_eq!((&record["person"]["channel"], &record["person"]["client"]), (&"client".into(), &"t 1".into()));
        assert!(record["person"]["took_ms"].as_u64().is_some_and(|took| took < 60_000), "{record}");
    }
}

#[test]
fn a_hundred_copies_of_one_approval_at_two_gates_send_one_request() {
    let (upstream, release) = held_upstream();
    let home = home(&upstream);
    let mut gates = [start(&home), start(&home)];
    let question = gates[0].ask(&labels("slow"));
    let more = brought(question.state(), &question.yes());
    let sent = gates.each_mut().map(|gate| {
        let ids: Vec<_> = (0..50).map(|_| gate.id()).collect();
        let mut lines = String::new();
        for id in &ids {
            writeln!(lines, "{}", question.repeated(gate, id, &more)).expect("text");
        }
        (ids, lines)
    });
    std::thread::scope(|scope| {
        for (gate, (_, lines)) in gates.iter_mut().zip(&sent) {
            scope.spawn(|| gate.send_bytes(lines.as_bytes()));
        }
    });
    upstream.wait_for(1);
    // Any further one would have a connection of its own, and these answers would come only after it was sent.
    release.send(()).expect("the upstream waits");
    let mut passed = 0;
    for (gate, (ids, _)) in gates.iter_mut().zip(&sent) {
        for answer in ids.iter().map(|id| gate.answer(id)) {
            match answer.is_success() {
                true => passed += 1,
                false => assert_used("a copy", &answer),
            }
        }
    }
    assert_eq!(passed, 1);
    gates.into_iter().for_each(|gate| drop(gate.finish()));
    assert_eq!(upstream.count(), 1);
}

#[test]
fn another_key_or_another_state_directory_opens_nothing() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let mut one = start(&home);
    let question = one.ask(&labels(42));
    let state = home.path().join("elsewhere");
    let mut elsewhere = start_with(&home, SECRET, &state);
    assert_bad_state("the same key in another directory", &bring(&mut elsewhere, &question));
    elsewhere.close_stdin();
    assert!(elsewhere.exit().success());
    let mut stranger = start_with(&home, &SECRET.replace('0', "1"), &home.state());
    assert_bad_state("another key in the same directory", &bring(&mut stranger, &question));
    stranger.finish();
    assert!(bring(&mut one, &question).is_success(), "it still counts where it was asked");
    one.finish();
    assert_eq!(upstream.count(), 1);
}

#[test]
fn an_answer_survives_the_gate_that_asked_and_so_does_its_use() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let mut gate = start(&home);
    let (used, open) = (gate.ask(&labels(1)), gate.ask(&labels(2)));
    assert!(bring(&mut gate, &used).is_success());
    gate.signal(Signal::KILL);
    gate.expect_killed();
    drop(gate);
    let mut next = start(&home);
    assert_used("before the end", &bring(&mut next, &used));
    assert!(bring(&mut next, &open).is_success(), "nobody had answered it");
    assert_used("after it", &bring(&mut next, &open));
    next.finish();
    assert_eq!(upstream.count(), 2);
}

#[test]
fn what_the_desk_said_at_one_gate_no_state_unsays_at_another() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let desk = Desk::of(&home);
    let (mut one, mut other) = (start(&home), start(&home));
    for approve in [true, false] {
        let question = one.ask(&labels(42));
        let code = desk.codes(1).remove(0);
        if approve {
            desk.approve(&code);
        } else {
            assert!(desk.run(&["decline", &code]).status.success());
        }
        assert_used("at the other", &bring(&mut other, &question));
        let sent = upstream.count();
        // A client without a form brings no state.
        let answer = one.unasked(&labels(42));
        assert_eq!(answer.is_success(), approve, "{answer:?}");
        assert_eq!(upstream.count(), sent + usize::from(approve));
        assert_used("where it was asked", &bring(&mut one, &question));
    }
    // The other way round: the desk is too late.
    let question = one.ask(&labels(43));
    let code = desk.codes(1).remove(0);
    assert!(bring(&mut other, &question).is_success());
    assert_eq!(desk.run(&["decline", &code]).status.code(), Some(1), "its answer was used");
    one.introduce(&super::common::person::client(MODERN, serde_json::json!({})));
    assert_ne!(held_code(&one.unasked(&labels(43))), code, "asked anew");
    one.finish();
    other.finish();
    assert_eq!(upstream.count(), 2);
}

#[test]
fn refusals_at_several_gates_are_one_row() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let (mut one, mut other) = (start(&home), start(&home));
    for item in 0..3 {
        let question = one.ask(&labels(item));
        let id = other.id();
        let line =
            question.repeated(&other, &id, &brought(question.state(), &serde_json::json!({ "action": "decline" })));
        other.send(&line);
        assert_eq!(other.answer(&id).code(), "declined");
    }
    assert_eq!(one.unasked(&labels(9)).code(), "throttled");
    one.finish();
    other.finish();
    assert_eq!(upstream.count(), 0);
}

#[test]
fn while_nobody_can_tell_what_was_used_no_answer_counts() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let (mut one, mut other) = (start(&home), start(&home));
    // Both ask, so that both have read the list before it is changed.
    let questions: Vec<_> =
        (0..4).map(|item| if item % 2 == 0 { one.ask(&labels(item)) } else { other.ask(&labels(item)) }).collect();
    let file = home.state().join("used");
    let whole = std::fs::read(&file).expect("the list");
    std::fs::write(&file, "nonsense").expect("written");
    for (gate, question) in [&mut one, &mut other].into_iter().zip(&questions) {
        assert_eq!(bring(gate, question).code(), "internal");
    }
    std::fs::write(&file, &whole).expect("written");
    assert!(bring(&mut other, &questions[2]).is_success(), "it is whole again");
    std::fs::remove_file(&file).expect("removed");
    for gate in [&mut one, &mut other] {
        assert_eq!(
            bring(gate, &questions[2]).code(),
            "internal",
            "what was used is forgotten, and so nothing is taken"
        );
        assert_eq!(bring(gate, &questions[3]).code(), "internal");
    }
    let mut next = start(&home);
    assert_bad_state("of a list that is gone", &bring(&mut next, &questions[2]));
    next.finish();
    one.finish();
    other.finish();
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_key_that_could_be_guessed_or_is_not_there_stops_the_start() {
    let upstream = Recorder::plain();
    let home = home(&upstream);
    let short = SECRET.split_at(31).0;
    for (launch, words) in [
        (Launch::new(&home).env(KEY, short), "needs 32"),
        (Launch::new(&home).env(KEY, ""), "empty"),
        (Launch::new(&home), "is not set"),
    ] {
        let output = launch.refused();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.contains(words)), (Some(2), true), "{said}");
        assert!(!said.contains(short), "{said}");
    }
    assert_eq!(upstream.connections(), 0);
    assert!(home.records().iter().all(|record: &Value| record["kind"] != "start"), "nothing was opened");
}
