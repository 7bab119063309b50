//! The two tools that need no document: any path, through the same gate.
//!
//! Only names and shapes are looked at here; what the parts may hold is judged by `request`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::members::Members;
use crate::request::RawRequest;
use crate::request::body::DeleteBody;
use crate::request::method::Method;

/// The generic tools: any path, through the same gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `api_get {path, query?, headers?, answer?}`.
    Get,
    /// `api_send {method, path, query?, headers?, body?, answer?}`.
    Send,
}

/// Why arguments do not fit a tool. The message names the argument.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// Not a JSON object, or one that the strict pass would not have let in.
    #[error("the arguments must be one JSON object")]
    NotAnObject,
    /// An argument that the tool does not have.
    #[error("unknown argument `{name}`; this tool takes {takes}")]
    Unknown {
        /// The name, escaped and cut.
        name: String,
        /// The names it takes.
        takes: &'static str,
    },
    /// A required argument is not there.
    #[error("the argument `{0}` is missing")]
    Missing(&'static str),
    /// A text argument is something else.
    #[error("the argument `{0}` must be a string")]
    NotAString(&'static str),
}

/// A tool's arguments, as they arrived.
#[derive(Debug, Default)]
pub struct Arguments<'a> {
    method: Option<Cow<'a, str>>,
    path: Cow<'a, str>,
    query: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    answer: Option<Cow<'a, str>>,
}

impl Tool {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Get, Self::Send];

    /// The tool of that very name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// The name in `tools/list`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "api_get",
            Self::Send => "api_send",
        }
    }

    /// Whether it is worth a place in a list, where `could_send` tells which methods could ever pass.
    #[must_use]
    pub fn could_pass(self, could_send: impl Fn(Method) -> bool) -> bool {
        match self {
            Self::Get => true,
            Self::Send => Method::ALL.into_iter().any(|method| method != Method::Get && could_send(method)),
        }
    }

    fn takes(self) -> &'static str {
        match self {
            Self::Get => "`path`, `query`, `headers`, `answer`",
            Self::Send => "`method`, `path`, `query`, `headers`, `body`, `answer`",
        }
    }

    /// Reads the arguments of a call, `text` being the JSON object that stood under `arguments`.
    ///
    /// # Errors
    /// [`ArgumentError`], naming the argument.
    pub fn arguments(self, text: &str) -> Result<Arguments<'_>, ArgumentError> {
        let members = Members::read(text).ok_or(ArgumentError::NotAnObject)?;
        let mut arguments = Arguments::default();
        let mut path = None;
        for (name, value) in members {
            match (self, name.as_ref()) {
                (_, "path") => path = Some(string(value, "path")?),
                (_, "query") => arguments.query = Some(value),
                (_, "headers") => arguments.headers = Some(value),
                (_, "answer") => arguments.answer = Some(string(value, "answer")?),
                (Self::Send, "method") => arguments.method = Some(string(value, "method")?),
                (Self::Send, "body") => arguments.body = Some(value),
                (Self::Get | Self::Send, _) => return Err(self.unknown(&name)),
            }
        }
        arguments.path = path.ok_or(ArgumentError::Missing("path"))?;
        match (self, &arguments.method) {
            (Self::Send, None) => Err(ArgumentError::Missing("method")),
            (Self::Get, _) | (Self::Send, Some(_)) => Ok(arguments),
        }
    }

    fn unknown(self, name: &str) -> ArgumentError {
        let name = name.chars().take(40).flat_map(char::escape_debug).collect();
        ArgumentError::Unknown { name, takes: self.takes() }
    }
}

impl Arguments<'_> {
    /// What the agent asks of the answer's form; no part of the request.
    #[must_use]
    pub fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    /// The five parts of a request.
    #[must_use]
    pub fn raw(&self) -> RawRequest<'_> {
        RawRequest {
            method: self.method.as_deref().unwrap_or(Method::Get.as_str()),
            path: &self.path,
            query: self.query,
            headers: self.headers,
            body: self.body,
            delete_body: DeleteBody::Refused,
        }
    }
}

fn string<'a>(value: &'a RawValue, name: &'static str) -> Result<Cow<'a, str>, ArgumentError> {
    let text = value.get();
    // Without an escape the text between the quotes is the string itself.
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(text).map(Cow::Owned).map_err(|_| ArgumentError::NotAString(name)),
        None => Err(ArgumentError::NotAString(name)),
    }
}
