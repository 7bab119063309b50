//! A webhook: batches of records as lines of JSON, signed as Standard Webhooks has it. Any status of success is a receipt.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::Failure;
use super::batch::Batch;
use crate::audit::hex;
use crate::clock::Clock;
use crate::upstream::post::{Post, Signature};

/// A command is not run more often for a secret.
const PAUSE: Duration = Duration::from_secs(10);
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const LOG: HeaderName = HeaderName::from_static("portcullis-log");

/// One receiver.
#[derive(Debug)]
pub(super) struct Webhook {
    post: Post,
    url: Url,
    signature: Signature,
    clock: Arc<dyn Clock>,
    /// When the secret was read last.
    read: Duration,
}

impl Webhook {
    pub(super) fn new(post: Post, url: Url, signature: Signature, clock: Arc<dyn Clock>) -> Self {
        let read = clock.monotonic();
        Self { post, url, signature, clock, read }
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Result<(), Failure> {
        let body = batch.lines.as_bytes();
        // The same for a batch that comes again, so that a receiver knows it.
        let id = format!("msg_{}", hex(Sha256::digest(body).get(..16).unwrap_or_default()));
        let seconds = self.clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string();
        let signature = self.signature.of(&[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
        let mut headers = vec![(CONTENT_TYPE, NDJSON)];
        for (name, value) in [(ID, &id), (TIMESTAMP, &seconds), (SIGNATURE, &signature), (LOG, &batch.log)] {
            // All of them are ASCII: digits, base64, and a name that the gateway made.
            headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        }
        let said = self.post.send(&self.url, headers, body.to_vec()).await.map_err(|error| Failure::http(&error))?;
        let taken = Failure::unless_taken(&said);
        if matches!(said.status, 401 | 403) {
            self.doubt().await;
        }
        taken
    }

    /// Reads the secret again, unless that was done a moment ago.
    async fn doubt(&mut self) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.read) < PAUSE {
            return;
        }
        self.read = now;
        if let Err(error) = self.signature.renew().await {
            tracing::error!(%error, "the secret of a webhook could not be read again");
        }
    }
}
