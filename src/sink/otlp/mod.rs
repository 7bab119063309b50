//! OTLP over HTTP in its JSON encoding: a log record for each record, and metrics of the calls.
//!
//! Promises to send logs in order and again until they are taken, as the protocol's own retries do, but also where it would drop
//! them. What a collector says that it rejected is told. Metrics are cumulative, so that one that is lost is made up for; nothing
//! waits for them.

mod logs;
mod metrics;
mod value;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::task::JoinHandle;

use self::metrics::Metrics;
use super::batch::{Batch, nanos};
use super::{Counts, Failure, Taken, Then};
use crate::clock::Clock;
use crate::upstream::error::UpstreamError;
use crate::upstream::post::{Post, Said};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(15);
/// For the last of them, at the end of the process.
const LAST_METRICS: Duration = Duration::from_secs(2);
/// What is kept of what a collector says of its own accord, in characters.
const MOST_SAID: usize = 200;

/// One collector.
#[derive(Debug)]
pub(super) struct Otlp {
    post: Post,
    logs: Option<Url>,
    to_metrics: Option<Url>,
    metrics: Metrics,
    sent: Duration,
    /// Metrics on their way.
    letter: Option<JoinHandle<Result<Said, UpstreamError>>>,
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
        Self { post, logs, to_metrics, metrics, sent: clock.monotonic(), letter: None, clock }
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let (url, body) = ready(self.logs.as_ref(), logs::request(batch, nanos(self.clock.wall())))?;
        let said = self.post.send(url, [(CONTENT_TYPE, JSON)], body).await.map_err(|error| Failure::http(&error))?;
        Failure::unless_taken(&said)?;
        Ok(taken(&said.body, batch.views.len() as u64))
    }

    /// Counts the calls of a batch that was taken.
    pub(super) fn count(&mut self, batch: &Batch) {
        batch.records().for_each(|(_, view)| self.metrics.count(view));
        self.metrics.log(&batch.log);
    }

    pub(super) async fn tend(&mut self, counts: &Counts, end: bool) {
        let now = self.clock.monotonic();
        if !end && now.saturating_sub(self.sent) < METRICS_EVERY {
            return;
        }
        match self.letter.take() {
            // A collector that hangs gets no second request.
            Some(letter) if !letter.is_finished() && !end => return self.letter = Some(letter),
            Some(letter) if letter.is_finished() => self.told(letter.await.ok()).await,
            Some(letter) => letter.abort(),
            None => {}
        }
        self.sent = now;
        match ready(self.to_metrics.as_ref(), self.metrics.request(counts, nanos(self.clock.wall()))) {
            Ok((url, body)) => {
                self.letter = Some(tokio::spawn(self.post.letter(url, vec![(CONTENT_TYPE, JSON)], body)));
            }
            Err(failure) => tracing::debug!(?failure, "metrics could not be sent"),
        }
        if end && let Some(letter) = self.letter.take() {
            let last = tokio::time::timeout(LAST_METRICS, letter).await;
            self.told(last.ok().and_then(Result::ok)).await;
        }
    }

    /// What became of metrics; `None` where that is not known.
    async fn told(&mut self, said: Option<Result<Said, UpstreamError>>) {
        let failure = match &said {
            Some(Ok(said)) => {
                self.post.heard(said).await;
                Failure::unless_taken(said).err()
            }
            Some(Err(error)) => Some(Failure::http(error)),
            None => None,
        };
        if let Some(failure) = failure {
            tracing::debug!(?failure, "metrics were not taken; the next ones say the same and more");
        }
    }
}

fn ready(url: Option<&Url>, body: serde_json::Result<Vec<u8>>) -> Result<(&Url, Vec<u8>), Failure> {
    let own = |detail: String| Failure { cause: "internal", detail, retry_after: None, then: Then::Again };
    let url = url.ok_or_else(|| own("no address".to_owned()))?;
    Ok((url, body.map_err(|error| own(error.to_string()))?))
}

/// Reads how many of so many records were taken. What is no answer of the protocol says nothing against it.
fn taken(answer: &[u8], records: u64) -> Taken {
    let answer: Answer = serde_json::from_slice(answer).unwrap_or_default();
    let Partial { rejected_log_records, error_message } = answer.partial_success;
    let refused = match rejected_log_records {
        serde_json::Value::Null => 0,
        serde_json::Value::String(text) if text.is_empty() => 0,
        serde_json::Value::String(text) => text.parse().unwrap_or(records),
        serde_json::Value::Number(number) => number.as_u64().unwrap_or(records),
        // No number at all: some are, and it does not say how many.
        serde_json::Value::Bool(_) | serde_json::Value::Array(_) | serde_json::Value::Object(_) => records,
    };
    match refused.min(records) {
        0 => Taken::All,
        refused => Taken::Part { refused, cause: error_message.chars().take(MOST_SAID).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::policy::{Destination, Endpoint, SinkSpec};
    use crate::upstream::source::Surroundings;

    #[test]
    fn an_answer_says_how_many_records_were_not_taken() {
        for (answer, refused) in [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":{"rejectedLogRecords":"0","errorMessage":"slow"}}"#, 0),
            (r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"why"}}"#, 2),
            (r#"{"partialSuccess":{"rejectedLogRecords":2}}"#, 2),
            (r#"{"partialSuccess":{"rejectedLogRecords":"99"}}"#, 5),
            (r#"{"partialSuccess":{"rejectedLogRecords":true}}"#, 5),
        ] {
            let told = match taken(answer.as_bytes(), 5) {
                Taken::All => 0,
                Taken::Part { refused, .. } => refused,
            };
            assert_eq!(told, refused, "{answer}");
        }
    }

    #[tokio::test]
    async fn nothing_waits_for_metrics_that_a_collector_does_not_answer() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
        let to = Endpoint { url: url.clone(), credential: None };
        let sink = SinkSpec {
            name: "a".into(),
            to: Destination::Otlp(to.clone()),
            require: false,
            allow_private: false,
            ca_file: None,
        };
        let surroundings = Arc::new(Surroundings::of([], std::path::Path::new("/"), &|_| None));
        let clock = ManualClock::default();
        let post = Post::open(&sink, &to, surroundings, Arc::new(clock.clone())).await.unwrap();
        let (mut otlp, counts) = (Otlp::new(post, &url, Arc::new(clock.clone())), Counts::new(&["a"]));
        for _ in 0..3 {
            clock.advance(METRICS_EVERY);
            let tended = tokio::time::timeout(Duration::from_secs(5), otlp.tend(&counts, false)).await;
            assert!(tended.is_ok(), "it waits");
        }
        let (mut first, _) = silent.accept().await.unwrap();
        let mut head = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut first, &mut head).await.unwrap();
        assert_eq!(&head, b"POST");
        let second = tokio::time::timeout(Duration::from_millis(200), silent.accept()).await;
        assert!(second.is_err(), "one request at a time");
        let end = tokio::time::timeout(Duration::from_secs(5), otlp.tend(&counts, true)).await;
        assert!(end.is_ok(), "nor does the end of the process");
    }
}
