//! The request that a tool call asks for, parsed once (R1 to R8 of the policy's contract).
//!
//! Promises: a [`Request`] is canonical, so that what the rules judge, what a human is shown and what goes on the wire
//! are the same bytes. It refuses instead of repairing: of two ways to read an input, it takes neither. Trusts:
//! nothing; the five parts of a call are text from outside. Pure: no input or output, no clock, no log.

pub mod body;
pub mod encoded;
pub mod error;
pub mod fold;
pub mod headers;
pub mod method;
pub mod path;
pub mod query;
pub mod template;

mod canonical;
mod readings;

use std::fmt;

use serde_json::value::RawValue;

use self::body::{Body, BodyError, DeleteBody};
use self::error::RequestError;
use self::headers::Headers;
use self::method::Method;
use self::path::Path;
use self::query::Query;

/// The longest target (canonical path, `?`, query) in bytes: what RFC 9112 section 3 asks every server to take (R2.8).
pub const MAX_TARGET: usize = 8_000;

/// A request that keeps R1 to R8. There is no way to change one.
pub struct Request {
    /// Boxed: it moves through every type of a call's path.
    parts: Box<Parts>,
}

struct Parts {
    method: Method,
    path: Path,
    query: Query,
    headers: Headers,
    body: Option<Body>,
    target: String,
}

impl Request {
    /// Reads the parts of a call. JSON `null` counts as absent for query, headers and body.
    ///
    /// # Errors
    /// The first rule that a part breaks, in the order method, path, query, headers, body, target.
    pub fn parse(raw: &RawRequest<'_>) -> Result<Self, RequestError> {
        let method = Method::parse(raw.method)?;
        let path = Path::parse(raw.path)?;
        let query = Query::parse(present(raw.query))?;
        let headers = Headers::parse(present(raw.headers))?;
        let body = present(raw.body).map(Body::parse).transpose()?;
        match (method, &body) {
            (Method::Get | Method::Head, Some(_)) => return Err(BodyError::NotTaken { method }.into()),
            (Method::Delete, Some(_)) if raw.delete_body == DeleteBody::Refused => {
                return Err(BodyError::NotTaken { method }.into());
            }
            (Method::Patch, None) => return Err(BodyError::Missing.into()),
            (Method::Get | Method::Head, None)
            | (Method::Post | Method::Put | Method::Delete, _)
            | (Method::Patch, Some(_)) => {}
        }
        let mut target = String::with_capacity(path.canonical().len() + query.encoded_len());
        target.push_str(path.canonical());
        query.write_to(&mut target);
        if target.len() > MAX_TARGET {
            return Err(RequestError::TargetTooLong);
        }
        Ok(Self { parts: Box::new(Parts { method, path, query, headers, body, target }) })
    }

    /// The GET of the same target: what the request is about, as it is now.
    #[must_use]
    pub fn reading(&self) -> Self {
        let Parts { path, query, target, .. } = &*self.parts;
        let (path, query, target) = (path.clone(), query.clone(), target.clone());
        Self {
            parts: Box::new(Parts {
                method: Method::Get,
                path,
                query,
                headers: Headers::default(),
                body: None,
                target,
            }),
        }
    }

    /// What is asked for (R1).
    pub fn method(&self) -> Method {
        self.parts.method
    }

    /// Where, below the upstream's base URL (R2, R3).
    pub fn path(&self) -> &Path {
        &self.parts.path
    }

    /// The query's names and values (R6).
    pub fn query(&self) -> &Query {
        &self.parts.query
    }

    /// The headers that the agent chose (R7).
    pub fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The JSON to send, where there is one (R8).
    pub fn body(&self) -> Option<&Body> {
        self.parts.body.as_ref()
    }

    /// The canonical path and, where there is a query, `?` and its encoded form: the bytes that follow the base URL.
    pub fn target(&self) -> &str {
        &self.parts.target
    }
}

/// Shows method and path only: values of a query or a body are not for logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.parts.method)
            .field("path", &self.parts.path.canonical())
            .finish_non_exhaustive()
    }
}

/// The five parts of a call as they arrived.
#[derive(Clone, Copy)]
pub struct RawRequest<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The path, to be encoded as in a URL.
    pub path: &'a str,
    /// A JSON object of names and values.
    pub query: Option<&'a RawValue>,
    /// A JSON object of names and strings.
    pub headers: Option<&'a RawValue>,
    /// The JSON to send.
    pub body: Option<&'a RawValue>,
    /// What is known of the operation, where the method is DELETE.
    pub delete_body: DeleteBody,
}

/// Shows which parts are there, not what they hold.
impl fmt::Debug for RawRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest")
            .field("query", &self.query.is_some())
            .field("headers", &self.headers.is_some())
            .field("body", &self.body.is_some())
            .finish_non_exhaustive()
    }
}

fn present(part: Option<&RawValue>) -> Option<&str> {
    part.map(RawValue::get).filter(|text| *text != "null")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    struct Call {
        method: &'static str,
        path: String,
        query: Value,
        headers: Value,
        body: Value,
    }

    impl Call {
        fn new(method: &'static str, path: &str) -> Self {
            Self { method, path: path.to_owned(), query: Value::Null, headers: Value::Null, body: Value::Null }
        }

        fn parse(&self) -> Result<Request, RequestError> {
            let [query, headers, body] =
                [&self.query, &self.headers, &self.body].map(|part| to_raw_value(part).unwrap());
            Request::parse(&RawRequest {
                method: self.method,
                path: &self.path,
                query: Some(&query),
                headers: Some(&headers),
                body: Some(&body),
                delete_body: DeleteBody::Refused,
            })
        }
    }

    #[test]
    fn the_target_is_the_canonical_path_and_the_encoded_query() {
        let call = Call { query: json!({ "q": "a b", "n": [1, 2] }), ..Call::new("GET", "/Müller/") };
        assert_eq!(call.parse().unwrap().target(), "/M%C3%BCller/?q=a%20b&n=1&n=2");
        let call = Call { query: json!({}), ..Call::new("GET", "/a") };
        assert_eq!(call.parse().unwrap().target(), "/a");
    }

    #[test]
    fn null_and_absent_are_the_same() {
        let delete_body = DeleteBody::Refused;
        let absent = RawRequest { method: "GET", path: "/a", query: None, headers: None, body: None, delete_body };
        let absent = Request::parse(&absent).unwrap();
        let null = Call::new("GET", "/a").parse().unwrap();
        for request in [absent, null] {
            assert_eq!((request.method(), request.target()), (Method::Get, "/a"));
            assert!(request.body().is_none() && request.query().pairs().is_empty());
            assert_eq!(request.headers().iter().len(), 0);
        }
    }

    #[test]
    fn a_body_goes_with_the_methods_that_take_one() {
        let refused = |method| Err(BodyError::NotTaken { method }.into());
        let cases = [
            ("GET", None, Ok(())),
            ("GET", Some(()), refused(Method::Get)),
            ("HEAD", None, Ok(())),
            ("HEAD", Some(()), refused(Method::Head)),
            ("POST", None, Ok(())),
            ("POST", Some(()), Ok(())),
            ("PUT", None, Ok(())),
            ("PUT", Some(()), Ok(())),
            ("PATCH", None, Err(BodyError::Missing.into())),
            ("PATCH", Some(()), Ok(())),
            ("DELETE", None, Ok(())),
            ("DELETE", Some(()), refused(Method::Delete)),
        ];
        for (method, body, expected) in cases {
            let call = Call { body: body.map_or(Value::Null, |()| json!({ "a": 1 })), ..Call::new(method, "/a") };
            assert_eq!(call.parse().map(|_| ()), expected, "{method} {body:?}");
        }
    }

    #[test]
    fn a_delete_takes_a_body_where_its_operation_declares_one() {
        let body = RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap();
        for (method, delete_body, taken) in [
            ("DELETE", DeleteBody::Declared, true),
            ("DELETE", DeleteBody::Refused, false),
            ("GET", DeleteBody::Declared, false),
            ("HEAD", DeleteBody::Declared, false),
        ] {
            let raw = RawRequest { method, path: "/a", query: None, headers: None, body: Some(&body), delete_body };
            assert_eq!(Request::parse(&raw).is_ok(), taken, "{method} {delete_body:?}");
            let bare = RawRequest { body: None, ..raw };
            assert!(Request::parse(&bare).is_ok_and(|request| request.body().is_none()), "{method}");
        }
    }

    #[test]
    fn each_part_is_checked_and_the_error_names_the_rule() {
        let cases = [
            (Call::new("get", "/a"), "R1"),
            (Call::new("GET", "/a/../b"), "R2.7"),
            (Call { query: json!({ "_method": "DELETE" }), ..Call::new("GET", "/a") }, "R6"),
            (Call { headers: json!({ "Host": "evil.test" }), ..Call::new("GET", "/a") }, "R7"),
            (Call { body: json!({ "_method": "DELETE" }), ..Call::new("POST", "/a") }, "R8"),
            (Call { body: json!("text"), ..Call::new("POST", "/a") }, "R8"),
        ];
        for (call, rule) in cases {
            assert_eq!(call.parse().unwrap_err().rule(), rule);
        }
    }

    #[test]
    fn a_target_ends_at_8000_bytes() {
        let of = |length: usize| {
            let call = Call {
                query: json!({ "a": "x".repeat(4_000), "b": "x".repeat(length - 4_007) }),
                ..Call::new("GET", "/")
            };
            call.parse().map(|request| request.target().len())
        };
        assert_eq!(of(8_000), Ok(8_000));
        assert_eq!(of(8_001), Err(RequestError::TargetTooLong));
        let encoded = Call { query: json!({ "a": " ".repeat(3_000) }), ..Call::new("GET", "/") };
        assert_eq!(encoded.parse().unwrap_err().rule(), "R2.8", "it is the encoded form that counts");
    }

    #[test]
    fn debug_output_holds_no_values() {
        let call = Call {
            query: json!({ "q": "sesame" }),
            headers: json!({ "accept": "sesame" }),
            body: json!({ "a": "sesame" }),
            ..Call::new("POST", "/a")
        };
        let request = call.parse().unwrap();
        for shown in [format!("{request:?}"), format!("{:?}", request.headers()), format!("{:?}", request.body())] {
            assert!(!shown.contains("sesame"), "{shown}");
        }
    }

    /// Any JSON that a client may put into one of the parts.
    fn part() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        let list = prop::collection::vec(leaf.clone(), 0..4).prop_map(Value::from);
        let name = prop_oneof![
            4 => "[a-zA-Z_$.-]{0,6}",
            1 => prop::sample::select(vec!["accept", "Accept", "_method", "password"]).prop_map(str::to_owned),
        ];
        let object = prop::collection::vec((name, prop_oneof![3 => leaf.clone(), 1 => list.clone()]), 0..6)
            .prop_map(|pairs| Value::from(pairs.into_iter().collect::<serde_json::Map<_, _>>()));
        prop_oneof![4 => object, 1 => leaf, 1 => list]
    }

    proptest! {
        #[test]
        fn no_call_makes_the_parser_panic_and_an_accepted_one_is_sent_unchanged(
            method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "get", ""]),
            path in "(/[a-zA-Zé%20.:*~!-]{0,8}){0,4}/?",
            query in part(),
            headers in prop_oneof![Just(Value::Null), part()],
            body in prop_oneof![Just(Value::Null), part()],
        ) {
            match (Call { method, path, query, headers, body }).parse() {
                Err(error) => prop_assert!(error.rule().starts_with('R') && error.to_string().len() < 400),
                Ok(request) => {
                    let written = format!("https://api.example.test{}", request.target());
                    let url = url::Url::parse(&written).unwrap();
                    prop_assert_eq!(url.as_str(), written);
                    prop_assert!(request.target().bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
        }
    }
}
