//! What a log tells of requests, so that a policy can be asked about them again.
//!
//! Promises that a request which is put together again gets the verdict that the one in the log would get: a decision asks of
//! a value only whether a rule lists it, and that the digests tell. Where the log does not tell it, both ways are tried, and
//! what differs is not decided.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::{RawValue, to_raw_value};

use super::audit::calls::Item;
use super::audit::read::{Hidden, ReadError, read};
use super::audit::record::{LoggedBody, Record};
use super::audit::select::Select;
use crate::audit::digest::DigestKey;
use crate::policy::Policy;
use crate::request::body::DeleteBody;
use crate::request::{RawRequest, Request};

/// A value that no policy lists.
const UNLISTED: &str = "a value that no rule lists";
/// The most requests that one of a log can have been.
const MOST_WAYS: usize = 16;

/// One request of a log, and what the gate made of it.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, Recalled)>,
    pub(super) body: Option<LoggedBody>,
    pub(super) decided: Decided,
}

/// The value of a name, as far as the log tells it.
#[derive(Debug, Clone)]
pub(super) enum Recalled {
    Digest(String),
    Clear(String),
    Nothing,
}

/// What the policy in force said of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Decided {
    Denied,
    Held,
    Reported,
    Allowed,
}

impl Decided {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Held => "held",
            Self::Reported => "reported",
            Self::Allowed => "allowed",
        }
    }

    /// `None` where no policy was asked, or something else ended the call.
    fn of(question: &Record) -> Option<Self> {
        let code = question.code();
        match (question.verdict.as_str(), code.as_deref(), &question.person) {
            ("report", ..) => Some(Self::Reported),
            ("allow", _, None) => Some(Self::Allowed),
            ("allow", _, Some(_)) | (_, Some("approval_required" | "declined" | "approval_expired"), _) => {
                Some(Self::Held)
            }
            (_, Some("denied"), _) => Some(Self::Denied),
            _ => None,
        }
    }
}

/// Everything that a log or a directory of logs tells of requests.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) requests: Vec<Logged>,
    /// Calls that made no request, or that a limit, a fault or the client ended.
    pub(super) others: u64,
    /// The newest policy that was in force, as the log has it.
    pub(super) policy: Option<String>,
    /// The names of the digest keys that the logs were written with.
    pub(super) keys: Vec<String>,
    pub(super) hidden: Hidden,
}

/// Requests that are kept in memory: a day of a busy agent, and a bound.
const MOST: usize = 1_000_000;
/// What they may take of it, in bytes.
const MOST_BYTES: usize = 512 << 20;

/// What the agent of `portcullis doctor` is called.
const DOCTOR: &str = "doctor:";

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the log holds more than {MOST} requests, or {} MB of them; choose some with --since and --until", MOST_BYTES >> 20)]
    TooMany,
}

impl History {
    /// # Errors
    /// [`HistoryError`]. What does not verify is left out and stands in `hidden`.
    pub(super) fn read(path: &Path, select: &Select) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        let (mut newest, mut bytes) = (String::new(), 0_usize);
        // Of the log that is read: nothing counts of one that only the doctor wrote.
        let mut begun: Option<Record> = None;
        // The beginnings of logs are needed whatever is chosen.
        let hidden = read(path, &Select::default(), &mut |_, item| {
            match item {
                Item::Call(question, answer) => {
                    if question.record.agent.starts_with(DOCTOR) {
                        return Ok(());
                    }
                    if let Some(start) = begun.take() {
                        history.begin(start, &mut newest);
                    }
                    let is_wanted = select.takes_call(&question.record, answer.as_deref().map(|answer| &answer.record));
                    if is_wanted && !is_too_much(history.requests.len(), bytes) {
                        bytes += history.take(&question.record);
                    }
                }
                Item::Event(line) if line.record.kind == "start" => begun = Some(line.record),
                // Put in force while the gateway ran, which no doctor does.
                Item::Event(line) if line.record.kind == "policy" => {
                    begun.take().into_iter().for_each(|start| history.begin(start, &mut newest));
                    history.force(line.record, &mut newest);
                }
                Item::Event(line) if line.record.kind == "continue" => history.name_key(&line.record),
                Item::Event(_) => {}
            }
            Ok(())
        })?;
        if is_too_much(history.requests.len(), bytes) {
            return Err(HistoryError::TooMany);
        }
        history.hidden = hidden;
        history.requests.sort_by(|a, b| (&a.time, a.seq).cmp(&(&b.time, b.seq)));
        Ok(history)
    }

    fn begin(&mut self, start: Record, newest: &mut String) {
        self.name_key(&start);
        self.force(start, newest);
    }

    /// Takes the policy of a record for the one in force, if it is the newest.
    fn force(&mut self, record: Record, newest: &mut String) {
        if record.time >= *newest {
            newest.clone_from(&record.time);
            self.policy = Some(record.policy_text);
        }
    }

    fn name_key(&mut self, record: &Record) {
        if !self.keys.contains(&record.key) {
            self.keys.push(record.key.clone());
        }
    }

    /// Keeps a request; how many bytes it takes.
    fn take(&mut self, question: &Record) -> usize {
        let Some(decided) = Decided::of(question).filter(|_| !question.method.is_empty()) else {
            self.others += 1;
            return 0;
        };
        let clear = question.values == "full";
        let told = |pair: &Vec<String>| {
            let value = match pair.get(1) {
                None => Recalled::Nothing,
                Some(value) if clear && value == "[redacted]" => Recalled::Nothing,
                Some(value) if clear => Recalled::Clear(value.clone()),
                Some(digest) => Recalled::Digest(digest.clone()),
            };
            Some((pair.first()?.clone(), value))
        };
        let logged = Logged {
            seq: question.seq,
            time: question.time.clone(),
            method: question.method.clone(),
            path: question.path.clone(),
            query: question.query.iter().filter_map(told).collect(),
            body: question.body.clone(),
            decided,
        };
        let bytes = logged.bytes();
        self.requests.push(logged);
        bytes
    }
}

/// Whether a history is beyond its bounds.
fn is_too_much(requests: usize, bytes: usize) -> bool {
    requests > MOST || bytes > MOST_BYTES
}

impl Logged {
    /// What it takes of memory, about.
    fn bytes(&self) -> usize {
        let told = |told: &Recalled| match told {
            Recalled::Digest(text) | Recalled::Clear(text) => text.len(),
            Recalled::Nothing => 0,
        };
        let query = self.query.iter().map(|(name, value)| size_of::<(String, Recalled)>() + name.len() + told(value));
        let names = self.body.iter().flat_map(|body| &body.names);
        let body = names.map(|pair| pair.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>());
        let texts = self.time.len() + self.method.len() + self.path.len();
        size_of::<Self>() + texts + query.sum::<usize>() + body.sum::<usize>()
    }

    /// Puts it together again, for a decision of this policy: every request that it can have been, as far as a decision can
    /// tell them apart; nothing where these are too many, or where this build takes it for no request. `key` is the one that
    /// its digests were made with.
    pub(super) fn again(&self, policy: &Policy, key: Option<&DigestKey>) -> Vec<Request> {
        let choices: Vec<Vec<String>> = self.query.iter().map(|pair| candidates(pair, policy, key)).collect();
        let ways = choices.iter().try_fold(1_usize, |ways, values| ways.checked_mul(values.len()));
        if ways.is_none_or(|ways| ways > MOST_WAYS) {
            return Vec::new();
        }
        let mut queries: Vec<Vec<&str>> = vec![Vec::new()];
        for values in &choices {
            let longer = queries.iter().flat_map(|query| {
                values.iter().map(|value| query.iter().copied().chain([value.as_str()]).collect::<Vec<_>>())
            });
            queries = longer.collect();
        }
        let body = self.body.as_ref().map(again);
        let made = queries.iter().map(|values| self.request(values, body.as_deref()));
        // All or none: what is left out could be what it was.
        made.collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn request(&self, values: &[&str], body: Option<&str>) -> Option<Request> {
        let mut query: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for ((name, _), value) in self.query.iter().zip(values) {
            query.entry(name).or_default().push(value);
        }
        let query: Option<Box<RawValue>> = (!query.is_empty()).then(|| to_raw_value(&query).ok()).flatten();
        let body = body.and_then(|text| RawValue::from_string(text.to_owned()).ok());
        let raw = RawRequest {
            method: &self.method,
            path: &self.path,
            query: query.as_deref(),
            headers: None,
            body: body.as_deref(),
            // The gate took it.
            delete_body: DeleteBody::Declared,
        };
        Request::parse(&raw).ok()
    }
}

/// Values of which one gets the verdict that the value in the log would get.
fn candidates((name, told): &(String, Recalled), policy: &Policy, key: Option<&DigestKey>) -> Vec<String> {
    let mut listed: Vec<&str> = policy.listed_values(name).collect();
    listed.sort_unstable();
    listed.dedup();
    let any = || listed.iter().copied().chain([UNLISTED]).map(str::to_owned).collect();
    match (told, key) {
        (Recalled::Clear(value), _) => vec![value.clone()],
        (Recalled::Digest(digest), Some(key)) => {
            let value = listed.iter().find(|value| key.of_query(name, value) == *digest);
            vec![value.copied().unwrap_or(UNLISTED).to_owned()]
        }
        (Recalled::Digest(_), None) | (Recalled::Nothing, _) => any(),
    }
}

/// A body of that kind and size, with these members.
fn again(body: &LoggedBody) -> String {
    if body.array {
        return padded("[".to_owned(), body.bytes, ']');
    }
    let names = body.names.iter().filter_map(|pair| pair.first());
    let members: Vec<String> = names.map(|name| format!("{}:0", serde_json::Value::from(name.as_str()))).collect();
    padded(format!("{{{}", members.join(",")), body.bytes, '}')
}

/// White space between tokens is part of a body's size.
fn padded(open: String, bytes: usize, close: char) -> String {
    let spaces = bytes.saturating_sub(open.len() + 1);
    format!("{open}{}{close}", " ".repeat(spaces))
}
