//! Whether a sink takes what it is brought: told to the operator, and recorded in the log itself.
//!
//! Promises that a dead sink leaves a pair of records at most once a minute, however often it fails, and one that refuses records no
//! more than one.

use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use crate::audit::{AuditLog, SinkState};
use crate::clock::Clock;

/// Between two records that say that a sink is behind.
const PAUSE: Duration = Duration::from_secs(60);

const REFUSED: &str = "a sink refuses records of the audit log; they are noted beside it, and the others go on";

/// How one sink stands.
#[derive(Debug)]
pub(super) struct Standing {
    name: String,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    behind: Option<Behind>,
    /// When it was last recorded that it is behind.
    recorded: Option<Duration>,
    /// Records that it refuses and of which nothing is told yet.
    refused: u64,
    /// When that was told last.
    told: Option<Duration>,
}

#[derive(Debug)]
struct Behind {
    since: Duration,
    recorded: bool,
}

impl Standing {
    pub(super) fn new(name: String, audit: AuditLog, clock: Arc<dyn Clock>) -> Self {
        Self { name, audit, clock, behind: None, recorded: None, refused: 0, told: None }
    }

    /// It did not take a batch.
    pub(super) fn failed(&mut self, failure: &Failure, waiting: u64) {
        let Failure { cause, detail, .. } = failure;
        tracing::debug!(sink = self.name, waiting, cause, detail, "a sink of the audit log did not take a batch");
        if self.behind.is_some() {
            return;
        }
        tracing::warn!(
            sink = self.name,
            waiting,
            cause,
            detail,
            "a sink of the audit log is behind; the log itself goes on"
        );
        let now = self.clock.monotonic();
        let due = self.recorded.is_none_or(|last| now.saturating_sub(last) >= PAUSE);
        if due {
            self.recorded = Some(now);
            self.record(SinkState { state: "behind", waiting, cause: Some(cause), ..SinkState::default() });
        }
        self.behind = Some(Behind { since: now, recorded: due });
    }

    /// It has everything that is on disk.
    pub(super) fn caught_up(&mut self) {
        let Some(Behind { since, recorded }) = self.behind.take() else { return };
        let seconds = self.clock.monotonic().saturating_sub(since).as_secs();
        tracing::warn!(sink = self.name, seconds, "a sink of the audit log has caught up");
        if recorded {
            self.record(SinkState { state: "caught_up", ..SinkState::default() });
        }
    }

    /// It will not have so many records.
    pub(super) fn refused(&mut self, records: u64, waiting: u64, detail: &str) {
        self.refused = self.refused.saturating_add(records);
        let now = self.clock.monotonic();
        if self.told.is_some_and(|told| now.saturating_sub(told) < PAUSE) {
            tracing::debug!(sink = self.name, records, detail, "a sink refuses records of the audit log");
            return;
        }
        self.told = Some(now);
        let refused = std::mem::take(&mut self.refused);
        tracing::warn!(sink = self.name, refused, detail, "{REFUSED}");
        self.record(SinkState { state: "refused", waiting, refused, ..SinkState::default() });
    }

    /// The process ends: what is not told yet is told, where the log takes no more.
    pub(super) fn ended(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        if refused > 0 {
            tracing::warn!(sink = self.name, refused, "{REFUSED}");
        }
    }

    fn record(&self, state: SinkState<'_>) {
        // At the end of the process the log takes no more.
        if let Err(error) = self.audit.sink(&SinkState { sink: &self.name, ..state }) {
            tracing::debug!(%error, sink = self.name, "how a sink stands could not be recorded");
        }
    }
}
