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
    forget_the_key(&home);
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
    forget_the_key(&home);
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

fn forget_the_key(home: &Home) {
    for name in KEYS {
        fs::remove_file(home.state().join(name)).expect("taken away");
    }
}

#[test]
fn an_unknown_key_is_an_earlier_one_only_while_the_own_key_has_signed_no_log() {
    let upstream = Recorder::plain();
    let (home, other) = (Home::new(&policy::a(&upstream)), Home::new(&policy::a(&upstream)));
    // Keys that are exchanged: each is named by the first log of the next, and is known from then on.
    for _ in 0..2 {
        Launch::new(&home).start().leave();
        forget_the_key(&home);
    }
    Launch::new(&home).start().leave();
    let of_keys = |home: &Home| {
        let records = home.records();
        records.iter().filter(|record| record["kind"] == "key" && record["of"] == "checkpoints").count()
    };
    assert_eq!(of_keys(&home), 3, "the second log names one, the third both");
    fs::remove_file(home.state().join("audit.closed")).expect("removed");
    Launch::new(&home).start().leave();
    // And a log that somebody put there, which ended in order as its own key says.
    Launch::new(&other).start().finish();
    let [foreign] = &other.logs()[..] else { panic!("one log") };
    let planted = home.state().join(foreign.file_name().expect("a name"));
    fs::copy(foreign, &planted).expect("copied");
    let refused = Launch::new(&home).refused();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let text = said(&refused);
    for part in ["none of those that are known", "audit acknowledge", &*planted.to_string_lossy()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(audit(&["acknowledge", "--reason", "it was moved here"], &planted).status.success());
    Launch::new(&home).start().leave();
    assert_eq!(of_keys(&home), 3, "an acknowledgement makes no key an earlier one");
}

#[test]
fn a_log_that_ended_in_order_is_known_by_a_signed_end_alone() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    Launch::new(&home).start().finish();
    let [log] = &home.logs()[..] else { panic!("one log") };
    let mut text = fs::read(log).expect("a log");
    // A letter of the last signature.
    let at = text.len() - 30;
    text[at] = if text[at] == b'A' { b'B' } else { b'A' };
    fs::write(log, text).expect("changed");
    let refused = Launch::new(&home).refused();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let text = said(&refused);
    assert!(text.contains("not signed with the log's key") && text.contains("audit acknowledge"), "{text}");
}

#[test]
fn a_log_in_the_place_of_another_is_a_doubt_that_names_both() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    for _ in 0..2 {
        Launch::new(&home).start().finish();
    }
    let [one, other] = &home.logs()[..] else { panic!("two logs") };
    for ending in ["jsonl", "head"] {
        fs::copy(one.with_extension(ending), other.with_extension(ending)).expect("overwritten");
    }
    let doubt = audit(&["verify"], &home.state());
    assert_eq!(doubt.status.code(), Some(1), "{doubt:?}");
    let text = said(&doubt);
    assert!(text.contains(&format!("{}: the same log as `{}`", other.display(), one.display())), "{text}");
    let json = audit(&["verify", "--format", "json"], &home.state());
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["copies"], serde_json::json!([[one, other]]));
}

#[test]
fn the_checkpoints_of_several_logs_are_kept_in_one_file() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    for _ in 0..2 {
        Launch::new(&home).start().finish();
    }
    let kept = home.path().join("kept");
    let printed = audit(&["checkpoint"], &home.state());
    assert_eq!(printed.stdout.iter().filter(|byte| **byte == b'\n').count(), 2, "{printed:?}");
    fs::write(&kept, &printed.stdout).expect("kept");
    let since = ["verify", "--since", kept.to_str().expect("a name")];
    let good = audit(&since, &home.state());
    assert!(good.status.success(), "{good:?}");
    let gone = &home.logs()[1];
    for ending in ["jsonl", "head"] {
        fs::remove_file(gone.with_extension(ending)).expect("deleted");
    }
    assert!(audit(&["verify"], &home.state()).status.success(), "nothing else tells");
    assert_eq!(audit(&since, &home.state()).status.code(), Some(1));
    fs::write(&kept, [&*printed.stdout, b"nonsense\n"].concat()).expect("kept");
    assert_eq!(audit(&since, &home.state()).status.code(), Some(2), "a line that is no checkpoint is no file of them");
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
    let other = home.state().join("other.jsonl");
    for (text, code) in
        [("nonsense", 1), ("{\"v\":2,\"seq\":0,\"ti", 0), ("{\"v\":2,\"se\0\0\0", 0), ("{\"v\":2,\"se\0x", 1)]
    {
        fs::write(&other, text).expect("written");
        let found = audit(&["verify"], &other);
        assert_eq!(found.status.code(), Some(code), "{text:?}: {found:?}");
    }
    fs::remove_file(&other).expect("removed");
    let nowhere = audit(&["show"], &home.path().join("nowhere"));
    assert!(nowhere.status.code() == Some(2) && !said(&nowhere).contains("no key"), "{nowhere:?}");
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
