//! The life of one call in the log: [`Entry`] → [`Recorded`] → [`Entry`] → [`Answer`].
//!
//! Each step consumes the one before, so that a request cannot be sent unrecorded, sent twice, or answered unlogged.

use std::sync::Arc;
use std::time::Duration;

use super::record::{Abandoned, Asked, AskedBody, Fact, Outcome as Line, Question};
use super::{AuditError, Shared};
use crate::agent::Agent;
use crate::answer::Shaped;
use crate::policy::Sync;
use crate::policy::{Authorized, Effect, Grant, RuleRef};
use crate::refusal::{Code, Refusal};
use crate::request::Request;
use crate::request::body::Body;

/// An open call. Dropped without an answer it leaves an `abandoned` record.
#[derive(Debug)]
pub struct Entry {
    shared: Arc<Shared>,
    call: String,
    agent: Agent,
    tool: String,
    started: Duration,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Open,
    Asked(Effect),
    Closed,
}

/// A request whose intent is in the log; the only thing the upstream sends.
#[derive(Debug)]
pub struct Recorded {
    entry: Entry,
    authorized: Authorized,
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

impl Entry {
    pub(super) fn new(shared: Arc<Shared>, call: String, agent: Agent, tool: String) -> Self {
        let started = shared.clock.monotonic();
        Self { shared, call, agent, tool, started, progress: Progress::Open }
    }

    /// The call's name in the log, which the agent sees as `request_id`.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.call
    }

    /// Ends the call without sending anything: its question and its answer are recorded together.
    #[must_use]
    pub fn refuse(mut self, refusal: &Refusal, request: Option<&Request>) -> Answer {
        let question = Question {
            code: Some(refusal.code.as_str()),
            cause: Some(&refusal.cause),
            rule: refusal.rule.as_ref().map(RuleRef::id),
            line: refusal.rule.as_ref().map(RuleRef::line),
            ..self.question(refusal.code.verdict(), request)
        };
        let answer = Line { retry_after_seconds: refusal.retry_after_seconds(), ..self.line(Some(refusal.code)) };
        let written = self.shared.append_pair(&Fact::Question(Box::new(question)), &Fact::Answer(answer));
        self.progress = Progress::Closed;
        match written {
            Ok(_) => Answer { shaped: Shaped::refusal(refusal, &self.call) },
            Err(error) => self.unavailable(&error, UNLOGGED),
        }
    }

    /// Writes the intent; for a write (or with `sync = "each"`) it is on disk on return.
    ///
    /// # Errors
    /// The answer `audit_unavailable`: nothing may be sent.
    pub async fn record(mut self, authorized: Authorized) -> Result<Recorded, Answer> {
        let grant = authorized.grant();
        let question = Question {
            rule: Some(grant.rule().id()),
            line: Some(grant.rule().line()),
            rules: others(grant),
            effect: Some(grant.effect().as_str()),
            credential: grant.credential(),
            ..self.question("allow", Some(authorized.request()))
        };
        let effect = grant.effect();
        let written = self.shared.append(&Fact::Question(Box::new(question)));
        let seq = match written {
            Ok(seq) => seq,
            Err(error) => {
                self.progress = Progress::Closed;
                return Err(self.unavailable(&error, UNLOGGED));
            }
        };
        self.progress = Progress::Asked(effect);
        let durable = match (effect, self.shared.sync) {
            (Effect::Write, _) | (Effect::Read, Sync::Each) => self.shared.syncer.wait(seq).await,
            (Effect::Read, Sync::Writes) => true,
        };
        match durable {
            true => Ok(Recorded { entry: self, authorized }),
            false => {
                self.progress = Progress::Closed;
                Err(self.unavailable(&AuditError::Broken, UNLOGGED))
            }
        }
    }

    /// Ends a call that was sent.
    #[must_use]
    pub fn close(mut self, outcome: Outcome) -> Answer {
        let line = Line {
            cause: outcome.cause.as_deref(),
            status: outcome.status,
            bytes: outcome.bytes,
            attempts: (outcome.attempts > 1).then_some(outcome.attempts),
            redacted: (outcome.redacted > 0).then_some(outcome.redacted),
            ..self.line(outcome.code)
        };
        let written = self.shared.append(&Fact::Answer(line));
        let sent = std::mem::replace(&mut self.progress, Progress::Closed);
        match (written, sent) {
            (Ok(_), _) => Answer { shaped: outcome.shaped },
            (Err(error), Progress::Asked(Effect::Write)) => self.unavailable(&error, SENT_UNLOGGED),
            (Err(error), Progress::Open | Progress::Closed | Progress::Asked(Effect::Read)) => {
                self.unavailable(&error, UNLOGGED)
            }
        }
    }

    fn unavailable(&self, error: &AuditError, message: &str) -> Answer {
        tracing::error!(%error, call = self.call, "a call ended because the audit log could not be written");
        Answer { shaped: Shaped::refusal(&Refusal::new(Code::AuditUnavailable, message), &self.call) }
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
            request: request.map(|request| self.asked(request)),
        }
    }

    fn asked<'a>(&self, request: &'a Request) -> Asked<'a> {
        let key = &self.shared.key;
        let body = |body: &'a Body| AskedBody {
            bytes: body.bytes().len(),
            digest: key.of(&[b"body", body.bytes()]),
            names: body.members().map(|(name, value)| (name, key.of(&[b"member", name.as_bytes(), value]))).collect(),
        };
        let pair = |(name, value): &'a (String, String)| {
            (name.as_str(), key.of(&[b"query", name.as_bytes(), value.as_bytes()]))
        };
        Asked {
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

/// The rules whose obligations apply beside the one that granted it.
fn others(grant: &Grant) -> Vec<&str> {
    grant.obligations().iter().filter(|rule| *rule != grant.rule()).map(RuleRef::id).collect()
}

const UNLOGGED: &str = "the audit log cannot be written, so nothing is forwarded; tell the operator";
const SENT_UNLOGGED: &str =
    "the request was sent, but its outcome could not be recorded; do not repeat it, tell the operator";

impl Drop for Entry {
    fn drop(&mut self) {
        let asked = match self.progress {
            Progress::Closed => return,
            Progress::Open => false,
            Progress::Asked(_) => true,
        };
        let fact = Abandoned {
            call: &self.call,
            agent: self.agent.name(),
            tool: &self.tool,
            asked,
            duration_us: self.elapsed_us(),
        };
        if let Err(error) = self.shared.append(&Fact::Abandoned(fact)) {
            tracing::error!(%error, call = self.call, "an abandoned call could not be recorded");
        }
    }
}

impl Recorded {
    /// The request as it was decided and recorded.
    #[must_use]
    pub fn request(&self) -> &Request {
        self.authorized.request()
    }

    /// What let it through, and under which obligations.
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// Gives the permission up: what is left is the duty to answer.
    #[must_use]
    pub fn into_entry(self) -> Entry {
        self.entry
    }
}

impl Answer {
    /// The text blocks for the agent, in order.
    #[must_use]
    pub fn into_shaped(self) -> Shaped {
        self.shaped
    }
}
