//! Random stories of agents, people in clients and at the desk, clocks and crashes against a model of thirty lines that says how many writes the
//! upstream must have received by then. Told twice: to gateways inside this process, whose clock the story moves, and to
//! the real binary. Seeded; `PORTCULLIS_SOAK=1` runs the full count.

mod inside;
mod outside;

use std::collections::BTreeMap;

use super::common::{Dice, policy, recorder::Recorder, rounds};

/// Seconds that a call waits, that a question at the desk lives, and that three refusals close writes.
const TTL: u64 = 120;
const DESK_TTL: u64 = 600;
const COOLDOWN: u64 = 600;
/// The writes that a story is about.
const ITEMS: u64 = 5;

/// What has to come of a story, told as plainly as can be.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    sent: usize,
    refusals: u64,
    closed_until: u64,
    closings: usize,
    numbers: u64,
    /// How long a question lives, and whether the desk may answer it.
    life: u64,
    desk: bool,
    asked: BTreeMap<u64, Asked>,
}

/// A question about one item.
#[derive(Debug)]
struct Asked {
    number: u64,
    until: u64,
    /// What the desk said of it, for the next call that comes.
    answer: Option<bool>,
}

impl Model {
    fn is_open(&self) -> bool {
        self.now >= self.closed_until
    }

    /// A call is made: the number of its question, unless writes are closed.
    fn ask(&mut self, item: u64) -> Option<u64> {
        if !self.is_open() {
            return None;
        }
        self.asked.retain(|_, asked| self.now < asked.until);
        if let Some(yes) = self.asked.get(&item).and_then(|asked| asked.answer) {
            self.take(item, yes);
            return None;
        }
        self.numbers += 1;
        let new = Asked { number: self.numbers, until: self.now + self.life, answer: None };
        Some(self.asked.entry(item).or_insert(new).number)
    }

    /// A call takes the answer to its question.
    fn take(&mut self, item: u64, yes: bool) {
        self.asked.remove(&item);
        self.sent += usize::from(yes && self.is_open());
    }

    /// An answer counts for the row of refusals.
    fn count(&mut self, yes: bool) {
        self.refusals = if yes { 0 } else { self.refusals + 1 };
        if self.refusals == 3 {
            (self.refusals, self.closed_until) = (0, self.now + COOLDOWN);
            self.closings += 1;
        }
    }

    /// Somebody answers at the desk, once, though a no takes back a yes; a call that waits takes it. Whether it counts.
    fn say(&mut self, item: u64, yes: bool, waits: bool) -> bool {
        let (now, open, desk) = (self.now, self.is_open(), self.desk);
        let Some(asked) = self.asked.get_mut(&item).filter(|asked| desk && now < asked.until) else { return false };
        let counts = match asked.answer {
            None => open || !yes,
            Some(before) => before && !yes,
        };
        if counts {
            (asked.answer, asked.until) = (Some(yes), asked.until.max(now + TTL));
            self.count(yes);
            if waits {
                self.take(item, yes);
            }
        }
        counts
    }

    /// Somebody answers the question with this number; only the first answer in its time counts, and a no after a yes.
    fn answer(&mut self, item: u64, number: u64, yes: bool) {
        let live = self.asked.get(&item).is_some_and(|asked| asked.number == number && self.now < asked.until);
        if !live {
            return;
        }
        let before = self.asked.get(&item).and_then(|asked| asked.answer).filter(|_| yes);
        if before.is_none() {
            self.count(yes);
        }
        self.take(item, before.unwrap_or(yes));
    }

    /// The last call that waited for it was taken back.
    fn withdraw(&mut self, item: u64, number: u64) {
        self.asked.retain(|key, asked| (*key, asked.number) != (item, number));
    }
}

/// What came of a call as far as its agent can see.
#[derive(Debug)]
enum Came {
    /// It ended.
    Ended,
    /// It waits open under this number of the world's.
    Waits(u64),
    /// It is to be made again with this state.
    State(String),
}

/// How a person answers.
#[derive(Debug, Clone, Copy)]
enum Said {
    Yes,
    No,
    Dismissed,
    /// Accepted, without the field.
    Bare,
}

/// How a gateway ends, before the next one starts.
#[derive(Debug, Clone, Copy)]
enum Ending {
    HangUp,
    Kill,
    /// In good order; the next one has another policy.
    Change,
}

/// A gateway, its clients and its upstream. Whatever it does has come to its end on return.
trait World {
    /// Whether the next call is of a client that carries states; `wanted` where it can be either.
    fn is_modern(&self, wanted: bool) -> bool;
    /// Calls for the write to `item`.
    fn ask(&mut self, item: u64, modern: bool) -> Came;
    /// Answers the question about `item` where a waiting call shows one.
    fn reply(&mut self, item: u64, said: Said) -> bool;
    /// Makes the call for `item` again with a state and an answer.
    fn retry(&mut self, item: u64, state: &str, said: Said);
    /// Answers the question about `item` at the desk; whether the desk was heard.
    fn say(&mut self, item: u64, yes: bool) -> bool;
    /// Takes a call back; whether it still waited.
    fn cancel(&mut self, call: u64) -> bool;
    fn restart(&mut self, ending: Ending);
    /// Lets seconds pass, where it can.
    fn pass(&mut self, seconds: u64) -> bool;
    fn sent(&self) -> usize;
}

/// A call that waits open.
#[derive(Debug)]
struct Waiting {
    call: u64,
    item: u64,
    number: u64,
    until: u64,
}

/// One story and where it stands.
struct Story<'a> {
    world: &'a mut dyn World,
    model: Model,
    dice: Dice,
    waiting: Vec<Waiting>,
    /// Item, number of the question, state.
    states: Vec<(u64, u64, String)>,
    /// What happened, for whoever reads a failure.
    told: Vec<String>,
}

impl Story<'_> {
    fn said(&mut self) -> Said {
        match self.dice.below(5) {
            0 | 1 => Said::Yes,
            2 => Said::Dismissed,
            3 => Said::Bare,
            _ => Said::No,
        }
    }

    fn step(&mut self) -> String {
        let item = self.dice.below(ITEMS);
        match self.dice.below(36) {
            0..7 => self.ask(item),
            7..14 => {
                let item = self.waiting.last().map_or(item, |call| call.item);
                let said = self.said();
                let shown = self.world.reply(item, said);
                if let Some(number) = self.model.asked.get(&item).map(|asked| asked.number).filter(|_| shown) {
                    self.model.answer(item, number, matches!(said, Said::Yes));
                    self.waiting.retain(|call| call.number != number);
                }
                format!("reply {said:?} to item {item}: {shown}")
            }
            14..20 => self.retry(),
            20 | 21 => self.cancel(),
            22 | 23 => {
                let seconds = [1, 1, TTL / 2, TTL, DESK_TTL][usize::try_from(self.dice.below(5)).expect("small")];
                if self.world.pass(seconds) {
                    self.model.now += seconds;
                }
                format!("pass {seconds}")
            }
            24 => self.restart(Ending::HangUp),
            25 => self.restart(Ending::Kill),
            26 => self.restart(Ending::Change),
            27..33 => self.say(item),
            // All of them at once.
            _ => (0..ITEMS).map(|item| self.ask(item)).collect::<Vec<_>>().join("; "),
        }
    }

    fn ask(&mut self, item: u64) -> String {
        let modern = self.dice.below(2) == 0;
        let modern = self.world.is_modern(modern);
        let number = self.model.ask(item);
        let came = self.world.ask(item, modern);
        let told = format!("ask {item}, modern {modern}: {came:?} of question {number:?}");
        match (number, came) {
            (None, Came::Ended) => {}
            (Some(number), Came::Waits(call)) => {
                // It may end with its question, as soon as somebody looks for that.
                let until = self.model.asked[&item].until.min(self.model.now + TTL);
                self.waiting.push(Waiting { call, item, number, until });
            }
            (Some(number), Came::State(state)) => self.states.push((item, number, state)),
            (None | Some(_), came) => panic!("{came:?} of question {number:?} after {:#?}", self.told),
        }
        told
    }

    /// Any state that was ever given out, mostly the last, mostly for its own item.
    fn retry(&mut self) -> String {
        let Some(last) = self.states.len().checked_sub(1) else { return "no state".to_owned() };
        let any = self.dice.below(last as u64 + 1);
        let index = if self.dice.below(3) > 0 { last } else { usize::try_from(any).expect("an index") };
        let (mut item, number, state) = self.states[index].clone();
        if self.dice.below(8) == 0 {
            item = self.dice.below(ITEMS);
        }
        let said = self.said();
        self.world.retry(item, &state, said);
        if self.model.is_open() {
            self.model.answer(item, number, matches!(said, Said::Yes));
            let live =
                |call: &Waiting| self.model.asked.get(&call.item).is_some_and(|asked| asked.number == call.number);
            self.waiting.retain(|call| live(call) || call.number != number);
        }
        format!("retry {said:?} of state {index} for item {item}")
    }

    fn say(&mut self, item: u64) -> String {
        let yes = self.dice.below(3) > 0;
        let number = self.model.asked.get(&item).map(|asked| asked.number);
        let now = self.model.now;
        let waits = self.waiting.iter().any(|call| Some(call.number) == number && now < call.until);
        let counts = self.model.say(item, yes, waits);
        let heard = self.world.say(item, yes);
        assert_eq!(heard, counts, "the desk says {yes} to item {item}: {:?} after {:#?}", self.model, self.told);
        if counts {
            self.waiting.retain(|call| Some(call.number) != number);
        }
        format!("the desk says {yes} to item {item}: {heard}")
    }

    fn cancel(&mut self) -> String {
        self.waiting.retain(|call| self.model.now < call.until);
        if self.waiting.is_empty() {
            return "no call waits".to_owned();
        }
        let index = usize::try_from(self.dice.below(self.waiting.len() as u64)).expect("an index");
        let Waiting { call, item, number, .. } = self.waiting.swap_remove(index);
        assert!(
            self.world.cancel(call),
            "call {call} for item {item} has ended: {:?} after {:#?}",
            self.model,
            self.told
        );
        if !self.waiting.iter().any(|other| other.number == number) {
            self.model.withdraw(item, number);
        }
        format!("cancel call {call} for item {item}")
    }

    fn restart(&mut self, ending: Ending) -> String {
        self.world.restart(ending);
        if self.world.pass(1) {
            self.model.now += 1;
        }
        self.model.asked.clear();
        self.waiting.clear();
        format!("{ending:?}")
    }

    fn run(mut self, name: &str, steps: u64) -> Model {
        for _ in 0..steps {
            let step = self.step();
            self.told.push(step);
            assert_eq!(self.world.sent(), self.model.sent, "{name}: {:?} after {:#?}", self.model, self.told);
        }
        self.model
    }
}

/// Tells so many stories, each to a world of its own.
fn tell<W: World>(name: &str, stories: u64, steps: u64, world: impl Fn(&'static str, u64) -> W) {
    let (mut sent, mut closings) = (0, 0);
    for seed in 0..stories {
        let (channel, life) = if seed % 2 == 0 { ("any", DESK_TTL) } else { ("client", TTL) };
        let (mut world, dice) = (world(channel, seed), Dice::seeded(seed));
        let model = Model { life, desk: channel == "any", ..Model::default() };
        let story = Story { world: &mut world, model, dice, waiting: Vec::new(), states: Vec::new(), told: Vec::new() };
        let model = story.run(&format!("{name} {seed}, channel {channel}"), steps);
        (sent, closings) = (sent + model.sent, closings + model.closings);
    }
    assert!(sent as u64 >= stories / 2 && closings > 0, "{name}: {sent} writes and {closings} closings are few");
}

/// The policy of a story; each `edition` of it is another policy.
fn edition(upstream: &Recorder, channel: &str, edition: u64) -> String {
    let times = "wait = \"0ms\"\nclient_wait = \"120s\"";
    let text = policy::held(upstream, times, &format!("channel = \"{channel}\""));
    format!("{text}\n# Edition {edition}.\n")
}

#[test]
fn whatever_happens_in_whatever_order_the_upstream_receives_what_people_approved_and_nothing_else() {
    tell("inside", rounds(25, 1_000), 40, |channel, _| inside::Inside::new(channel));
}

#[test]
fn the_same_holds_for_the_real_program_under_kill_and_restart() {
    tell("outside", rounds(8, 100), 30, outside::Outside::new);
}
