//! How a gate begins and ends: drained at the end of input and on SIGTERM, quiet where a call is
//! cancelled, unmoved by noise; and where it must not start, one clear sentence.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    process::Output,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::common::{
    Dice, MEMORY_CAP_KIB, eventually,
    gate::{Gate, Home, LEGACY, Launch, binary, cancel, ended},
    policy::{self, TOKEN},
    recorder::{Recorder, Reply, held_upstream},
    rounds,
};

const GOOD: &str = "/api/v1/organization/1";
const SLOW: &str = r#"{"path":"/api/v1/organization/slow"}"#;

/// The call in flight was answered, is on record, and the log is closed after it.
fn assert_drained(mut gate: Gate, id: &str) {
    assert!(gate.answer(id).is_success(), "the call in flight is answered");
    assert_eq!(gate.rest(), Vec::<Value>::new());
    let status = gate.exit();
    assert!(status.success(), "{status}; stderr: {}", gate.stderr());
    let records = gate.home.records();
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["start", "question", "answer", "stop", "checkpoint"], "{records:#?}");
    assert!(gate.home.verify().status.success());
}

#[test]
fn a_call_in_flight_at_the_end_of_input_is_finished_and_answered() {
    let (upstream, release) = held_upstream();
    let mut gate = Gate::start(&policy::a(&upstream));
    let id = gate.begin("api_get", SLOW);
    upstream.wait_for(1);
    gate.close_stdin();
    release.send(()).expect("the upstream waits");
    assert_drained(gate, &id);
}

#[test]
fn a_call_in_flight_at_sigterm_is_finished_and_answered() {
    let (upstream, release) = held_upstream();
    let mut gate = Gate::start(&policy::a(&upstream));
    let id = gate.begin("api_get", SLOW);
    upstream.wait_for(1);
    gate.signal(Signal::TERM);
    release.send(()).expect("the upstream waits");
    assert_drained(gate, &id);
}

#[test]
fn a_write_in_flight_at_sigterm_is_finished_and_answered() {
    let (upstream, release) = held_upstream();
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let id = gate.begin("api_send", r#"{"method":"PATCH","path":"/api/v1/service_item/slow/labels/","body":{}}"#);
    upstream.wait_for(1);
    gate.signal(Signal::TERM);
    release.send(()).expect("the upstream waits");
    assert_drained(gate, &id);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn sigterm_ends_a_gate_that_has_nothing_to_do_and_one_that_heard_nothing() {
    let upstream = Recorder::plain();
    for warm in [true, false] {
        let mut gate = Gate::start(&policy::a(&upstream));
        if warm {
            assert!(gate.get(GOOD).is_success());
        } else {
            gate.log_until("it has started", |records| !records.is_empty());
        }
        gate.signal(Signal::TERM);
        let status = gate.exit();
        assert!(status.success(), "warm {warm}: {status}; stderr: {}", gate.stderr());
        assert!(ended(&gate.home.records()), "warm {warm}");
    }
}

#[test]
fn a_gate_that_hears_nothing_at_all_ends_well() {
    let upstream = Recorder::plain();
    let gate = Gate::start(&policy::a(&upstream));
    assert_eq!(gate.finish(), Vec::<Value>::new());
}

#[test]
fn a_cancelled_call_is_not_answered_and_is_on_record_as_cancelled() {
    for legacy in [None, Some("2025-06-18")] {
        let (upstream, release) = held_upstream();
        let policy = policy::a(&upstream);
        let mut gate = legacy.map_or_else(|| Gate::start(&policy), |version| Gate::legacy(&policy, version));
        let id = gate.begin("api_get", SLOW);
        upstream.wait_for(1);
        gate.send(
            &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
                .to_string(),
        );
        gate.log_until("the call is closed as cancelled", |records| {
            records.iter().any(|record| record["kind"] == "answer" && record["code"] == "cancelled")
        });
        assert!(gate.get(GOOD).is_success(), "the next call is served while the upstream still hangs");
        assert_eq!(gate.finish(), Vec::<Value>::new(), "{legacy:?}: no answer to a cancelled call");
        drop(release);
    }
}

#[test]
fn a_write_that_is_cancelled_under_way_is_seen_through_and_its_outcome_is_on_record() {
    let (upstream, release) = held_upstream();
    let mut gate = Gate::start(&policy::b(&upstream, policy::NEVER));
    let id = gate.begin("api_send", r#"{"method":"PATCH","path":"/api/v1/service_item/slow/labels/","body":{}}"#);
    upstream.wait_for(1);
    gate.send(&cancel(&id));
    assert!(gate.get(GOOD).is_success(), "the cancel was heard");
    release.send(()).expect("the upstream waits");
    let records = gate.log_until("both calls are closed", |records| {
        records.iter().filter(|record| record["kind"] == "answer").count() == 2
    });
    let write = records.iter().find(|record| record["method"] == "PATCH").expect("an intent");
    let outcome = records.iter().find(|record| record["kind"] == "answer" && record["call"] == write["call"]);
    assert_eq!(outcome.expect("an outcome")["status"], 200, "{records:#?}");
    assert_eq!(gate.finish(), Vec::<Value>::new(), "no answer to a cancelled call");
}

#[test]
fn noise_is_answered_or_ignored_and_never_ends_the_gate() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    let good = gate.call_line("good", "api_get", &json!({ "path": GOOD }).to_string()).into_bytes();
    let mut dice = Dice::seeded(7);
    for _ in 0..rounds(2_000, 100_000) {
        let mut line = good.clone();
        // A good frame with a few bytes changed, cut or doubled: most are refused for their own reason.
        for _ in 0..=dice.below(3) {
            let at = usize::try_from(dice.below(line.len() as u64)).expect("small");
            match dice.below(4) {
                0 => line.truncate(at + 1),
                1 => drop(line.remove(at)),
                2 => line.insert(at, u8::try_from(dice.below(256)).expect("a byte")),
                _ => line[at] = u8::try_from(dice.below(256)).expect("a byte"),
            }
            if line.is_empty() {
                line.push(b'{');
            }
        }
        line.push(b'\n');
        gate.send_bytes(&line);
    }
    assert!(gate.get(GOOD).is_success(), "alive after it");
    assert!(gate.peak_memory() < MEMORY_CAP_KIB, "{} KiB", gate.peak_memory());
    for seen in upstream.seen() {
        assert!(seen.target().starts_with("/api/v1/organization/"), "{}", seen.head);
        assert_eq!(seen.method(), "GET", "{}", seen.head);
    }
    gate.finish();
}

#[test]
fn unix_sockets_as_stdin_and_stdout_serve_like_pipes() {
    let upstream = Recorder::plain();
    let mut gate = Launch::new(&Home::new(&policy::a(&upstream))).sockets().start();
    for _ in 0..100 {
        assert!(gate.get(GOOD).is_success());
    }
    gate.finish();
    let mut gate = Launch::new(&Home::new(&policy::a(&upstream))).sockets().start();
    gate.initialize(LEGACY[2]);
    assert!(gate.get(GOOD).is_success());
    gate.finish();
    assert_eq!(upstream.count(), 101);
}

#[test]
fn many_calls_at_once_are_each_answered_once_with_their_own_answer() {
    let upstream = Recorder::start(|seen| Reply::json(json!(seen.target()).to_string()));
    let mut gate =
        Gate::start(&policy::a(&upstream).replace("concurrency = 64", "concurrency = 64\nmax_wait = \"1min\""));
    let calls: Vec<_> = (0..1_000)
        .map(|number| {
            let path = format!("/api/v1/organization/{number}");
            (gate.begin("api_get", &json!({ "path": path }).to_string()), path)
        })
        .collect();
    for (id, path) in calls {
        assert_eq!(gate.answer(&id).text(), json!(path).to_string());
    }
    gate.finish();
}

#[test]
fn a_call_over_its_rate_is_throttled_with_the_seconds_to_wait() {
    let upstream = Recorder::plain();
    let limits = "[limits]\nrate = \"1/day\"\nburst = 2\nmax_wait = \"0s\"\n";
    let mut gate = Gate::start(&policy::a(&upstream).replace(policy::OPEN_LIMITS, limits));
    let answers: Vec<_> = (0..5).map(|_| gate.get(GOOD)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_success()).count(), 2, "{answers:?}");
    for answer in answers.iter().filter(|answer| !answer.is_success()) {
        let refusal = answer.refusal();
        assert_eq!(refusal["code"], "throttled");
        assert!(refusal["retry_after_seconds"].as_u64().is_some_and(|seconds| seconds > 0), "{refusal}");
    }
    gate.finish();
    assert_eq!(upstream.count(), 2);
}

/// Refused with `code`, nothing on stdout, and one sentence on stderr, beside what is logged there,
/// that says all of `words`.
fn assert_one_sentence(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "stdout belongs to MCP: {output:?}");
    let said: Vec<_> = stderr.lines().filter(|line| !line.contains(" WARN portcullis::")).collect();
    let [sentence] = said[..] else { panic!("one sentence: {stderr}") };
    assert!(sentence.starts_with("portcullis: "), "{sentence}");
    for word in words {
        assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
    }
    for word in ["panicked", "Error {", "Os {", "Custom {", "RUST_BACKTRACE", "Caused by"] {
        assert!(!stderr.contains(word), "`{word}` is in: {stderr}");
    }
}

#[test]
fn a_wrong_policy_never_starts_and_every_fault_is_named_with_its_place() {
    let upstream = Recorder::plain();
    let policy = policy::a(&upstream)
        .replace("version = 1", "version = 1\nallow_everything = true")
        .replace(r#"["GET"]"#, r#"["get"]"#);
    let home = Home::new(&policy);
    let output = Launch::new(&home).refused();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "stdout belongs to MCP: {output:?}");
    assert!(stderr.contains("policy.toml:2:1"), "the unknown key: {stderr}");
    assert!(stderr.contains("allow_everything"), "{stderr}");
    for (number, _) in policy.lines().enumerate().filter(|(_, line)| line.contains(r#""get""#)) {
        assert!(
            stderr.contains(&format!("policy.toml:{}:", number + 1)),
            "the method in line {}: {stderr}",
            number + 1
        );
    }
    assert!(home.logs().is_empty(), "nothing was begun");
}

#[test]
fn an_address_of_this_machine_is_refused_by_check_and_serve_alike_and_never_dialled() {
    let upstream = Recorder::plain();
    let policy = policy::a(&upstream).replace("http://", "https://");
    let line = policy.lines().position(|line| line.starts_with("base_url")).expect("a base URL") + 1;
    let home = Home::new(&policy);
    let check = binary().arg("check").arg(home.policy()).output().expect("it runs");
    for output in [check, Launch::new(&home).refused()] {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("error[refused-address]") && stderr.contains("allow_private = true"), "{stderr}");
        assert!(stderr.contains(&format!("policy.toml:{line}:12")), "{stderr}");
    }
    assert_eq!(upstream.connections(), 0);
    home.rewrite(&policy.replace("allow_http", "allow_private"));
    assert_eq!(binary().arg("check").arg(home.policy()).output().expect("it runs").status.code(), Some(0));
}

#[test]
fn a_policy_that_is_not_there_is_one_sentence() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    fs::remove_file(home.policy()).expect("it was there");
    assert_one_sentence(&Launch::new(&home).refused(), 2, &["policy.toml"]);
}

#[test]
fn a_missing_secret_is_one_sentence() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    assert_one_sentence(&Launch::new(&home).without_token().refused(), 2, &[TOKEN]);
    assert_one_sentence(&Launch::new(&home).env(TOKEN, "").refused(), 2, &[TOKEN]);
    let env = format!("{{ env = \"{TOKEN}\" }}");
    home.rewrite(&policy::a(&upstream).replace(&env, "{ file = \"no.token\" }"));
    assert_one_sentence(&Launch::new(&home).refused(), 2, &["no.token"]);
}

#[test]
fn a_secret_file_that_others_may_read_or_that_is_a_link_is_one_sentence() {
    let upstream = Recorder::plain();
    let env = format!("{{ env = \"{TOKEN}\" }}");
    let home = Home::new(&policy::a(&upstream).replace(&env, "{ file = \"api.token\" }"));
    let token = home.path().join("api.token");
    fs::write(&token, home.canary.secret()).expect("written");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("opened up");
    assert_one_sentence(&Launch::new(&home).without_token().refused(), 2, &["api.token"]);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("closed");
    fs::rename(&token, home.path().join("real.token")).expect("moved");
    std::os::unix::fs::symlink("real.token", &token).expect("linked");
    assert_one_sentence(&Launch::new(&home).without_token().refused(), 2, &["api.token"]);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_one_sentence() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    fs::write(home.path().join("file"), "").expect("written");
    assert_one_sentence(&Launch::new(&home).state(&home.path().join("file/state")).refused(), 2, &["file/state"]);
    // Nobody, not even root, makes a directory there.
    assert_one_sentence(&Launch::new(&home).state("/proc/self/state".as_ref()).refused(), 2, &["/proc/self/state"]);
}

#[test]
fn a_state_directory_that_others_may_write_is_one_sentence() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    fs::create_dir(home.state()).expect("made");
    fs::set_permissions(home.state(), fs::Permissions::from_mode(0o777)).expect("opened up");
    assert_one_sentence(&Launch::new(&home).refused(), 2, &["state"]);
}

#[test]
fn a_policy_that_others_may_write_never_starts() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    fs::set_permissions(home.policy(), fs::Permissions::from_mode(0o666)).expect("opened up");
    let output = Launch::new(&home).refused();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("policy.toml"), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_gate_drops_no_core_file_and_is_closed_to_other_processes() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    assert!(gate.get(GOOD).is_success(), "it has started");
    let process = format!("/proc/{}", gate.pid.as_raw_nonzero());
    let limits = fs::read_to_string(format!("{process}/limits")).expect("limits are open to all");
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a core limit");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"], "{limits}");
    // The files of a process that is not dumpable belong to root, whoever runs it, and nobody else reads them.
    let owner = fs::metadata(format!("{process}/environ")).expect("the gate runs").uid();
    assert_eq!(owner, 0);
    if !rustix::process::geteuid().is_root() {
        let read = fs::read(format!("{process}/environ")).map_err(|error| error.kind());
        assert_eq!(read, Err(ErrorKind::PermissionDenied));
    }
    gate.finish();
}

#[test]
fn two_gates_on_one_state_directory_each_keep_a_log_of_their_own() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream));
    let (mut one, mut two) = (Launch::new(&home).start(), Launch::new(&home).start());
    assert!(one.get(GOOD).is_success());
    assert!(two.get(GOOD).is_success());
    eventually("both logs are there", || home.logs().len() == 2);
    one.finish();
    two.finish();
    assert_eq!(home.records().iter().filter(|record| record["kind"] == "question").count(), 2);
}

#[test]
fn a_lock_that_another_process_holds_is_one_sentence() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream).replace(r#""unlimited""#, "10"));
    fs::create_dir(home.state()).expect("made");
    fs::set_permissions(home.state(), fs::Permissions::from_mode(0o700)).expect("closed");
    let count = home.state().join("daily");
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&count).expect("made");
    file.lock().expect("nobody else holds it");
    assert_one_sentence(&Launch::new(&home).refused(), 2, &["daily", "locked by another process"]);
    assert!(home.logs().is_empty(), "nothing was begun");
    drop(file);
    let mut gate = Launch::new(&home).start();
    assert!(gate.get(GOOD).is_success(), "once it is let go");
    gate.finish();
}

#[test]
fn the_calls_of_a_day_are_counted_over_all_gates_of_one_state_directory() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::a(&upstream).replace(r#""unlimited""#, "5"));
    for passes in [3, 2, 0] {
        let mut gate = Launch::new(&home).start();
        for _ in 0..passes {
            assert!(gate.get(GOOD).is_success());
        }
        if passes < 3 {
            let refusal = gate.get(GOOD).refusal();
            assert_eq!(refusal["code"], "throttled");
            assert!(refusal["retry_after_seconds"].as_u64().is_some_and(|seconds| seconds > 0), "{refusal}");
        }
        gate.finish();
    }
    assert_eq!(upstream.count(), 5);
}
