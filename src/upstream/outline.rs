//! What would be sent for a request, told without a secret and without a connection.
//!
//! Promises that names and values are those that [`Upstream`](super::Upstream) puts on the wire, but for values that are
//! made or read at that moment: these are told in words. An `if-match`, which only a look at the API can give, is not told.

use super::{DEFAULT_ACCEPT, JSON, body};
use crate::policy::{CredentialSpec, Grant, UpstreamSpec};
use crate::request::Request;

/// One header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: HeaderText,
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// As it is sent.
    Sent(String),
    /// Where it comes from when it is sent.
    Described(String),
}

/// The headers of a request that was let through or held, in the order of their names; the client adds `host` and, with a body,
/// `content-length`.
#[must_use]
pub fn headers(spec: &UpstreamSpec, request: &Request, grant: &Grant) -> Vec<Header> {
    let sent = |name: &str, value: &str| Header { name: name.to_owned(), value: HeaderText::Sent(value.to_owned()) };
    let fixed = spec.headers.iter().map(|(name, value)| sent(name, value));
    let mut headers: Vec<Header> = fixed.collect();
    headers.push(sent("user-agent", &spec.user_agent));
    headers.push(sent("accept-encoding", body::ACCEPTED));
    // The policy's own come first: what it fixes, the agent does not choose.
    let chosen = request.headers().iter().map(|(name, value)| sent(name, value));
    headers.extend(chosen);
    if request.body().is_some() {
        headers.push(sent("content-type", &String::from_utf8_lossy(JSON.as_bytes())));
    }
    headers.push(sent("accept", &String::from_utf8_lossy(DEFAULT_ACCEPT.as_bytes())));
    let described = |name: &str, words: String| Header { name: name.to_owned(), value: HeaderText::Described(words) };
    if grant.idempotency_key() {
        headers.push(described("idempotency-key", "made for each write".to_owned()));
    }
    let credential = match grant.credential() {
        Some(name) => spec.credentials.get(name),
        None => spec.credential.as_ref(),
    };
    headers.extend(credential.map(|credential| {
        let name = match credential {
            CredentialSpec::Bearer(_) | CredentialSpec::Basic { .. } => "authorization",
            CredentialSpec::Header { name, .. } => name,
        };
        described(name, credential.origin())
    }));
    let mut seen = std::collections::HashSet::new();
    headers.retain(|header| seen.insert(header.name.clone()));
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    headers
}
