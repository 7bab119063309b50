//! A held call on its way to a person and back.
//!
//! Promises: nobody is asked before the call was paid for and the question is in the log; a call goes on only with an
//! approval of exactly its request; whatever else comes of the question ends the call.

use std::time::Duration;

use super::{BAD_STATE, Cancel, Pipeline, throttle, unless};
use crate::audit::entry::{Answer, Entry};
use crate::confirm::form::Word;
use crate::confirm::person::{Person, Reach};
use crate::confirm::{AskError, Decision, Standing};
use crate::limit::{Admitted, Charge, Slot};
use crate::policy::{Authorized, Channel, Held};
use crate::refusal::{Code, Refusal};

/// When to ask again where too many questions wait.
const AFTER_ANSWERS: Duration = Duration::from_secs(60);

/// A call that a person let go, and what it may still wait.
pub(super) struct Cleared<'a> {
    pub(super) entry: Entry,
    pub(super) authorized: Authorized,
    pub(super) slot: Slot<'a>,
}

/// A held call while somebody is asked about it.
pub(super) struct Hold<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) entry: Entry,
    pub(super) held: Held,
    pub(super) person: &'a dyn Person,
    pub(super) cancel: &'a Cancel,
}

impl Pipeline {
    /// Brings a held call to a person, or finds what a person said of it.
    pub(super) async fn clear<'a>(
        &'a self,
        entry: Entry,
        held: Held,
        admitted: Admitted,
        person: &'a dyn Person,
        cancel: &'a Cancel,
    ) -> Result<Cleared<'a>, Answer> {
        let hold = Hold { pipeline: self, entry, held, person, cancel };
        if let Some(refusal) = self.closed().await {
            return Err(hold.refuse(refusal));
        }
        let hold = match hold.redeem()? {
            (hold, Some(decision)) => return hold.decided(decision, Paid::Before(admitted)).await,
            (hold, None) => hold,
        };
        // Before anything else: the question of another call is none of this one's.
        if hold.reach() == Reach::Nobody && hold.held.grant().channel() == Channel::Client {
            return Err(hold.unable());
        }
        let standing = match self.confirmer.take_standing(hold.held.digest()) {
            Standing::Asked(ticket) => {
                self.renew(&hold.held, &ticket, cancel).await;
                self.confirmer.take_standing(hold.held.digest())
            }
            standing @ (Standing::New | Standing::Decided(_)) => standing,
        };
        match standing {
            Standing::Decided(decision) => hold.decided(decision, Paid::Before(admitted)).await,
            Standing::Asked(ticket) => hold.ask(ticket, Paid::Before(admitted)).await,
            Standing::New => hold.begin(admitted).await,
        }
    }
}

/// How the call is paid for.
pub(super) enum Paid<'a> {
    /// When its question was asked.
    Before(Admitted),
    /// Now.
    Now(Slot<'a>),
}

impl<'a> Hold<'a> {
    pub(super) fn refuse(self, refusal: Refusal) -> Answer {
        let rule = Some(self.held.rule().clone());
        self.entry.refuse(&refusal.by(rule), Some(self.held.request()))
    }

    pub(super) fn word(&self) -> Word {
        Word::of(self.held.confirm(), self.held.request().path(), &self.held.digest().to_string())
    }

    /// What the client brought back from the person, if it was given something.
    fn redeem(self) -> Result<(Self, Option<Decision>), Answer> {
        let Some(retry) = self.person.retry() else { return Ok((self, None)) };
        let (digest, client) = (self.held.digest(), self.person.client());
        let opened = self.pipeline.confirmer.redeem(digest, &retry.state, retry.reply.as_ref(), &self.word(), client);
        match opened {
            Ok(decision) => Ok((self, decision)),
            Err(error) => {
                self.pipeline.limiter.denied(&self.pipeline.agent);
                let refusal = Refusal::new(Code::BadRequest, BAD_STATE).because(error.to_string());
                Err(self.entry.bad_state(&refusal, Some(self.held.request())))
            }
        }
    }

    /// Pays for the call and asks about it.
    async fn begin(self, admitted: Admitted) -> Result<Cleared<'a>, Answer> {
        let pipeline = self.pipeline;
        let charge = Charge { effect: self.held.grant().effect(), rules: self.held.grant().rates() };
        let mut slot =
            match unless(self.cancel, async { Ok(pipeline.limiter.budget(&pipeline.agent, admitted, charge).await?) })
                .await
            {
                Ok(slot) => slot,
                Err(refusal) => return Err(self.refuse(refusal)),
            };
        // Before the preview, so that calls nobody could be asked about make no reads at the API.
        if let Err(throttled) = pipeline.limiter.prompt(&pipeline.agent) {
            return Err(self.refuse(throttle(throttled)));
        }
        let shown = match pipeline.shown(&self.held, self.cancel).await {
            Ok(shown) => shown,
            Err(refusal) => return Err(self.refuse(refusal)),
        };
        let question = self.question(shown);
        match pipeline.confirmer.open(question) {
            Ok(Standing::Asked(ticket)) => {
                slot.spend();
                self.ask(ticket, Paid::Now(slot)).await
            }
            Ok(Standing::Decided(decision)) => self.decided(decision, Paid::Now(slot)).await,
            Ok(Standing::New) => Err(self.refuse(Refusal::new(Code::Internal, "the question was lost"))),
            Err(AskError::Retired) => Err(self.refuse(retired())),
            Err(error @ (AskError::Full | AskError::Random(_))) => {
                let refusal =
                    Refusal::new(Code::Busy, "too many writes wait for a person already; wait for their answers");
                Err(self.refuse(refusal.because(error.to_string()).retry_after(AFTER_ANSWERS)))
            }
        }
    }

    pub(super) async fn decided(self, decision: Decision, paid: Paid<'a>) -> Result<Cleared<'a>, Answer> {
        let Self { pipeline, entry, held, cancel, .. } = self;
        let rule = Some(held.rule().clone());
        let (approval, witness) = match decision {
            Decision::Approved(..) | Decision::Unknown(_) | Decision::Used if pipeline.confirmer.is_retired() => {
                return Err(entry.refuse(&retired().by(rule), Some(held.request())));
            }
            Decision::Approved(approval, witness) => (approval, witness),
            Decision::Refused(no, witness) => {
                pipeline.count(&witness, Some(no)).await;
                let refusal = Refusal::new(Code::Declined, format!("{no}; the write was not sent")).by(rule);
                return Err(pipeline.refuse(entry.witnessed(Some(no), witness), &refusal, Some(held.request())));
            }
            Decision::Unknown(error) => {
                tracing::error!(%error, "an answer does not count, because nobody can tell whether it was used before");
                let message = "the gateway cannot tell whether this confirmation was used before, so the write was not sent; \
                    tell the operator";
                let refusal = Refusal::new(Code::Internal, message).because(error.to_string()).by(rule);
                return Err(entry.refuse(&refusal, Some(held.request())));
            }
            Decision::Used => {
                let message =
                    "confirmation already used: one answer lets one call through; the write was not sent again";
                return Err(pipeline.refuse(
                    entry,
                    &Refusal::new(Code::Declined, message).by(rule),
                    Some(held.request()),
                ));
            }
        };
        pipeline.count(&witness, None).await;
        let slot = match paid {
            Paid::Now(slot) => slot,
            Paid::Before(admitted) => pipeline.limiter.paid(admitted, &approval),
        };
        let entry = entry.witnessed(None, witness);
        let approval = match approval.seen() {
            None => approval,
            Some(seen) => {
                match pipeline.stands(&held, seen, pipeline.limiter.looking_again(&slot, &approval), cancel).await {
                    Ok(now) => approval.at(now),
                    Err(refusal) => return Err(entry.refuse(&refusal.by(rule), Some(held.request()))),
                }
            }
        };
        // Writes may have been closed while this question waited.
        if let Some(refusal) = pipeline.closed().await {
            return Err(entry.refuse(&refusal.by(rule), Some(held.request())));
        }
        // Nor does what was approved under another policy than the one in force; nothing is waited for from here to the record.
        if pipeline.confirmer.is_retired() {
            return Err(entry.refuse(&retired().by(rule), Some(held.request())));
        }
        match held.release(approval) {
            Ok(authorized) => Ok(Cleared { entry, authorized, slot }),
            Err(held) => {
                let refusal =
                    Refusal::new(Code::Internal, "the approval is of another request; nothing was sent").by(rule);
                Err(entry.refuse(&refusal, Some(held.request())))
            }
        }
    }
}

/// The end of a held call whose policy is not in force any more.
pub(super) fn retired() -> Refusal {
    let message = "the policy was changed before this write was sent, so no approval of it counts any more; it was not sent: \
        make the call again";
    Refusal::new(Code::ApprovalExpired, message).because("held: another policy is in force")
}
