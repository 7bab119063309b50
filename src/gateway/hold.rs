//! A held call on its way to a person and back.
//!
//! Promises: nobody is asked before the call was paid for and the question is in the log; a call goes on only with an
//! approval of exactly its request; whatever else comes of the question ends the call.

use std::time::Duration;

use super::preview::Shown;
use super::{Cancel, Gateway, throttle, unless};
use crate::audit::entry::{Answer, Entry};
use crate::confirm::approval::State;
use crate::confirm::form::{self, Word};
use crate::confirm::person::{Asked, Form, Person, Reach};
use crate::confirm::{ClosedError, Decision, No, Place, Question, Standing, Streak, Ticket, Witness};
use crate::limit::{Admitted, Charge, Slot};
use crate::policy::{Authorized, Channel, Held};
use crate::refusal::{Code, Refusal};

const MINUTE: Duration = Duration::from_secs(60);

/// A call that a person let go, and what it may still wait.
pub(super) struct Cleared<'a> {
    pub(super) entry: Entry,
    pub(super) authorized: Authorized,
    pub(super) slot: Slot<'a>,
}

/// A held call while somebody is asked about it.
struct Hold<'a> {
    gateway: &'a Gateway,
    entry: Entry,
    held: Held,
    person: &'a dyn Person,
    cancel: &'a Cancel,
}

/// How a question ended.
enum End {
    Decided(Decision),
    /// Nobody answered where they were asked; the desk still may.
    Desk,
    /// Nobody answered in time.
    Expired,
    /// The client could not ask, and nobody else may.
    Unable,
    /// The client took the call back.
    Cancelled,
}

impl Gateway {
    /// Brings a held call to a person, or finds what a person said of it.
    pub(super) async fn clear<'a>(
        &'a self,
        entry: Entry,
        held: Held,
        admitted: Admitted,
        person: &'a dyn Person,
        cancel: &'a Cancel,
    ) -> Result<Cleared<'a>, Answer> {
        let hold = Hold { gateway: self, entry, held, person, cancel };
        if let Some(refusal) = self.closed() {
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
        match self.confirmer.standing(hold.held.digest()) {
            Standing::Decided(decision) => hold.decided(decision, Paid::Before(admitted)).await,
            Standing::Asked(ticket) => hold.ask(ticket, Paid::Before(admitted)).await,
            Standing::New => hold.begin(admitted).await,
        }
    }

    /// Why no write may be sent now, if so.
    pub(super) fn closed(&self) -> Option<Refusal> {
        match self.confirmer.closed() {
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
    fn count(&self, witness: &Witness, no: Option<No>) {
        match witness.place {
            Place::Client(_) => self.count_answer(no),
            Place::Desk(_) => {}
        }
    }

    /// Counts an answer; closes writes where it is one refusal too many.
    pub(super) fn count_answer(&self, no: Option<No>) {
        let closed = match self.confirmer.count(no) {
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

/// How the call is paid for.
enum Paid<'a> {
    /// When its question was asked.
    Before(Admitted),
    /// Now.
    Now(Slot<'a>),
}

impl<'a> Hold<'a> {
    fn refuse(self, refusal: Refusal) -> Answer {
        let rule = Some(self.held.rule().clone());
        self.entry.refuse(&refusal.by(rule), Some(self.held.request()))
    }

    fn word(&self) -> Word {
        Word::of(self.held.confirm(), self.held.request().path(), &self.held.digest().to_string())
    }

    /// What the client brought back from the person, if it was given something.
    fn redeem(self) -> Result<(Self, Option<Decision>), Answer> {
        let Some(retry) = self.person.retry() else { return Ok((self, None)) };
        let (digest, client) = (self.held.digest(), self.person.client());
        let opened = self.gateway.confirmer.redeem(digest, &retry.state, retry.reply.as_ref(), &self.word(), client);
        match opened {
            Ok(decision) => Ok((self, decision)),
            Err(error) => {
                self.gateway.limiter.denied(&self.gateway.agent);
                let refusal =
                    Refusal::new(Code::BadRequest, "requestState failed verification").because(error.to_string());
                Err(self.entry.bad_state(&refusal, Some(self.held.request())))
            }
        }
    }

    /// Pays for the call and asks about it.
    async fn begin(self, admitted: Admitted) -> Result<Cleared<'a>, Answer> {
        let gateway = self.gateway;
        let charge = Charge { effect: self.held.grant().effect(), rules: self.held.grant().rates() };
        let mut slot =
            match unless(self.cancel, async { Ok(gateway.limiter.budget(&gateway.agent, admitted, charge).await?) })
                .await
            {
                Ok(slot) => slot,
                Err(refusal) => return Err(self.refuse(refusal)),
            };
        let shown = match gateway.shown(&self.held, self.cancel).await {
            Ok(shown) => shown,
            Err(refusal) => return Err(self.refuse(refusal)),
        };
        let question = self.question(shown);
        if let Err(throttled) = gateway.limiter.prompt(&gateway.agent) {
            return Err(self.refuse(throttle(throttled)));
        }
        match gateway.confirmer.open(question) {
            Ok(Standing::Asked(ticket)) => {
                slot.spend();
                self.ask(ticket, Paid::Now(slot)).await
            }
            Ok(Standing::Decided(decision)) => self.decided(decision, Paid::Now(slot)).await,
            Ok(Standing::New) => Err(self.refuse(Refusal::new(Code::Internal, "the question was lost"))),
            Err(error) => {
                let refusal =
                    Refusal::new(Code::Busy, "too many writes wait for a person already; wait for their answers");
                Err(self.refuse(refusal.because(error.to_string()).retry_after(MINUTE)))
            }
        }
    }

    fn question(&self, shown: Shown) -> Question {
        let (request, grant, policy) = (self.held.request(), self.held.grant(), &self.gateway.policy);
        let digest = self.held.digest();
        let base = policy.upstream().base_url.as_str();
        let if_match = shown.state.as_ref().and_then(State::if_match).map(|etag| ("if-match", etag));
        let headers: Vec<_> = request.headers().iter().chain(if_match).collect();
        let rule = self.held.rule();
        let reason = policy.rules().get(rule.index()).and_then(crate::policy::RuleInfo::reason);
        let word = self.word();
        let message = form::message(&form::Facts {
            api: policy.name(),
            method: request.method(),
            base_url: base.strip_suffix('/').unwrap_or(base),
            target: request.target(),
            headers: &headers,
            body: request.body().map(crate::request::body::Body::bytes),
            credential: grant.credential(),
            rule: rule.id(),
            place: &format!("{}:{}", policy.file(), rule.line()),
            reason,
            digest: &digest.to_string(),
            change: shown.change.as_ref(),
            unseen: shown.unseen.as_deref(),
            word: &word,
        });
        Question {
            digest,
            form: Form { message, word },
            channel: grant.channel(),
            call: self.entry.call().to_owned(),
            api: policy.name().to_owned(),
            rule: rule.id().to_owned(),
            method: request.method(),
            target: request.target().to_owned(),
            seen: shown.state,
        }
    }

    /// How the client may be used to ask.
    fn reach(&self) -> Reach {
        match self.held.grant().channel() {
            Channel::Desk => Reach::Nobody,
            Channel::Any | Channel::Client => self.person.reach(),
        }
    }

    /// Asks in the client where it can, else at the desk.
    async fn ask(mut self, ticket: Ticket, paid: Paid<'a>) -> Result<Cleared<'a>, Answer> {
        let gateway = self.gateway;
        let first = ticket.question.call == self.entry.call();
        let reach = self.reach();
        // One call shows the question; the others wait for its answer, which goes to one of them.
        let showing = gateway.confirmer.show(&ticket);
        let shown = reach == Reach::Retry || (reach == Reach::Open && showing.is_some());
        if shown
            && !first
            && let Err(throttled) = gateway.limiter.prompt(&gateway.agent)
        {
            return Err(self.refuse(throttle(throttled)));
        }
        if shown || first {
            self.entry = self.entry.asking(&self.held, &ticket, channels(&ticket, reach), self.person.client())?;
        }
        if first && ticket.question.at_desk() {
            tracing::info!("a write waits for a person: portcullis approve {}", ticket.code);
        }
        let spec = gateway.confirmer.spec();
        let end = match reach {
            Reach::Retry => return Err(self.bring_back(&ticket)),
            Reach::Open if shown => self.in_client(&ticket).await,
            Reach::Open => self.wait(&ticket, spec.ttl).await,
            Reach::Nobody => self.wait(&ticket, spec.wait).await,
        };
        drop(showing);
        match end {
            End::Decided(decision) => self.decided(decision, paid).await,
            End::Desk => Err(self.at_desk(&ticket)),
            End::Expired => {
                gateway.confirmer.withdraw(&ticket);
                Err(self.refuse(Refusal::new(Code::ApprovalExpired, "nobody answered in time; the write was not sent")))
            }
            End::Unable => {
                gateway.confirmer.withdraw(&ticket);
                Err(self.unable())
            }
            End::Cancelled => {
                gateway.confirmer.withdraw(&ticket);
                Err(self.refuse(Refusal::new(
                    Code::Cancelled,
                    "the call was cancelled while a person was asked; it was not sent",
                )))
            }
        }
    }

    /// The client asks while the call is open; whoever answers first counts, the desk too.
    async fn in_client(&self, ticket: &Ticket) -> End {
        let confirmer = &self.gateway.confirmer;
        let ttl = confirmer.spec().ttl;
        tokio::select! {
            biased;
            () = self.taken_back() => End::Cancelled,
            decision = confirmer.answered(ticket, ttl) => decision.map_or_else(|| self.unanswered(ticket), End::Decided),
            asked = self.person.ask(&ticket.question.form, ttl) => match asked {
                Asked::Replied(reply) => End::Decided(confirmer.settle(ticket, &reply, self.person.client())),
                Asked::Silent => self.unanswered(ticket),
                Asked::Failed if ticket.question.at_desk() => End::Desk,
                Asked::Failed => End::Unable,
            },
        }
    }

    /// The client took the call back or hung up.
    async fn taken_back(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.person.gone() => {}
        }
    }

    /// Somebody else asks, or the desk.
    async fn wait(&self, ticket: &Ticket, within: Duration) -> End {
        tokio::select! {
            biased;
            () = self.taken_back() => End::Cancelled,
            decision = self.gateway.confirmer.answered(ticket, within) => {
                decision.map_or_else(|| self.unanswered(ticket), End::Decided)
            }
        }
    }

    fn unanswered(&self, ticket: &Ticket) -> End {
        let lives = !self.gateway.confirmer.left(ticket).is_zero();
        if lives && ticket.question.at_desk() { End::Desk } else { End::Expired }
    }

    /// The client gets the question in place of an answer.
    fn bring_back(self, ticket: &Ticket) -> Answer {
        let state = self.gateway.confirmer.state(ticket);
        let rule = Some(self.held.rule().clone());
        let refusal = Refusal::new(Code::ApprovalRequired, "the client asks its person and calls again").by(rule);
        self.entry.ask(&refusal, self.held.request(), ticket.question.form.clone(), state)
    }

    fn at_desk(self, ticket: &Ticket) -> Answer {
        let left = self.gateway.confirmer.left(ticket);
        let message = format!(
            "a person has to approve this write in a terminal, with `portcullis approve {}`, within {} s; then make the \
             same call again. It was not sent",
            ticket.code,
            left.as_secs()
        );
        let refusal = Refusal::new(Code::ApprovalRequired, message);
        self.refuse(refusal.because("held: nobody answered yet").approval(ticket.code.clone(), left))
    }

    fn unable(self) -> Answer {
        let message =
            "a person has to approve this write in the client, and this client cannot ask them; it was not sent";
        let rule = Some(self.held.rule().clone());
        self.entry.unable(&Refusal::new(Code::ApprovalRequired, message).by(rule), self.held.request())
    }

    async fn decided(self, decision: Decision, paid: Paid<'a>) -> Result<Cleared<'a>, Answer> {
        let Self { gateway, entry, held, cancel, .. } = self;
        let rule = Some(held.rule().clone());
        let (approval, witness) = match decision {
            Decision::Approved(approval, witness) => (approval, witness),
            Decision::Refused(no, witness) => {
                gateway.count(&witness, Some(no));
                let refusal = Refusal::new(Code::Declined, format!("{no}; the write was not sent")).by(rule);
                return Err(gateway.refuse(entry.witnessed(Some(no), witness), &refusal, Some(held.request())));
            }
            Decision::Used => {
                let message =
                    "confirmation already used: one answer lets one call through; the write was not sent again";
                return Err(gateway.refuse(
                    entry,
                    &Refusal::new(Code::Declined, message).by(rule),
                    Some(held.request()),
                ));
            }
        };
        gateway.count(&witness, None);
        let slot = match paid {
            Paid::Now(slot) => slot,
            Paid::Before(admitted) => gateway.limiter.paid(admitted, &approval),
        };
        let entry = entry.witnessed(None, witness);
        if let Some(seen) = approval.seen()
            && let Err(refusal) = gateway.stands(&held, seen, cancel).await
        {
            return Err(entry.refuse(&refusal.by(rule), Some(held.request())));
        }
        // Writes may have been closed while this question waited.
        if let Some(refusal) = gateway.closed() {
            return Err(entry.refuse(&refusal.by(rule), Some(held.request())));
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

/// Where a question may be answered, for the log.
fn channels(ticket: &Ticket, reach: Reach) -> Vec<&'static str> {
    let client = (reach != Reach::Nobody).then_some("client");
    client.into_iter().chain(ticket.question.at_desk().then_some("desk")).collect()
}

fn unknown(error: &ClosedError) -> Refusal {
    tracing::error!(%error, "writes are refused because nobody can tell whether they are closed");
    Refusal::new(
        Code::Throttled,
        "the gateway cannot tell whether writes are closed, so this one was not sent; tell the operator",
    )
    .because(error.to_string())
    .retry_after(MINUTE)
}
