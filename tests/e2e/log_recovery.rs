//! What a gateway does beside the logs that others have left: it mends what a hard stop left, and stops at what was changed.

use std::{fs, process::Output, sync::Arc};

use rustix::process::Signal;
use serde_json::Value;

use super::common::{
    gate::{Gate, Home, Launch, binary, records},
    policy,
    recorder::Recorder,
};

const GOOD: &str = "/api/v1/organization/1";

/// A home with one log, the gate of which was killed after a few calls.
fn killed(upstream: &Recorder) -> Arc<Home> {
    let home = Home::new(&policy::a(upstream));
    let mut gate = Launch::new(&home).start();
    for _ in 0..5 {
        assert!(gate.get(GOOD).is_success());
    }
    gate.signal(Signal::KILL);
    gate.expect_killed();
    home
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

fn acknowledge(home: &Home, log: &std::path::Path, reason: &str) -> Output {
    let mut command = binary();
    command.args(["audit", "acknowledge"]).arg(log).args(["--reason", reason]);
    let output = command.output().expect("the binary runs");
    home.canary.search("the output of audit acknowledge", &[&*output.stdout, &*output.stderr].concat());
    output
}

#[test]
fn half_a_record_of_a_killed_gate_is_set_aside_and_the_next_log_says_so() {
    let upstream = Recorder::plain();
    let home = killed(&upstream);
    let [log] = &home.logs()[..] else { panic!("one log") };
    let whole = fs::read(log).expect("read");
    let torn = br#"{"v":2,"seq":11,"time":"20"#;
    fs::write(log, [&whole[..], torn].concat()).expect("torn");
    let mut gate = Launch::new(&home).start();
    assert!(gate.get(GOOD).is_success());
    assert!(gate.stderr().contains("set aside"), "{}", gate.stderr());
    gate.finish();
    assert_eq!(fs::read(log).expect("read"), whole, "the log is whole again");
    assert_eq!(fs::read(log.with_extension("torn")).expect("kept"), torn);
    let next = records(home.logs().last().expect("a log"));
    let [said] = of_kind(&next, "torn")[..] else { panic!("one record: {next:#?}") };
    assert_eq!(said["file"], log.file_name().and_then(|name| name.to_str()).expect("a name"));
    assert_eq!((said["records"].as_u64(), said["bytes"].as_u64()), (Some(11), Some(torn.len() as u64)));
    // It was looked at, and is not again.
    let third = Launch::new(&home).start();
    third.finish();
    assert!(of_kind(&records(home.logs().last().expect("a log")), "torn").is_empty());
}

#[test]
fn beside_a_log_that_was_changed_no_gate_starts_until_a_person_has_said_why() {
    let upstream = Recorder::plain();
    let home = killed(&upstream);
    let [log] = &home.logs()[..] else { panic!("one log") };
    let whole = fs::read_to_string(log).expect("read");
    let changed = whole.replacen("\"verdict\":\"allow\"", "\"verdict\":\"deny\"", 1);
    assert_ne!(changed, whole);
    fs::write(log, &changed).expect("changed");
    let refused = Launch::new(&home).refused();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("line 3") && said.contains("portcullis audit acknowledge"), "{said}");
    assert_eq!(home.logs().len(), 1, "no other log was begun");

    assert_eq!(acknowledge(&home, log, " ").status.code(), Some(2), "a reason is asked for");
    let done = acknowledge(&home, log, "the disk was restored from a copy");
    assert!(done.status.success(), "{done:?}");
    let gate = Launch::new(&home).start();
    gate.leave();
    let all = home.records();
    let [said] = of_kind(&all, "acknowledge")[..] else { panic!("one record") };
    assert_eq!(said["reason"], "the disk was restored from a copy");
    assert!(said["uid"].is_u64() && said["error"].as_str().is_some_and(|error| error.contains("line 3")), "{said}");

    // For that content, and no other.
    fs::write(log, changed.replacen("\"verdict\":\"allow\"", "\"verdict\":\"deny\"", 1)).expect("changed again");
    assert_eq!(Launch::new(&home).refused().status.code(), Some(2));
}

#[test]
fn a_log_that_verifies_is_not_acknowledged() {
    let upstream = Recorder::plain();
    let home = killed(&upstream);
    let said = acknowledge(&home, &home.logs()[0], "no reason");
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("nothing to acknowledge"), "{said:?}");
}

#[test]
fn two_gates_in_one_directory_write_a_log_each_and_leave_each_other_alone() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    let mut first = Launch::new(&home).start();
    assert!(first.get(GOOD).is_success());
    let mut second = Launch::new(&home).start();
    for _ in 0..3 {
        assert!(first.get(GOOD).is_success() && second.get(GOOD).is_success());
    }
    assert_eq!(home.logs().len(), 2);
    let live = home.verify();
    assert!(live.status.success(), "{live:?}");
    assert!(String::from_utf8_lossy(&live.stdout).contains("chained, not anchored"), "{live:?}");
    second.finish();
    first.finish();
    assert!(of_kind(&home.records(), "torn").is_empty());
}

#[test]
fn another_key_is_a_record_of_the_next_log() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    Launch::new(&home).start().finish();
    let kept = home.path().join("old.pub");
    fs::copy(home.state().join("checkpoint.pub"), &kept).expect("the old public key is kept");
    for name in ["checkpoint.key", "checkpoint.pub", "digest.key"] {
        fs::remove_file(home.state().join(name)).expect("taken away");
    }
    let gate = Launch::new(&home).start();
    gate.leave();
    let all = home.records();
    let starts = of_kind(&all, "start");
    let keys = of_kind(&all, "key");
    let [digests, checkpoints] = keys[..] else { panic!("two records: {keys:?}") };
    for (record, of, member) in [(digests, "digests", "key"), (checkpoints, "checkpoints", "signer")] {
        assert_eq!(record["of"], of);
        assert_eq!((&record["before"], &record["now"]), (&starts[0][member], &starts[1][member]));
    }
    assert_eq!(home.verify().status.code(), Some(1), "the old log is of a key that is not there");
    let mut command = binary();
    command.args(["audit", "verify"]).arg(home.state());
    for key in [&kept, &home.state().join("checkpoint.pub")] {
        command.arg("--key").arg(key);
    }
    let both = command.output().expect("the binary runs");
    assert!(both.status.success(), "{both:?}");
}

#[test]
fn a_log_with_a_second_name_or_open_to_others_stops_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Recorder::plain();
    let home = killed(&upstream);
    let log = &home.logs()[0];
    let second = home.path().join("second");
    fs::hard_link(log, &second).expect("linked");
    let refused = Launch::new(&home).refused();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("second name"), "{refused:?}");
    fs::remove_file(&second).expect("removed");
    fs::set_permissions(log, fs::Permissions::from_mode(0o644)).expect("opened");
    let refused = Launch::new(&home).refused();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chmod go="), "{refused:?}");
    fs::set_permissions(log, fs::Permissions::from_mode(0o600)).expect("closed");
    Launch::new(&home).start().finish();
}

#[test]
fn strict_since_and_json_say_what_is_anchored() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    let mut gate: Gate = Launch::new(&home).start();
    assert!(gate.get(GOOD).is_success());
    let run = |words: &[&str]| {
        let output = binary().arg("audit").args(words).output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned())
    };
    let state = home.state().to_str().expect("a name").to_owned();
    assert_eq!(run(&["verify", &state]).0, Some(0), "a live log");
    assert_eq!(run(&["verify", &state, "--strict"]).0, Some(1), "a live log is not anchored to its end");
    gate.finish();
    assert_eq!(run(&["verify", &state, "--strict"]).0, Some(0));
    let (code, line) = run(&["checkpoint", &state]);
    assert_eq!(code, Some(0), "{line}");
    assert_eq!(run(&["verify", &state, "--since", line.trim()]).0, Some(0));
    let file = home.path().join("kept");
    fs::write(&file, &line).expect("written");
    let kept = file.to_str().expect("a name");
    assert_eq!(run(&["verify", &state, "--since", kept]).0, Some(0));
    let (_, json) = run(&["verify", &state, "--since", kept, "--format", "json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["logs"][0]["ok"], &json["logs"][0]["unanchored"]), (&Value::from(true), &Value::from(0)));

    // Cut at the first checkpoint there is, with the head file gone: only what was kept elsewhere tells.
    let log = &home.logs()[0];
    let whole = fs::read_to_string(log).expect("read");
    let short: String = whole.split_inclusive('\n').take(2).collect();
    fs::write(log, short).expect("cut");
    fs::remove_file(log.with_extension("head")).expect("removed");
    assert_eq!(run(&["verify", &state]).0, Some(0), "nothing tells of more");
    let (code, said) = run(&["verify", &state, "--since", kept]);
    assert!(code == Some(1) && said.contains("cut off"), "{said}");
    fs::remove_file(log).expect("removed");
    fs::copy(home.policy(), home.state().join("audit-other.jsonl")).expect("another file");
    let (code, said) = run(&["verify", &state, "--since", kept]);
    assert!(code == Some(1) && said.contains("is not here"), "{said}");
}
