//! `init`: a policy that says nothing wrong, opens reads alone, and whose own cases hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::common::{
    desk::without_terminal,
    eventually,
    gate::binary,
    terminal::{END_OF_INPUT, Terminal},
};

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("init-").tempdir().expect("a directory")
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(arguments).env_clear().env("HOME", directory).env("PATH", "/usr/bin:/bin");
    command.env("ALLSTACKS_TOKEN", "t").env("SHOP_TOKEN", "t").current_dir(directory).stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().expect("the binary runs")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// The policy has no finding, each of its cases holds, and both files are their owner's.
fn is_good(directory: &Path, name: &str) {
    let policy = format!("{name}.toml");
    let output = run(directory, &["check", &policy]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.ends_with("no findings\n"), "{said}");
    let output = run(directory, &["test", &policy, "--cover"]);
    assert!(output.status.success(), "{output:?}");
    for file in [policy, format!("{name}.cases.toml")] {
        assert_eq!(mode(&directory.join(&file)), 0o600, "{file}");
    }
}

/// A document of a shop, with `keys` and `users` in it.
fn document() -> String {
    let id = json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }]);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Shop", "version": "1" },
        "paths": {
            "/orders": { "get": { "tags": ["Orders"], "summary": "All orders" }, "post": { "tags": ["Orders"] } },
            "/orders/{id}": { "get": { "tags": ["Orders"], "parameters": id }, "delete": { "tags": ["Orders"], "parameters": id } },
            "/stock": { "get": { "tags": ["Stock"] } },
            "/api-keys/{id}": { "get": { "tags": ["Admin"], "parameters": id } },
            "/users": { "get": { "tags": ["Admin"] } },
        },
    })
    .to_string()
}

#[test]
fn a_policy_made_by_flags_has_no_finding_and_its_cases_hold() {
    let directory = directory();
    let at = directory.path();
    let output = run(at, &["init", "--api", "allstacks", "--yes"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for next in ["check", "test", "tools", "doctor", "install"] {
        assert!(said.contains(&format!("portcullis {next} ")), "{said}");
    }
    is_good(at, "allstacks");
    fs::write(at.join("shop.json"), document()).unwrap();
    let output = run(at, &["init", "--openapi", "shop.json", "--base-url", "https://shop.example/v1/", "--yes"]);
    assert!(output.status.success(), "{output:?}");
    is_good(at, "shop");
    let output = run(at, &["explain", "shop.toml", "--all"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("/orders"), "{output:?}");
    for (method, path, code) in [
        ("GET", "/orders", 0),
        ("GET", "/orders/7", 0),
        ("GET", "/stock", 0),
        ("POST", "/orders", 1),
        ("DELETE", "/orders/7", 1),
        ("GET", "/users", 1),
        ("GET", "/orders/7/API-Keys", 1),
    ] {
        assert_eq!(run(at, &["explain", "shop.toml", method, path]).status.code(), Some(code), "{method} {path}");
    }
}

#[test]
fn only_the_groups_that_were_chosen_are_open() {
    let directory = directory();
    let at = directory.path();
    let output =
        run(at, &["init", "--api", "allstacks", "--group", "labels-alerts-risks", "--name", "labels", "--yes"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(run(at, &["explain", "labels.toml", "GET", "/organization/1/labels/"]).status.code(), Some(0));
    assert_eq!(run(at, &["explain", "labels.toml", "GET", "/organization/1/dashboards/"]).status.code(), Some(1));
    let output = run(at, &["init", "--api", "allstacks", "--group", "nothing", "--name", "none", "--yes"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("`labels-alerts-risks`"), "it says which there are: {said}");
}

#[test]
fn no_file_is_written_over_without_a_word() {
    let directory = directory();
    let at = directory.path();
    for there in ["allstacks.toml", "allstacks.cases.toml"] {
        fs::write(at.join(there), "mine").unwrap();
        let output = run(at, &["init", "--api", "allstacks", "--yes"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(fs::read_to_string(at.join(there)).unwrap(), "mine");
        assert_eq!(fs::read_dir(at).unwrap().count(), 1, "nor is half of it written");
        fs::remove_file(at.join(there)).unwrap();
    }
    fs::write(at.join("allstacks.toml"), "mine").unwrap();
    let output = run(at, &["init", "--api", "allstacks", "--yes", "--force"]);
    assert!(output.status.success(), "{output:?}");
    is_good(at, "allstacks");
}

#[test]
fn what_would_be_wrong_is_told_and_not_written() {
    let directory = directory();
    let at = directory.path();
    for (flag, value, code) in [
        ("--base-url", "http://api.example.com/", 1),
        ("--base-url", "http://127.0.0.1:9/", 1),
        ("--base-url", "https://10.0.0.1/", 1),
        ("--base-url", "no address", 1),
        ("--name", "Not A Name", 1),
        ("--header", "no header", 1),
        ("--credential", "hunter2", 2),
        ("--credential", "env:hunter2 hunter2", 2),
        ("--output", "/nowhere/at/all.toml", 2),
        ("--openapi", "missing.json", 2),
    ] {
        let api: &[&str] = if flag == "--openapi" { &[] } else { &["--api", "allstacks"] };
        let output = run(at, &[&["init", flag, value, "--yes"], api].concat());
        assert_eq!(output.status.code(), Some(code), "{flag} {value}: {output:?}");
        let said = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
        assert!(!said.contains("hunter2"), "what may be a secret is not repeated: {said}");
        assert!(!said.contains(".toml:") && !said.contains("-->"), "no place in a file that is not there: {said}");
        assert!(said.lines().count() == 1, "one sentence: {said}");
        assert_eq!(fs::read_dir(at).unwrap().count(), 0, "{flag} {value}");
    }
    fs::write(at.join("shop.json"), document()).unwrap();
    let output = run(at, &["init", "--openapi", "shop.json", "--yes"]);
    assert_eq!(output.status.code(), Some(2), "where an API is, no document is believed: {output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--base-url"), "{output:?}");
    // A directory that others may write is no place for a policy.
    let open = at.join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let output = run(&open, &["init", "--api", "allstacks", "--yes"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
}

#[test]
fn what_a_policy_has_to_allow_by_a_key_is_allowed_by_a_flag() {
    let directory = directory();
    let at = directory.path();
    for (url, flag, key, name) in [
        ("http://127.0.0.1:9/", "--allow-http", "allow_http = true ", "local"),
        ("https://10.0.0.1/v1/", "--allow-private", "allow_private = true ", "inside"),
    ] {
        let arguments =
            ["init", "--api", "allstacks", "--name", name, "--base-url", url, "--credential", "none", "--yes"];
        let output = run(at, &arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("--base-url") && said.contains(flag) && said.contains("nothing was written"), "{said}");
        assert!(!at.join(format!("{name}.toml")).exists());
        let output = run(at, &[&arguments[..], &[flag]].concat());
        assert!(output.status.success(), "{output:?}");
        is_good(at, name);
        let policy = fs::read_to_string(at.join(format!("{name}.toml"))).unwrap();
        let line = policy.lines().find(|line| line.starts_with(key)).expect("it stands in the policy");
        assert!(line.contains("# "), "with a comment: {line}");
    }
}

#[test]
fn a_document_that_is_not_json_is_told_by_a_place_that_an_editor_has() {
    let directory = directory();
    let at = directory.path();
    for text in ["{", "{\n", "{\n\n", "{\"a\":\n\n}", "{\"a\": 1}\n]", "[\n", "{\n  \"openapi\": \"3.1.0\",\n"] {
        fs::write(at.join("bad.json"), text).unwrap();
        let output = run(at, &["init", "--openapi", "bad.json", "--base-url", "https://a.example/", "--yes"]);
        assert_eq!(output.status.code(), Some(2), "{text:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("line 0") && !said.contains("column 0"), "{text:?}: {said}");
    }
}

#[test]
fn a_person_is_asked_for_what_no_flag_says() {
    let directory = directory();
    let at = directory.path();
    fs::write(at.join("shop.json"), document()).unwrap();
    let mut terminal = Terminal::start(command(at, &["init", "--credential", "none"]), "");
    for (question, answer) in [
        ("Which API? `allstacks`, or the path of an OpenAPI document.", "shop.json\n"),
        ("What is the API called here? [shop]", "\n"),
        ("Where is the API? The paths of the rules are below this address.", "https://shop.example/v1/\n"),
        ("such as `1 3` or `1-3, 5`; an empty line is all of it.", "2\n"),
        ("Into which file? [shop.toml]", "\n"),
        ("Write `shop.toml`? An empty line or `yes` writes it, anything else does not.", "yes\n"),
    ] {
        // What is typed before the prompt does not count.
        terminal.until(&format!("{question}\r\n> "));
        terminal.type_in(answer);
    }
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("1  orders  (2 paths)") && screen.contains("2  stock  (1 path)"), "{screen}");
    is_good(at, "shop");
    assert_eq!(run(at, &["explain", "shop.toml", "GET", "/stock"]).status.code(), Some(0));
    assert_eq!(run(at, &["explain", "shop.toml", "GET", "/orders"]).status.code(), Some(1));
    assert!(fs::read_to_string(at.join("shop.toml")).unwrap().contains("# No credential"));
}

#[test]
fn a_person_who_says_no_gets_no_file() {
    let directory = directory();
    let at = directory.path();
    let arguments = ["init", "--api", "allstacks", "--credential", "none", "--name", "a", "--group", "projects"];
    let base = ["--base-url", "https://app.allstacks.com/api/v1/"];
    let mut terminal = Terminal::start(command(at, &[&arguments[..], &base].concat()), "");
    terminal.until("Into which file? [a.toml]\r\n> ");
    terminal.type_in("\n");
    terminal.until("Write `a.toml`?");
    terminal.until("does not.\r\n> ");
    terminal.type_in("no\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert_eq!(fs::read_dir(at).unwrap().count(), 0);
}

/// Types an answer once so many prompts are there, of which the last is of this question.
fn answer(terminal: &mut Terminal, prompts: usize, question: &str, typed: &str) {
    eventually(&format!("`{question}` is asked; so far: {}", terminal.screen()), || {
        let screen = terminal.screen();
        screen.matches("\r\n> ").count() == prompts && screen.ends_with("\r\n> ") && {
            let above = screen.rsplit("\r\n").nth(1).unwrap_or_default();
            above.contains(question)
        }
    });
    terminal.type_in(typed);
}

#[test]
fn an_answer_that_cannot_be_used_is_told_at_once_and_asked_again() {
    let directory = directory();
    let at = directory.path();
    fs::write(at.join("shop.json"), document()).unwrap();
    fs::write(at.join("bad.json"), "{").unwrap();
    fs::write(at.join("taken.toml"), "mine").unwrap();
    fs::write(at.join("half.cases.toml"), "mine").unwrap();
    let mut terminal = Terminal::start(command(at, &["init"]), "");
    let mut prompts = 0;
    for (question, wrong, said, good) in [
        (
            "Which API?",
            &["nothing.json", "bad.json", ""][..],
            &["nothing.json", "is not JSON", "no default"][..],
            "shop.json",
        ),
        ("What is the API called here?", &["My Shop", "1"], &["`My Shop` must be", "`1` must be"], ""),
        (
            "Where is the API?",
            &["", "shop.example", "http://shop.example/"],
            &["no default", "https://", "in the clear"],
            "https://shop.example/",
        ),
        (
            "Where is the secret?",
            &["sk-live-4242", "env:sk-live-4242", "env:", "command:a 'b'"],
            &["not repeated here", "not repeated here", "not repeated here", "quotes in a command"],
            "none",
        ),
        (
            "What may the agent read?",
            &["3", "2-1", "orders stocks"],
            &["no group `3`", "no group `2-1`", "no group `stocks`"],
            "1 - 2",
        ),
        (
            "Into which file?",
            &["taken.toml", "half.toml", "no/such.toml"],
            &["is there already", "`half.cases.toml` is there", "cannot be written"],
            "",
        ),
    ] {
        for (wrong, said) in wrong.iter().zip(said) {
            prompts += 1;
            answer(&mut terminal, prompts, question, &format!("{wrong}\n"));
            terminal.until(said);
        }
        prompts += 1;
        answer(&mut terminal, prompts, question, &format!("{good}\n"));
    }
    answer(&mut terminal, prompts + 1, "Write `shop.toml`?", "\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(screen.matches("sk-live-4242").count(), 2, "as often as it was typed: {screen}");
    is_good(at, "shop");
    for path in ["/orders", "/stock"] {
        assert_eq!(run(at, &["explain", "shop.toml", "GET", path]).status.code(), Some(0), "{path}");
    }
    assert_eq!(fs::read_to_string(at.join("taken.toml")).unwrap(), "mine");
}

#[test]
fn who_gives_no_answer_that_can_be_used_is_not_asked_for_ever() {
    let directory = directory();
    let at = directory.path();
    let mut terminal = Terminal::start(command(at, &["init", "--api", "allstacks"]), "");
    for prompts in 1..=5 {
        answer(&mut terminal, prompts, "What is the API called here?", "My Shop\n");
    }
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.trim_end().ends_with("nothing was written"), "{screen}");
    for (arguments, asked, code, said) in [
        (&["init"][..], "Which API?", 2, "the input ended where --api or --openapi was asked for"),
        (
            &["init", "--api", "allstacks"],
            "What is the API called here?",
            2,
            "the input ended where --name was asked for",
        ),
    ] {
        let mut terminal = Terminal::start(command(at, arguments), "");
        answer(&mut terminal, 1, asked, END_OF_INPUT);
        let (ended, screen) = terminal.end();
        assert_eq!(ended, code, "{screen}");
        assert!(screen.contains(said), "{screen}");
    }
    let flags = ["--name", "a", "--base-url", "https://a.example/", "--credential", "none", "--group", "projects"];
    let mut terminal = Terminal::start(command(at, &[&["init", "--api", "allstacks"], &flags[..]].concat()), "");
    answer(&mut terminal, 1, "Into which file?", "\n");
    answer(&mut terminal, 2, "Write `a.toml`?", END_OF_INPUT);
    let (code, screen) = terminal.end();
    assert_eq!(code, 1, "the end of the input is no yes: {screen}");
    assert_eq!(fs::read_dir(at).unwrap().count(), 0);
}

#[test]
fn what_the_command_line_says_is_judged_before_anybody_is_asked() {
    let directory = directory();
    let at = directory.path();
    fs::write(at.join("taken.toml"), "mine").unwrap();
    for (flag, value, code, said) in [
        ("--name", "My Shop", 1, "must be a lower-case letter"),
        ("--base-url", "http://127.0.0.1:9/", 1, "--allow-http"),
        ("--header", "a b", 1, "not a header's name"),
        ("--credential", "sk-live-4242", 2, "not repeated here"),
        ("--group", "nothing", 2, "there is no group `nothing`"),
        ("--output", "taken.toml", 2, "`taken.toml` is there already"),
        ("--output", "no/such.toml", 2, "cannot be written"),
    ] {
        // Whoever is asked without a terminal is told that there is none.
        let output = without_terminal(&command(at, &["init", "--api", "allstacks", flag, value]));
        assert_eq!(output.status.code(), Some(code), "{flag} {value}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(said) && !told.contains("terminal"), "{flag} {value}: {told}");
    }
}

#[test]
fn without_a_terminal_nobody_is_asked_and_the_flag_is_named() {
    let directory = directory();
    let output = without_terminal(&command(directory.path(), &["init", "--api", "allstacks"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no terminal to ask at") && said.contains("give --name, or --yes"), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
