//! How much an agent may do: rates, refusals, writes, questions to a person, calls a day, calls under way.
//!
//! Promises: (1) in any window of length `t` no more than `burst + t × rate` calls of one agent pass, and so for each rule's rate and for
//! writes; (2) a call is charged to its rules' rates, to writes and to the day together or not at all, and what it was charged goes back
//! when it ends without having been sent, except where the clock has already given it back; (3) one call waits no longer than `max_wait` nor than
//! its own timeout, over all limits together, and is refused at once where that would not do; turns are given out in order of arrival; (4) every
//! refusal says after how many seconds another try can pass; (5) the table of agents is bounded.
//!
//! Not promised: a call counts in `rate` from the moment it is heard, however it ends. Asking the day's file takes no part in `max_wait`; it is bounded by about a second.
//! A throttled call is charged to nothing.
//!
//! Refuses whatever it cannot count. Trusts its [`Clock`] and the names in [`Agent`], which come from the connection.

mod books;
mod bucket;
mod daily;
mod renew;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::confirm::approval::Approval;
use crate::policy::{Effect, LimitSpec, Rate};

use self::books::{Books, Charged, Place, Refused};
use self::daily::Unit;

pub use self::daily::{DAILY_FILE, DailyCount, DailyError};

/// The most agents that are counted at one time. One more is refused until another's limits are all as good as new.
pub const MAX_AGENTS: usize = 1_024;

/// When to try again where no clock knows: once another call has ended, or once somebody has repaired the state.
const AFTER_ANOTHER: Duration = Duration::from_secs(1);
const AFTER_REPAIR: Duration = Duration::from_secs(60);

/// All limits of one policy.
///
/// A call passes [`admit`](Self::admit) before it is parsed, [`budget`](Self::budget) once it is authorized, and [`Slot::enter`] right before it is sent.
#[derive(Debug)]
pub struct Limiter {
    clock: Arc<dyn Clock>,
    patience: Duration,
    /// Shared with the limiter of the policy before and after: calls of both are counted together.
    books: Arc<Mutex<Books>>,
    /// Where each rule's rate stands in them.
    places: Box<[Option<Place>]>,
    under_way: Arc<Semaphore>,
    concurrency: usize,
    daily: DailyCount,
}

impl Limiter {
    /// Limits with every bucket full. `rules` holds each rule's own rate, in the order of the indexes that [`Charge`] uses; `timeout` is
    /// that of a call, which caps `max_wait`.
    pub fn new(
        spec: &LimitSpec,
        rules: &[Option<Rate>],
        timeout: Duration,
        clock: Arc<dyn Clock>,
        daily: DailyCount,
    ) -> Self {
        let (concurrency, mut next) = (concurrency(spec), 0..);
        Self {
            clock,
            patience: spec.max_wait.min(timeout),
            books: Arc::new(Mutex::new(Books::new(spec, rules.iter().copied().flatten()))),
            places: rules.iter().map(|rate| rate.and_then(|_| next.next())).collect(),
            under_way: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            daily,
        }
    }

    /// The flood guard, before anything of the call is looked at: charges `rate`, and refuses an agent that has no refused call left.
    ///
    /// # Errors
    /// [`Limit::Denials`], [`Limit::Rate`], [`Limit::Agents`] or [`Limit::State`]; nothing was charged.
    pub async fn admit(&self, agent: &Agent) -> Result<Admitted, Throttled> {
        let now = self.now();
        let at = self.books()?.admit(agent, now, nanos(self.patience))?;
        Ok(Admitted { patience: self.wait(at, now, self.patience).await })
    }

    /// Counts a call that was admitted and then refused for what it asked. It costs one of `denials` even where none is left.
    pub fn denied(&self, agent: &Agent) {
        let now = self.now();
        // Charging more is never wrong, whatever another thread left undone.
        self.books.lock().unwrap_or_else(PoisonError::into_inner).denied(agent, now);
    }

    /// Charges an authorized call to its rules' rates, to `writes` and to the day: all of them or none.
    ///
    /// Dropping the future gives everything back.
    ///
    /// # Errors
    /// [`Limit::Rule`], [`Limit::Writes`], [`Limit::Daily`], [`Limit::Agents`] or [`Limit::State`]; nothing was charged.
    pub async fn budget(&self, agent: &Agent, admitted: Admitted, charge: Charge<'_>) -> Result<Slot<'_>, Throttled> {
        let unit = self.daily.take().await.map_err(|error| self.no_day(&error))?;
        let now = self.now();
        let Admitted { patience } = admitted;
        let place = |rule: &usize| self.places.get(*rule).copied().flatten();
        // A rule that has no bucket is a mistake of the caller's; the call is refused rather than let through uncounted.
        let places: Option<Vec<Place>> = charge.rules.iter().map(place).collect();
        let places = places.ok_or(Throttled::new(Limit::State, AFTER_REPAIR))?;
        let reserved = self.books()?.reserve(agent, charge.effect, &places, now, nanos(patience));
        let (at, charged) = reserved.map_err(|refused| self.by_rule(refused))?;
        let paid = Paid { agent: agent.clone(), charged, unit };
        let mut slot = Slot { limiter: self, paid: Some(paid), patience };
        slot.patience = self.wait(at, now, patience).await;
        Ok(slot)
    }

    /// Charges one question to a person to `prompts`. It never waits: where a person would be asked too often, the call is refused.
    /// What was charged does not come back.
    ///
    /// # Errors
    /// [`Limit::Prompts`], [`Limit::Agents`] or [`Limit::State`]; nothing was charged.
    pub fn prompt(&self, agent: &Agent) -> Result<(), Throttled> {
        let now = self.now();
        self.books()?.prompt(agent, now)?;
        Ok(())
    }

    /// The slot of a call that a person has approved: charges nothing, since whoever was asked about it cost a [spent](Slot::spend) slot.
    pub fn paid(&self, admitted: Admitted, _: &Approval) -> Slot<'_> {
        Slot { limiter: self, paid: None, patience: admitted.patience }
    }

    /// The slot of the read that, right before such a call is sent, looks whether its target is still what the person saw:
    /// part of what the question has cost.
    pub fn looking_again(&self, call: &Slot<'_>, _: &Approval) -> Slot<'_> {
        Slot { limiter: self, paid: None, patience: call.patience }
    }

    /// The same, where a place is named, by the rule that has it.
    fn by_rule(&self, refused: Refused) -> Throttled {
        let limit = match refused.limit {
            Limit::Rule(place) => {
                Limit::Rule(self.places.iter().position(|other| *other == Some(place)).unwrap_or(place))
            }
            limit @ (Limit::Rate
            | Limit::Denials
            | Limit::Writes
            | Limit::Prompts
            | Limit::Daily
            | Limit::Concurrency
            | Limit::Agents
            | Limit::State) => limit,
        };
        Throttled { limit, ..Throttled::from(refused) }
    }

    /// Waits until `at` and returns what is left of `patience`.
    async fn wait(&self, at: u64, now: u64, patience: Duration) -> Duration {
        if at <= now {
            return patience;
        }
        self.clock.sleep(Duration::from_nanos(at.saturating_sub(now))).await;
        patience.saturating_sub(Duration::from_nanos(self.now().saturating_sub(now)))
    }

    /// Nanoseconds of the clock.
    fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    fn books(&self) -> Result<MutexGuard<'_, Books>, Throttled> {
        self.books.lock().map_err(|_| Throttled::new(Limit::State, AFTER_REPAIR))
    }

    fn no_day(&self, error: &DailyError) -> Throttled {
        if let DailyError::Spent = error {
            return Throttled::new(Limit::Daily, self.daily.until_tomorrow());
        }
        tracing::error!(%error, "a call is refused because it cannot be counted");
        Throttled::new(Limit::State, AFTER_REPAIR)
    }
}

/// What an authorized call costs.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'a> {
    /// A write costs one of `writes`.
    pub effect: Effect,
    /// The rules with a rate that the call must keep to, as indexes into the policy's rules.
    pub rules: &'a [usize],
}

/// A call was admitted; what it may still wait. Good for one [`Limiter::budget`] or one [`Limiter::paid`].
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    patience: Duration,
}

/// A call that is paid for and not yet under way. Dropped, what it was charged goes back as far as the clock has not given it back already.
#[derive(Debug)]
#[must_use]
pub struct Slot<'a> {
    limiter: &'a Limiter,
    paid: Option<Paid>,
    patience: Duration,
}

impl Slot<'_> {
    /// Makes the charge final whatever becomes of the call. To be called before a person is asked about it: a question costs, also
    /// one that is declined.
    pub fn spend(&mut self) {
        if let Some(Paid { unit: Some(unit), .. }) = self.paid.take() {
            unit.spend();
        }
    }

    /// Waits, for what is left of the call's patience, until it may be under way.
    ///
    /// # Errors
    /// [`Limit::Concurrency`]; the charge goes back, unless it was [`spend`](Self::spend)t.
    pub async fn enter(mut self) -> Result<Permit, Throttled> {
        let under_way = Arc::clone(&self.limiter.under_way);
        let permit = match Arc::clone(&under_way).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.patience.is_zero() => return Err(Throttled::new(Limit::Concurrency, AFTER_ANOTHER)),
            Err(_) => tokio::select! {
                biased;
                permit = under_way.acquire_owned() => permit.map_err(|_| Throttled::new(Limit::State, AFTER_REPAIR))?,
                () = self.limiter.clock.sleep(self.patience) => return Err(Throttled::new(Limit::Concurrency, AFTER_ANOTHER)),
            },
        };
        self.spend();
        Ok(Permit { _permit: permit })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let Some(Paid { agent, charged, unit: _ }) = self.paid.take() else { return };
        if let Ok(mut books) = self.limiter.books.lock() {
            books.refund(&agent, charged);
        }
    }
}

/// A call is under way for as long as this lives.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// What a call has paid. The day's unit gives itself back.
#[derive(Debug)]
struct Paid {
    agent: Agent,
    charged: Charged,
    unit: Option<Unit>,
}

/// A call that was refused for its number, not for what it asked. Its text may be shown to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}; try again in {} s", limit.sentence(), self.retry_after_seconds())]
pub struct Throttled {
    limit: Limit,
    retry_after: Duration,
}

impl Throttled {
    fn new(limit: Limit, wait: Duration) -> Self {
        let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        Self { limit, retry_after: Duration::from_secs(whole.max(1)) }
    }

    /// Which limit.
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// After how long another try can pass if nothing else happens: whole seconds, at least one.
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// [`retry_after`](Self::retry_after) in seconds.
    pub const fn retry_after_seconds(&self) -> u64 {
        self.retry_after.as_secs()
    }
}

impl From<Refused> for Throttled {
    fn from(refused: Refused) -> Self {
        match refused.limit {
            Limit::State => Self::new(Limit::State, AFTER_REPAIR),
            limit @ (Limit::Rate
            | Limit::Denials
            | Limit::Rule(_)
            | Limit::Writes
            | Limit::Prompts
            | Limit::Daily
            | Limit::Concurrency
            | Limit::Agents) => Self::new(limit, Duration::from_nanos(refused.wait())),
        }
    }
}

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `rate`: all calls of one agent.
    Rate,
    /// `denials`: refused calls of one agent.
    Denials,
    /// The rate of the rule with this index.
    Rule(usize),
    /// `writes` of one agent.
    Writes,
    /// `prompts`: questions to a person about the calls of one agent.
    Prompts,
    /// `daily`: all calls of a day.
    Daily,
    /// `concurrency`: calls under way.
    Concurrency,
    /// [`MAX_AGENTS`].
    Agents,
    /// Calls cannot be counted at all: somebody must look at the machine.
    State,
}

impl Limit {
    /// One word for the log, the policy's key where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Denials => "denials",
            Self::Rule(_) => "rule",
            Self::Writes => "writes",
            Self::Prompts => "prompts",
            Self::Daily => "daily",
            Self::Concurrency => "concurrency",
            Self::Agents => "agents",
            Self::State => "state",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Rate => "too many calls",
            Self::Denials => "too many refused calls",
            Self::Rule(_) => "too many calls of this kind",
            Self::Writes => "too many writes",
            Self::Prompts => "too many questions to a person",
            Self::Daily => "no calls are left for today (UTC)",
            Self::Concurrency => "too many calls are under way",
            Self::Agents => "too many agents are calling",
            Self::State => "calls cannot be counted at present",
        }
    }
}

fn concurrency(spec: &LimitSpec) -> usize {
    usize::try_from(spec.concurrency).unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS)
}

/// Nanoseconds, at most half of what fits (146 years), so that sums of them do not overflow.
fn nanos(duration: Duration) -> u64 {
    const MOST: u64 = 1 << 62;
    u64::try_from(duration.as_nanos()).map_or(MOST, |nanos| nanos.min(MOST))
}

#[cfg(test)]
mod tests;
