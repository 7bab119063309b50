//! One question: shown in the client where it can be, answered there or at the desk, and what ends it otherwise.

use std::time::Duration;

use super::hold::{Cleared, Hold, Paid, retired};
use super::throttle;
use crate::audit::entry::Answer;
use crate::confirm::desk;
use crate::confirm::person::{Reach, Returned};
use crate::confirm::{Decision, Showing, Ticket};
use crate::policy::Channel;
use crate::refusal::{Code, Refusal};

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

impl<'a> Hold<'a> {
    /// How the client may be used to ask.
    pub(super) fn reach(&self) -> Reach {
        match self.held.grant().channel() {
            Channel::Desk => Reach::Nobody,
            Channel::Any | Channel::Client => self.person.reach(),
        }
    }

    /// Asks in the client where it can, else at the desk.
    pub(super) async fn ask(mut self, ticket: Ticket, paid: Paid<'a>) -> Result<Cleared<'a>, Answer> {
        let pipeline = self.pipeline;
        let first = ticket.question.call == self.entry.call();
        let reach = self.reach();
        let until = pipeline.confirmer.open_until(&ticket);
        // One call shows the question; the others wait for its answer, which goes to one of them, or to show it next.
        let showing = match reach {
            Reach::Nobody | Reach::Retry => None,
            Reach::Open => match self.turn(&ticket, until).await {
                Ok(showing) => Some(showing),
                Err(end) => return self.ended(end, &ticket, paid).await,
            },
        };
        let shown = reach != Reach::Nobody;
        if shown
            && !first
            && let Err(throttled) = pipeline.limiter.prompt(&pipeline.agent)
        {
            return Err(self.refuse(throttle(throttled)));
        }
        if shown || first {
            self.entry = self.entry.asking(&self.held, &ticket, channels(&ticket, reach), self.person.client())?;
        }
        if first && ticket.question.at_desk() {
            let place = desk::place(pipeline.state_dir.as_deref());
            tracing::info!("a write waits for a person: portcullis approve {}{place}", ticket.code);
        }
        let end = match reach {
            Reach::Retry => return Err(self.bring_back(&ticket)),
            Reach::Open => self.in_client(&ticket, self.left(until)).await,
            Reach::Nobody => self.at_desk_alone(&ticket).await,
        };
        drop(showing);
        self.ended(end, &ticket, paid).await
    }

    /// What the end of its question makes of the call.
    async fn ended(self, end: End, ticket: &Ticket, paid: Paid<'a>) -> Result<Cleared<'a>, Answer> {
        let confirmer = &self.pipeline.confirmer;
        match end {
            End::Decided(decision) => self.decided(decision, paid).await,
            End::Desk | End::Expired | End::Unable if confirmer.is_retired() => Err(self.refuse(retired())),
            End::Desk => Err(self.at_desk(ticket)),
            End::Expired => {
                confirmer.withdraw(ticket);
                Err(self.refuse(Refusal::new(Code::ApprovalExpired, "nobody answered in time; the write was not sent")))
            }
            End::Unable => {
                confirmer.withdraw(ticket);
                Err(self.unable())
            }
            End::Cancelled => {
                confirmer.withdraw(ticket);
                Err(self.refuse(Refusal::new(
                    Code::Cancelled,
                    "the call was cancelled while a person was asked; it was not sent",
                )))
            }
        }
    }

    /// The client asks while the call is open; whoever answers first counts, the desk too.
    async fn in_client(&self, ticket: &Ticket, within: Duration) -> End {
        let confirmer = &self.pipeline.confirmer;
        tokio::select! {
            biased;
            () = self.taken_back() => End::Cancelled,
            decision = confirmer.answered(ticket, within) => {
                decision.map_or_else(|| self.unanswered(ticket), End::Decided)
            }
            asked = self.person.ask(&ticket.question.form) => match asked {
                // Its time may have run out in this very moment.
                Returned::Replied(_) if confirmer.left(ticket).is_zero() => End::Expired,
                Returned::Replied(reply) => End::Decided(confirmer.settle(ticket, &reply, self.person.client())),
                Returned::Failed if ticket.question.at_desk() => End::Desk,
                Returned::Failed => End::Unable,
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

    /// Waits while another call shows the question in the client.
    async fn turn(&self, ticket: &Ticket, until: Duration) -> Result<Showing<'a>, End> {
        let confirmer = &self.pipeline.confirmer;
        tokio::select! {
            biased;
            showing = confirmer.turn(ticket) => Ok(showing),
            end = self.wait(ticket, self.left(until)) => Err(end),
        }
    }

    fn left(&self, until: Duration) -> Duration {
        until.saturating_sub(self.pipeline.clock.monotonic())
    }

    /// Waits for the desk.
    async fn at_desk_alone(&self, ticket: &Ticket) -> End {
        self.wait(ticket, self.pipeline.confirmer.spec().wait).await
    }

    /// Waits for an answer that is given elsewhere.
    async fn wait(&self, ticket: &Ticket, within: Duration) -> End {
        tokio::select! {
            biased;
            () = self.taken_back() => End::Cancelled,
            decision = self.pipeline.confirmer.answered(ticket, within) => {
                decision.map_or_else(|| self.unanswered(ticket), End::Decided)
            }
        }
    }

    fn unanswered(&self, ticket: &Ticket) -> End {
        let lives = !self.pipeline.confirmer.left(ticket).is_zero();
        if lives && ticket.question.at_desk() { End::Desk } else { End::Expired }
    }

    /// The client gets the question in place of an answer.
    fn bring_back(self, ticket: &Ticket) -> Answer {
        let state = self.pipeline.confirmer.state(ticket);
        let rule = Some(self.held.rule().clone());
        let refusal = Refusal::new(Code::ApprovalRequired, "the client asks its person and calls again").by(rule);
        self.entry.ask(&refusal, self.held.request(), ticket.question.form.clone(), state)
    }

    fn at_desk(self, ticket: &Ticket) -> Answer {
        let left = self.pipeline.confirmer.left(ticket);
        // The agent has no need to know where on this machine anything lies, and would carry the path to the model: the
        // person, who started the gate there, reads the whole command on standard error.
        let place = match self.pipeline.state_dir {
            Some(_) => " and the `--state-dir` that the gate was started with",
            None => "",
        };
        let message = format!(
            "a person has to approve this write in a terminal, with `portcullis approve {}`{place}, within {} s; then make \
             the same call again. It was not sent",
            ticket.code,
            left.as_secs()
        );
        let refusal = Refusal::new(Code::ApprovalRequired, message);
        self.refuse(refusal.because("held: nobody answered yet").approval(ticket.code.clone(), left))
    }

    pub(super) fn unable(self) -> Answer {
        let message =
            "a person has to approve this write in the client, and this client cannot ask them; it was not sent";
        let rule = Some(self.held.rule().clone());
        self.entry.unable(&Refusal::new(Code::ApprovalRequired, message).by(rule), self.held.request())
    }
}

/// Where a question may be answered, for the log.
fn channels(ticket: &Ticket, reach: Reach) -> Vec<&'static str> {
    let client = (reach != Reach::Nobody).then_some("client");
    client.into_iter().chain(ticket.question.at_desk().then_some("desk")).collect()
}
