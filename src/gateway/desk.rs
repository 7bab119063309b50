//! What the desk may do: see the questions that wait, answer them, open writes again.

use super::Gateway;
use crate::confirm::No;
use crate::confirm::desk::{Answer, Order, Waiting};
use crate::confirm::form::Word;

const GONE: &str = "no question with this code waits here any more; `portcullis pending` lists those that do";

impl Gateway {
    /// Carries out an order of the desk, given by the user `uid`, who may give it.
    #[must_use]
    pub fn desk(&self, order: Order, uid: u32) -> Answer {
        match order {
            Order::Pending => self.waiting(),
            Order::Approve { code, digest, typed } => self.approve(&code, &digest, typed.as_deref(), uid),
            Order::Decline { code } => self.decide(&code, Some(No::Declined), uid),
            Order::Reopen => self.reopen(uid),
        }
    }

    fn waiting(&self) -> Answer {
        let open = self.confirmer.at_desk();
        let questions = open.iter().map(|(ticket, age)| Waiting::new(ticket, *age, self.confirmer.left(ticket)));
        let closed_seconds = match self.confirmer.closed() {
            Ok(left) => left.map(|left| left.as_secs()),
            Err(error) => return refused(&error),
        };
        Answer::Pending { questions: questions.collect(), closed_seconds }
    }

    fn approve(&self, code: &str, digest: &str, typed: Option<&str>, uid: u32) -> Answer {
        match self.confirmer.closed() {
            Ok(None) => {}
            Ok(Some(left)) => {
                let seconds = left.as_secs();
                let why = format!("writes are closed for another {seconds} s; `portcullis reopen` opens them");
                return Answer::Refused { why };
            }
            Err(error) => return refused(&error),
        }
        let open = self.confirmer.at_desk();
        let Some((ticket, _)) = open.iter().find(|(ticket, _)| ticket.code == code) else { return refused(&GONE) };
        if ticket.question.digest.to_string() != digest {
            return refused(&"the question with this code is about another request than the one with this digest");
        }
        match (&ticket.question.form.word, typed) {
            (Word::Yes, _) => {}
            (word @ Word::Typed(_), Some(typed)) if word.is(typed) => {}
            (Word::Typed(word), _) => return refused(&format!("this request is approved by typing `{word}`")),
        }
        self.decide(code, None, uid)
    }

    /// The log first: an answer that is not in it does not count.
    fn decide(&self, code: &str, no: Option<No>, uid: u32) -> Answer {
        let open = self.confirmer.at_desk();
        let Some((ticket, age)) = open.iter().find(|(ticket, _)| ticket.code == code) else { return refused(&GONE) };
        if let Err(error) = self.audit.decision(ticket, no, uid, *age) {
            tracing::error!(%error, "an answer of the desk could not be recorded");
            return refused(&"the audit log cannot be written, so the answer does not count");
        }
        let Some(left) = self.confirmer.decide(code, no, uid) else { return refused(&GONE) };
        self.count_answer(no);
        Answer::Done { expires_in_seconds: Some(left.as_secs()) }
    }

    fn reopen(&self, uid: u32) -> Answer {
        if let Err(error) = self.audit.writes_opened(uid) {
            tracing::error!(%error, "the opening of writes could not be recorded");
            return refused(&"the audit log cannot be written, so writes stay as they are");
        }
        match self.confirmer.reopen() {
            Ok(()) => Answer::Done { expires_in_seconds: None },
            Err(error) => refused(&error),
        }
    }
}

fn refused(why: &dyn std::fmt::Display) -> Answer {
    Answer::Refused { why: why.to_string() }
}
