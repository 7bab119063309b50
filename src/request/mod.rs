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

mod canonical;
mod readings;

use std::fmt;

use serde_json::value::RawValue;

use self::body::{Body, BodyError};
use self::error::RequestError;
use self::headers::Headers;
use self::method::Method;
use self::path::Path;
use self::query::Query;

/// The longest target (canonical path, `?`, query) in bytes: what RFC 9112 section 3 asks every server to take (R2.8).
pub const MAX_TARGET: usize = 8_000;

/// A request that keeps R1 to R8. There is no way to change one.
pub struct Request {
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
            (Method::Get | Method::Head | Method::Delete, Some(_)) => return Err(BodyError::NotTaken { method }.into()),
            (Method::Patch, None) => return Err(BodyError::Missing.into()),
            (Method::Get | Method::Head | Method::Delete, None)
            | (Method::Post | Method::Put, _)
            | (Method::Patch, Some(_)) => {}
        }
        let mut target = String::with_capacity(path.canonical().len() + query.encoded_len());
        target.push_str(path.canonical());
        query.write_to(&mut target);
        if target.len() > MAX_TARGET {
            return Err(RequestError::TargetTooLong);
        }
        Ok(Self { method, path, query, headers, body, target })
    }

    /// What is asked for (R1).
    pub fn method(&self) -> Method {
        self.method
    }

    /// Where, below the upstream's base URL (R2, R3).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The query's names and values (R6).
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The headers that the agent chose (R7).
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The JSON to send, where there is one (R8).
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// The canonical path and, where there is a query, `?` and its encoded form: the bytes that follow the base URL.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// Shows method and path only: values of a query or a body are not for logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path.canonical())
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
