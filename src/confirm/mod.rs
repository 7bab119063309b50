//! Where a held request gets its person's answer: in the client that asks, or at the desk, from another terminal.
//!
//! Promises: an [`Approval`](approval::Approval) comes from a person's answer to a question about exactly that request,
//! given within its time, and is handed out once; an agent's words make none. Trusts the client to show the question to a
//! person and to bring back what they said, and whoever can open the desk's socket as the user that runs the gateway.

mod answering;
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
mod waiting;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::confirm::approval::{Mark, RequestDigest, State};
use crate::policy::{Channel, ConfirmSpec};
use crate::request::method::Method;
use crate::secret::Secret;
use closed::Closed;
use desk::Whole;
use person::Form;
use seal::Seal;
use table::{Nonce, Table};
use used::{Claim, Used};

pub use closed::{ClosedError, REFUSALS, Streak};
pub use seal::{SealError, StateError};
pub use table::{CODE_LENGTH, Decided, Decision, MAX_PENDING, No, Place, Ticket, Witness};
pub use used::UsedError;
pub use waiting::Showing;

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
    /// What the form may be too short for.
    pub whole: Whole,
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
    /// Another policy is in force.
    #[error("another policy is in force by now")]
    Retired,
    /// No randomness for the question's number.
    #[error("the system gave no random bytes for a question: {0}")]
    Random(getrandom::Error),
}

impl From<table::Closed> for AskError {
    fn from(closed: table::Closed) -> Self {
        match closed {
            table::Closed::Full => Self::Full,
            table::Closed::Retired => Self::Retired,
        }
    }
}

/// The questions of one gateway under one policy.
#[derive(Debug)]
pub struct Confirmer {
    spec: ConfirmSpec,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    closed: Closed,
    seal: Arc<Seal>,
    /// Where other processes open what this one seals.
    used: Option<Arc<Used>>,
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
                (Seal::shared(key, used.id())?, Some(Arc::new(used)))
            }
        };
        Ok(Self { spec, clock, table: Mutex::default(), closed, seal: Arc::new(seal), used })
    }

    /// No questions yet, under another policy with the same key or none. What this one seals opens nothing there, unless
    /// there is a key.
    ///
    /// # Errors
    /// [`SealError`]: the system gives no randomness.
    pub fn renewed(&self, spec: ConfirmSpec) -> Result<Self, SealError> {
        let seal = match self.used {
            Some(_) => Arc::clone(&self.seal),
            None => Arc::new(Seal::new()?),
        };
        let (clock, used) = (Arc::clone(&self.clock), self.used.clone());
        Ok(Self { closed: self.closed.renewed(spec.cooldown), spec, clock, table: Mutex::default(), seal, used })
    }

    /// Ends every question, answered or not, and lets none follow: another policy is in force.
    pub fn retire(&self) {
        let carried = self.table().retire();
        carried.iter().for_each(|ticket| self.void(ticket));
    }

    /// Whether another policy is in force: no answer counts here any more.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.table().is_retired()
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
    pub fn take_standing(&self, digest: RequestDigest) -> Standing {
        let found = self.table().find(digest, self.now());
        match (&found, &self.used) {
            // It was answered in another process.
            (Standing::Asked(ticket), Some(used)) if used.holds(ticket.nonce).is_ok_and(|used| used) => {
                self.table().forget(ticket);
                Standing::New
            }
            (Standing::New | Standing::Asked(_) | Standing::Decided(_), _) => found,
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
        opened.map_err(AskError::from)
    }

    /// Takes a question back whose call was taken back, unless another call waits for the answer.
    pub fn withdraw(&self, ticket: &Ticket) {
        let carried = self.table().withdraw(ticket);
        if carried {
            self.void(ticket);
        }
    }

    /// Uses up the answer to a question whose state a client carries, wherever it is brought.
    fn void(&self, ticket: &Ticket) {
        let Some(used) = &self.used else { return };
        match used.claim(ticket.nonce, self.left(ticket)) {
            Ok(Claim::First | Claim::Used) => {}
            Err(error) => tracing::error!(%error, "other gateways could not be told that a question was taken back"),
        }
    }

    /// Forgets a question that is out of date, if nobody is on the way to answering it.
    pub fn outdate(&self, ticket: &Ticket) {
        let mut table = self.table();
        if table.is_idle(ticket) {
            table.forget(ticket);
        }
    }

    /// The state that a question shows, where it shows one and nobody is on the way to answering it: no call waits for it
    /// and no client has it.
    #[must_use]
    pub fn idle(&self, ticket: &Ticket) -> Option<Mark> {
        ticket.seen.filter(|_| self.table().is_idle(ticket))
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

    /// Whether the answer to the question with this code, one of the last ones, went to a call.
    #[must_use]
    pub fn was_taken(&self, code: &str) -> bool {
        self.table().was_taken(code)
    }

    /// How long writes stay closed; `None` while they are open.
    ///
    /// # Errors
    /// [`ClosedError`]: nobody can tell, so they are closed.
    pub async fn closed(&self) -> Result<Option<Duration>, ClosedError> {
        self.closed.left().await
    }

    /// Counts an answer for the row of refusals that closes writes.
    ///
    /// # Errors
    /// [`ClosedError`]: it could not be counted.
    pub async fn count(&self, no: Option<No>) -> Result<Streak, ClosedError> {
        match no {
            Some(_) => self.closed.refused().await,
            None => self.closed.approved().await.map(|()| Streak::Open),
        }
    }

    /// Opens writes.
    ///
    /// # Errors
    /// [`ClosedError`]: the state could not be written.
    pub async fn reopen(&self) -> Result<(), ClosedError> {
        self.closed.reopen().await
    }
}
