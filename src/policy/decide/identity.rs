//! Rules compared as they stand, but for their names, their order and what is written for people.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Rules, Target};
use crate::policy::rule::{Allow, BodyLimit, Methods, QueryLimit};
use crate::policy::spec::Rate;
use crate::policy::verdict::{Channel, Confirm, Effect, Preview, Values};
use crate::request::encoded::Encoded;
use crate::request::method::Method;

/// An allow rule without its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Face<'r> {
    paths: Vec<&'r str>,
    methods: Methods,
    effect: Option<Effect>,
    query: &'r QueryLimit,
    body: &'r BodyLimit,
    encoded: Encoded,
    asks: (Confirm, Channel, Preview, bool, Values),
    credential: Option<&'r str>,
    rate: Option<Rate>,
}

/// What a GET or HEAD may be under two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gets {
    /// No rule of either calls one a write, so that nobody is asked about it.
    Reads,
    /// Some rule does.
    Any,
}

impl Face<'_> {
    /// Whether it can count for a request that the rule grants, whatever its path: by its method, or by what it says of GET,
    /// which holds for HEAD as well.
    fn bears_on(&self, rule: &Allow) -> bool {
        let heard = self.methods.contains(Method::Get) && rule.methods.contains(Method::Head);
        heard || !self.methods.shared(rule.methods).is_empty()
    }

    /// Whether a request that the rule grants sheds nothing when this rule is about it as well.
    fn adds_nothing_lenient(&self, rule: &Allow) -> bool {
        let (.., values) = self.asks;
        !self.bears_on(rule) || (values >= rule.values && self.credential == rule.credential.as_deref())
    }

    /// Whether a request that the rule grants sheds nothing when this rule is no longer about it.
    fn asks_no_more_than(&self, rule: &Allow, gets: Gets) -> bool {
        let (confirm, channel, preview, idempotency_key, _) = self.asks;
        let is_get = |method| matches!(method, Method::Get | Method::Head);
        let is_read = || gets == Gets::Reads && self.methods.shared(rule.methods).iter().all(is_get);
        let asks_no_more = || {
            self.effect.is_none()
                && rule.effect.is_none()
                && confirm <= rule.confirm
                && channel <= rule.channel
                && preview <= rule.preview
                && idempotency_key <= rule.idempotency_key
        };
        let bounds_no_more = || self.rate.is_none() && self.credential == rule.credential.as_deref();
        !self.bears_on(rule) || (bounds_no_more() && (is_read() || asks_no_more()))
    }

    fn makes_get_write(&self) -> bool {
        let gets = self.methods.contains(Method::Get) || self.methods.contains(Method::Head);
        gets && self.effect == Some(Effect::Write)
    }
}

/// A deny rule without its name.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bar<'r> {
    paths: Vec<&'r str>,
    methods: Methods,
    names: Option<&'r [Box<str>]>,
}

impl Rules {
    /// Whether these are the allow rules of the others, under all of their denials: then they let nothing more through,
    /// as far as credentials of the same name are the same.
    pub(in crate::policy) fn are_those_of(&self, others: &Self) -> bool {
        let denied: HashSet<Bar<'_>> = self.bars().collect();
        (others.writes || !self.writes)
            && counted(self.faces()) == counted(others.faces())
            && others.bars().all(|bar| denied.contains(&bar))
    }

    /// Whether a path with encoded reserved characters may be granted.
    pub(in crate::policy) fn take_encoded(&self) -> bool {
        self.allows.iter().any(|rule| rule.encoded != Encoded::NONE)
    }

    /// Whether no path with encoded reserved characters is let through more widely than by the others, as far as that
    /// can be told from the rules alone, and as far as credentials of the same name are the same.
    ///
    /// Every reading of such a path counts, so that any rule for its method may be about it. But whatever grants one is about it
    /// as well: where those rules are the others' too, and each rule that came or went asks for no more than they do, only
    /// denials are left to compare. With one more or less about it, another of the rest may be the most specific, which chooses
    /// the credential: then all of them have to name the same.
    pub(in crate::policy) fn take_no_more_encoded_than(&self, others: &Self) -> bool {
        let granting: Vec<&Allow> = self.allows.iter().filter(|rule| rule.encoded != Encoded::NONE).collect();
        let denied: HashSet<Bar<'_>> = self.bars().collect();
        let (own, theirs): (HashSet<Face<'_>>, HashSet<Face<'_>>) = (self.faces().collect(), others.faces().collect());
        let some_write = own.union(&theirs).any(Face::makes_get_write);
        let gets = if some_write { Gets::Any } else { Gets::Reads };
        let came = own
            .difference(&theirs)
            .all(|face| face.encoded == Encoded::NONE && granting.iter().all(|rule| face.adds_nothing_lenient(rule)));
        let went = theirs.difference(&own).all(|face| granting.iter().all(|rule| face.asks_no_more_than(rule, gets)));
        let kept: Vec<&Face<'_>> = own.intersection(&theirs).collect();
        let moved = |rule: &Allow| own.symmetric_difference(&theirs).any(|face| face.bears_on(rule));
        let is_same = |rule: &Allow| {
            let mut about = kept.iter().filter(|face| face.bears_on(rule));
            about.all(|face| face.credential == rule.credential.as_deref())
        };
        let credentials = granting.iter().all(|rule| !moved(rule) || is_same(rule));
        (others.writes || !self.writes) && came && went && credentials && others.bars().all(|bar| denied.contains(&bar))
    }

    /// The names of the credentials that rules choose, and the one that is meant where they choose none.
    pub(in crate::policy) fn credentials(&self) -> impl Iterator<Item = Option<&str>> {
        self.allows.iter().map(|rule| rule.credential.as_deref())
    }

    fn faces(&self) -> impl Iterator<Item = Face<'_>> {
        let mut paths = grouped(&self.allow_paths, &self.allow_texts);
        self.allows.iter().enumerate().map(move |(index, rule)| Face {
            paths: paths.remove(&index).unwrap_or_default(),
            methods: rule.methods,
            effect: rule.effect,
            query: &rule.query,
            body: &rule.body,
            encoded: rule.encoded,
            asks: (rule.confirm, rule.channel, rule.preview, rule.idempotency_key, rule.values),
            credential: rule.credential.as_deref(),
            rate: rule.rate,
        })
    }

    fn bars(&self) -> impl Iterator<Item = Bar<'_>> {
        let mut paths = grouped(&self.deny_paths, &self.deny_texts);
        self.denies.iter().enumerate().map(move |(index, rule)| Bar {
            paths: paths.remove(&index).unwrap_or_default(),
            methods: rule.methods,
            names: rule.names.as_deref(),
        })
    }
}

fn grouped<'r>(targets: &[Target], texts: &'r [Arc<str>]) -> HashMap<usize, Vec<&'r str>> {
    let mut paths: HashMap<usize, Vec<&str>> = HashMap::new();
    for (target, text) in targets.iter().zip(texts) {
        paths.entry(target.rule).or_default().push(text);
    }
    paths.values_mut().for_each(|paths| paths.sort_unstable());
    paths
}

fn counted<T: Eq + std::hash::Hash>(all: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    all.for_each(|one| *counts.entry(one).or_insert(0) += 1);
    counts
}

#[cfg(test)]
mod tests {
    use crate::policy::file::File;
    use crate::policy::finding::Findings;
    use crate::policy::verdict::{Confirm, Effect, Grant};
    use crate::policy::{Policy, Rate};
    use crate::request::body::DeleteBody;
    use crate::request::{RawRequest, Request};

    fn policy(rules: &[&str]) -> Policy {
        let rule = |(index, line): (usize, &&str)| {
            let (methods, rest) = line.split_once(' ').unwrap();
            let (path, keys) = rest.split_once(' ').unwrap_or((rest, ""));
            let keys = keys.split(" | ").collect::<Vec<_>>().join("\n");
            let methods: Vec<&str> = methods.split(',').collect();
            format!("[[allow]]\nid = \"r{index}\"\nmethods = {methods:?}\npaths = [\"{path}\"]\n{keys}\n")
        };
        let rules: String = rules.iter().enumerate().map(rule).collect();
        let text = format!(
            "version = 1\nname = \"t\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n\
             [upstream.credentials.one]\nbearer = {{ env = \"ONE\" }}\n[access]\nwrites = true\n{rules}"
        );
        // Whatever the checks between the rules say: this must not need them.
        let mut findings = Findings::new(&text);
        let file = File::read(&mut findings).unwrap();
        assert_eq!(findings.errors(), 0, "{:?}\n{text}", findings.finish());
        Policy::new("t.toml", &text, &[], file)
    }

    /// What a policy makes of each request with an encoded slash that the tests know.
    fn grants(policy: &Policy) -> Vec<Option<(Grant, Vec<Option<Rate>>)>> {
        let paths = ["/p/q%2Fx", "/p/q%2Fy", "/p/z%2Fx"];
        let requests = paths.iter().flat_map(|path| ["GET", "HEAD", "PUT", "POST"].map(|method| (method, *path)));
        let judged = requests.map(|(method, path)| {
            let raw =
                RawRequest { method, path, query: None, headers: None, body: None, delete_body: DeleteBody::Refused };
            let grant = policy.rules.weigh(&Request::parse(&raw).unwrap()).ok()?;
            let rates = grant.rates().iter().map(|index| policy.rules()[*index].rate()).collect();
            Some((grant, rates))
        });
        judged.collect()
    }

    /// Whether the one asks for less than the other of a request.
    fn sheds(old: &(Grant, Vec<Option<Rate>>), new: &(Grant, Vec<Option<Rate>>)) -> bool {
        let ((old, old_rates), (new, new_rates)) = (old, new);
        let is_held = |grant: &Grant| grant.effect() == Effect::Write && grant.confirm() != Confirm::Never;
        let asks = |grant: &Grant| (grant.confirm(), grant.channel(), grant.preview());
        let (was, is) = (asks(old), asks(new));
        (old.effect() == Effect::Write && new.effect() == Effect::Read)
            || (is_held(old) && (!is_held(new) || was.0 > is.0 || was.1 > is.1 || was.2 > is.2))
            || (new.effect() == Effect::Write && old.idempotency_key() && !new.idempotency_key())
            || old.values() > new.values()
            || old.credential() != new.credential()
            || old_rates.iter().any(|rate| !new_rates.contains(rate))
    }

    /// Every small rule that may be about another reading of a path with an encoded slash.
    fn rules() -> Vec<String> {
        let keys = [
            "",
            "confirm = \"never\"",
            "confirm = \"typed\"",
            "channel = \"desk\"",
            "preview = true",
            "idempotency_key = true",
            "rate = \"5/h\"",
            "log = \"names\"",
            "log = \"full\"",
            "credential = \"one\"",
            "effect = \"write\"",
            "effect = \"write\" | confirm = \"never\"",
        ];
        let methods = ["GET", "HEAD", "PUT", "GET,PUT"];
        let with = |methods: &'static str| keys.iter().map(move |keys| format!("{methods} /p/q/* {keys}"));
        let mut rules: Vec<String> = methods.into_iter().flat_map(with).collect();
        rules.extend(["GET /p/*/x", "GET /p/q/x", "PUT /p/*/x", "PUT /p/q/x"].map(str::to_owned));
        rules.extend(["POST /p/q/* effect = \"read\"", "POST /p/q/*"].map(str::to_owned));
        rules
    }

    #[test]
    fn what_is_no_wider_for_encoded_paths_asks_for_no_less_of_any() {
        let rules = rules();
        let mut kept = 0;
        for granting in ["GET", "HEAD", "GET,PUT", "PUT", "POST"] {
            for asks in ["", "| confirm = \"never\" | log = \"full\"", "| idempotency_key = true"] {
                for beside in [
                    "POST /z",
                    "GET /p/** effect = \"write\" | confirm = \"never\"",
                    "PUT /p/**",
                    "GET,PUT /p/q* credential = \"one\"",
                ] {
                    let granting = format!("{granting} /p/* encoded = [\"%2F\"] {asks}");
                    let made = |rule: &String| {
                        let policy = policy(&[&granting, beside, rule]);
                        let grants = grants(&policy);
                        (rule.clone(), policy, grants)
                    };
                    let all: Vec<_> = rules.iter().map(made).collect();
                    let pairs = all.iter().flat_map(|old| all.iter().map(move |new| (old, new)));
                    for ((went, old, were), (came, new, are)) in pairs {
                        if !new.rules.take_no_more_encoded_than(&old.rules) {
                            continue;
                        }
                        kept += 1;
                        for (was, is) in were.iter().zip(are) {
                            let wider = is.as_ref().is_some_and(|is| was.as_ref().is_none_or(|was| sheds(was, is)));
                            assert!(!wider, "{granting}, {beside}: {went} -> {came}: {was:?} -> {is:?}");
                        }
                    }
                }
            }
        }
        assert!(kept > 10_000, "{kept}");
    }

    #[test]
    fn a_rule_that_came_or_went_counts_for_encoded_paths_by_its_methods_and_by_what_it_asks_of_them() {
        let get = "GET /p/* encoded = [\"%2F\"]";
        let head = "HEAD /p/* encoded = [\"%2F\"]";
        let put = "PUT /p/* encoded = [\"%2F\"] | confirm = \"each\"";
        for (granting, went, came, kept) in [
            // Of other methods, whatever they ask for.
            (get, "POST /q/** rate = \"5/h\" | confirm = \"typed\"", "POST /q/x confirm = \"each\"", true),
            (get, "POST /q/* effect = \"read\" | credential = \"one\"", "POST /q/x effect = \"read\"", true),
            (put, "GET /q/** rate = \"5/h\"", "GET /q/x log = \"names\"", true),
            // Of a read nobody is asked.
            (get, "GET,PUT /q/** confirm = \"typed\"", "GET /q/x", true),
            (get, "GET,HEAD /q/** channel = \"desk\" | idempotency_key = true", "GET /q/x", true),
            // All the rest of a read counts.
            (get, "GET /q/** rate = \"5/h\"", "GET /q/x rate = \"5/h\"", false),
            (get, "GET /q/** credential = \"one\"", "GET /q/x credential = \"one\"", false),
            (get, "GET /q/**", "GET /q/x log = \"names\"", false),
            // A read that a rule may call a write.
            (get, "GET /q/* effect = \"write\" | confirm = \"typed\"", "PUT /q/x", false),
            (head, "GET /q/* effect = \"write\" | confirm = \"typed\"", "PUT /q/x", false),
            (get, "GET /q/* confirm = \"typed\"", "GET /r/x effect = \"write\" | confirm = \"never\"", false),
            // A write.
            (put, "PUT /q/** confirm = \"each\"", "PUT /q/x confirm = \"never\"", true),
            (put, "PUT /q/** confirm = \"typed\"", "PUT /q/x confirm = \"typed\"", false),
            (put, "PUT /q/** preview = true", "PUT /q/x", false),
            // Another rule that takes encoded characters.
            (get, "PUT /q/*", "PUT /q/* encoded = [\"%2F\"]", false),
        ] {
            let (old, new) = (policy(&[granting, went]), policy(&[granting, came]));
            let found = new.rules.take_no_more_encoded_than(&old.rules);
            assert_eq!(found, kept, "{granting}: {went} -> {came}");
        }
    }
}
