//! What an auditor's commands say of a log: the calls that were asked for, what cannot be verified left out and counted,
//! numbers that add up, and lines that other tools can read.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Output, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};

use super::common::{
    gate::{Gate, Home, Launch, binary},
    policy,
    recorder::{Recorder, Reply},
};

/// A gate that was asked for two reads, one of which fails, for a write and for what is denied, and has ended.
fn told() -> Arc<Home> {
    let upstream = Recorder::start(|seen| match seen.target() {
        "/api/v1/organization/down" => {
            Reply::new("503 Service Unavailable", &[("content-type", "application/json")], "{}")
        }
        _ => Reply::json(r#"{"a":1}"#),
    });
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let home = Arc::clone(&gate.home);
    assert!(gate.get("/api/v1/organization/1").is_success());
    assert_eq!(gate.get("/api/v1/organization/down").code(), "upstream_error");
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": { "label": "x" } });
    assert!(gate.call("api_send", &write).is_success());
    assert_eq!(gate.get("/api/v1/user/me").code(), "denied");
    gate.finish();
    home
}

fn audit(home: &Home, command: &str, arguments: &[&str]) -> Output {
    let mut audit = binary();
    audit.args(["audit", command]).arg(home.state()).args(arguments).stdin(Stdio::null());
    audit.output().expect("the binary runs")
}

fn good(home: &Home, command: &str, arguments: &[&str]) -> String {
    let output = audit(home, command, arguments);
    assert!(output.status.success(), "{command} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn calls_are_found_by_what_was_asked_decided_and_answered() {
    let home = told();
    for (arguments, paths) in [
        (&["--rule", "labels"][..], &["/api/v1/service_item/42/labels/"][..]),
        (&["--verdict", "deny"], &["/api/v1/user/me"]),
        (&["--code", "denied"], &["/api/v1/user/me"]),
        (&["--status", "5xx"], &["/api/v1/organization/down"]),
        (&["--path", "/api/v1/organization/*"], &["/api/v1/organization/1", "/api/v1/organization/down"]),
        (&["--path", "/api/v1/organization/*", "--status", "200"], &["/api/v1/organization/1"]),
        (&["--method", "patch"], &["/api/v1/service_item/42/labels/"]),
        (&["--method", "GET", "--until", "2020-01-01T00:00:00Z"], &[]),
        (&["--method", "PATCH", "--since", "1h"], &["/api/v1/service_item/42/labels/"]),
        (&["--rule", "labels", "--agent", "nobody"], &[]),
    ] {
        let text = good(&home, "show", arguments);
        assert_eq!(text.lines().count(), paths.len(), "{arguments:?}: {text}");
        for path in paths {
            assert!(text.contains(path), "{arguments:?}: {text}");
        }
        let records = good(&home, "show", &[arguments, &["--format", "json"]].concat());
        let kinds: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        assert_eq!(kinds.len(), 2 * paths.len(), "a question and an answer each: {records}");
    }
}

#[test]
fn everything_is_shown_as_it_stands_to_whoever_asks_for_json() {
    let home = told();
    let shown = good(&home, "show", &["--format", "json"]);
    let mut shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    shown.sort_by_key(|record| record["seq"].as_u64());
    assert_eq!(shown, home.records());
}

#[test]
fn what_does_not_verify_is_hidden_and_counted() {
    let home = told();
    let [log] = &home.logs()[..] else { panic!("one log") };
    let text = fs::read_to_string(log).expect("a log");
    let lines = text.lines().count();
    let denied = text.lines().position(|line| line.contains("\"deny\"")).expect("a denial");
    fs::write(log, text.replace("\"verdict\":\"deny\"", "\"verdict\":\"allow\"")).expect("written");
    for command in ["show", "tail", "stats"] {
        let output = audit(&home, command, &[]);
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!out.contains("/api/v1/user/me"), "{command}: {out}");
        assert!(said.contains(&format!("line {}", denied + 2)), "{command}: {said}");
        let hidden = format!("{} lines from there on are hidden", lines - denied);
        assert!(said.contains(&hidden), "{command}: `{hidden}`: {said}");
    }
}

#[test]
fn a_log_that_was_emptied_does_not_verify() {
    let home = told();
    let [log] = &home.logs()[..] else { panic!("one log") };
    fs::write(log, "").expect("emptied");
    let verified = audit(&home, "verify", &[]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("its end was cut off"), "{verified:?}");
}

#[test]
fn a_standard_error_that_cannot_be_written_ends_nothing() {
    let upstream = Recorder::start(|_| Reply::json("{}"));
    let home = Home::new(&policy::b(&upstream, policy::NEVER));
    let mut serve = binary();
    serve.args(["serve", "--policy"]).arg(home.policy()).arg("--state-dir").arg(home.state());
    serve.env("PORTCULLIS_LOG", "trace").env(policy::TOKEN, home.canary.secret()).stdin(Stdio::null());
    serve.stderr(fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device"));
    let ended = serve.output().expect("the binary runs");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn the_last_calls_are_shown_and_those_that_come() {
    let home = told();
    let text = good(&home, "tail", &["-n", "1", "--verdict", "allow"]);
    assert_eq!((text.lines().count(), text.contains("PATCH")), (1, true), "{text}");
    let mut tail = binary();
    tail.args(["audit", "tail", "--follow", "-n", "1", "--verdict", "deny"]).arg(home.state()).stdout(Stdio::piped());
    let mut tail = tail.spawn().expect("the binary runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    assert!(lines.next().is_some_and(|line| line.contains("/api/v1/user/me")));
    let upstream = Recorder::start(|_| Reply::json("{}"));
    home.rewrite(&policy::b(&upstream, policy::NEVER));
    let mut gate = Launch::new(&home).start();
    assert_eq!(gate.get("/api/v1/user/you").code(), "denied");
    assert!(lines.next().is_some_and(|line| line.contains("/api/v1/user/you")));
    tail.kill().and_then(|()| tail.wait()).expect("it ran until now");
    gate.finish();
}

#[test]
fn a_log_that_is_cut_or_exchanged_while_it_is_followed_ends_that_with_a_word() {
    type Change<'a> = &'a dyn Fn(&std::path::Path);
    let cut = |log: &std::path::Path| {
        let file = fs::OpenOptions::new().write(true).open(log).expect("opened");
        file.set_len(100).expect("cut");
    };
    let exchanged = |log: &std::path::Path| {
        let copy = log.with_extension("copy");
        fs::copy(log, &copy).expect("copied");
        fs::rename(copy, log).expect("exchanged");
    };
    let home = told();
    let [log] = &home.logs()[..] else { panic!("one log") };
    for (name, change) in [("exchanged", &exchanged as Change<'_>), ("cut", &cut)] {
        let mut tail = binary();
        tail.args(["audit", "tail", "--follow", "-n", "1", "--verdict", "deny"]).arg(home.state());
        let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut line = String::new();
        BufReader::new(tail.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        assert!(line.contains("/api/v1/user/me"), "{name}: {line}");
        change(log);
        let ended = tail.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(1), "{name}: {ended:?}");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("cut or exchanged") && said.contains(&*log.to_string_lossy()), "{name}: {said}");
    }
}

#[test]
fn without_a_key_every_command_says_that_signatures_were_not_checked_and_no_checkpoint_is_printed() {
    let home = told();
    for (command, arguments) in [("show", &[][..]), ("tail", &[]), ("stats", &[]), ("export", &["--csv"])] {
        let signed = audit(&home, command, arguments);
        assert!(signed.status.success() && signed.stderr.is_empty(), "{command}: {signed:?}");
    }
    fs::remove_file(home.state().join("checkpoint.pub")).expect("taken away");
    for (command, arguments) in [("show", &[][..]), ("tail", &[]), ("stats", &[]), ("export", &["--csv"])] {
        let unsigned = audit(&home, command, arguments);
        assert!(unsigned.status.success() && !unsigned.stdout.is_empty(), "{command}: {unsigned:?}");
        let said = String::from_utf8_lossy(&unsigned.stderr);
        assert!(said.contains("were not checked") && said.contains("no key"), "{command}: {said}");
    }
    let refused = audit(&home, "checkpoint", &[]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no key"), "{refused:?}");
    let doubted = audit(&home, "verify", &[]);
    assert_eq!(doubted.status.code(), Some(1), "anybody can have written it: {doubted:?}");
    assert!(String::from_utf8_lossy(&doubted.stdout).contains("who wrote it cannot be told"), "{doubted:?}");
    let doubted = audit(&home, "verify", &["--format", "json"]);
    let json: Value = serde_json::from_slice(&doubted.stdout).expect("JSON");
    assert_eq!((doubted.status.code(), &json["logs"][0]["ok"]), (Some(1), &json!(false)), "{json}");
}

#[test]
fn numbers_add_up() {
    let home = told();
    let stats: Value = serde_json::from_str(&good(&home, "stats", &["--format", "json"])).expect("JSON");
    assert_eq!((&stats["calls"], &stats["verdicts"]), (&json!(4), &json!({ "allow": 3, "deny": 1 })), "{stats}");
    assert_eq!(stats["statuses"], json!({ "200": 2, "503": 1 }), "{stats}");
    assert_eq!(stats["codes"], json!({ "upstream_error": 1, "denied": 1 }), "{stats}");
    assert_eq!(
        stats["hours"].as_object().expect("hours").values().filter_map(Value::as_u64).sum::<u64>(),
        4,
        "{stats}"
    );
    let text = good(&home, "stats", &[]);
    assert!(text.starts_with("4 calls from ") && text.contains("PATCH /api/v1/service_item/42/labels/"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert_eq!(good(&home, "stats", &["--rule", "none"]), "no call\n");
}

#[test]
fn calls_are_exported_one_a_line() {
    let home = told();
    let table = good(&home, "export", &["--csv"]);
    assert_eq!((table.lines().count(), table.matches("\r\n").count()), (5, 5), "{table}");
    assert!(table.contains(",PATCH,/api/v1/service_item/42/labels/,write,allow,labels,"), "{table}");
    let events: Vec<Value> =
        good(&home, "export", &["--ocsf"]).lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let types: Vec<_> =
        events.iter().map(|event| (event["type_uid"].as_u64(), event["disposition"].as_str())).collect();
    let (read, update) = (Some(600_302), Some(600_303));
    let (allowed, blocked) = (Some("Allowed"), Some("Blocked"));
    assert_eq!(types, [(read, allowed), (read, allowed), (update, allowed), (read, blocked)]);
    assert_eq!(audit(&home, "export", &[]).status.code(), Some(2), "in some form");
}
