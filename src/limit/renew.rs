//! The limits of one policy go on as those of the next.
//!
//! Promises that nobody has more left of a limit after a policy was exchanged than they would have had without.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::books::{Place, Renewed};
use super::{DailyCount, Limiter, concurrency};
use crate::policy::{LimitSpec, Rate};

impl Limiter {
    /// The limits of the policy that takes this one's place; nobody has more left than before. `rules` holds, in its order,
    /// each rule's rate and the index that the rule had before, if it was there and about the same requests.
    ///
    /// What was spent of each limit stays spent, call by call, where its rate is another one too; calls that are under way
    /// count on, and where fewer may be, no other begins until enough have ended. Needs a tokio runtime for that.
    #[must_use]
    pub fn renewed(
        &self,
        spec: &LimitSpec,
        rules: &[(Option<Rate>, Option<usize>)],
        timeout: Duration,
        daily: DailyCount,
    ) -> Self {
        let place = |index: &usize| self.places.get(*index).copied().flatten();
        let rated: Vec<_> = rules
            .iter()
            .filter_map(|(rate, before)| Some(Renewed { rate: (*rate)?, before: before.as_ref().and_then(place) }))
            .collect();
        let staying: HashSet<Place> = rated.iter().filter_map(|rule| rule.before).collect();
        let gone = self.places.iter().copied().flatten().filter(|place| !staying.contains(place)).collect();
        // Whoever cannot count refuses: a poisoned book stays so, for this limiter too.
        let renewed = self.books.lock().map(|mut books| books.renew(spec, &rated, gone, self.now()));
        let mut renewed = renewed.unwrap_or_default().into_iter();
        let concurrency = concurrency(spec);
        self.make_room(concurrency);
        Self {
            clock: Arc::clone(&self.clock),
            patience: spec.max_wait.min(timeout),
            books: Arc::clone(&self.books),
            places: rules.iter().map(|(rate, _)| rate.and_then(|_| renewed.next())).collect(),
            under_way: Arc::clone(&self.under_way),
            concurrency,
            daily: self.daily.or(daily),
        }
    }

    /// Lets so many calls be under way from now on.
    fn make_room(&self, concurrency: usize) {
        let more = concurrency.saturating_sub(self.concurrency);
        let fewer = self.concurrency.saturating_sub(concurrency);
        self.under_way.add_permits(more);
        let fewer = fewer.saturating_sub(self.under_way.forget_permits(fewer));
        let Some(fewer) = u32::try_from(fewer).ok().filter(|fewer| *fewer > 0) else { return };
        let under_way = Arc::clone(&self.under_way);
        tokio::spawn(async move {
            // In its turn, before calls that come later.
            if let Ok(places) = under_way.acquire_many_owned(fewer).await {
                places.forget();
            }
        });
    }
}
