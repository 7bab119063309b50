//! One rate, and one agent's place in it: GCRA (ITU-T I.371), as `governor` computes it.
//!
//! Promises that no window of length `t` sees more calls let through than `burst + t / interval`, whatever the order in which their turns were given out.
//! `governor` offers no look without a charge, no turn in the future and no way to give one back, and a call is charged to
//! several buckets or to none. So the state stands outside of it, 24 bytes a bucket, and each question lays it on a slate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::policy::Rate;

/// The most calls that any bucket lets through at once.
pub(super) const MAX_BURST: u32 = 1_000;

/// The longest interval between two calls, in nanoseconds (about 52 days): no sum of a burst of them overflows.
const MAX_INTERVAL: u64 = 1 << 52;

/// A rate. Asked through `&mut self`: the slate is its own while a question is answered.
#[derive(Debug)]
pub(super) struct Gate {
    gcra: RateLimiter<NotKeyed, Slate, Slate, NoOpMiddleware<Nanos>>,
    interval: u64,
    full: u64,
}

impl Gate {
    /// A rate that lets `burst` calls through at once, at least one, at most [`MAX_BURST`].
    pub(super) fn new(rate: Rate, burst: u32) -> Self {
        // Rounded up: a count that does not divide its unit must not let one call too many through.
        let interval = rate.per.as_nanos().div_ceil(u128::from(rate.count.get()));
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).clamp(1, MAX_INTERVAL);
        let burst = std::num::NonZeroU32::MIN.saturating_add(burst.clamp(1, MAX_BURST).saturating_sub(1));
        let quota =
            Quota::with_period(Duration::from_nanos(interval)).unwrap_or(Quota::per_hour(std::num::NonZeroU32::MIN));
        let slate = Slate::default();
        Self {
            gcra: RateLimiter::new(quota.allow_burst(burst), slate.clone(), slate),
            interval,
            full: interval.saturating_mul(u64::from(burst.get())),
        }
    }

    /// A rate whose burst is its own count.
    pub(super) fn of(rate: Rate) -> Self {
        Self::new(rate, rate.count.get())
    }

    /// The first moment from `now` on at which the bucket lets a call through. Charges nothing.
    pub(super) fn opens(&mut self, bucket: Bucket, now: u64) -> u64 {
        self.ask(bucket, now).map_or_else(|later| later, |_| now)
    }

    /// Charges a call that goes through at `at`, in the operation numbered `turn` (ever growing). Where the bucket is not open at `at`, the call is charged
    /// all the same, as a debt, up to one more burst.
    pub(super) fn charge(&mut self, bucket: &mut Bucket, at: u64, turn: u64) {
        let short = bucket.next.saturating_sub(at);
        if short < self.interval {
            (bucket.filled, bucket.spare) = (turn, u64::MAX);
        } else {
            bucket.spare = bucket.spare.min(short);
        }
        let limit = at.saturating_add(self.full.saturating_mul(2));
        bucket.next = self.ask(*bucket, at).unwrap_or_else(|_| bucket.next.saturating_add(self.interval).min(limit));
    }

    /// Takes back a charge of the operation `turn`, where that leaves the bucket as if it had never been made: where no later charge
    /// found the bucket full, or would have found it full without this one. Elsewhere the charge stands; the bucket was nearly full, and little is lost.
    pub(super) fn refund(&self, bucket: &mut Bucket, turn: u64) {
        if bucket.filled <= turn && bucket.spare >= self.interval {
            bucket.next = bucket.next.saturating_sub(self.interval);
            bucket.spare = bucket.spare.saturating_sub(self.interval);
        }
    }

    /// The bucket's state after a call at `at`, or the moment at which one would pass.
    fn ask(&mut self, bucket: Bucket, at: u64) -> Result<u64, u64> {
        let slate = self.gcra.clock();
        slate.0.now.store(at, Ordering::Relaxed);
        slate.0.next.store(bucket.next, Ordering::Relaxed);
        match self.gcra.check() {
            Ok(()) => Ok(self.gcra.clock().0.next.load(Ordering::Relaxed)),
            Err(until) => Err(until.earliest_possible().as_u64()),
        }
    }
}

/// One agent's place in one rate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    /// GCRA's theoretical arrival time, in nanoseconds of the clock: the bucket is full from here on.
    pub(super) next: u64,
    /// The operation that last found the bucket full but for less than one call.
    filled: u64,
    /// How much less than full every later operation has found it at least, in nanoseconds of refilling.
    spare: u64,
}

/// What `governor` takes for its clock and its memory: the moment and the state of the question at hand.
#[derive(Debug, Clone, Default)]
struct Slate(Arc<Lines>);

#[derive(Debug, Default)]
struct Lines {
    now: AtomicU64,
    next: AtomicU64,
}

impl Clock for Slate {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.now.load(Ordering::Relaxed))
    }
}

impl StateStore for Slate {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = f(Some(Nanos::new(self.0.next.load(Ordering::Relaxed))))?;
        self.0.next.store(next.as_u64(), Ordering::Relaxed);
        Ok(outcome)
    }
}
