//! What a policy answers, and the tokens that carry the answer.
//!
//! Promises that an [`Authorized`] request was judged by a policy and let through, and that it is the very request that
//! was judged: each token owns its request, has no public constructor, and can be neither copied nor read from text.

use std::fmt;
use std::sync::Arc;

use super::bond::Bond;
use crate::confirm::approval::{Approval, RequestDigest};
use crate::request::Request;
use crate::request::method::Method;

/// What a policy says of one request. In order: deny, hold, allow.
#[must_use]
#[derive(Debug)]
pub enum Verdict {
    /// It may be sent.
    Allow(Authorized),
    /// It may be sent once a human agrees.
    Hold(Held),
    /// It may not be sent.
    Deny(Denial),
}

/// A request that the policy lets through.
///
/// INVARIANT (authorized): made in this module alone, by [`Policy::authorize`](super::Policy::authorize) or by
/// [`Held::release`].
#[must_use]
#[derive(Debug)]
pub struct Authorized {
    request: Request,
    grant: Grant,
    approved: Option<(Bond, Approval)>,
}

impl Authorized {
    pub(in crate::policy) fn new(request: Request, grant: Grant) -> Self {
        Self { request, grant, approved: None }
    }

    /// The request that was judged.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What lets it through, and what it has to observe.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether a person approved it.
    #[must_use]
    pub fn approval(&self) -> Option<&Approval> {
        self.approved.as_ref().map(|(_, approval)| approval)
    }

    /// Compares what would be sent with what was approved, once more.
    pub fn compare(&self) -> Approved {
        match &self.approved {
            None => Approved::NotAsked,
            Some((bond, approval)) if bond.digest(&self.request, &self.grant) == approval.digest() => Approved::Same,
            Some(_) => Approved::Another,
        }
    }
}

/// Whether a request is the one that a person approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Approved {
    /// Nobody had to be asked.
    NotAsked,
    /// It is.
    Same,
    /// It is not: it must not be sent.
    Another,
}

/// A request that waits for a human.
#[must_use]
#[derive(Debug)]
pub struct Held {
    request: Request,
    grant: Grant,
    bond: Bond,
    digest: RequestDigest,
}

impl Held {
    pub(in crate::policy) fn new(request: Request, grant: Grant, bond: Bond) -> Self {
        let digest = bond.digest(&request, &grant);
        Self { request, grant, bond, digest }
    }

    /// The request that was judged.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What would let it through.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What an approval of it has to be about.
    #[must_use]
    pub fn digest(&self) -> RequestDigest {
        self.digest
    }

    /// The rule that makes it wait: the one with the strictest confirmation, among several the most specific.
    #[must_use]
    pub fn rule(&self) -> &RuleRef {
        self.grant.obligations.get(self.grant.strictest).unwrap_or(&self.grant.rule)
    }

    /// How the human is to be asked; never [`Confirm::Never`].
    #[must_use]
    pub fn confirm(&self) -> Confirm {
        self.grant.confirm
    }

    /// The same request, approved; itself again where the approval is of another one.
    pub fn release(self, approval: Approval) -> Result<Authorized, Box<Self>> {
        if approval.digest() != self.digest {
            return Err(Box::new(self));
        }
        let Self { request, grant, bond, digest: _ } = self;
        Ok(Authorized { request, grant, approved: Some((bond, approval)) })
    }
}

/// A request that the policy refuses.
#[must_use]
#[derive(Debug)]
pub struct Denial {
    request: Request,
    reason: DenyReason,
    rule: Option<RuleRef>,
}

impl Denial {
    pub(in crate::policy) fn new(request: Request, reason: DenyReason, rule: Option<RuleRef>) -> Self {
        Self { request, reason, rule }
    }

    pub(in crate::policy) fn into_parts(self) -> (Request, DenyReason, Option<RuleRef>) {
        let Self { request, reason, rule } = self;
        (request, reason, rule)
    }

    /// The request that was judged.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Why: its `Display` is for the agent, [`DenyReason::cause`] for the log.
    #[must_use]
    pub fn reason(&self) -> &DenyReason {
        &self.reason
    }

    /// The rule that refused it, or the allow rule that came closest.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleRef> {
        self.rule.as_ref()
    }
}

/// What lets a request through, and what it has to observe on its way.
#[derive(Debug)]
pub struct Grant {
    pub(in crate::policy) effect: Effect,
    pub(in crate::policy) rule: RuleRef,
    pub(in crate::policy) obligations: Vec<RuleRef>,
    /// Whose confirmation it is, as a place in `obligations`.
    pub(in crate::policy) strictest: usize,
    pub(in crate::policy) rates: Vec<usize>,
    pub(in crate::policy) credential: Option<Arc<str>>,
    pub(in crate::policy) confirm: Confirm,
    pub(in crate::policy) channel: Channel,
    pub(in crate::policy) preview: Preview,
    pub(in crate::policy) idempotency_key: bool,
    pub(in crate::policy) values: Values,
    /// Why it would be refused, where report mode lets it through.
    pub(in crate::policy) reported: Option<DenyReason>,
}

impl Grant {
    /// Why the request would be refused, where no rule grants it and report mode lets it through; [`Grant::rule`] is then
    /// [`REPORT`](super::REPORT).
    #[must_use]
    pub fn reported(&self) -> Option<&DenyReason> {
        self.reported.as_ref()
    }

    /// Whether the request changes something.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The most specific of the rules that grant it.
    #[must_use]
    pub fn rule(&self) -> &RuleRef {
        &self.rule
    }

    /// Every rule whose obligations apply: all that match by method and path, whether or not their constraints hold.
    #[must_use]
    pub fn obligations(&self) -> &[RuleRef] {
        &self.obligations
    }

    /// Those of them that have a rate of their own, as indexes into [`Policy::rules`](super::Policy::rules).
    #[must_use]
    pub fn rates(&self) -> &[usize] {
        &self.rates
    }

    /// The name of the credential to send; `None` is `[upstream.credential]`.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// The strictest confirmation that the rules ask for; it counts for writes alone.
    #[must_use]
    pub fn confirm(&self) -> Confirm {
        self.confirm
    }

    /// The strictest of the places where the rules let a person answer; it counts for held requests alone.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// The most that the rules ask for of what a person is to see; it counts for held requests alone.
    #[must_use]
    pub fn preview(&self) -> Preview {
        self.preview
    }

    /// Whether a rule asks that a write carries a key by which the upstream knows a repetition.
    #[must_use]
    pub fn idempotency_key(&self) -> bool {
        self.idempotency_key
    }

    /// The least that the rules say of how the log tells the values of the request.
    #[must_use]
    pub fn values(&self) -> Values {
        self.values
    }
}

/// Whether a request changes something at the upstream, as far as the policy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It changes nothing.
    Read,
    /// It may change something.
    Write,
}

impl Effect {
    /// As written in a policy and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How a write is confirmed, from the most lenient to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confirm {
    /// By nobody.
    Never,
    /// By a human, each time.
    Each,
    /// By a human who types a word, each time.
    Typed,
}

impl Confirm {
    /// As written in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Each => "each",
            Self::Typed => "typed",
        }
    }
}

/// How the log tells the values of a query and a body, from the least to the most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Values {
    /// Not at all: their names alone.
    Names,
    /// As keyed digests.
    #[default]
    Digest,
    /// In clear, but for what the policy redacts in answers.
    Full,
}

/// Where a person answers, from the most lenient to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// In the client or at the desk.
    Any,
    /// In the client that the agent works in.
    Client,
    /// At the desk: a terminal of the person's own, out of the agent's reach.
    Desk,
}

impl Channel {
    /// As written in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Client => "client",
            Self::Desk => "desk",
        }
    }
}

/// Whether a person is shown what a write would change, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Preview {
    /// Only the request.
    No,
    /// What is there before the write and what would be after it, where it can be had.
    IfPossible,
    /// The same, or nobody is asked.
    Yes,
}

impl Preview {
    /// As written in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "false",
            Self::IfPossible => "if-possible",
            Self::Yes => "true",
        }
    }
}

/// One rule of a policy, by name and place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleRef {
    id: Arc<str>,
    line: u32,
    index: usize,
}

impl RuleRef {
    pub(in crate::policy) fn new(id: Arc<str>, line: u32, index: usize) -> Self {
        Self { id, line, index }
    }

    /// Its `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The line of the policy file on which it begins, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Its place in [`Policy::rules`](super::Policy::rules).
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }
}

/// Why a request is refused. `Display` is one sentence for the agent: it says no more than the kind of thing that
/// failed, and never how to be let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenyReason {
    /// A deny rule covers it.
    Rule {
        /// The sentence that the policy's author wrote for the agent.
        reason: Option<Arc<str>>,
    },
    /// It changes something, and the policy lets only reads through.
    WritesOff,
    /// No allow rule is about this path.
    NoRule,
    /// An allow rule is about this path, but not with this method.
    Method {
        /// The method that was asked for.
        method: Method,
    },
    /// The path holds encoded characters that the rule does not accept.
    Encoded,
    /// The query has a name that the rule does not list.
    QueryName {
        /// That name, as it came.
        name: Box<str>,
    },
    /// A value in the query is not one that the rule lists.
    QueryValue {
        /// The name whose value it is.
        name: Box<str>,
    },
    /// The body is an array, where the rule lists the members of an object.
    BodyShape,
    /// The body has a member that the rule does not list.
    BodyMember {
        /// Its name, as it came.
        name: Box<str>,
    },
    /// The body is larger than the rule accepts.
    BodySize {
        /// What it accepts, in bytes.
        most: u64,
        /// What came, in bytes.
        got: usize,
    },
}

impl DenyReason {
    /// Stable name of the kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rule { .. } => "deny_rule",
            Self::WritesOff => "writes_off",
            Self::NoRule => "no_rule",
            Self::Method { .. } => "method",
            Self::Encoded => "encoded",
            Self::QueryName { .. } => "query_name",
            Self::QueryValue { .. } => "query_value",
            Self::BodyShape => "body_shape",
            Self::BodyMember { .. } => "body_member",
            Self::BodySize { .. } => "body_size",
        }
    }

    /// The same for the log: with the names that the agent's sentence leaves out, never a value.
    #[must_use]
    pub fn cause(&self) -> Cause<'_> {
        Cause(self)
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { reason: Some(reason) } => write!(f, "the policy refuses this request: {reason}"),
            Self::Rule { reason: None } => f.write_str("the policy refuses this request"),
            Self::WritesOff => f.write_str("this request may change something, and the policy lets only reads through"),
            Self::NoRule => f.write_str("the policy does not list this request"),
            Self::Method { method } => write!(f, "the policy does not list {} for this path", method.as_str()),
            Self::Encoded => f.write_str("the policy does not list encoded characters in this path"),
            Self::QueryName { .. } => f.write_str("the policy lists this path, but not with these query names"),
            Self::QueryValue { .. } => f.write_str("the policy lists this path, but not with these query values"),
            Self::BodyShape => f.write_str("the policy lists this path, but not with a body that is an array"),
            Self::BodyMember { .. } => {
                f.write_str("the policy lists this path, but not with these members in the body")
            }
            Self::BodySize { .. } => f.write_str("the policy lists this path, but not with so large a body"),
        }
    }
}

/// A [`DenyReason`] as the log has it.
#[derive(Debug)]
pub struct Cause<'a>(&'a DenyReason);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code())?;
        match self.0 {
            DenyReason::Method { method } => write!(f, ": {}", method.as_str()),
            DenyReason::QueryName { name } | DenyReason::QueryValue { name } | DenyReason::BodyMember { name } => {
                write!(f, ": `{}`", name.escape_debug())
            }
            DenyReason::BodySize { most, got } => write!(f, ": {got} bytes, at most {most}"),
            DenyReason::Rule { .. }
            | DenyReason::WritesOff
            | DenyReason::NoRule
            | DenyReason::Encoded
            | DenyReason::BodyShape => Ok(()),
        }
    }
}
