//! The questions that wait for an answer, and the answers that wait for their call.
//!
//! Promises: one question for each request, however often it is asked; each is answered once, by whoever comes first; an
//! approval is handed out once; what nobody answered in time is gone; so many at most.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::approval::{Approval, Mark, RequestDigest};
use super::used::UsedError;
use super::{Question, Standing};

/// Questions that may wait at a time; one more is refused.
pub const MAX_PENDING: usize = 64;
/// The bodies of all of them together, in bytes; one more is refused.
const MAX_KEPT: usize = 8 << 20;

/// Letters and digits of a code that nobody takes for one another.
const CODE_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Characters of a code, with the hyphen in their middle left out.
pub const CODE_LENGTH: usize = 6;

/// The number of a question: random, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Nonce(pub(super) [u8; 16]);

impl Nonce {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// What a person types to name the question: `K7F-3QD`.
    fn code(self) -> String {
        let letter = |byte: &u8| char::from(CODE_LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'A'));
        let mut code: String = self.0.iter().take(CODE_LENGTH).map(letter).collect();
        code.insert(CODE_LENGTH / 2, '-');
        code
    }
}

/// Who answered, where, and after how long: for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Where the answer was given.
    pub place: Place,
    /// From the question to the answer.
    pub took: Duration,
}

/// Where a person answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the client, which calls itself so.
    Client(Option<String>),
    /// In another terminal, as this user.
    Desk(u32),
}

impl Place {
    /// As the log has it, and a rule's `channel`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Desk(_) => "desk",
        }
    }
}

/// How a question was answered with no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum No {
    /// In so many words.
    Declined,
    /// By closing it.
    Dismissed,
    /// By an acceptance without what the form asked for.
    Unconfirmed,
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "declined by the user",
            Self::Dismissed => "cancelled: the user closed the question without an answer",
            Self::Unconfirmed => "not confirmed: the answer did not hold what the form asked for",
        })
    }
}

/// An answer.
#[derive(Debug)]
pub enum Decision {
    /// Yes, once.
    Approved(Approval, Witness),
    /// No.
    Refused(No, Witness),
    /// The question was answered before, and the answer went to another call; or it was withdrawn.
    Used,
    /// Whether it was, nobody can tell.
    Unknown(UsedError),
}

/// What a client's answer came to in this process.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) decision: Decision,
    /// Whether another process could be brought an answer as well, and the desk has not taken the question before.
    pub(super) contended: bool,
}

/// A question that waits.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub(super) nonce: Nonce,
    /// What is asked.
    pub question: Arc<Question>,
    /// What names it at the desk.
    pub code: String,
    /// On the clock, when it ends unanswered.
    pub until: Duration,
    /// On the clock.
    pub(super) asked: Duration,
    /// What is kept of the state that the person sees.
    pub(super) seen: Option<Mark>,
    pub(super) changed: Arc<Notify>,
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    answer: Option<Answer>,
    /// Calls that wait open for the answer.
    waiting: usize,
    /// A call shows it in its client right now.
    shown: bool,
    /// A client carries its state, and could bring it to another process.
    carried: bool,
}

/// An answer that no call has taken yet.
#[derive(Debug)]
enum Answer {
    Yes(Witness),
    No(No, Witness),
}

/// What becomes of an answer of the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// How long it waits for its call.
    pub left: Duration,
    /// Whether a call waits open for it.
    pub call_waits: bool,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pending: HashMap<RequestDigest, Pending>,
    /// The codes of the last questions whose answers went to a call, [`MAX_PENDING`] at most.
    taken: VecDeque<String>,
    /// Another policy is in force: no question may be asked here any more.
    retired: bool,
}

/// Why no question may be asked.
#[derive(Debug)]
pub(super) enum Closed {
    /// There is no room for one more.
    Full,
    /// Another policy is in force.
    Retired,
}

impl Table {
    /// Forgets what has ended.
    fn expire(&mut self, now: Duration) {
        self.pending.retain(|_, pending| {
            let lives = now < pending.ticket.until;
            if !lives {
                pending.ticket.changed.notify_waiters();
            }
            lives
        });
    }

    /// What is known of a request; an answer that waits is taken.
    pub(super) fn find(&mut self, digest: RequestDigest, now: Duration) -> Standing {
        self.expire(now);
        let Some(pending) = self.pending.get(&digest) else { return Standing::New };
        if pending.answer.is_none() {
            return Standing::Asked(pending.ticket.clone());
        }
        match self.pending.remove(&digest) {
            Some(Pending { ticket, answer: Some(answer), .. }) => {
                self.remember(&ticket);
                Standing::Decided(answer.hand_out(&ticket))
            }
            Some(Pending { answer: None, .. }) | None => Standing::New,
        }
    }

    /// Puts a question in, or finds the one that is there.
    pub(super) fn open(
        &mut self,
        nonce: Nonce,
        question: Question,
        seen: Option<Mark>,
        now: Duration,
        life: Duration,
    ) -> Result<Standing, Closed> {
        if self.retired {
            return Err(Closed::Retired);
        }
        match self.find(question.digest, now) {
            Standing::New if self.pending.len() >= MAX_PENDING || self.kept(&question) > MAX_KEPT => Err(Closed::Full),
            Standing::New => {
                let digest = question.digest;
                let code = self.unused(nonce);
                let until = now.saturating_add(life);
                let (question, changed) = (Arc::new(question), Arc::default());
                let ticket = Ticket { nonce, question, code, until, asked: now, seen, changed };
                let pending =
                    Pending { ticket: ticket.clone(), answer: None, waiting: 0, shown: false, carried: false };
                self.pending.insert(digest, pending);
                Ok(Standing::Asked(ticket))
            }
            found @ (Standing::Asked(_) | Standing::Decided(_)) => Ok(found),
        }
    }

    /// The bytes of all bodies, with that of one question more.
    fn kept(&self, more: &Question) -> usize {
        let questions = self.pending.values().map(|pending| &*pending.ticket.question).chain([more]);
        questions.filter_map(|question| question.whole.body.as_deref()).map(str::len).sum()
    }

    /// A code that names no other question.
    fn unused(&self, mut nonce: Nonce) -> String {
        loop {
            let code = nonce.code();
            if self.pending.values().all(|pending| pending.ticket.code != code) {
                return code;
            }
            // Another code of the same randomness; at most 64 are taken.
            nonce.0.rotate_left(1);
            if let Some(first) = nonce.0.first_mut() {
                *first = first.wrapping_add(1);
            }
        }
    }

    /// The answer that a client brings to the question with this number: it goes to the call that brings it.
    pub(super) fn settle(&mut self, nonce: Nonce, no: Option<No>, client: Option<String>, now: Duration) -> Settled {
        self.expire(now);
        let digest = self.pending.iter().find(|(_, pending)| pending.ticket.nonce == nonce).map(|(digest, _)| *digest);
        let Some(Pending { ticket, answer, carried, .. }) = digest.and_then(|digest| self.pending.remove(&digest))
        else {
            return Settled { decision: Decision::Used, contended: true };
        };
        let contended = carried && answer.is_none();
        self.remember(&ticket);
        ticket.changed.notify_waiters();
        let witness = Witness { place: Place::Client(client), took: now.saturating_sub(ticket.asked) };
        let answer = match (answer, no) {
            // Whoever answered at the desk was first, unless this one says no.
            (Some(answer), None) => answer,
            (None, None) => Answer::Yes(witness),
            (Some(_) | None, Some(no)) => Answer::No(no, witness),
        };
        Settled { decision: answer.hand_out(&ticket), contended }
    }

    /// Forgets a question.
    pub(super) fn forget(&mut self, ticket: &Ticket) {
        if self.same(ticket).is_some() {
            self.pending.remove(&ticket.question.digest);
            ticket.changed.notify_waiters();
        }
    }

    /// Forgets every question, answered or not, and takes none any more: those whose state a client carries.
    pub(super) fn retire(&mut self) -> Vec<Ticket> {
        self.retired = true;
        let ended = std::mem::take(&mut self.pending).into_values();
        ended
            .filter_map(|pending| {
                pending.ticket.changed.notify_waiters();
                pending.carried.then_some(pending.ticket)
            })
            .collect()
    }

    /// Whether it takes no questions any more.
    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// A client carries the state of this question from here on.
    pub(super) fn carry(&mut self, ticket: &Ticket) {
        if let Some(pending) = self.same(ticket) {
            pending.carried = true;
        }
    }

    /// The question with this code that the desk may answer, where nobody has here and somebody could elsewhere.
    pub(super) fn contended(&self, code: &str) -> Option<Ticket> {
        let named = self.pending.values().find(|pending| {
            let open = pending.carried && pending.answer.is_none();
            open && pending.ticket.code == code && pending.ticket.question.at_desk()
        });
        named.map(|pending| pending.ticket.clone())
    }

    fn remember(&mut self, ticket: &Ticket) {
        if self.taken.len() == MAX_PENDING {
            self.taken.pop_front();
        }
        self.taken.push_back(ticket.code.clone());
    }

    /// Whether the answer to the question with this code, one of the last ones, went to a call.
    pub(super) fn was_taken(&self, code: &str) -> bool {
        self.taken.iter().any(|taken| taken == code)
    }

    /// Whether no call waits for the answer or shows the question, and no client carries its state: it can be asked anew.
    pub(super) fn is_idle(&mut self, ticket: &Ticket) -> bool {
        self.same(ticket).is_some_and(|pending| {
            pending.answer.is_none() && pending.waiting == 0 && !pending.shown && !pending.carried
        })
    }

    /// What the desk can see, oldest first.
    pub(super) fn at_desk(&mut self, now: Duration) -> Vec<(Ticket, Duration)> {
        self.expire(now);
        let open =
            self.pending.values().filter(|pending| pending.answer.is_none() && pending.ticket.question.at_desk());
        let mut open: Vec<_> = open.map(|pending| (pending.ticket.clone(), pending.ticket.asked)).collect();
        open.sort_by_key(|(_, asked)| *asked);
        open
    }

    /// The question with this code, if the desk may answer it so, and when it was asked.
    pub(super) fn named(&mut self, code: &str, no: Option<No>, now: Duration) -> Option<(Ticket, Duration)> {
        self.expire(now);
        self.open_to(code, no).map(|pending| (pending.ticket.clone(), pending.ticket.asked))
    }

    /// The answer of the desk to the question with this code: it waits for its call, at least `life` long.
    pub(super) fn decide(
        &mut self,
        code: &str,
        no: Option<No>,
        witness: Witness,
        now: Duration,
        life: Duration,
    ) -> Option<Decided> {
        self.expire(now);
        let pending = self.open_to(code, no)?;
        pending.answer = Some(match no {
            None => Answer::Yes(witness),
            Some(no) => Answer::No(no, witness),
        });
        pending.ticket.until = pending.ticket.until.max(now.saturating_add(life));
        pending.ticket.changed.notify_waiters();
        Some(Decided { left: pending.ticket.until.saturating_sub(now), call_waits: pending.waiting > 0 })
    }

    /// The question with this code, if the desk may answer it so: once, but a no takes back a yes that no call has used.
    fn open_to(&mut self, code: &str, no: Option<No>) -> Option<&mut Pending> {
        self.pending.values_mut().find(|pending| {
            let open = match (&pending.answer, no) {
                (None, _) | (Some(Answer::Yes(_)), Some(_)) => true,
                (Some(Answer::Yes(_)), None) | (Some(Answer::No(..)), _) => false,
            };
            open && pending.ticket.code == code && pending.ticket.question.at_desk()
        })
    }

    /// One more call waits for the answer.
    pub(super) fn wait(&mut self, ticket: &Ticket) {
        if let Some(pending) = self.same(ticket) {
            pending.waiting += 1;
        }
    }

    /// A call waits no more.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        if let Some(pending) = self.same(ticket) {
            pending.waiting = pending.waiting.saturating_sub(1);
        }
    }

    /// Whether the caller is the one that shows the question.
    pub(super) fn show(&mut self, ticket: &Ticket) -> bool {
        self.same(ticket).is_some_and(|pending| !std::mem::replace(&mut pending.shown, true))
    }

    /// It is shown no more: another call that waits for it may show it.
    pub(super) fn hide(&mut self, ticket: &Ticket) {
        if let Some(pending) = self.same(ticket) {
            pending.shown = false;
            pending.ticket.changed.notify_waiters();
        }
    }

    /// A call that was taken back takes its question with it, answered or not, unless another one waits for the answer:
    /// whether a client carries the state of what is gone.
    pub(super) fn withdraw(&mut self, ticket: &Ticket) -> bool {
        let alone = self.same(ticket).is_some_and(|pending| pending.waiting == 0);
        let gone = alone.then(|| self.pending.remove(&ticket.question.digest)).flatten();
        gone.is_some_and(|pending| pending.carried)
    }

    fn same(&mut self, ticket: &Ticket) -> Option<&mut Pending> {
        self.pending.get_mut(&ticket.question.digest).filter(|pending| pending.ticket.nonce == ticket.nonce)
    }
}

impl Answer {
    fn hand_out(self, ticket: &Ticket) -> Decision {
        match self {
            Self::Yes(witness) => Decision::Approved(Approval::new(ticket.question.digest, ticket.seen), witness),
            Self::No(no, witness) => Decision::Refused(no, witness),
        }
    }
}
