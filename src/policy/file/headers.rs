//! `upstream.headers`: fixed headers, and which names a policy may set at all.
//!
//! Promises that none of them frames the message, belongs to one connection, steers the server to another request than
//! was judged, or carries a credential.

use std::ops::Range;

use super::section::Section;
use crate::policy::finding::{Findings, quoted};

/// Headers that the gateway or its HTTP client writes, that belong to one connection (RFC 9110 section 7.6.1), or that ask for a part
/// of an answer or tell where a request came from. Sorted.
const OWN_HEADERS: [&str; 19] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Headers with which some servers change the method or the target: the rules would judge another request than runs.
const STEERING_HEADERS: [&str; 8] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Headers that the agent may set (R7).
const AGENT_HEADERS: [&str; 4] = ["accept", "accept-language", "if-modified-since", "if-none-match"];

/// Parts of header names that carry credentials.
const CREDENTIAL_WORDS: [&str; 7] = ["auth", "cookie", "key", "password", "secret", "session", "token"];

pub(super) fn read_headers(section: &Section<'_>, findings: &mut Findings<'_>) -> Vec<(String, String)> {
    let Some(table) = section.get("headers").and_then(|value| value.table(findings)) else { return Vec::new() };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, span, value) in table.entries() {
        let lower = name.to_ascii_lowercase();
        let known = refuse_header(name, &lower, span.clone(), findings);
        let credential = CREDENTIAL_WORDS.iter().any(|word| lower.contains(word));
        if known && credential {
            let message =
                format!("header {} looks like a credential, which must not stand in the policy", quoted(name));
            findings.error("inline-secret", span.clone(), message, Some("use `header` in `[upstream.credential]`"));
        }
        if headers.iter().any(|(other, _)| *other == lower) {
            findings.error("duplicate-key", span, format!("header {} is given twice", quoted(name)), None);
        }
        let text = value.text(findings).unwrap_or_default();
        findings.hide(value.span());
        if !is_header_value(text) && value.is_text() {
            let message = format!("the value of header {} must be visible ASCII characters and spaces", quoted(name));
            findings.error("bad-value", value.span(), message, None);
        }
        headers.push((lower, text.to_owned()));
    }
    headers
}

/// Whether the policy may set a header of this name.
pub(super) fn refuse_header(name: &str, lower: &str, span: Range<usize>, findings: &mut Findings<'_>) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let why = if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        "is not a header's name"
    } else if is_own_header(lower) {
        "is written by the gateway itself"
    } else if STEERING_HEADERS.contains(&lower) {
        "can change the method or the target that the rules judged"
    } else if AGENT_HEADERS.contains(&lower) {
        "is the agent's to set"
    } else {
        return true;
    };
    findings.error("bad-header", span, format!("header {} {why}", quoted(name)), None);
    false
}

/// Whether no policy and no agent may set a header of this name, given in lower case.
pub(crate) fn is_own_header(lower: &str) -> bool {
    OWN_HEADERS.binary_search(&lower).is_ok()
}

pub(super) fn is_header_value(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_of_the_gateways_own_is_found() {
        assert!(OWN_HEADERS.iter().all(|name| is_own_header(name)));
        assert!(!is_own_header("x-api-key") && !is_own_header("authorization"));
    }
}
