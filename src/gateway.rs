//! The path of every call, whatever door it came through: `Gateway::handle` reads top to bottom.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Agent;
use crate::answer::{self, Ask, Facts, Shaped, Store, View};
use crate::audit::entry::{Answer, Entry, Outcome};
use crate::audit::{AuditError, AuditLog};
use crate::clock::Clock;
use crate::limit::{Admitted, Charge, Limiter, Permit, Throttled};
use crate::policy::Policy;
use crate::policy::{Denial, Effect, Grant, Held, Verdict};
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

/// JSON-RPC 2.0, section 5.1.
const METHOD_NOT_FOUND: i32 = -32601;

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

/// The gate in front of one API.
#[derive(Debug)]
pub struct Gateway {
    agent: Agent,
    policy: Policy,
    toolbox: Toolbox,
    limiter: Limiter,
    upstream: Upstream,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    store: Store,
    tasks: TaskTracker,
    lanes: Semaphore,
    frames: FrameCount,
}

/// What a gateway is made of.
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
    /// The client of the API.
    pub upstream: Upstream,
    /// The open log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Gateway {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { agent, policy, toolbox, limiter, upstream, audit, clock } = parts;
        Self {
            agent,
            policy,
            toolbox,
            limiter,
            upstream,
            audit,
            store: Store::new(clock.clone()),
            clock,
            tasks: TaskTracker::new(),
            lanes: Semaphore::new(FLOOD_LANES),
            frames: FrameCount::default(),
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The tools and resources.
    #[must_use]
    pub fn toolbox(&self) -> &Toolbox {
        &self.toolbox
    }

    /// Answers one call; a fault in it ends as its answer. `room` resolves once the front door can take an answer:
    /// until then nothing is sent.
    ///
    /// To be polled to its end, whatever becomes of the client: a call that is dropped between its intent and its
    /// outcome is logged as abandoned. rmcp does so: each handler has a task of its own, which nothing aborts.
    pub async fn answer(&self, call: &ToolCall, room: impl Future<Output = ()>, cancel: &Cancel) -> Answer {
        let path = self.tasks.track_future(self.handle(call, room, cancel));
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

    /// The path of a call: open the books, slow a flood down, parse, decide, charge, record, send, shape, close.
    async fn handle(&self, call: &ToolCall, room: impl Future<Output = ()>, cancel: &Cancel) -> Answer {
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
            Ok(Resolved::Tell(shaped)) => return entry.tell(shaped),
            Ok(Resolved::More(handle)) => return self.more(entry, &handle),
            Err(refusal) => return self.refuse(entry, &refusal, None),
        };
        let authorized = match self.policy.authorize(&self.agent, request) {
            Verdict::Allow(authorized) => authorized,
            Verdict::Hold(held) => return self.refuse(entry, &hold(&held), Some(held.request())),
            Verdict::Deny(denial) => return self.refuse(entry, &deny(&self.policy, &denial), Some(denial.request())),
        };
        let permit = match unless(cancel, self.budget(admitted, authorized.grant(), room)).await {
            Ok(permit) => permit,
            Err(refusal) => return entry.refuse(&refusal, Some(authorized.request())),
        };
        let effect = authorized.grant().effect();
        let recorded = match entry.record(authorized).await {
            Ok(recorded) => recorded,
            Err(answer) => return answer,
        };
        let Sent { asked, result } = self.upstream.forward(recorded, permit, cancel).await;
        let outcome = self.outcome(result, effect, asked.call(), &ask);
        asked.close(outcome).await
    }

    /// A call that the agent brought upon itself: it costs one of `denials`.
    fn refuse(&self, entry: Entry, refusal: &Refusal, request: Option<&Request>) -> Answer {
        self.limiter.denied(&self.agent);
        entry.refuse(refusal, request)
    }

    /// The next part of an answer that was cut. It was judged and recorded when it came.
    fn more(&self, entry: Entry, handle: &str) -> Answer {
        let max_bytes = usize::try_from(self.policy.response().max_bytes).unwrap_or(usize::MAX);
        match self.store.take(&self.agent, handle, max_bytes) {
            Some(shaped) => entry.tell(shaped),
            None => {
                let gone = "nothing is held under this handle any more; repeat the call, with `answer` as the cut said";
                self.refuse(entry, &Refusal::new(Code::BadRequest, gone), None)
            }
        }
    }

    async fn budget(
        &self,
        admitted: Admitted,
        grant: &Grant,
        room: impl Future<Output = ()>,
    ) -> Result<Permit, Throttled> {
        let charge = Charge { effect: grant.effect(), rules: grant.rates() };
        let permit = self.limiter.budget(&self.agent, admitted, charge).await?.enter().await?;
        room.await;
        Ok(permit)
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

/// Runs a wait unless the client takes the call back first.
async fn unless<T>(cancel: &Cancel, wait: impl Future<Output = Result<T, Throttled>>) -> Result<T, Refusal> {
    let cancelled = || Err(Refusal::new(Code::Cancelled, "the call was cancelled before anything was sent"));
    if cancel.is_cancelled() {
        return cancelled();
    }
    tokio::select! {
        // The wait first: nearly always it is over at once, and listening for a cancellation costs more than that.
        biased;
        done = wait => done.map_err(throttle),
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

fn hold(held: &Held) -> Refusal {
    Refusal::new(
        Code::ApprovalRequired,
        "a human has to approve this write, and nobody can be asked from here; it was not sent",
    )
    .because("held: the write needs an approval")
    .by(Some(held.grant().rule().clone()))
}

fn failed(error: &UpstreamError, effect: Effect) -> Refusal {
    let message = match (error.delivery(), effect) {
        (Delivery::NotSent, _) | (Delivery::Unknown, Effect::Read) => error.to_string(),
        (Delivery::Unknown, Effect::Write) => {
            format!("{error}; the write may have been carried out: look before you repeat it")
        }
    };
    Refusal::new(error.code(), message).because(error.cause())
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
    let Reply { status, headers, body, retry_after, location, redacted, attempts } = reply;
    let bytes = Some(body.len() as u64);
    let (shaped, refusal) = answer::shape(Facts { status, headers, location, retry_after }, body, view);
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
    use crate::clock::SystemClock;
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

    fn gateway(runtime: &Runtime, directory: &Path) -> Gateway {
        let policy = Policy::parse("test.toml", POLICY).policy.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (spec, limits) = (policy.upstream(), policy.limits());
        let surroundings = Surroundings::collect(spec, directory, &|_| None);
        let upstream = runtime.block_on(Upstream::open(spec, 1 << 20, surroundings, clock.clone())).unwrap();
        let limiter = Limiter::new(limits, &[None], spec.timeout, clock.clone(), DailyCount::unlimited());
        let place = Place { directory, prefix: "audit", sync: policy.audit().sync };
        let audit = AuditLog::open(&place, &policy, clock.clone()).unwrap();
        let toolbox = Toolbox::new(&policy, None);
        Gateway::new(Parts { agent: Agent::stdio(1), policy, toolbox, limiter, upstream, audit, clock })
    }

    #[test]
    fn a_fault_in_a_call_is_its_answer_and_in_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let gateway = gateway(&runtime, directory.path());
        let call = ToolCall { tool: Tool::Generic(crate::catalog::Tool::Get), arguments: r#"{"path": "/a"}"#.into() };
        let answer = runtime.block_on(gateway.answer(&call, async { panic!("a fault on purpose") }, &Cancel::new()));
        let shaped = answer.into_shaped();
        assert!(shaped.is_error && shaped.blocks[0].contains("\"internal\""), "{:?}", shaped.blocks);
        assert!(!shaped.blocks[0].contains("on purpose"), "the cause is for the log");
        let log = std::fs::read_to_string(gateway.audit.path()).unwrap();
        let of = |kind: &str| log.lines().filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count();
        assert_eq!((of("abandoned"), of("question"), of("answer")), (1, 1, 1), "{log}");
        assert!(log.contains("a fault on purpose"));
        runtime.block_on(gateway.idle());
    }
}
