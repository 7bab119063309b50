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

    /// Charges a call that goes through at `at`. Where the bucket is not open at `at`, the call is charged all the same, as a debt, up to
    /// one more burst.
    pub(super) fn charge(&mut self, bucket: &mut Bucket, at: u64) -> Receipt {
        let receipt = Receipt { full: bucket.next.max(at), given_back: bucket.given_back };
        let limit = at.saturating_add(self.full.saturating_mul(2));
        bucket.next = self.ask(*bucket, at).unwrap_or_else(|_| bucket.next.saturating_add(self.interval).min(limit));
        bucket.latest = bucket.latest.max(at);
        receipt
    }

    /// Takes back a charge where that leaves the bucket as if it had never been made: where every later call went through before the bucket, without
    /// this charge, would have been full again. Elsewhere the clock has given it back already, at least in part, and it stands.
    pub(super) fn refund(&self, bucket: &mut Bucket, receipt: Receipt) {
        // What others took back meanwhile may have been before this charge: then the bucket would have been full sooner.
        let sooner = self.interval.saturating_mul(bucket.given_back.saturating_sub(receipt.given_back));
        if bucket.latest <= receipt.full.saturating_sub(sooner) {
            bucket.next = bucket.next.saturating_sub(self.interval);
            bucket.given_back = bucket.given_back.saturating_add(1);
        }
    }

    /// How many calls were let through that the clock has not given back yet, rounded up.
    pub(super) fn spent(&self, bucket: Bucket, now: u64) -> u64 {
        bucket.next.saturating_sub(now).div_ceil(self.interval)
    }

    /// The bucket from which so many calls were taken, as far as one can be in debt.
    pub(super) fn without(&self, calls: u64, now: u64) -> Bucket {
        let debt = calls.saturating_mul(self.interval).min(self.full.saturating_mul(2));
        Bucket { next: now.saturating_add(debt), latest: now, given_back: 0 }
    }

    /// Whether it lets the same through as another.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.interval, self.full) == (other.interval, other.full)
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
    /// The latest moment at which a call went through, or will.
    latest: u64,
    /// How many charges were taken back.
    given_back: u64,
}

/// One call's charge to one bucket, to be taken back at most once.
#[derive(Debug)]
pub(super) struct Receipt {
    /// When the bucket would have been full again without it.
    full: u64,
    /// How many charges had been taken back by then.
    given_back: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    const BURST: u32 = 4;
    const INTERVAL: u64 = 1_000;

    #[derive(Debug, Clone)]
    enum Step {
        Call,
        GiveUp(prop::sample::Index),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Call),
            3 => any::<prop::sample::Index>().prop_map(Step::GiveUp),
            3 => prop_oneof![0..3 * INTERVAL, (0..4_u64).prop_map(|n| n * INTERVAL / 2)].prop_map(Step::Pass),
        ]
    }

    /// Whether every window up to `now` has room for one more.
    fn has_room(calls: &[(u64, Receipt)], now: u64) -> bool {
        (0..calls.len()).all(|i| (calls.len() - i) as u64 <= u64::from(BURST) - 1 + (now - calls[i].0) / INTERVAL)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        #[test]
        fn a_bucket_never_has_more_room_than_the_calls_that_were_not_given_up_leave(steps in prop::collection::vec(step(), 1..60)) {
            let rate = Rate { count: NonZeroU32::new(1).unwrap(), per: Duration::from_nanos(INTERVAL) };
            let mut gate = Gate::new(rate, BURST);
            let (mut bucket, mut now, mut gave_up) = (Bucket::default(), 0, false);
            let mut calls: Vec<(u64, Receipt)> = Vec::new();
            for step in steps {
                match step {
                    Step::Pass(nanos) => now += nanos,
                    Step::GiveUp(_) if calls.is_empty() => {}
                    Step::GiveUp(which) => {
                        let (_, charge) = calls.remove(which.index(calls.len()));
                        gate.refund(&mut bucket, charge);
                        gave_up = true;
                    }
                    Step::Call => {
                        let open = gate.opens(bucket, now) == now;
                        let room = has_room(&calls, now);
                        prop_assert!(if gave_up { room || !open } else { room == open }, "room {} open {}", room, open);
                        if open {
                            calls.push((now, gate.charge(&mut bucket, now)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn calls_given_up_together_all_go_back_while_the_bucket_is_far_from_full() {
        let rate = Rate { count: NonZeroU32::new(1).unwrap(), per: Duration::from_nanos(INTERVAL) };
        let mut gate = Gate::new(rate, 10);
        let mut bucket = Bucket::default();
        let mut charges: Vec<_> = (0..10).map(|_| gate.charge(&mut bucket, 5)).collect();
        let spent = bucket.next;
        charges.drain(4..8).for_each(|charge| gate.refund(&mut bucket, charge));
        assert_eq!(bucket.next, spent - 4 * INTERVAL);
    }
}
