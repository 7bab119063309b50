//! The policy: one file, one API, one statement of least privilege; and the decision about each request.
//!
//! Promises: what no rule allows is denied; a deny wins; a file with an error makes no policy; a decision cannot fail,
//! reads no clock and touches nothing outside. Trusts: the author of the file, and requests to be canonical, which their
//! type says. Refuses: every key, word, number and pattern that it does not know.

mod bond;
mod decide;
pub mod diff;
mod field;
mod file;
mod finding;
mod lint;
#[cfg(test)]
mod model;
mod pattern;
mod report;
mod rule;
mod sink;
mod spec;
mod tools;
mod trie;
mod verdict;
mod words;

use std::ops::Range;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub use self::decide::considered::{Considered, Part};
pub use self::decide::passage::Passage;
pub use self::decide::split::{Mention, Share, Split, Touch};
pub use self::field::{FieldPath, FieldPathError, Segment};
pub use self::finding::{Finding, Severity, nearest};
pub use self::pattern::{PathGlob, PatternError};
pub use self::report::{REPORT, ReportUntil};
pub use self::rule::{Limits, RuleInfo, RuleKind, RulePath, Terms};
pub use self::sink::{Destination, Endpoint, SinkSpec, Target};
pub use self::spec::{
    AuditSpec, ConfirmSpec, CredentialSpec, Format, LimitSpec, Place, Rate, ResponseSpec, SecretSpec, Source,
    SourceSpec, Sync, UpstreamSpec,
};
pub use self::tools::{Openapi, Selector, ToolMode, ToolSpec};
pub use self::verdict::{
    Approved, Authorized, Cause, Channel, Confirm, Denial, DenyReason, Effect, Grant, Held, Preview, RuleRef, Values,
    Verdict,
};

use self::bond::Bond;
use self::decide::Rules;
use self::file::File;
pub(crate) use self::file::headers::is_own_header;
use self::finding::Findings;
use self::rule::WrittenPath;
use crate::agent::Agent;
use crate::request::Request;
use crate::request::method::Method;

/// A policy without errors, ready to judge.
#[derive(Debug)]
pub struct Policy {
    file: String,
    name: String,
    text: String,
    hash: [u8; 32],
    upstream: UpstreamSpec,
    sources: Vec<Source>,
    limits: LimitSpec,
    confirm: ConfirmSpec,
    tools: ToolSpec,
    response: ResponseSpec,
    audit: AuditSpec,
    words: String,
    report: Option<ReportUntil>,
    rules: Rules,
    infos: Vec<RuleInfo>,
}

/// What came of reading a policy file.
#[derive(Debug)]
pub struct Parsed {
    /// The policy, if there is no error among the findings.
    pub policy: Option<Policy>,
    /// Everything that is wrong, in the order of the file.
    pub findings: Vec<Finding>,
    /// Places of the file whose text may be a secret: whoever shows the source covers them.
    pub hidden: Vec<Range<usize>>,
}

/// An allow path, and what it opens of the operations that an API is known to have.
#[derive(Debug)]
pub struct Opened<'p> {
    /// The rule.
    pub rule: &'p RuleInfo,
    /// Its path.
    pub path: &'p RulePath,
    /// The places of the operations, each with how it could pass.
    pub operations: Vec<(usize, Passage)>,
}

impl Policy {
    /// Reads a policy file's text; `file` is its name for messages. Reports every finding at once.
    #[must_use]
    pub fn parse(file: &str, text: &str) -> Parsed {
        let mut findings = Findings::new(text);
        let read = File::read(&mut findings);
        if let Some(read) = &read {
            lint::check(read, &mut findings);
        }
        let read = read.filter(|_| findings.errors() == 0);
        let (findings, hidden) = findings.finish();
        let policy = read.map(|read| Self::new(file, text, &hidden, read));
        Parsed { policy, findings, hidden }
    }

    fn new(file: &str, text: &str, hidden: &[Range<usize>], read: File) -> Self {
        let places = Findings::new(text);
        let path =
            |path: &WrittenPath| RulePath { text: path.pattern.text().into(), place: places.place(path.span.clone()) };
        let paths = |paths: &[WrittenPath]| paths.iter().map(path).collect();
        let allows = read.allows.iter().map(|allow| RuleInfo {
            name: allow.rule.name.clone(),
            kind: RuleKind::Allow,
            rate: allow.rule.rate,
            reason: allow.rule.reason.clone(),
            methods: allow.rule.methods,
            paths: paths(&allow.paths),
            terms: Some(allow.rule.terms()),
        });
        let denies = read.denies.iter().map(|deny| RuleInfo {
            name: deny.rule.name.clone(),
            kind: RuleKind::Deny,
            rate: None,
            reason: deny.rule.reason.clone(),
            methods: deny.rule.methods,
            paths: paths(&deny.paths),
            terms: None,
        });
        let words = words::words(&read);
        let infos = allows.chain(denies).collect();
        let rules = Rules::new(read.writes, read.allows, read.denies);
        Self {
            words,
            file: file.to_owned(),
            name: read.name,
            text: covered(text, hidden),
            hash: Sha256::digest(text.as_bytes()).into(),
            upstream: read.upstream,
            sources: read.sources,
            limits: read.limits,
            confirm: read.confirm,
            tools: read.tools,
            response: read.response,
            audit: read.audit,
            infos,
            rules: if read.report.is_some() { rules.reporting() } else { rules },
            report: read.report,
        }
    }

    /// Judges one request. All agents of one file have the same rights, but an approval is of one agent's request.
    pub fn authorize(&self, agent: &Agent, request: Request) -> Verdict {
        self.rules.judge(request, || Bond { agent: agent.clone(), api: self.name.as_str().into(), policy: self.hash })
    }

    /// Lets a read through that [`Policy::authorize`] denied for nothing but the lack of a rule, where `[access] report_until` says
    /// so and its time is not over; `now` is the time since the Unix epoch. Every other verdict stays.
    pub fn report(&self, verdict: Verdict, now: impl FnOnce() -> Duration) -> Verdict {
        match self.report.as_ref().filter(|report| !report.is_over(now())) {
            Some(report) => report.report(&self.rules, verdict),
            None => verdict,
        }
    }

    /// `[access] report_until`
    #[must_use]
    pub fn report_until(&self) -> Option<&ReportUntil> {
        self.report.as_ref()
    }

    /// Whether `[access] writes` is false, so that nothing but reads leaves.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.rules.is_read_only()
    }

    /// Whether some rule could let a request with this method through, now or after a human agrees.
    #[must_use]
    pub fn could_send(&self, method: Method) -> bool {
        self.rules.could_send(method)
    }

    /// Whether some request with this method could pass as a write, now or after a human agrees.
    #[must_use]
    pub fn could_write(&self, method: Method) -> bool {
        self.rules.could_write(method)
    }

    /// Whether some request could be held for a person who may answer at the desk. Wider than the truth where it cannot
    /// tell: a desk at which nobody asks does no harm.
    #[must_use]
    pub fn could_hold(&self) -> bool {
        self.rules.could_hold()
    }

    /// How a request with this method could pass whose path fits the template, in which each `{name}` stands for some
    /// text inside one segment. Wider than the truth where it cannot tell: to show an operation permits nothing.
    pub fn passage(&self, method: Method, template: &str) -> Passage {
        self.rules.passage(method, template)
    }

    /// Every rule that is about a request's path, and what it says: why [`Policy::authorize`] answers as it does.
    #[must_use]
    pub fn considered(&self, request: &Request) -> Vec<Considered> {
        self.rules.considered(request)
    }

    /// How the rules split the requests with this method whose path fits the template, or a pattern of the policy's
    /// own language.
    #[must_use]
    pub fn split(&self, method: Method, template: &str) -> Split {
        self.rules.split(method, template)
    }

    /// Every value that some rule lists for a name of the query: a decision asks of a value only whether it is one of these.
    pub fn listed_values<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.rules.listed_values(name)
    }

    /// Every rule and method with which some request could pass as a write, now or after a human agrees.
    pub fn writes(&self) -> impl Iterator<Item = (&RuleRef, Method)> {
        self.rules.writes()
    }

    /// What each allow path opens of these operations, each a method and a path template, in the order of the file.
    #[must_use]
    pub fn opened(&self, operations: &[(Method, &str)]) -> Vec<Opened<'_>> {
        let rules = self.infos.iter().filter(|rule| rule.kind == RuleKind::Allow);
        let paths = rules.flat_map(|rule| rule.paths.iter().map(move |path| (rule, path)));
        let opened = paths.zip(self.rules.opened(operations));
        opened.map(|((rule, path), operations)| Opened { rule, path, operations }).collect()
    }

    /// What is open and what is closed, for the agent.
    #[must_use]
    pub fn in_words(&self) -> &str {
        &self.words
    }

    /// The file's name, as given to [`Policy::parse`]: with a rule's line, `file:line`.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The API's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's text, with a `*` for each character that may be of a secret.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the file's bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// `[upstream]`
    #[must_use]
    pub fn upstream(&self) -> &UpstreamSpec {
        &self.upstream
    }

    /// Every file and secret that the policy names, with the place that names it.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// `[tools]`
    #[must_use]
    pub fn tools(&self) -> &ToolSpec {
        &self.tools
    }

    /// `[limits]`
    #[must_use]
    pub fn limits(&self) -> &LimitSpec {
        &self.limits
    }

    /// `[confirm]`
    #[must_use]
    pub fn confirm(&self) -> &ConfirmSpec {
        &self.confirm
    }

    /// `[response]`
    #[must_use]
    pub fn response(&self) -> &ResponseSpec {
        &self.response
    }

    /// `[audit]`
    #[must_use]
    pub fn audit(&self) -> &AuditSpec {
        &self.audit
    }

    /// Every rule, at the index that its [`RuleRef`] has: allow rules first, each kind in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[RuleInfo] {
        &self.infos
    }
}

/// The text with a `*` for each character within these spans.
fn covered(text: &str, spans: &[Range<usize>]) -> String {
    let hidden = |at: usize| spans.iter().any(|span| span.contains(&at));
    text.char_indices().map(|(at, c)| if c != '\n' && hidden(at) { '*' } else { c }).collect()
}
