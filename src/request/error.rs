//! Why a call's parts make no request. Each message is one sentence for the agent: it names the place and what to do,
//! and repeats no more of the input than a few escaped characters.

use std::fmt;

use super::body::BodyError;
use super::headers::HeaderError;
use super::method::MethodError;
use super::path::PathError;
use super::query::QueryError;

/// The first rule that the parts of a call break.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// R1.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// R2.
    #[error(transparent)]
    Path(#[from] PathError),
    /// R6.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// R7.
    #[error(transparent)]
    Headers(#[from] HeaderError),
    /// R8.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// R2.8: path and query together.
    #[error("`path` and `query` together are longer than 8,000 bytes: ask for less in one call")]
    TargetTooLong,
}

impl RequestError {
    /// The rule that was broken, for example `R2.3`.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Method(error) => error.rule(),
            Self::Path(error) => error.rule(),
            Self::Query(error) => error.rule(),
            Self::Headers(error) => error.rule(),
            Self::Body(error) => error.rule(),
            Self::TargetTooLong => "R2.8",
        }
    }
}

/// The beginning of a name from outside, escaped, short enough for a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    escaped: String,
}

impl Excerpt {
    /// How many characters of the input are kept.
    const LONGEST: usize = 24;

    pub(super) fn of(text: &str) -> Self {
        let mut escaped: String = text.chars().take(Self::LONGEST).flat_map(char::escape_default).collect();
        if text.chars().nth(Self::LONGEST).is_some() {
            escaped.push_str("...");
        }
        Self { escaped }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped)
    }
}

/// A character of the input in a message: as it is where it is printable ASCII, escaped where it is not.
pub(super) struct Shown(pub(super) char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            plain @ ' '..='~' => write!(f, "{plain}"),
            other => write!(f, "{}", other.escape_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_escaped() {
        assert_eq!(Excerpt::of("page").to_string(), "page");
        assert_eq!(Excerpt::of("a\r\n\u{202e}é").to_string(), "a\\r\\n\\u{202e}\\u{e9}");
        assert_eq!(Excerpt::of(&"n".repeat(24)).to_string(), "n".repeat(24));
        assert_eq!(Excerpt::of(&"n".repeat(5_000)).to_string(), "n".repeat(24) + "...");
    }
}
