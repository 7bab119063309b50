//! Calls that stay open while a person is asked: each waits for the answer, and one of them at a time shows the question.

use std::time::Duration;

use super::{Confirmer, Decision, Standing, Ticket};

impl Confirmer {
    /// Waits until the question is answered, at most so long. `None`: it is not, or ended unanswered.
    pub async fn answered(&self, ticket: &Ticket, within: Duration) -> Option<Decision> {
        let _waiting = Waiting::new(self, ticket);
        let mut end = self.clock.sleep(within);
        loop {
            let changed = ticket.changed.notified();
            tokio::pin!(changed);
            // Listening from here on: an answer that comes between the look and the wait is not missed.
            changed.as_mut().enable();
            match self.take_standing(ticket.question.digest) {
                Standing::Decided(decision) => return Some(decision),
                Standing::Asked(now) if now.nonce == ticket.nonce => {}
                // Another call took the answer, or the question ended: who looks after its end sees which.
                Standing::Asked(_) | Standing::New => {
                    return (self.now() < ticket.until).then_some(Decision::Used);
                }
            }
            tokio::select! {
                () = changed => {}
                () = &mut end => return None,
            }
        }
    }

    /// The right to show the question in a client; one call has it at a time.
    #[must_use]
    pub fn show(&self, ticket: &Ticket) -> Option<Showing<'_>> {
        self.table().show(ticket).then(|| Showing { confirmer: self, ticket: ticket.clone() })
    }

    /// The same, once no other call has it. Where the question ends before that, it never comes.
    pub async fn turn(&self, ticket: &Ticket) -> Showing<'_> {
        loop {
            let changed = ticket.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(showing) = self.show(ticket) {
                return showing;
            }
            changed.await;
        }
    }

    /// On the clock, until when a call may stay open from now on while its client asks.
    #[must_use]
    pub fn open_until(&self, ticket: &Ticket) -> Duration {
        self.now().saturating_add(self.spec.client_wait.min(self.spec.ttl)).min(ticket.until)
    }
}

/// A call that shows a question in its client.
#[derive(Debug)]
pub struct Showing<'a> {
    confirmer: &'a Confirmer,
    ticket: Ticket,
}

impl Drop for Showing<'_> {
    fn drop(&mut self) {
        self.confirmer.table().hide(&self.ticket);
    }
}

/// A call that waits open.
struct Waiting<'a> {
    confirmer: &'a Confirmer,
    ticket: &'a Ticket,
}

impl<'a> Waiting<'a> {
    fn new(confirmer: &'a Confirmer, ticket: &'a Ticket) -> Self {
        confirmer.table().wait(ticket);
        Self { confirmer, ticket }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.confirmer.table().leave(self.ticket);
    }
}
