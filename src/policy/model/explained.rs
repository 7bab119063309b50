//! What is said of a request and of a template, held against the verdicts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::policy::decide::considered::{Considered, Part};
use crate::policy::decide::split::{Mention, Share, Split};
use crate::policy::report::{REPORT, ReportUntil};
use crate::policy::verdict::RuleRef;

/// The rules that say one of these things of a request.
fn saying(considered: &[Considered], says: impl Fn(&Part) -> bool) -> BTreeSet<String> {
    considered.iter().filter(|rule| says(&rule.part)).map(|rule| rule.rule.id().to_owned()).collect()
}

fn obliges(part: &Part) -> bool {
    matches!(part, Part::Grants | Part::Refuses(_) | Part::Reads)
}

fn confirm(rules: &Rules, call: &Call) -> Option<Confirm> {
    match rules.judge(request(call), bond) {
        Verdict::Allow(authorized) if authorized.grant().effect() == Effect::Write => Some(Confirm::Never),
        Verdict::Hold(held) => Some(held.confirm()),
        Verdict::Allow(_) | Verdict::Deny(_) => None,
    }
}

/// Report mode until `end`.
fn trial(end: Duration) -> ReportUntil {
    let place = crate::policy::Place { span: 0..0, line: 1, column: 1 };
    ReportUntil { day: "1970-01-01".to_owned(), end, rule: RuleRef::new(REPORT.into(), 1, usize::MAX), place }
}

/// Whether the rules that are about a request are those that the split of its template tells of.
fn foretold(split: &Split, considered: &[Considered]) -> Result<(), String> {
    let touches = || split.allows.iter().chain(&split.denies);
    for Considered { rule, .. } in considered {
        if !touches().any(|touch| touch.rule == *rule) {
            return Err(format!("{} is left out", rule.id()));
        }
    }
    for touch in touches().filter(|touch| touch.share == Share::All && touch.method == Mention::Listed) {
        let part = considered.iter().find(|rule| rule.rule == touch.rule).map(|rule| &rule.part);
        if !matches!(part, Some(Part::Denies | Part::Grants | Part::Refuses(_) | Part::Reads)) {
            return Err(format!("{} is about all, and says {part:?}", touch.rule.id()));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_rule_that_counts_is_considered_and_says_what_the_verdict_says(rules in rules(), calls in prop::collection::vec(call(), 8), writes: bool) {
        let compiled = unchecked(&rules, writes);
        for call in calls {
            let request = request(&call);
            let considered = compiled.considered(&request);
            let denying = saying(&considered, |part| *part == Part::Denies);
            let granting = saying(&considered, |part| *part == Part::Grants);
            let obliging = saying(&considered, obliges);
            let grant = match compiled.judge(request, bond) {
                Verdict::Deny(denial) => {
                    let by = denial.rule().map(|rule| rule.id().to_owned());
                    match denial.reason().code() {
                        "deny_rule" => prop_assert!(by.is_some_and(|by| denying.contains(&by)), "{call:?}"),
                        "writes_off" => prop_assert!(denying.is_empty() && !writes, "{call:?}"),
                        _ => prop_assert!(denying.is_empty() && granting.is_empty(), "{call:?}: {granting:?}"),
                    }
                    continue;
                }
                Verdict::Allow(authorized) => (authorized.grant().rule().clone(), authorized.grant().obligations().to_vec()),
                Verdict::Hold(held) => (held.grant().rule().clone(), held.grant().obligations().to_vec()),
            };
            prop_assert!(denying.is_empty() && granting.contains(grant.0.id()), "{call:?}");
            let obligations: BTreeSet<String> = grant.1.iter().map(|rule| rule.id().to_owned()).collect();
            prop_assert_eq!(obliging, obligations, "{:?}\n{}", call, toml(&rules, writes));
        }
    }

    #[test]
    fn report_mode_opens_reads_that_lack_a_rule_and_nothing_else(rules in rules(), calls in prop::collection::vec(call(), 8), writes: bool) {
        let compiled = unchecked(&rules, writes).reporting();
        let day = Duration::from_secs(86_400);
        let report = trial(day);
        for call in calls {
            let (before, asked) = (compiled.judge(request(&call), bond), request(&call));
            let denied = rules.iter().any(|rule| rule.deny && rule.denies(&asked));
            let (rank_before, code) = (rank(&before), match &before { Verdict::Deny(denial) => denial.reason().code(), Verdict::Allow(_) | Verdict::Hold(_) => "" });
            let after = report.report(&compiled, before);
            let Verdict::Allow(authorized) = &after else {
                prop_assert_eq!(rank(&after), rank_before, "{:?}", call);
                let read = matches!(asked.method(), Method::Get | Method::Head);
                let written = rules.iter().any(|rule| !rule.deny && rule.effect == Some("write") && rule.is_about(&asked));
                prop_assert!(written || !(read && ["no_rule", "method", "query_name"].contains(&code)) || call.path.contains("%2F"), "{call:?}: {code}");
                continue;
            };
            let Some(reason) = authorized.grant().reported() else {
                prop_assert_eq!(rank_before, 2, "{:?}", call);
                continue;
            };
            prop_assert!(matches!(asked.method(), Method::Get | Method::Head) && !denied, "{call:?}: {reason:?}\n{}", toml(&rules, writes));
            prop_assert_eq!((authorized.grant().effect(), authorized.grant().rule().id()), (Effect::Read, REPORT));
            prop_assert!(compiled.passage(asked.method(), &call.path) != Passage::Never, "{call:?}");
        }
    }

    #[test]
    fn a_split_leaves_no_rule_out_and_foretells_who_is_asked(rules in rules(), templates in prop::collection::vec(template(), 1..4), writes: bool) {
        let compiled = unchecked(&rules, writes);
        for (template, calls) in templates.iter().map(|pieces| (shape(pieces), instances(pieces))) {
            for call in calls {
                let asked = request(&call);
                let split = compiled.split(asked.method(), &template);
                if let Some(confirm) = confirm(&compiled, &call) {
                    let (least, most) = split.confirm.ok_or_else(|| TestCaseError::fail(format!("{template}: no write, but {call:?}")))?;
                    // An encoded slash has readings of any depth, so that more rules may ask for more.
                    let within = least <= confirm && (confirm <= most || call.path.contains("%2F"));
                    prop_assert!(within, "{template}: {:?} for {call:?}\n{}", split.confirm, toml(&rules, writes));
                }
                if !call.path.contains("%2F") {
                    let told = foretold(&split, &compiled.considered(&asked));
                    prop_assert!(told.is_ok(), "{template}, {call:?}: {told:?}\n{}", toml(&rules, writes));
                }
            }
        }
    }
}
