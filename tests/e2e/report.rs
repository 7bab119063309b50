//! Report mode, end to end: what passes, what never does, and what the log says.

use std::fs;

use serde_json::{Value, json};

use super::common::gate::{Gate, Home, binary};
use super::common::policy::{OPEN_LIMITS, head};
use super::common::recorder::Recorder;

/// A policy in report mode until this day.
fn policy(upstream: &Recorder, until: &str) -> String {
    format!(
        r#"{}{OPEN_LIMITS}
[access]
writes = true
report_until = {until}

[[allow]]
id = "items"
methods = ["GET"]
paths = ["/items/*"]
query = {{ only = ["q"] }}

[[allow]]
id = "exports"
methods = ["GET"]
effect = "write"
paths = ["/exports/*"]

[[deny]]
id = "secrets"
paths = ["/**/secrets"]
"#,
        head(upstream)
    )
}

/// What a gate does with these calls: the code of each, and what its question says of verdict, rule and cause.
fn run(gate: &mut Gate) -> Vec<(String, Value)> {
    let calls = [
        json!({ "method": "GET", "path": "/items/1" }),
        json!({ "method": "GET", "path": "/other/1" }),
        json!({ "method": "HEAD", "path": "/items/1" }),
        json!({ "method": "GET", "path": "/items/1", "query": { "r": 1 } }),
        json!({ "method": "GET", "path": "/items/secrets" }),
        json!({ "method": "GET", "path": "/other/secrets/1" }),
        // R2.3 asks for a rule that lists the character.
        json!({ "method": "GET", "path": "/other/a%2Fb" }),
        json!({ "method": "HEAD", "path": "/exports/1" }),
        json!({ "method": "POST", "path": "/items/1", "body": {} }),
    ];
    let codes: Vec<String> = calls
        .iter()
        .map(|call| {
            let answer = gate.call("api_send", call);
            if answer.is_success() { "ok".to_owned() } else { answer.code() }
        })
        .collect();
    let questions: Vec<Value> = gate.home.records().into_iter().filter(|record| record["kind"] == "question").collect();
    assert_eq!(questions.len(), calls.len());
    codes.into_iter().zip(questions).collect()
}

fn told((code, question): &(String, Value)) -> [&str; 4] {
    let text = |name: &str| question[name].as_str().unwrap_or("-");
    [code, text("verdict"), text("rule"), text("cause")]
}

#[test]
fn a_read_that_lacks_nothing_but_a_rule_passes_and_is_logged_as_such() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy(&upstream, "2999-12-31"));
    let told: Vec<[String; 4]> = run(&mut gate).iter().map(|call| self::told(call).map(str::to_owned)).collect();
    let expected = [
        ["ok", "allow", "items", "-"],
        ["ok", "report", "access.report_until", "no_rule"],
        ["ok", "report", "access.report_until", "method: HEAD"],
        ["ok", "report", "access.report_until", "query_name: `r`"],
        ["denied", "deny", "secrets", "deny_rule ("],
        ["denied", "deny", "secrets", "deny_rule ("],
        ["denied", "deny", "-", "no_rule"],
        ["denied", "deny", "exports", "method: HEAD ("],
        ["denied", "deny", "items", "method: POST"],
    ];
    for (told, expected) in told.iter().zip(expected) {
        let same = told[..3].iter().zip(&expected[..3]).all(|(a, b)| a == b);
        let cause = told[3].starts_with(expected[3]);
        assert!(same && cause, "{told:?}, expected {expected:?}");
    }
    assert_eq!(upstream.count(), 4, "{:?}", upstream.seen());
    assert_eq!(gate.home.verify().status.code(), Some(0));
}

#[test]
fn once_its_day_is_over_nothing_but_the_rules_lets_a_read_through() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy(&upstream, "2020-01-01"));
    let passed: Vec<[String; 4]> =
        run(&mut gate).iter().map(|call| told(call).map(str::to_owned)).filter(|[code, ..]| code == "ok").collect();
    assert_eq!(passed, [["ok", "allow", "items", "-"]]);
    assert_eq!(upstream.count(), 1);
    let checked = binary().arg("check").arg(gate.home.policy()).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(text.contains("warning[report-over]: report mode ended on 2020-01-01: nothing passes by it"), "{text}");
}

#[test]
fn what_is_said_of_report_mode_is_true_on_the_day_it_is_said() {
    let upstream = Recorder::plain();
    for (until, said, unsaid) in
        [("2020-01-01", "nothing passes by it", " passes up to "), ("2999-12-31", "2999-12-31", "ended")]
    {
        let home = Home::new(&policy(&upstream, until));
        fs::write(home.path().join("policy.cases.toml"), "[[case]]\npath = \"/items/1\"\nexpect = \"allow\"\n")
            .unwrap();
        for arguments in [&["check"][..], &["test"], &["doctor", "--offline", "--state-dir", "state"]] {
            let mut command = binary();
            command.args(arguments).arg(home.policy()).env("HOME", home.path()).current_dir(home.path());
            let output = command.output().expect("the binary runs");
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(text.contains(said) && !text.contains(unsaid), "{arguments:?} {until}: {text}");
        }
    }
}

#[test]
fn explain_says_that_report_mode_lets_a_read_through() {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy(&upstream, "2999-12-31"));
    let explain = binary().arg("explain").arg(gate.home.policy()).args(["GET", "/other/1"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&explain.stdout).into_owned();
    assert!(text.starts_with("reported  GET /other/1\n"), "{text}");
    assert!(text.contains("No rule grants it (no_rule), and report mode lets it through:"), "{text}");
    assert!(text.contains("report_until = 2999-12-31"), "{text}");
}
