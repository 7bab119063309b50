//! What the calls of one process come to, as metrics (`opentelemetry.proto.metrics.v1`): cumulative since its start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::value::{Attribute, Resource, SCOPE, Scope, resource, text};
use crate::sink::batch::View;
use crate::sink::{Count, Counts};

/// The bounds of `http.server.request.duration`, in microseconds.
const BOUNDS: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000,
    7_500_000, 10_000_000,
];
/// Series of one metric; verdicts and codes are few.
const MOST_SERIES: usize = 64;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u8 = 2;

/// Counts since the start of the process.
#[derive(Debug)]
pub(super) struct Metrics {
    start: u128,
    log: String,
    /// By verdict and code.
    calls: BTreeMap<(String, String), u64>,
    /// By code.
    durations: BTreeMap<String, Durations>,
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [u64; BOUNDS.len() + 1],
    micros: u64,
    count: u64,
}

impl Metrics {
    pub(super) fn new(start: u128) -> Self {
        Self { start, log: String::new(), calls: BTreeMap::new(), durations: BTreeMap::new() }
    }

    /// Whose metrics these are.
    pub(super) fn log(&mut self, log: &str) {
        if self.log.is_empty() {
            log.clone_into(&mut self.log);
        }
    }

    pub(super) fn count(&mut self, view: &View) {
        let code = view.code().unwrap_or_default().to_owned();
        match (view.kind.as_str(), &view.verdict, view.duration_us) {
            ("question", Some(verdict), _) => {
                if let Some(calls) = series(&mut self.calls, (verdict.clone(), code)) {
                    *calls += 1;
                }
            }
            ("answer", _, Some(micros)) => {
                if let Some(durations) = series(&mut self.durations, code) {
                    durations.add(micros);
                }
            }
            _ => {}
        }
    }

    /// The body of a request to `/v1/metrics`.
    pub(super) fn request(&self, counts: &Counts, now: u128) -> serde_json::Result<Vec<u8>> {
        let time = Time { start: self.start.to_string(), now: now.to_string() };
        let error = |code: &String| (!code.is_empty()).then(|| text("error.type", code.as_str()));
        let calls = self.calls.iter().map(|((verdict, code), count)| {
            let attributes = [text("portcullis.verdict", verdict.as_str())].into_iter().chain(error(code)).collect();
            Number::new(attributes, Some(&time.start), &time.now, *count)
        });
        let durations = self.durations.iter().map(|(code, durations)| Histogram {
            attributes: error(code).into_iter().collect(),
            start_time_unix_nano: time.start.clone(),
            time_unix_nano: time.now.clone(),
            count: durations.count.to_string(),
            sum: seconds(durations.micros),
            bucket_counts: durations.buckets.map(|count| count.to_string()),
            explicit_bounds: BOUNDS.map(seconds),
        });
        let of_sinks = |start: Option<&String>, count: fn(&Count) -> &AtomicU64| {
            let points = counts.0.iter().map(|one| {
                let attributes = vec![text("portcullis.sink", one.sink.as_str())];
                Number::new(attributes, start, &time.now, count(one).load(Ordering::Relaxed))
            });
            points.collect()
        };
        let waiting = Gauge { data_points: of_sinks(None, |count| &count.waiting) };
        let refused = Sum {
            data_points: of_sinks(Some(&time.start), |count| &count.refused),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        };
        let calls = Sum { data_points: calls.collect(), aggregation_temporality: CUMULATIVE, is_monotonic: true };
        let durations = Histograms { data_points: durations.collect(), aggregation_temporality: CUMULATIVE };
        let mut metrics = Vec::with_capacity(4);
        if !calls.data_points.is_empty() {
            metrics.push(Metric::new("portcullis.calls", "Calls, by verdict.", "{call}", Data::Sum(calls)));
        }
        if !durations.data_points.is_empty() {
            let data = Data::Histogram(durations);
            metrics.push(Metric::new("portcullis.call.duration", "From a call to its answer.", "s", data));
        }
        let data = Data::Gauge(waiting);
        metrics.push(Metric::new("portcullis.sink.waiting", "Records that a sink has not taken.", "{record}", data));
        let data = Data::Sum(refused);
        metrics.push(Metric::new("portcullis.sink.refused", "Records that a sink will not have.", "{record}", data));
        let scope_metrics = [ScopeMetrics { scope: SCOPE, metrics }];
        serde_json::to_vec(&Request {
            resource_metrics: [ResourceMetrics { resource: resource(&self.log), scope_metrics }],
        })
    }
}

impl Durations {
    fn add(&mut self, micros: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.micros = self.micros.saturating_add(micros);
    }
}

/// The series of this key, unless there are too many.
fn series<K: Ord, V: Default>(all: &mut BTreeMap<K, V>, key: K) -> Option<&mut V> {
    if all.len() >= MOST_SERIES && !all.contains_key(&key) {
        return None;
    }
    Some(all.entry(key).or_default())
}

struct Time {
    start: String,
    now: String,
}

#[expect(clippy::cast_precision_loss, reason = "a sum of durations needs no more than 52 bits to be told")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_metrics: [ResourceMetrics; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics {
    resource: Resource,
    scope_metrics: [ScopeMetrics; 1],
}

#[derive(Debug, Serialize)]
struct ScopeMetrics {
    scope: Scope,
    metrics: Vec<Metric>,
}

#[derive(Debug, Serialize)]
struct Metric {
    name: &'static str,
    description: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    data: Data,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Data {
    Sum(Sum),
    Histogram(Histograms),
    Gauge(Gauge),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    data_points: Vec<Number>,
    aggregation_temporality: u8,
    is_monotonic: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gauge {
    data_points: Vec<Number>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Histograms {
    data_points: Vec<Histogram>,
    aggregation_temporality: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Number {
    attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time_unix_nano: Option<String>,
    time_unix_nano: String,
    as_int: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Histogram {
    attributes: Vec<Attribute>,
    start_time_unix_nano: String,
    time_unix_nano: String,
    count: String,
    sum: f64,
    bucket_counts: [String; BOUNDS.len() + 1],
    explicit_bounds: [f64; BOUNDS.len()],
}

impl Metric {
    fn new(name: &'static str, description: &'static str, unit: &'static str, data: Data) -> Self {
        Self { name, description, unit, data }
    }
}

impl Number {
    fn new(attributes: Vec<Attribute>, start: Option<&String>, now: &str, value: u64) -> Self {
        let start_time_unix_nano = start.cloned();
        Self { attributes, start_time_unix_nano, time_unix_nano: now.to_owned(), as_int: value.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_belongs_to_the_bucket_below_it() {
        let mut durations = Durations::default();
        for micros in [0, 5_000, 5_001, 10_000_000, 10_000_001] {
            durations.add(micros);
        }
        assert_eq!(
            (durations.buckets[0], durations.buckets[1], durations.buckets[13], durations.buckets[14]),
            (2, 1, 1, 1)
        );
        assert_eq!((durations.count, durations.buckets.iter().sum::<u64>()), (5, 5));
    }
}
