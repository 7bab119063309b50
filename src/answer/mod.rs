//! Shapes what an agent gets: text blocks, capped. Promises that a refusal is one JSON object; trusts that the
//! upstream has already taken the credential out of its reply.

use serde::Serialize;

use crate::policy::RuleRef;
use crate::refusal::{Code, Refusal};

/// The content of a tool result: text blocks, and whether it is an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Shaped {
    /// The text blocks, in order; never empty.
    pub blocks: Vec<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Notes {
    status: u16,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    headers: serde_json::Map<String, serde_json::Value>,
}

impl Shaped {
    /// `{"error": {…}}` for a call that was not sent, or whose answer cannot be given.
    #[must_use]
    pub fn refusal(refusal: &Refusal, call: &str) -> Self {
        Self::error(refusal, call, None, None)
    }

    /// An answer that is no success: the refusal, the status and the body that came with it, cut to `max_bytes`.
    #[must_use]
    pub fn failure(refusal: &Refusal, call: &str, facts: &Facts, body: &[u8], max_bytes: usize) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default();
        Self::error(refusal, call, Some(facts), (!text.is_empty()).then_some(text))
    }

    fn error(refusal: &Refusal, call: &str, facts: Option<&Facts>, body: Option<&str>) -> Self {
        let error = ErrorBody {
            code: refusal.code.as_str(),
            message: &refusal.message,
            rule: refusal.rule.as_ref().map(RuleRef::id),
            status: facts.map(|f| f.status),
            location: facts.and_then(|f| f.location.as_deref()),
            body,
            retry_after_seconds: refusal.retry_after_seconds(),
            request_id: call,
        };
        Self { blocks: vec![json(&ErrorObject { error })], is_error: true }
    }

    /// A success: the body as it came; beside it the status and the headers worth knowing, where there are any.
    #[must_use]
    pub fn success(facts: Facts, body: String) -> Self {
        let telling = body.is_empty() || facts.headers.iter().any(|(name, _)| name != "content-type");
        let mut blocks = Vec::with_capacity(2);
        if !body.is_empty() {
            blocks.push(body);
        }
        if telling {
            let headers = facts.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
            blocks.push(json(&Notes { status: facts.status, headers }));
        }
        Self { blocks, is_error: false }
    }
}

/// Plain structs of strings and numbers: serializing them does not fail; if it did, an error without details is left.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|_| format!("{{\"error\":{{\"code\":\"{}\"}}}}", Code::Internal.as_str()))
}
