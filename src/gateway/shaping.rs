//! Shapes large answers away from the event loop, a few at a time, so that no other call waits for them.
//!
//! Promises that a call ends in the log whatever becomes of the client meanwhile: of a read nothing more is awaited once
//! it is taken back, a write is answered. Small answers are shaped where their call runs.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::{Cancel, Pipeline, replied, unanswered};
use crate::answer::{Ask, Rest, Shaped, View};
use crate::audit::entry::Outcome;
use crate::policy::Effect;
use crate::refusal::{Code, Refusal};
use crate::upstream::reply::Reply;

/// Up to so many bytes an answer is shaped at once: the way to another thread and back would cost as much.
pub(super) const INLINE: usize = 128 << 10;
/// How many answers are shaped at a time away from the event loop: each may be held twice meanwhile.
const LANES: usize = 1;

/// Where large answers are shaped.
#[derive(Debug, Clone)]
pub(super) struct Lanes(Arc<Semaphore>);

impl Default for Lanes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LANES)))
    }
}

impl Lanes {
    /// The next part of an answer that was cut.
    pub(super) async fn rest(&self, rest: Rest, max_bytes: usize) -> Result<Shaped, Refusal> {
        if rest.size() <= INLINE {
            return Ok(rest.shape(max_bytes));
        }
        self.work(move || rest.shape(max_bytes)).await
    }

    /// Does some work in its turn. A fault in it is one of the caller's. Refused when the process ends before that.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let ended = || Refusal::new(Code::Internal, "the gateway ended before the answer was shaped");
        let lane = Arc::clone(&self.0).acquire_owned().await.map_err(|_| ended())?;
        let working = spawn_blocking(move || {
            let done = work();
            drop(lane);
            done
        });
        working.await.map_err(|error| error.try_into_panic().map_or_else(|_| ended(), |fault| resume_unwind(fault)))
    }
}

impl Pipeline {
    /// What a reply becomes that is larger than [`INLINE`].
    pub(super) async fn shape_aside(
        &self,
        reply: Reply,
        effect: Effect,
        call: &str,
        ask: Ask,
        cancel: &Cancel,
    ) -> Outcome {
        let (status, bytes) = (Some(reply.status), u64::try_from(reply.body.len()).ok());
        let (attempts, redacted) = (reply.attempts, reply.redacted);
        let (response, store) = (self.policy.response().clone(), self.store.clone());
        let (agent, name) = (self.agent.clone(), call.to_owned());
        let shaping = self.shaping.work(move || {
            replied(reply, &View { response: &response, ask: &ask, store: &store, agent: &agent, call: &name })
        });
        let shaped = match effect {
            Effect::Write => shaping.await,
            Effect::Read => tokio::select! {
                biased;
                shaped = shaping => shaped,
                () = cancel.cancelled() => {
                    Err(Refusal::new(Code::Cancelled, "the call was cancelled while its answer was shaped"))
                }
            },
        };
        shaped.unwrap_or_else(|refusal| Outcome { status, bytes, redacted, ..unanswered(&refusal, attempts, call) })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::runtime::{Builder, Runtime};

    use super::super::tests::pipeline;
    use super::*;
    use crate::upstream::room::Held;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn reply(body: &str) -> Reply {
        Reply {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
            held: Held::default(),
            retry_after: None,
            date: None,
            location: None,
            redacted: 0,
            attempts: 1,
        }
    }

    /// How often everything else had its turn until it was done.
    async fn turns<T>(work: impl Future<Output = T>) -> (usize, T) {
        let mut work = Box::pin(work);
        for turn in 0.. {
            if let Poll::Ready(done) = futures_util::poll!(&mut work) {
                return (turn, done);
            }
            tokio::task::yield_now().await;
        }
        panic!("more turns than there are numbers");
    }

    #[test]
    fn a_large_answer_leaves_the_event_loop_to_others_while_it_is_shaped() {
        let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
        let pipeline = pipeline(&runtime, directory.path());
        let body = format!("[{}]", vec!["{\"id\" : 1}"; 100_000].join(","));
        let (ask, cancel) = (Ask::parse("fields=id").unwrap(), Cancel::new());
        let shaping = pipeline.shape_aside(reply(&body), Effect::Read, "c1", ask, &cancel);
        let (turned, outcome) = runtime.block_on(turns(shaping));
        assert!(turned > 1, "it was shaped in {turned} turns");
        assert!(!outcome.shaped.is_error && outcome.shaped.blocks[0].starts_with("[{\"id\":1},"));
        assert_eq!((outcome.status, outcome.bytes), (Some(200), Some(body.len() as u64)));
        let notes: serde_json::Value = serde_json::from_str(&outcome.shaped.blocks[1]).unwrap();
        let rest = pipeline.store.take(&pipeline.agent, notes["cut"]["next"].as_str().unwrap()).unwrap();
        let (turned, shaped) = runtime.block_on(turns(pipeline.shaping.rest(rest, 200_000)));
        assert!(turned > 1 && shaped.unwrap().blocks[0].len() > 190_000, "{turned}");
    }

    #[test]
    fn a_call_that_is_taken_back_while_its_answer_is_shaped_ends_as_a_read_and_goes_on_as_a_write() {
        let (runtime, directory) = (runtime(), tempfile::tempdir().unwrap());
        let pipeline = pipeline(&runtime, directory.path());
        let taken = Arc::clone(&pipeline.shaping.0).try_acquire_many_owned(LANES.try_into().unwrap()).unwrap();
        let cancel = Cancel::new();
        let shape = |effect| Box::pin(pipeline.shape_aside(reply("{\"a\": 1}"), effect, "c1", Ask::default(), &cancel));
        let (mut read, mut write) = (shape(Effect::Read), shape(Effect::Write));
        runtime.block_on(async {
            assert!(futures_util::poll!(&mut read).is_pending(), "no more are shaped at a time than there are lanes");
            cancel.cancel();
            let outcome = read.await;
            assert_eq!((outcome.code, outcome.status, outcome.bytes), (Some(Code::Cancelled), Some(200), Some(8)));
            assert!(futures_util::poll!(&mut write).is_pending());
            drop(taken);
            let outcome = write.await;
            assert_eq!((outcome.code, outcome.shaped.blocks), (None, vec!["{\"a\":1}".to_owned()]));
        });
    }

    #[test]
    fn a_fault_while_an_answer_is_shaped_is_one_of_its_call_and_frees_its_lane() {
        let runtime = runtime();
        let lanes = Lanes::default();
        for _ in 0..=LANES {
            let working = std::panic::AssertUnwindSafe(lanes.work(|| panic!("a fault on purpose")));
            let fault: Result<Result<(), _>, _> = runtime.block_on(futures_util::FutureExt::catch_unwind(working));
            assert_eq!(fault.unwrap_err().downcast_ref::<&str>(), Some(&"a fault on purpose"));
        }
    }
}
