//! A call as an event of the Open Cybersecurity Schema Framework: class API Activity, profile Security Control.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::super::record::Record;

/// The schema's version.
const VERSION: &str = "1.6.0";
/// The class API Activity, of the category Application Activity.
const CLASS: u32 = 6_003;

pub(super) fn event(log: &Path, question: &Record, answer: Option<&Record>) -> Value {
    let (activity, name) = activity(question);
    let code = answer.and_then(Record::code).or_else(|| question.code());
    let (status, status_name) = if code.is_none() { (1, "Success") } else { (2, "Failure") };
    let operation = if question.operation.is_empty() { question.subject() } else { question.operation.clone() };
    let mut event = json!({
        "class_uid": CLASS,
        "class_name": "API Activity",
        "category_uid": 6,
        "category_name": "Application Activity",
        "activity_id": activity,
        "activity_name": name,
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("API Activity: {name}"),
        "time": milliseconds(&question.time),
        "status_id": status,
        "status": status_name,
        "metadata": metadata(log, question),
        "actor": { "user": { "name": question.agent, "uid": question.agent } },
        "src_endpoint": { "name": question.agent },
        "api": { "operation": operation, "request": { "uid": question.call } },
        "unmapped": unmapped(question),
    });
    judged(&mut event, ["allow", "report"].contains(&&*question.verdict));
    if !question.method.is_empty() {
        add(&mut event, "http_request", json!({ "http_method": question.method, "url": { "path": question.path } }));
    }
    if let Some(http) = answer.and_then(|answer| answer.status) {
        add(&mut event, "http_response", json!({ "code": http, "length": answer.and_then(|answer| answer.bytes) }));
    }
    if let Some(duration) = answer.and_then(|answer| answer.duration_us) {
        add(&mut event, "duration", (duration / 1_000).into());
    }
    if let Some(code) = code {
        add(&mut event, "status_code", code.into());
        let cause = answer.map(|answer| answer.cause.as_str()).filter(|cause| !cause.is_empty());
        add(&mut event, "status_detail", cause.unwrap_or(&question.cause).into());
    }
    event
}

fn metadata(log: &Path, question: &Record) -> Value {
    json!({
        "version": VERSION,
        "profiles": ["security_control"],
        "product": { "name": "Portcullis", "vendor_name": "Portcullis", "version": env!("CARGO_PKG_VERSION") },
        "log_name": log.file_name().unwrap_or_default().to_string_lossy(),
        "sequence": question.seq,
        "uid": question.call,
        "original_time": question.time,
    })
}

/// The profile's words: the action on the request, what became of it, and how much it matters.
fn judged(event: &mut Value, allowed: bool) {
    let (severity, severity_name) = if allowed { (1, "Informational") } else { (2, "Low") };
    let (id, action, disposition) = if allowed { (1, "Allowed", "Allowed") } else { (2, "Denied", "Blocked") };
    add(event, "severity_id", severity.into());
    add(event, "severity", severity_name.into());
    add(event, "action_id", id.into());
    add(event, "action", action.into());
    add(event, "disposition_id", id.into());
    add(event, "disposition", disposition.into());
}

/// What the schema has no place for.
fn unmapped(question: &Record) -> Value {
    let person = question.person.as_ref().map(|person| {
        json!({
            "said": person.said,
            "channel": person.channel,
            "client": person.client,
            "uid": person.uid,
            "took_ms": person.took_ms,
        })
    });
    json!({
        "tool": question.tool,
        "verdict": question.verdict,
        "rule": question.rule,
        "rule_line": question.line,
        "effect": question.effect,
        "credential": question.credential,
        "request_digest": question.digest,
        "cause": question.cause,
        "person": person,
    })
}

fn add(event: &mut Value, name: &str, value: Value) {
    if let Some(object) = event.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// The schema's activities: 1 create, 2 read, 3 update, 4 delete, 99 other.
fn activity(question: &Record) -> (u32, &'static str) {
    match (question.method.as_str(), question.effect.as_str()) {
        ("GET" | "HEAD" | "OPTIONS", _) | ("POST", "read") | ("", _) => (2, "Read"),
        ("POST", _) => (1, "Create"),
        ("PUT" | "PATCH", _) => (3, "Update"),
        ("DELETE", _) => (4, "Delete"),
        _ => (99, "Other"),
    }
}

fn milliseconds(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(time.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_is_a_blocked_delete() {
        let question: Record = serde_json::from_str(
            r#"{"seq":7,"time":"2026-01-02T03:04:05.678Z","call":"c-1","agent":"stdio:1","tool":"api_send","verdict":"deny","rule":"reads","method":"DELETE","path":"/a/1","code":"denied","cause":"no"}"#,
        )
        .unwrap();
        let event = event(Path::new("/x/audit.jsonl"), &question, None);
        assert_eq!((&event["type_uid"], &event["activity_name"]), (&json!(600_304), &json!("Delete")));
        assert_eq!((&event["disposition"], &event["status_code"]), (&json!("Blocked"), &json!("denied")));
        assert_eq!(event["time"], json!(1_767_323_045_678_u64));
        assert_eq!(event["http_request"], json!({ "http_method": "DELETE", "url": { "path": "/a/1" } }));
        assert_eq!(event["metadata"]["log_name"], json!("audit.jsonl"));
    }
}
