//! R8: the JSON body, checked as the bytes that arrived and sent as those bytes, never built anew.

use std::fmt;
use std::ops::Range;

use super::error::Excerpt;
use super::fold::fold_name;
use super::method::Method;
use crate::json::{self, JsonError};

/// The longest body that is looked at, in bytes. What a rule lets through is less (64 KiB unless it says otherwise).
pub const MAX_BODY: usize = 1 << 20;

/// The deepest nesting.
pub const MAX_DEPTH: usize = 32;

/// A JSON object or array.
pub struct Body {
    text: Box<str>,
    members: Vec<(Box<str>, Range<usize>)>,
}

impl Body {
    /// Checks the raw text of a JSON value.
    ///
    /// # Errors
    /// The first thing that R8 bars.
    pub fn parse(raw: &str) -> Result<Self, BodyError> {
        if raw.len() > MAX_BODY {
            return Err(BodyError::TooLong);
        }
        let mut members: Vec<(Box<str>, Range<usize>)> = Vec::new();
        // In an array, members at depth 1 cannot be: its objects begin at depth 2.
        json::scan(raw, MAX_DEPTH, &mut |member| {
            if member.depth == 1 {
                members.push((member.key.into(), member.value));
            }
        })?;
        if !raw.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(['{', '[']) {
            return Err(BodyError::Kind);
        }
        if let Some((name, _)) = members.iter().find(|(name, _)| overrides_method(name)) {
            return Err(BodyError::MethodOverride { name: Excerpt::of(name) });
        }
        Ok(Self { text: raw.into(), members })
    }

    /// The bytes exactly as they arrived.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Whether the body is an object; if not, it is an array.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
    }

    /// The top-level names (unescaped) and the bytes of their values, in order; nothing for an array.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        let bytes = self.text.as_bytes();
        self.members.iter().map(move |(name, span)| (&**name, bytes.get(span.clone()).unwrap_or_default()))
    }
}

/// Shows the size: what a body holds is not for logs.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// Whether some framework may read a top-level name as `_method`: it folds to `method` (R6) and begins with what the
/// fold reads as an underscore.
fn overrides_method(name: &str) -> bool {
    name.trim_start_matches('$').starts_with(['_', '.', '-', '[', ']']) && fold_name(name) == "method"
}

/// Why a value is no body, or none that the method takes (R8).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// Not strict JSON, or with a number that a reader would change.
    #[error("`body` is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// A string, number, boolean.
    #[error("`body` is neither an object nor an array: give one of them")]
    Kind,
    /// Longer than anything that a rule lets through.
    #[error("`body` is longer than 1 MiB: send less in one call")]
    TooLong,
    /// A top-level name that some servers take for the method.
    #[error("the name `{name}` in `body` can change the request's method: use `method` of the call")]
    MethodOverride {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// A body where the method has none.
    #[error("a {method} takes no `body`: leave it out")]
    NotTaken {
        /// The method.
        method: Method,
    },
    /// No body where the method needs one.
    #[error("a PATCH needs a `body`: give the JSON to send")]
    Missing,
}

impl BodyError {
    /// The rule that was broken.
    pub fn rule(&self) -> &'static str {
        "R8"
    }
}
