//! What a person is shown of a write before it is sent, and that nothing else is sent than what they saw.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::common::{
    desk::{Desk, held_code},
    gate::{Answer, Gate, Home, Launch},
    policy::{OPEN_LIMITS, head},
    recorder::{Recorder, Reply},
};

const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}"#;
/// The variable that holds the key of confirmations, where gates share one.
const KEY: &str = "PORTCULLIS_TEST_KEY";
const YES: &str = r#"{"confirm":{"action":"accept","content":{"confirm":true}}}"#;

/// What the API holds of `/item/1`: its status, its entity tag, its text.
type Item = Arc<Mutex<(&'static str, Option<&'static str>, &'static str)>>;

fn upstream(item: &Item) -> Recorder {
    let item = Arc::clone(item);
    Recorder::start(move |seen| {
        let (status, etag, body) = *item.lock().unwrap_or_else(PoisonError::into_inner);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(etag.map(|etag| ("etag", etag)));
        match seen.method() {
            "GET" => Reply::new(status, &headers, body),
            _ => Reply::json(r#"{"ok":true}"#),
        }
    })
}

fn policy(upstream: &Recorder, preview: &str, more: &str) -> String {
    format!(
        r#"{}{OPEN_LIMITS}
[access]
writes = true

[confirm]
wait = "0ms"

[response]
redact = ["secret"]

[[allow]]
id = "items"
methods = ["PATCH", "PUT", "DELETE"]
paths = ["/item/*"]
preview = {preview}
{more}
"#,
        head(upstream)
    )
}

const READS: &str = r#"
[[allow]]
id = "reads"
methods = ["GET"]
paths = ["/item/*"]
"#;

struct Client {
    gate: Gate,
    ids: usize,
    /// Further arguments of every call, each behind a comma.
    more: &'static str,
}

impl Client {
    /// Beside other gates with the same key.
    fn beside(home: &Arc<Home>) -> Self {
        Self { gate: Launch::new(home).env(KEY, "0123456789abcdef0123456789abcdef").start(), ids: 0, more: "" }
    }

    fn new(policy: &str) -> Self {
        Self { gate: Gate::start(policy), ids: 0, more: "" }
    }

    fn send(&mut self, method: &str, body: Option<&str>, more: &str) -> Answer {
        self.ids += 1;
        let id = format!("p{}", self.ids);
        let arguments = self.more;
        let body = body.map(|body| format!(r#","body":{body}"#)).unwrap_or_default();
        self.gate.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"api_send","arguments":{{"method":"{method}","path":"/item/1"{body}{arguments}}},"_meta":{META}{more}}}}}"#
        ));
        self.gate.answer(&id)
    }

    /// The question to a write: its message and its state.
    fn ask(&mut self, method: &str, body: Option<&str>) -> (String, String) {
        let answer = self.send(method, body, "").message;
        let result = &answer["result"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (text(&result["inputRequests"]["confirm"]["params"]["message"]), text(&result["requestState"]))
    }

    fn approve(&mut self, method: &str, body: Option<&str>, state: &str) -> Answer {
        self.send(method, body, &format!(r#","requestState":{},"inputResponses":{YES}"#, json!(state)))
    }
}

fn writes(upstream: &Recorder) -> usize {
    upstream.seen().iter().filter(|seen| seen.method() != "GET").count()
}

#[test]
fn a_person_sees_what_a_patch_changes_and_the_api_is_told_the_state_they_saw() {
    let item: Item = Arc::new(Mutex::new(("200 OK", Some("\"v1\""), r#"{"name":"old","size":1,"secret":"s3cr3t"}"#)));
    let upstream = upstream(&item);
    let mut client = Client::new(&policy(&upstream, "true", READS));
    let body = Some(r#"{"name":"new"}"#);
    let (message, state) = client.ask("PATCH", body);
    assert!(message.contains(r#"~ name: "old" -> "new""#), "{message}");
    assert!(!message.contains("s3cr3t"), "what the policy redacts is redacted here: {message}");
    assert!(message.contains("if-match: \"v1\""), "{message}");
    assert_eq!(upstream.count(), 1, "the read alone");
    assert!(client.approve("PATCH", body, &state).is_success());
    let seen = upstream.seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method()).collect();
    assert_eq!(methods, ["GET", "GET", "PATCH"], "read, compared, sent");
    assert_eq!(seen[2].headers("if-match"), ["\"v1\""]);
    assert!(seen[0].headers("if-match").is_empty());
    let records = client.gate.home.records();
    let previews = records.iter().filter(|record| record["kind"] == "question" && record["tool"] == "preview");
    assert_eq!(previews.count(), 2, "each read is in the log");
    client.gate.finish();
}

#[test]
fn a_state_that_changed_after_the_question_sends_nothing_and_is_asked_about_anew() {
    for (case, etag, other) in [
        ("by tag", Some("\"v1\""), (Some("\"v2\""), r#"{"name":"old"}"#)),
        ("by text", None, (None, r#"{"name":"other"}"#)),
        ("a tag that is gone", Some("\"v1\""), (None, r#"{"name":"old"}"#)),
        ("by text under the same tag", Some("\"v1\""), (Some("\"v1\""), r#"{"name":"other"}"#)),
        ("by text under the same weak tag", Some("W/\"v1\""), (Some("W/\"v1\""), r#"{"name":"other"}"#)),
    ] {
        let item: Item = Arc::new(Mutex::new(("200 OK", etag, r#"{"name":"old"}"#)));
        let upstream = upstream(&item);
        let mut client = Client::new(&policy(&upstream, "true", READS));
        let body = Some(r#"{"name":"new"}"#);
        let (_, state) = client.ask("PATCH", body);
        *item.lock().unwrap() = ("200 OK", other.0, other.1);
        assert_eq!(client.approve("PATCH", body, &state).code(), "approval_expired", "{case}");
        assert_eq!(writes(&upstream), 0, "{case}");
        let (_, state) = client.ask("PATCH", body);
        assert!(client.approve("PATCH", body, &state).is_success(), "{case}");
        assert_eq!(writes(&upstream), 1, "{case}");
        client.gate.finish();
    }
}

#[test]
fn a_deletion_shows_what_would_vanish() {
    let item: Item = Arc::new(Mutex::new(("200 OK", Some("W/\"weak\""), r#"{"name":"old","labels":[1,2]}"#)));
    let upstream = upstream(&item);
    let mut client = Client::new(&policy(&upstream, "true", READS));
    let (message, state) = client.ask("DELETE", None);
    assert!(message.contains("would be gone") && message.contains("labels"), "{message}");
    assert!(client.approve("DELETE", None, &state).is_success());
    let sent = upstream.seen().pop().unwrap();
    assert_eq!((sent.method(), sent.headers("if-match").len()), ("DELETE", 0), "a weak tag matches nothing");
    client.gate.finish();
}

#[test]
fn a_write_whose_target_cannot_be_shown_is_refused_unless_the_policy_takes_less() {
    let fine = r#"{"name":"old"}"#;
    let refused = r#"
[[deny]]
id = "no-reading"
methods = ["GET"]
paths = ["/item/1"]
"#;
    let denied = format!("{READS}{refused}");
    for (case, item, more, code) in [
        ("no rule lets it be read", ("200 OK", None, fine), "", "denied"),
        ("a rule forbids it", ("200 OK", None, fine), denied.as_str(), "denied"),
        ("it is not there", ("404 Not Found", None, "{}"), READS, "upstream_error"),
        ("it is elsewhere", ("302 Found", None, ""), READS, "upstream_error"),
        ("it is no JSON", ("200 OK", None, "<html>"), READS, "upstream_error"),
        ("it is no object", ("200 OK", None, "7"), READS, "upstream_error"),
        ("it is empty", ("200 OK", None, ""), READS, "upstream_error"),
    ] {
        let item: Item = Arc::new(Mutex::new(item));
        let upstream = upstream(&item);
        let mut client = Client::new(&policy(&upstream, "true", more));
        let body = Some(r#"{"name":"new"}"#);
        assert_eq!(client.send("PUT", body, "").code(), code, "{case}");
        assert_eq!(writes(&upstream), 0, "{case}");
        client.gate.finish();
        let mut client = Client::new(&policy(&upstream, "\"if-possible\"", more));
        let (message, state) = client.ask("PUT", body);
        let (_, why) = message.split_once("What it changes is not known:\n").unwrap();
        let why = why.split("\nDigest").next().unwrap();
        assert!(!why.contains("was not sent") && !why.contains("cannot be shown"), "{case}: for the agent: {why}");
        assert!(client.approve("PUT", body, &state).is_success(), "{case}");
        assert_eq!(writes(&upstream), 1, "{case}");
        client.gate.finish();
    }
}

#[test]
fn what_was_read_with_the_agents_own_query_is_said_to_be_so_and_proves_nothing() {
    let item: Item = Arc::new(Mutex::new(("200 OK", None, "{}")));
    let upstream = upstream(&item);
    let mut client = Client::new(&policy(&upstream, "true", READS));
    client.more = r#","query":{"fields":"none"}"#;
    for (method, body) in [("PUT", Some("{}")), ("DELETE", None)] {
        let (message, _) = client.ask(method, body);
        assert!(message.contains("\nagent chose: it may leave things out.\n"), "{method}: {message}");
        assert!(!message.contains("Nothing would change"), "{method}: {message}");
    }
    client.more = "";
    let (message, _) = client.ask("PUT", Some("{}"));
    assert!(!message.contains("agent chose"), "{message}");
    client.gate.finish();
}

#[test]
fn an_approval_is_not_lost_to_a_limit_on_the_read_before_it() {
    let item: Item = Arc::new(Mutex::new(("200 OK", None, r#"{"name":"old"}"#)));
    for (case, more, limits) in [
        ("a rate", READS.replace("paths", "rate = \"1/h\"\npaths"), None),
        ("a day", READS.to_owned(), Some("daily = 2")),
    ] {
        let upstream = upstream(&item);
        let mut policy = policy(&upstream, "true", &more);
        if let Some(limits) = limits {
            policy = policy.replace("daily = \"unlimited\"", limits);
        }
        let mut client = Client::new(&policy);
        let body = Some(r#"{"name":"new"}"#);
        let (_, state) = client.ask("PATCH", body);
        assert!(client.approve("PATCH", body, &state).is_success(), "{case}");
        assert_eq!((upstream.count(), writes(&upstream)), (3, 1), "{case}: read, read again, sent");
        let home = Arc::clone(&client.gate.home);
        client.gate.finish();
        let records = home.records();
        let previews = records.iter().filter(|record| record["kind"] == "question" && record["tool"] == "preview");
        assert_eq!(previews.count(), 2, "{case}: each read is in the log");
    }
}

#[test]
fn the_form_shows_the_headers_that_the_policy_adds() {
    let item: Item = Arc::new(Mutex::new(("200 OK", None, "{}")));
    let upstream = upstream(&item);
    let policy = policy(&upstream, "false", "idempotency_key = true");
    let policy = policy.replacen("allow_http = true", "allow_http = true\nheaders = { X-Tenant = \"12\" }", 1);
    let mut client = Client::new(&policy);
    let (message, state) = client.ask("DELETE", None);
    let shown = "\nHeaders that the policy adds:\n    x-tenant: 12\n    idempotency-key: made for this call\n";
    assert!(message.contains(shown), "{message}");
    assert!(client.approve("DELETE", None, &state).is_success());
    assert_eq!(upstream.seen().pop().unwrap().headers("x-tenant"), ["12"]);
    client.gate.finish();
}

#[test]
fn a_question_at_the_desk_that_is_out_of_date_is_asked_anew_when_the_call_comes_again() {
    let item: Item = Arc::new(Mutex::new(("200 OK", None, r#"{"name":"old"}"#)));
    let upstream = upstream(&item);
    let mut client = Client::new(&policy(&upstream, "true", &format!("channel = \"desk\"\n{READS}")));
    let desk = Desk::of(&client.gate.home);
    let body = Some(r#"{"name":"new"}"#);
    let first = held_code(&client.send("PATCH", body, ""));
    assert_eq!(held_code(&client.send("PATCH", body, "")), first, "what is there did not change");
    *item.lock().unwrap() = ("200 OK", None, r#"{"name":"other"}"#);
    let second = held_code(&client.send("PATCH", body, ""));
    assert_ne!(second, first);
    let questions = desk.questions();
    assert_eq!(questions.len(), 1, "{questions:?}");
    assert!(questions[0]["message"].as_str().unwrap().contains(r#"~ name: "other" -> "new""#), "{questions:?}");
    desk.approve(&second);
    assert!(client.send("PATCH", body, "").is_success());
    assert_eq!(writes(&upstream), 1);
    client.gate.finish();
}

#[test]
fn a_write_carries_a_key_of_its_own_where_the_policy_asks_for_one() {
    let item: Item = Arc::new(Mutex::new(("200 OK", None, "{}")));
    let upstream = upstream(&item);
    let mut client = Client::new(&policy(&upstream, "false", "idempotency_key = true"));
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (_, state) = client.ask("DELETE", None);
        assert!(client.approve("DELETE", None, &state).is_success());
        let sent = upstream.seen().pop().unwrap();
        keys.push(sent.headers("idempotency-key").concat());
    }
    assert!(keys[0].len() >= 32 && keys[0] != keys[1], "{keys:?}");
    let logged: Vec<_> =
        client.gate.home.records().iter().filter_map(|r| Some(r["idempotency_key"].as_str()?.to_owned())).collect();
    assert_eq!(logged, keys, "the log has them");
    client.gate.finish();
}

#[test]
fn calls_that_nobody_may_be_asked_about_read_nothing() {
    let item: Item = Arc::new(Mutex::new(("200 OK", None, r#"{"name":"old"}"#)));
    let upstream = upstream(&item);
    let policy = policy(&upstream, "true", READS).replace("prompts = \"1000000/s\"", "prompts = \"2/day\"");
    let mut client = Client::new(&policy);
    let codes: Vec<_> = (0..20)
        .map(|number| {
            let answer = client.send("PATCH", Some(&format!(r#"{{"name":"{number}"}}"#)), "");
            if answer.message["result"]["requestState"].is_string() { "asked".to_owned() } else { answer.code() }
        })
        .collect();
    assert_eq!(codes.iter().filter(|code| *code == "asked").count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| *code == "throttled").count(), 18, "{codes:?}");
    assert_eq!(upstream.count(), 2, "one read for each question");
    client.gate.finish();
}

#[test]
fn what_a_person_saw_at_one_gate_is_compared_at_the_other() {
    let key = format!("[confirm]\nkey = {{ env = \"{KEY}\" }}");
    for (case, etag, body) in [("by tag", Some("\"v1\""), r#"{"name":"old"}"#), ("by text", None, r#"{"name":"old"}"#)]
    {
        let item: Item = Arc::new(Mutex::new(("200 OK", etag, body)));
        let upstream = upstream(&item);
        let home = Home::new(&policy(&upstream, "true", READS).replace("[confirm]", &key));
        let (mut one, mut other) = (Client::beside(&home), Client::beside(&home));
        let body = Some(r#"{"name":"new"}"#);
        let (_, state) = one.ask("PATCH", body);
        assert!(other.approve("PATCH", body, &state).is_success(), "{case}: it stands");
        let sent = upstream.seen().pop().unwrap();
        assert_eq!(sent.method(), "PATCH", "{case}");
        assert_eq!(sent.headers("if-match"), etag.into_iter().collect::<Vec<_>>(), "{case}");
        let (_, state) = one.ask("PATCH", body);
        *item.lock().unwrap() = ("200 OK", etag.map(|_| "\"v2\""), r#"{"name":"other"}"#);
        assert_eq!(other.approve("PATCH", body, &state).code(), "approval_expired", "{case}: it changed");
        assert_eq!(writes(&upstream), 1, "{case}");
        one.gate.finish();
        other.gate.finish();
    }
}
