//! The life of one call in the log: [`Entry`] → [`Recorded`] → [`Asked`] → [`Answer`].
//!
//! Each step consumes the one before, so that a request cannot be sent unrecorded, sent twice, or answered unlogged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::record::{Abandoned, Fact, Outcome as Line, Question, Subject, SubjectBody};
use super::{AuditError, Shared, capped};
use crate::agent::Agent;
use crate::answer::Shaped;
use crate::policy::Sync;
use crate::policy::{Authorized, Effect, Grant, RuleRef};
use crate::refusal::{Code, Refusal};
use crate::request::Request;
use crate::request::body::Body;

/// An open call that was not forwarded. Dropped without an answer it leaves an `abandoned` record.
#[derive(Debug)]
pub struct Entry(Open);

/// A request whose intent is in the log; the only thing the upstream sends.
#[derive(Debug)]
pub struct Recorded {
    asked: Asked,
    authorized: Authorized,
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
    shaped: Shaped,
}

/// What came of a call that was sent.
#[derive(Debug)]
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
    call: String,
    agent: Agent,
    tool: String,
    operation: Option<String>,
    argument: Option<(&'static str, String)>,
    started: Duration,
    /// Whether the question is in the log.
    asked: bool,
    closed: bool,
}

const UNSENT: &str = "the audit log cannot be written, so nothing is forwarded; tell the operator";
const READ_UNLOGGED: &str = "the answer is withheld, because the audit log cannot be written; tell the operator";
const WRITE_UNLOGGED: &str =
    "the request was sent, but its outcome could not be recorded; do not repeat it, tell the operator";

impl Entry {
    pub(super) fn new(shared: Arc<Shared>, call: String, agent: Agent, tool: String) -> Self {
        let started = shared.clock.monotonic();
        shared.open.fetch_add(1, Ordering::Relaxed);
        let (operation, argument) = (None, None);
        Self(Open { shared, call, agent, tool, operation, argument, started, asked: false, closed: false })
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

    /// Ends the call without sending anything: its question and its answer are recorded together.
    #[must_use]
    pub fn refuse(self, refusal: &Refusal, request: Option<&Request>) -> Answer {
        let Self(open) = self;
        let question = Question {
            code: Some(refusal.code.as_str()),
            cause: Some(&refusal.cause),
            rule: refusal.rule.as_ref().map(RuleRef::id),
            line: refusal.rule.as_ref().map(RuleRef::line),
            ..open.question(refusal.code.verdict(), request)
        };
        let answer = Line { retry_after_seconds: refusal.retry_after_seconds(), ..open.line(Some(refusal.code)) };
        let written = open.shared.write(&[Fact::Question(&question), Fact::Answer(answer)]);
        match written {
            Ok(_) => Answer { shaped: Shaped::refusal(refusal, &open.close()) },
            Err(error) => open.unavailable(&error, UNSENT),
        }
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
                Answer { shaped }
            }
            Err(error) => open.unavailable(&error, READ_UNLOGGED),
        }
    }

    /// Writes the intent; for a write (or with `sync = "each"`) it is on disk on return.
    ///
    /// # Errors
    /// The answer `audit_unavailable`: nothing may be sent.
    pub async fn record(self, authorized: Authorized) -> Result<Recorded, Answer> {
        let Self(mut open) = self;
        let grant = authorized.grant();
        let question = Question {
            rule: Some(grant.rule().id()),
            line: Some(grant.rule().line()),
            rules: others(grant),
            effect: Some(grant.effect().as_str()),
            credential: grant.credential(),
            ..open.question("allow", Some(authorized.request()))
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
        let durable = match (effect, open.shared.sync) {
            (Effect::Write, _) | (Effect::Read, Sync::Each) => open.shared.syncer.wait(seq).await,
            (Effect::Read, Sync::Writes) => true,
        };
        match durable {
            true => Ok(Recorded { asked: Asked { open, effect }, authorized }),
            false => Err(open.unavailable(&AuditError::Broken, UNSENT)),
        }
    }
}

impl Recorded {
    /// What was decided and recorded.
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
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
        let Self { open, effect } = self;
        let line = Line {
            cause: outcome.cause.as_deref(),
            status: outcome.status,
            bytes: outcome.bytes,
            attempts: (outcome.attempts != 1).then_some(outcome.attempts),
            redacted: (outcome.redacted > 0).then_some(outcome.redacted),
            ..open.line(outcome.code)
        };
        let written = match open.shared.append(&[Fact::Answer(line)]) {
            Ok(seq) => open.shared.settle(seq).await,
            Err(error) => Err(error),
        };
        match (written, effect) {
            (Ok(_), _) => {
                open.close();
                Answer { shaped: outcome.shaped }
            }
            (Err(error), Effect::Write) => open.unavailable(&error, WRITE_UNLOGGED),
            (Err(error), Effect::Read) => open.unavailable(&error, READ_UNLOGGED),
        }
    }
}

impl Answer {
    /// The text blocks for the agent, in order.
    #[must_use]
    pub fn into_shaped(self) -> Shaped {
        self.shaped
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
        Answer { shaped: Shaped::refusal(&Refusal::new(Code::AuditUnavailable, message), &call) }
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
            operation: self.operation.as_deref(),
            argument: self.argument.as_ref().map(|(name, digest)| (*name, digest.as_str())),
            request: request.map(|request| self.subject(request)),
        }
    }

    fn subject<'a>(&self, request: &'a Request) -> Subject<'a> {
        let key = &self.shared.key;
        let body = |body: &'a Body| SubjectBody {
            bytes: body.bytes().len(),
            digest: key.of(&[b"body", body.bytes()]),
            names: body.members().map(|(name, value)| (name, key.of(&[b"member", name.as_bytes(), value]))).collect(),
        };
        let pair = |(name, value): &'a (String, String)| {
            (name.as_str(), key.of(&[b"query", name.as_bytes(), value.as_bytes()]))
        };
        Subject {
            method: request.method().as_str(),
            path: request.path().canonical(),
            query: request.query().pairs().iter().map(pair).collect(),
            headers: request.headers().iter().map(|(name, _)| name).collect(),
            body: request.body().map(body),
            digest: key.of_request(request),
        }
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
