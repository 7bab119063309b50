//! OTLP over HTTP in JSON, held against the protocol's own shapes by a strict reader: a member that is none fails the test.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::common::{
    gate::{Home, Launch},
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
fn told() -> (std::sync::Arc<Home>, Vec<Seen>) {
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
    let [calls, durations, waiting] = &metrics[..] else { panic!("three metrics: {metrics:?}") };
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
}
