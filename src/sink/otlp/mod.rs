//! OTLP over HTTP in its JSON encoding: a log record for each record, and metrics of the calls.
//!
//! Promises to send logs in order and again until they are taken, as the protocol's own retries do, but also where it would drop
//! them: a record that a collector refuses is not lost here. Metrics are cumulative, so that one that is lost is made up for.

mod logs;
mod metrics;
mod value;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;

use self::metrics::Metrics;
use super::batch::{Batch, nanos};
use super::{Failure, Then, Waiting};
use crate::clock::Clock;
use crate::upstream::post::{Post, Said};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(15);

/// One collector.
#[derive(Debug)]
pub(super) struct Otlp {
    post: Post,
    logs: Option<Url>,
    to_metrics: Option<Url>,
    metrics: Metrics,
    sent: Duration,
    clock: Arc<dyn Clock>,
}

/// What a collector says of a batch that it took (`ExportLogsServiceResponse`).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: Partial,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Partial {
    /// A 64-bit number, which JSON writes as text; some collectors do not.
    rejected_log_records: serde_json::Value,
    error_message: String,
}

impl Otlp {
    pub(super) fn new(post: Post, base: &Url, clock: Arc<dyn Clock>) -> Self {
        // The base ends with a slash, so that both follow it.
        let (logs, to_metrics) = (base.join("v1/logs").ok(), base.join("v1/metrics").ok());
        let metrics = Metrics::new(nanos(clock.wall()));
        Self { post, logs, to_metrics, metrics, sent: clock.monotonic(), clock }
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Result<(), Failure> {
        let body = logs::request(batch, nanos(self.clock.wall()));
        let said = send(&mut self.post, self.logs.as_ref(), body).await?;
        Failure::unless_taken(&said)?;
        let answer: Answer = serde_json::from_slice(&said.body).unwrap_or_default();
        let Partial { rejected_log_records, error_message } = answer.partial_success;
        if !matches!(rejected_log_records.to_string().trim_matches('"'), "0" | "null" | "") {
            // The protocol forbids to send them again.
            tracing::warn!(%rejected_log_records, error_message, "a collector took a batch and not all of its records");
        }
        Ok(())
    }

    /// Counts the calls of a batch that was taken.
    pub(super) fn count(&mut self, batch: &Batch) {
        batch.records().for_each(|(_, view)| self.metrics.count(view));
        self.metrics.log(&batch.log);
    }

    pub(super) async fn tend(&mut self, waiting: &Waiting, end: bool) {
        let now = self.clock.monotonic();
        if !end && now.saturating_sub(self.sent) < METRICS_EVERY {
            return;
        }
        self.sent = now;
        let body = self.metrics.request(waiting, nanos(self.clock.wall()));
        let sent = send(&mut self.post, self.to_metrics.as_ref(), body).await;
        if let Err(failure) = sent.and_then(|said| Failure::unless_taken(&said)) {
            tracing::debug!(?failure, "metrics were not taken; the next ones say the same and more");
        }
    }
}

async fn send(post: &mut Post, url: Option<&Url>, body: serde_json::Result<Vec<u8>>) -> Result<Said, Failure> {
    let own = |detail: String| Failure { cause: "internal", detail, retry_after: None, then: Then::Again };
    let Some(url) = url else { return Err(own("no address".to_owned())) };
    let body = body.map_err(|error| own(error.to_string()))?;
    let headers: [(HeaderName, HeaderValue); 1] = [(CONTENT_TYPE, JSON)];
    post.send(url, headers, body).await.map_err(|error| Failure::http(&error))
}
