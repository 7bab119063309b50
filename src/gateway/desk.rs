//! What the desk may do: see the questions that wait, answer them, open writes again.

use std::time::Duration;

use super::Pipeline;
use crate::audit::AuditError;
use crate::confirm::desk::{self, Answer, Listing, Order, Waiting};
use crate::confirm::form::Word;
use crate::confirm::{ClosedError, Decided, No, Place, Ticket, UsedError, Witness};

/// Why an order is not carried out, in words for the desk.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error("{}", desk::closed(*.0))]
    Closed(u64),
    #[error(transparent)]
    Unknown(#[from] ClosedError),
    #[error(transparent)]
    Unclaimed(#[from] UsedError),
    #[error("no question with this code waits here")]
    Gone,
    #[error("it is too late: this question was answered, and a call has taken the answer")]
    Taken,
    #[error("the question with this code is about another request than the one with this digest")]
    OtherRequest,
    #[error("this request is approved by typing `{0}`")]
    OtherWord(String),
    #[error("the audit log cannot be written, so nothing was done; tell the operator")]
    Unrecorded,
}

impl Pipeline {
    /// Carries out an order of the desk, given by the user `uid`, who may give it.
    #[must_use]
    pub async fn desk(&self, order: Order, uid: u32) -> Answer {
        let done = match order {
            Order::Pending {} => self.waiting().await,
            Order::Show { code } => self.confirmer.named(&code, None).ok_or_else(|| self.gone(&code)).map(whole),
            Order::Approve { code, digest, typed } => self.approve(&code, &digest, typed.as_deref(), uid).await,
            Order::Decline { code } => self.decide(&code, Some(No::Declined), uid).await,
            Order::Reopen {} => self.reopen(uid).await,
            // Of the gateway, whatever its policy.
            Order::Compare {} | Order::Reload { .. } => Err(Undone::Gone),
        };
        done.unwrap_or_else(|why| match why {
            Undone::Gone => Answer::Gone,
            Undone::Closed(_)
            | Undone::Unknown(_)
            | Undone::Unclaimed(_)
            | Undone::Taken
            | Undone::OtherRequest
            | Undone::OtherWord(_)
            | Undone::Unrecorded => Answer::Refused { why: why.to_string() },
        })
    }

    async fn waiting(&self) -> Result<Answer, Undone> {
        let open = self.confirmer.at_desk();
        let questions = open.iter().map(|(ticket, age)| Waiting::new(ticket, *age, self.confirmer.left(ticket)));
        Ok(Answer::Pending(Listing {
            api: self.policy.name().to_owned(),
            questions: questions.collect(),
            closed_seconds: self.confirmer.closed().await?.map(|left| left.as_secs()),
        }))
    }

    async fn approve(&self, code: &str, digest: &str, typed: Option<&str>, uid: u32) -> Result<Answer, Undone> {
        if let Some(left) = self.confirmer.closed().await? {
            return Err(Undone::Closed(left.as_secs()));
        }
        let (ticket, _) = self.confirmer.named(code, None).ok_or_else(|| self.gone(code))?;
        if ticket.question.digest.to_string() != digest {
            return Err(Undone::OtherRequest);
        }
        match (&ticket.question.form.word, typed) {
            (Word::Yes, _) => {}
            (word @ Word::Typed(_), Some(typed)) if word.is(typed) => {}
            (Word::Typed(word), _) => return Err(Undone::OtherWord(word.clone())),
        }
        self.decide(code, None, uid).await
    }

    /// The log first: an answer that is not in it does not count.
    async fn decide(&self, code: &str, no: Option<No>, uid: u32) -> Result<Answer, Undone> {
        let (ticket, age) = self.confirmer.named(code, no).ok_or_else(|| self.gone(code))?;
        recorded(self.audit.decision(&ticket, no, uid, age))?;
        // The same in the record of the call that takes it.
        let witness = Witness { place: Place::Desk(uid), took: age };
        let Decided { left, call_waits } = self.confirmer.decide(code, no, witness)?.ok_or_else(|| self.gone(code))?;
        self.count_answer(no).await;
        Ok(Answer::Decided { expires_in_seconds: left.as_secs(), call_waits })
    }

    fn gone(&self, code: &str) -> Undone {
        if self.confirmer.was_taken(code) { Undone::Taken } else { Undone::Gone }
    }

    async fn reopen(&self, uid: u32) -> Result<Answer, Undone> {
        recorded(self.audit.writes_opened(uid))?;
        self.confirmer.reopen().await?;
        Ok(Answer::Open)
    }
}

fn whole((ticket, _): (Ticket, Duration)) -> Answer {
    Answer::Whole(ticket.question.whole.clone())
}

fn recorded(written: Result<(), AuditError>) -> Result<(), Undone> {
    written.map_err(|error| {
        tracing::error!(%error, "an order of the desk could not be recorded");
        Undone::Unrecorded
    })
}
