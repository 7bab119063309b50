//! Who has spent how much: every agent's buckets, in a table of bounded size.
//!
//! Promises that a call is charged to all the buckets it must pass or to none, and that an agent whose buckets are full again
//! is forgotten before another one is turned away. Pure: time and patience come in as arguments, in nanoseconds.

use std::collections::HashMap;

use crate::agent::Agent;
use crate::policy::{Effect, LimitSpec, Rate};

use super::bucket::{Bucket, Gate, Receipt};
use super::{Limit, MAX_AGENTS};

/// Where a rule's rate and its buckets stand.
pub(super) type Place = usize;

/// A rule's rate under the next policy, and where it stood under this one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewed {
    pub(super) rate: Rate,
    pub(super) before: Option<Place>,
}

/// How long the table, once found full of busy agents, is taken to be full. In nanoseconds.
const FULL_FOR: u64 = 1_000_000_000;

/// All rates and all agents.
#[derive(Debug)]
pub(super) struct Books {
    rate: Gate,
    denials: Gate,
    writes: Gate,
    prompts: Gate,
    /// The rates of rules; each agent's buckets have the same places in [`Account::rules`].
    rules: Vec<Gate>,
    /// Places of rules that are gone since the policy was exchanged last: calls that were under way may still name them.
    leaving: Vec<Place>,
    /// And since before that: they are free for other rules.
    free: Vec<Place>,
    accounts: HashMap<Agent, Account>,
    full_until: u64,
    /// How often the policy was exchanged: what was charged before that does not come back.
    generation: u64,
}

impl Books {
    /// `rules` are the rates of rules, each at its place.
    pub(super) fn new(spec: &LimitSpec, rules: impl Iterator<Item = Rate>) -> Self {
        Self {
            rate: Gate::new(spec.rate, spec.burst),
            denials: Gate::of(spec.denials),
            writes: Gate::of(spec.writes),
            prompts: Gate::of(spec.prompts),
            rules: rules.map(Gate::of).collect(),
            leaving: Vec::new(),
            free: Vec::new(),
            accounts: HashMap::new(),
            full_until: 0,
            generation: 0,
        }
    }

    /// Goes on under another policy: the place of each of its rates. `gone` are the places of rules that it does not have.
    ///
    /// What was spent stays spent, call by call. A rule that was not there before begins with the most that a rule which is
    /// gone had spent: under another name it would be full again.
    pub(super) fn renew(&mut self, spec: &LimitSpec, rules: &[Renewed], gone: Vec<Place>, now: u64) -> Vec<Place> {
        let Self { rate, denials, writes, prompts, accounts, .. } = self;
        let mut each = |gate: &mut Gate, next: Gate, bucket: fn(&mut Account) -> &mut Bucket| {
            accounts.values_mut().for_each(|account| carry(bucket(account), gate, &next, now));
            *gate = next;
        };
        each(rate, Gate::new(spec.rate, spec.burst), |account| &mut account.rate);
        each(denials, Gate::of(spec.denials), |account| &mut account.denials);
        each(writes, Gate::of(spec.writes), |account| &mut account.writes);
        each(prompts, Gate::of(spec.prompts), |account| &mut account.prompts);
        for account in accounts.values_mut() {
            let spent = |place: &Place| Some(self.rules.get(*place)?.spent(*account.rules.get(*place)?, now));
            account.left_behind = gone.iter().filter_map(spent).max().unwrap_or_default();
        }
        self.free.append(&mut self.leaving);
        let places = rules.iter().map(|rule| self.place(*rule, now)).collect();
        self.leaving = gone;
        self.accounts.values_mut().for_each(Account::settle);
        self.generation += 1;
        places
    }

    fn place(&mut self, rule: Renewed, now: u64) -> Place {
        let next = Gate::of(rule.rate);
        if let Some((place, gate)) = rule.before.and_then(|place| Some((place, self.rules.get_mut(place)?))) {
            let buckets = self.accounts.values_mut().filter_map(|account| account.rules.get_mut(place));
            buckets.for_each(|bucket| carry(bucket, gate, &next, now));
            *gate = next;
            return place;
        }
        let place = self.free.pop().unwrap_or(self.rules.len());
        for account in self.accounts.values_mut() {
            let bucket = next.without(account.left_behind, now);
            match account.rules.get_mut(place) {
                Some(free) => *free = bucket,
                None => account.rules.push(bucket),
            }
        }
        match self.rules.get_mut(place) {
            Some(gate) => *gate = next,
            None => self.rules.push(next),
        }
        place
    }

    /// Charges a call to `rate` and returns the moment at which it may go on, at most `patience` after `now`. Charges nothing
    /// where it must wait longer, or where the agent has no refused call left.
    pub(super) fn admit(&mut self, agent: &Agent, now: u64, patience: u64) -> Result<u64, Refused> {
        self.make_room(agent, now)?;
        let account = self.accounts.entry(agent.clone()).or_insert_with(|| Account::new(self.rules.len()));
        let heard = self.denials.opens(account.denials, now);
        if heard > now {
            return Err(Refused::later(Limit::Denials, heard, now));
        }
        let at = self.rate.opens(account.rate, now);
        if at > now.saturating_add(patience) {
            return Err(Refused::later(Limit::Rate, at, now));
        }
        self.rate.charge(&mut account.rate, at);
        account.busy_until = account.busy_until.max(account.rate.next);
        Ok(at)
    }

    /// Charges a refused call. Calls that were under way when the bucket ran empty are charged as a debt.
    pub(super) fn denied(&mut self, agent: &Agent, now: u64) {
        if self.make_room(agent, now).is_err() {
            return;
        }
        let account = self.accounts.entry(agent.clone()).or_insert_with(|| Account::new(self.rules.len()));
        self.denials.charge(&mut account.denials, now);
        account.busy_until = account.busy_until.max(account.denials.next);
    }

    /// Charges a question to a person, or nothing where it would come too soon.
    pub(super) fn prompt(&mut self, agent: &Agent, now: u64) -> Result<(), Refused> {
        self.make_room(agent, now)?;
        let account = self.accounts.entry(agent.clone()).or_insert_with(|| Account::new(self.rules.len()));
        let at = self.prompts.opens(account.prompts, now);
        if at > now {
            return Err(Refused::later(Limit::Prompts, at, now));
        }
        self.prompts.charge(&mut account.prompts, now);
        account.busy_until = account.busy_until.max(account.prompts.next);
        Ok(())
    }

    /// Charges a call to each of its rules' rates and, if it is a write, to `writes`: all of them or none. Returns the moment at which
    /// it may go on and what it was charged.
    pub(super) fn reserve(
        &mut self,
        agent: &Agent,
        effect: Effect,
        rules: &[Place],
        now: u64,
        patience: u64,
    ) -> Result<(u64, Charged), Refused> {
        self.make_room(agent, now)?;
        let account = self.accounts.entry(agent.clone()).or_insert_with(|| Account::new(self.rules.len()));
        // Each bucket's opening is its own affair, so one look at each finds the moment at which all are open.
        let mut last = Refused { limit: Limit::Writes, at: now, now };
        if effect == Effect::Write {
            last = last.or_later(Limit::Writes, self.writes.opens(account.writes, now));
        }
        for &rule in rules {
            let (gate, bucket) = pair(&mut self.rules, &mut account.rules, rule).ok_or(Refused::broken(now))?;
            last = last.or_later(Limit::Rule(rule), gate.opens(*bucket, now));
        }
        if last.at > now.saturating_add(patience) {
            return Err(last);
        }
        // All are charged for the moment at which the call goes on: that is what keeps every window within its bound.
        let mut charged = Charged { generation: self.generation, write: None, rules: Vec::new() };
        if effect == Effect::Write {
            charged.write = Some(self.writes.charge(&mut account.writes, last.at));
            account.busy_until = account.busy_until.max(account.writes.next);
        }
        for &rule in rules {
            if let Some((gate, bucket)) = pair(&mut self.rules, &mut account.rules, rule) {
                charged.rules.push((rule, gate.charge(bucket, last.at)));
                account.busy_until = account.busy_until.max(bucket.next);
            }
        }
        Ok((last.at, charged))
    }

    /// Takes back what [`reserve`](Self::reserve) charged.
    pub(super) fn refund(&mut self, agent: &Agent, charged: Charged) {
        if charged.generation != self.generation {
            return;
        }
        let Some(account) = self.accounts.get_mut(agent) else { return };
        if let Some(receipt) = charged.write {
            self.writes.refund(&mut account.writes, receipt);
        }
        for (rule, receipt) in charged.rules {
            if let Some((gate, bucket)) = pair(&mut self.rules, &mut account.rules, rule) {
                gate.refund(bucket, receipt);
            }
        }
    }

    /// Makes sure that `agent` is in the table or that there is room for it.
    fn make_room(&mut self, agent: &Agent, now: u64) -> Result<(), Refused> {
        if self.accounts.len() < MAX_AGENTS || self.accounts.contains_key(agent) {
            return Ok(());
        }
        if now >= self.full_until {
            self.accounts.retain(|_, account| account.busy_until > now);
            if self.accounts.len() < MAX_AGENTS {
                return Ok(());
            }
            // So that a crowd of strangers does not buy a pass over the whole table with every call.
            self.full_until = now.saturating_add(FULL_FOR);
        }
        Err(Refused::later(Limit::Agents, self.full_until, now))
    }

    #[cfg(test)]
    pub(super) fn agents(&self) -> usize {
        self.accounts.len()
    }
}

/// Why a call was not charged, and when it might be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) limit: Limit,
    at: u64,
    now: u64,
}

impl Refused {
    fn later(limit: Limit, at: u64, now: u64) -> Self {
        Self { limit, at, now }
    }

    /// A rule that has no bucket is a mistake of the caller's; the call is refused rather than let through uncounted.
    fn broken(now: u64) -> Self {
        Self { limit: Limit::State, at: now, now }
    }

    fn or_later(self, limit: Limit, at: u64) -> Self {
        if at > self.at { Self { limit, at, now: self.now } } else { self }
    }

    /// In nanoseconds.
    pub(super) fn wait(self) -> u64 {
        self.at.saturating_sub(self.now)
    }
}

/// What one call was charged. It allocates only for a rule's rate.
#[derive(Debug)]
pub(super) struct Charged {
    generation: u64,
    write: Option<Receipt>,
    rules: Vec<(Place, Receipt)>,
}

/// What one agent has spent.
#[derive(Debug)]
struct Account {
    rate: Bucket,
    denials: Bucket,
    writes: Bucket,
    prompts: Bucket,
    rules: Vec<Bucket>,
    /// The most calls that a rule had taken which was gone when the policy was exchanged last.
    left_behind: u64,
    /// From here on every bucket is full and the account is as good as a new one.
    busy_until: u64,
}

impl Account {
    fn new(rated: usize) -> Self {
        Self {
            rate: Bucket::default(),
            denials: Bucket::default(),
            writes: Bucket::default(),
            prompts: Bucket::default(),
            rules: vec![Bucket::default(); rated],
            left_behind: 0,
            busy_until: 0,
        }
    }

    /// Looks anew until when it is busy.
    fn settle(&mut self) {
        let Self { rate, denials, writes, prompts, rules, left_behind: _, busy_until } = self;
        let buckets = [rate, denials, writes, prompts].into_iter().chain(rules);
        *busy_until = buckets.map(|bucket| bucket.next).max().unwrap_or_default();
    }
}

/// Makes a bucket one of another rate, with as many calls taken from it.
fn carry(bucket: &mut Bucket, gate: &Gate, next: &Gate, now: u64) {
    if !gate.is_like(next) {
        *bucket = next.without(gate.spent(*bucket, now), now);
    }
}

/// A rule's rate and an account's bucket of it.
fn pair<'a>(gates: &'a mut [Gate], buckets: &'a mut [Bucket], place: Place) -> Option<(&'a mut Gate, &'a mut Bucket)> {
    Some((gates.get_mut(place)?, buckets.get_mut(place)?))
}
