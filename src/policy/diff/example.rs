//! A request that shows what a policy lets through.

use std::fmt;

use serde_json::value::{RawValue, to_raw_value};

use crate::request::body::DeleteBody;
use crate::request::method::Method;
use crate::request::{RawRequest, Request};

/// The bytes of a body that are shown.
const MOST_SHOWN: usize = 200;

/// A request that a policy lets through or holds, as small as could be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its method.
    pub method: Method,
    /// Its canonical path.
    pub path: String,
    /// Names and values of its query.
    pub query: Vec<(String, String)>,
    /// Its JSON body, where there is one; of a DELETE, as an operation may declare it.
    pub body: Option<String>,
}

/// Query and body of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) pairs: Vec<(String, String)>,
    pub(super) body: Option<Content>,
}

/// A body, by what rules say of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// Of an object; an array has none.
    pub(super) members: Option<Vec<Box<str>>>,
    /// In bytes, at least: white space fills it.
    pub(super) size: u64,
}

impl Content {
    pub(super) fn empty() -> Self {
        Self { members: Some(Vec::new()), size: 0 }
    }

    pub(super) fn text(&self) -> String {
        let (mut text, end) = match &self.members {
            None => ("[".to_owned(), ']'),
            Some(members) => {
                let members = members.iter().map(|name| format!("{}:0", serde_json::Value::from(&**name)));
                (format!("{{{}", members.collect::<Vec<_>>().join(",")), '}')
            }
        };
        let room = usize::try_from(self.size).unwrap_or(usize::MAX).saturating_sub(text.len() + 1);
        text.extend(std::iter::repeat_n(' ', room));
        text.push(end);
        text
    }

    pub(super) fn len(&self) -> u64 {
        let text = Self { size: 0, ..self.clone() }.text();
        u64::try_from(text.len()).unwrap_or(u64::MAX).max(self.size)
    }
}

impl Example {
    pub(super) fn new(method: Method, path: &str, ask: &Ask) -> Self {
        let body = ask.body.as_ref().map(Content::text);
        Self { method, path: path.to_owned(), query: ask.pairs.clone(), body }
    }

    /// The request itself; `None` where it is too long.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        let mut names: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, value) in &self.query {
            match names.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value),
                None => names.push((name, vec![value])),
            }
        }
        let object: serde_json::Map<_, _> =
            names.into_iter().map(|(name, values)| (name.to_owned(), values.into())).collect();
        let query = to_raw_value(&object).ok()?;
        let body = self.body.clone().map(RawValue::from_string).transpose().ok()?;
        let raw = RawRequest {
            method: self.method.as_str(),
            path: &self.path,
            query: Some(&query),
            headers: None,
            body: body.as_deref(),
            delete_body: DeleteBody::Declared,
        };
        Request::parse(&raw).ok()
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.request().map_or_else(|| self.path.clone(), |request| request.target().to_owned());
        write!(f, "{} {target}", self.method)?;
        match &self.body {
            None => Ok(()),
            Some(body) if body.len() <= MOST_SHOWN => write!(f, " with the body {}", shown(body)),
            Some(body) => write!(f, " with a body of {} bytes", body.len()),
        }
    }
}

/// Text with everything but printable ASCII escaped.
fn shown(text: &str) -> String {
    let escaped = |c: char| if matches!(c, ' '..='~') { c.to_string() } else { c.escape_unicode().to_string() };
    text.chars().map(escaped).collect()
}
