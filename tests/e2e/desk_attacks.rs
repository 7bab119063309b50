//! The desk under attack: by whoever can open its socket, by a process that pretends to be a gateway, by what an agent puts
//! into a request, and by links, files and modes in the state directory.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    sync::Arc,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::common::{
    MEMORY_CAP_KIB,
    desk::{Desk, Impostor, PROMPT, digest, hear, held_code, speak, tell, word},
    gate::{Client, Gate, Home, Launch, MODERN},
    policy,
    recorder::Recorder,
};

const PENDING: &[u8] = b"{\"do\":\"pending\"}\n";

fn labels(item: &str) -> Value {
    json!({ "method": "PATCH", "path": format!("/api/v1/service_item/{item}/labels/"), "body": {} })
}

/// A gate under policy B, its desk, and a write that waits: its code.
fn waiting(upstream: &Recorder) -> (Gate, Desk, String) {
    let mut gate = Gate::start(&policy::b(upstream, ""));
    let desk = Desk::of(&gate.home);
    let code = held_code(&gate.call("api_send", &labels("7")));
    (gate, desk, code)
}

/// Whether a terminal does nothing with a text but show it, and a person sees every character.
fn is_harmless(text: &str) -> bool {
    let acts =
        |c: char| (c.is_control() && c != '\n' && c != '\r') || "\u{200b}\u{200e}\u{202e}\u{2066}\u{feff}".contains(c);
    !text.contains(acts)
}

#[test]
fn whatever_is_said_at_the_socket_approves_nothing_and_the_gate_lives() {
    let upstream = Recorder::plain();
    let (mut gate, desk, code) = waiting(&upstream);
    let socket = desk.await_sockets(1).remove(0);
    let digest = digest(&desk, &code);
    let approve = format!(r#"{{"do":"approve","code":"{code}","digest":"{digest}","typed":null}}"#);
    let orders = [
        String::new(),
        "\n".to_owned(),
        "\0\n".to_owned(),
        "{}\n".to_owned(),
        "[]\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "{\"do\":\"shutdown\"}\n".to_owned(),
        "{\"do\":\"pending\",\"more\":1}\n".to_owned(),
        format!("{}\n", "[".repeat(4_000)),
        format!("{}\n", "x".repeat(1 << 20)),
        "y".repeat(1 << 20),
        // Half a line is none, however whole it looks.
        approve.clone(),
        format!("{approve} {approve}\n"),
        format!("{}{approve}\n", " ".repeat(4 << 10)),
        format!("{}\n", approve.replace(&digest, "")),
        format!("{}\n", approve.replace(&digest, &"0".repeat(64))),
        format!("{}\n", approve.replace(&digest, &digest.to_uppercase())),
        format!("{}\n", approve.replace(&code, &code.to_lowercase())),
    ];
    for order in &orders {
        let answer = speak(&socket, order.as_bytes());
        let said: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
        let short: String = order.chars().take(60).collect();
        assert!(answer.is_empty() || said["said"] == "refused" || said["said"] == "gone", "{short}: {answer}");
        assert!(answer.len() < 1_000 && is_harmless(&answer), "{short}: {answer}");
    }
    assert_eq!(speak(&socket, b"\xff\xfe\n"), speak(&socket, b"{}\n"));
    assert_eq!(held_code(&gate.call("api_send", &labels("7"))), code, "it still waits");
    assert!(speak(&socket, PENDING).contains(&code));
    assert_eq!(upstream.count(), 0);
    gate.finish();
}

#[test]
fn desks_that_say_nothing_keep_nobody_waiting() {
    let upstream = Recorder::plain();
    let (mut gate, desk, code) = waiting(&upstream);
    let socket = desk.await_sockets(1).remove(0);
    let idle: Vec<_> = (0..200).map(|n| tell(&socket, if n % 2 == 0 { b"" } else { b"{\"do\":" })).collect();
    // A desk has given up after five seconds; before all of these had, it would have been minutes.
    desk.approve(&code);
    assert!(gate.call("api_send", &labels("7")).is_success());
    drop(idle);
    gate.finish();
}

#[test]
fn desks_that_come_all_at_once_are_all_served() {
    let upstream = Recorder::plain();
    let (mut gate, desk, code) = waiting(&upstream);
    let socket = desk.await_sockets(1).remove(0);
    gate.signal(Signal::STOP);
    let desks: Vec<_> = (0..100).map(|_| tell(&socket, PENDING)).collect();
    gate.signal(Signal::CONT);
    let answers: Vec<_> = desks.into_iter().map(hear).collect();
    let heard = answers.iter().filter(|answer| answer.contains(&code)).count();
    assert_eq!(heard, answers.len(), "{answers:?}");
    gate.finish();
}

/// A write whose message is as long in JSON as a message can be.
fn longest(number: usize) -> Value {
    let signs = "\\\"".repeat(1_200);
    json!({
        "method": "PATCH",
        "path": format!("/api/v1/service_item/{number}{}/labels/", "a".repeat(900)),
        "query": { "q": "\\".repeat(1_500), "r": "\"".repeat(500) },
        "headers": { "accept": "\"".repeat(500), "accept-language": "\\".repeat(500) },
        "body": { "a": signs, "b": (0..40).collect::<Vec<_>>() },
    })
}

#[test]
fn as_many_questions_as_may_wait_are_listed_with_the_longest_messages_even_if_nobody_reads_them() {
    let upstream = Recorder::plain();
    let reason = "\\\\".repeat(200);
    let rule = format!("reason = \"{reason}\"");
    let mut gate = Gate::start(&policy::b(&upstream, &rule));
    let desk = Desk::of(&gate.home);
    for number in 0..64 {
        held_code(&gate.call("api_send", &longest(number)));
    }
    assert_eq!(gate.call("api_send", &longest(64)).code(), "busy");
    let socket = desk.await_sockets(1).remove(0);
    let deaf: Vec<_> = (0..24).map(|_| tell(&socket, PENDING)).collect();
    let questions = desk.questions();
    assert_eq!(questions.len(), 64);
    for question in &questions {
        assert!(word(&question["message"]).len() > 6_000, "{question}");
    }
    let reply = speak(&socket, PENDING);
    assert!(reply.len() > 700_000, "{} bytes", reply.len());
    let listed = desk.run(&["pending"]);
    assert!(listed.status.success() && listed.stdout.len() < 64 * 1_000, "{} bytes", listed.stdout.len());
    assert!(gate.get("/api/v1/organization/1").is_success());
    let peak = gate.peak_memory();
    assert!(peak < MEMORY_CAP_KIB, "{peak} KiB");
    drop(deaf);
    gate.finish();
}

#[test]
fn nothing_of_a_request_reaches_a_terminal_raw() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::b(&upstream, ""));
    let name = format!("\u{1b}[2J\r\n> \u{202e}{}", "long ".repeat(1_000));
    gate.introduce(&Client { version: MODERN, name, capabilities: json!({}) });
    let desk = Desk::of(&gate.home);
    // As text of JSON, in which each of these stands as itself.
    let nasty = "\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200b}\u{feff}\u{85}";
    let arguments = format!(
        r#"{{"method":"PATCH","path":"/api/v1/service_item/%C3%BC%E2%99%A5/labels/","query":{{"q":"a\u202eb\u200b"}},"headers":{{"accept-language":"\\u001b[2J"}},"body":{{"k{nasty}":"\u001b[2J\u0007{nasty}```\n> yes"}}}}"#
    );
    let id = gate.begin("api_send", &arguments);
    let code = held_code(&gate.answer(&id));
    let mut terminal = desk.at_terminal(&["approve", &code]);
    terminal.until(PROMPT);
    assert!(is_harmless(&terminal.screen()), "{:?}", terminal.screen());
    assert!(terminal.screen().contains(r"\u{202e}"), "{}", terminal.screen());
    terminal.type_in("no\n");
    assert!(is_harmless(&terminal.end().1));
    let id = gate.begin("api_send", &arguments);
    assert_eq!(gate.answer(&id).code(), "declined");
    let id = gate.begin("api_send", &arguments);
    held_code(&gate.answer(&id));
    for words in [&["pending"][..], &["pending", "--format", "json"]] {
        let output = desk.run(words);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(is_harmless(&text) && text.contains("long"), "{output:?}");
        assert!(!text.contains(&"long ".repeat(12)), "a client's name is cut: {text}");
    }
    gate.finish();
}

/// What a gateway could say of one question, with `code`, and `word` in everything that is text.
fn listing(code: &str, word: &str) -> String {
    let question = json!({
        "code": code, "api": word, "method": word, "target": word, "rule": word, "client": word, "digest": "0".repeat(64),
        "age_seconds": 1, "expires_in_seconds": 60, "message": format!("{word}\nTo send it, {word}"), "word": word,
    });
    json!({ "said": "pending", "api": word, "questions": [question], "closed_seconds": null }).to_string()
}

#[test]
fn a_process_that_pretends_to_be_a_gateway_moves_no_terminal_and_no_other_gateway() {
    let upstream = Recorder::plain();
    let (mut gate, desk, code) = waiting(&upstream);
    let nasty = "\u{1b}[2J\u{9b}1m\u{202e}\r\u{7}";
    let pretended = Impostor::at(&gate.home.state().join("desk-0.sock"), &listing(&code, nasty));
    // It does not show its question whole, which is said.
    for (words, status) in [(&["pending"][..], 0), (&["pending", "--format", "json"], 2)] {
        let output = desk.run(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() == Some(status) && is_harmless(&said), "{output:?}");
        assert_eq!(said.matches(&code).count(), 2, "{said}");
    }
    // One code twice: nobody guesses which is meant.
    let output = desk.run(&["approve", &code]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--digest"), "{output:?}");
    // Its own question by its digest: the yes goes to it alone.
    let mut terminal = desk.at_terminal(&["approve", &code, "--digest", &"0".repeat(64)]);
    terminal.until(PROMPT);
    assert!(is_harmless(&terminal.screen()), "{:?}", terminal.screen());
    terminal.type_in("anything\n");
    assert!(is_harmless(&terminal.end().1));
    assert_eq!(held_code(&gate.call("api_send", &labels("7"))), code, "the gateway's own still waits");
    let show = format!("{}\n", json!({ "do": "show", "code": code }));
    assert!(
        pretended.orders.try_iter().all(|order| order.as_bytes() == PENDING || order == show),
        "nothing was approved"
    );
    // The gateway's, by its digest.
    let listed: Value = serde_json::from_slice(&desk.run(&["pending", "--format", "json"]).stdout).expect("a list");
    let mut listed = listed["questions"].as_array().expect("questions").iter();
    let question = listed.find(|question| question["api"] == "sample").expect("it waits");
    assert_eq!(question["request"]["body"], labels("7")["body"].to_string());
    let (status, screen) = desk.answer(&["approve", &code, "--digest", &word(&question["digest"])], "yes\n");
    assert_eq!(status, 0, "{screen}");
    assert!(gate.call("api_send", &labels("7")).is_success());
    // A refusal in its own words.
    let refused = json!({ "said": "refused", "why": nasty }).to_string();
    let refusing = Impostor::at(&gate.home.state().join("desk-1.sock"), &refused);
    let output = desk.run(&["pending"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(is_harmless(&String::from_utf8_lossy(&output.stderr)), "{output:?}");
    drop((pretended, refusing));
    gate.finish();
}

#[test]
fn a_gateway_that_talks_nonsense_or_nothing_keeps_nobody_from_the_others() {
    let upstream = Recorder::plain();
    let (mut gate, desk, code) = waiting(&upstream);
    let state = gate.home.state();
    let impostors: Vec<_> = ["", "{", "[]", r#"{"said":"open"}"#, r#"{"said":"else"}"#, &"x".repeat(3 << 20)]
        .iter()
        .enumerate()
        .map(|(n, answer)| Impostor::at(&state.join(format!("desk-{n}.sock")), answer))
        .collect();
    // It takes no connection: the system keeps it in line.
    let silent = UnixListener::bind(state.join("desk-silent.sock")).expect("a socket");
    let mut stopped = Launch::new(&gate.home).start();
    held_code(&stopped.call("api_send", &labels("8")));
    stopped.signal(Signal::STOP);
    let output = desk.run(&["pending"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&code) && said.contains("1 write waits"), "{said}");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complaints.lines().count(), impostors.len() + 2, "one sentence each: {complaints}");
    desk.approve(&code);
    stopped.signal(Signal::CONT);
    assert!(gate.call("api_send", &labels("7")).is_success());
    drop((impostors, silent));
}

#[test]
fn what_is_no_socket_of_its_own_is_passed_over_and_left_alone() {
    let upstream = Recorder::plain();
    let home = Home::new(&policy::b(&upstream, ""));
    let state = home.state();
    fs::create_dir(&state).expect("made");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("its mode");
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    let pretended = Impostor::at(&elsewhere.join("desk-0.sock"), &listing("AAA-AAA", "linked"));
    symlink(elsewhere.join("desk-0.sock"), state.join("desk-link.sock")).expect("linked");
    symlink(&elsewhere, state.join("linked")).expect("linked");
    symlink("nowhere", state.join("desk-dangling.sock")).expect("linked");
    fs::write(state.join("desk-file.sock"), "kept").expect("written");
    fs::create_dir(state.join("desk-directory.sock")).expect("made");
    // Somebody listened here once, under a name that is not a gateway's.
    drop(UnixListener::bind(state.join("other.sock")).expect("a socket"));
    let mut gate = Launch::new(&home).start();
    let desk = Desk::of(&home);
    let code = held_code(&gate.call("api_send", &labels("7")));
    assert_eq!(desk.codes(1), [code]);
    assert!(pretended.orders.try_recv().is_err(), "nobody spoke to what a link leads to");
    assert_eq!(fs::read(state.join("desk-file.sock")).expect("it is there"), b"kept");
    for left in ["desk-link.sock", "desk-dangling.sock", "linked", "desk-directory.sock", "other.sock"] {
        assert!(state.join(left).symlink_metadata().is_ok(), "{left}");
    }
    gate.finish();
}

#[test]
fn a_state_directory_that_others_may_write_or_exchange_is_not_believed() {
    let upstream = Recorder::plain();
    let (gate, desk, code) = waiting(&upstream);
    let home = Arc::clone(&gate.home);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    for open in [home.state(), home.path().to_owned()] {
        let before = fs::metadata(&open).expect("it is there").permissions().mode();
        set(&open, 0o777);
        for words in [&["pending"][..], &["approve", &code], &["decline", &code], &["reopen"]] {
            let output = desk.run(words);
            assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
            assert!(!String::from_utf8_lossy(&output.stdout).contains(&code), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("chmod go-w"), "{output:?}");
        }
        set(&open, before);
    }
    assert_eq!(desk.codes(1), [code]);
    gate.finish();
}
