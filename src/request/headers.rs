//! R7: the four request headers that an agent may choose. Any other refuses the whole call, since dropping one would
//! send something that was not asked for.

use std::fmt;

use super::error::Excerpt;
use crate::json::{self, JsonError};

/// The names, as they are sent.
const NAMES: [&str; 4] = ["accept", "accept-language", "if-none-match", "if-modified-since"];

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 512;

/// Nesting that is looked at before the kinds of the values are judged.
const MAX_DEPTH: usize = 32;

/// The headers of a request, each at most once.
#[derive(Default)]
pub struct Headers {
    fields: Vec<(&'static str, String)>,
}

impl Headers {
    /// Reads a JSON object of names (in any case) and strings; absent means none.
    ///
    /// # Errors
    /// The first thing that R7 bars.
    pub fn parse(object: Option<&str>) -> Result<Self, HeaderError> {
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
            return Err(HeaderError::NotObject);
        }
        let mut fields: Vec<(&'static str, String)> = Vec::with_capacity(members.len());
        for (given, span) in members {
            let Some(name) = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(&given)) else {
                return Err(HeaderError::NotAllowed { name: Excerpt::of(&given) });
            };
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(HeaderError::Repeated { name });
            }
            let Some(value) = text.get(span).and_then(json::string) else {
                return Err(HeaderError::NotText { name });
            };
            check_value(name, &value)?;
            fields.push((name, value.into_owned()));
        }
        Ok(Self { fields })
    }

    /// Names in lower case and values, in the order given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Shows the names: values are not for logs.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn check_value(name: &'static str, value: &str) -> Result<(), HeaderError> {
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(HeaderError::ValueLength { name });
    }
    if !value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(HeaderError::ValueCharacter { name });
    }
    if value.starts_with(' ') || value.ends_with(' ') {
        return Err(HeaderError::ValueSpace { name });
    }
    Ok(())
}

/// Why a value gives no headers (R7).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// Not strict JSON.
    #[error("`headers` is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON of another kind.
    #[error("`headers` is not an object: give names and strings")]
    NotObject,
    /// A name that is not among the four.
    #[error(
        "the header `{name}` is not the agent's to set: use only accept, accept-language, if-none-match, if-modified-since"
    )]
    NotAllowed {
        /// The beginning of the name.
        name: Excerpt,
    },
    /// A name given twice in different case.
    #[error("the header `{name}` is given twice: give it once")]
    Repeated {
        /// Which one.
        name: &'static str,
    },
    /// A value that is no string.
    #[error("the value of the header `{name}` is not a string: give one string")]
    NotText {
        /// Which one.
        name: &'static str,
    },
    /// An empty value or a long one.
    #[error("the value of the header `{name}` is empty or longer than 512 bytes: leave it out or shorten it")]
    ValueLength {
        /// Which one.
        name: &'static str,
    },
    /// A character outside printable ASCII.
    #[error("the value of the header `{name}` holds a character outside printable ASCII: leave it out")]
    ValueCharacter {
        /// Which one.
        name: &'static str,
    },
    /// Space at either end.
    #[error("the value of the header `{name}` begins or ends with a space: remove it")]
    ValueSpace {
        /// Which one.
        name: &'static str,
    },
}

impl HeaderError {
    /// The rule that was broken.
    pub fn rule(&self) -> &'static str {
        "R7"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(object: &str) -> Result<Vec<(&'static str, String)>, HeaderError> {
        Headers::parse(Some(object))
            .map(|headers| headers.iter().map(|(name, value)| (name, value.to_owned())).collect())
    }

    #[test]
    fn four_headers_may_be_chosen_in_any_case() {
        let cases = [
            ("none", "{}", vec![]),
            ("accept", r#"{"Accept":"application/json"}"#, vec![("accept", "application/json")]),
            ("capitals", r#"{"ACCEPT-LANGUAGE":"de-DE,de;q=0.9"}"#, vec![("accept-language", "de-DE,de;q=0.9")]),
            (
                "conditions",
                r#"{"If-None-Match":"\"abc\"","if-modified-since":"Sun, 06 Nov 1994 08:49:37 GMT"}"#,
                vec![("if-none-match", "\"abc\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            ),
            ("every printable end", r#"{"accept":"!~"}"#, vec![("accept", "!~")]),
        ];
        for (name, object, expected) in cases {
            let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            assert_eq!(parsed(object), Ok(expected), "{name}");
        }
        assert_eq!(Headers::parse(None).unwrap().iter().len(), 0);
    }

    #[test]
    fn any_other_header_refuses_the_call() {
        let names = [
            "Authorization",
            "Cookie",
            "Host",
            "Content-Type",
            "Accept-Encoding",
            "User-Agent",
            "X-HTTP-Method-Override",
            "X-Forwarded-For",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "Range",
            "If-Match",
            "Idempotency-Key",
            ":authority",
            "Accept:",
            " accept",
            "accept ",
            "",
            "accept_language",
            "acc\u{212a}ept",
            "\u{ff41}ccept",
        ];
        for name in names {
            let error = parsed(&json!({ name: "x" }).to_string()).unwrap_err();
            assert_eq!(error, HeaderError::NotAllowed { name: Excerpt::of(name) });
        }
    }

    #[test]
    fn a_value_is_one_line_of_printable_ascii() {
        use HeaderError::*;
        let name = "accept";
        let cases = [
            ("a list for an object", "[]", NotObject),
            ("text for an object", r#""Accept: a/b""#, NotObject),
            ("the same name", r#"{"accept":"a","accept":"b"}"#, Json(JsonError::DuplicateKey { at: 14 })),
            ("the same name in another case", r#"{"accept":"a","Accept":"b"}"#, Repeated { name }),
            ("a number", r#"{"accept":1}"#, NotText { name }),
            ("null", r#"{"accept":null}"#, NotText { name }),
            ("an array", r#"{"accept":["a","b"]}"#, NotText { name }),
            ("empty", r#"{"accept":""}"#, ValueLength { name }),
            ("a line end", r#"{"accept":"a\r\nX-Admin: 1"}"#, ValueCharacter { name }),
            ("a line feed", r#"{"accept":"a\nX: y"}"#, ValueCharacter { name }),
            ("a nul", r#"{"accept":"a\u0000"}"#, ValueCharacter { name }),
            ("a tab", r#"{"accept":"a\tb"}"#, ValueCharacter { name }),
            ("a delete", r#"{"accept":"a\u007f"}"#, ValueCharacter { name }),
            ("a letter beyond ASCII", r#"{"accept":"text/é"}"#, ValueCharacter { name }),
            ("a space before", r#"{"accept":" a"}"#, ValueSpace { name }),
            ("a space after", r#"{"accept":"a "}"#, ValueSpace { name }),
        ];
        for (case, object, error) in cases {
            assert_eq!(error.rule(), "R7");
            assert_eq!(parsed(object), Err(error), "{case}");
        }
        assert!(parsed(&json!({ name: "x".repeat(512) }).to_string()).is_ok());
        assert_eq!(parsed(&json!({ name: "x".repeat(513) }).to_string()), Err(ValueLength { name }));
    }
}
