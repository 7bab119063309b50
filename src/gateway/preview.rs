//! What a held write is about to change: its target, read through the gate like any other read, before a person is asked
//! and again before the write is sent.

use std::time::Duration;

use super::shaping::INLINE;
use super::{Cancel, Pipeline, Reply, Sent, deny, enter, failed, unless};
use crate::answer::{self, Facts};
use crate::audit::entry::Outcome;
use crate::confirm::Ticket;
use crate::confirm::approval::{Mark, State};
use crate::confirm::difference::{Change, change};
use crate::limit::Slot;
use crate::policy::{Effect, Held, Preview, Verdict};
use crate::refusal::{Code, Refusal};
use crate::upstream::forward::Failure;
use crate::upstream::room;

/// How the log calls these reads.
const TOOL: &str = "preview";

/// What the gate read.
struct Look {
    state: State,
    facts: Facts,
    body: Vec<u8>,
    /// The room that the body takes.
    held: room::Held,
}

/// What a person is shown of it.
pub(super) struct Shown {
    pub(super) change: Option<Change>,
    /// Why there is no change to show, where one was wanted.
    pub(super) unseen: Option<String>,
    pub(super) state: Option<State>,
}

/// How a read is paid for.
enum Price<'s> {
    /// As a read of the agent's.
    Own,
    /// With the question that was asked.
    Paid(Slot<'s>),
}

/// Why the target could not be read or compared, in words for a person.
struct Unseen {
    code: Code,
    why: String,
    /// For the log, where there is more to say.
    cause: Option<String>,
    retry_after: Option<Duration>,
}

impl Unseen {
    fn new(code: Code, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), cause: None, retry_after: None }
    }

    fn because(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// What a limit, or a client that took its call back, came to.
    fn turned_away(refusal: Refusal) -> Self {
        let Refusal { code, message, cause, retry_after, .. } = refusal;
        let why = if code == Code::Throttled {
            "a limit of the policy leaves no room to read it".to_owned()
        } else {
            message
        };
        Self { code, why, cause: Some(cause), retry_after }
    }

    /// Before anybody was asked.
    fn unasked(self) -> Refusal {
        if self.code == Code::Cancelled {
            return self.refusal("the call was cancelled before a person was asked; it was not sent".to_owned());
        }
        let message = format!("what this write changes cannot be shown to a person: {}; it was not sent", self.why);
        self.refusal(message)
    }

    /// After a person has approved the write.
    fn approved(self) -> Refusal {
        if self.code == Code::Cancelled {
            return self.refusal("the call was cancelled after a person approved it; it was not sent".to_owned());
        }
        let message = format!(
            "a person approved this write, but what it changes could not be read again: {}; it was not sent",
            self.why
        );
        self.refusal(message)
    }

    fn refusal(self, message: String) -> Refusal {
        let refusal = Refusal::new(self.code, message);
        let refusal = Refusal { retry_after: self.retry_after, ..refusal };
        match self.cause {
            Some(cause) if self.code != Code::Cancelled => refusal.because(cause),
            Some(_) | None => refusal,
        }
    }
}

impl Pipeline {
    /// What the policy wants a person to see beside the request.
    pub(super) async fn shown(&self, held: &Held, cancel: &Cancel) -> Result<Shown, Refusal> {
        let nothing = |unseen| Ok(Shown { change: None, unseen, state: None });
        let strict = match held.grant().preview() {
            Preview::No => return nothing(None),
            Preview::IfPossible => false,
            Preview::Yes => true,
        };
        let seen = match self.look(held, Price::Own, cancel).await {
            Ok(look) => self.difference(held, look).await,
            Err(unseen) => Err(unseen),
        };
        match seen {
            Ok((change, state)) => Ok(Shown { change: Some(change), unseen: None, state: Some(state) }),
            // Whoever took the call back wants no question.
            Err(unseen) if strict || unseen.code == Code::Cancelled => Err(unseen.unasked()),
            Err(unseen) => nothing(Some(unseen.why)),
        }
    }

    /// The state that the target is in, if it is what the person saw.
    pub(super) async fn stands(
        &self,
        held: &Held,
        seen: &Mark,
        slot: Slot<'_>,
        cancel: &Cancel,
    ) -> Result<State, Refusal> {
        let now = self.look(held, Price::Paid(slot), cancel).await.map_err(Unseen::approved)?;
        match seen.stands(&now.state) {
            true => Ok(now.state),
            false => Err(Refusal::new(
                Code::ApprovalExpired,
                "what this write changes is not what the person saw any more, so it was not sent; call again, and they are asked anew",
            )),
        }
    }

    /// Forgets a question that waits for somebody to look at it, if it shows what is there no more: who answers shall see
    /// what is. Where that cannot be told, it stays.
    pub(super) async fn renew(&self, held: &Held, ticket: &Ticket, cancel: &Cancel) {
        let Some(seen) = self.confirmer.idle(ticket) else { return };
        if let Ok(now) = self.look(held, Price::Own, cancel).await
            && !seen.stands(&now.state)
        {
            self.confirmer.outdate(ticket);
        }
    }

    async fn difference(&self, held: &Held, look: Look) -> Result<(Change, State), Unseen> {
        let Look { state, facts, body, held: room } = look;
        let (size, method, response) = (body.len(), held.request().method(), self.policy.response().clone());
        let sent = held.request().body().map(|body| body.bytes().to_vec());
        let unknown = |why: &dyn std::fmt::Display| Unseen::new(Code::UpstreamError, why.to_string());
        let compare = move || {
            let before = answer::redacted(&facts, body, &response).map_err(|error| unknown(&error))?;
            drop(room);
            change(method, before.as_bytes(), sent.as_deref()).map_err(|error| unknown(&error))
        };
        let change =
            if size <= INLINE { compare() } else { self.shaping.work(compare).await.map_err(Unseen::turned_away)? };
        Ok((change?, state))
    }

    /// Reads the target of a held write, as the agent could: the same rules and log.
    async fn look(&self, held: &Held, price: Price<'_>, cancel: &Cancel) -> Result<Look, Unseen> {
        let authorized = match self.policy.authorize(&self.agent, held.request().reading()) {
            Verdict::Allow(authorized) if authorized.grant().effect() == Effect::Read => authorized,
            Verdict::Allow(_) | Verdict::Hold(_) => return Err(unreadable("reading it counts as a write")),
            Verdict::Deny(denial) => return Err(unreadable(&deny(&self.policy, &denial).cause)),
        };
        let turn = async {
            let slot = match price {
                Price::Own => {
                    let admitted = self.limiter.admit(&self.agent).await?;
                    self.budget(admitted, &authorized).await?
                }
                Price::Paid(slot) => slot,
            };
            enter(slot, std::future::ready(())).await
        };
        let permit = unless(cancel, turn).await.map_err(Unseen::turned_away)?;
        let entry = self.audit.entry(&self.agent, TOOL);
        let Ok(recorded) = entry.record(authorized).await else { return Err(unlogged()) };
        let Sent { asked, result } = self.upstream.forward(recorded, permit, cancel).await;
        let (outcome, look) = looked(result);
        // What comes of it is for the person alone; an answer that is not in the log is withheld from them as well.
        match asked.close(outcome).await.is_logged() {
            true => look,
            false => Err(unlogged()),
        }
    }
}

fn unlogged() -> Unseen {
    Unseen::new(Code::AuditUnavailable, "the audit log cannot be written, so nothing is forwarded; tell the operator")
}

fn unreadable(cause: &str) -> Unseen {
    Unseen::new(Code::Denied, "the policy does not let it be read").because(format!("preview: {cause}"))
}

/// What is logged of the read, and what is kept of it.
fn looked(result: Result<Reply, Failure>) -> (Outcome, Result<Look, Unseen>) {
    let nothing = |refusal: &Refusal, attempts| Outcome {
        code: Some(refusal.code),
        cause: Some(refusal.cause.clone()),
        attempts,
        ..Outcome::default()
    };
    match result {
        Ok(reply) => {
            let bytes = u64::try_from(reply.body.len()).ok();
            let Reply { status, headers, body, retry_after, date: _, location, redacted, attempts, held } = reply;
            let outcome = Outcome { status: Some(status), bytes, attempts, redacted, ..Outcome::default() };
            if !(200..=299).contains(&status) {
                let unseen =
                    Unseen::new(Code::UpstreamError, format!("the API answered a read of it with status {status}"));
                return (Outcome { code: Some(unseen.code), ..outcome }, Err(Unseen { retry_after, ..unseen }));
            }
            let mut etags = headers.iter().filter(|(name, _)| name == "etag").map(|(_, value)| value.as_str());
            // Of two tags nobody knows which one counts.
            let etag = etags.next().filter(|_| etags.next().is_none());
            let state = State::new(etag, &body);
            (outcome, Ok(Look { state, facts: Facts { status, headers, location, retry_after }, body, held }))
        }
        Err(Failure::Upstream(why)) => {
            let refusal = failed(&why.error, Effect::Read);
            (nothing(&refusal, why.attempts), Err(Unseen::turned_away(refusal)))
        }
        Err(Failure::Cancelled) => {
            let refusal = Refusal::new(Code::Cancelled, "the call was cancelled while the API worked on it");
            (nothing(&refusal, 1), Err(Unseen::turned_away(refusal)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_taken_back_after_a_yes_is_not_said_to_have_come_before_it() {
        let cancelled = || Unseen::turned_away(Refusal::new(Code::Cancelled, "it was cancelled"));
        let (before, after) = (cancelled().unasked(), cancelled().approved());
        assert_eq!(before.cause, "the call was cancelled before a person was asked; it was not sent");
        assert_eq!(after.cause, "the call was cancelled after a person approved it; it was not sent");
        assert_eq!((before.code, after.code), (Code::Cancelled, Code::Cancelled));
    }
}
