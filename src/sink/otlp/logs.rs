//! Records as log records (`opentelemetry.proto.logs.v1`).

use serde::Serialize;

use super::value::{Attribute, Resource, SCOPE, Scope, Value, number, resource, text};
use crate::sink::batch::{Batch, Severity, View, hash};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_logs: [ResourceLogs; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs {
    resource: Resource,
    scope_logs: [ScopeLogs; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs {
    scope: Scope,
    log_records: Vec<LogRecord>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord {
    time_unix_nano: String,
    observed_time_unix_nano: String,
    severity_number: u8,
    severity_text: &'static str,
    event_name: String,
    body: Value,
    attributes: Vec<Attribute>,
}

/// The body of a request to `/v1/logs`.
pub(super) fn request(batch: &Batch, now: u128) -> serde_json::Result<Vec<u8>> {
    let log_records = batch.records().map(|(line, view)| record(&batch.log, line, view, now)).collect();
    let scope_logs = [ScopeLogs { scope: SCOPE, log_records }];
    serde_json::to_vec(&Request { resource_logs: [ResourceLogs { resource: resource(&batch.log), scope_logs }] })
}

fn record(log: &str, line: &str, view: &View, now: u128) -> LogRecord {
    let (severity_number, severity_text) = severity(view.severity());
    let mut attributes = vec![
        // By which a collector knows a record that comes again.
        text("log.record.uid", format!("{log}/{}", view.seq)),
        text("log.file.name", log),
        number("portcullis.seq", view.seq),
        text("portcullis.hash", hash(line)),
        text("portcullis.kind", view.kind.as_str()),
    ];
    let texts = [
        ("portcullis.call", view.call.as_deref()),
        ("portcullis.agent", view.agent.as_deref()),
        ("gen_ai.tool.name", view.tool.as_deref()),
        ("portcullis.verdict", view.verdict.as_deref()),
        ("portcullis.rule", view.rule.as_deref()),
        ("error.type", view.code()),
        ("http.request.method", view.method.as_deref()),
        ("url.path", view.path.as_deref()),
    ];
    attributes.extend(texts.into_iter().filter_map(|(key, value)| Some(text(key, value?))));
    attributes.extend(view.status.map(|status| number("http.response.status_code", status.into())));
    LogRecord {
        time_unix_nano: view.nanos().to_string(),
        observed_time_unix_nano: now.to_string(),
        severity_number,
        severity_text,
        event_name: format!("portcullis.{}", view.kind),
        body: Value::StringValue(line.to_owned()),
        attributes,
    }
}

/// `SeverityNumber`, and its short name.
fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Info => (9, "INFO"),
        Severity::Notice => (10, "INFO2"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    }
}
