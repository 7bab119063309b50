//! One line from a client becomes one message, or a refusal.
//!
//! One strict pass over the line (UTF-8, grammar, depth, duplicate keys, the id's type) finds the spans that matter. A
//! `tools/call` is built from them: its `arguments` stay the raw text that arrived, so that a body is later sent as the
//! very bytes that were checked. Every other message is small and is read again by rmcp's own types.

use std::ops::Range;
use std::sync::Arc;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientJsonRpcMessage, ClientRequest, ErrorCode, MetaObject, RequestId,
    RequestMetaObject,
};
use serde_json::value::RawValue;

use super::reply;
use crate::confirm::person::Retry;
use crate::json::{self, Numbers};

/// Nesting of a whole frame: the envelope's 3 levels, a body's 32, and room for `_meta`.
const MAX_DEPTH: usize = 64;
/// What is left of it for `params.arguments`, with its own object.
pub const MAX_ARGUMENTS_DEPTH: usize = MAX_DEPTH - 2;
/// Bytes of a string id; it is echoed and kept while the call runs.
const MAX_ID_BYTES: usize = 256;

/// The longest answer to a question of ours, in bytes: a form with one field.
const MAX_ANSWER: usize = 64 << 10;

/// What a line turned out to be.
#[derive(Debug)]
pub enum Frame {
    /// A request, with the id it must be answered under.
    Request(RequestId, ClientJsonRpcMessage),
    /// The client gives up on a request of its own.
    Cancel(RequestId, ClientJsonRpcMessage),
    /// A notification that rmcp should see.
    Notification(ClientJsonRpcMessage),
    /// The answer to a question of ours, if one with that id was asked.
    Answer(RequestId, String),
    /// A notification nobody listens to.
    Ignored,
    /// Not a message: answered with an error and logged.
    Refused(Refused),
}

/// Why a line is refused.
#[derive(Debug)]
pub struct Refused {
    /// The id to answer under; none where it could not be read.
    pub id: Option<RequestId>,
    /// One of JSON-RPC's.
    pub code: ErrorCode,
    /// For the client and the log alike: it repeats nothing of the line.
    pub message: &'static str,
    /// The method, where it is the fault.
    pub name: Option<String>,
}

/// What a repeated `tools/call` brings back from the person, handed to the handler beside the message.
#[derive(Debug, Clone)]
pub(super) struct Brought(pub(super) Retry);

/// The `arguments` of a `tools/call` exactly as they arrived, handed to the handler beside the message.
#[derive(Debug, Clone)]
pub(super) struct RawArguments(pub(super) Arc<str>);

type Span = Range<usize>;

/// The members that decide what a message is.
#[derive(Debug, Default)]
struct Envelope {
    jsonrpc: Option<Span>,
    id: Option<Span>,
    method: Option<Span>,
    params: Option<Span>,
    answer: bool,
    inner: Params,
}

#[derive(Debug, Default)]
struct Params {
    name: Option<Span>,
    arguments: Option<Span>,
    meta: Option<Span>,
    request_state: Option<Span>,
    input_responses: Option<Span>,
}

const PARSE: &str = "this line is not one strict JSON document: valid UTF-8, no duplicate keys, nested at most 64 deep";
const INVALID: &str = "this is not a JSON-RPC 2.0 message as MCP defines it";
const TOO_LONG: &str = "the message is longer than 1 MiB";

/// Reads one whole line.
#[must_use]
pub fn read(line: &[u8]) -> Frame {
    let Ok(text) = std::str::from_utf8(line) else { return refuse(None, ErrorCode::PARSE_ERROR, PARSE) };
    let mut envelope = Envelope::default();
    // A number that is not exact is refused where it is used, with the code of a bad request.
    match json::scan_with(text, MAX_DEPTH, Numbers::Any, &mut |member| envelope.note(&member)) {
        Ok(()) => envelope.message(text),
        Err(_) => refuse(None, ErrorCode::PARSE_ERROR, PARSE),
    }
}

/// Judges a line that was cut at the cap: whoever waits for the answer of a call is told so under its id.
pub(super) fn read_cut(prefix: &[u8]) -> Refused {
    let text = String::from_utf8_lossy(prefix);
    let mut envelope = Envelope::default();
    // The text ends in the middle, so the pass fails; what it has seen by then is enough.
    json::scan_with(&text, MAX_DEPTH, Numbers::Any, &mut |member| envelope.note(&member)).ok();
    let id = envelope.id.as_ref().and_then(|span| id(text.get(span.clone())?));
    let call = envelope.method.is_some_and(|span| text.get(span) == Some("\"tools/call\""));
    match id.filter(|_| call) {
        Some(id) => Refused { id: Some(id), code: ErrorCode::INVALID_PARAMS, message: TOO_LONG, name: None },
        None => Refused { id: None, code: ErrorCode::INVALID_REQUEST, message: TOO_LONG, name: None },
    }
}

impl Envelope {
    fn note(&mut self, member: &json::Member<'_>) {
        let value = || Some(member.value.clone());
        match (member.depth, member.key.as_ref()) {
            (1, "jsonrpc") => self.jsonrpc = value(),
            (1, "id") => self.id = value(),
            (1, "method") => self.method = value(),
            (1, "params") => self.params = value(),
            (1, "result" | "error") => self.answer = true,
            // Members come before the member that holds them: whatever is left when `params` ends is its own.
            (1, _) if self.params.is_none() => self.inner = Params::default(),
            (2, "name") if self.params.is_none() => self.inner.name = value(),
            (2, "arguments") if self.params.is_none() => self.inner.arguments = value(),
            (2, "_meta") if self.params.is_none() => self.inner.meta = value(),
            (2, "requestState") if self.params.is_none() => self.inner.request_state = value(),
            (2, "inputResponses") if self.params.is_none() => self.inner.input_responses = value(),
            _ => {}
        }
    }

    fn message(self, text: &str) -> Frame {
        let part = |span: &Option<Span>| span.as_ref().and_then(|s| text.get(s.clone()));
        let id = part(&self.id).map(id);
        let known = id.clone().flatten();
        let version = part(&self.jsonrpc);
        if version != Some("\"2.0\"")
            || id.as_ref().is_some_and(Option::is_none)
            || (self.method.is_some() && self.answer)
        {
            return refuse(known, ErrorCode::INVALID_REQUEST, INVALID);
        }
        let Some(method) = part(&self.method) else {
            return match (self.answer, known) {
                (true, Some(id)) if text.len() <= MAX_ANSWER => Frame::Answer(id, text.to_owned()),
                (true, _) => Frame::Ignored,
                (false, known) => refuse(known, ErrorCode::INVALID_REQUEST, INVALID),
            };
        };
        let Ok(method) = serde_json::from_str::<String>(method) else {
            return refuse(known, ErrorCode::INVALID_REQUEST, INVALID);
        };
        if part(&self.params).is_some_and(|p| !p.starts_with('{')) {
            return match known {
                Some(_) => refuse(known, ErrorCode::INVALID_PARAMS, "`params` must be an object"),
                None => Frame::Ignored,
            };
        }
        match known {
            Some(id) => self.request(text, id, method),
            None => notification(text, &method),
        }
    }

    fn request(self, text: &str, id: RequestId, method: String) -> Frame {
        match method.as_str() {
            "tools/call" => match self.inner.call(text) {
                Ok(call) => {
                    Frame::Request(id.clone(), ClientJsonRpcMessage::request(ClientRequest::CallToolRequest(call), id))
                }
                Err(message) => refuse(Some(id), ErrorCode::INVALID_PARAMS, message),
            },
            "initialize"
            | "ping"
            | "server/discover"
            | "tools/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "subscriptions/listen" => match serde_json::from_str(text) {
                Ok(message) => Frame::Request(id, message),
                Err(_) => refuse(Some(id), ErrorCode::INVALID_PARAMS, "the parameters do not fit the method"),
            },
            _ => Frame::Refused(Refused {
                id: Some(id),
                code: ErrorCode::METHOD_NOT_FOUND,
                message: "this server does not have that method",
                name: Some(method),
            }),
        }
    }
}

impl Params {
    fn call(self, text: &str) -> Result<CallToolRequest, &'static str> {
        let part = |span: &Option<Span>| span.as_ref().and_then(|s| text.get(s.clone()));
        let name = part(&self.name)
            .and_then(|n| serde_json::from_str::<String>(n).ok())
            .ok_or("`params.name` must be a string")?;
        let arguments = part(&self.arguments).unwrap_or("{}");
        if !arguments.starts_with('{') {
            return Err("`params.arguments` must be an object");
        }
        let mut call = CallToolRequest::new(CallToolRequestParams::new(name));
        call.extensions.insert(RawArguments(arguments.into()));
        if let Some(retry) = reply::retry(part(&self.request_state), part(&self.input_responses))? {
            call.extensions.insert(Brought(retry));
        }
        if let Some(meta) = part(&self.meta) {
            let meta: MetaObject = serde_json::from_str(meta).map_err(|_| "`params._meta` must be an object")?;
            call.extensions.insert(RequestMetaObject(meta));
        }
        Ok(call)
    }
}

fn notification(text: &str, method: &str) -> Frame {
    match method {
        "notifications/cancelled" => match (cancelled_id(text), serde_json::from_str(text)) {
            (Some(id), Ok(message)) => Frame::Cancel(id, message),
            (None, _) | (_, Err(_)) => Frame::Ignored,
        },
        "notifications/initialized" => serde_json::from_str(text).map_or(Frame::Ignored, Frame::Notification),
        _ => Frame::Ignored,
    }
}

fn cancelled_id(text: &str) -> Option<RequestId> {
    #[derive(serde::Deserialize)]
    struct Notice<'a> {
        #[serde(borrow)]
        params: Which<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Which<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    id(serde_json::from_str::<Notice<'_>>(text).ok()?.params.request_id.get())
}

/// An id: a string, or an integer written as one (MCP "Requests": never null; no fraction).
fn id(text: &str) -> Option<RequestId> {
    if text.starts_with('"') {
        let id: String = serde_json::from_str(text).ok()?;
        return (id.len() <= MAX_ID_BYTES).then(|| RequestId::String(id.into()));
    }
    text.parse().ok().map(RequestId::Number)
}

fn refuse(id: Option<RequestId>, code: ErrorCode, message: &'static str) -> Frame {
    Frame::Refused(Refused { id, code, message, name: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> Option<(i32, Option<RequestId>)> {
        match read(line.as_bytes()) {
            Frame::Refused(refused) => Some((refused.code.0, refused.id)),
            Frame::Request(..) | Frame::Cancel(..) | Frame::Notification(_) | Frame::Answer(..) | Frame::Ignored => {
                None
            }
        }
    }

    fn arguments(line: &str) -> Option<String> {
        let Frame::Request(_, ClientJsonRpcMessage::Request(request)) = read(line.as_bytes()) else { return None };
        let ClientRequest::CallToolRequest(call) = request.request else { return None };
        call.extensions.get::<RawArguments>().map(|raw| raw.0.to_string())
    }

    #[test]
    fn arguments_stay_the_bytes_that_arrived_wherever_they_stand() {
        let raw = r#"{ "path":"\u002fa",  "body": {"n":1.50, "m": [ 1 ]} }"#;
        for line in [
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"api_send","arguments":{raw}}}}}"#
            ),
            format!(
                r#"{{"params":{{"arguments":{raw},"name":"api_send"}},"method":"tools/call","id":"x","jsonrpc":"2.0"}}"#
            ),
            format!(
                r#"{{"x":{{"name":"evil","arguments":{{"path":"/evil"}}}},"params":{{"_meta":{{"arguments":{{"a":1}}}},"name":"api_send","arguments":{raw}}},"y":{{"name":"z","arguments":{{}}}},"jsonrpc":"2.0","id":1,"method":"tools/call"}}"#
            ),
        ] {
            assert_eq!(arguments(&line).as_deref(), Some(raw), "{line}");
        }
    }

    #[test]
    fn a_number_that_is_not_exact_is_left_to_the_call_it_stands_in() {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"api_send","arguments":{"body":{"n":1e999}}}}"#;
        assert_eq!(arguments(line).as_deref(), Some(r#"{"body":{"n":1e999}}"#));
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_code_of_its_kind() {
        let one = Some(RequestId::Number(1));
        for (line, wanted) in [
            ("{", (-32700, None)),
            ("\u{feff}{}", (-32700, None)),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","\u0069d":2}"#, (-32700, None)),
            ("42", (-32600, None)),
            ("[]", (-32600, None)),
            (r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#, (-32600, one.clone())),
            (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#, (-32600, None)),
            (r#"{"jsonrpc":"2.0","id":1.0,"method":"tools/list"}"#, (-32600, None)),
            (r#"{"jsonrpc":"2.0","id":1e2,"method":"tools/list"}"#, (-32600, None)),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, (-32600, one.clone())),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","error":{}}"#, (-32600, one.clone())),
            (r#"{"jsonrpc":"2.0","id":1,"method":"Tools/list"}"#, (-32601, one.clone())),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#, (-32602, one.clone())),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}"#, (-32602, one.clone())),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"api_get","arguments":[]}}"#,
                (-32602, one.clone()),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"api_get","requestState":{}}}"#,
                (-32602, one),
            ),
        ] {
            assert_eq!(code(line), Some(wanted), "{line}");
        }
    }

    #[test]
    fn notifications_that_nobody_waits_for_are_ignored_and_answers_are_told_apart() {
        let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
        assert!(matches!(read(answer.as_bytes()), Frame::Answer(RequestId::Number(7), text) if text == answer));
        let long = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"x":"{}"}}}}"#, "x".repeat(MAX_ANSWER));
        assert!(matches!(read(long.as_bytes()), Frame::Ignored));
        for line in [
            r#"{"jsonrpc":"2.0","method":"notifications/made_up"}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"api_get","arguments":{"path":"/a"}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{"a":1}}}"#,
        ] {
            assert!(matches!(read(line.as_bytes()), Frame::Ignored), "{line}");
        }
    }

    #[test]
    fn a_call_that_was_cut_at_the_cap_is_answered_under_its_id() {
        let call =
            r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"api_get","arguments":{"path":"/aaaa"#;
        let refused = read_cut(call.as_bytes());
        assert_eq!((refused.code.0, refused.id), (-32602, Some(RequestId::Number(9))));
        let refused = read_cut(br#"{"jsonrpc":"2.0","id":9,"method":"aaaaaaa"#);
        assert_eq!((refused.code.0, refused.id), (-32600, None));
    }
}
