//! What an agent is told when it does not get what it asked for: a code and one safe sentence.
//!
//! Two audiences: `message` goes to the agent; `cause` goes to the log alone.

use std::time::Duration;

use crate::policy::RuleRef;

/// The closed list of codes that an agent can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The arguments are not a request that could ever be sent.
    BadRequest,
    /// The policy does not let it through.
    Denied,
    /// A limit is used up; the answer says when to try again.
    Throttled,
    /// A human has to approve it first.
    ApprovalRequired,
    /// A human was asked and did not approve it.
    Declined,
    /// A human was asked and did not answer in time, or what they saw has changed since.
    ApprovalExpired,
    /// Too much waits already.
    Busy,
    /// The upstream answered with an error status or not in HTTP.
    UpstreamError,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream could not be reached.
    UpstreamUnreachable,
    /// The answer is larger than the policy lets in.
    ResponseTooLarge,
    /// The log cannot be written.
    AuditUnavailable,
    /// The client took the call back.
    Cancelled,
    /// A fault of the gateway.
    Internal,
}

impl Code {
    /// Each of them.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Denied,
        Self::Throttled,
        Self::ApprovalRequired,
        Self::Declined,
        Self::ApprovalExpired,
        Self::Busy,
        Self::UpstreamError,
        Self::UpstreamTimeout,
        Self::UpstreamUnreachable,
        Self::ResponseTooLarge,
        Self::AuditUnavailable,
        Self::Cancelled,
        Self::Internal,
    ];

    /// As it stands in answers and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::ApprovalRequired => "approval_required",
            Self::Declined => "declined",
            Self::ApprovalExpired => "approval_expired",
            Self::Busy => "busy",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::ResponseTooLarge => "response_too_large",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// The verdict that a question record shows for a call that ended with this code before anything was sent.
    #[must_use]
    pub fn verdict(self) -> &'static str {
        match self {
            Self::Denied => "deny",
            Self::ApprovalRequired | Self::Declined | Self::ApprovalExpired => "hold",
            Self::BadRequest
            | Self::Throttled
            | Self::Busy
            | Self::UpstreamError
            | Self::UpstreamTimeout
            | Self::UpstreamUnreachable
            | Self::ResponseTooLarge
            | Self::AuditUnavailable
            | Self::Cancelled
            | Self::Internal => "refuse",
        }
    }
}

/// A question that waits for a person.
#[derive(Debug)]
pub struct Awaited {
    /// What names it to the person.
    pub code: String,
    /// How long it lives.
    pub left: Duration,
}

/// One refusal or failure, whole.
#[derive(Debug)]
pub struct Refusal {
    /// The code for the agent.
    pub code: Code,
    /// One sentence for the agent: no secret, nothing of the upstream's inside.
    pub message: String,
    /// What happened, for the log.
    pub cause: String,
    /// The rule that decided, where one did.
    pub rule: Option<RuleRef>,
    /// When a repeat may pass.
    pub retry_after: Option<Duration>,
    /// The question that waits for the person who may approve it.
    pub approval: Option<Box<Awaited>>,
}

impl Refusal {
    /// A refusal whose log line says the same as the agent is told.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, cause: message.clone(), message, rule: None, retry_after: None, approval: None }
    }

    /// With its own words for the log.
    #[must_use]
    pub fn because(self, cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), ..self }
    }

    /// With the time after which a repeat may pass.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// With what names the question to the person who may approve it.
    #[must_use]
    pub fn approval(self, code: String, left: Duration) -> Self {
        Self { approval: Some(Box::new(Awaited { code, left })), ..self }
    }

    /// With the rule that decided.
    #[must_use]
    pub fn by(self, rule: Option<RuleRef>) -> Self {
        Self { rule, ..self }
    }

    /// [`Refusal::retry_after`] in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_codes_holds_each_in_its_place() {
        for (place, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place, "{code:?}");
        }
        assert_eq!(Code::ALL.last(), Some(&Code::Internal));
    }
}
