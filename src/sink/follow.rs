//! Follows the log of this process for one sink, and brings it what other processes have left.
//!
//! Promises that a batch is brought until it is taken or its one record given up, that nothing of the same log overtakes it, and that
//! old logs do not hold up the new one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::backoff::Backoff;
use super::batch::Batch;
use super::claim::{Claim, Orphans};
use super::course::Course;
use super::refused::{self, Next, Refusals};
use super::segment::{MOST_RECORDS, ReadError};
use super::standing::Standing;
use super::{Counts, DRAIN, Failure, Sink, Taken, Then};
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
/// Old logs that were sent whole and of which the connection may yet say that they are lost.
const MOST_LEAVING: usize = 3;
const REST: &str = "a sink has not taken all; the next process brings it the rest";

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
    pub(super) orphans: Arc<Orphans>,
    pub(super) counts: Arc<Counts>,
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
    orphans: Arc<Orphans>,
    /// Of them, the next.
    orphan: usize,
    old: Option<Course>,
    /// Sent whole, and not yet certain.
    leaving: Vec<Course>,
    /// Sent whole, and to be sent again.
    again: Vec<Course>,
    counts: Arc<Counts>,
    standing: Standing,
    refusals: Refusals,
    backoff: Backoff,
    /// Records in one batch.
    most: usize,
    tended: Duration,
    /// Whether its end was tried and went wrong.
    parted: bool,
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
        let Parts { sink, name, place, required, audit, own, orphans, counts, stopped, clock } = parts;
        Self {
            sink,
            place,
            required,
            tail: audit.tail(),
            claim: own,
            own: None,
            orphans,
            orphan: 0,
            old: None,
            leaving: Vec::new(),
            again: Vec::new(),
            counts,
            refusals: Refusals::default(),
            standing: Standing::new(name.clone(), audit, clock.clone()),
            name,
            backoff: Backoff::default(),
            most: MOST_RECORDS,
            tended: clock.monotonic(),
            parted: false,
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
            () = late => tracing::warn!(sink = self.name, "{REST}"),
        }
        self.standing.ended();
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
            let (now, end) = (self.clock.monotonic(), stopping && step == Step::Idle);
            if end || now.saturating_sub(self.tended) >= TICK {
                self.tended = now;
                if let Err(failure) = self.tend(end).await {
                    self.failed(&failure, limit).await;
                    // One that ends every connection by a reset would get its last records again and again.
                    if end && std::mem::replace(&mut self.parted, true) {
                        return tracing::warn!(sink = self.name, "{REST}");
                    }
                    continue;
                }
            }
            match step {
                Step::Moved => {}
                Step::Idle if end => return self.finish(),
                Step::Idle => self.rest(&mut synced).await,
            }
        }
    }

    /// Brings one batch of this process's log and one of an older.
    async fn step(&mut self, limit: u64, stopping: bool) -> Result<Step, Failure> {
        let own = self.bring_own(limit).await?;
        let old = if stopping { Step::Idle } else { self.bring_old().await? };
        self.backoff.reset();
        if self.own.as_ref().is_some_and(|own| own.next() >= limit) && old == Step::Idle && self.leaving.is_empty() {
            self.standing.caught_up();
        }
        Ok(if (own, old) == (Step::Idle, Step::Idle) { Step::Idle } else { Step::Moved })
    }

    async fn bring_own(&mut self, limit: u64) -> Result<Step, Failure> {
        if self.own.is_none() {
            self.own = Course::begin(&self.claim, &self.name).map_err(|error| Failure::read(&error))?;
        }
        let Some(course) = &mut self.own else { return Ok(Step::Idle) };
        self.counts.wait(self.place, limit.saturating_sub(course.next()));
        let read = course.read(limit, self.most).map_err(|error| Failure::read(&error))?;
        let Some((batch, next)) = read else { return Ok(Step::Idle) };
        let path = course.refused();
        self.bring(&batch, &path).await?;
        if let Some(course) = &mut self.own {
            course.took(next);
            self.counts.wait(self.place, limit.saturating_sub(course.next()));
        }
        self.confirm();
        self.sink.count(&batch);
        if let Some(required) = self.required {
            self.tail.took(required, batch.next());
        }
        Ok(Step::Moved)
    }

    async fn bring_old(&mut self) -> Result<Step, Failure> {
        if self.old.is_none() {
            self.old = self.next_old();
        }
        let Some(course) = &mut self.old else { return Ok(Step::Idle) };
        match course.read(u64::MAX, self.most) {
            Ok(Some((batch, next))) => {
                let path = course.refused();
                self.bring(&batch, &path).await?;
                if let Some(course) = &mut self.old {
                    course.took(next);
                }
                self.confirm();
            }
            Ok(None) => {
                self.leaving.extend(self.old.take());
                self.leave();
            }
            Err(error) => {
                tracing::warn!(%error, sink = self.name, "a log that a sink waits for cannot be read on");
                self.old = None;
            }
        }
        Ok(Step::Moved)
    }

    /// The oldest log that this sink has to get yet.
    fn next_old(&mut self) -> Option<Course> {
        if let Some(course) = self.again.pop() {
            return Some(course);
        }
        if self.leaving.len() >= MOST_LEAVING {
            return None;
        }
        while let Some(claim) = self.orphans.next(&mut self.orphan) {
            match Course::begin(&claim, &self.name) {
                Ok(Some(course)) => return Some(course),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, sink = self.name, "a log that a sink waits for cannot be read"),
            }
        }
        None
    }

    /// Brings a batch; when this returns well, the sink has all of it that it will ever have.
    async fn bring(&mut self, batch: &Batch, note: &Path) -> Result<(), Failure> {
        self.sink.look().await?;
        self.confirm();
        let taken = self.sink.deliver(batch).await;
        let mut failure = match (taken, self.required) {
            (Ok(Taken::All), _) => {
                self.refusals.taken();
                self.most = grown(self.most);
                return Ok(());
            }
            // Sending it again is what the protocol forbids, and what a sink that must have every record needs all the same.
            (Ok(Taken::Part { cause, .. }), Some(_)) => Failure::refused(cause),
            (Ok(Taken::Part { refused, cause }), None) => {
                self.refusals.taken();
                return self.give_up(batch, note, refused, &cause);
            }
            (Err(failure), _) => failure,
        };
        let records = batch.views.len();
        match failure.then {
            Then::Again | Then::Before => return Err(failure),
            Then::Less if records > 1 => {
                self.most = records / 2;
                return Err(failure);
            }
            Then::Less => failure.then = Then::Again,
        }
        match (self.required, self.refusals.refused(batch)) {
            (None, Next::GiveUp) => {
                self.give_up(batch, note, 1, &failure.detail)?;
                self.refusals.gave_up();
                Ok(())
            }
            (Some(_), _) | (None, Next::Again) => Err(failure),
        }
    }

    /// Goes on without records that the sink refuses, once that is noted.
    fn give_up(&mut self, batch: &Batch, note: &Path, refused: u64, cause: &str) -> Result<(), Failure> {
        refused::note(note, batch, refused, cause).map_err(|error| Failure::io(&error))?;
        self.counts.refuse(self.place, refused);
        self.standing.refused(refused, self.counts.waiting(self.place), cause);
        Ok(())
    }

    /// What the sink has, it has for certain, where it acknowledges.
    fn confirm(&mut self) {
        if self.sink.acknowledges() {
            self.courses().for_each(Course::confirm);
            self.leave();
        }
    }

    /// Ends what the sink has whole, and for certain.
    fn leave(&mut self) {
        if self.sink.acknowledges() {
            self.leaving.iter_mut().for_each(Course::confirm);
        }
        self.leaving.extract_if(.., |course| course.is_sure()).for_each(|course| course.done());
    }

    /// What is to be done from time to time, and at the end.
    async fn tend(&mut self, end: bool) -> Result<(), Failure> {
        self.sink.tend(&self.counts, end).await?;
        self.courses().for_each(Course::settle);
        self.confirm();
        self.leave();
        self.save();
        Ok(())
    }

    fn courses(&mut self) -> impl Iterator<Item = &mut Course> {
        self.own.iter_mut().chain(&mut self.old).chain(&mut self.leaving).chain(&mut self.again)
    }

    async fn failed(&mut self, failure: &Failure, limit: u64) {
        match failure.then {
            Then::Again => {}
            Then::Less => {
                self.courses().for_each(Course::regroup);
                self.backoff.reset();
            }
            Then::Before => {
                self.courses().for_each(Course::retreat);
                self.again.append(&mut self.leaving);
            }
        }
        let waiting = limit.saturating_sub(self.own.as_ref().map_or(0, Course::next));
        self.counts.wait(self.place, waiting);
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
        let busy = self.sink.needs_tending()
            || !self.leaving.is_empty()
            || self.own.iter().chain(&self.old).any(|course| !course.is_saved());
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
        self.courses().for_each(Course::save);
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
