use super::*;
use crate::confirm::approval::Approval;
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use crate::clock::ManualClock;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const READ: Charge<'static> = Charge { effect: Effect::Read, rules: &[] };
const WRITE: Charge<'static> = Charge { effect: Effect::Write, rules: &[] };

fn rate(count: u32, per: Duration) -> Rate {
    Rate { count: NonZeroU32::new(count).unwrap(), per }
}

/// Limits that nothing here reaches, to be narrowed one at a time.
fn open() -> LimitSpec {
    LimitSpec {
        rate: rate(1_000, SECOND),
        burst: 1_000,
        writes: rate(1_000, SECOND),
        denials: rate(1_000, SECOND),
        prompts: rate(1_000, SECOND),
        concurrency: 1_024,
        daily: None,
        max_wait: Duration::ZERO,
    }
}

fn limiter(spec: &LimitSpec, rules: &[Option<Rate>]) -> (Limiter, ManualClock) {
    let clock = ManualClock::default();
    let limiter = Limiter::new(spec, rules, 30 * SECOND, Arc::new(clock.clone()), DailyCount::unlimited());
    (limiter, clock)
}

fn agent(uid: u32) -> Agent {
    Agent::stdio(uid)
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that must not wait.
fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn admit(limiter: &Limiter, uid: u32) -> Result<Admitted, Throttled> {
    now(limiter.admit(&agent(uid)))
}

fn pass<'a>(limiter: &'a Limiter, uid: u32, charge: Charge<'_>) -> Result<Slot<'a>, Throttled> {
    let admitted = admit(limiter, uid)?;
    now(limiter.budget(&agent(uid), admitted, charge))
}

fn send(limiter: &Limiter, uid: u32, charge: Charge<'_>) -> Result<(), Throttled> {
    now(pass(limiter, uid, charge)?.enter()).map(drop)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Throttled>) -> (Limit, u64) {
    let throttled = result.unwrap_err();
    (throttled.limit(), throttled.retry_after_seconds())
}

#[test]
fn a_burst_passes_at_once_and_the_next_call_is_told_when_to_come_back() {
    let (limiter, clock) = limiter(&LimitSpec { rate: rate(6, MINUTE), burst: 3, ..open() }, &[]);
    for _ in 0..3 {
        send(&limiter, 1, READ).unwrap();
    }
    assert_eq!(refused(send(&limiter, 1, READ)), (Limit::Rate, 10));
    clock.advance(Duration::from_millis(9_001));
    assert_eq!(refused(send(&limiter, 1, READ)), (Limit::Rate, 1), "rounded up to a whole second");
    clock.advance(Duration::from_millis(999));
    send(&limiter, 1, READ).unwrap();
    assert_eq!(refused(send(&limiter, 1, READ)), (Limit::Rate, 10));
}

#[test]
fn a_throttled_call_costs_nothing() {
    let (limiter, clock) = limiter(&LimitSpec { rate: rate(6, MINUTE), burst: 1, ..open() }, &[]);
    send(&limiter, 1, READ).unwrap();
    for _ in 0..100 {
        assert_eq!(refused(send(&limiter, 1, READ)), (Limit::Rate, 10));
    }
    clock.advance(10 * SECOND);
    send(&limiter, 1, READ).unwrap();
}

#[test]
fn one_agent_does_not_spend_what_is_anothers() {
    let (limiter, _) = limiter(&LimitSpec { rate: rate(1, MINUTE), burst: 1, ..open() }, &[]);
    send(&limiter, 1, READ).unwrap();
    assert_eq!(refused(send(&limiter, 1, READ)), (Limit::Rate, 60));
    send(&limiter, 2, READ).unwrap();
}

#[test]
fn refused_calls_run_out_and_come_back() {
    let (limiter, clock) = limiter(&LimitSpec { denials: rate(2, MINUTE), ..open() }, &[]);
    for _ in 0..2 {
        drop(admit(&limiter, 1).unwrap());
        limiter.denied(&agent(1));
    }
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Denials, 30));
    send(&limiter, 2, READ).unwrap();
    clock.advance(30 * SECOND);
    send(&limiter, 1, READ).unwrap();
    drop(admit(&limiter, 1).unwrap());
    limiter.denied(&agent(1));
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Denials, 30));
}

#[test]
fn refused_calls_that_were_under_way_together_are_all_paid_for() {
    let (limiter, clock) = limiter(&LimitSpec { denials: rate(2, MINUTE), ..open() }, &[]);
    let admitted: Vec<_> = (0..4).map(|_| admit(&limiter, 1).unwrap()).collect();
    for _ in admitted {
        limiter.denied(&agent(1));
    }
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Denials, 90));
    clock.advance(90 * SECOND);
    drop(admit(&limiter, 1).unwrap());
}

#[test]
fn the_debt_of_refused_calls_is_bounded() {
    let (limiter, _) = limiter(&LimitSpec { denials: rate(2, MINUTE), ..open() }, &[]);
    for _ in 0..100_000 {
        limiter.denied(&agent(1));
    }
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Denials, 90));
}

#[test]
fn writes_have_a_bucket_of_their_own() {
    let (limiter, clock) = limiter(&LimitSpec { writes: rate(2, MINUTE), ..open() }, &[]);
    for _ in 0..2 {
        send(&limiter, 1, WRITE).unwrap();
    }
    assert_eq!(refused(send(&limiter, 1, WRITE)), (Limit::Writes, 30));
    send(&limiter, 1, READ).unwrap();
    clock.advance(30 * SECOND);
    send(&limiter, 1, WRITE).unwrap();
}

#[test]
fn questions_to_a_person_have_a_bucket_of_their_own_and_never_wait() {
    let spec = LimitSpec { prompts: rate(2, MINUTE), max_wait: 60 * SECOND, ..open() };
    let (limiter, clock) = limiter(&spec, &[]);
    for _ in 0..2 {
        limiter.prompt(&agent(1)).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(
            refused(limiter.prompt(&agent(1))),
            (Limit::Prompts, 30),
            "a question that is not asked costs nothing"
        );
    }
    limiter.prompt(&agent(2)).unwrap();
    send(&limiter, 1, WRITE).unwrap();
    clock.advance(30 * SECOND);
    limiter.prompt(&agent(1)).unwrap();
    assert_eq!(refused(limiter.prompt(&agent(1))), (Limit::Prompts, 30));
}

#[test]
fn an_agent_whose_questions_are_spent_is_not_forgotten_and_strangers_are_bounded() {
    let (limiter, clock) = limiter(&LimitSpec { prompts: rate(1, MINUTE), ..open() }, &[]);
    let most = u32::try_from(MAX_AGENTS).unwrap();
    for uid in 0..most {
        limiter.prompt(&agent(uid)).unwrap();
    }
    assert_eq!(refused(limiter.prompt(&agent(most))), (Limit::Agents, 1));
    assert_eq!(refused(limiter.prompt(&agent(0))), (Limit::Prompts, 60));
    clock.advance(MINUTE);
    limiter.prompt(&agent(most)).unwrap();
    assert_eq!(limiter.books.lock().unwrap().agents(), 1);
}

#[test]
fn a_question_that_cannot_be_counted_is_not_asked() {
    let (limiter, _) = limiter(&open(), &[]);
    std::thread::scope(|scope| {
        let spoil = scope.spawn(|| {
            let _books = limiter.books.lock().unwrap();
            panic!("while the books are open");
        });
        assert!(spoil.join().is_err());
    });
    assert_eq!(refused(limiter.prompt(&agent(1))), (Limit::State, 60));
}

#[test]
fn a_call_that_was_paid_for_before_costs_one_call_and_nothing_else() {
    let spec = LimitSpec { rate: rate(2, MINUTE), burst: 2, writes: rate(1, MINUTE), ..open() };
    let (limiter, _) = limiter(&spec, &[]);
    let mut asked = pass(&limiter, 1, WRITE).unwrap();
    asked.spend();
    drop(asked);
    drop(now(limiter.paid(admit(&limiter, 1).unwrap(), &Approval::of_nothing()).enter()).unwrap());
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Rate, 30), "it counts as a call");
}

#[test]
fn a_call_that_was_paid_for_before_gives_nothing_back_and_still_keeps_to_what_may_be_under_way() {
    let spec = LimitSpec { writes: rate(1, MINUTE), concurrency: 1, ..open() };
    let (limiter, _) = limiter(&spec, &[]);
    let permit = now(pass(&limiter, 1, WRITE).unwrap().enter()).unwrap();
    drop(limiter.paid(admit(&limiter, 1).unwrap(), &Approval::of_nothing()));
    assert_eq!(
        refused(now(limiter.paid(admit(&limiter, 1).unwrap(), &Approval::of_nothing()).enter())),
        (Limit::Concurrency, 1)
    );
    drop(permit);
    drop(now(limiter.paid(admit(&limiter, 1).unwrap(), &Approval::of_nothing()).enter()).unwrap());
    assert_eq!(refused(send(&limiter, 1, WRITE)).0, Limit::Writes);
}

#[test]
fn a_rules_rate_is_kept_by_each_agent_and_binds_only_calls_under_the_rule() {
    let (limiter, _) = limiter(&open(), &[None, Some(rate(1, MINUTE)), Some(rate(2, MINUTE))]);
    let first = Charge { effect: Effect::Read, rules: &[1] };
    let second = Charge { effect: Effect::Read, rules: &[2] };
    send(&limiter, 1, first).unwrap();
    assert_eq!(refused(send(&limiter, 1, first)), (Limit::Rule(1), 60));
    send(&limiter, 1, second).unwrap();
    send(&limiter, 1, READ).unwrap();
    send(&limiter, 2, first).unwrap();
}

#[test]
fn a_call_refused_by_one_limit_costs_nothing_in_the_others() {
    let spec = LimitSpec { writes: rate(1, MINUTE), ..open() };
    let (limiter, _) = limiter(&spec, &[Some(rate(2, MINUTE)), Some(rate(1, MINUTE))]);
    send(&limiter, 1, Charge { effect: Effect::Write, rules: &[0] }).unwrap();
    for _ in 0..5 {
        let both = Charge { effect: Effect::Write, rules: &[0, 1] };
        assert_eq!(refused(send(&limiter, 1, both)), (Limit::Writes, 60));
    }
    send(&limiter, 1, Charge { effect: Effect::Read, rules: &[0, 1] }).unwrap();
}

#[test]
fn of_several_limits_the_one_that_takes_longest_is_named() {
    let (limiter, _) = limiter(&open(), &[Some(rate(1, SECOND)), Some(rate(1, MINUTE))]);
    let both = Charge { effect: Effect::Read, rules: &[1, 0] };
    send(&limiter, 1, both).unwrap();
    assert_eq!(refused(send(&limiter, 1, both)), (Limit::Rule(1), 60));
}

#[test]
fn a_rule_without_a_bucket_lets_nothing_through() {
    let (limiter, _) = limiter(&open(), &[None]);
    for rules in [[0], [1]] {
        assert_eq!(refused(send(&limiter, 1, Charge { effect: Effect::Read, rules: &rules })), (Limit::State, 60));
    }
}

#[test]
fn no_more_calls_are_under_way_than_may_be() {
    let (limiter, _) = limiter(&LimitSpec { concurrency: 2, ..open() }, &[]);
    let first = now(pass(&limiter, 1, READ).unwrap().enter()).unwrap();
    let _second = now(pass(&limiter, 2, READ).unwrap().enter()).unwrap();
    assert_eq!(refused(send(&limiter, 1, READ)), (Limit::Concurrency, 1));
    drop(first);
    send(&limiter, 1, READ).unwrap();
}

#[test]
fn a_call_waits_for_a_permit_until_its_patience_ends() {
    let (limiter, clock) = limiter(&LimitSpec { concurrency: 1, max_wait: 2 * SECOND, ..open() }, &[]);
    let held = now(pass(&limiter, 1, READ).unwrap().enter()).unwrap();
    let mut patient = pin!(pass(&limiter, 1, READ).unwrap().enter());
    assert!(poll(patient.as_mut()).is_pending());
    clock.advance(SECOND);
    let mut later = pin!(pass(&limiter, 1, READ).unwrap().enter());
    assert!(poll(later.as_mut()).is_pending());
    clock.advance(SECOND);
    assert_eq!(poll(patient.as_mut()).map(refused), Poll::Ready((Limit::Concurrency, 1)));
    assert!(poll(later.as_mut()).is_pending());
    drop(held);
    assert!(matches!(poll(later.as_mut()), Poll::Ready(Ok(_))));
}

#[test]
fn turns_are_given_out_in_order_and_a_call_that_cannot_get_one_in_time_is_refused_at_once() {
    let spec = LimitSpec { rate: rate(1, SECOND), burst: 1, max_wait: 2 * SECOND, ..open() };
    let (limiter, clock) = limiter(&spec, &[]);
    drop(admit(&limiter, 1).unwrap());
    let (one, two) = (agent(1), agent(1));
    let mut first = pin!(limiter.admit(&one));
    let mut second = pin!(limiter.admit(&two));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Rate, 3));
    clock.advance(SECOND);
    assert!(poll(second.as_mut()).is_pending());
    assert!(matches!(poll(first.as_mut()), Poll::Ready(Ok(_))));
    clock.advance(SECOND);
    assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))));
}

#[test]
fn a_call_that_waits_for_one_limit_counts_in_the_others_when_it_goes_on() {
    for (effect, rules) in [(Effect::Read, &[1][..]), (Effect::Write, &[])] {
        let spec = LimitSpec { writes: rate(1, SECOND), max_wait: 20 * SECOND, ..open() };
        let (limiter, clock) = limiter(&spec, &[Some(rate(1, 10 * SECOND)), Some(rate(1, SECOND))]);
        send(&limiter, 1, Charge { effect: Effect::Read, rules: &[0] }).unwrap();
        let agent = agent(1);
        let both = [&[0], rules].concat();
        let mut waiting = pin!(limiter.budget(&agent, admit(&limiter, 1).unwrap(), Charge { effect, rules: &both }));
        assert!(poll(waiting.as_mut()).is_pending());
        clock.advance(10 * SECOND);
        let Poll::Ready(Ok(slot)) = poll(waiting.as_mut()) else { panic!("its turn has come") };
        drop(now(slot.enter()).unwrap());
        let mut next = pin!(limiter.budget(&agent, admit(&limiter, 1).unwrap(), Charge { effect, rules }));
        assert!(poll(next.as_mut()).is_pending(), "{effect:?}: the one call was used just now");
    }
}

#[test]
fn the_timeout_of_a_call_caps_what_it_waits() {
    let clock = ManualClock::default();
    let spec = LimitSpec { rate: rate(1, MINUTE), burst: 1, max_wait: 60 * SECOND, ..open() };
    let limiter = Limiter::new(&spec, &[], SECOND, Arc::new(clock.clone()), DailyCount::unlimited());
    drop(admit(&limiter, 1).unwrap());
    assert_eq!(refused(admit(&limiter, 1)), (Limit::Rate, 60));
}

#[test]
fn the_waits_of_one_call_add_up_to_no_more_than_its_patience() {
    let spec = LimitSpec { rate: rate(1, SECOND), burst: 1, concurrency: 1, max_wait: 2 * SECOND, ..open() };
    let (limiter, clock) = limiter(&spec, &[Some(rate(60, MINUTE))]);
    let rules = Charge { effect: Effect::Read, rules: &[0] };
    let held = now(pass(&limiter, 1, rules).unwrap().enter()).unwrap();
    let agent = agent(1);
    let mut admitting = pin!(limiter.admit(&agent));
    assert!(poll(admitting.as_mut()).is_pending());
    clock.advance(Duration::from_millis(1_500));
    let Poll::Ready(Ok(admitted)) = poll(admitting.as_mut()) else { panic!("its turn was after a second") };
    let slot = now(limiter.budget(&agent, admitted, rules)).unwrap();
    let mut entering = pin!(slot.enter());
    assert!(poll(entering.as_mut()).is_pending());
    clock.advance(Duration::from_millis(499));
    assert!(poll(entering.as_mut()).is_pending());
    clock.advance(Duration::from_millis(1));
    assert_eq!(poll(entering.as_mut()).map(refused), Poll::Ready((Limit::Concurrency, 1)));
    drop(held);
}

#[test]
fn a_call_given_up_while_it_waits_leaves_its_turn_to_the_next() {
    let (limiter, _) = limiter(&LimitSpec { writes: rate(1, MINUTE), max_wait: 60 * SECOND, ..open() }, &[]);
    let limiter = Limiter { patience: 60 * SECOND, ..limiter };
    send(&limiter, 1, WRITE).unwrap();
    let agent = agent(1);
    for round in 0..10 {
        let admitted = admit(&limiter, 1).unwrap();
        let mut waiting = Box::pin(limiter.budget(&agent, admitted, WRITE));
        assert!(poll(waiting.as_mut()).is_pending(), "round {round} finds the turn free again");
    }
}

#[test]
fn a_slot_that_is_not_used_gives_back_what_it_cost() {
    let (limiter, _) = limiter(&LimitSpec { writes: rate(1, MINUTE), ..open() }, &[Some(rate(1, MINUTE))]);
    let both = Charge { effect: Effect::Write, rules: &[0] };
    for _ in 0..10 {
        drop(pass(&limiter, 1, both).unwrap());
    }
    send(&limiter, 1, both).unwrap();
    assert!(pass(&limiter, 1, both).is_err());
}

#[test]
fn a_call_that_finds_no_permit_gets_back_what_it_cost() {
    let (limiter, _) = limiter(&LimitSpec { writes: rate(1, MINUTE), concurrency: 1, ..open() }, &[]);
    let held = now(pass(&limiter, 1, READ).unwrap().enter()).unwrap();
    assert_eq!(refused(send(&limiter, 1, WRITE)), (Limit::Concurrency, 1));
    drop(held);
    send(&limiter, 1, WRITE).unwrap();
}

#[test]
fn a_slot_that_was_spent_gives_nothing_back() {
    let (limiter, _) = limiter(&LimitSpec { writes: rate(1, MINUTE), ..open() }, &[]);
    let mut slot = pass(&limiter, 1, WRITE).unwrap();
    slot.spend();
    drop(slot);
    assert_eq!(refused(pass(&limiter, 1, WRITE)), (Limit::Writes, 60));
}

#[test]
fn nothing_is_given_back_that_the_clock_has_given_back_already() {
    let (limiter, clock) = limiter(&LimitSpec { writes: rate(2, MINUTE), ..open() }, &[]);
    let unused = pass(&limiter, 1, WRITE).unwrap();
    clock.advance(MINUTE);
    send(&limiter, 1, WRITE).unwrap();
    drop(unused);
    send(&limiter, 1, WRITE).unwrap();
    assert_eq!(refused(send(&limiter, 1, WRITE)), (Limit::Writes, 30));
}

#[test]
fn the_table_of_agents_is_bounded_and_makes_room_once_somebody_is_as_good_as_new() {
    let (limiter, clock) = limiter(&LimitSpec { rate: rate(1, MINUTE), burst: 1, ..open() }, &[]);
    let most = u32::try_from(MAX_AGENTS).unwrap();
    for uid in 0..most {
        drop(admit(&limiter, uid).unwrap());
    }
    for uid in most..2 * most {
        assert_eq!(refused(admit(&limiter, uid)), (Limit::Agents, 1));
        limiter.denied(&agent(uid));
    }
    assert_eq!(limiter.books.lock().unwrap().agents(), MAX_AGENTS);
    assert_eq!(refused(admit(&limiter, 0)), (Limit::Rate, 60), "who is in the table stays counted");
    clock.advance(MINUTE);
    drop(admit(&limiter, most).unwrap());
    assert_eq!(limiter.books.lock().unwrap().agents(), 1);
}

#[test]
fn an_agent_with_a_debt_is_not_forgotten() {
    let (limiter, clock) = limiter(&LimitSpec { denials: rate(1, Duration::from_secs(86_400)), ..open() }, &[]);
    drop(admit(&limiter, 0).unwrap());
    limiter.denied(&agent(0));
    for uid in 1..=4_000 {
        clock.advance(SECOND);
        drop(admit(&limiter, uid).unwrap());
    }
    assert_eq!(refused(admit(&limiter, 0)).0, Limit::Denials);
}

#[test]
fn every_limit_has_a_sentence_and_a_whole_number_of_seconds() {
    let limits = [
        Limit::Rate,
        Limit::Denials,
        Limit::Rule(7),
        Limit::Writes,
        Limit::Prompts,
        Limit::Daily,
        Limit::Concurrency,
        Limit::Agents,
        Limit::State,
    ];
    for limit in limits {
        for (wait, seconds) in [(0, 1), (1, 1), (999_999_999, 1), (1_000_000_000, 1), (1_000_000_001, 2)] {
            let throttled = Throttled::new(limit, Duration::from_nanos(wait));
            assert_eq!(throttled.retry_after(), Duration::from_secs(seconds), "{limit:?} {wait}");
            assert!(throttled.to_string().ends_with(&format!("; try again in {seconds} s")), "{throttled}");
        }
    }
}

#[test]
fn a_rate_that_does_not_divide_its_unit_is_rounded_down() {
    let (limiter, clock) = limiter(&LimitSpec { writes: rate(7, SECOND), ..open() }, &[]);
    for _ in 0..7 {
        send(&limiter, 1, WRITE).unwrap();
    }
    clock.advance(SECOND / 7);
    assert_eq!(refused(send(&limiter, 1, WRITE)), (Limit::Writes, 1));
    clock.advance(Duration::from_nanos(1));
    send(&limiter, 1, WRITE).unwrap();
}

#[test]
fn the_largest_and_smallest_rates_neither_overflow_nor_stick() {
    let day = Duration::from_secs(86_400);
    for (count, per) in [(1, day), (1_000_000, day), (1, SECOND), (1_000_000, SECOND)] {
        let spec = LimitSpec { rate: rate(count, per), burst: 1_000, writes: rate(count, per), ..open() };
        let (limiter, clock) = limiter(&spec, &[]);
        for _ in 0..count.min(1_000) {
            send(&limiter, 1, WRITE).unwrap();
        }
        assert_eq!(refused(send(&limiter, 1, WRITE)).0, if count < 1_000 { Limit::Writes } else { Limit::Rate });
        clock.advance(Duration::from_secs(1_000_000_000));
        send(&limiter, 1, WRITE).unwrap();
    }
}

#[tokio::test]
async fn a_spent_day_refuses_until_midnight_and_costs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    clock.advance(3_600 * SECOND);
    let spec = LimitSpec { writes: rate(3, MINUTE), daily: Some(2), ..open() };
    let daily = DailyCount::open(directory.path(), spec.daily, Arc::new(clock.clone())).unwrap();
    let limiter = Limiter::new(&spec, &[], 30 * SECOND, Arc::new(clock.clone()), daily);
    let agent = agent(1);
    let write = async || {
        let admitted = limiter.admit(&agent).await?;
        limiter.budget(&agent, admitted, WRITE).await?.enter().await.map(drop)
    };
    write().await.unwrap();
    write().await.unwrap();
    for _ in 0..5 {
        assert_eq!(refused(write().await), (Limit::Daily, 23 * 3_600));
    }
    clock.set_wall(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    write().await.unwrap();
}

#[tokio::test]
async fn a_damaged_count_refuses_every_call() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let daily = DailyCount::open(directory.path(), Some(100), Arc::new(clock.clone())).unwrap();
    let limiter = Limiter::new(&open(), &[], 30 * SECOND, Arc::new(clock), daily);
    std::fs::write(directory.path().join(DAILY_FILE), "nonsense").unwrap();
    let admitted = limiter.admit(&agent(1)).await.unwrap();
    assert_eq!(refused(limiter.budget(&agent(1), admitted, READ).await), (Limit::State, 60));
}

/// The plainest limit there is: the moments of all calls that passed. A call passes if, counted from each of them on, there were no more
/// than a burst and what came in since.
#[derive(Debug, Default, Clone)]
struct Moments(Vec<u64>);

impl Moments {
    fn open(&self, limit: (u32, u64), now: u64) -> bool {
        (0..self.0.len()).all(|i| self.0.len() - i < room(limit, self.0[i], now))
    }

    fn forget(&mut self, moment: u64) {
        let at = self.0.iter().position(|&one| one == moment).unwrap();
        self.0.remove(at);
    }

    fn within_bounds(&self, limit: (u32, u64)) -> bool {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let count = sorted.len();
        (0..count).all(|i| (i..count).all(|j| j - i < room(limit, sorted[i], sorted[j])))
    }
}

/// How many calls a window may see.
fn room((burst, millis): (u32, u64), from: u64, to: u64) -> usize {
    usize::try_from(u64::from(burst) + (to - from) / (millis * 1_000_000)).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Call { uid: u32, write: bool, rules: Vec<usize>, used: bool },
    Denied { uid: u32 },
    Pass { nanos: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let rules = prop_oneof![Just(vec![]), Just(vec![0]), Just(vec![1]), Just(vec![0, 1])];
    let nanos = prop_oneof![0_u64..1_000_000_000, (0_u64..12).prop_map(|n| n * 250_000_000), 0_u64..10_000_000_000];
    prop_oneof![
        6 => (0..2_u32, any::<bool>(), rules, prop::bool::weighted(0.7))
            .prop_map(|(uid, write, rules, used)| Step::Call { uid, write, rules, used }),
        1 => (0..2_u32).prop_map(|uid| Step::Denied { uid }),
        3 => nanos.prop_map(|nanos| Step::Pass { nanos }),
    ]
}

/// Of rate, writes, denials, rule 0 and rule 1: the burst, and the interval in milliseconds.
const TIGHT: [(u32, u64); 5] = [(6, 250), (3, 1_500), (2, 5_000), (2, 2_000), (2, 500)];

/// As a rate whose burst is its count.
fn tight_rate(limit: usize) -> Rate {
    let (burst, millis) = TIGHT[limit];
    rate(burst, Duration::from_millis(millis) * burst)
}

fn tight(max_wait: Duration) -> (Limiter, ManualClock) {
    let spec = LimitSpec {
        rate: tight_rate(0),
        burst: TIGHT[0].0,
        writes: tight_rate(1),
        denials: tight_rate(2),
        max_wait,
        ..open()
    };
    limiter(&spec, &[Some(tight_rate(3)), Some(tight_rate(4))])
}

proptest! {
    #[test]
    fn exactly_those_calls_pass_that_every_window_has_room_for_and_a_slot_given_up_never_adds_room(steps in prop::collection::vec(step(), 1..80)) {
        let (limiter, clock) = tight(Duration::ZERO);
        let mut model = vec![vec![Moments::default(); TIGHT.len()]; 2];
        let mut gave_up = false;
        let mut unused: VecDeque<(Slot<'_>, u32, Vec<usize>, u64)> = VecDeque::new();
        for step in steps {
            let time = nanos(clock.monotonic());
            let room = |spent: &[Moments], limit: usize| spent[limit].open(TIGHT[limit], time);
            match step {
                Step::Pass { nanos } => {
                    clock.advance(Duration::from_nanos(nanos));
                    // A slot is given up some time after it was paid for: to the model it was never there.
                    if let Some((slot, uid, limits, paid)) = unused.pop_front() {
                        drop(slot);
                        gave_up = true;
                        let spent = &mut model[uid as usize];
                        limits.into_iter().for_each(|limit| spent[limit].forget(paid));
                    }
                }
                Step::Denied { uid } => {
                    let spent = &mut model[uid as usize];
                    let expected = room(spent, 0) && room(spent, 2);
                    prop_assert_eq!(admit(&limiter, uid).is_ok(), expected);
                    if expected {
                        limiter.denied(&agent(uid));
                        spent[0].0.push(time);
                        spent[2].0.push(time);
                    }
                }
                Step::Call { uid, write, rules, used } => {
                    let spent = &mut model[uid as usize];
                    let admitted = admit(&limiter, uid);
                    prop_assert_eq!(admitted.is_ok(), room(spent, 0) && room(spent, 2));
                    let Ok(admitted) = admitted else { continue };
                    spent[0].0.push(time);
                    let effect = if write { Effect::Write } else { Effect::Read };
                    let asked: Vec<usize> = rules.iter().map(|rule| rule + 3).chain(write.then_some(1)).collect();
                    let expected = asked.iter().all(|&limit| room(spent, limit));
                    let slot = now(limiter.budget(&agent(uid), admitted, Charge { effect, rules: &rules }));
                    // What was given up goes back where that is exact, and else not: never one call more, and one less only then.
                    prop_assert!(if gave_up { expected || slot.is_err() } else { expected == slot.is_ok() }, "{:?}", slot);
                    let Ok(slot) = slot else { continue };
                    asked.iter().for_each(|&limit| spent[limit].0.push(time));
                    if used {
                        drop(now(slot.enter()).unwrap());
                    } else {
                        unused.push_back((slot, uid, asked, time));
                    }
                }
            }
        }
    }

    #[test]
    fn with_waiting_and_giving_up_no_window_ever_sees_too_many(steps in prop::collection::vec(step(), 1..80), wait in 0_u64..6_000_000_000) {
        let patience = Duration::from_nanos(wait);
        let (limiter, clock) = tight(patience);
        let alarms = Arc::new(Alarms { clock: clock.clone(), due: Mutex::default() });
        let limiter = Limiter { clock: Arc::clone(&alarms) as Arc<dyn Clock>, ..limiter };
        let agents = [agent(0), agent(1)];
        let passed = RefCell::new(vec![vec![Moments::default(); TIGHT.len()]; 2]);
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        for step in steps {
            match step {
                Step::Pass { nanos } => {
                    let until = clock.monotonic() + Duration::from_nanos(nanos);
                    while let Some(due) = alarms.next(until) {
                        clock.advance(due - clock.monotonic());
                        settle(&mut waiting, &clock, patience)?;
                    }
                    clock.advance(until - clock.monotonic());
                }
                Step::Denied { .. } => drop(waiting.pop()),
                Step::Call { uid, write, rules, used } => {
                    let (limiter, agent, clock, passed) = (&limiter, &agents[uid as usize], &clock, &passed);
                    let call = async move {
                        let log = |limit: usize| passed.borrow_mut()[uid as usize][limit].0.push(nanos(clock.monotonic()));
                        let admitted = limiter.admit(agent).await?;
                        log(0);
                        let effect = if write { Effect::Write } else { Effect::Read };
                        let slot = limiter.budget(agent, admitted, Charge { effect, rules: &rules }).await?;
                        if used {
                            drop(slot.enter().await?);
                            rules.iter().map(|rule| rule + 3).chain(write.then_some(1)).for_each(log);
                        }
                        Ok(())
                    };
                    waiting.push(Waiting { since: clock.monotonic(), call: Box::pin(call) });
                    settle(&mut waiting, clock, patience)?;
                }
            }
        }
        for spent in passed.borrow().iter() {
            for (limit, moments) in spent.iter().enumerate() {
                prop_assert!(moments.within_bounds(TIGHT[limit]), "limit {}: {:?}", limit, moments);
            }
        }
    }
}

struct Waiting<'a> {
    since: Duration,
    call: Pin<Box<dyn Future<Output = Result<(), Throttled>> + 'a>>,
}

/// Polls every waiting call.
fn settle(waiting: &mut Vec<Waiting<'_>>, clock: &ManualClock, patience: Duration) -> Result<(), TestCaseError> {
    waiting.retain_mut(|call| poll(call.call.as_mut()).is_pending());
    for call in waiting {
        prop_assert!(clock.monotonic() - call.since < patience, "a call waits past its patience");
    }
    Ok(())
}

/// A manual clock that knows when the next sleeper is due.
#[derive(Debug)]
struct Alarms {
    clock: ManualClock,
    due: Mutex<BTreeSet<Duration>>,
}

impl Alarms {
    /// The first moment up to `until` at which a sleep ends.
    fn next(&self, until: Duration) -> Option<Duration> {
        let mut due = self.due.lock().unwrap();
        let first = *due.first().filter(|first| **first <= until)?;
        due.remove(&first);
        Some(first)
    }
}

impl Clock for Alarms {
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn wall(&self) -> std::time::SystemTime {
        self.clock.wall()
    }

    fn sleep(&self, duration: Duration) -> crate::clock::Sleep {
        self.due.lock().unwrap().insert(self.clock.monotonic() + duration);
        self.clock.sleep(duration)
    }
}

/// How many calls pass at once.
fn passing(limiter: &Limiter, charge: Charge<'_>) -> usize {
    (0..50).take_while(|_| send(limiter, 1, charge).is_ok()).count()
}

fn renewed(limiter: &Limiter, spec: &LimitSpec, rules: &[(Option<Rate>, Option<usize>)]) -> Limiter {
    limiter.renewed(spec, rules, 30 * SECOND, DailyCount::unlimited())
}

#[test]
fn what_was_spent_under_one_policy_is_spent_under_the_next() {
    let of = |count, per, burst| LimitSpec { rate: rate(count, per), burst, ..open() };
    const HOUR: Duration = Duration::from_secs(3_600);
    for (before, after, spent, left) in [
        (of(6, MINUTE, 6), of(6, MINUTE, 6), 4, 2),
        (of(6, MINUTE, 6), of(6, HOUR, 6), 4, 2),
        (of(6, HOUR, 6), of(6, MINUTE, 6), 4, 2),
        (of(6, HOUR, 6), of(6, HOUR, 9), 4, 5),
        (of(6, HOUR, 6), of(6, HOUR, 4), 4, 0),
        (of(6, HOUR, 6), of(6, HOUR, 4), 6, 0),
        (of(6, HOUR, 6), of(60, SECOND, 6), 0, 6),
    ] {
        let (first, _) = limiter(&before, &[]);
        (0..spent).for_each(|_| send(&first, 1, READ).unwrap());
        let second = renewed(&first, &after, &[]);
        assert_eq!(passing(&second, READ), left, "{before:?} {after:?} {spent}");
        assert_eq!(refused(send(&first, 1, READ)).0, Limit::Rate, "the old one counts in the same books");
    }
}

#[test]
fn writes_refusals_and_questions_stay_spent() {
    let spec = LimitSpec { writes: rate(2, MINUTE), denials: rate(2, MINUTE), prompts: rate(2, MINUTE), ..open() };
    let next = LimitSpec { writes: rate(3, MINUTE), denials: rate(3, MINUTE), prompts: rate(3, MINUTE), ..open() };
    let (first, _) = limiter(&spec, &[]);
    send(&first, 1, WRITE).unwrap();
    first.prompt(&agent(1)).unwrap();
    (0..2).for_each(|_| first.denied(&agent(1)));
    let second = renewed(&first, &next, &[]);
    assert_eq!(passing(&second, WRITE), 2);
    assert_eq!((0..9).take_while(|_| second.prompt(&agent(1)).is_ok()).count(), 2);
    second.denied(&agent(1));
    assert_eq!(refused(admit(&second, 1)).0, Limit::Denials);
}

#[test]
fn a_rule_keeps_its_bucket_and_one_with_a_new_name_has_no_more_left_than_those_that_are_gone() {
    let (two, four) = (Some(rate(2, MINUTE)), Some(rate(4, MINUTE)));
    let rule = |index: &'static [usize]| Charge { effect: Effect::Read, rules: index };
    let (first, _) = limiter(&open(), &[None, two, four]);
    send(&first, 1, rule(&[1])).unwrap();
    (0..3).for_each(|_| send(&first, 1, rule(&[2])).unwrap());
    // The first rated rule comes last; the second is gone; one is new.
    let second = renewed(&first, &open(), &[(four, None), (None, None), (two, Some(1))]);
    assert_eq!(passing(&second, rule(&[0])), 1, "3 of 4 were spent by the rule that is gone");
    assert_eq!(passing(&second, rule(&[2])), 1, "1 of 2 was spent");
    assert_eq!(refused(send(&second, 1, rule(&[2]))).0, Limit::Rule(2));
    assert_eq!(refused(send(&first, 1, rule(&[1]))).0, Limit::Rule(1), "calls under the old policy count with it");
    assert_eq!(refused(send(&second, 1, rule(&[1]))).0, Limit::State);
    let third = renewed(&second, &open(), &[(four, Some(0)), (two, Some(2)), (two, None)]);
    assert_eq!(passing(&third, rule(&[2])), 2, "no rule is gone, so a new one begins with all of its own");
    // Places that are free are given to others, each with a bucket of its own.
    let fourth = renewed(&third, &open(), &[(two, None)]);
    assert_eq!(passing(&fourth, rule(&[0])), 0);
    let fifth = renewed(&fourth, &open(), &[(two, Some(0)), (four, None)]);
    assert_eq!((passing(&fifth, rule(&[0])), passing(&fifth, rule(&[1]))), (0, 4));
}

#[test]
fn what_was_charged_before_a_change_does_not_come_back_after_it() {
    let spec = LimitSpec { writes: rate(2, MINUTE), ..open() };
    let (first, _) = limiter(&spec, &[]);
    let slot = pass(&first, 1, WRITE).unwrap();
    let second = renewed(&first, &spec, &[]);
    drop(slot);
    assert_eq!(passing(&second, WRITE), 1);
}

#[tokio::test]
async fn where_fewer_calls_may_be_under_way_no_other_begins_until_enough_have_ended() {
    let of = |concurrency| LimitSpec { concurrency, ..open() };
    let (first, _) = limiter(&of(3), &[]);
    let mut under_way: Vec<_> = (0..3).map(|_| now(pass(&first, 1, READ).unwrap().enter()).unwrap()).collect();
    let second = renewed(&first, &of(1), &[]);
    for _ in 0..2 {
        tokio::task::yield_now().await;
        assert_eq!(refused(send(&second, 1, READ)).0, Limit::Concurrency);
        under_way.pop();
    }
    tokio::task::yield_now().await;
    assert_eq!(refused(send(&second, 1, READ)).0, Limit::Concurrency, "one is still under way");
    under_way.pop();
    tokio::task::yield_now().await;
    let held = now(pass(&second, 1, READ).unwrap().enter()).unwrap();
    assert_eq!(refused(send(&first, 1, READ)).0, Limit::Concurrency, "nor under the old policy");
    let third = renewed(&second, &of(2), &[]);
    send(&third, 1, READ).unwrap();
    drop(held);
}
