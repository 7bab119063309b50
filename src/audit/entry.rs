//! The life of one call in the log: [`Entry`] → [`Recorded`] → [`Asked`] → [`Answer`].
//!
//! Each step consumes the one before, so that a request cannot be sent unrecorded, sent twice, or answered unlogged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::record::{Abandoned, Ask, Fact, Outcome as Line, Person, Question, Subject};
use super::subject::Teller;
use super::{AuditError, AuditLog, Safe, Shared, Told, capped};
use crate::agent::Agent;
use crate::answer::Shaped;
use crate::confirm::person::Form;
use crate::confirm::{No, Ticket, Witness};
use crate::policy::{Authorized, Effect, Grant, Held, RuleRef, Values};
use crate::refusal::{Code, Refusal};
use crate::request::Request;

/// An open call that was not forwarded. Dropped without an answer it leaves an `abandoned` record.
#[derive(Debug)]
pub struct Entry(Open);

/// A request whose intent is in the log; the only thing the upstream sends.
#[derive(Debug)]
pub struct Recorded {
    asked: Asked,
    authorized: Authorized,
    idempotency_key: Option<String>,
}

/// A call whose intent is in the log and whose outcome is not yet.
#[derive(Debug)]
pub struct Asked {
    open: Open,
    effect: Effect,
}

/// An answer that is in the log; the only thing a front door sends back.
#[derive(Debug)]
pub struct Answer {
    said: Said,
    logged: bool,
}

/// What a front door has to say.
#[derive(Debug)]
pub enum Said {
    /// The result of a call.
    Result(Shaped),
    /// A question to the person behind the client, and what the client has to bring back with the answer
    /// (MCP 2026-07-28, `InputRequiredResult`).
    Ask(Form, String),
    /// The client cannot ask, and nobody else may: an error of the protocol where it has one for this, else the result.
    Unable(Shaped),
    /// What the client brought back is not what it was given: one error of the protocol, whatever the cause.
    BadState,
}

/// What came of a call that was sent.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the agent gets.
    pub shaped: Shaped,
    /// The code, where it is not a success.
    pub code: Option<Code>,
    /// What happened, for the log.
    pub cause: Option<String>,
    /// The upstream's status.
    pub status: Option<u16>,
    /// Bytes of the upstream's answer, unpacked.
    pub bytes: Option<u64>,
    /// How often the request was sent.
    pub attempts: u8,
    /// Places in which the credential was taken out of the answer.
    pub redacted: u32,
}

/// The duty to end a call in the log.
#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    told: Arc<Told>,
    call: String,
    agent: Agent,
    tool: String,
    operation: Option<String>,
    argument: Option<(&'static str, String)>,
    started: Duration,
    /// Whether the question is in the log.
    asked: bool,
    closed: bool,
    /// The answer's number, once it is in the chain: it may not be in the file yet.
    answered: Option<u64>,
    /// What a person said, and how.
    person: Option<(Option<No>, Witness)>,
    /// How the values of its request are told.
    values: Values,
}

const UNSENT: &str = "the audit log cannot be written, so nothing is forwarded; tell the operator";
const UNTAKEN: &str = "the write was not sent, because a place that has to keep its record as well did not take it in time; \
                       tell the operator";
const UNTAKEN_CAUSE: &str = "sink: one that the policy requires did not take the intent in time";
const READ_UNLOGGED: &str = "the answer is withheld, because the audit log cannot be written; tell the operator";
const WRITE_UNLOGGED: &str =
    "the request was sent, but its outcome could not be recorded; do not repeat it, tell the operator";

impl Entry {
    pub(super) fn new(log: &AuditLog, call: String, agent: Agent, tool: String) -> Self {
        let AuditLog { shared, told } = log.clone();
        let started = shared.clock.monotonic();
        shared.open.fetch_add(1, Ordering::Relaxed);
        let (operation, argument) = (None, None);
        Self(Open {
            shared,
            told,
            call,
            agent,
            tool,
            operation,
            argument,
            started,
            asked: false,
            closed: false,
            answered: None,
            person: None,
            values: Values::default(),
        })
    }

    /// Says what the call names beside its request: an operation, in clear as tools are, and a value, as its digest.
    #[must_use]
    pub fn about(mut self, operation: Option<&str>, value: Option<(&'static str, &str)>) -> Self {
        let open = &mut self.0;
        open.operation = operation.map(capped);
        open.argument =
            value.map(|(name, value)| (name, open.shared.key.of(&[b"argument", name.as_bytes(), value.as_bytes()])));
        self
    }

    /// Says how much the rules about its request let the log tell of values.
    #[must_use]
    pub fn tells(mut self, values: Values) -> Self {
        self.0.values = values;
        self
    }

    /// Ends the call without sending anything: its question and its answer are recorded together.
    #[must_use]
    pub fn refuse(self, refusal: &Refusal, request: Option<&Request>) -> Answer {
        let Self(open) = self;
        match open.refused(refusal, request) {
            Ok(()) => Answer { said: Said::Result(Shaped::refusal(refusal, &open.close())), logged: true },
            Err(error) => open.unavailable(&error, UNSENT),
        }
    }

    /// The same, where the client should have asked and cannot.
    #[must_use]
    pub fn unable(self, refusal: &Refusal, request: &Request) -> Answer {
        let Self(open) = self;
        match open.refused(refusal, Some(request)) {
            Ok(()) => Answer { said: Said::Unable(Shaped::refusal(refusal, &open.close())), logged: true },
            Err(error) => open.unavailable(&error, UNSENT),
        }
    }

    /// The same, where the client brought back what nobody gave it: it is told nothing of the cause.
    #[must_use]
    pub fn bad_state(self, refusal: &Refusal, request: Option<&Request>) -> Answer {
        let Self(open) = self;
        match open.refused(refusal, request) {
            Ok(()) => {
                open.close();
                Answer { said: Said::BadState, logged: true }
            }
            Err(error) => open.unavailable(&error, UNSENT),
        }
    }

    /// The same, with a question to the person in place of a result: the call comes again with the answer.
    #[must_use]
    pub fn ask(self, refusal: &Refusal, request: &Request, form: Form, state: String) -> Answer {
        let Self(open) = self;
        match open.refused(refusal, Some(request)) {
            Ok(()) => {
                open.close();
                Answer { said: Said::Ask(form, state), logged: true }
            }
            Err(error) => open.unavailable(&error, UNSENT),
        }
    }

    /// The call's name in the log.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.0.call
    }

    /// Records that a person is about to be asked.
    ///
    /// # Errors
    /// The answer `audit_unavailable`: nobody may be asked.
    pub fn asking(
        self,
        held: &Held,
        ticket: &Ticket,
        channels: Vec<&'static str>,
        client: Option<String>,
    ) -> Result<Self, Answer> {
        let Self(open) = self.tells(held.grant().values());
        let rule = held.rule();
        let ask = Ask {
            call: &open.call,
            agent: open.agent.name(),
            tool: &open.tool,
            rule: rule.id(),
            line: rule.line(),
            code: &ticket.code,
            channels,
            client: client.as_deref().map(super::capped),
            request: open.subject(held.request()),
        };
        let written = open.shared.write(&[Fact::Ask(ask)]);
        match written {
            Ok(_) => Ok(Self(open)),
            Err(error) => Err(open.unavailable(&error, UNSENT)),
        }
    }

    /// Notes what a person said, for the question's record.
    #[must_use]
    pub fn witnessed(self, no: Option<No>, witness: Witness) -> Self {
        let Self(mut open) = self;
        open.person = Some((no, witness));
        Self(open)
    }

    /// Ends a call that asked for something that this process knows, and sends nothing.
    #[must_use]
    pub fn tell(self, shaped: Shaped) -> Answer {
        let Self(open) = self;
        let bytes = shaped.blocks.iter().map(String::len).sum::<usize>();
        let answer = Line { bytes: u64::try_from(bytes).ok(), ..open.line(None) };
        let question = open.question("allow", None);
        let written = open.shared.write(&[Fact::Question(&question), Fact::Answer(answer)]);
        match written {
            Ok(_) => {
                open.close();
                Answer { said: Said::Result(shaped), logged: true }
            }
            Err(error) => open.unavailable(&error, READ_UNLOGGED),
        }
    }

    /// Writes the intent; for a write (or with `sync = "each"`) it is on disk on return, and with every sink that the
    /// policy requires.
    ///
    /// # Errors
    /// The answer `audit_unavailable`: nothing may be sent.
    pub async fn record(self, authorized: Authorized) -> Result<Recorded, Answer> {
        let grant = authorized.grant();
        let Self(mut open) = self.tells(grant.values());
        let keyed = grant.idempotency_key() && grant.effect() == Effect::Write;
        // Once for each call, and no call's name is used twice under one key.
        let started = open.started.as_nanos().to_be_bytes();
        let idempotency_key = keyed.then(|| open.shared.key.of(&[b"idempotency", open.call.as_bytes(), &started]));
        let cause = grant.reported().map(|reason| reason.cause().to_string());
        let question = Question {
            idempotency_key: idempotency_key.as_deref(),
            rule: Some(grant.rule().id()),
            line: Some(grant.rule().line()),
            rules: others(grant),
            effect: Some(grant.effect().as_str()),
            credential: grant.credential(),
            cause: cause.as_deref(),
            ..open.question(if cause.is_some() { "report" } else { "allow" }, Some(authorized.request()))
        };
        let effect = grant.effect();
        let written = open.shared.append(&[Fact::Question(&question)]);
        let seq = match written {
            Ok(seq) => seq,
            Err(error) => return Err(open.unavailable(&error, UNSENT)),
        };
        open.asked = true;
        if let Err(error) = open.shared.settle(seq).await {
            return Err(open.unavailable(&error, UNSENT));
        }
        match open.shared.safe(seq, effect, open.told.patience).await {
            Safe::Yes => Ok(Recorded { asked: Asked { open, effect }, authorized, idempotency_key }),
            Safe::NotOnDisk => Err(open.unavailable(&AuditError::Broken, UNSENT)),
            Safe::NotTaken => Err(open.untaken()),
        }
    }
}

impl Recorded {
    /// What was decided and recorded.
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// The key by which the upstream knows a repetition, where the policy asks for one.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// Gives the permission up: what is left is the duty to answer.
    #[must_use]
    pub fn into_asked(self) -> Asked {
        self.asked
    }
}

impl Asked {
    /// The call's name in the log, which the agent sees as `request_id`.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.open.call
    }

    /// Ends a call that was sent.
    pub async fn close(self, outcome: Outcome) -> Answer {
        let Self { mut open, effect } = self;
        let line = Line {
            cause: outcome.cause.as_deref(),
            status: outcome.status,
            bytes: outcome.bytes,
            attempts: (outcome.attempts != 1).then_some(outcome.attempts),
            redacted: (outcome.redacted > 0).then_some(outcome.redacted),
            ..open.line(outcome.code)
        };
        let appended = open.shared.append(&[Fact::Answer(line)]);
        let written = match appended {
            Ok(seq) => {
                open.answered = Some(seq);
                open.shared.settle(seq).await
            }
            Err(error) => Err(error),
        };
        match (written, effect) {
            (Ok(_), _) => {
                open.close();
                Answer { said: Said::Result(outcome.shaped), logged: true }
            }
            (Err(error), Effect::Write) => open.unavailable(&error, WRITE_UNLOGGED),
            (Err(error), Effect::Read) => open.unavailable(&error, READ_UNLOGGED),
        }
    }
}

impl Answer {
    /// Whether it is what the call came to, and not that the log could not be written.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.logged
    }

    /// What to say.
    #[must_use]
    pub fn into_said(self) -> Said {
        self.said
    }
}

impl Open {
    /// The duty is done; the call's name.
    fn close(mut self) -> String {
        self.closed = true;
        std::mem::take(&mut self.call)
    }

    fn unavailable(self, error: &AuditError, message: &str) -> Answer {
        let call = self.close();
        tracing::error!(%error, call, "a call ended because the audit log could not be written");
        Answer {
            said: Said::Result(Shaped::refusal(&Refusal::new(Code::AuditUnavailable, message), &call)),
            logged: false,
        }
    }

    /// Ends a write that a sink has not taken: nothing was sent.
    fn untaken(self) -> Answer {
        let refusal = Refusal::new(Code::AuditUnavailable, UNTAKEN);
        let line = Line { cause: Some(UNTAKEN_CAUSE), attempts: Some(0), ..self.line(Some(refusal.code)) };
        let written = self.shared.write(&[Fact::Answer(line)]);
        match written {
            Ok(_) => Answer { said: Said::Result(Shaped::refusal(&refusal, &self.close())), logged: true },
            Err(error) => self.unavailable(&error, UNSENT),
        }
    }

    fn question<'a>(&'a self, verdict: &'static str, request: Option<&'a Request>) -> Question<'a> {
        Question {
            call: &self.call,
            agent: self.agent.name(),
            tool: &self.tool,
            verdict,
            code: None,
            cause: None,
            rule: None,
            line: None,
            rules: Vec::new(),
            effect: None,
            credential: None,
            person: self.person.as_ref().map(|(no, witness)| Person::new(*no, witness)),
            idempotency_key: None,
            operation: self.operation.as_deref(),
            argument: self.argument.as_ref().map(|(name, digest)| (*name, digest.as_str())),
            request: request.map(|request| self.subject(request)),
        }
    }

    fn subject<'a>(&self, request: &'a Request) -> Subject<'a> {
        let (key, redact) = (&self.shared.key, &self.told.redact);
        Teller { key, redact, values: self.values }.subject(request)
    }

    /// Records a question and its answer: nothing is sent.
    fn refused(&self, refusal: &Refusal, request: Option<&Request>) -> Result<(), AuditError> {
        let question = Question {
            code: Some(refusal.code.as_str()),
            cause: Some(&refusal.cause),
            rule: refusal.rule.as_ref().map(RuleRef::id),
            line: refusal.rule.as_ref().map(RuleRef::line),
            ..self.question(refusal.code.verdict(), request)
        };
        let answer = Line { retry_after_seconds: refusal.retry_after_seconds(), ..self.line(Some(refusal.code)) };
        self.shared.write(&[Fact::Question(&question), Fact::Answer(answer)]).map(drop)
    }

    fn line(&self, code: Option<Code>) -> Line<'_> {
        Line {
            call: &self.call,
            code: code.map(Code::as_str),
            cause: None,
            status: None,
            bytes: None,
            attempts: None,
            redacted: None,
            retry_after_seconds: None,
            duration_us: self.elapsed_us(),
        }
    }

    fn elapsed_us(&self) -> u64 {
        let elapsed = self.shared.clock.monotonic().saturating_sub(self.started);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        if self.closed {
            return;
        }
        if let Some(seq) = self.answered {
            if let Err(error) = self.shared.flush(seq) {
                tracing::error!(%error, call = self.call, "the end of a call could not be recorded");
            }
            return;
        }
        let fact = Abandoned {
            call: &self.call,
            agent: self.agent.name(),
            tool: &self.tool,
            asked: self.asked,
            duration_us: self.elapsed_us(),
        };
        if let Err(error) = self.shared.write(&[Fact::Abandoned(fact)]) {
            tracing::error!(%error, call = self.call, "an abandoned call could not be recorded");
        }
    }
}

/// The rules whose obligations apply beside the one that granted it.
fn others(grant: &Grant) -> Vec<&str> {
    grant.obligations().iter().filter(|rule| *rule != grant.rule()).map(RuleRef::id).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::audit::{FEW_CALLS, Place as At};
    use crate::clock::SystemClock;
    use crate::policy::Policy;

    const POLICY: &str = r#"
        version = 1
        name = "test"
        upstream = { base_url = "http://127.0.0.1:9/", allow_http = true }
    "#;

    #[test]
    fn a_call_that_is_given_up_while_its_answer_is_written_has_one_end() {
        let directory = tempfile::tempdir().unwrap();
        let policy = Policy::parse("test.toml", POLICY).policy.unwrap();
        let place = At { directory: directory.path(), audit: policy.audit() };
        let audit = AuditLog::open(&place, &policy, Arc::new(SystemClock::new())).unwrap();
        let mut entries: Vec<_> = (0..=FEW_CALLS).map(|_| audit.entry(&Agent::stdio(1), "api_get")).collect();
        let Entry(mut open) = entries.pop().unwrap();
        let call = open.call.clone();
        open.shared.write(&[Fact::Question(&open.question("allow", None))]).unwrap();
        open.asked = true;
        let closing = Asked { open, effect: Effect::Read }.close(Outcome::default());
        assert!(closing.now_or_never().is_none(), "with many calls open it lets others go first");
        let text = std::fs::read_to_string(audit.path()).unwrap();
        let ends = |kind: &str| text.matches(&format!(r#""kind":"{kind}","call":"{call}""#)).count();
        assert_eq!((ends("question"), ends("answer"), ends("abandoned")), (1, 1, 0), "{text}");
    }
}
