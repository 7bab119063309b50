//! Pipelines inside this process, under a clock that stands still until the story moves it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use portcullis::{
    agent::Agent,
    audit::{AuditLog, Place, entry},
    clock::{Clock, ManualClock},
    confirm::{
        Confirmer,
        desk::{self, Order},
        person::{Asking, Form, Gone, Person, Reach, Reply, Retry, Returned},
    },
    gateway::{Cancel, Parts, Pipeline, ToolCall},
    limit::{DailyCount, Limiter},
    policy::Policy,
    tools::Toolbox,
    upstream::{Upstream, source::Surroundings},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

use super::{Came, Ending, Said, World, edition};
use crate::common::{
    PATIENCE,
    person::{labels, target},
    policy::TOKEN,
    recorder::Recorder,
};

/// Whoever sits at the desk.
const UID: u32 = 1;

/// Which call shows the question about an item, and where its answer goes.
type Board = Arc<Mutex<BTreeMap<u64, (u64, oneshot::Sender<Reply>)>>>;

pub(super) struct Inside {
    upstream: Recorder,
    channel: &'static str,
    edition: u64,
    state: TempDir,
    clock: ManualClock,
    live: Option<Live>,
}

/// One life of the gateway.
struct Live {
    runtime: Runtime,
    gateway: Arc<Pipeline>,
    board: Board,
    gone: Cancel,
    number: u64,
    calls: BTreeMap<u64, Call>,
    /// The last code and digest that the desk has seen of an item.
    codes: BTreeMap<u64, (String, String)>,
}

struct Call {
    item: u64,
    cancel: Cancel,
    end: JoinHandle<entry::Said>,
}

/// The person behind one call.
struct Scripted {
    item: u64,
    call: u64,
    reach: Reach,
    retry: Option<Retry>,
    board: Board,
    gone: Cancel,
}

fn locked(board: &Board) -> MutexGuard<'_, BTreeMap<u64, (u64, oneshot::Sender<Reply>)>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Person for Scripted {
    fn reach(&self) -> Reach {
        self.reach
    }

    fn client(&self) -> Option<String> {
        None
    }

    fn retry(&self) -> Option<&Retry> {
        self.retry.as_ref()
    }

    fn ask<'a>(&'a self, _: &'a Form) -> Asking<'a> {
        Box::pin(async move {
            let (tell, said) = oneshot::channel();
            let before = locked(&self.board).insert(self.item, (self.call, tell));
            assert!(before.is_none(), "two calls show one question");
            let _shown = Shown(self);
            said.await.map_or(Returned::Failed, Returned::Replied)
        })
    }

    fn gone(&self) -> Gone<'_> {
        Box::pin(self.gone.cancelled())
    }
}

struct Shown<'a>(&'a Scripted);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let Self(Scripted { item, call, board, .. }) = self;
        let mut board = locked(board);
        if board.get(item).is_some_and(|(shower, _)| shower == call) {
            board.remove(item);
        }
    }
}

fn reply(said: Said) -> Reply {
    match said {
        Said::Yes => Reply::Accept(Some(Value::Bool(true))),
        Said::No => Reply::Decline,
        Said::Dismissed => Reply::Dismiss,
        Said::Bare => Reply::Accept(None),
    }
}

impl Inside {
    pub(super) fn new(channel: &'static str) -> Self {
        let state = tempfile::Builder::new().prefix("model-").tempdir().expect("a temporary directory");
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let mut inside = Self { upstream: Recorder::plain(), channel, edition: 0, state, clock, live: None };
        inside.begin();
        inside
    }

    fn begin(&mut self) {
        let text = edition(&self.upstream, self.channel, self.edition);
        let policy = Policy::parse("model.toml", &text).policy.expect("a policy");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (directory, clock) = (self.state.path(), Arc::new(self.clock.clone()) as Arc<dyn Clock>);
        let spec = policy.upstream();
        let variable = |name: &str| (name == TOKEN).then(|| "a-token-of-the-model".into());
        let surroundings = Surroundings::collect(spec, directory, &variable);
        let upstream =
            runtime.block_on(Upstream::open(spec, 1 << 20, surroundings, Arc::clone(&clock))).expect("an upstream");
        let rates: Vec<_> = policy.rules().iter().map(portcullis::policy::RuleInfo::rate).collect();
        let limiter = Limiter::new(policy.limits(), &rates, spec.timeout, Arc::clone(&clock), DailyCount::unlimited());
        let confirmer = Confirmer::new(policy.confirm().clone(), directory, Arc::clone(&clock), None).expect("a key");
        let place = Place { directory, audit: policy.audit() };
        let audit = AuditLog::open(&place, &policy, Arc::clone(&clock)).expect("a log");
        let toolbox = Toolbox::new(&policy, None);
        let (agent, state_dir) = (Agent::stdio(1), None);
        let parts = Parts { agent, policy, toolbox, limiter, confirmer, upstream, audit, clock, state_dir };
        let gateway = Arc::new(Pipeline::new(parts));
        let (board, gone) = (Board::default(), Cancel::new());
        self.live =
            Some(Live { runtime, gateway, board, gone, number: 0, calls: BTreeMap::new(), codes: BTreeMap::new() });
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("a gateway lives")
    }
}

impl Live {
    fn call(&mut self, item: u64, reach: Reach, retry: Option<Retry>) -> u64 {
        self.number += 1;
        let (call, cancel) = (self.number, Cancel::new());
        let (board, gone) = (Arc::clone(&self.board), self.gone.clone());
        let person = Scripted { item, call, reach, retry, board, gone };
        let (gateway, taken) = (Arc::clone(&self.gateway), cancel.clone());
        let tool = self.gateway.toolbox().named("api_send").expect("a tool");
        let end = self.runtime.spawn(async move {
            let call = ToolCall { tool, arguments: labels(item).into() };
            gateway.answer(&call, &person, std::future::ready(()), &taken).await.into_said()
        });
        self.calls.insert(call, Call { item, cancel, end });
        call
    }

    /// The end of a call that must end.
    fn end(&mut self, call: u64) -> entry::Said {
        let Call { end, .. } = self.calls.remove(&call).expect("a call");
        let ended = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, end).await });
        ended.expect("it ends in time").expect("no panic")
    }

    /// Everything that can go on goes on until it waits again: for a person, for the clock, or at its end.
    fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Whether the call shows its question.
    fn shows(&self, item: u64, call: u64) -> bool {
        locked(&self.board).get(&item).is_some_and(|(shower, _)| *shower == call)
    }

    fn forget_ended(&mut self) {
        self.settle();
        self.calls.retain(|_, call| !call.end.is_finished());
    }
}

impl World for Inside {
    fn is_modern(&self, wanted: bool) -> bool {
        wanted
    }

    fn ask(&mut self, item: u64, modern: bool) -> Came {
        let live = self.live();
        if modern {
            let call = live.call(item, Reach::Retry, None);
            return match live.end(call) {
                entry::Said::Ask(_, state) => Came::State(state),
                entry::Said::Result(_) => Came::Ended,
                said @ (entry::Said::Unable(_) | entry::Said::BadState) => panic!("{said:?}"),
            };
        }
        let joins = locked(&live.board).contains_key(&item);
        let call = live.call(item, Reach::Open, None);
        live.settle();
        // A call that nobody is asked about must end: at once, or when the API has answered what the desk let through.
        if live.calls[&call].end.is_finished() || !(joins || live.shows(item, call)) {
            live.end(call);
            return Came::Ended;
        }
        Came::Waits(call)
    }

    fn reply(&mut self, item: u64, said: Said) -> bool {
        let live = self.live();
        let Some((_, tell)) = locked(&live.board).remove(&item) else { return false };
        tell.send(reply(said)).expect("the call listens");
        // It was about all of them.
        let calls: Vec<_> = live.calls.iter().filter(|(_, call)| call.item == item).map(|(id, _)| *id).collect();
        for call in calls {
            live.end(call);
        }
        true
    }

    fn retry(&mut self, item: u64, state: &str, said: Said) {
        let retry = Retry { state: state.to_owned(), reply: Some(reply(said)) };
        let live = self.live();
        let call = live.call(item, Reach::Retry, Some(retry));
        let said = live.end(call);
        assert!(!matches!(said, entry::Said::Ask(..) | entry::Said::Unable(_)), "{said:?}");
        live.forget_ended();
    }

    fn say(&mut self, item: u64, yes: bool) -> bool {
        let live = self.live();
        let desk::Answer::Pending(listing) = live.runtime.block_on(live.gateway.desk(Order::Pending {}, UID)) else {
            panic!("a list")
        };
        let listed = listing.questions.into_iter().find(|question| question.target == target(item));
        if let Some(question) = listed {
            live.codes.insert(item, (question.code, question.digest));
        }
        // What was answered is listed no more, but a no may still take a yes back.
        let Some((code, digest)) = live.codes.get(&item).cloned() else { return false };
        let order = if yes { Order::Approve { code, digest, typed: None } } else { Order::Decline { code } };
        let desk::Answer::Decided { .. } = live.runtime.block_on(live.gateway.desk(order, UID)) else { return false };
        // Whoever waited for it goes on.
        let calls: Vec<_> = live.calls.iter().filter(|(_, call)| call.item == item).map(|(id, _)| *id).collect();
        for call in calls {
            live.end(call);
        }
        true
    }

    fn cancel(&mut self, call: u64) -> bool {
        let live = self.live();
        let Some(Call { cancel, .. }) = live.calls.get(&call) else { return false };
        cancel.cancel();
        live.end(call);
        // Another one that waited shows the question now.
        live.settle();
        true
    }

    fn restart(&mut self, ending: Ending) {
        let mut live = self.live.take().expect("a gateway lives");
        match ending {
            // Everything that ran is gone between two of its steps.
            Ending::Kill => {}
            Ending::HangUp | Ending::Change => {
                live.gone.cancel();
                let calls: Vec<_> = live.calls.keys().copied().collect();
                for call in calls {
                    live.end(call);
                }
                live.runtime.block_on(live.gateway.idle());
                live.gateway.close("end of input").expect("the log is closed");
            }
        }
        drop(live);
        self.edition += u64::from(matches!(ending, Ending::Change));
        self.clock.advance(Duration::from_millis(1));
        self.begin();
    }

    fn pass(&mut self, seconds: u64) -> bool {
        self.clock.advance(Duration::from_secs(seconds));
        self.live().forget_ended();
        true
    }

    fn sent(&self) -> usize {
        self.upstream.count()
    }
}
