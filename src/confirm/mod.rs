//! Where a held request gets its person's answer: in the client that asks, or at the desk, from another terminal.
//!
//! Promises: an [`Approval`] comes from a person's answer to a question about exactly that request,
//! given within its time, and is handed out once; an agent's words make none. Trusts the client to show the question to a
//! person and to bring back what they said, and whoever can open the desk's socket as the user that runs the gateway.

pub mod approval;
mod closed;
pub mod desk;
pub mod difference;
pub mod escape;
pub mod form;
mod lock;
pub mod page;
pub mod person;
pub mod pretty;
mod seal;
mod table;
mod tree;
mod used;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::confirm::approval::{Approval, RequestDigest, State};
use crate::policy::{Channel, ConfirmSpec};
use crate::request::method::Method;
use crate::secret::Secret;
use closed::Closed;
use form::Word;
use person::{Form, Reply};
use seal::{Carried, Seal};
use table::{Found, Nonce, Settled, Table};
use used::{Claim, Used};

pub use closed::{ClosedError, REFUSALS, Streak};
pub use seal::{SealError, StateError};
pub use table::{CODE_LENGTH, Decided, Decision, MAX_PENDING, No, Place, Ticket, Witness};
pub use used::UsedError;

/// What a person is asked.
#[derive(Debug)]
pub struct Question {
    /// The request.
    pub digest: RequestDigest,
    /// The request in words, and what has to come back.
    pub form: Form,
    /// Where it may be answered.
    pub channel: Channel,
    /// The call that asked first, as the log names it.
    pub call: String,
    /// What the client of that call calls itself: one short line, safe to print.
    pub client: Option<String>,
    /// The API, by the name of its policy.
    pub api: String,
    /// The rule that asks for a person.
    pub rule: String,
    /// What is asked for.
    pub method: Method,
    /// The canonical path and query.
    pub target: String,
    /// The state of the target that the person sees.
    pub seen: Option<State>,
}

impl Question {
    /// Whether the desk may answer it.
    #[must_use]
    pub fn at_desk(&self) -> bool {
        match self.channel {
            Channel::Any | Channel::Desk => true,
            Channel::Client => false,
        }
    }
}

/// What is known of a held request.
#[derive(Debug)]
pub enum Standing {
    /// Nobody was asked.
    New,
    /// Somebody was asked and has not answered.
    Asked(Ticket),
    /// Somebody answered; the answer is this call's.
    Decided(Decision),
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Too many wait.
    #[error("{MAX_PENDING} questions wait for an answer already")]
    Full,
    /// No randomness for the question's number.
    #[error("the system gave no random bytes for a question: {0}")]
    Random(getrandom::Error),
}

/// The questions of one gateway.
#[derive(Debug)]
pub struct Confirmer {
    spec: ConfirmSpec,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    closed: Closed,
    seal: Seal,
    /// Where other processes open what this one seals.
    used: Option<Used>,
}

impl Confirmer {
    /// No questions yet. `directory` is the state directory, already checked. `key` is that of the policy, where it names
    /// one: the gateways that have it and the directory in common take the answers to each other's questions.
    ///
    /// # Errors
    /// [`SealError`]: the system gives no randomness, or the key or the list of answered questions cannot be used.
    pub fn new(
        spec: ConfirmSpec,
        directory: &Path,
        clock: Arc<dyn Clock>,
        key: Option<&Secret>,
    ) -> Result<Self, SealError> {
        let closed = Closed::new(directory, spec.cooldown, Arc::clone(&clock));
        let (seal, used) = match key {
            None => (Seal::new()?, None),
            Some(key) => {
                let used = Used::open(directory, Arc::clone(&clock))?;
                (Seal::shared(key, used.id())?, Some(used))
            }
        };
        Ok(Self { spec, clock, table: Mutex::default(), closed, seal, used })
    }

    /// `[confirm]`
    #[must_use]
    pub fn spec(&self) -> &ConfirmSpec {
        &self.spec
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic inside leaves at worst a question without its answer.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Since 1970.
    fn wall(&self) -> Duration {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// What is known of a request; an answer that waits is taken.
    #[must_use]
    pub fn standing(&self, digest: RequestDigest) -> Standing {
        let found = self.table().find(digest, self.now());
        match (&found, &self.used) {
            // It was answered in another process.
            (Found::Open(ticket), Some(used)) if used.holds(ticket.nonce).is_ok_and(|used| used) => {
                self.table().forget(ticket);
                Standing::New
            }
            (Found::Nothing | Found::Open(_) | Found::Decided(_), _) => found.into(),
        }
    }

    /// Asks, or finds that somebody was asked the same.
    ///
    /// # Errors
    /// [`AskError`]: nobody was asked.
    pub fn open(&self, question: Question) -> Result<Standing, AskError> {
        let nonce = Nonce::random().map_err(AskError::Random)?;
        let life = if question.at_desk() { self.spec.desk_ttl.max(self.spec.ttl) } else { self.spec.ttl };
        let seen = question.seen.as_ref().map(|state| self.seal.mark(nonce, state));
        let opened = self.table().open(nonce, question, seen, self.now(), life);
        opened.map(Standing::from).map_err(|table::Full| AskError::Full)
    }

    /// Waits until the question is answered, at most so long. `None`: it is not, or ended unanswered.
    pub async fn answered(&self, ticket: &Ticket, within: Duration) -> Option<Decision> {
        let _waiting = Waiting::new(self, ticket);
        let mut end = self.clock.sleep(within);
        loop {
            let changed = ticket.changed.notified();
            tokio::pin!(changed);
            // Listening from here on: an answer that comes between the look and the wait is not missed.
            changed.as_mut().enable();
            match self.standing(ticket.question.digest) {
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

    /// Takes a question back whose call was taken back, unless another call waits for the answer.
    pub fn withdraw(&self, ticket: &Ticket) {
        let carried = self.table().withdraw(ticket);
        let Some(used) = self.used.as_ref().filter(|_| carried) else { return };
        match used.claim(ticket.nonce, self.left(ticket)) {
            Ok(Claim::First | Claim::Used) => {}
            Err(error) => tracing::error!(%error, "other gateways could not be told that a question was taken back"),
        }
    }

    /// How long the question still lives.
    #[must_use]
    pub fn left(&self, ticket: &Ticket) -> Duration {
        ticket.until.saturating_sub(self.now())
    }

    /// The questions that the desk may answer, oldest first, each with its age.
    #[must_use]
    pub fn at_desk(&self) -> Vec<(Ticket, Duration)> {
        let now = self.now();
        let open = self.table().at_desk(now);
        open.into_iter().map(|(ticket, asked)| (ticket, now.saturating_sub(asked))).collect()
    }

    /// The question with this code and its age, if the desk may answer it so: once, but a no takes back a yes that no call
    /// has used.
    #[must_use]
    pub fn named(&self, code: &str, no: Option<No>) -> Option<(Ticket, Duration)> {
        let now = self.now();
        let (ticket, asked) = self.table().named(code, no, now)?;
        Some((ticket, now.saturating_sub(asked)))
    }

    /// The desk's answer to the question with this code. `None`: there is no such question, as in [`named`](Self::named).
    ///
    /// # Errors
    /// [`UsedError`]: nobody can tell whether it was answered in another process.
    pub fn decide(&self, code: &str, no: Option<No>, witness: Witness) -> Result<Option<Decided>, UsedError> {
        let contended = self.table().contended(code);
        if let (Some(used), Some(ticket)) = (&self.used, contended) {
            match used.claim(ticket.nonce, self.left(&ticket))? {
                Claim::First => {}
                Claim::Used => self.table().forget(&ticket),
            }
        }
        Ok(self.table().decide(code, no, witness, self.now(), self.spec.ttl))
    }

    /// How long writes stay closed; `None` while they are open.
    ///
    /// # Errors
    /// [`ClosedError`]: nobody can tell, so they are closed.
    pub fn closed(&self) -> Result<Option<Duration>, ClosedError> {
        self.closed.left()
    }

    /// Counts an answer for the row of refusals that closes writes.
    ///
    /// # Errors
    /// [`ClosedError`]: it could not be counted.
    pub fn count(&self, no: Option<No>) -> Result<Streak, ClosedError> {
        match no {
            Some(_) => self.closed.refused(),
            None => self.closed.approved().map(|()| Streak::Open),
        }
    }

    /// Opens writes.
    ///
    /// # Errors
    /// [`ClosedError`]: the state could not be written.
    pub fn reopen(&self) -> Result<(), ClosedError> {
        self.closed.reopen()
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

impl From<Found> for Standing {
    fn from(found: Found) -> Self {
        match found {
            Found::Nothing => Self::New,
            Found::Open(ticket) => Self::Asked(ticket),
            Found::Decided(decision) => Self::Decided(decision),
        }
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
