//! Time, as everybody else sees it.
//!
//! Promises that nothing in this crate but [`SystemClock`] reads the machine's clocks, so that every limit and every date can be
//! tested at any moment. Trusts the machine's monotonic clock never to run backwards; trusts its wall clock for nothing but dates.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A wait that a [`Clock`] ends.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where time comes from.
pub trait Clock: Send + Sync + Debug {
    /// The time since an arbitrary start; it never runs backwards.
    fn monotonic(&self) -> Duration;

    /// The time of day; it may jump either way.
    fn wall(&self) -> SystemTime;

    /// The time of day as the time since the Unix epoch; of a clock before it the latest there is, so that nothing that ends is
    /// still open.
    fn since_epoch(&self) -> Duration {
        self.wall().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
    }

    /// Waits until [`monotonic`](Self::monotonic) has grown by `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's own clocks. Its sleep needs a tokio runtime with time enabled.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's monotonic clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's wall clock")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until a test moves it. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Moment>,
}

impl ManualClock {
    /// A clock at monotonic zero whose wall shows `wall`.
    pub fn new(wall: SystemTime) -> Self {
        Self { now: watch::Sender::new(Moment { monotonic: Duration::ZERO, wall }) }
    }

    /// Lets `duration` pass on both clocks and wakes whoever slept that long.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| {
            now.monotonic = now.monotonic.saturating_add(duration);
            now.wall = now.wall.checked_add(duration).unwrap_or(now.wall);
        });
    }

    /// Makes the wall jump to `wall`, as an administrator or NTP does; monotonic time stands still.
    pub fn set_wall(&self, wall: SystemTime) {
        self.now.send_modify(|now| now.wall = wall);
    }
}

impl Default for ManualClock {
    /// A clock whose wall shows the Unix epoch.
    fn default() -> Self {
        Self::new(SystemTime::UNIX_EPOCH)
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.now.borrow().monotonic
    }

    fn wall(&self) -> SystemTime {
        self.now.borrow().wall
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let mut now = self.now.subscribe();
        let until = self.monotonic().saturating_add(duration);
        Box::pin(async move {
            // The sender gone, nobody can move this clock: the sleep never ends, as on a clock that stands still.
            if now.wait_for(|now| now.monotonic >= until).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[derive(Debug)]
struct Moment {
    monotonic: Duration,
    wall: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = ManualClock::default();
        let same = clock.clone();
        assert_eq!(clock.monotonic(), Duration::ZERO);
        same.advance(Duration::from_secs(5));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
        assert_eq!(clock.wall(), SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    }

    #[test]
    fn a_jump_of_the_wall_does_not_move_monotonic_time() {
        let clock = ManualClock::default();
        clock.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }

    #[test]
    fn a_sleep_on_a_manual_clock_ends_when_the_clock_gets_there() {
        let clock = ManualClock::default();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        let mut context = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_millis(1_999));
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_millis(1));
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Ready(()));
    }

    #[test]
    fn the_machines_monotonic_clock_does_not_run_backwards() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }
}
