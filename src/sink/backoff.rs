//! How long to leave a sink alone that did not take its batch: longer each time, and never quite as long as all the others.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause: half of it for certain, the other half by chance.
    pub(super) fn next(&mut self) -> Duration {
        let mut dice = [0; 2];
        // Without chance it is the longest pause.
        let part = getrandom::fill(&mut dice).map_or(u32::from(u16::MAX), |()| u32::from(u16::from_be_bytes(dice)));
        let whole = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = self.failures.saturating_add(1).min(16);
        whole / 2 + whole / 2 * part / u32::from(u16::MAX)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for doubled in 0..40 {
            let whole = FIRST.saturating_mul(1 << doubled.min(16)).min(LONGEST);
            let pause = backoff.next();
            assert!((whole / 2..=whole).contains(&pause), "{doubled}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
