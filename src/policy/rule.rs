//! One rule of a policy, and whether a request keeps its constraints.
//!
//! Promises that a check cannot fail while it is made: every constraint is a comparison with something that was read
//! when the policy was loaded.

use std::ops::Range;
use std::sync::Arc;

use super::pattern::Pattern;
use super::spec::{Place, Rate};
use super::verdict::{Channel, Confirm, DenyReason, Effect, Preview, RuleRef, Values};
use crate::request::Request;
use crate::request::body::Body;
use crate::request::encoded::Encoded;
use crate::request::fold::fold_name;
use crate::request::method::Method;
use crate::request::query::Query;

/// The body that a rule accepts when it says nothing of `max_bytes` (R8).
pub(super) const DEFAULT_BODY: u64 = 64 * 1024;

/// What other parts of the gateway may know of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    pub(super) name: RuleRef,
    pub(super) kind: RuleKind,
    pub(super) rate: Option<Rate>,
    pub(super) reason: Option<Arc<str>>,
    pub(super) methods: Methods,
    pub(super) paths: Vec<RulePath>,
    pub(super) terms: Option<Terms>,
}

/// One path of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePath {
    /// In canonical form.
    pub text: Box<str>,
    /// Where it stands in the file.
    pub place: Place,
}

/// What an allow rule asks for of the requests that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How a write is confirmed.
    pub confirm: Confirm,
    /// Where a person answers.
    pub channel: Channel,
    /// What they are shown.
    pub preview: Preview,
    /// The name of the credential; `None` is `[upstream.credential]`.
    pub credential: Option<Arc<str>>,
    /// Whether it says anything of the query or the body.
    pub limits: Limits,
}

/// Whether a rule limits what stands in a query or a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// It takes any, within what the language allows.
    Open,
    /// It does.
    Narrow,
}

/// Whether a rule opens or closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// `[[allow]]`
    Allow,
    /// `[[deny]]`
    Deny,
}

impl RuleKind {
    /// As written in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl RuleInfo {
    /// Its `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.name.id()
    }

    /// The line of the policy file on which it begins, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.name.line()
    }

    /// Whether it opens or closes.
    #[must_use]
    pub fn kind(&self) -> RuleKind {
        self.kind
    }

    /// The methods that it lists; of a deny rule HEAD wherever there is GET.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        self.methods.iter()
    }

    /// Its paths, in the order of the file.
    #[must_use]
    pub fn paths(&self) -> &[RulePath] {
        &self.paths
    }

    /// What it asks for; `None` of a deny rule.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// Its own rate, where it has one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// What the policy's author wrote about it, where there is something: one line. Of a deny rule the agent may see it,
    /// of an allow rule the person who is asked.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// A set of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Methods(u8);

impl Methods {
    pub(super) const ALL: Self = Self(0b11_1111);

    pub(super) fn insert(&mut self, method: Method) {
        self.0 |= Self::bit(method);
    }

    pub(super) fn contains(self, method: Method) -> bool {
        self.0 & Self::bit(method) != 0
    }

    pub(super) fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    pub(super) fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.contains(*method))
    }

    fn bit(method: Method) -> u8 {
        match method {
            Method::Get => 1,
            Method::Head => 2,
            Method::Post => 4,
            Method::Put => 8,
            Method::Patch => 16,
            Method::Delete => 32,
        }
    }
}

/// An allow rule, without its paths.
#[derive(Debug, Clone)]
pub(super) struct Allow {
    pub(super) name: RuleRef,
    pub(super) methods: Methods,
    pub(super) effect: Option<Effect>,
    pub(super) query: QueryLimit,
    pub(super) body: BodyLimit,
    pub(super) encoded: Encoded,
    pub(super) confirm: Confirm,
    pub(super) channel: Channel,
    pub(super) preview: Preview,
    pub(super) credential: Option<Arc<str>>,
    pub(super) rate: Option<Rate>,
    pub(super) idempotency_key: bool,
    pub(super) values: Values,
    pub(super) reason: Option<Arc<str>>,
}

impl Allow {
    /// What it asks for of the requests that it is about.
    pub(super) fn terms(&self) -> Terms {
        let open = self.query.is_open() && self.body == BodyLimit::default();
        Terms {
            confirm: self.confirm,
            channel: self.channel,
            preview: self.preview,
            credential: self.credential.clone(),
            limits: if open { Limits::Open } else { Limits::Narrow },
        }
    }

    /// What the rule takes a request with this method for.
    pub(super) fn effect_of(&self, method: Method) -> Effect {
        match (self.effect, method) {
            (Some(effect), _) => effect,
            (None, Method::Get | Method::Head) => Effect::Read,
            (None, Method::Post | Method::Put | Method::Patch | Method::Delete) => Effect::Write,
        }
    }

    /// The first constraint that the request does not keep, cheapest first.
    pub(super) fn refuses(&self, request: &Request) -> Option<DenyReason> {
        if !request.path().encoded().is_subset(self.encoded) {
            return Some(DenyReason::Encoded);
        }
        self.query.refuses(request.query()).or_else(|| self.body.refuses(request.body()))
    }
}

/// `query` of an allow rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct QueryLimit {
    /// The names that the query may hold, sorted; absent: any.
    pub(super) only: Option<Vec<Box<str>>>,
    /// Names, sorted, with the values that each may have.
    pub(super) values: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl QueryLimit {
    pub(super) fn is_open(&self) -> bool {
        self.only.is_none() && self.values.is_empty()
    }

    fn refuses(&self, query: &Query) -> Option<DenyReason> {
        if self.is_open() {
            return None;
        }
        for (name, value) in query.pairs() {
            if self.only.as_deref().is_some_and(|only| !lists(only, name)) {
                return Some(DenyReason::QueryName { name: name.as_str().into() });
            }
            let values = self.values.binary_search_by(|(listed, _)| (**listed).cmp(name.as_str()));
            let values = values.ok().and_then(|at| self.values.get(at));
            if values.is_some_and(|(_, values)| !lists(values, value)) {
                return Some(DenyReason::QueryValue { name: name.as_str().into() });
            }
        }
        None
    }
}

/// `body` of an allow rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BodyLimit {
    /// The members that the body may have, sorted; absent: any.
    pub(super) only: Option<Vec<Box<str>>>,
    /// In bytes.
    pub(super) most: u64,
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self { only: None, most: DEFAULT_BODY }
    }
}

impl BodyLimit {
    fn refuses(&self, body: Option<&Body>) -> Option<DenyReason> {
        let body = body?;
        let got = body.bytes().len();
        if u64::try_from(got).is_ok_and(|got| got > self.most) {
            return Some(DenyReason::BodySize { most: self.most, got });
        }
        let only = self.only.as_deref()?;
        if !body.is_object() {
            return Some(DenyReason::BodyShape);
        }
        let mut unlisted = body.members().filter(|(name, _)| !lists(only, name));
        unlisted.next().map(|(name, _)| DenyReason::BodyMember { name: name.into() })
    }
}

/// A deny rule, without its paths.
#[derive(Debug, Clone)]
pub(super) struct Deny {
    pub(super) name: RuleRef,
    /// With HEAD wherever there is GET.
    pub(super) methods: Methods,
    /// Folded names, sorted; absent: whatever the query.
    pub(super) names: Option<Vec<Box<str>>>,
    pub(super) reason: Option<Arc<str>>,
}

impl Deny {
    /// Whether method and query are those that it denies; the path is not asked.
    pub(super) fn is_about(&self, request: &Request) -> bool {
        self.methods.contains(request.method())
            && self.names.as_deref().is_none_or(|names| names_any(names, request.query()))
    }
}

fn names_any(names: &[Box<str>], query: &Query) -> bool {
    query.pairs().iter().any(|(name, _)| lists(names, &fold_name(name)))
}

fn lists(sorted: &[Box<str>], text: &str) -> bool {
    sorted.binary_search_by(|listed| (**listed).cmp(text)).is_ok()
}

/// A rule with its paths and the places of both, as the checks between rules need them.
#[derive(Debug)]
pub(super) struct Written<R> {
    pub(super) rule: R,
    pub(super) paths: Vec<WrittenPath>,
    pub(super) places: Places,
}

/// One path of a rule.
#[derive(Debug)]
pub(super) struct WrittenPath {
    pub(super) pattern: Pattern,
    pub(super) span: Range<usize>,
}

/// Where the parts of a rule stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub(super) id: Range<usize>,
    pub(super) methods: Range<usize>,
    pub(super) confirm: Option<Range<usize>>,
    pub(super) channel: Option<Range<usize>>,
    pub(super) preview: Option<Range<usize>>,
    pub(super) idempotency_key: Option<Range<usize>>,
    pub(super) encoded: Option<Range<usize>>,
    /// `query`, or else `body`.
    pub(super) limits: Option<Range<usize>>,
}
