//! `portcullis demo` as a person runs it: the real binary, its text, its exit code, and what it leaves behind.

#![cfg(test)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_walk_ends_well_and_says_exactly_what_the_api_received() {
    let scratch = tempfile::tempdir().unwrap();
    let output = demo(&scratch).output().unwrap();
    let text = good(&output);
    for line in [
        "The API received exactly 10 requests:",
        "  GET /api/v1/organization/1/projects/?limit=100&offset=0 -> 200",
        "  GET /api/v1/project/7/ -> 200",
        "  POST /api/v1/project/7/metrics_v2/metrics -> 200",
        "  GET /api/v1/forecasting/7/v3/ -> no answer in time",
        "  GET /api/v1/organization/1/risks/summary/ -> 503",
    ] {
        assert!(text.lines().any(|shown| shown == line), "missing `{line}` in:\n{text}");
    }
    let received = text.split_once("The API received exactly").unwrap().1.split_once("\n\n").unwrap().0;
    assert_eq!(received.lines().filter(|line| line.starts_with("  ")).count(), 10, "{received}");
    for never in ["DELETE", "token", "..", "%2e"] {
        assert!(!received.contains(never), "`{never}` in:\n{received}");
    }
}

#[test]
fn a_held_write_is_asked_about_each_time_and_sent_where_it_was_approved() {
    let scratch = tempfile::tempdir().unwrap();
    let text = good(&demo(&scratch).output().unwrap());
    let (_, rest) = text.split_once("\n7. ").unwrap();
    let (approved, rest) = rest.split_once("\n8. ").unwrap();
    let (declined, rest) = rest.split_once("\n9. ").unwrap();
    let (desk, _) = rest.split_once("\n10. ").unwrap();
    let sent = "     API  PATCH /api/v1/organization/1/dashboards/3/ -> 200\n";
    let nothing = "     API  received nothing\n";
    for (step, has, lacks) in [
        (approved, [sent, "\nTo send it, answer ", "  person  (the demo) ticks `Yes, send this request`"], nothing),
        (declined, [nothing, "  client  asks the same, word for word\n", "    gate  declined: "], sent),
        (desk, [sent, "    desk  approved: the call that waits for it goes on", ", approved at the desk\n"], nothing),
    ] {
        for part in has {
            assert!(step.contains(part), "missing `{part}` in:\n{step}");
        }
        assert!(!step.contains(lacks), "`{lacks}` in:\n{step}");
    }
    let name = r#""name":"Delivery and risks""#;
    let (_, read) = approved.split_once("api_get /organization/1/dashboards/3/").unwrap();
    assert!(read.contains(name), "the write changed nothing:\n{read}");
}

#[test]
fn a_directory_with_a_long_path_leaves_room_for_the_gates_socket() {
    let scratch = tempfile::tempdir().unwrap();
    let long = scratch.path().join("a-directory-for-temporary-files-with-a-name-of-no-less-than-eighty-characters-so");
    std::fs::create_dir(&long).unwrap();
    good(&program().env("TMPDIR", &long).output().unwrap());
}

#[test]
fn the_text_is_plain_and_fits_eighty_columns() {
    let scratch = tempfile::tempdir().unwrap();
    let output = demo(&scratch).output().unwrap();
    for line in good(&output).lines() {
        assert!(!line.contains('\x1b'), "colour without a terminal: {line}");
        // A path is one word, and the directory of this test may be long.
        let path = line.contains(scratch.path().to_str().unwrap());
        assert!(path || line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn the_walk_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    good(&demo(&scratch).output().unwrap());
    assert!(is_empty(scratch.path()));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = demo(&scratch).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert!(is_empty(scratch.path()));
}

#[test]
fn a_walk_that_cannot_begin_is_one_sentence_and_exit_code_1() {
    let output = program().env("TMPDIR", "/nonexistent").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("portcullis demo: cannot set up the directory for the demo: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn serve_prints_configurations_that_a_client_can_use_until_it_is_stopped() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = demo(&scratch).arg("--serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let text: String = lines
        .by_ref()
        .map(|line| line.unwrap() + "\n")
        .take_while(|line| line != "Only what passed the gate is shown here.\n")
        .collect();

    let [desktop, code] = configurations(&text);
    let server = &desktop["mcpServers"]["allstacks-demo"];
    assert_eq!(server["command"], code["servers"]["allstacks-demo"]["command"]);
    for path in [&server["command"], &server["args"][2], &server["args"][4]] {
        let path = Path::new(path.as_str().unwrap());
        assert!(path.is_absolute() && path.exists(), "{}", path.display());
    }
    let answer = ask_once(server);
    assert!(answer.contains("Harbour"), "{answer}");
    let shown = lines.next().unwrap().unwrap();
    assert_eq!(shown.trim_start(), "API  GET /api/v1/organization/1/projects/ -> 200");

    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_empty(scratch.path()));
}

#[test]
fn an_interrupted_walk_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = demo(&scratch).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("1. ")), "the walk never began");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "portcullis demo: stopped before the end\n");
    assert!(is_empty(scratch.path()));
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("demo").stdin(Stdio::null());
    command
}

/// The demo with a directory for temporary files of its own.
fn demo(scratch: &TempDir) -> Command {
    let mut command = program();
    command.env("TMPDIR", scratch.path());
    command
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn is_empty(directory: &Path) -> bool {
    directory.read_dir().unwrap().next().is_none()
}

/// The two JSON documents that the text holds.
fn configurations(text: &str) -> [Value; 2] {
    let mut found = text.match_indices("\n{\n").map(|(start, _)| {
        let mut values = serde_json::Deserializer::from_str(text.split_at(start).1).into_iter::<Value>();
        values.next().unwrap().unwrap()
    });
    [found.next().unwrap(), found.next().unwrap()]
}

/// Starts the gate as the configuration says, reads one path through it, and returns its last line.
fn ask_once(server: &Value) -> String {
    let words = server["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    let mut gate = Command::new(server["command"].as_str().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = gate.stdin.take().unwrap();
    let questions = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"api_get","arguments":{"path":"/organization/1/projects/"}}}"#,
        "\n",
    );
    std::io::Write::write_all(&mut stdin, questions.as_bytes()).unwrap();
    drop(stdin);
    let output = gate.wait_with_output().unwrap();
    good(&output).lines().last().unwrap_or_default().to_owned()
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
