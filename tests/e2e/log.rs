//! The log as its reader finds it: who asked what, how it was decided and how it ended, no value
//! in clear, no change unnoticed, and nothing forwarded that it could not hold.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};

use super::common::{
    gate::{Gate, Home, Launch, ended},
    policy,
    recorder::{Recorder, Reply},
};

const GOOD: &str = "/api/v1/organization/1";

/// The records of one gate that was asked for a read and a write with values worth hiding.
fn told() -> Vec<Value> {
    let upstream = Recorder::start(|_| Reply::json(r#"{"answer":"value-of-the-answer"}"#));
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let home = std::sync::Arc::clone(&gate.home);
    for value in ["value-of-the-query", "value-of-the-query", "another-value"] {
        let read = json!({ "path": "/api/v1/organization/%c3%bc", "query": { "q": value }, "headers": { "Accept": "value/of-the-header" } });
        assert!(gate.call("api_get", &read).is_success());
    }
    let body = json!({ "label": "value-of-the-body", "nested": { "inner": "value-inside" } });
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": body });
    assert!(gate.call("api_send", &write).is_success());
    assert_eq!(gate.get("/api/v1/user/me").code(), "denied");
    gate.finish();
    home.records()
}

fn questions(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["kind"] == "question").collect()
}

#[test]
fn a_question_says_who_asked_what_and_which_rule_decided() {
    let records = told();
    let asked = questions(&records);
    let [read, _, _, write, denied] = asked[..] else { panic!("five questions: {asked:#?}") };
    assert!(read["agent"].as_str().is_some_and(|agent| agent.starts_with("stdio:uid=")), "{read}");
    assert_eq!((&read["tool"], &read["method"]), (&json!("api_get"), &json!("GET")));
    assert_eq!(read["path"], "/api/v1/organization/%C3%BC", "canonical");
    assert_eq!((&read["verdict"], &read["rule"]), (&json!("allow"), &json!("organizations")));
    assert_eq!(read["query"][0][0], "q", "{read}");
    assert_eq!(read["headers"], json!(["accept"]), "{read}");
    assert_eq!(
        (&write["tool"], &write["method"], &write["rule"]),
        (&json!("api_send"), &json!("PATCH"), &json!("labels"))
    );
    let names: Vec<_> = write["body"]["names"].as_array().expect("names").iter().map(|pair| &pair[0]).collect();
    assert_eq!(names, ["label", "nested"], "{write}");
    assert_eq!((&denied["verdict"], &denied["code"]), (&json!("deny"), &json!("denied")));
}

#[test]
fn values_stand_in_the_log_as_digests_alone_and_equal_values_have_equal_digests() {
    let records = told();
    let text = json!(records).to_string();
    for word in ["value-of", "another-value", "value-inside", "value/of"] {
        assert!(!text.contains(word), "`{word}` is in the log");
    }
    let digests: Vec<_> = questions(&records).iter().take(3).map(|question| question["query"][0][1].clone()).collect();
    assert!(digests[0] == digests[1] && digests[1] != digests[2], "{digests:?}");
    let whole: Vec<_> = questions(&records).iter().take(3).map(|question| question["digest"].clone()).collect();
    assert!(whole[0].is_string() && whole[0] == whole[1] && whole[1] != whole[2], "{whole:?}");
    let elsewhere = told();
    assert_ne!(digests[0], questions(&elsewhere)[0]["query"][0][1], "each log has a key of its own");
}

#[test]
fn the_records_are_numbered_without_a_gap_and_each_call_has_one_question_and_one_answer() {
    let records = told();
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], number, "{record}");
        assert_eq!(record["v"], 2, "{record}");
        let time = record["time"].as_str().expect("a time");
        assert!(time.len() == "2026-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{time}");
        assert_eq!(record["prev"].as_str().map(str::len), Some(64), "{record}");
    }
    assert_eq!(records.first().expect("a log")["kind"], "start");
    assert!(ended(&records), "in order: {records:?}");
    let calls: BTreeSet<_> =
        questions(&records).iter().map(|question| question["call"].as_str().expect("a name")).collect();
    assert_eq!(calls.len(), 5, "each call has a name of its own");
    for call in calls {
        let kinds: Vec<_> =
            records.iter().filter(|record| record["call"] == call).map(|record| &record["kind"]).collect();
        assert_eq!(kinds, ["question", "answer"], "{call}");
    }
    let answers: Vec<_> = records.iter().filter(|record| record["kind"] == "answer").collect();
    assert_eq!((&answers[0]["status"], &answers[0]["bytes"]), (&json!(200), &json!(32)), "{}", answers[0]);
    assert!(answers.iter().all(|answer| answer["duration_us"].is_u64()), "{answers:?}");
}

/// The one log of a gate that has made some calls and ended.
fn one_log() -> (std::sync::Arc<Home>, PathBuf, Vec<u8>) {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let home = std::sync::Arc::clone(&gate.home);
    for _ in 0..5 {
        assert!(gate.get(GOOD).is_success());
    }
    gate.finish();
    let [log] = &home.logs()[..] else { panic!("one log: {:?}", home.logs()) };
    let text = fs::read(log).expect("the log can be read");
    (std::sync::Arc::clone(&home), log.clone(), text)
}

#[test]
fn a_log_that_was_changed_inside_does_not_verify() {
    let (home, log, text) = one_log();
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(home.verify().status.success(), "untouched");
    let mut forgeries = vec![
        ("a record taken out", [&lines[..3], &lines[4..]].concat().concat()),
        ("a record put in twice", [&lines[..4], &lines[3..]].concat().concat()),
        ("two records exchanged", [&lines[..3], &[lines[4], lines[3]], &lines[5..]].concat().concat()),
        ("the beginning cut off", lines[1..].concat()),
    ];
    for (number, line) in lines.iter().enumerate() {
        let other = String::from_utf8_lossy(line).replace("\"kind\":\"", "\"kind\": \"").into_bytes();
        assert_ne!(&other, line, "the forgery changes something");
        forgeries.push(("a space put in", [lines[..number].concat(), other, lines[number + 1..].concat()].concat()));
    }
    for (name, forged) in forgeries {
        fs::write(&log, forged).expect("the log is rewritten");
        let verified = home.verify();
        assert_eq!(verified.status.code(), Some(1), "{name}: {verified:?}");
    }
}

#[test]
fn a_torn_last_line_is_named_and_is_no_doubt() {
    let (home, log, text) = one_log();
    fs::write(&log, &text[..text.len() - 20]).expect("the log is rewritten");
    let cut = home.verify();
    assert_eq!(cut.status.code(), Some(1), "the head file is written after that line is whole: {cut:?}");
    fs::remove_file(log.with_extension("head")).expect("a gate that is killed in that line has not written it");
    let verified = home.verify();
    assert!(verified.status.success(), "{verified:?}");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("half-written"), "{verified:?}");
}

#[test]
fn nothing_to_verify_is_no_success() {
    let home = Home::new("");
    assert_eq!(home.verify().status.code(), Some(2), "no directory");
    fs::create_dir(home.state()).expect("made");
    assert_eq!(home.verify().status.code(), Some(2), "no log in it");
}

#[test]
fn once_the_log_cannot_be_written_nothing_is_forwarded() {
    let upstream = Recorder::plain();
    // No file may grow beyond 16 KiB, as on a disk that is full.
    let home = Home::new(&policy::b(&upstream, policy::NEVER));
    let mut gate = Launch::new(&home).under("trap '' XFSZ; ulimit -f 32").start();
    let mut refused = 0;
    for number in 0..100 {
        let before = upstream.count();
        let write = json!({ "method": "PATCH", "path": format!("/api/v1/service_item/{number}/labels/"), "body": {} });
        let answer = if number % 2 == 0 { gate.get(GOOD) } else { gate.call("api_send", &write) };
        if answer.is_success() {
            assert_eq!(refused, 0, "never again after the first failure");
            continue;
        }
        assert_eq!(answer.code(), "audit_unavailable", "{answer:?}");
        refused += 1;
        // The call whose outcome did not fit was sent; every later one is not.
        assert!(refused == 1 || upstream.count() == before, "forwarded without a record");
    }
    assert!(refused > 10, "the log filled up");
    let intents = home.records().iter().filter(|record| record["kind"] == "question").count();
    assert!(upstream.count() <= intents, "{} requests, {intents} intents", upstream.count());
}

#[test]
fn a_full_log_goes_on_in_another_file_and_verifies_as_one() {
    let upstream = Recorder::plain();
    let home = Home::new(&format!("{}\n[audit]\nmax_bytes = \"1MiB\"\n", policy::a(&upstream)));
    let mut gate = Launch::new(&home).start();
    assert!(gate.get(GOOD).is_success());
    // An auditor looks all the while: files that begin under their eyes are no doubt.
    let (watched, (stop, stopped)) = (home.clone(), std::sync::mpsc::channel::<()>());
    let auditor = std::thread::spawn(move || {
        let mut looks = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let live = watched.verify();
            assert!(live.status.success(), "look {looks}: {live:?}");
            looks += 1;
        }
        looks
    });
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.extend((0..64).map(|_| gate.begin("api_get", &json!({ "path": GOOD }).to_string())));
        for id in ids.drain(..) {
            assert!(gate.answer(&id).is_success());
        }
    }
    drop(stop);
    assert!(auditor.join().expect("an auditor without a doubt") > 3);
    gate.finish();
    let logs = home.logs();
    assert!(logs.len() > 1, "one file: {logs:?}");
    let records = home.records();
    assert!(ended(&records), "in order");
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], number, "{record}");
    }
    for log in &logs {
        assert!(home.verify_log(log).status.success(), "{} alone", log.display());
    }
    fs::remove_file(&logs[1]).expect("a file is taken away");
    assert_eq!(home.verify().status.code(), Some(1), "a file is missing");
}

/// Whether a value is as a schema says, of which this reads what ours uses.
fn fits(value: &Value, schema: &Value) -> bool {
    let of_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("nobody knows the type {other}"),
    };
    let members = |properties: &Value| {
        value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| properties.get(name).is_some_and(|schema| fits(value, schema)))
        })
    };
    schema.as_object().expect("a schema").iter().all(|(word, rule)| match word.as_str() {
        "type" => of_type(rule.as_str().expect("a type")),
        "const" => value == rule,
        "enum" => rule.as_array().expect("values").contains(value),
        "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().expect("a number")),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(item, rule))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().expect("a count")),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().expect("a count")),
        "properties" => members(rule),
        "required" => {
            rule.as_array().expect("names").iter().all(|name| value.get(name.as_str().expect("a name")).is_some())
        }
        "pattern" => value.as_str().is_none_or(|text| {
            let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            hex && (text.len() == 64 || rule == "^[0-9a-f]+$")
        }),
        "additionalProperties" | "format" => true,
        other => panic!("nobody knows the word {other}"),
    })
}

#[test]
fn every_record_is_as_the_schema_and_the_document_say() {
    let read = |name: &str| fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).expect(name);
    let schema: Value = serde_json::from_str(&read("audit-record.schema.json")).expect("JSON");
    let document = read("audit-log.md");
    let kinds = schema["$defs"].as_object().expect("a schema for each kind");
    let base = ["v", "seq", "time", "prev", "kind"];
    for (kind, schema) in kinds {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{kind}` | "))).expect(kind);
        let cells: Vec<&str> = row.split(" | ").collect();
        for name in schema["properties"].as_object().expect("members").keys() {
            let told = cells[1].contains(&format!("`{name}`")) || base.contains(&name.as_str());
            // `continue` has them as `start` does.
            assert!(told, "the document says nothing of `{name}` of `{kind}`");
        }
    }
    let mut records = told();
    let upstream = Recorder::plain();
    let text = policy::b(&upstream, "confirm = \"never\"");
    let mut gate = Gate::start(&text);
    gate.send("no JSON");
    assert!(gate.get(GOOD).is_success());
    let array = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": [] });
    assert!(gate.call("api_send", &array).is_success());
    gate.home.rewrite(&format!("{text}# The same again.\n"));
    gate.signal(rustix::process::Signal::HUP);
    gate.log_until("another policy", |records| records.iter().any(|record| record["kind"] == "policy"));
    let home = std::sync::Arc::clone(&gate.home);
    gate.finish();
    records.extend(home.records());
    assert!(records.iter().any(|record| record["body"]["array"] == true), "{records:#?}");
    let mut seen = BTreeSet::new();
    for record in &records {
        let kind = record["kind"].as_str().expect("a kind");
        seen.insert(kind);
        assert!(fits(record, &kinds[kind]), "not as the schema says: {record}");
        let mut other = record.clone();
        other["strange"] = json!(1);
        assert!(!fits(&other, &kinds[kind]), "a member too many");
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["answer", "checkpoint", "frame", "policy", "question", "start", "stop"]
    );
}
