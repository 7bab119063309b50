//! What a held write is about to change: its target, read through the gate like any other read, before a person is asked
//! and again before the write is sent.

use super::shaping::INLINE;
use super::{Cancel, Gateway, Reply, Sent, deny, enter, failed, unless};
use crate::answer::{self, Facts};
use crate::audit::entry::{Entry, Outcome};
use crate::confirm::approval::{Mark, State};
use crate::confirm::difference::{Change, change};
use crate::policy::{Authorized, Effect, Held, Preview, Verdict};
use crate::refusal::{Code, Refusal};
use crate::upstream::forward::Failure;
use crate::upstream::room;

/// How the log calls these reads.
const TOOL: &str = "preview";

/// What the gate read.
pub(super) struct Look {
    pub(super) state: State,
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

impl Gateway {
    /// What the policy wants a person to see beside the request.
    pub(super) async fn shown(&self, held: &Held, cancel: &Cancel) -> Result<Shown, Refusal> {
        let nothing = |unseen| Ok(Shown { change: None, unseen, state: None });
        let strict = match held.grant().preview() {
            Preview::No => return nothing(None),
            Preview::IfPossible => false,
            Preview::Yes => true,
        };
        let seen = match self.look(held, cancel).await {
            Ok(look) => self.difference(held, look).await,
            Err(refusal) => Err(refusal),
        };
        match seen {
            Ok((change, state)) => Ok(Shown { change: Some(change), unseen: None, state: Some(state) }),
            // Whoever took the call back wants no question.
            Err(refusal) if strict || refusal.code == Code::Cancelled => Err(refusal),
            Err(refusal) => nothing(Some(refusal.message)),
        }
    }

    /// The state that the target is in, if it is what the person saw.
    pub(super) async fn stands(&self, held: &Held, seen: &Mark, cancel: &Cancel) -> Result<State, Refusal> {
        let now = self.look(held, cancel).await?;
        match seen.stands(&now.state) {
            true => Ok(now.state),
            false => Err(Refusal::new(
                Code::ApprovalExpired,
                "what this write changes is not what the person saw any more, so it was not sent; call again, and they are asked anew",
            )),
        }
    }

    async fn difference(&self, held: &Held, look: Look) -> Result<(Change, State), Refusal> {
        let Look { state, facts, body, held: room } = look;
        let (size, method, response) = (body.len(), held.request().method(), self.policy.response().clone());
        let sent = held.request().body().map(|body| body.bytes().to_vec());
        let compare = move || {
            let before = answer::redacted(&facts, body, &response).map_err(|error| unknown(&error))?;
            drop(room);
            change(method, before.as_bytes(), sent.as_deref()).map_err(|error| unknown(&error))
        };
        let change = if size <= INLINE { compare() } else { self.shaping.work(compare).await? };
        Ok((change?, state))
    }

    /// Reads the target of a held write, as the agent could: the same rules, limits and log.
    pub(super) async fn look(&self, held: &Held, cancel: &Cancel) -> Result<Look, Refusal> {
        let authorized = match self.policy.authorize(&self.agent, held.request().reading()) {
            Verdict::Allow(authorized) if authorized.grant().effect() == Effect::Read => authorized,
            Verdict::Allow(_) | Verdict::Hold(_) => return Err(unreadable("reading it counts as a write")),
            Verdict::Deny(denial) => return Err(unreadable(&deny(&self.policy, &denial).cause)),
        };
        let turn = async {
            let admitted = self.limiter.admit(&self.agent).await?;
            let slot = self.budget(admitted, &authorized).await?;
            enter(slot, std::future::ready(())).await
        };
        let permit = unless(cancel, turn).await?;
        let entry = self.audit.entry(&self.agent, TOOL);
        let recorded = self.recorded(entry, authorized).await?;
        let Sent { asked, result } = self.upstream.forward(recorded, permit, cancel).await;
        let (outcome, look) = looked(result);
        // What comes of it is for the person alone; an answer that is not in the log is withheld from them as well.
        match asked.close(outcome).await.is_logged() {
            true => look,
            false => Err(Refusal::new(Code::AuditUnavailable, UNLOGGED)),
        }
    }

    async fn recorded(&self, entry: Entry, authorized: Authorized) -> Result<crate::audit::entry::Recorded, Refusal> {
        entry.record(authorized).await.map_err(|_| Refusal::new(Code::AuditUnavailable, UNLOGGED))
    }
}

const UNLOGGED: &str = "the audit log cannot be written, so nothing is forwarded; tell the operator";

fn unknown(why: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::UpstreamError, format!("what this write changes cannot be shown: {why}; it was not sent"))
}

fn unreadable(cause: &str) -> Refusal {
    let message = "this write is shown to a person together with what it changes, and the policy does not let that be read; \
        it was not sent";
    Refusal::new(Code::Denied, message).because(format!("preview: {cause}"))
}

/// What is logged of the read, and what is kept of it.
fn looked(result: Result<Reply, Failure>) -> (Outcome, Result<Look, Refusal>) {
    let nothing = |refusal: &Refusal, attempts| Outcome {
        code: Some(refusal.code),
        cause: Some(refusal.cause.clone()),
        attempts,
        ..Outcome::default()
    };
    match result {
        Ok(reply) => {
            let bytes = u64::try_from(reply.body.len()).ok();
            let Reply { status, headers, body, retry_after, location, redacted, attempts, held } = reply;
            let outcome = Outcome { status: Some(status), bytes, attempts, redacted, ..Outcome::default() };
            if !(200..=299).contains(&status) {
                let refusal = Refusal::new(
                    Code::UpstreamError,
                    format!(
                        "what this write changes cannot be shown: the API answered a read of it with status {status}; the write was not sent"
                    ),
                );
                let code = Some(refusal.code);
                return (Outcome { code, ..outcome }, Err(Refusal { retry_after, ..refusal }));
            }
            let etag = headers.iter().find(|(name, _)| name == "etag").map(|(_, value)| value.as_str());
            let state = State::new(etag, &body);
            (outcome, Ok(Look { state, facts: Facts { status, headers, location, retry_after }, body, held }))
        }
        Err(Failure::Upstream(why)) => {
            let refusal = failed(&why.error, Effect::Read);
            let told = format!("what this write changes cannot be shown: {}; the write was not sent", refusal.message);
            (nothing(&refusal, why.attempts), Err(Refusal { message: told, ..refusal }))
        }
        Err(Failure::Cancelled) => {
            let refusal =
                Refusal::new(Code::Cancelled, "the call was cancelled before a person was asked; it was not sent");
            (nothing(&refusal, 1), Err(refusal))
        }
    }
}
