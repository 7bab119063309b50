//! What a typed call comes to: the owned parts of a request, or why its arguments do not fit.

use std::fmt;

use serde_json::value::RawValue;

use super::excerpt::Excerpt;
use super::mismatch::Mismatch;
use crate::request::RawRequest;
use crate::request::body::DeleteBody;
use crate::request::method::Method;
use crate::request::path::PathError;

/// The parts of a request, made from a typed tool's arguments. What they may hold is judged by `request`.
pub struct Parts {
    /// The operation's method.
    pub method: Method,
    /// The path below the base URL, encoded as in a URL.
    pub path: String,
    /// A JSON object of names and values.
    pub query: Option<Box<RawValue>>,
    /// A JSON object of names and strings.
    pub headers: Option<Box<RawValue>>,
    /// The JSON to send.
    pub body: Option<Box<RawValue>>,
    /// What is asked of the answer's form; no part of the request.
    pub answer: Option<String>,
    /// Whether the operation declares a body.
    pub delete_body: DeleteBody,
}

impl Parts {
    /// The five parts of a request.
    #[must_use]
    pub fn raw(&self) -> RawRequest<'_> {
        RawRequest {
            method: self.method.as_str(),
            path: &self.path,
            query: self.query.as_deref(),
            headers: self.headers.as_deref(),
            body: self.body.as_deref(),
            delete_body: self.delete_body,
        }
    }
}

/// Shows which parts are there, not what they hold.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parts").field(&self.raw()).finish()
    }
}

/// Why arguments do not fit an operation. One line, which names the argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Not one JSON object with each name once.
    #[error("the arguments must be one JSON object")]
    NotAnObject,
    /// An argument that the tool does not have.
    #[error("unknown argument `{name}`; this tool takes {takes}")]
    Unknown {
        /// The name.
        name: Excerpt,
        /// The names it takes.
        takes: Takes,
    },
    /// A required argument is not there.
    #[error("the argument `{0}` is missing")]
    Missing(String),
    /// A value that does not keep the schema.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A number that no reader keeps.
    #[error("the argument `{0}` holds a number or nesting beyond what JSON readers keep")]
    Unreadable(String),
    /// A value that would not be one segment of the path.
    #[error("the argument `{name}` {found}: it must be exactly one segment of the path")]
    Segment {
        /// The argument.
        name: String,
        /// What it holds.
        found: &'static str,
    },
    /// A value that no path may hold (R2).
    #[error("the argument `{name}` cannot stand in a path: {why}")]
    Path {
        /// The argument.
        name: String,
        /// The rule it breaks.
        why: PathError,
    },
    /// A kind of value that cannot be written where it goes.
    #[error("the argument `{name}` must be {expected}")]
    Kind {
        /// The argument.
        name: String,
        /// What can be written.
        expected: &'static str,
    },
    /// An empty list, which would vanish.
    #[error("the argument `{0}` is empty and would not be sent: leave it out")]
    Empty(String),
    /// An element that holds what parts elements.
    #[error("an element of the argument `{name}` holds `{separator}`, which parts the elements")]
    Separator {
        /// The argument.
        name: String,
        /// What parts them.
        separator: char,
    },
    /// Two arguments that are sent under one name.
    #[error("the argument `{0}` gives a name of the query that another one gives")]
    NameTwice(String),
}

impl ArgumentError {
    /// The same for the log, which holds no values.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Mismatch(mismatch) => mismatch.cause(),
            Self::NotAnObject
            | Self::Unknown { .. }
            | Self::Missing(_)
            | Self::Unreadable(_)
            | Self::Segment { .. }
            | Self::Path { .. }
            | Self::Kind { .. }
            | Self::Empty(_)
            | Self::Separator { .. }
            | Self::NameTwice(_) => self.to_string(),
        }
    }
}

/// The names of the arguments that a tool takes, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takes(Box<str>);

impl Takes {
    /// How many names are listed.
    const MOST: usize = 24;

    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut names = names.map(|name| format!("`{name}`"));
        let listed: Vec<String> = names.by_ref().take(Self::MOST).collect();
        let more = names.count();
        let text = match (listed.as_slice(), more) {
            ([], _) => "none".to_owned(),
            (listed, 0) => listed.join(", "),
            (listed, more) => format!("{} and {more} more", listed.join(", ")),
        };
        Self(text.into())
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
