//! Shapes what an agent gets: text blocks, redacted, compact and capped.
//!
//! Promises that no value which the policy redacts is shown, in a success, an error or a remainder; that an answer which
//! is too long is cut so that it stays JSON, and says what is missing; and that a refusal is one JSON object. Refuses
//! binary answers, and JSON in which nothing could be redacted. Trusts that the upstream has already taken the credential
//! out of its reply.

mod ask;
mod cursor;
mod cut;
mod edit;
mod media;
mod part;
mod place;
mod rewrite;
mod rows;
mod select;
mod spans;
mod store;
mod stray;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

pub use self::ask::{Ask, AskError};
pub use self::store::{MAX_AGE, MAX_BYTES, MAX_EACH, MAX_HANDLES, Rest, Store};

use self::media::Media;
pub use self::media::Unreadable;
use self::part::{Cut, Part};
use self::rewrite::{Rewritten, rewrite};
use crate::agent::Agent;
use crate::json::{DEPTH_LIMIT, scan};
use crate::policy::{FieldPath, Format, ResponseSpec, RuleRef};
use crate::refusal::{Code, Refusal};

/// The content of a tool result: text blocks, and whether it is an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shaped {
    /// The text blocks, in order; empty only beside structured content.
    pub blocks: Vec<String>,
    /// A JSON object instead of the first block, in which every number survives being read (MCP `structuredContent`).
    pub structured: Option<String>,
    /// Whether the agent has to take it as a failure (MCP `isError`).
    pub is_error: bool,
}

/// What the upstream answered, as far as the agent may see it.
#[derive(Debug)]
pub struct Facts {
    /// The HTTP status.
    pub status: u16,
    /// The headers that an agent may see, lower-case names.
    pub headers: Vec<(String, String)>,
    /// Where a redirect leads, when it stays on the same origin.
    pub location: Option<String>,
    /// When the upstream says that a repeat may pass.
    pub retry_after: Option<Duration>,
}

/// How an answer is to be shaped, and for whom.
#[derive(Debug)]
pub struct View<'a> {
    /// What the policy says of answers.
    pub response: &'a ResponseSpec,
    /// What the agent asked for.
    pub ask: &'a Ask,
    /// Holds what does not fit.
    pub store: &'a Store,
    /// Who asked.
    pub agent: &'a Agent,
    /// The call's name in the log.
    pub call: &'a str,
}

/// Shapes what the upstream answered; with the refusal that it became, if it is no success (2xx, and 304, whose body is
/// empty).
#[must_use]
pub fn shape(facts: Facts, body: Vec<u8>, view: &View<'_>) -> (Shaped, Option<Refusal>) {
    let failed =
        |message: String| Refusal { retry_after: facts.retry_after, ..Refusal::new(Code::UpstreamError, message) };
    let redact = view.response.redact.as_slice();
    let message = match facts.status {
        200..=299 | 304 => match Document::read(&facts, body, redact, view.ask.fields.as_deref()) {
            Ok(document) => return (Shaped::success(facts, document, view), None),
            Err(unreadable) => {
                let refusal = failed(unreadable.to_string());
                let shaped = Shaped::error(&refusal, view.call, Some(&facts), ErrorText::default());
                return (shaped, Some(refusal));
            }
        },
        300..=399 => format!("the API answered with a redirect ({}), which is never followed", facts.status),
        _ => format!("the API answered with status {}", facts.status),
    };
    let refusal = failed(message);
    let text = match Document::read(&facts, body, redact, None) {
        // Nothing is held of an error.
        Ok(document) => {
            let part = part::first(document.text, document.values, None, false, max_bytes(view.response));
            let body = Some(part.text).filter(|text| !text.is_empty());
            ErrorText { body, cut: part.cut.map(Cut::of_error), omitted: None }
        }
        Err(unreadable) => ErrorText { omitted: Some(unreadable.to_string()), ..ErrorText::default() },
    };
    (Shaped::error(&refusal, view.call, Some(&facts), text), Some(refusal))
}

/// The text of an answer, redacted and whole.
///
/// # Errors
/// It cannot be read, or not so that it can be redacted.
pub fn redacted(facts: &Facts, body: Vec<u8>, response: &ResponseSpec) -> Result<String, Unreadable> {
    Document::read(facts, body, &response.redact, None).map(|document| document.text)
}

/// A JSON text without the values of these members, and without white space; nothing of a text that cannot be read.
#[must_use]
pub fn without(text: &str, redact: &[FieldPath]) -> Option<String> {
    rewrite(text, text.len(), redact, None).ok().map(|rewritten| rewritten.text.of(text.to_owned()))
}

impl Rest {
    /// The next part of an answer that was cut, of at most `max_bytes`, with a handle of what is left after it.
    #[must_use]
    pub fn shape(self, max_bytes: usize) -> Shaped {
        let Part { text, cut, .. } = self.next(max_bytes);
        let notes = Notes { cut: cut.as_ref(), ..Notes::default() };
        Shaped { blocks: vec![text, json(&notes)], structured: None, is_error: false }
    }
}

/// The text of an answer, redacted.
struct Document {
    text: String,
    /// How many JSON values it is; none of a text of another kind.
    values: usize,
    /// Whether anything that was asked for is in it.
    found: bool,
}

impl Document {
    fn read(
        facts: &Facts,
        body: Vec<u8>,
        redact: &[FieldPath],
        fields: Option<&[FieldPath]>,
    ) -> Result<Self, Unreadable> {
        if body.is_empty() {
            return Ok(Self { text: String::new(), values: 0, found: true });
        }
        let media = facts.headers.iter().find(|(name, _)| name == "content-type");
        let media = Media::parse(media.map(|(_, value)| value.as_str()).unwrap_or_default());
        let text = media.text(body)?;
        let claims = media.claims_json(&text);
        let may_hide = |text: &str| !redact.is_empty() && stray::may_hold(text, redact);
        let plain = text.trim_ascii().is_empty() || !(claims || text.trim_start().starts_with('[') || may_hide(&text));
        if plain {
            return Ok(Self { text, values: 0, found: true });
        }
        match rewrite(&text, text.capacity(), redact, fields) {
            Ok(Rewritten { text: new, values, found }) => Ok(Self { text: new.of(text), values, found }),
            Err(_) if claims && !redact.is_empty() => Err(Unreadable::NotJson),
            Err(_) if may_hide(&text) => Err(Unreadable::Mixed),
            Err(_) => Ok(Self { text, values: 0, found: true }),
        }
    }
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    #[serde(flatten)]
    text: ErrorText,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalBody<'a>>,
    request_id: &'a str,
}

/// What names the question to the person who may approve it.
#[derive(Serialize)]
struct ApprovalBody<'a> {
    code: &'a str,
    expires_in_seconds: u64,
}

/// The body of an answer that is no success and what is missing of it, or why it is not shown.
#[derive(Default, Serialize)]
struct ErrorText {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(rename = "body_cut", skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    #[serde(rename = "body_omitted", skip_serializing_if = "Option::is_none")]
    omitted: Option<String>,
}

#[derive(Default, Serialize)]
struct Notes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    headers: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<&'a Cut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl Shaped {
    /// One text, as it is.
    #[must_use]
    pub fn text(text: String) -> Self {
        Self { blocks: vec![text], structured: None, is_error: false }
    }

    /// One value as compact JSON.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        Self::text(json(value))
    }

    /// `{"error": {…}}` for a call that was not sent, or whose answer cannot be given.
    #[must_use]
    pub fn refusal(refusal: &Refusal, call: &str) -> Self {
        Self::error(refusal, call, None, ErrorText::default())
    }

    fn error(refusal: &Refusal, call: &str, facts: Option<&Facts>, text: ErrorText) -> Self {
        let error = ErrorBody {
            code: refusal.code.as_str(),
            message: &refusal.message,
            rule: refusal.rule.as_ref().map(RuleRef::id),
            status: facts.map(|f| f.status),
            location: facts.and_then(|f| f.location.as_deref()),
            text,
            retry_after_seconds: refusal.retry_after_seconds(),
            approval: refusal
                .approval
                .as_deref()
                .map(|waits| ApprovalBody { code: &waits.code, expires_in_seconds: waits.left.as_secs() }),
            request_id: call,
        };
        Self { blocks: vec![json(&ErrorObject { error })], structured: None, is_error: true }
    }

    /// A success: the body; beside it what is missing of it, and the status and headers worth knowing, where there are any.
    fn success(facts: Facts, document: Document, view: &View<'_>) -> Self {
        let Document { text, values, found } = document;
        let format = view.ask.format.unwrap_or(view.response.format);
        let nothing = "nothing that `fields` names is in the answer; paths begin at its root, through arrays";
        let note = (!found).then_some(nothing);
        let mut part = part::first(text, values, view.ask.from, format == Format::Toon, max_bytes(view.response));
        view.store.keep(view.agent, &mut part);
        let Part { text, cut, .. } = part;
        let telling = text.is_empty() || facts.headers.iter().any(|(name, _)| name != "content-type");
        let mut shaped = Self { blocks: Vec::with_capacity(2), structured: None, is_error: false };
        if format == Format::Structured && values == 1 && is_exact_object(&text) {
            shaped.structured = Some(text);
        } else if !text.is_empty() {
            shaped.blocks.push(text);
        }
        if telling || cut.is_some() || note.is_some() {
            let headers = facts.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
            shaped.blocks.push(json(&Notes { status: Some(facts.status), headers, cut: cut.as_ref(), note }));
        }
        shaped
    }
}

/// Whether a text is an object that means the same to every reader: structured content is read and written again.
fn is_exact_object(text: &str) -> bool {
    text.starts_with('{') && scan(text, DEPTH_LIMIT, &mut |_| ()).is_ok()
}

fn max_bytes(response: &ResponseSpec) -> usize {
    usize::try_from(response.max_bytes).unwrap_or(usize::MAX)
}

/// Plain structs of strings and numbers: serializing them does not fail; if it did, an error without details is left.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|_| format!("{{\"error\":{{\"code\":\"{}\"}}}}", Code::Internal.as_str()))
}
