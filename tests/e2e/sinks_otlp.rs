//! OTLP over HTTP in JSON, held against the protocol's own shapes by a strict reader: a member that is none fails the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::common::{
    canary::files,
    gate::{Answer, Gate, Home, Launch},
    policy,
    recorder::{Recorder, Reply, Seen},
    sink::name,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogsRequest {
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceLogs {
    resource: Resource,
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScopeLogs {
    scope: Scope,
    log_records: Vec<LogRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogRecord {
    time_unix_nano: String,
    observed_time_unix_nano: String,
    severity_number: u8,
    severity_text: String,
    event_name: String,
    body: AnyValue,
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MetricsRequest {
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceMetrics {
    resource: Resource,
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeMetrics {
    scope: Scope,
    metrics: Vec<Metric>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    description: String,
    unit: String,
    sum: Option<Sum>,
    histogram: Option<Histogram>,
    gauge: Option<Gauge>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sum {
    data_points: Vec<Number>,
    aggregation_temporality: u8,
    is_monotonic: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Gauge {
    data_points: Vec<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Histogram {
    data_points: Vec<Buckets>,
    aggregation_temporality: u8,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Number {
    attributes: Vec<KeyValue>,
    #[serde(default)]
    start_time_unix_nano: String,
    time_unix_nano: String,
    as_int: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Buckets {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: String,
    time_unix_nano: String,
    count: String,
    sum: f64,
    bucket_counts: Vec<String>,
    explicit_bounds: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    name: String,
    version: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum AnyValue {
    StringValue(String),
    IntValue(String),
}

impl AnyValue {
    fn text(&self) -> &str {
        match self {
            Self::StringValue(text) => text,
            Self::IntValue(number) => {
                number.parse::<i64>().expect("a 64-bit number is text in JSON");
                number
            }
        }
    }
}

fn map(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.value.text())).collect()
}

fn to<'s>(seen: &'s [Seen], target: &str) -> Vec<&'s Seen> {
    let these: Vec<_> = seen.iter().filter(|seen| seen.target() == target).collect();
    for seen in &these {
        assert_eq!((seen.method(), seen.headers("content-type")), ("POST", vec!["application/json"]));
        assert_eq!(seen.headers("authorization"), ["Bearer of-the-collector"], "its own credential");
    }
    these
}

/// What a collector got of a gate that made some calls, and the lines of its log.
fn told() -> (Arc<Home>, Vec<Seen>) {
    let (upstream, collector) = (Recorder::plain(), Recorder::start(|_| Reply::json("{\"partialSuccess\":{}}")));
    let sink = format!(
        "\n[[audit.sinks]]\nname = \"collector\"\notlp = \"{}otlp\"\nallow_http = true\ncredential = {{ bearer = {{ env = \"COLLECTOR\" }} }}\n",
        collector.base_url()
    );
    let home = Home::new(&format!("{}{sink}", policy::a(&upstream)));
    let mut gate = Launch::new(&home).env("COLLECTOR", "of-the-collector").start();
    for _ in 0..3 {
        assert!(gate.get("/api/v1/organization/1").is_success());
    }
    assert_eq!(gate.get("/api/v1/user/me").code(), "denied");
    gate.finish();
    for seen in collector.seen() {
        home.canary.search("what a collector got", &[seen.head.as_bytes(), &seen.body].concat());
    }
    (home, collector.seen())
}

#[test]
fn every_record_is_one_log_record_with_standard_names() {
    let (home, seen) = told();
    let log = &home.logs()[0];
    let text = std::fs::read_to_string(log).expect("the log");
    let mut lines = text.lines();
    for request in to(&seen, "/otlp/v1/logs") {
        let request: LogsRequest = serde_json::from_slice(&request.body).expect("the shape of the protocol");
        for ResourceLogs { resource, scope_logs } in request.resource_logs {
            assert_eq!(map(&resource.attributes)["service.name"], "portcullis");
            assert_eq!(format!("{}.jsonl", map(&resource.attributes)["service.instance.id"]), name(log));
            for ScopeLogs { scope, log_records } in scope_logs {
                assert_eq!(
                    (scope.name.as_str(), scope.version.as_str()),
                    ("portcullis.audit", env!("CARGO_PKG_VERSION"))
                );
                log_records.iter().for_each(|record| assert_record(record, lines.next().expect("a line"), log));
            }
        }
    }
    assert_eq!(lines.next(), None, "the collector has every line");
}

fn assert_record(record: &LogRecord, line: &str, log: &std::path::Path) {
    assert_eq!(record.body.text(), line);
    let told: Value = serde_json::from_str(line).expect("a record");
    let attributes = map(&record.attributes);
    let hash: String = Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(attributes["portcullis.hash"], hash);
    assert_eq!(attributes["portcullis.seq"], told["seq"].to_string());
    assert_eq!(attributes["log.record.uid"], format!("{}/{}", name(log), told["seq"]));
    assert_eq!(record.event_name, format!("portcullis.{}", told["kind"].as_str().expect("a kind")));
    let nanos: u128 = record.time_unix_nano.parse().expect("a number");
    let time = humantime::parse_rfc3339(told["time"].as_str().expect("a time")).expect("a time");
    assert_eq!(nanos, time.duration_since(std::time::UNIX_EPOCH).expect("after it").as_nanos());
    assert!(record.observed_time_unix_nano.parse::<u128>().is_ok_and(|observed| observed >= nanos));
    for (key, member) in [
        ("http.request.method", "method"),
        ("url.path", "path"),
        ("gen_ai.tool.name", "tool"),
        ("error.type", "code"),
        ("portcullis.verdict", "verdict"),
        ("portcullis.rule", "rule"),
    ] {
        assert_eq!(attributes.get(key).copied(), told[member].as_str(), "{key}");
    }
    assert_eq!(
        attributes.get("http.response.status_code").map(|status| json!(status.parse::<u16>().ok())).unwrap_or_default(),
        told["status"]
    );
    let severity = (record.severity_number, record.severity_text.as_str());
    let refused = told["verdict"] == "deny" || told["code"] == "denied";
    assert_eq!(severity, if refused { (13, "WARN") } else { (9, "INFO") }, "{line}");
}

#[test]
fn metrics_count_calls_their_time_and_what_waits() {
    let (_, seen) = told();
    let last = to(&seen, "/otlp/v1/metrics").pop().expect("metrics at the end");
    let request: MetricsRequest = serde_json::from_slice(&last.body).expect("the shape of the protocol");
    let [ResourceMetrics { resource, scope_metrics }] = &request.resource_metrics[..] else { panic!("one resource") };
    assert_eq!(map(&resource.attributes)["service.name"], "portcullis");
    let [ScopeMetrics { scope, metrics }] = &scope_metrics[..] else { panic!("one scope") };
    assert_eq!((scope.name.as_str(), scope.version.is_empty()), ("portcullis.audit", false));
    let [calls, durations, waiting, refused] = &metrics[..] else { panic!("four metrics: {metrics:?}") };
    assert!(metrics.iter().all(|metric| !metric.description.is_empty()));

    let sum = calls.sum.as_ref().expect("a sum");
    assert_eq!((calls.name.as_str(), calls.unit.as_str()), ("portcullis.calls", "{call}"));
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let counted: BTreeMap<_, _> = sum
        .data_points
        .iter()
        .map(|point| {
            assert!(point.start_time_unix_nano < point.time_unix_nano, "{point:?}");
            let attributes = map(&point.attributes);
            ((attributes["portcullis.verdict"], attributes.get("error.type").copied()), point.as_int.as_str())
        })
        .collect();
    assert_eq!(counted, BTreeMap::from([(("allow", None), "3"), (("deny", Some("denied")), "1")]));

    let histogram = durations.histogram.as_ref().expect("a histogram");
    assert_eq!((durations.name.as_str(), durations.unit.as_str()), ("portcullis.call.duration", "s"));
    assert_eq!(histogram.aggregation_temporality, 2);
    for point in &histogram.data_points {
        let buckets: Vec<u64> = point.bucket_counts.iter().map(|count| count.parse().expect("a number")).collect();
        assert_eq!(buckets.len(), point.explicit_bounds.len() + 1);
        assert_eq!(buckets.iter().sum::<u64>().to_string(), point.count);
        assert!(point.sum > 0.0 && point.start_time_unix_nano < point.time_unix_nano);
        let error = map(&point.attributes).get("error.type").copied();
        assert_eq!(point.count, if error.is_some() { "1" } else { "3" });
    }

    let gauge = waiting.gauge.as_ref().expect("a gauge");
    assert_eq!((waiting.name.as_str(), waiting.unit.as_str()), ("portcullis.sink.waiting", "{record}"));
    let [point] = &gauge.data_points[..] else { panic!("one sink") };
    assert_eq!((map(&point.attributes)["portcullis.sink"], point.as_int.as_str()), ("collector", "0"));
    assert!(point.start_time_unix_nano.is_empty());

    let sum = refused.sum.as_ref().expect("a sum");
    assert_eq!((refused.name.as_str(), refused.unit.as_str()), ("portcullis.sink.refused", "{record}"));
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let [point] = &sum.data_points[..] else { panic!("one sink") };
    assert_eq!((map(&point.attributes)["portcullis.sink"], point.as_int.as_str()), ("collector", "0"));
}

/// How many records a collector got, and how many of them it says that it refuses.
fn refusing(refuse: bool) -> (Recorder, Arc<AtomicU64>) {
    let refused = Arc::<AtomicU64>::default();
    let count = refused.clone();
    let collector = Recorder::start(move |seen| {
        if seen.target() != "/otlp/v1/logs" || !refuse {
            return Reply::json("{}");
        }
        count.fetch_add(1, Ordering::SeqCst);
        Reply::json(r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"one too many"}}"#)
    });
    (collector, refused)
}

fn with_collector(upstream: &Recorder, collector: &Recorder, more: &str) -> Arc<Home> {
    let sink = format!(
        "\n[[audit.sinks]]\nname = \"collector\"\notlp = \"{}otlp\"\nallow_http = true\n{more}\n",
        collector.base_url()
    );
    let policy = policy::b(upstream, policy::NEVER).replace(r#"timeout = "20s""#, r#"timeout = "2s""#);
    Home::new(&format!("{policy}{sink}"))
}

fn write(gate: &mut Gate) -> Answer {
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": { "label": "x" } });
    gate.call("api_send", &write)
}

#[test]
fn records_that_a_collector_rejects_are_not_sent_again_and_are_told_counted_and_noted() {
    let (upstream, (collector, refused)) = (Recorder::plain(), refusing(true));
    let home = with_collector(&upstream, &collector, "");
    let mut gate = Launch::new(&home).start();
    assert!(write(&mut gate).is_success(), "nothing waits for it");
    gate.log_until("it is in the log", |records| records.iter().any(|record| record["state"] == "refused"));
    assert!(gate.stderr().contains("a sink refuses records of the audit log"), "{}", gate.stderr());
    gate.finish();
    let seen = collector.seen();
    let mut uids = BTreeSet::new();
    for request in seen.iter().filter(|seen| seen.target() == "/otlp/v1/logs") {
        let request: LogsRequest = serde_json::from_slice(&request.body).expect("the shape of the protocol");
        let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        for record in scopes.flat_map(|scope| scope.log_records) {
            assert!(uids.insert(map(&record.attributes)["log.record.uid"].to_owned()), "it came twice: {record:?}");
        }
    }
    let refused = refused.load(Ordering::SeqCst);
    let last = seen.iter().rfind(|seen| seen.target() == "/otlp/v1/metrics").expect("metrics");
    let metrics = String::from_utf8_lossy(&last.body);
    let (_, told) = metrics.split_once("portcullis.sink.refused").expect("the metric");
    assert!(told.contains(&format!("\"asInt\":\"{refused}\"")), "{refused}: {told}");
    let notes: Vec<_> =
        files(&home.state()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "refused")).collect();
    let [notes] = &notes[..] else { panic!("one file: {notes:?}") };
    let notes = std::fs::read_to_string(notes).expect("notes");
    assert_eq!(notes.lines().count() as u64, refused, "{notes}");
    assert!(notes.contains("one too many"), "{notes}");
}

#[test]
fn a_required_collector_that_rejects_records_lets_no_write_pass() {
    for (refuse, passes) in [(true, false), (false, true)] {
        let (upstream, (collector, _)) = (Recorder::plain(), refusing(refuse));
        let home = with_collector(&upstream, &collector, "require = true");
        let mut gate = Launch::new(&home).start();
        let answer = write(&mut gate);
        assert_eq!(answer.is_success(), passes, "{answer:?}");
        assert_eq!(upstream.count(), usize::from(passes));
        let behind = gate
            .log_until("the answer is in the log", |records| records.iter().any(|record| record["kind"] == "answer"));
        assert_eq!(behind.iter().any(|record| record["state"] == "behind" && record["cause"] == "refused"), refuse);
        gate.signal(rustix::process::Signal::KILL);
        gate.expect_killed();
    }
}
