//! A call that a person spells out, to be judged and never sent.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use crate::request::body::DeleteBody;
use crate::request::error::RequestError;
use crate::request::{RawRequest, Request};

/// The five parts of a call, as an agent would give them.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<Box<RawValue>>,
    pub(super) headers: Option<Box<RawValue>>,
    pub(super) body: Option<Box<RawValue>>,
}

/// Why arguments make no call.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Not `NAME=VALUE`.
    #[error("`{text}` is not NAME=VALUE")]
    Pair {
        /// As it came.
        text: String,
    },
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    Body(serde_json::Error),
    /// The query or the headers cannot be written as JSON.
    #[error("these names and values cannot be written as JSON: {0}")]
    Pairs(serde_json::Error),
}

impl Call {
    /// A call from a command line: a name that comes several times has all of its values.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) fn new(
        method: &str,
        path: &str,
        query: &[String],
        headers: &[String],
        body: Option<&str>,
    ) -> Result<Self, CallError> {
        let body = body.map(|text| RawValue::from_string(text.to_owned()).map_err(CallError::Body)).transpose()?;
        let (query, headers) = (object(query)?, object(headers)?);
        Ok(Self { method: method.to_owned(), path: path.to_owned(), query, headers, body })
    }

    /// The request that the gate would make of it, called by `api_get` or `api_send`.
    ///
    /// # Errors
    /// The rule of R1 to R8 that it breaks.
    pub(super) fn request(&self) -> Result<Request, RequestError> {
        Request::parse(&RawRequest {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: self.headers.as_deref(),
            body: self.body.as_deref(),
            delete_body: DeleteBody::Refused,
        })
    }
}

/// The object of these `NAME=VALUE`; nothing of none.
fn object(pairs: &[String]) -> Result<Option<Box<RawValue>>, CallError> {
    let mut object: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').ok_or_else(|| CallError::Pair { text: pair.clone() })?;
        object.entry(name).or_default().push(value);
    }
    let object: serde_json::Map<String, serde_json::Value> = object
        .into_iter()
        .map(|(name, values)| {
            let value = if let [value] = values.as_slice() { (*value).into() } else { values.into() };
            (name.to_owned(), value)
        })
        .collect();
    (!object.is_empty()).then(|| to_raw_value(&object).map_err(CallError::Pairs)).transpose()
}
