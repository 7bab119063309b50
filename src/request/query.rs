//! R6: the query, made from an object of names and values and encoded here, so that there is one way to read it.
//!
//! It refuses names that some frameworks take for the method or for a credential, values that are neither text,
//! whole number nor truth value, and arrays that would vanish.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::{Excerpt, Shown};
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

/// Everything but the unreserved characters (RFC 3986 section 2.3) becomes `%HH`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
#[derive(Default, Clone)]
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
            target.extend(utf8_percent_encode(name, ENCODED));
            target.push('=');
            target.extend(utf8_percent_encode(value, ENCODED));
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
    #[error("the name `{name}` in `query` holds `{}`: use letters, digits and `_.$:[]-`", Shown(*found))]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(object: &str) -> Result<String, QueryError> {
        let query = Query::parse(Some(object))?;
        let mut target = String::new();
        query.write_to(&mut target);
        Ok(target)
    }

    #[test]
    fn names_and_values_are_encoded_in_one_way_in_the_order_given() {
        let cases = [
            ("nothing", "{}", ""),
            ("order", r#"{"b":"1","a":"2"}"#, "?b=1&a=2"),
            (
                "an array repeats the name",
                r#"{"ids[]":[1,"x",true],"n":"y"}"#,
                "?ids%5B%5D=1&ids%5B%5D=x&ids%5B%5D=true&n=y",
            ),
            ("an empty value", r#"{"a":""}"#, "?a="),
            ("booleans", r#"{"a":true,"b":false}"#, "?a=true&b=false"),
            (
                "integers",
                r#"{"a":0,"b":-7,"c":9007199254740992,"d":-9007199254740992}"#,
                "?a=0&b=-7&c=9007199254740992&d=-9007199254740992",
            ),
            ("unreserved stay", r#"{"q":"~-._aZ9"}"#, "?q=~-._aZ9"),
            ("delimiters are data", r#"{"q":"a&b=c#d?e/../%2e+ "}"#, "?q=a%26b%3Dc%23d%3Fe%2F..%2F%252e%2B%20"),
            ("escapes of JSON", r#"{"\u0061":"\u00e9\/\ud83d\ude00"}"#, "?a=%C3%A9%2F%F0%9F%98%80"),
            ("every mark in a name", r#"{"a.b_$c:[d]-":"1"}"#, "?a.b_%24c%3A%5Bd%5D-=1"),
            ("names that differ in case", r#"{"a":"1","A":"2"}"#, "?a=1&A=2"),
            ("method, exactly", r#"{"method":"card","payment_method":"x"}"#, "?method=card&payment_method=x"),
            (
                "names near a credential",
                r#"{"next_token":"x","user[password]":"y","api_keys":"z"}"#,
                "?next_token=x&user%5Bpassword%5D=y&api_keys=z",
            ),
        ];
        for (name, object, expected) in cases {
            assert_eq!(written(object).as_deref(), Ok(expected), "{name}");
        }
        assert!(Query::parse(None).unwrap().pairs().is_empty());
    }

    #[test]
    fn what_is_no_plain_query_is_refused() {
        use QueryError::*;
        let n = |name: &str| Excerpt::of(name);
        let cases = [
            ("an array", "[]", NotObject),
            ("a string", r#""a=b""#, NotObject),
            ("a number", "1", NotObject),
            ("a repeated name", r#"{"a":"1","a":"2"}"#, Json(JsonError::DuplicateKey { at: 9 })),
            ("a repeated name, escaped", r#"{"a":"1","\u0061":"2"}"#, Json(JsonError::DuplicateKey { at: 9 })),
            ("an empty name", r#"{"":"1"}"#, NameLength { name: n("") }),
            ("an ampersand in a name", r#"{"a&b":"1"}"#, NameCharacter { name: n("a&b"), found: '&' }),
            ("an equals sign in a name", r#"{"a=b":"1"}"#, NameCharacter { name: n("a=b"), found: '=' }),
            ("a plus in a name", r#"{"+method":"1"}"#, NameCharacter { name: n("+method"), found: '+' }),
            ("a percent sign in a name", r#"{"a%5fb":"1"}"#, NameCharacter { name: n("a%5fb"), found: '%' }),
            ("a semicolon in a name", r#"{"a;b":"1"}"#, NameCharacter { name: n("a;b"), found: ';' }),
            ("a line end in a name", r#"{"a\r\nX":"1"}"#, NameCharacter { name: n("a\r\nX"), found: '\r' }),
            ("a letter beyond ASCII in a name", r#"{"ä":"1"}"#, NameCharacter { name: n("ä"), found: 'ä' }),
            ("null", r#"{"a":null}"#, ValueKind { name: n("a") }),
            ("an object", r#"{"a":{"$ne":1}}"#, ValueKind { name: n("a") }),
            ("an array in an array", r#"{"a":[["1"]]}"#, ValueKind { name: n("a") }),
            ("null in an array", r#"{"a":["1",null]}"#, ValueKind { name: n("a") }),
            ("an empty array", r#"{"a":[]}"#, EmptyArray { name: n("a") }),
            ("an empty array with space", r#"{"a":[ ]}"#, EmptyArray { name: n("a") }),
            ("beyond 2^53", r#"{"a":9007199254740993}"#, Number { name: n("a") }),
            ("below -2^53", r#"{"a":[-9007199254740993]}"#, Number { name: n("a") }),
            ("beyond a signed integer", r#"{"a":18446744073709551615}"#, Number { name: n("a") }),
            ("a fraction", r#"{"a":1.5}"#, Number { name: n("a") }),
            ("an integer written as a fraction", r#"{"a":1.0}"#, Number { name: n("a") }),
            ("an exponent", r#"{"a":1e3}"#, Number { name: n("a") }),
            ("a line end in a value", r#"{"a":"x\r\ny"}"#, ValueControl { name: n("a") }),
            ("a C1 control in a value", r#"{"a":["x\u0085"]}"#, ValueControl { name: n("a") }),
        ];
        for (name, object, error) in cases {
            assert_eq!(error.rule(), "R6", "{name}");
            assert_eq!(written(object), Err(error), "{name}");
        }
    }

    #[test]
    fn names_that_change_the_method_are_refused_in_any_spelling() {
        let names = [
            "_method",
            "_METHOD",
            "__method",
            "-method",
            "$method",
            "$_method",
            ".method",
            "method[]",
            "[method]",
            "Method",
            "METHOD",
            "method_",
            "http_method",
            "HTTP-Method",
            "httpMethod",
            "httpMethodOverride",
            "X-HTTP-Method",
            "x_http_method_override",
            "X-Method-Override",
            "method-override",
            "method.override[]",
        ];
        for name in names {
            let error = written(&json!({ name: "DELETE" }).to_string()).unwrap_err();
            assert_eq!(error, QueryError::MethodOverride { name: Excerpt::of(name) }, "{name}");
        }
    }

    #[test]
    fn names_that_carry_a_credential_are_refused_in_any_spelling() {
        for folded in CREDENTIALS {
            for name in [
                folded.to_owned(),
                folded.to_uppercase(),
                folded.replace('_', "-"),
                format!("${folded}"),
                format!("{folded}[]"),
            ] {
                let error = written(&json!({ &name: "x" }).to_string()).unwrap_err();
                assert_eq!(error, QueryError::Credential { name: Excerpt::of(&name) }, "{name}");
            }
        }
    }

    #[test]
    fn lengths_and_counts_have_ends() {
        let pairs =
            |count: usize| Value::Object((0..count).map(|n| (format!("k{n}"), json!("v"))).collect()).to_string();
        assert!(written(&pairs(64)).is_ok());
        assert_eq!(written(&pairs(65)), Err(QueryError::TooManyPairs));
        assert_eq!(written(&json!({ "a": vec![1; 65] }).to_string()), Err(QueryError::TooManyPairs));
        assert_eq!(written(&json!({ "a": vec![1; 40], "b": vec![1; 40] }).to_string()), Err(QueryError::TooManyPairs));
        assert!(written(&json!({ "n".repeat(128): "" }).to_string()).is_ok());
        let long = "n".repeat(129);
        assert_eq!(
            written(&json!({ &long: "" }).to_string()),
            Err(QueryError::NameLength { name: Excerpt::of(&long) })
        );
        assert!(written(&json!({ "q": "x".repeat(4_096) }).to_string()).is_ok());
        assert!(written(&json!({ "q": "é".repeat(2_048) }).to_string()).is_ok());
        for value in ["x".repeat(4_097), "é".repeat(2_049)] {
            let error = written(&json!({ "q": value }).to_string());
            assert_eq!(error, Err(QueryError::ValueTooLong { name: Excerpt::of("q") }));
        }
    }

    #[test]
    fn denials_see_folded_names() {
        let query = Query::parse(Some(r#"{"Show-Secrets[]":[1,2],"page":3}"#)).unwrap();
        assert_eq!(query.folded_names().collect::<Vec<_>>(), ["show_secrets", "show_secrets", "page"]);
    }

    #[test]
    fn debug_output_holds_no_value() {
        let query = Query::parse(Some(r#"{"a":"sesame"}"#)).unwrap();
        assert!(!format!("{query:?}").contains("sesame"));
    }

    proptest! {
        #[test]
        fn a_server_that_decodes_the_query_gets_what_was_given(
            given in prop::collection::vec(("[a-z]{1,3}[0-9]{4}", "\\PC{0,12}"), 0..12),
        ) {
            let object: serde_json::Map<String, Value> = given.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
            let expected: Vec<(String, String)> = object.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
            let query = Query::parse(Some(&Value::from(object).to_string())).unwrap();
            prop_assert_eq!(query.pairs(), expected.as_slice());
            let mut target = String::new();
            query.write_to(&mut target);
            let decoded: Vec<(String, String)> =
                url::form_urlencoded::parse(target.trim_start_matches('?').as_bytes()).into_owned().collect();
            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn no_text_makes_the_query_parser_panic(text in any::<String>(), name in any::<String>()) {
            for object in [&text, &json!({ &name: &text }).to_string(), &json!({ "a": [&text] }).to_string()] {
                if let Err(error) = written(object) {
                    prop_assert!(error.to_string().len() < 400);
                }
            }
        }
    }
}
