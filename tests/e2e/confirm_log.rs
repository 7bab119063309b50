//! What the log keeps of a question and its answer, and how its reader sees it.

use std::{process::Stdio, sync::Arc};

use serde_json::{Value, json};

use super::common::{
    gate::{Client, Home, Launch, binary},
    person::{ERAS, labels, with_form},
    policy,
    recorder::Recorder,
};

/// What a client may call itself that would move a terminal's cursor, reorder a line, or begin one.
const NAME: &str = "evil\u{1b}[2J\u{202e}\r\n2026-01-01  answer";

/// Approves one write and declines one, as a client of this name.
fn told(version: &'static str, name: &str) -> Arc<Home> {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let mut gate = Launch::new(&home).start();
    gate.introduce(&Client { name: name.to_owned(), ..with_form(version) });
    let question = gate.ask(&labels(1));
    assert!(gate.reply(&question, &question.yes()).is_success());
    let question = gate.ask(&labels(2));
    assert_eq!(gate.reply(&question, &json!({ "action": "decline" })).code(), "declined");
    gate.finish();
    home
}

/// `portcullis audit show` on the state directory.
fn shown(home: &Home) -> String {
    let mut command = binary();
    command.args(["audit", "show"]).arg(home.state()).stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn people(home: &Home) -> Vec<Value> {
    home.records().iter().map(|record| record["person"].clone()).filter(Value::is_object).collect()
}

#[test]
fn what_a_person_said_and_through_which_client_stands_in_the_log_and_is_shown_escaped() {
    for version in ERAS {
        let home = told(version, NAME);
        let [yes, no] = &people(&home)[..] else { panic!("{version}: two answers: {:#?}", home.records()) };
        let client = json!(format!("{NAME} 1"));
        for (person, said) in [(yes, "approved"), (no, "declined")] {
            assert_eq!((&person["said"], &person["client"]), (&json!(said), &client), "{version}: {person}");
            assert_eq!((&person["channel"], &person["uid"]), (&json!("client"), &Value::Null), "{version}: {person}");
            assert!(person["took_ms"].is_u64(), "{version}: {person}");
        }
        let text = shown(&home);
        let lines = home.records().iter().filter(|record| record["kind"] != "answer").count();
        assert_eq!(text.lines().count(), lines, "{version}: one line for each call and event: {text}");
        let tame = |c: char| c == '\n' || (!c.is_control() && c != '\u{202e}');
        assert!(text.chars().all(tame), "{version}: {text:?}");
        for said in ["approved", "declined"] {
            let line = text.lines().find(|line| line.contains(&format!("{said} at the client")));
            let line = line.unwrap_or_else(|| panic!("{version}: {said}: {text}"));
            assert!(line.contains("evil\\u{1b}[2J\\u{202e}\\u{d}\\u{a}2026-01-01"), "{version}: {line}");
        }
    }
}

#[test]
fn a_client_with_a_long_name_makes_no_long_record() {
    for version in ERAS {
        let home = told(version, &"\u{1f4a3}".repeat(20_000));
        for record in home.records() {
            assert!(record.to_string().len() < 2_000, "{version}: {} bytes", record.to_string().len());
        }
        assert_eq!(people(&home).len(), 2, "{version}");
    }
}
