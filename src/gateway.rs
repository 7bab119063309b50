//! The path of every call, whatever door it came through: `Pipeline::handle` reads top to bottom.
//!
//! Promises that a call is judged and ended under one policy: what a policy makes is one [`Pipeline`], which never changes,
//! and a [`Gateway`] exchanges the whole of it.

mod asking;
mod closing;
mod desk;
mod hold;
mod preview;
pub mod probe;
mod question;
mod reload;
mod shaping;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::shaping::{INLINE, Lanes};
use crate::agent::Agent;
use crate::answer::{self, Ask, Facts, Shaped, Store, View};
use crate::audit::entry::{Answer, Entry, Outcome};
use crate::audit::{AuditError, AuditLog};
use crate::clock::Clock;
use crate::confirm::Confirmer;
use crate::confirm::person::Person;
use crate::limit::{Admitted, Charge, Limiter, Permit, Slot, Throttled};
use crate::policy::Policy;
use crate::policy::{Authorized, Denial, Effect, Verdict};
use crate::refusal::{Code, Refusal};
use crate::request::Request;
use crate::tools::{Resolved, Tool, Toolbox};
use crate::upstream::Upstream;
use crate::upstream::error::{Delivery, UpstreamError};
use crate::upstream::forward::{Failure, Sent};
use crate::upstream::reply::Reply;

/// How long an agent that calls too often waits to be told so, and how many calls may wait for that side by side: what
/// a flood adds to the log is bounded by their quotient.
const FLOOD_PAUSE: Duration = Duration::from_secs(1);
const FLOOD_LANES: usize = 8;

/// When to try again where another large answer has to leave first.
const AFTER_ANOTHER: Duration = Duration::from_secs(1);

/// JSON-RPC 2.0, section 5.1.
const METHOD_NOT_FOUND: i32 = -32601;

/// What a client is told in every case in which the state that it brings back counts for nothing; the cause is for the log.
const BAD_STATE: &str = "requestState failed verification";

/// How a front door takes a call back.
pub type Cancel = CancellationToken;

/// A call as it came through a front door.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// Which tool or resource of the gateway's own.
    pub tool: Tool,
    /// The JSON object under `arguments`, as it arrived, after the strict pass.
    pub arguments: Arc<str>,
}

pub use self::reload::{Fault, Fresh, Gateway, Opening, ReloadError, Source};

/// The gate in front of one API under one policy.
#[derive(Debug)]
pub struct Pipeline {
    agent: Agent,
    policy: Policy,
    toolbox: Toolbox,
    limiter: Limiter,
    confirmer: Confirmer,
    upstream: Arc<Upstream>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    store: Store,
    shaping: Lanes,
    tasks: TaskTracker,
    lanes: Arc<Semaphore>,
    frames: Arc<FrameCount>,
    state_dir: Option<PathBuf>,
}

/// What a gateway is made of at its start.
#[derive(Debug)]
pub struct Parts {
    /// Who is on the other end of the connection.
    pub agent: Agent,
    /// The compiled policy.
    pub policy: Policy,
    /// The tools that it leaves of the API's description.
    pub toolbox: Toolbox,
    /// Its limits at work.
    pub limiter: Limiter,
    /// The questions to people.
    pub confirmer: Confirmer,
    /// The client of the API.
    pub upstream: Upstream,
    /// The open log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the desk has to be told to look; absent where it looks there by itself.
    pub state_dir: Option<PathBuf>,
}

impl Pipeline {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { agent, policy, toolbox, limiter, confirmer, upstream, audit, clock, state_dir } = parts;
        Self {
            agent,
            policy,
            toolbox,
            limiter,
            confirmer,
            upstream: Arc::new(upstream),
            audit,
            store: Store::new(clock.clone()),
            clock,
            shaping: Lanes::default(),
            tasks: TaskTracker::new(),
            lanes: Arc::new(Semaphore::new(FLOOD_LANES)),
            frames: Arc::default(),
            state_dir,
        }
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its tools and resources.
    #[must_use]
    pub fn toolbox(&self) -> &Toolbox {
        &self.toolbox
    }

    /// Answers one call; a fault in it ends as its answer. `person` is whoever can be asked through the client; `room`
    /// resolves once the front door can take an answer: until then nothing is sent.
    ///
    /// To be polled to its end, whatever becomes of the client: a call that is dropped between its intent and its
    /// outcome is logged as abandoned. rmcp does so: each handler has a task of its own, which nothing aborts.
    pub async fn answer(
        &self,
        call: &ToolCall,
        person: &dyn Person,
        room: impl Future<Output = ()>,
        cancel: &Cancel,
    ) -> Answer {
        let path = self.tasks.track_future(self.handle(call, person, room, cancel));
        // What a panic leaves half done is the call's own; locks that it held are poisoned and refuse.
        let ended = AssertUnwindSafe(path).catch_unwind().await;
        ended.unwrap_or_else(|fault| {
            let cause = fault.downcast_ref::<&str>().copied().or(fault.downcast_ref::<String>().map(String::as_str));
            let cause = cause.unwrap_or("a panic without a message");
            tracing::error!(cause, "a call ended by a fault of the gateway");
            let refusal = Refusal::new(Code::Internal, "the gateway failed on this call; tell the operator");
            self.audit
                .entry(&self.agent, &self.toolbox.name(call.tool))
                .refuse(&refusal.because(cause.to_owned()), None)
        })
    }

    /// The path of a call: open the books, slow a flood down, parse, decide, ask, charge, record, send, shape, close.
    async fn handle(
        &self,
        call: &ToolCall,
        person: &dyn Person,
        room: impl Future<Output = ()>,
        cancel: &Cancel,
    ) -> Answer {
        let entry = self.audit.entry(&self.agent, &self.toolbox.name(call.tool));
        // Not to be cancelled: a call that is taken back has cost all the same.
        let admitted = match self.limiter.admit(&self.agent).await {
            Ok(admitted) => admitted,
            Err(throttled) => {
                // Whoever does not wait when told to leaves two records a call: they must not come without end.
                let _lane = self.lanes.acquire().await;
                self.clock.sleep(FLOOD_PAUSE).await;
                return entry.refuse(&throttle(throttled), None);
            }
        };
        let (about, resolved) = self.toolbox.resolve(call.tool, &call.arguments);
        let entry =
            entry.about(about.operation.as_deref(), about.value.as_ref().map(|(name, value)| (*name, &**value)));
        let (request, ask) = match resolved {
            Ok(Resolved::Ask(request, ask)) => (request, ask),
            Ok(_) | Err(_) if person.retry().is_some() => return self.stray(entry, None),
            Ok(Resolved::Tell(shaped)) => return entry.tell(shaped),
            Ok(Resolved::More(handle)) => return Box::pin(self.more(entry, &handle)).await,
            Err(refusal) => return self.refuse(entry, &refusal, None),
        };
        let verdict = self.policy.report(self.policy.authorize(&self.agent, request), || self.clock.since_epoch());
        let (entry, authorized, slot) = match verdict {
            // Boxed: what seldom happens does not make the future of every call larger.
            Verdict::Hold(held) => {
                let entry = entry.tells(held.grant().values());
                match Box::pin(self.clear(entry, held, admitted, person, cancel)).await {
                    Ok(hold::Cleared { entry, authorized, slot }) => (entry, authorized, slot),
                    Err(answer) => return answer,
                }
            }
            Verdict::Allow(authorized) if person.retry().is_some() => {
                return self.stray(entry.tells(authorized.grant().values()), Some(authorized.request()));
            }
            Verdict::Deny(denial) if person.retry().is_some() => return self.stray(entry, Some(denial.request())),
            Verdict::Allow(authorized) => {
                let entry = entry.tells(authorized.grant().values());
                match unless(cancel, self.budget(admitted, &authorized)).await {
                    Ok(slot) => (entry, authorized, slot),
                    Err(refusal) => return entry.refuse(&refusal, Some(authorized.request())),
                }
            }
            Verdict::Deny(denial) => return self.refuse(entry, &deny(&self.policy, &denial), Some(denial.request())),
        };
        let permit = match unless(cancel, self.turn(slot, room, &authorized)).await {
            Ok(permit) => permit,
            Err(refusal) => return entry.refuse(&refusal, Some(authorized.request())),
        };
        let effect = authorized.grant().effect();
        let recorded = match entry.record(authorized).await {
            Ok(recorded) => recorded,
            Err(answer) => return answer,
        };
        let Sent { asked, result } = self.upstream.forward(recorded, permit, cancel).await;
        let outcome = match result {
            Ok(reply) if reply.body.len() > INLINE => {
                Box::pin(self.shape_aside(reply, effect, asked.call(), ask, cancel)).await
            }
            result => self.outcome(result, effect, asked.call(), &ask),
        };
        asked.close(outcome).await
    }

    /// Waits for the turn of a call. Meanwhile another policy may have come into force: a write is not sent under one that is
    /// gone. Between this and its intent nothing is waited for.
    async fn turn(
        &self,
        slot: Slot<'_>,
        room: impl Future<Output = ()>,
        authorized: &Authorized,
    ) -> Result<Permit, Refused> {
        let permit = enter(slot, room).await?;
        if authorized.grant().effect() == Effect::Read || !self.confirmer.is_retired() {
            return Ok(permit);
        }
        let message = "the policy was changed before this write was sent; it was not sent: make the call again";
        let refusal = Refusal::new(Code::ApprovalExpired, message).because("waited: another policy is in force");
        Err(Refused::Closed(refusal))
    }

    /// A call that brings the answer to a question which nobody asked about it.
    fn stray(&self, entry: Entry, request: Option<&Request>) -> Answer {
        self.limiter.denied(&self.agent);
        let cause = "requestState: with a call that needs no answer of a person";
        let refusal = Refusal::new(Code::BadRequest, BAD_STATE).because(cause);
        entry.bad_state(&refusal, request)
    }

    /// A call that the agent brought upon itself: it costs one of `denials`.
    fn refuse(&self, entry: Entry, refusal: &Refusal, request: Option<&Request>) -> Answer {
        self.limiter.denied(&self.agent);
        entry.refuse(refusal, request)
    }

    /// The next part of an answer that was cut. It was judged and recorded when it came.
    async fn more(&self, entry: Entry, handle: &str) -> Answer {
        let max_bytes = usize::try_from(self.policy.response().max_bytes).unwrap_or(usize::MAX);
        let Some(rest) = self.store.take(&self.agent, handle) else {
            let gone = "nothing is held under this handle any more; repeat the call, with `answer` as the cut said";
            return self.refuse(entry, &Refusal::new(Code::BadRequest, gone), None);
        };
        match self.shaping.rest(rest, max_bytes).await {
            Ok(shaped) => entry.tell(shaped),
            Err(refusal) => entry.refuse(&refusal, None),
        }
    }

    async fn budget(&self, admitted: Admitted, authorized: &Authorized) -> Result<Slot<'_>, Refused> {
        let grant = authorized.grant();
        let charge = Charge { effect: grant.effect(), rules: grant.rates() };
        match grant.effect() {
            Effect::Write => self.closed().await.map_or(Ok(()), |refusal| Err(Refused::Closed(refusal)))?,
            Effect::Read => {}
        }
        Ok(self.limiter.budget(&self.agent, admitted, charge).await?)
    }

    fn outcome(&self, result: Result<Reply, Failure>, effect: Effect, call: &str, ask: &Ask) -> Outcome {
        match result {
            Ok(reply) => {
                let response = self.policy.response();
                replied(reply, &View { response, ask, store: &self.store, agent: &self.agent, call })
            }
            Err(Failure::Upstream(why)) => unanswered(&failed(&why.error, effect), why.attempts, call),
            Err(Failure::Cancelled) => {
                let refusal = Refusal::new(Code::Cancelled, "the call was cancelled while the API worked on it");
                unanswered(&refusal, 1, call)
            }
        }
    }

    /// Records a message that never became a call; at most 60 a minute one by one, the rest as a count.
    pub fn refused_frame(&self, code: i32, cause: &str, name: Option<&str>) {
        // Asking for a method that is not there is what curious clients do; everything else is a refused call.
        if code != METHOD_NOT_FOUND {
            self.limiter.denied(&self.agent);
        }
        let Some(unlogged) = self.frames.admit(self.clock.monotonic()) else { return };
        if let Err(error) = self.audit.frame(&self.agent, code, cause, name, unlogged) {
            tracing::error!(%error, "a refused message could not be recorded");
        }
    }

    /// Writes the last record, which is on disk on return.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written or synced.
    pub fn close(&self, reason: &'static str) -> Result<(), AuditError> {
        self.audit.stop(reason, self.frames.unlogged.load(Ordering::Relaxed))
    }

    /// Resolves once no call is running; no new one may begin by then.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Why a call may not go on.
enum Refused {
    Throttled(Throttled),
    /// Writes are closed, or the policy that let this one through is not in force any more.
    Closed(Refusal),
}

impl From<Throttled> for Refused {
    fn from(throttled: Throttled) -> Self {
        Self::Throttled(throttled)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Throttled(throttled) => throttle(throttled),
            Refused::Closed(refusal) => refusal,
        }
    }
}

/// Waits for the call's turn, and until its answer can be taken.
async fn enter(slot: Slot<'_>, room: impl Future<Output = ()>) -> Result<Permit, Refused> {
    let permit = slot.enter().await?;
    room.await;
    Ok(permit)
}

/// Runs a wait unless the client takes the call back first.
async fn unless<T>(cancel: &Cancel, wait: impl Future<Output = Result<T, Refused>>) -> Result<T, Refusal> {
    let cancelled = || Err(Refusal::new(Code::Cancelled, "the call was cancelled before anything was sent"));
    if cancel.is_cancelled() {
        return cancelled();
    }
    tokio::select! {
        // The wait first: nearly always it is over at once, and listening for a cancellation costs more than that.
        biased;
        done = wait => done.map_err(Refusal::from),
        () = cancel.cancelled() => cancelled(),
    }
}

fn throttle(throttled: Throttled) -> Refusal {
    let cause = format!("limit: {}", throttled.limit().as_str());
    Refusal::new(Code::Throttled, throttled.to_string()).because(cause).retry_after(throttled.retry_after())
}

fn deny(policy: &Policy, denial: &Denial) -> Refusal {
    let cause = match denial.rule() {
        Some(rule) => format!("{} ({}:{})", denial.reason().cause(), policy.file(), rule.line()),
        None => denial.reason().cause().to_string(),
    };
    Refusal::new(Code::Denied, denial.reason().to_string()).because(cause).by(denial.rule().cloned())
}

fn failed(error: &UpstreamError, effect: Effect) -> Refusal {
    let message = match (error.delivery(), effect) {
        (Delivery::NotSent, _) | (Delivery::Unknown, Effect::Read) => error.to_string(),
        (Delivery::Unknown, Effect::Write) => {
            format!("{error}; the write may have been carried out: look before you repeat it")
        }
    };
    let refusal = Refusal::new(error.code(), message).because(error.cause());
    if error.code() == Code::Busy { refusal.retry_after(AFTER_ANOTHER) } else { refusal }
}

fn unanswered(refusal: &Refusal, attempts: u8, call: &str) -> Outcome {
    Outcome {
        shaped: Shaped::refusal(refusal, call),
        code: Some(refusal.code),
        cause: Some(refusal.cause.clone()),
        status: None,
        bytes: None,
        attempts,
        redacted: 0,
    }
}

fn replied(reply: Reply, view: &View<'_>) -> Outcome {
    let Reply { status, headers, body, held, retry_after, date: _, location, redacted, attempts } = reply;
    let bytes = Some(body.len() as u64);
    let (shaped, refusal) = answer::shape(Facts { status, headers, location, retry_after }, body, view);
    drop(held);
    let (code, cause) = refusal.map(|refusal| (refusal.code, refusal.cause)).unzip();
    Outcome { shaped, code, cause, status: Some(status), bytes, attempts, redacted }
}

/// Keeps a flood of bad frames from filling the disk: so many a minute are recorded, the rest is counted.
#[derive(Debug, Default)]
struct FrameCount {
    window: Mutex<(Duration, u32)>,
    unlogged: AtomicU64,
}

impl FrameCount {
    const PER_MINUTE: u32 = 60;

    /// Whether this one is recorded, and how many before it were not.
    fn admit(&self, now: Duration) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(window.0) >= Duration::from_secs(60) {
            *window = (now, 0);
        }
        if window.1 >= Self::PER_MINUTE {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        window.1 += 1;
        Some(self.unlogged.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::runtime::Runtime;

    use super::*;
    use crate::audit::Place;
    use crate::audit::entry::Said;
    use crate::clock::SystemClock;
    use crate::confirm::person::Unattended;
    use crate::limit::DailyCount;
    use crate::upstream::source::Surroundings;

    const POLICY: &str = r#"
        version = 1
        name = "test"
        upstream = { base_url = "http://127.0.0.1:9/", allow_http = true }
        [[allow]]
        id = "all"
        methods = ["GET"]
        paths = ["/**"]
    "#;

    pub(super) fn pipeline(runtime: &Runtime, directory: &Path) -> Pipeline {
        let policy = Policy::parse("test.toml", POLICY).policy.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (spec, limits) = (policy.upstream(), policy.limits());
        let surroundings = Surroundings::collect(spec, directory, &|_| None);
        let upstream = runtime.block_on(Upstream::open(spec, 1 << 20, surroundings, clock.clone())).unwrap();
        let limiter = Limiter::new(limits, &[None], spec.timeout, clock.clone(), DailyCount::unlimited());
        let place = Place { directory, audit: policy.audit() };
        let audit = AuditLog::open(&place, &policy, clock.clone()).unwrap();
        let toolbox = Toolbox::new(&policy, None);
        let confirmer = Confirmer::new(policy.confirm().clone(), directory, clock.clone(), None).unwrap();
        let agent = Agent::stdio(1);
        Pipeline::new(Parts { agent, policy, toolbox, limiter, confirmer, upstream, audit, clock, state_dir: None })
    }

    #[test]
    fn a_fault_in_a_call_is_its_answer_and_in_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pipeline = pipeline(&runtime, directory.path());
        let call = ToolCall { tool: Tool::Generic(crate::catalog::Tool::Get), arguments: r#"{"path": "/a"}"#.into() };
        let answer = runtime.block_on(pipeline.answer(
            &call,
            &Unattended,
            async { panic!("a fault on purpose") },
            &Cancel::new(),
        ));
        let Said::Result(shaped) = answer.into_said() else { panic!("no result") };
        assert!(shaped.is_error && shaped.blocks[0].contains("\"internal\""), "{:?}", shaped.blocks);
        assert!(!shaped.blocks[0].contains("on purpose"), "the cause is for the log");
        let log = std::fs::read_to_string(pipeline.audit.path()).unwrap();
        let of = |kind: &str| log.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count();
        assert_eq!((of("abandoned"), of("question"), of("answer")), (1, 1, 1), "{log}");
        assert!(log.contains("a fault on purpose"));
        runtime.block_on(pipeline.idle());
    }
}
