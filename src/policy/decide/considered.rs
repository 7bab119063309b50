//! Every rule that is about a request, and what each of them says of it.
//!
//! Promises that it looks where the decision looks: the same walk finds the rules, the same comparisons judge them. Which
//! of them decides is the verdict's to say. Pure, like the decision beside it.

use super::{Found, Rules, Target};
use crate::policy::rule::{Allow, Deny};
use crate::policy::verdict::{DenyReason, RuleRef};
use crate::request::Request;

/// A rule whose path is the request's, as it is written or in another reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// Which.
    pub rule: RuleRef,
    /// What it says.
    pub part: Part,
}

/// What a rule says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A deny rule that covers it.
    Denies,
    /// A deny rule that is about its path and other methods.
    SparesMethod,
    /// A deny rule that is about its path and query names that it does not have.
    SparesQuery,
    /// An allow rule that grants it.
    Grants,
    /// An allow rule about its path and method, with a constraint that it does not keep. What the rule asks for holds.
    Refuses(DenyReason),
    /// An allow rule that is about its path in another reading alone: it grants nothing, and what it asks for holds.
    Reads,
    /// An allow rule about its path that does not list its method.
    LacksMethod,
}

impl Rules {
    /// Allow rules first, each kind in the order of the file.
    pub(in crate::policy) fn considered(&self, request: &Request) -> Vec<Considered> {
        let mut denies: Vec<Target> = Vec::new();
        let Found { matching, written } = self.walk(request, |target| denies.push(target));
        let written: Vec<usize> = written.into_iter().map(|target| target.rule).collect();
        let allows = self.by_rule(matching).into_iter().map(|(rule, _)| Considered {
            rule: rule.name.clone(),
            part: allowing(rule, request, written.iter().any(|index| self.is_at(*index, rule))),
        });
        let mut found: Vec<Considered> = allows.collect();
        denies.sort_unstable_by_key(|target| target.rule);
        denies.dedup_by_key(|target| target.rule);
        let denies = denies.into_iter().filter_map(|target| self.denies.get(target.rule));
        found.extend(denies.map(|rule| Considered { rule: rule.name.clone(), part: denying(rule, request) }));
        found
    }

    fn is_at(&self, index: usize, rule: &Allow) -> bool {
        self.allows.get(index).is_some_and(|at| at.name.index() == rule.name.index())
    }
}

fn allowing(rule: &Allow, request: &Request, as_written: bool) -> Part {
    if !rule.methods.contains(request.method()) {
        return Part::LacksMethod;
    }
    if !as_written {
        return Part::Reads;
    }
    rule.refuses(request).map_or(Part::Grants, Part::Refuses)
}

fn denying(rule: &Deny, request: &Request) -> Part {
    if !rule.methods.contains(request.method()) {
        return Part::SparesMethod;
    }
    if rule.is_about(request) { Part::Denies } else { Part::SparesQuery }
}
