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

/// Whether a DELETE may have a body: HTTP gives it no meaning (RFC 9110 section 9.3.5), an operation may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeleteBody {
    /// It may not.
    Refused,
    /// The operation declares one.
    Declared,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_or_array_is_kept_byte_for_byte() {
        let cases = [
            ("empty object", "{}", true),
            ("empty array", "[]", false),
            ("odd spelling", "{ \"a\" : 1.50e0 ,\n\"\\u0062\":[ ] }", true),
            ("space around", " \n[1]\t", false),
            ("a nested override is data", r#"{"a":{"_method":"DELETE"},"b":[{"_method":1}]}"#, true),
            ("an override in an array is data", r#"[{"_method":"DELETE"}]"#, false),
            ("names near the override", r#"{"method":"card","Method":1,"payment_method":2,"_methods":3}"#, true),
            ("32 levels", &format!("{}1{}", "[".repeat(32), "]".repeat(32)), false),
        ];
        for (name, raw, object) in cases {
            let body = Body::parse(raw).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(body.bytes(), raw.as_bytes(), "{name}");
            assert_eq!(body.is_object(), object, "{name}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use BodyError::*;
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        let cases = [
            ("empty", "", Json(JsonError::End { at: 0 })),
            ("a string", r#""text""#, Kind),
            ("a number", "1", Kind),
            ("null", "null", Kind),
            ("a form", "labels=a", Json(JsonError::Unexpected { at: 0 })),
            ("two values", "{}{}", Json(JsonError::Trailing { at: 2 })),
            ("a byte order mark", "\u{feff}{}", Json(JsonError::ByteOrderMark)),
            ("33 levels", &deep, Json(JsonError::Depth { at: 32 })),
            ("a repeated key, deep down", r#"{"a":[{"b":1,"b":2}]}"#, Json(JsonError::DuplicateKey { at: 13 })),
            ("an integer over 64 bits", r#"{"a":18446744073709551616}"#, Json(JsonError::Integer { at: 5 })),
            ("a number beyond a double", r#"{"a":1e999}"#, Json(JsonError::Float { at: 5 })),
            ("half a surrogate pair", r#"{"a":"\ud800"}"#, Json(JsonError::Surrogate { at: 6 })),
        ];
        for (name, raw, error) in cases {
            assert_eq!(Body::parse(raw).map(|_| ()), Err(error), "{name}");
        }
        let sized = |length: usize| format!("[\"{}\"]", "x".repeat(length - 4));
        assert!(Body::parse(&sized(MAX_BODY)).is_ok());
        assert_eq!(Body::parse(&sized(MAX_BODY + 1)).map(|_| ()), Err(TooLong));
    }

    #[test]
    fn a_top_level_override_of_the_method_is_refused_in_any_spelling() {
        let names = [
            "_method",
            "_METHOD",
            "__method",
            "-method",
            ".method",
            "[method]",
            "$_method",
            "_method[]",
            "\\u005fmethod",
        ];
        for name in names {
            let raw = format!(r#"{{"a":1,"{name}":"DELETE"}}"#);
            let error = Body::parse(&raw).unwrap_err();
            assert!(matches!(error, BodyError::MethodOverride { .. }), "{name}: {error}");
            assert_eq!(error.rule(), "R8");
        }
    }

    #[test]
    fn members_are_the_top_level_ones_in_order() {
        let body = Body::parse(r#"{"b": {"x":1}, "\u0061":[1, 2]}"#).unwrap();
        let members: Vec<_> = body.members().collect();
        assert_eq!(members, [("b", br#"{"x":1}"#.as_slice()), ("a", b"[1, 2]")]);
        assert_eq!(Body::parse(r#"[{"a":1}]"#).unwrap().members().len(), 0);
    }

    #[test]
    fn debug_output_holds_no_value() {
        assert!(!format!("{:?}", Body::parse(r#"{"a":"sesame"}"#).unwrap()).contains("sesame"));
    }
}
