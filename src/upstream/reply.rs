//! What the agent may see of an answer, besides its body.
//!
//! Promises that only a short list of headers passes, each one line of visible ASCII, and that of a redirect nothing is shown but the
//! path of a target on the same origin. Refuses nothing: what is too long or not understood is left out.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url};

use crate::upstream::room::Held;

/// An answer, as the gateway hands it on: capped, unpacked, without the credential.
#[derive(Debug)]
pub struct Reply {
    /// The status, 200 to 599 in practice; the upstream's own.
    pub status: u16,
    /// `content-type`, `etag`, `last-modified`, `link`, `retry-after`, `x-ratelimit-*`; names in lower case, values in visible ASCII.
    pub headers: Vec<(String, String)>,
    /// The whole body, byte for byte but for redaction; empty for HEAD, 204 and 304.
    pub body: Vec<u8>,
    /// The room that a large body takes, to be held until it is shaped.
    pub held: Held,
    /// What `retry-after` asks for, at most one hour.
    pub retry_after: Option<Duration>,
    /// What the upstream's clock showed, where it says so (RFC 9110, section 6.6.1).
    pub date: Option<SystemTime>,
    /// Where a redirect points, path and query, when that is on the same origin.
    pub location: Option<String>,
    /// How many echoes of a credential were replaced in body, headers and location.
    pub redacted: u32,
    /// How many times the request was sent: 1, or 2 for a GET or HEAD whose first connection died.
    pub attempts: u8,
}

/// The longest wait that an upstream can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// How many headers are shown, and how long each may be.
const MAX_SHOWN: usize = 32;
const MAX_VALUE: usize = 2_048;

/// The headers that the agent may see.
pub(crate) fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers.iter().filter(|(name, value)| is_shown(name.as_str()) && value.len() <= MAX_VALUE);
    shown.take(MAX_SHOWN).map(|(name, value)| (name.as_str().to_owned(), visible(value.as_bytes()))).collect()
}

/// `retry-after` in seconds or as a date (RFC 9110, section 10.2.3), capped; one that cannot be read, or of a number too large for
/// 64 bits, is none. A date that has passed is zero.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().ok()?)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// `date`, where it is one.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// The path and query of a redirect's target when it stays on the origin of `asked`; percent-encoded by the URL parser, so ASCII
/// without controls.
pub(crate) fn location(status: StatusCode, headers: &HeaderMap, asked: &Url) -> Option<String> {
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let value = headers.get(LOCATION)?.to_str().ok().filter(|value| !value.is_empty() && value.len() <= MAX_VALUE)?;
    let target = asked.join(value).ok()?;
    let plain = target.origin() == asked.origin() && target.username().is_empty() && target.password().is_none();
    plain.then(|| match target.query() {
        Some(query) => format!("{}?{query}", target.path()),
        None => target.path().to_owned(),
    })
}

fn is_shown(name: &str) -> bool {
    matches!(name, "content-type" | "etag" | "last-modified" | "link" | "retry-after")
        || name.starts_with("x-ratelimit-")
}

/// Bytes outside visible ASCII and space are escaped.
fn visible(value: &[u8]) -> String {
    if value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return String::from_utf8_lossy(value).into_owned();
    }
    value.escape_ascii().to_string()
}
