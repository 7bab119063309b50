//! What is left when the session is over: the log, read and checked, and the sum of what the API received.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::DemoError;
use super::sample::Seen;
use super::scratch::Scratch;
use super::screen::{Screen, Tone};
use super::session::Spoken;
use super::walk::unexpected;
use crate::audit::verify::{Against, Fault, Summary, VerifyError, verify_file};

const LOG: &str = "The log";
const SEARCH: &str = "The search for the credential";

/// Which rule let the last forwarded request through, as the log says.
pub(super) fn granted(scratch: &Scratch) -> Result<String, DemoError> {
    let (_, text) = read_log(scratch)?;
    let last = text.lines().rev().filter_map(record).find(|record| word(record, "kind") == "question");
    let Some(question) = last.filter(|question| word(question, "verdict") == "allow") else {
        return Err(unexpected(LOG, "the intent of the forwarded request", "another record"));
    };
    let line = question.get("line").and_then(Value::as_u64).unwrap_or_default();
    let approved = match said(&question) {
        ("approved", place) => format!(", approved at the {place}"),
        _ => String::new(),
    };
    Ok(format!("allowed by rule {} (policy.toml:{line}){approved}", word(&question, "rule")))
}

/// Shows one call of each kind from the log and checks the whole of it; returns its text.
pub(super) fn show_log(screen: &mut Screen<'_>, scratch: &Scratch) -> Result<String, DemoError> {
    let (path, text) = read_log(scratch)?;
    let records: Vec<Value> = text.lines().filter_map(record).collect();
    screen.title(LOG)?;
    screen.paragraph(
        "Each call left a question, written before anything was sent, and an answer. What a \
         person was asked and said is there too. Values are kept as keyed digests. The first call of each kind:",
    )?;
    screen.blank()?;
    for line in excerpt(&records) {
        screen.row(&line, Tone::Plain)?;
    }
    screen.blank()?;
    screen.pair("verify", &verified(&path)?, Tone::Good)?;
    screen.pair("verify", &forged(&text, scratch)?, Tone::Refused)?;
    Ok(text)
}

/// What the verifier says of the log, which must be whole.
fn verified(path: &Path) -> Result<String, DemoError> {
    let against = Against::keys(&[], path).map_err(|error| unexpected(LOG, "a public key", &error.to_string()))?;
    let summary =
        verify_file(path, &against).map_err(|error| unexpected(LOG, "an unbroken chain", &error.to_string()))?;
    if !summary.stopped || summary.open > 0 || summary.questions != summary.answers {
        return Err(unexpected(LOG, "an answer to each question and an orderly end", &format!("{summary:?}")));
    }
    let Summary { records, questions, .. } = summary;
    Ok(format!("{records} records in an unbroken chain; {questions} calls asked, {questions} answered"))
}

/// What the verifier says of a copy in which one verdict was changed; it must not be taken in.
fn forged(text: &str, scratch: &Scratch) -> Result<String, DemoError> {
    let changed = text.replacen("\"verdict\":\"deny\"", "\"verdict\":\"allow\"", 1);
    let copy = scratch.place("changed.jsonl");
    std::fs::write(&copy, changed).map_err(DemoError::Scratch)?;
    match verify_file(&copy, &Against::default()) {
        Err(VerifyError::Record { line, fault: Fault::Chain }) => {
            Ok(format!("the same log with one `deny` changed to `allow`: broken before line {line}"))
        }
        Err(other) => Err(unexpected(LOG, "a broken chain in the changed copy", &other.to_string())),
        Ok(_) => Err(unexpected(LOG, "a broken chain in the changed copy", "a copy that verifies")),
    }
}

/// Looks for the credential in everything the gate wrote.
pub(super) fn search(token: &str, spoken: &Spoken, log: &str, scratch: &Scratch) -> Result<(), DemoError> {
    let policy = std::fs::read_to_string(scratch.policy()).map_err(DemoError::Scratch)?;
    let places = [
        ("what the agent received", spoken.stdout.as_str()),
        ("the gate's messages on stderr", spoken.stderr.as_str()),
        ("the log", log),
        ("the policy", policy.as_str()),
    ];
    let forms = forms(token);
    for (place, text) in places {
        if forms.iter().any(|form| text.contains(form.as_str())) {
            return Err(unexpected(SEARCH, "no trace of it", place));
        }
    }
    Ok(())
}

/// The end of the demo, on one screen.
pub(super) fn sum_up(screen: &mut Screen<'_>, received: &[Seen]) -> Result<(), DemoError> {
    screen.title(&format!("The API received exactly {} requests:", received.len()))?;
    for seen in received {
        screen.row(&seen.to_string(), Tone::Good)?;
    }
    screen.blank()?;
    screen.paragraph(
        "It received no delete, nothing for access tokens under any spelling, no traversal, nothing beyond the limit, and \
         of three writes the two that were approved. Each request above carried the credential, which was made up for this run; it appears nowhere in what \
         the agent received, in the gate's messages, in the log or in the policy (searched plain, in hex and in base64).",
    )?;
    screen.title("Next")?;
    screen.row("portcullis demo --serve    leaves this API up, to connect your own client", Tone::Plain)?;
    screen.row("policy.example.toml        a policy for the real API, with every key explained", Tone::Plain)?;
    screen.blank()?;
    Ok(())
}

fn read_log(scratch: &Scratch) -> Result<(PathBuf, String), DemoError> {
    let entries = std::fs::read_dir(scratch.state()).map_err(DemoError::Scratch)?;
    let path = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let Some(path) = path else {
        return Err(unexpected(LOG, "a log in the state directory", "none"));
    };
    let text = std::fs::read_to_string(&path).map_err(DemoError::Scratch)?;
    Ok((path, text))
}

/// Question and answer of the first call of each kind, one line each.
fn excerpt(records: &[Value]) -> Vec<String> {
    let mut kinds = Vec::new();
    let mut lines = Vec::new();
    for question in records.iter().filter(|record| word(record, "kind") == "question") {
        let kind = (word(question, "verdict"), said(question).0);
        if kinds.contains(&kind) {
            continue;
        }
        kinds.push(kind);
        let of_call = |kind: &str| {
            let call = word(question, "call");
            records.iter().find(|record| word(record, "kind") == kind && word(record, "call") == call)
        };
        lines.extend(of_call("ask").map(ask_line));
        lines.push(question_line(question));
        lines.extend(of_call("answer").map(answer_line));
    }
    lines
}

/// What a person said of a call, and where.
fn said(question: &Value) -> (&str, &str) {
    let of = |name: &str| question.get("person").and_then(|person| person.get(name)?.as_str()).unwrap_or_default();
    (of("said"), of("channel"))
}

fn ask_line(record: &Value) -> String {
    let (method, path) = (word(record, "method"), word(record, "path"));
    format!("{:>3}  ask               {}: {method} {path}", number(record, "seq"), word(record, "rule"))
}

fn question_line(record: &Value) -> String {
    let (said, place) = said(record);
    let request = format!("{} {}", word(record, "method"), word(record, "path"));
    let what = match (record.get("path"), word(record, "rule")) {
        // The request stands in the line above.
        _ if !said.is_empty() => format!("{said} at the {place}"),
        (None, _) => word(record, "cause").to_owned(),
        (Some(_), "") => request,
        (Some(_), rule) => format!("{rule}: {request}"),
    };
    format!("{:>3}  question  {:<6}  {what}", number(record, "seq"), word(record, "verdict"))
}

fn answer_line(record: &Value) -> String {
    let outcome = match record.get("status") {
        Some(status) => format!("{status}, {} bytes", number(record, "bytes")),
        None => word(record, "code").to_owned(),
    };
    let took = number(record, "duration_us");
    format!("{:>3}  answer            {outcome}, after {}.{} ms", number(record, "seq"), took / 1000, took % 1000 / 100)
}

fn record(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn word<'a>(record: &'a Value, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(record: &Value, name: &str) -> u64 {
    record.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// The credential plain, in hex, and in base64 at each of the three offsets it can have in a longer text.
fn forms(token: &str) -> Vec<String> {
    let mut forms = vec![token.to_owned(), token.bytes().map(|byte| format!("{byte:02x}")).collect()];
    for skipped in 0..3 {
        let mut form = STANDARD.encode(token.as_bytes().get(skipped..).unwrap_or_default());
        // The last characters depend on what follows the credential.
        form.truncate(form.len().saturating_sub(4));
        forms.push(form);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_is_found_in_every_form_it_is_searched_in() {
        let token = "made-up-0123456789abcdef";
        for before in ["", "u", "us", "user:", "Bearer "] {
            let text = STANDARD.encode(format!("{before}{token} and more"));
            assert!(forms(token).iter().any(|form| text.contains(form.as_str())), "{before}");
        }
    }
}
