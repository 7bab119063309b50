//! `doctor`: what keeps a gate from working has a line of its own, and what is sent went through the gate.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::common::{
    gate::{Gate, Home, Launch, binary, ended},
    policy::{OPEN_LIMITS, TOKEN, head},
    recorder::{Recorder, Reply, Seen},
};

/// A policy with a description beside it, of which it opens `/status` and `/things`.
fn policy(upstream: &Recorder, more: &str) -> String {
    let head = head(upstream).replace("[upstream]", "[upstream]\nopenapi = \"api.json\"");
    format!(
        "{head}{OPEN_LIMITS}\n[[allow]]\nid = \"reads\"\nmethods = [\"GET\"]\npaths = [\"/status\", \"/things\", \"/things/*\"]\n{more}"
    )
}

fn document() -> String {
    let required = json!([{ "name": "q", "in": "query", "required": true, "schema": { "type": "string" } }]);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "t", "version": "1" },
        "paths": {
            "/a": { "get": { "summary": "closed, though the shortest" } },
            "/things": { "get": { "parameters": required }, "post": {} },
            "/status": { "get": {} },
            "/things/{id}": { "get": { "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }] } },
        },
    })
    .to_string()
}

struct Scene {
    home: Arc<Home>,
    upstream: Recorder,
}

impl Scene {
    fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let upstream = Recorder::start(script);
        let home = Home::new(&policy(&upstream, ""));
        fs::write(home.path().join("api.json"), document()).expect("the description is written");
        Self { home, upstream }
    }

    fn good() -> Self {
        Self::new(|_| Reply::json(r#"{"ok":true}"#))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(["doctor", "policy.toml", "--state-dir", "state", "--format", "json"]).args(arguments);
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.env(TOKEN, self.home.canary.secret()).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs it: the exit code, and every line. No secret is among what it says and writes.
    fn doctor(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        self.told(self.command(arguments))
    }

    fn told(&self, mut command: Command) -> (i32, Vec<Value>) {
        let output = command.output().expect("the binary runs");
        self.home.canary.search("the output of doctor", &[&*output.stdout, &*output.stderr].concat());
        if self.home.state().exists() {
            self.home.canary.search_files(&self.home.state());
        }
        let lines = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().expect("a code"), lines)
    }
}

/// The lines of a check, as level and message.
fn of(lines: &[Value], check: &str) -> Vec<(String, String)> {
    let of = lines.iter().filter(|line| line["check"] == check);
    of.map(|line| (line["level"].as_str().unwrap().to_owned(), line["message"].as_str().unwrap().to_owned())).collect()
}

/// That some line of a check has this level and says this.
fn says(lines: &[Value], check: &str, level: &str, text: &str) {
    let of = of(lines, check);
    assert!(of.iter().any(|(l, message)| l == level && message.contains(text)), "{check} {level} `{text}`: {lines:#?}");
}

#[test]
fn where_all_is_well_one_harmless_read_is_sent_through_the_gate_and_recorded() {
    let scene = Scene::good();
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 0, "{lines:#?}");
    assert!(lines.iter().all(|line| line["level"] != "fail"), "{lines:#?}");
    for check in
        ["file", "policy", "secret", "description", "state", "gateways", "counts", "log", "client", "name", "tls"]
    {
        assert!(!of(&lines, check).is_empty(), "no line about {check}: {lines:#?}");
    }
    says(&lines, "request", "ok", "GET /status: status 200");
    let seen = scene.upstream.seen();
    let [one] = &seen[..] else { panic!("one request: {seen:?}") };
    assert_eq!(one.request_line(), "GET /status HTTP/1.1");
    assert_eq!(one.headers("authorization"), [format!("Bearer {}", scene.home.canary.secret())]);
    let records = scene.home.records();
    assert!(ended(&records), "{records:#?}");
    let of = |kind: &str| records.iter().filter(|record| record["kind"] == kind).cloned().collect::<Vec<_>>();
    let (questions, answers) = (of("question"), of("answer"));
    assert_eq!((questions.len(), answers.len()), (1, 1), "{records:#?}");
    assert!(questions[0]["agent"].as_str().unwrap().starts_with("doctor:uid="), "{records:#?}");
    assert_eq!(questions[0]["tool"], "doctor");
    assert!(scene.home.verify().status.success());
}

#[test]
fn what_the_policy_refuses_is_not_sent_by_a_doctor_either() {
    let scene = Scene::good();
    for (path, code, level, said) in [
        ("/things?page=2", 0, "ok", "GET /things?page=2: status 200"),
        ("/secret", 1, "fail", "was not sent"),
        ("/things/../secret", 0, "warn", "this is no request"),
    ] {
        let before = scene.upstream.count();
        let (found, lines) = scene.doctor(&["--get", path]);
        says(&lines, "request", level, said);
        assert_eq!(found, code, "{path}: {lines:#?}");
        assert_eq!(scene.upstream.count() - before, usize::from(level == "ok"), "{path}");
    }
    // A GET that the policy calls a write is none that is sent to look.
    let write = "[[allow]]\nid = \"w\"\nmethods = [\"GET\"]\npaths = [\"/launch\"]\neffect = \"write\"\nconfirm = \"never\"\n[access]\nwrites = true\n";
    scene.home.rewrite(&policy(&scene.upstream, write));
    let before = scene.upstream.count();
    let (code, lines) = scene.doctor(&["--get", "/launch"]);
    says(&lines, "request", "fail", "takes this request for a write");
    assert_eq!((code, scene.upstream.count()), (1, before));
}

#[test]
fn offline_nothing_is_sent_and_the_log_is_tried_all_the_same() {
    let scene = Scene::good();
    let (code, lines) = scene.doctor(&["--offline"]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "log", "ok", "can be written");
    assert!(of(&lines, "name").is_empty() && of(&lines, "request").is_empty(), "{lines:#?}");
    assert_eq!(scene.upstream.connections(), 0);
    assert!(ended(&scene.home.records()));
}

#[test]
fn a_secret_that_is_missing_or_open_to_others_is_named_and_nothing_is_sent() {
    let scene = Scene::good();
    let mut command = scene.command(&[]);
    command.env_remove(TOKEN);
    let (code, lines) = scene.told(command);
    assert_eq!(code, 1);
    says(&lines, "secret", "fail", &format!("`{TOKEN}` is not set"));
    let text = policy(&scene.upstream, "").replace(&format!("{{ env = \"{TOKEN}\" }}"), "{ file = \"token\" }");
    scene.home.rewrite(&text);
    let token = scene.home.path().join("token");
    fs::write(&token, scene.home.canary.secret()).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 1);
    says(&lines, "secret", "fail", "others than its owner may read it");
    assert_eq!(scene.upstream.count(), 0);
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "secret", "ok", "for you alone");
}

#[test]
fn a_policy_that_cannot_be_believed_is_exit_2_and_one_with_errors_is_exit_1() {
    let scene = Scene::good();
    fs::set_permissions(scene.home.policy(), Permissions::from_mode(0o666)).unwrap();
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 2);
    says(&lines, "file", "fail", "chmod go-w");
    fs::set_permissions(scene.home.policy(), Permissions::from_mode(0o600)).unwrap();
    scene.home.rewrite(&policy(&scene.upstream, "[[allow]]\nid = \"x\"\n"));
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 1);
    says(&lines, "policy", "fail", "[missing-key]");
    fs::rename(scene.home.policy(), scene.home.path().join("real.toml")).unwrap();
    fs::write(scene.home.path().join("real.toml"), policy(&scene.upstream, "")).unwrap();
    symlink("real.toml", scene.home.policy()).unwrap();
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "file", "warn", "a symbolic link to");
}

#[test]
fn two_policies_of_one_name_fail_as_they_would_for_a_gate() {
    let scene = Scene::good();
    let text = policy(&scene.upstream, "");
    for (text, code) in [(text.clone(), 1), (text.replace("\"sample\"", "\"other\""), 0)] {
        fs::write(scene.home.path().join("again.toml"), text).unwrap();
        let (found, lines) = scene.doctor(&["again.toml", "--offline"]);
        assert_eq!(found, code, "{lines:#?}");
        let of_again: Vec<Value> = lines.into_iter().filter(|line| line["policy"] == "again.toml").collect();
        let named = of(&of_again, "policy").iter().any(|(_, message)| message.contains("are both called `sample`"));
        assert_eq!(named, code == 1, "{of_again:#?}");
    }
}

#[test]
fn a_gateway_that_runs_under_an_older_policy_is_named() {
    let scene = Scene::good();
    let gate: Gate = Launch::new(&scene.home).start();
    gate.log_until("it has begun its log", |records| !records.is_empty());
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "gateways", "ok", "one runs under this very policy");
    scene.home.rewrite(&policy(&scene.upstream, "# changed\n"));
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 0, "it goes on under the old one: {lines:#?}");
    says(&lines, "gateways", "warn", "under another policy");
    gate.finish();
    let (_, lines) = scene.doctor(&[]);
    says(&lines, "gateways", "ok", "none runs now");
}

#[test]
fn a_gateway_that_could_ask_is_heard_at_its_desk() {
    let scene = Scene::good();
    let held = "[[allow]]\nid = \"w\"\nmethods = [\"POST\"]\npaths = [\"/things\"]\n[access]\nwrites = true\n";
    scene.home.rewrite(&policy(&scene.upstream, held));
    let gate = Launch::new(&scene.home).start();
    gate.log_until("it has begun its log", |records| !records.is_empty());
    super::common::eventually("its desk is open", || {
        let (_, lines) = scene.doctor(&["--offline"]);
        of(&lines, "desk").iter().any(|(_, message)| message.contains("1 of them can be asked"))
    });
    let (_, lines) = scene.doctor(&["--offline"]);
    says(&lines, "desk", "ok", "a socket for `portcullis approve` and `reload` can be opened");
    gate.finish();
}

#[test]
fn a_sink_that_cannot_be_opened_is_named() {
    let scene = Scene::good();
    let sink = |secret: &str| {
        let place = "webhook = \"https://hooks.example.com/a\"";
        format!("[[audit.sinks]]\nname = \"hook\"\n{place}\nsecret = {{ file = \"{secret}\" }}\n")
    };
    let token = scene.home.path().join("hook.secret");
    fs::write(&token, format!("whsec_{}", "QUJD".repeat(8))).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    scene.home.rewrite(&policy(&scene.upstream, &sink("hook.secret")));
    let (code, lines) = scene.doctor(&["--offline"]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "sinks", "ok", "1 can be opened");
    fs::write(&token, "no secret of a webhook").unwrap();
    let (code, lines) = scene.doctor(&["--offline"]);
    assert_eq!(code, 1, "{lines:#?}");
    says(&lines, "sinks", "fail", "hook");
}

#[test]
fn a_log_that_does_not_verify_is_told_before_a_start_fails_on_it() {
    let scene = Scene::good();
    let (code, _) = scene.doctor(&[]);
    assert_eq!(code, 0);
    let log = scene.home.logs().remove(0);
    let text = fs::read_to_string(&log).unwrap();
    let cut: String = text.lines().filter(|line| !line.contains("\"stop\"")).map(|line| format!("{line}\n")).collect();
    fs::write(&log, cut.replace("/status", "/statuS")).unwrap();
    let sent = scene.upstream.count();
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 1, "{lines:#?}");
    says(&lines, "log", "fail", "audit acknowledge");
    says(&lines, "request", "warn", "nothing is sent that cannot be recorded");
    assert_eq!(scene.upstream.count(), sent);
}

#[test]
fn what_the_api_answers_is_told_by_what_to_do_about_it() {
    for (status, level, help) in [
        ("401 Unauthorized", "fail", "refuses the credential"),
        ("403 Forbidden", "fail", "refuses the credential"),
        ("302 Found", "warn", "redirects are not followed"),
        ("404 Not Found", "warn", "upstream.base_url"),
        ("429 Too Many Requests", "warn", "enough calls"),
        ("500 Internal Server Error", "warn", "fault of its own"),
        ("204 No Content", "ok", ""),
    ] {
        let scene = Scene::new(move |_| Reply::new(status, &[], if status.starts_with("204") { "" } else { "{}" }));
        let (code, lines) = scene.doctor(&[]);
        assert_eq!(code, i32::from(level == "fail"), "{status}: {lines:#?}");
        says(&lines, "request", level, status.split(' ').next().unwrap());
        let line = lines.iter().find(|line| line["check"] == "request").unwrap();
        assert!(line["help"].as_str().unwrap_or_default().contains(help), "{status}: {line}");
    }
}

#[test]
fn a_clock_that_is_off_is_found_by_what_the_api_says() {
    for (date, level) in
        [("Sun, 06 Nov 1994 08:49:37 GMT", "fail"), ("Thu, 01 Jan 2099 00:00:00 GMT", "fail"), ("yesterday", "warn")]
    {
        let scene = Scene::new(move |_| Reply::new("200 OK", &[("date", date)], "{}"));
        let (code, lines) = scene.doctor(&[]);
        assert_eq!(code, i32::from(level == "fail"), "{lines:#?}");
        assert_eq!(of(&lines, "clock").first().map(|(level, _)| level.as_str()), Some(level), "{lines:#?}");
    }
}

#[test]
fn an_api_that_nobody_answers_for_is_told_step_by_step() {
    let scene = Scene::good();
    let gone = format!(
        "http://127.0.0.1:{}/",
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    );
    let text = policy(&scene.upstream, "").replace(&scene.upstream.base_url(), &gone);
    scene.home.rewrite(&text);
    let (code, lines) = scene.doctor(&[]);
    assert_eq!(code, 1);
    says(&lines, "name", "ok", "127.0.0.1");
    says(&lines, "tls", "fail", "refused");
    says(&lines, "request", "warn", "cannot be reached");
}

#[test]
fn a_clients_entry_for_this_policy_is_looked_at() {
    let scene = Scene::good();
    let installed = || {
        let mut command = binary();
        command.args(["install", "cursor", "policy.toml"]).env_clear().env("HOME", scene.home.path());
        let output: Output = command.current_dir(scene.home.path()).output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        scene.home.path().join(".cursor/mcp.json")
    };
    let path = installed();
    let (code, lines) = scene.doctor(&["--offline"]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "client", "ok", "Cursor, entry `sample` starts this program with this policy");
    says(&lines, "client", "warn", &format!("gets no {TOKEN}"));
    let good = fs::read_to_string(&path).unwrap();
    let program: Value = serde_json::from_str(&good).unwrap();
    let program = program["mcpServers"]["sample"]["command"].as_str().unwrap().to_owned();
    let policy = scene.home.policy().canonicalize().unwrap().display().to_string();
    for (old, new, level, said) in [
        (&*program, "/nowhere/portcullis", "fail", "there is no program"),
        (&*program, "portcullis", "fail", "no absolute path"),
        (&*policy, "policy.toml", "fail", "a directory of its own"),
    ] {
        fs::write(&path, good.replace(old, new)).unwrap();
        let (code, lines) = scene.doctor(&["--offline"]);
        says(&lines, "client", level, said);
        assert_eq!(code, 1, "{new}: {lines:#?}");
    }
    let other = scene.home.path().join("portcullis");
    fs::write(&other, "another").unwrap();
    fs::write(&path, good.replace(&program, &other.display().to_string())).unwrap();
    let (code, lines) = scene.doctor(&["--offline"]);
    assert_eq!(code, 0, "{lines:#?}");
    says(&lines, "client", "warn", "another program than this one");
    fs::write(&path, good.replace("\"args\"", &format!("\"env\": {{ \"{TOKEN}\": \"x\" }},\n\"args\""))).unwrap();
    let (_, lines) = scene.doctor(&["--offline"]);
    says(&lines, "client", "warn", "it stands in the client's configuration");
    fs::write(&path, "{").unwrap();
    let (_, lines) = scene.doctor(&["--offline"]);
    says(&lines, "client", "warn", "no JSON");
}

#[test]
fn people_read_a_line_for_each_thing_and_what_to_do() {
    let scene = Scene::good();
    let mut command = binary();
    command
        .args(["doctor", "policy.toml", "--state-dir", "state", "--offline"])
        .env_clear()
        .env("HOME", scene.home.path());
    let output = command.current_dir(scene.home.path()).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("policy.toml\n  ok    program "), "{said}");
    assert!(said.contains("\n  FAIL  secret       `upstream.credential.bearer`"), "{said}");
    assert!(said.contains("\n                     `serve` does not start without it"), "{said}");
    assert!(said.ends_with("ok, 0 warn, 1 FAIL\n"), "{said}");
}
