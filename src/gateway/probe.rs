//! One read that nobody's agent asked for: `portcullis doctor` looks whether the API answers.
//!
//! Promises that it takes the path of every call: judged by the policy, counted by the limits, recorded before it is sent
//! and after. What a person would have to approve is not sent, nor what passes in report mode alone.

use std::time::{Duration, SystemTime};

use super::{Cancel, Pipeline, deny, enter, throttle, unless};
use crate::answer::Ask;
use crate::policy::{Effect, Verdict};
use crate::refusal::{Code, Refusal};
use crate::request::Request;
use crate::upstream::forward::{Failure, Sent};

/// What the log calls it in place of a tool.
const TOOL: &str = "doctor";

/// What came of the read.
#[derive(Debug)]
pub enum Probed {
    /// The API answered.
    Answered(Reached),
    /// Nothing came back; one sentence for a person, with what the system said.
    Unanswered(String),
    /// It was not sent; one sentence.
    Refused(String),
}

/// An answer, without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Its status.
    pub status: u16,
    /// Bytes of its body, unpacked.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
    /// What the API's clock showed.
    pub date: Option<SystemTime>,
    /// What ours showed when the answer was there.
    pub now: SystemTime,
}

impl Pipeline {
    /// Sends one request, where the policy lets it through as a read, and looks at the answer from outside.
    pub async fn probe(&self, request: Request) -> Probed {
        let entry = self.audit.entry(&self.agent, TOOL);
        let cancel = Cancel::new();
        let admitted = match self.limiter.admit(&self.agent).await {
            Ok(admitted) => admitted,
            Err(throttled) => return refused(&throttle(throttled), |refusal| drop(entry.refuse(refusal, None))),
        };
        let authorized = match self.policy.authorize(&self.agent, request) {
            Verdict::Allow(authorized) if authorized.grant().effect() == Effect::Read => authorized,
            Verdict::Allow(authorized) => {
                return refused(&no_read(), |refusal| drop(entry.refuse(refusal, Some(authorized.request()))));
            }
            Verdict::Hold(held) => {
                return refused(&no_read(), |refusal| drop(entry.refuse(refusal, Some(held.request()))));
            }
            Verdict::Deny(denial) => {
                let refusal = deny(&self.policy, &denial);
                return refused(&refusal, |refusal| drop(self.refuse(entry, refusal, Some(denial.request()))));
            }
        };
        let entry = entry.tells(authorized.grant().values());
        let ready = async {
            let slot = unless(&cancel, self.budget(admitted, &authorized)).await?;
            unless(&cancel, enter(slot, std::future::ready(()))).await
        };
        let permit = match ready.await {
            Ok(permit) => permit,
            Err(refusal) => {
                return refused(&refusal, |refusal| drop(entry.refuse(refusal, Some(authorized.request()))));
            }
        };
        let Ok(recorded) = entry.record(authorized).await else {
            return Probed::Refused("the audit log cannot be written, so nothing was sent".to_owned());
        };
        let begun = self.clock.monotonic();
        let Sent { asked, result } = self.upstream.forward(recorded, permit, &cancel).await;
        let took = self.clock.monotonic().saturating_sub(begun);
        let probed = match &result {
            Ok(reply) => Probed::Answered(Reached {
                status: reply.status,
                bytes: reply.body.len(),
                took,
                date: reply.date,
                now: self.clock.wall(),
            }),
            Err(Failure::Upstream(failed)) => {
                Probed::Unanswered(format!("{} ({})", failed.error, failed.error.cause()))
            }
            Err(Failure::Cancelled) => Probed::Unanswered("it was cancelled".to_owned()),
        };
        let outcome = self.outcome(result, Effect::Read, asked.call(), &Ask::default());
        match asked.close(outcome).await.is_logged() {
            true => probed,
            false => Probed::Unanswered("the audit log cannot be written; what came back was thrown away".to_owned()),
        }
    }
}

/// A refusal that the log has by `record`.
fn refused(refusal: &Refusal, record: impl FnOnce(&Refusal)) -> Probed {
    record(refusal);
    Probed::Refused(format!("{} ({})", refusal.message, refusal.cause))
}

fn no_read() -> Refusal {
    Refusal::new(
        Code::Denied,
        "the policy takes this request for a write, which is not sent to look whether the API answers",
    )
}
