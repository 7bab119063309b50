//! Report mode, for the days in which a policy is tried out: a read that no rule grants is let through and logged as such.
//!
//! Promises that it opens nothing but a GET or HEAD whose only fault is that no rule grants it: denials, R1 to R9, writes, limits
//! and a log that cannot be written refuse as ever. It is set in the policy alone, and ends by itself. Pure: the time comes in
//! as an argument.

use std::time::Duration;

use super::decide::Rules;
use super::spec::Place;
use super::verdict::{Authorized, Denial, DenyReason, Effect, RuleRef, Verdict};
use crate::request::method::Method;

/// By which name a record says that report mode let a request through; no rule can have it.
pub const REPORT: &str = "access.report_until";

/// Until when reads that no rule grants are let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportUntil {
    /// The last day, `2026-12-31`.
    pub(super) day: String,
    /// The first moment after it in UTC, since the Unix epoch.
    pub(super) end: Duration,
    /// The line of the policy that says so, under the name [`REPORT`].
    pub(super) rule: RuleRef,
    /// Where the day stands.
    pub(super) place: Place,
}

impl ReportUntil {
    /// The last day on which they are, in UTC: `2026-12-31`.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.day
    }

    /// Where the policy says so.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it is over, `now` being the time since the Unix epoch.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.end
    }

    /// Lets a denied read through, if all that it lacks is a rule.
    pub(super) fn report(&self, rules: &Rules, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Deny(denial) if is_only_lack(&denial) => {
                let (request, reason, rule) = denial.into_parts();
                match rules.grant_to(&request, self.rule.clone()) {
                    Some(mut grant) if grant.effect == Effect::Read => {
                        grant.reported = Some(reason);
                        Verdict::Allow(Authorized::new(request, grant))
                    }
                    Some(_) | None => Verdict::Deny(Denial::new(request, reason, rule)),
                }
            }
            verdict @ (Verdict::Allow(_) | Verdict::Hold(_) | Verdict::Deny(_)) => verdict,
        }
    }
}

/// Whether it is a read that is refused because no rule grants it, and for nothing else.
fn is_only_lack(denial: &Denial) -> bool {
    let read = match denial.request().method() {
        Method::Get | Method::Head => true,
        Method::Post | Method::Put | Method::Patch | Method::Delete => false,
    };
    let lack = match denial.reason() {
        DenyReason::NoRule
        | DenyReason::Method { .. }
        | DenyReason::QueryName { .. }
        | DenyReason::QueryValue { .. } => true,
        // R2.3 refuses encoded reserved characters unless a rule lists them.
        DenyReason::Encoded
        | DenyReason::Rule { .. }
        | DenyReason::WritesOff
        | DenyReason::BodyShape
        | DenyReason::BodyMember { .. }
        | DenyReason::BodySize { .. } => false,
    };
    read && lack && denial.request().path().encoded().is_empty()
}
