//! The policy for some groups of requests: the old one with other allow rules, compared with it.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::DocumentMut;

use super::fold::Templates;
use super::group::Group;
use super::write::{Form, Frame, Written};
use super::{Budget, Comparison, Effects, Policy, widening};
use crate::policy::Severity;

/// A policy and what is known of it.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) text: String,
    pub(super) rules: usize,
    pub(super) paths: usize,
    /// Calls that it does not let through, because no pattern can name their paths.
    pub(super) unnamed: u64,
    /// Against the policy in force, with what report mode let through.
    pub(super) wider: Comparison,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProposeError {
    /// The comparison finds it wider, or cannot tell, whatever is tried.
    #[error("no policy for these calls can be proved to be no wider than the one in force, so none is printed")]
    Unproved,
    /// No pattern can be the path of any call.
    #[error(
        "no rule for just these calls can name their paths, which hold encoded reserved characters, so there is nothing to learn"
    )]
    Unnamed,
    /// The text of the policy is not what its rules say.
    #[error("the policy in force cannot be edited: {0}")]
    Text(#[from] toml_edit::TomlError),
    /// A fault of ours.
    #[error("the learnt policy has an error: {message}; tell the maintainers")]
    Broken {
        /// The first finding.
        message: String,
    },
}

/// The smallest policy that is no wider: folded paths where that can be proved, else the paths as they were, else those of the
/// old rule. What report mode let through is not compared: no rule granted it.
pub(super) fn propose(
    base: &Policy,
    text: &str,
    groups: &BTreeMap<String, Group>,
    templates: &Templates,
    effects: Effects,
) -> Result<Proposal, ProposeError> {
    let document: DocumentMut = text.parse()?;
    let frame = Frame::new(&document, templates);
    let (granted, reported): (Vec<&Group>, Vec<&Group>) = groups.values().partition(|group| group.rule.is_some());
    let mut forms = frame.first(&granted, effects);
    // Each turn makes at least one group narrower, and each can be made so a few times.
    for _ in 0..=granted.len() * Form::COUNT {
        let written = frame.write(&granted, &forms);
        let is_narrower = match parse(&written.text).map(|policy| widening(base, &policy, Budget::ORDINARY)) {
            Ok(Comparison::NoWider) => return proposal(base, &frame, (&granted, &forms), &reported),
            Ok(Comparison::Wider(found)) => {
                let ids = found.iter().filter_map(|one| one.rule.as_ref());
                let wider: BTreeSet<&str> = ids.map(|rule| rule.id()).collect();
                let is_wider = |place: usize| written.ids(place).iter().any(|id| wider.contains(id.as_str()));
                narrow(&mut forms, |place, _| is_wider(place))
            }
            // Of a path with encoded reserved characters every reading counts: without one there is less to prove.
            Ok(Comparison::Undecided) => {
                narrow(&mut forms, |_, form| form == Form::Whole) || narrow(&mut forms, |_, _| true)
            }
            // Rules that were folded may meet in a path where those in force did not.
            Err(error) => {
                if !(narrow(&mut forms, |_, form| form != Form::Whole) || narrow(&mut forms, |_, _| true)) {
                    return Err(error);
                }
                true
            }
        };
        if !is_narrower {
            break;
        }
    }
    Err(ProposeError::Unproved)
}

/// Gives each group of which that is true its next form; whether there was one.
fn narrow(forms: &mut [Form], is_meant: impl Fn(usize, Form) -> bool) -> bool {
    let mut narrowed = false;
    for (place, form) in forms.iter_mut().enumerate() {
        if let Some(next) = form.next().filter(|_| is_meant(place, *form)) {
            *form = next;
            narrowed = true;
        }
    }
    narrowed
}

/// What was proved, with what report mode let through.
fn proposal(
    base: &Policy,
    frame: &Frame<'_>,
    (granted, forms): (&[&Group], &[Form]),
    reported: &[&Group],
) -> Result<Proposal, ProposeError> {
    let groups = [granted, reported].concat();
    let with = |form: Form| {
        let forms: Vec<Form> = forms.iter().copied().chain(reported.iter().map(|_| form)).collect();
        let written = frame.write(&groups, &forms);
        parse(&written.text).map(|policy| (written, policy))
    };
    let (Written { text, unnamed, .. }, policy) = with(Form::Folded).or_else(|_| with(Form::Exact))?;
    let rules = policy.rules().iter().filter(|rule| rule.terms().is_some());
    let (rules, paths) = rules.fold((0, 0), |(rules, paths), rule| (rules + 1, paths + rule.paths().len()));
    if rules == 0 {
        return Err(ProposeError::Unnamed);
    }
    Ok(Proposal { wider: widening(base, &policy, Budget::ORDINARY), text, rules, paths, unnamed })
}

fn parse(text: &str) -> Result<Policy, ProposeError> {
    let parsed = Policy::parse("the learnt policy", text);
    let errors = parsed.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let message = errors.map(|finding| finding.message.clone()).next().unwrap_or_default();
    parsed.policy.ok_or(ProposeError::Broken { message })
}
