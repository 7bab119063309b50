//! What a start and an auditor's commands do not take for good: logs of keys that nobody knows, pipes and links in the place of
//! files, names that are no log's, words that nothing can match.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
};

use rustix::{
    fs::{CWD, FileType, mknodat},
    process::Signal,
};
use serde_json::Value;

use super::common::{
    gate::{Home, Launch, binary},
    policy,
    recorder::Recorder,
};

const GOOD: &str = "/api/v1/organization/1";
const KEYS: [&str; 2] = ["checkpoint.key", "checkpoint.pub"];

fn audit(words: &[&str], path: &Path) -> Output {
    let mut command = binary();
    let (first, rest) = words.split_first().expect("a command");
    command.args(["audit", first]).arg(path).args(rest).stdin(Stdio::null()).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

/// Starts a gate that makes one call and is killed.
fn kill_one(home: &Arc<Home>) {
    let mut gate = Launch::new(home).start();
    assert!(gate.get(GOOD).is_success());
    gate.signal(Signal::KILL);
    gate.expect_killed();
}

fn listing(directory: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(directory).expect("a directory");
    files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).expect("a pipe");
}

#[test]
fn beside_a_log_of_a_key_that_no_record_names_no_gate_starts_until_a_person_has_said_why() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    kill_one(&home);
    let [log] = &home.logs()[..] else { panic!("one log") };
    for name in KEYS {
        fs::remove_file(home.state().join(name)).expect("taken away");
    }
    let refused = Launch::new(&home).refused();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let text = said(&refused);
    assert!(text.contains("none of those that are known") && text.contains("audit acknowledge"), "{text}");
    let done = audit(&["acknowledge", "--reason", "the key was lost"], log);
    assert!(done.status.success(), "{done:?}");
    Launch::new(&home).start().leave();
}

#[test]
fn a_log_of_an_earlier_key_is_taken_where_a_signed_record_names_that_key() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    kill_one(&home);
    let [crashed] = &home.logs()[..] else { panic!("one log") };
    let away = home.path().join("away.jsonl");
    fs::rename(crashed, &away).expect("taken away");
    fs::remove_file(crashed.with_extension("head")).ok();
    Launch::new(&home).start().finish();
    for name in KEYS {
        fs::remove_file(home.state().join(name)).expect("taken away");
    }
    Launch::new(&home).start().leave();
    // The gate with the new key has recorded the old one, so that a log of that is none of a stranger's.
    fs::rename(&away, crashed).expect("put back");
    Launch::new(&home).start().leave();
    assert!(home.records().iter().any(|record| record["kind"] == "key" && record["of"] == "checkpoints"));
    // A third key's is one.
    let other = Home::new(&policy::a(&upstream));
    kill_one(&other);
    let [foreign] = &other.logs()[..] else { panic!("one log") };
    fs::copy(foreign, home.state().join(foreign.file_name().expect("a name"))).expect("copied");
    assert_eq!(Launch::new(&home).refused().status.code(), Some(2));
}

#[test]
fn only_a_log_of_a_state_directory_is_acknowledged_and_nothing_is_left_anywhere_else() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    kill_one(&home);
    let [log] = &home.logs()[..] else { panic!("one log") };
    let text = fs::read_to_string(log).expect("a log");
    fs::write(log, text.replacen("\"verdict\":\"allow\"", "\"verdict\":\"deny\"", 1)).expect("changed");
    let elsewhere = home.path().join(log.file_name().expect("a name"));
    fs::copy(log, &elsewhere).expect("copied");
    let link = log.with_file_name("audit-20200101T000000.000Z-1.jsonl");
    std::os::unix::fs::symlink(log, &link).expect("linked");
    let before = (listing(home.path()), listing(&home.state()));
    let others = [home.policy(), home.state().join("digest.key"), elsewhere, link.clone(), home.state()];
    for path in &others {
        let refused = audit(&["acknowledge", "--reason", "why not"], path);
        assert_eq!(refused.status.code(), Some(2), "{}: {refused:?}", path.display());
    }
    assert_eq!((listing(home.path()), listing(&home.state())), before, "nothing was made");
    fs::remove_file(link).expect("removed");

    assert!(audit(&["acknowledge", "--reason", "a \u{1b}[2J test"], log).status.success());
    for path in [home.state(), log.clone()] {
        let known = audit(&["verify"], &path);
        assert_eq!(known.status.code(), Some(1), "it stays a doubt: {known:?}");
        let text = said(&known);
        assert!(text.contains("acknowledged by user") && text.contains("because: a \\u{1b}[2J test"), "{text}");
    }
    let json = audit(&["verify", "--format", "json"], log);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["logs"][0]["acknowledged"]["reason"], "a \u{1b}[2J test");
}

#[test]
fn pipes_in_the_place_of_files_hold_no_start_and_no_auditor_up() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    Launch::new(&home).start().finish();
    let [log] = &home.logs()[..] else { panic!("one log") };
    let closed = home.state().join("audit.closed");
    pipe(&closed);
    Launch::new(&home).start().finish();
    assert!(closed.is_file(), "it only spares work, and is written anew");
    for path in [log.with_extension("head"), home.state().join("checkpoint.pub"), log.clone()] {
        let kept = home.path().join("kept");
        fs::rename(&path, &kept).expect("taken away");
        pipe(&path);
        for command in ["verify", "show", "stats", "checkpoint"] {
            let refused = audit(&[command], &home.state());
            assert!(matches!(refused.status.code(), Some(1 | 2)), "{} and {command}: {refused:?}", path.display());
            assert!(said(&refused).contains("not a regular file"), "{refused:?}");
        }
        fs::remove_file(&path).expect("removed");
        fs::rename(&kept, &path).expect("put back");
    }
    let public = home.state().join("checkpoint.pub");
    fs::remove_file(&public).expect("removed");
    pipe(&public);
    assert_eq!(Launch::new(&home).refused().status.code(), Some(2));
}

#[test]
fn what_is_no_log_does_not_verify() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    Launch::new(&home).start().finish();
    let [log] = &home.logs()[..] else { panic!("one log") };
    let link = home.path().join("link.jsonl");
    std::os::unix::fs::symlink(log, &link).expect("linked");
    for path in [Path::new("/dev/null"), Path::new("/dev/zero"), &link] {
        let refused = audit(&["verify"], path);
        assert_eq!(refused.status.code(), Some(2), "{}: {refused:?}", path.display());
    }
    let renamed = home.state().join("renamed.jsonl");
    fs::rename(log, &renamed).expect("renamed");
    for path in [home.state(), renamed] {
        let refused = audit(&["verify"], &path);
        assert_eq!(refused.status.code(), Some(1), "{}: {refused:?}", path.display());
        assert!(said(&refused).contains("renamed"), "{refused:?}");
    }
}

#[test]
fn words_that_no_call_can_match_are_refused_with_the_right_ones() {
    let home = Home::new("");
    for (option, wrong, right) in [
        ("--verdict", "foo", "refuse"),
        ("--code", "zz", "upstream_timeout"),
        ("--status", "9xx", "1xx to 5xx"),
        ("--status", "700", "100 to 599"),
    ] {
        for command in ["show", "tail", "stats"] {
            let refused = audit(&[command, option, wrong], home.path());
            assert_eq!(refused.status.code(), Some(2), "{command} {option}: {refused:?}");
            assert!(said(&refused).contains(right), "{command} {option}: {refused:?}");
        }
    }
}
