//! What a client brings back, while its call is open or with the call made again, and whose the answer then is.
//!
//! Promises: where several processes could be brought the answer to one question, the one that is first to write its use
//! down has it.

use std::time::Duration;

use super::Confirmer;
use super::approval::{Approval, RequestDigest};
use super::form::Word;
use super::person::Reply;
use super::seal::{Carried, StateError};
use super::table::{Decision, No, Nonce, Place, Settled, Ticket, Witness};
use super::used::Claim;

impl Confirmer {
    /// The answer that a client brings; it goes to the call that brings it.
    pub fn settle(&self, ticket: &Ticket, reply: &Reply, client: Option<String>) -> Decision {
        let no = no(reply, &ticket.question.form.word);
        let settled = self.table().settle(ticket.nonce, no, client, self.now());
        self.claimed(settled, ticket.nonce, self.left(ticket), || Decision::Used)
    }

    /// The answer that a repeated call brings; `word` is what the question asked for.
    ///
    /// # Errors
    /// [`StateError`]: it is the answer to no question about this request.
    pub fn redeem(
        &self,
        digest: RequestDigest,
        state: &str,
        reply: Option<&Reply>,
        word: &Word,
        client: Option<String>,
    ) -> Result<Option<Decision>, StateError> {
        let Carried { nonce, asked, end, seen } = self.seal.open(state, digest)?;
        let Some(reply) = reply else { return Ok(None) };
        let (no, wall) = (no(reply, word), self.wall());
        let settled = self.table().settle(nonce, no, client.clone(), self.now());
        let left = Duration::from_millis(end).saturating_sub(wall);
        Ok(Some(self.claimed(settled, nonce, left, || {
            // Another process asked, or this one in an earlier life.
            let witness =
                Witness { place: Place::Client(client), took: wall.saturating_sub(Duration::from_millis(asked)) };
            match no {
                None => Decision::Approved(Approval::new(digest, seen), witness),
                Some(no) => Decision::Refused(no, witness),
            }
        })))
    }

    /// An answer, if it is this process that gets to use it; what is not known here is decided `elsewhere`.
    fn claimed(
        &self,
        Settled { decision, contended }: Settled,
        nonce: Nonce,
        left: Duration,
        elsewhere: impl FnOnce() -> Decision,
    ) -> Decision {
        let Some(used) = self.used.as_ref().filter(|_| contended) else { return decision };
        match (used.claim(nonce, left), decision) {
            (Ok(Claim::First), Decision::Used) => elsewhere(),
            (Ok(Claim::First), decision) => decision,
            (Ok(Claim::Used), _) => Decision::Used,
            (Err(error), _) => Decision::Unknown(error),
        }
    }

    /// What a client carries from the question to the answer: no longer good than the question is.
    #[must_use]
    pub fn state(&self, ticket: &Ticket) -> String {
        self.table().carry(ticket);
        let (left, wall) = (self.spec.ttl.min(self.left(ticket)), self.wall());
        let asked = wall.saturating_sub(self.now().saturating_sub(ticket.asked));
        let (asked, end) = (millis(asked), millis(wall.saturating_add(left)));
        let carried = Carried { nonce: ticket.nonce, asked, end, seen: ticket.seen };
        self.seal.seal(&carried, ticket.question.digest, left)
    }
}

/// What an answer is, if not the yes that was asked for.
fn no(reply: &Reply, word: &Word) -> Option<No> {
    match reply {
        _ if reply.confirms(word) => None,
        Reply::Accept(_) => Some(No::Unconfirmed),
        Reply::Decline => Some(No::Declined),
        Reply::Dismiss => Some(No::Dismissed),
    }
}

fn millis(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
