//! The person behind a client, as far as the client can reach them.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use super::form::Word;

/// What a client shows to the person who uses it.
#[derive(Debug, Clone)]
pub struct Form {
    /// The request, in words.
    pub message: String,
    /// What has to come back in the one required field, [`FIELD`].
    pub word: Word,
}

/// The form's one field.
pub const FIELD: &str = "confirm";

/// How a client can ask, by what it declares (MCP 2025-11-25 and 2026-07-28, elicitation). What it is called says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It has no form to show.
    Nobody,
    /// While the call is open (`elicitation/create`).
    Open,
    /// Between the call and its repetition (`InputRequiredResult`).
    Retry,
}

/// What came back from the person, or from whatever answered in their place.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Accepted, with what the one field held.
    Accept(Option<Value>),
    /// Declined.
    Decline,
    /// Closed without an answer.
    Dismiss,
}

impl Reply {
    /// Whether it says yes as the form demands. An acceptance alone is none: some clients give it by themselves.
    #[must_use]
    pub fn confirms(&self, word: &Word) -> bool {
        match (self, word) {
            (Self::Accept(Some(Value::Bool(yes))), Word::Yes) => *yes,
            (Self::Accept(Some(Value::String(given))), Word::Typed(_)) => word.is(given),
            (Self::Accept(_) | Self::Decline | Self::Dismiss, Word::Yes | Word::Typed(_)) => false,
        }
    }
}

/// What came of asking while the call is open.
#[derive(Debug, Clone, PartialEq)]
pub enum Returned {
    /// An answer.
    Replied(Reply),
    /// The client could not ask after all.
    Failed,
}

/// What a client sends with a call that it repeats after [`Reach::Retry`].
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `requestState`, as it came.
    pub state: String,
    /// `inputResponses.confirm`, where there is one.
    pub reply: Option<Reply>,
}

/// An answer that is awaited.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Returned> + Send + 'a>>;

/// The end of a connection.
pub type Gone<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The person behind one call.
pub trait Person: Send + Sync {
    /// How they can be asked.
    fn reach(&self) -> Reach;

    /// What the client calls itself, for the log alone.
    fn client(&self) -> Option<String>;

    /// Their answer to an earlier question, where the call brings one.
    fn retry(&self) -> Option<&Retry>;

    /// Asks while the call is open, for however long. Dropping the future takes the question back.
    fn ask<'a>(&'a self, form: &'a Form) -> Asking<'a>;

    /// Resolves once the client has hung up: nobody waits for an answer any more.
    fn gone(&self) -> Gone<'_>;
}

/// Nobody: for what needs no approval.
#[derive(Debug, Clone, Copy)]
pub struct Unattended;

impl Person for Unattended {
    fn reach(&self) -> Reach {
        Reach::Nobody
    }

    fn client(&self) -> Option<String> {
        None
    }

    fn retry(&self) -> Option<&Retry> {
        None
    }

    fn ask<'a>(&'a self, _: &'a Form) -> Asking<'a> {
        Box::pin(std::future::ready(Returned::Failed))
    }

    fn gone(&self) -> Gone<'_> {
        Box::pin(std::future::pending())
    }
}
