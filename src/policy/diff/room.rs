//! What a rule's constraints leave room for that others do not: a query and a body that the one accepts and all of the
//! others refuse.
//!
//! Every constraint is closed downwards: of what a rule accepts, it accepts each part. So what refuses a query for one
//! rule refuses it still with more in it, the reasons for several rules can stand in one request, and a rule that no
//! other covers alone is not covered by all of them together.

use super::example::{Ask, Content};
use crate::policy::rule::{Allow, Deny};
use crate::request::body::Body;
use crate::request::fold::fold_name;
use crate::request::method::Method;
use crate::request::query::{MAX_PAIRS, Query};

/// The bytes of the smallest body.
const SMALLEST: u64 = 2;
/// Names and values are numbered up to here until one is found that no rule lists.
const MOST_TRIED: usize = 100_000;

/// What came of looking for such a query and body.
#[derive(Debug)]
pub(super) enum Room {
    /// Whatever the rule accepts, another accepts as well.
    None,
    /// Only the rule accepts this.
    For(Ask),
    /// What would have to stand in one request is more than a request holds.
    Unsure,
}

/// One rule, in a policy with denials, beside the rules and denials of another policy; all about one path and method.
#[derive(Debug)]
pub(super) struct Rival<'r> {
    pub(super) rule: &'r Allow,
    pub(super) denies: &'r [&'r Deny],
    pub(super) others: &'r [&'r Allow],
    pub(super) other_denies: &'r [&'r Deny],
    pub(super) method: Method,
}

/// Why another rule refuses a request.
#[derive(Debug, Clone, PartialEq)]
enum Reason {
    Pair(String, String),
    Array,
    Member(Box<str>),
    Size(u64),
}

/// The least that a rule accepts with this method; `None` where it accepts nothing.
pub(super) fn least(rule: &Allow, method: Method) -> Option<Ask> {
    match method {
        Method::Patch => (rule.body.most >= SMALLEST).then(|| Ask { pairs: Vec::new(), body: Some(Content::empty()) }),
        Method::Get | Method::Head | Method::Post | Method::Put | Method::Delete => Some(Ask::default()),
    }
}

impl Rival<'_> {
    pub(super) fn room(&self) -> Room {
        let Some(mut ask) = least(self.rule, self.method) else { return Room::None };
        if self.others.is_empty() {
            return Room::For(ask);
        }
        if let Some(pair) = self.denied_pair() {
            ask.pairs.push(pair);
            return Room::For(ask);
        }
        let reasons: Vec<Reason> = self.reasons();
        let mut left: Vec<&Allow> = self.others.to_vec();
        if left.iter().any(|other| !reasons.iter().any(|reason| is_refused(other, reason))) {
            return Room::None;
        }
        let mut chosen: Vec<&Reason> = Vec::new();
        while !left.is_empty() {
            let refused = |reason: &&Reason| left.iter().filter(|other| is_refused(other, reason)).count();
            let Some(best) = reasons.iter().rev().max_by_key(refused) else { return Room::Unsure };
            left.retain(|other| !is_refused(other, best));
            chosen.push(best);
        }
        self.joined(ask, &chosen)
    }

    /// All reasons in one request.
    fn joined(&self, mut ask: Ask, reasons: &[&Reason]) -> Room {
        let (mut members, mut size, mut array) = (Vec::new(), 0, false);
        for reason in reasons {
            match reason {
                Reason::Pair(name, value) => ask.pairs.push((name.clone(), value.clone())),
                Reason::Array => array = true,
                Reason::Member(name) => members.push(name.clone()),
                Reason::Size(bytes) => size = size.max(*bytes),
            }
        }
        if array || size > 0 || !members.is_empty() || ask.body.is_some() {
            let content = Content { members: (!array).then_some(members), size };
            if content.len() > self.rule.body.most {
                return Room::Unsure;
            }
            ask.body = Some(content);
        }
        if ask.pairs.len() > MAX_PAIRS { Room::Unsure } else { Room::For(ask) }
    }

    /// A name that the other policy denies and this one does not, with a value.
    fn denied_pair(&self) -> Option<(String, String)> {
        let names = self.other_denies.iter().flat_map(|deny| deny.names.iter().flatten());
        let spelled = |denied: &str| -> Vec<String> {
            match &self.rule.query.only {
                Some(only) => {
                    only.iter().filter(|name| fold_name(name) == denied).map(|name| name.to_string()).collect()
                }
                None => vec![denied.to_owned(), denied.to_uppercase()],
            }
        };
        names.flat_map(|denied| spelled(denied)).find_map(|name| self.with_value(name, &[]))
    }

    /// The name with a value that this rule accepts and none of the lists has, where the request may hold it.
    fn with_value(&self, name: String, lists: &[&[Box<str>]]) -> Option<(String, String)> {
        if !self.may_hold(&name) {
            return None;
        }
        let is_new = |value: &str| lists.iter().all(|list| list.iter().all(|listed| **listed != *value));
        let own = self.rule.query.values.iter().find(|(listed, _)| **listed == *name).map(|(_, values)| values);
        let value = match own {
            Some(values) => {
                values.iter().map(|value| value.to_string()).find(|value| is_new(value) && is_sendable(&name, value))
            }
            None => (0..MOST_TRIED).map(|number| number.to_string()).find(|value| is_new(value)),
        };
        value.map(|value| (name, value))
    }

    /// Whether this policy lets a request have the name, as far as the rule and the denials say.
    fn may_hold(&self, name: &str) -> bool {
        let folded = fold_name(name);
        let listed = self.rule.query.only.as_ref().is_none_or(|only| only.iter().any(|listed| **listed == *name));
        let denied = |deny: &&Deny| deny.names.iter().flatten().any(|denied| **denied == *folded);
        listed && !self.denies.iter().any(denied) && is_sendable(name, "0")
    }

    /// Everything that this rule accepts and some other refuses, what is short first.
    fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        self.names(&mut reasons);
        self.values(&mut reasons);
        match self.method {
            Method::Get | Method::Head => {}
            Method::Post | Method::Put | Method::Patch | Method::Delete => self.bodies(&mut reasons),
        }
        reasons
    }

    fn names(&self, reasons: &mut Vec<Reason>) {
        if self.others.iter().all(|other| other.query.only.is_none()) {
            return;
        }
        let pair = |name: String| self.with_value(name, &[]).map(|(name, value)| Reason::Pair(name, value));
        match &self.rule.query.only {
            Some(only) => reasons.extend(only.iter().filter_map(|name| pair(name.to_string()))),
            None => {
                let lists = || self.others.iter().flat_map(|other| other.query.only.iter().flatten());
                let unlisted = |name: &String| lists().all(|listed| **listed != **name);
                reasons.extend((0..MOST_TRIED).map(lettered).filter(unlisted).find_map(pair));
            }
        }
    }

    fn values(&self, reasons: &mut Vec<Reason>) {
        let restricted = self.others.iter().flat_map(|other| &other.query.values);
        for (name, values) in restricted {
            // One value that none of them lists refuses it for all; else one of each.
            let lists: Vec<&[Box<str>]> = self.others.iter().flat_map(|other| lists_for(other, name)).collect();
            let of_all = self.with_value(name.to_string(), &lists);
            let of_one = || self.with_value(name.to_string(), &[values]);
            reasons.extend(of_all.or_else(of_one).map(|(name, value)| Reason::Pair(name, value)));
        }
    }

    fn bodies(&self, reasons: &mut Vec<Reason>) {
        let most = self.rule.body.most;
        if self.others.iter().any(|other| other.body.only.is_some()) {
            match &self.rule.body.only {
                None => reasons.extend((most >= SMALLEST).then_some(Reason::Array)),
                Some(only) => {
                    let fits = |content: &Content| content.len() <= most && Body::parse(&content.text()).is_ok();
                    let alone = |name: &str| Content { members: Some(vec![name.into()]), size: 0 };
                    let names = only.iter().filter(|name| fits(&alone(name)));
                    reasons.extend(names.cloned().map(Reason::Member));
                }
            }
        }
        let smaller = self.others.iter().map(|other| (other.body.most + 1).max(SMALLEST)).filter(|size| *size <= most);
        // The largest refuses it for each of them.
        reasons.extend(smaller.max().map(Reason::Size));
        let smaller = self.others.iter().map(|other| (other.body.most + 1).max(SMALLEST)).filter(|size| *size <= most);
        reasons.extend(smaller.min().map(Reason::Size));
    }
}

fn is_refused(rule: &Allow, reason: &Reason) -> bool {
    match reason {
        Reason::Pair(name, value) => {
            let unlisted = rule.query.only.as_ref().is_some_and(|only| only.iter().all(|listed| **listed != **name));
            unlisted || lists_for(rule, name).any(|values| values.iter().all(|listed| **listed != **value))
        }
        Reason::Array => rule.body.only.is_some() || rule.body.most < SMALLEST,
        Reason::Member(name) => {
            rule.body.only.as_ref().is_some_and(|only| !only.contains(name)) || rule.body.most < SMALLEST
        }
        Reason::Size(bytes) => rule.body.most < *bytes,
    }
}

fn lists_for<'r>(rule: &'r Allow, name: &str) -> impl Iterator<Item = &'r [Box<str>]> {
    rule.query.values.iter().filter(move |(listed, _)| **listed == *name).map(|(_, values)| values.as_slice())
}

fn is_sendable(name: &str, value: &str) -> bool {
    Query::parse(Some(&serde_json::json!({ name: value }).to_string())).is_ok()
}

/// `a` to `z`, then `aa` and so on.
fn lettered(mut number: usize) -> String {
    let mut name = String::new();
    loop {
        name.insert(0, char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
        match (number / 26).checked_sub(1) {
            Some(rest) => number = rest,
            None => return name,
        }
    }
}
