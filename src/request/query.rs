//! R6: the query, made from an object of names and values and encoded here, so that there is one way to read it.
//!
//! It refuses names that some frameworks take for the method or for a credential, values that are neither text,
//! whole number nor truth value, and arrays that would vanish.

use std::borrow::Cow;
use std::fmt;

use super::canonical::{is_unreserved, push_percent};
use super::error::Excerpt;
use super::fold::fold_name;
use crate::json::{self, JsonError};

/// The most pairs, with the elements of arrays counted one by one.
pub const MAX_PAIRS: usize = 64;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 128;
/// The longest value, in bytes before encoding.
pub const MAX_VALUE: usize = 4_096;
/// The largest magnitude of a number: up to here every double is a whole number of its own.
pub const MAX_INTEGER: u64 = 1 << 53;

/// Nesting that is looked at before the kinds of the values are judged.
const MAX_DEPTH: usize = 32;

/// Folded names that some framework takes for the request's method.
const OVERRIDES: [&str; 7] = [
    "http_method",
    "httpmethod",
    "httpmethodoverride",
    "x_http_method",
    "x_http_method_override",
    "x_method_override",
    "method_override",
];

/// Folded names under which servers take a credential.
const CREDENTIALS: [&str; 13] = [
    "access_token",
    "api_key",
    "apikey",
    "x_api_key",
    "auth_token",
    "authorization",
    "bearer_token",
    "id_token",
    "client_secret",
    "password",
    "sessionid",
    "jsessionid",
    "phpsessid",
];

/// The names and values of a query, decoded, in the order given.
#[derive(Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a JSON object; absent means no query.
    ///
    /// # Errors
    /// The first thing that R6 bars.
    pub fn parse(object: Option<&str>) -> Result<Self, QueryError> {
        let Some(text) = object else {
            return Ok(Self::default());
        };
        let mut members = Vec::new();
        json::scan(text, MAX_DEPTH, &mut |member| {
            if member.depth == 1 {
                members.push((member.key.into_owned(), member.value));
            }
        })?;
        if !text.starts_with('{') {
            return Err(QueryError::NotObject);
        }
        let mut pairs = Vec::with_capacity(members.len());
        for (name, span) in members {
            check_name(&name)?;
            let value = text.get(span).unwrap_or_default();
            if value.starts_with('[') {
                read_array(&mut pairs, name, value)?;
            } else {
                let value = read_value(&name, value)?;
                push(&mut pairs, name, value)?;
            }
        }
        Ok(Self { pairs })
    }

    /// Names and values as they are before encoding, in order; an array gives its name with each element.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The names as denials compare them (R5, R6): folded, a trailing `[]` dropped.
    pub fn folded_names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.pairs.iter().map(|(name, _)| fold_name(name))
    }

    /// A size for the encoded form that is seldom too small.
    pub(super) fn encoded_len(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.len() + value.len() + 8).sum()
    }

    /// Appends `?` and the encoded pairs, or nothing when there is no pair.
    pub(super) fn write_to(&self, target: &mut String) {
        let mut separator = '?';
        for (name, value) in &self.pairs {
            target.push(separator);
            push_encoded(target, name);
            target.push('=');
            push_encoded(target, value);
            separator = '&';
        }
    }
}

/// Shows how many pairs there are: values are not for logs.
impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("pairs", &self.pairs.len()).finish()
    }
}

fn push_encoded(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if is_unreserved(byte) {
            target.push(char::from(byte));
        } else {
            push_percent(target, byte);
        }
    }
}

fn push(pairs: &mut Vec<(String, String)>, name: String, value: String) -> Result<(), QueryError> {
    if pairs.len() == MAX_PAIRS {
        return Err(QueryError::TooManyPairs);
    }
    pairs.push((name, value));
    Ok(())
}

fn read_array(pairs: &mut Vec<(String, String)>, name: String, array: &str) -> Result<(), QueryError> {
    let mut outcome = Ok(());
    let mut empty = true;
    json::elements(array, &mut |element| {
        empty = false;
        if outcome.is_ok() {
            outcome = read_value(&name, element).and_then(|value| push(pairs, name.clone(), value));
        }
    })?;
    if empty {
        return Err(QueryError::EmptyArray { name: Excerpt::of(&name) });
    }
    outcome
}

/// The text that stands for a JSON value in the query.
fn read_value(name: &str, value: &str) -> Result<String, QueryError> {
    let place = || Excerpt::of(name);
    match value.as_bytes() {
        [b'"', ..] => {
            let text = json::string(value).unwrap_or_default();
            if text.len() > MAX_VALUE {
                return Err(QueryError::ValueTooLong { name: place() });
            }
            if text.chars().any(char::is_control) {
                return Err(QueryError::ValueControl { name: place() });
            }
            Ok(text.into_owned())
        }
        b"true" | b"false" => Ok(value.to_owned()),
        [b'-' | b'0'..=b'9', ..] => match value.parse::<i64>() {
            Ok(number) if number.unsigned_abs() <= MAX_INTEGER => Ok(number.to_string()),
            Ok(_) | Err(_) => Err(QueryError::Number { name: place() }),
        },
        _ => Err(QueryError::ValueKind { name: place() }),
    }
}

fn check_name(name: &str) -> Result<(), QueryError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(QueryError::NameLength { name: Excerpt::of(name) });
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | ':' | '[' | ']' | '-');
    if let Some(found) = name.chars().find(|c| !allowed(c)) {
        return Err(QueryError::NameCharacter { name: Excerpt::of(name), found });
    }
    let folded = fold_name(name);
    if (folded == "method" && name != "method") || OVERRIDES.contains(&folded.as_ref()) {
        return Err(QueryError::MethodOverride { name: Excerpt::of(name) });
    }
    if CREDENTIALS.contains(&folded.as_ref()) {
        return Err(QueryError::Credential { name: Excerpt::of(name) });
    }
    Ok(())
}

/// Why a value is no query (R6).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// Not strict JSON.
    #[error("`query` is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON of another kind.
    #[error("`query` is not an object: give names and values")]
    NotObject,
    /// An empty name or a long one.
    #[error("the name `{name}` in `query` is empty or longer than 128 bytes: use the parameter's own name")]
    NameLength {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// A character that a name may not hold.
    #[error("the name `{name}` in `query` holds `{}`: use letters, digits and `_.$:[]-`", found.escape_default())]
    NameCharacter {
        /// The beginning of the name.
        name: Excerpt,
        /// The character.
        found: char,
    },
    /// A name that some servers take for the method.
    #[error("the name `{name}` in `query` can change the request's method: use `method` of the call")]
    MethodOverride {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// A name that carries a credential.
    #[error("the name `{name}` in `query` carries a credential: leave it out, the gateway adds its own")]
    Credential {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// `null`, an object, or an array in an array.
    #[error("the value of `{name}` in `query` is not a string, integer, boolean or array of those: use one of them")]
    ValueKind {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// Not an integer, or beyond 2^53.
    #[error("the number for `{name}` in `query` is not an integer within 2^53: send it as a string")]
    Number {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// An array without elements, which would vanish.
    #[error("the array for `{name}` in `query` is empty: leave the name out")]
    EmptyArray {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// A control character in a value.
    #[error("the value of `{name}` in `query` holds a control character: leave it out")]
    ValueControl {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// A long value.
    #[error("the value of `{name}` in `query` is longer than 4,096 bytes: shorten it")]
    ValueTooLong {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// Too many pairs.
    #[error("`query` has more than 64 values: ask for less in one call")]
    TooManyPairs,
}

impl QueryError {
    /// The rule that was broken.
    pub fn rule(&self) -> &'static str {
        "R6"
    }
}
