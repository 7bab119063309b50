//! Follows the log of this process for one sink, and brings it what other processes have left.
//!
//! Promises that a batch is brought until it is taken, that nothing of the same log overtakes it, and that old logs do not hold up
//! the new one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::backoff::Backoff;
use super::claim::Claim;
use super::course::Course;
use super::segment::{MOST_RECORDS, ReadError};
use super::standing::Standing;
use super::{DRAIN, Failure, Sink, Then, Waiting};
use crate::audit::AuditLog;
use crate::audit::tail::Tail;
use crate::clock::Clock;

/// How often a cursor is kept, and a sink tended, at most.
const TICK: Duration = Duration::from_secs(1);
/// Between two tries while a write waits.
const WANTED: Duration = Duration::from_secs(1);
/// Between two tries at the end of the process.
const LAST: Duration = Duration::from_millis(250);
/// The longest that a sink may ask to be left alone.
const MOST_ASKED: Duration = Duration::from_secs(300);

/// What a follower is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) sink: Sink,
    pub(super) name: String,
    /// Among all sinks.
    pub(super) place: usize,
    /// Among those that writes wait for.
    pub(super) required: Option<usize>,
    pub(super) audit: AuditLog,
    pub(super) own: Arc<Claim>,
    pub(super) orphans: Vec<Arc<Claim>>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) clock: Arc<dyn Clock>,
}

/// One sink at work.
#[derive(Debug)]
pub(super) struct Follower {
    sink: Sink,
    name: String,
    place: usize,
    required: Option<usize>,
    tail: Tail,
    claim: Arc<Claim>,
    own: Option<Course>,
    orphans: VecDeque<Arc<Claim>>,
    old: Option<Course>,
    waiting: Arc<Waiting>,
    standing: Standing,
    backoff: Backoff,
    /// Records in one batch.
    most: usize,
    tended: Duration,
    stopped: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    Idle,
}

impl Follower {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { sink, name, place, required, audit, own, orphans, waiting, stopped, clock } = parts;
        Self {
            sink,
            place,
            required,
            tail: audit.tail(),
            claim: own,
            own: None,
            orphans: orphans.into(),
            old: None,
            waiting,
            standing: Standing::new(name.clone(), audit, clock.clone()),
            name,
            backoff: Backoff::default(),
            most: MOST_RECORDS,
            tended: clock.monotonic(),
            stopped,
            clock,
        }
    }

    /// Runs until the process ends and the sink has everything, or had its time.
    pub(super) async fn serve(mut self) {
        let (mut stopped, clock) = (self.stopped.clone(), self.clock.clone());
        let late = async move {
            // Without its sender there is nobody to wait for either.
            stopped.wait_for(|stopped| *stopped).await.ok();
            clock.sleep(DRAIN).await;
        };
        tokio::select! {
            () = self.run() => {}
            () = late => tracing::warn!(sink = self.name, "a sink has not taken all; the next process brings it the rest"),
        }
        self.save();
    }

    async fn run(&mut self) {
        let mut synced = self.tail.follow();
        loop {
            let stopping = *self.stopped.borrow();
            let limit = *synced.borrow_and_update();
            let step = match self.step(limit, stopping).await {
                Ok(step) => step,
                Err(failure) => {
                    self.failed(&failure, limit).await;
                    continue;
                }
            };
            let now = self.clock.monotonic();
            if now.saturating_sub(self.tended) >= TICK || (stopping && step == Step::Idle) {
                self.tended = now;
                self.save();
                if let Err(failure) = self.sink.tend(&self.waiting, stopping).await {
                    self.failed(&failure, limit).await;
                    continue;
                }
            }
            match step {
                Step::Moved => {}
                Step::Idle if stopping => return self.finish(),
                Step::Idle => self.rest(&mut synced).await,
            }
        }
    }

    /// Brings one batch of this process's log and one of an older.
    async fn step(&mut self, limit: u64, stopping: bool) -> Result<Step, Failure> {
        let own = self.bring_own(limit).await?;
        let old = if stopping { Step::Idle } else { self.bring_old().await? };
        self.backoff.reset();
        if self.own.as_ref().is_some_and(|own| own.next() >= limit) && old == Step::Idle {
            self.standing.caught_up();
        }
        Ok(if (own, old) == (Step::Idle, Step::Idle) { Step::Idle } else { Step::Moved })
    }

    async fn bring_own(&mut self, limit: u64) -> Result<Step, Failure> {
        if self.own.is_none() {
            self.own = Course::begin(&self.claim, &self.name).map_err(|error| Failure::read(&error))?;
        }
        let Some(course) = &mut self.own else { return Ok(Step::Idle) };
        self.waiting.set(self.place, limit.saturating_sub(course.next()));
        let read = course.read(limit, self.most).map_err(|error| Failure::read(&error))?;
        let Some((batch, next)) = read else { return Ok(Step::Idle) };
        self.sink.deliver(&batch).await?;
        course.took(next);
        self.most = grown(self.most);
        self.waiting.set(self.place, limit.saturating_sub(course.next()));
        self.sink.count(&batch);
        if let Some(required) = self.required {
            self.tail.took(required, batch.next());
        }
        Ok(Step::Moved)
    }

    async fn bring_old(&mut self) -> Result<Step, Failure> {
        while self.old.is_none() {
            let Some(claim) = self.orphans.pop_front() else { return Ok(Step::Idle) };
            match Course::begin(&claim, &self.name) {
                Ok(course) => self.old = course,
                Err(error) => tracing::warn!(%error, sink = self.name, "a log that a sink waits for cannot be read"),
            }
        }
        let Some(course) = &mut self.old else { return Ok(Step::Idle) };
        match course.read(u64::MAX, self.most) {
            Ok(Some((batch, next))) => {
                self.sink.deliver(&batch).await?;
                course.took(next);
                self.most = grown(self.most);
            }
            Ok(None) => {
                course.done();
                self.old = None;
            }
            Err(error) => {
                tracing::warn!(%error, sink = self.name, "a log that a sink waits for cannot be read on");
                self.old = None;
            }
        }
        Ok(Step::Moved)
    }

    async fn failed(&mut self, failure: &Failure, limit: u64) {
        match failure.then {
            Then::Again => {}
            Then::Less => self.most = (self.most / 2).max(1),
            Then::Before => self.own.iter_mut().chain(&mut self.old).for_each(Course::retreat),
        }
        let waiting = limit.saturating_sub(self.own.as_ref().map_or(0, Course::next));
        self.waiting.set(self.place, waiting);
        self.standing.failed(failure, waiting);
        self.save();
        let pause = self.backoff.next().max(failure.retry_after.unwrap_or_default().min(MOST_ASKED));
        let stopping = *self.stopped.borrow();
        if stopping {
            return self.clock.sleep(pause.min(LAST)).await;
        }
        let wanted = async {
            self.clock.sleep(WANTED).await;
            match self.required {
                Some(_) => self.tail.wanted().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.clock.sleep(pause) => {}
            () = wanted => {}
            _ = self.stopped.changed() => {}
        }
    }

    /// Waits for more to bring, or something else to do.
    async fn rest(&mut self, synced: &mut watch::Receiver<u64>) {
        let busy = self.sink.needs_tending() || self.own.iter().chain(&self.old).any(|course| !course.is_saved());
        let tick = async {
            match busy {
                true => self.clock.sleep(TICK).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = synced.changed() => {}
            () = tick => {}
            _ = self.stopped.changed() => {}
        }
    }

    fn save(&mut self) {
        self.own.iter_mut().chain(&mut self.old).for_each(Course::save);
    }

    /// The sink has everything of this process: what has no more is no other's business.
    fn finish(&mut self) {
        if self.own.as_ref().is_some_and(|own| own.is_at_the_end().unwrap_or(false)) {
            self.own.take().iter().for_each(Course::done);
        }
        if self.old.as_mut().is_some_and(|old| matches!(old.read(u64::MAX, 1), Ok(None))) {
            self.old.take().iter().for_each(Course::done);
        }
    }
}

/// The size of a batch after one that was taken.
fn grown(most: usize) -> usize {
    most.saturating_mul(2).min(MOST_RECORDS)
}

impl Failure {
    fn read(error: &ReadError) -> Self {
        let cause = match error {
            ReadError::Damaged { .. } => "damaged",
            ReadError::Open(_) | ReadError::Read { .. } => "unreadable",
        };
        Self { cause, detail: error.to_string(), retry_after: None, then: Then::Again }
    }
}
