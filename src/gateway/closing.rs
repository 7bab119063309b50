//! Writes that people have closed: three refusals in a row, in any gateway of one state directory.

use std::time::Duration;

use super::Pipeline;
use crate::confirm::{ClosedError, No, Place, Streak, Witness};
use crate::refusal::{Code, Refusal};

/// When to try again where somebody has to look at the machine first.
const AFTER_REPAIR: Duration = Duration::from_secs(60);

impl Pipeline {
    /// Why no write may be sent now, if so.
    pub(super) async fn closed(&self) -> Option<Refusal> {
        match self.confirmer.closed().await {
            Ok(None) => None,
            Ok(Some(left)) => Some(
                Refusal::new(Code::Throttled, "writes are closed, because a person refused several in a row; wait")
                    .because("writes are closed")
                    .retry_after(left),
            ),
            Err(error) => Some(unknown(&error)),
        }
    }

    /// Counts an answer that came through a client; the desk's are counted when they are given.
    pub(super) async fn count(&self, witness: &Witness, no: Option<No>) {
        match witness.place {
            Place::Client(_) => self.count_answer(no).await,
            Place::Desk(_) => {}
        }
    }

    /// Counts an answer; closes writes where it is one refusal too many.
    pub(super) async fn count_answer(&self, no: Option<No>) {
        let closed = match self.confirmer.count(no).await {
            Ok(Streak::Open) => return,
            Ok(Streak::Closes(cooldown)) => cooldown,
            Err(error) => {
                return tracing::error!(%error, "an answer could not be counted; writes stay refused until it can");
            }
        };
        tracing::warn!(seconds = closed.as_secs(), "writes are closed: three questions in a row were answered with no");
        if let Err(error) = self.audit.writes_closed(closed) {
            tracing::error!(%error, "the closing of writes could not be recorded");
        }
    }
}

fn unknown(error: &ClosedError) -> Refusal {
    tracing::error!(%error, "writes are refused because nobody can tell whether they are closed");
    Refusal::new(
        Code::Throttled,
        "the gateway cannot tell whether writes are closed, so this one was not sent; tell the operator",
    )
    .because(error.to_string())
    .retry_after(AFTER_REPAIR)
}
