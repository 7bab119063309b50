//! All paths, by what both policies say of them, the shortest first.
//!
//! Promises that no two policies differ on a path that it does not come to, unless the steps run out; and that what it
//! reports was decided by the decision itself, on a request.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::class::{Class, Classes};
use super::compare::{Sides, is_held, slack};
use super::example::{Ask, Content, Example};
use super::rates::Rates;
use super::room::{Rival, Room, least};
use super::{Kind, MOST_WIDENINGS, Steps, Widening};
use crate::agent::Agent;
use crate::policy::Policy;
use crate::policy::decide::stage::{About, End, Labels, Stage};
use crate::policy::rule::{Allow, Deny, Methods, RuleKind};
use crate::policy::trie::Nodes;
use crate::policy::verdict::{Grant, RuleRef, Verdict};
use crate::request::method::Method;
use crate::request::path::MAX_SEGMENTS;

/// What it costs to remember a state, in steps, beside its weight: it takes memory as well as time.
const KEPT: u64 = 200;

/// What came of the search.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) found: Vec<Widening>,
    /// Nothing was left out and nothing was unclear.
    pub(super) is_complete: bool,
}

/// Looks at every path for requests of which NEW asks for less than OLD.
pub(super) fn search(sides: Sides<'_>, steps: &mut Steps) -> Outcome {
    let mut classes = Classes::default();
    let mut real = Search::new(sides, Segments::Real);
    real.run(&mut classes, steps);
    let mut is_complete = real.is_sure;
    if real.skipped && real.is_sure {
        // What is only imagined would be wider as well, if it were: then nobody knows. What was found is not looked for again.
        let mut imagined = Search::new(sides, Segments::Imagined);
        imagined.found = std::mem::take(&mut real.found);
        imagined.run(&mut classes, steps);
        (is_complete, real.found) = (imagined.is_sure, imagined.found);
    }
    Outcome { found: real.found.into_values().collect(), is_complete }
}

/// Which segments are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segments {
    /// Those of paths.
    Real,
    /// Those that stand for what may not be as well; nothing can be shown of those.
    Imagined,
}

struct Search<'p> {
    sides: Sides<'p>,
    segments: Segments,
    /// Whose requests are looked at.
    methods: Methods,
    visits: Vec<Visit>,
    seen: HashSet<(Rc<Stage>, Rc<Stage>)>,
    judged: HashSet<(About, About)>,
    rates: Rates,
    found: BTreeMap<(usize, Kind), Widening>,
    skipped: bool,
    is_sure: bool,
    nodes: Nodes,
}

/// Whether a state was come to already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    First,
    Before,
}

/// A beginning of paths.
struct Visit {
    before: usize,
    segment: Option<(Rc<[Class]>, usize)>,
    depth: usize,
    old: Rc<Stage>,
    new: Rc<Stage>,
}

/// A path and a method, in the eyes of both.
struct Case<'c> {
    visit: usize,
    end: End,
    old: &'c About,
    new: &'c About,
    method: Method,
}

impl<'p> Search<'p> {
    fn new(sides: Sides<'p>, segments: Segments) -> Self {
        Self {
            sides,
            segments,
            methods: sides.new.rules.methods(),
            visits: Vec::new(),
            seen: HashSet::new(),
            judged: HashSet::new(),
            rates: Rates::default(),
            found: BTreeMap::new(),
            skipped: false,
            is_sure: true,
            nodes: Nodes::default(),
        }
    }

    fn run(&mut self, classes: &mut Classes<'p>, steps: &mut Steps) {
        self.visit(0, None, 0, self.sides.old.rules.begin(), self.sides.new.rules.begin());
        let mut next = 0;
        while next < self.visits.len() {
            if self.expand(next, classes, steps).is_none() {
                self.is_sure = false;
                return;
            }
            next += 1;
        }
    }

    /// Judges the paths that end here, and goes on to those that do not. `None` when the steps are used up.
    fn expand(&mut self, at: usize, classes: &mut Classes<'p>, steps: &mut Steps) -> Option<()> {
        let Some(Visit { depth, old, new, .. }) = self.visits.get(at) else { return Some(()) };
        let (depth, old, new) = (*depth, Rc::clone(old), Rc::clone(new));
        for end in [End::Bare, End::Slash] {
            // The root ends in its slash.
            if depth > 0 || end == End::Slash {
                steps.take(1 + old.weight() + new.weight())?;
                self.judge(at, end, &old, &new);
            }
        }
        if depth == MAX_SEGMENTS {
            return Some(());
        }
        let sides = self.sides;
        let mut labels = Labels::default();
        sides.old.rules.labels(&old, &mut labels);
        sides.new.rules.labels(&new, &mut labels);
        let all = classes.of(labels, steps)?;
        for (index, class) in all.iter().enumerate() {
            if !class.is_real && self.segments == Segments::Real {
                self.skipped = true;
                continue;
            }
            steps.take(1)?;
            let spelling = class.spelling();
            if !sides.new.rules.leads_on(&new, spelling.canonical, &mut self.nodes) {
                continue;
            }
            let new = sides.new.rules.after(&new, spelling, &mut self.nodes);
            if new.is_hopeless(self.methods) {
                continue;
            }
            let old = sides.old.rules.after(&old, spelling, &mut self.nodes);
            let weight = old.weight() + new.weight();
            steps.take(weight)?;
            if self.visit(at, Some((Rc::clone(&all), index)), depth + 1, old, new) == Seen::First {
                steps.take(KEPT + weight)?;
            }
        }
        Some(())
    }

    fn visit(
        &mut self,
        before: usize,
        segment: Option<(Rc<[Class]>, usize)>,
        depth: usize,
        mut old: Stage,
        new: Stage,
    ) -> Seen {
        old.settle(self.methods);
        let (old, new) = (Rc::new(old), Rc::new(new));
        if self.seen.insert((Rc::clone(&old), Rc::clone(&new))) {
            self.visits.push(Visit { before, segment, depth, old, new });
            return Seen::First;
        }
        Seen::Before
    }

    fn judge(&mut self, visit: usize, end: End, old: &Stage, new: &Stage) {
        let old = self.sides.old.rules.ended(old, end, &mut self.nodes);
        let new = self.sides.new.rules.ended(new, end, &mut self.nodes);
        let both = (old, new);
        if self.judged.contains(&both) {
            return;
        }
        for method in self.methods.iter() {
            self.judge_method(&Case { visit, end, old: &both.0, new: &both.1, method });
        }
        self.judged.insert(both);
    }

    fn judge_method(&mut self, case: &Case<'_>) {
        let Sides { old, new } = self.sides;
        let granting: Vec<&Allow> = new.rules.granting_with(case.new, case.method).collect();
        if granting.is_empty() {
            return;
        }
        let granted: Vec<&Allow> = old.rules.granting_with(case.old, case.method).collect();
        let denies: Vec<&Deny> = new.rules.denying_with(case.new, case.method).collect();
        let other_denies: Vec<&Deny> = old.rules.denying_with(case.old, case.method).collect();
        for rule in &granting {
            let kind = self.passing(case, rule);
            if self.found.contains_key(&(rule.name.index(), kind)) {
                continue;
            }
            let rival =
                Rival { rule, denies: &denies, others: &granted, other_denies: &other_denies, method: case.method };
            match rival.room() {
                Room::None => {}
                Room::For(ask) => self.report_passing(case, &rule.name, ask),
                Room::Unsure => self.is_sure = false,
            }
        }
        let both =
            |rules: &[&Allow]| rules.iter().find_map(|rule| Some((rule.name.clone(), least(rule, case.method)?)));
        if let (Some((rule, ask)), Some((other, _))) = (both(&granting), both(&granted)) {
            self.compare(case, &rule, &other, &ask);
        }
    }

    /// What it is when a rule of NEW grants what OLD denies.
    fn passing(&self, case: &Case<'_>, rule: &Allow) -> Kind {
        passing(&self.sides.new.rules.obligations(case.new, case.method, &rule.name))
    }

    /// Looks at the obligations of requests that both grant.
    fn compare(&mut self, case: &Case<'_>, rule: &RuleRef, other: &RuleRef, ask: &Ask) {
        let new = self.sides.new.rules.obligations(case.new, case.method, rule);
        let old = self.sides.old.rules.obligations(case.old, case.method, other);
        for slack in slack(self.sides, &old, &new) {
            if !self.found.contains_key(&(rule.index(), slack.kind)) {
                self.report_slack(case, slack.kind, rule, ask);
            }
        }
        for unbound in self.rates.look(self.sides, &old, &new) {
            if self.found.contains_key(&(rule.index(), Kind::Rate)) {
                continue;
            }
            let Some(example) = self.example(case, ask) else { continue };
            let is_asked = self.sides.granted(&example, |old, _| old.rates().contains(&unbound.index()));
            if is_asked != Some(true) {
                self.is_sure = false;
                continue;
            }
            let (was, is) = (shown_rates(self.sides.old, &old), shown_rates(self.sides.new, &new));
            self.push(Widening::of_rule(Kind::Rate, rule.clone(), Some(unbound), was, is, example));
        }
    }

    /// A request of the case; unclear where it can be none, or where nothing can be shown.
    fn example(&mut self, case: &Case<'_>, ask: &Ask) -> Option<Example> {
        let example = Example::new(case.method, &self.path(case), ask);
        let is_shown = self.segments == Segments::Real && example.request().is_some();
        self.is_sure &= is_shown;
        is_shown.then_some(example)
    }

    fn report_passing(&mut self, case: &Case<'_>, rule: &RuleRef, mut ask: Ask) {
        let Some(mut example) = self.example(case, &ask) else { return };
        let Some((kind, was, old)) = decided(self.sides, &example) else {
            self.is_sure = false;
            return;
        };
        // Whatever can go, goes.
        for smaller in smaller(&ask) {
            let other = Example::new(case.method, &example.path, &smaller(&ask));
            if decided(self.sides, &other).is_some_and(|(other, ..)| other == kind) {
                ask = smaller(&ask);
                example = other;
            }
        }
        let is = if kind == Kind::Held { "held for a person" } else { "allowed" };
        self.push(Widening::of_rule(kind, rule.clone(), old, was, is.to_owned(), example));
    }

    fn report_slack(&mut self, case: &Case<'_>, kind: Kind, rule: &RuleRef, ask: &Ask) {
        let Some(example) = self.example(case, ask) else { return };
        let found = self.sides.granted(&example, |old, new| slack(self.sides, old, new));
        let confirmed = found.into_iter().flatten().find(|slack| slack.kind == kind);
        match confirmed {
            Some(slack) => {
                self.push(Widening::of_rule(kind, rule.clone(), Some(slack.old), slack.was, slack.is, example));
            }
            None => self.is_sure = false,
        }
    }

    fn push(&mut self, widening: Widening) {
        let Some(rule) = &widening.rule else { return };
        if self.found.len() < MOST_WIDENINGS {
            self.found.entry((rule.index(), widening.kind)).or_insert(widening);
        }
    }

    /// The path that led here.
    fn path(&self, case: &Case<'_>) -> String {
        let mut segments = Vec::new();
        let mut at = case.visit;
        while let Some(Visit { before, segment: Some((classes, index)), .. }) = self.visits.get(at) {
            segments.extend(classes.get(*index).map(|class| class.spelling().canonical));
            at = *before;
        }
        let mut path: String = segments.iter().rev().flat_map(|segment| ["/", segment]).collect();
        if case.end == End::Slash {
            path.push('/');
        }
        path
    }
}

fn passing(grant: &Grant) -> Kind {
    if is_held(grant) { Kind::Held } else { Kind::Passes }
}

fn verdict(policy: &Policy, example: &Example) -> Option<Verdict> {
    // All agents have the same rights.
    example.request().map(|request| policy.authorize(&Agent::stdio(0), request))
}

fn grant(verdict: &Verdict) -> Option<&Grant> {
    match verdict {
        Verdict::Allow(authorized) => Some(authorized.grant()),
        Verdict::Hold(held) => Some(held.grant()),
        Verdict::Deny(_) => None,
    }
}

impl Sides<'_> {
    /// What is made of what the decision asks of a request on both sides, where both let it through.
    fn granted<T>(self, example: &Example, make: impl FnOnce(&Grant, &Grant) -> T) -> Option<T> {
        let (old, new) = (verdict(self.old, example)?, verdict(self.new, example)?);
        Some(make(grant(&old)?, grant(&new)?))
    }
}

/// The plainest requests of NEW's rules, a name in the place of each `*`: what there is to show of the obvious where the search
/// came to nothing.
pub(super) fn plainest(sides: Sides<'_>) -> Vec<Widening> {
    let mut found: BTreeMap<(usize, Kind), Widening> = BTreeMap::new();
    for info in sides.new.infos.iter().filter(|info| info.kind == RuleKind::Allow) {
        let ask = |method| match method {
            Method::Patch => Ask { body: Some(Content::empty()), ..Ask::default() },
            Method::Get | Method::Head | Method::Post | Method::Put | Method::Delete => Ask::default(),
        };
        let paths = info.paths.iter().map(|path| path.text.replace("**", "x").replace('*', "x"));
        for (path, method) in paths.flat_map(|path| info.methods.iter().map(move |method| (path.clone(), method))) {
            let example = Example::new(method, &path, &ask(method));
            let Some((kind, was, old)) = decided(sides, &example) else { continue };
            let is = if kind == Kind::Held { "held for a person" } else { "allowed" };
            let widening = Widening::of_rule(kind, info.name.clone(), old, was, is.to_owned(), example);
            found.entry((info.name.index(), kind)).or_insert(widening);
        }
    }
    found.into_values().take(MOST_WIDENINGS).collect()
}

/// What a request is that NEW grants and OLD denies, with OLD's reason; `None` where that is not so.
fn decided(sides: Sides<'_>, example: &Example) -> Option<(Kind, String, Option<RuleRef>)> {
    let new = verdict(sides.new, example)?;
    let kind = passing(grant(&new)?);
    match verdict(sides.old, example)? {
        Verdict::Deny(denial) => {
            let mut was = format!("denied ({})", denial.reason().code());
            if let Some(report) = sides.old.report_until().filter(|_| denial.lacks_only_a_rule()) {
                was.push_str(&format!(", but for report mode until {}", report.day()));
            }
            Some((kind, was, denial.rule().cloned()))
        }
        Verdict::Allow(_) | Verdict::Hold(_) => None,
    }
}

type Change = Box<dyn Fn(&Ask) -> Ask>;

/// Every way to leave one thing out, the last first.
fn smaller(ask: &Ask) -> Vec<Change> {
    let mut changes: Vec<Change> = vec![Box::new(|ask| Ask { body: None, ..ask.clone() })];
    for at in (0..ask.pairs.len()).rev() {
        changes.push(Box::new(move |ask| {
            let mut pairs = ask.pairs.clone();
            if at < pairs.len() {
                pairs.remove(at);
            }
            Ask { pairs, ..ask.clone() }
        }));
    }
    changes
}

fn shown_rates(policy: &Policy, grant: &Grant) -> String {
    let rates = grant.rates().iter().filter_map(|index| policy.rules().get(*index)?.rate());
    let shown: Vec<String> = rates.map(super::words::rate).collect();
    if shown.is_empty() { "no rate".to_owned() } else { shown.join(", ") }
}
