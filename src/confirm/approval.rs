//! The evidence that a person agreed to exactly one request.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 over everything that a person's answer is about: who asks, of which API, under which policy, and every byte
/// that is sent. Two requests with the same digest are the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestDigest([u8; 32]);

impl RequestDigest {
    /// The digest of these bytes, as [`Sha256`] gives it.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A person's approval of one request, for one use.
///
/// INVARIANT (no self-approval): made in `confirm` alone, from a person's answer, and each answer makes one. It can be
/// neither copied nor read from text, and [`Held::release`](crate::policy::Held::release) consumes it.
#[derive(Debug)]
pub struct Approval {
    digest: RequestDigest,
    seen: Option<Mark>,
    now: Option<State>,
}

impl Approval {
    pub(in crate::confirm) fn new(digest: RequestDigest, seen: Option<Mark>) -> Self {
        Self { digest, seen, now: None }
    }

    /// An approval of nothing that exists.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self::new(RequestDigest::new([0; 32]), None)
    }

    /// The request that was approved.
    #[must_use]
    pub fn digest(&self) -> RequestDigest {
        self.digest
    }

    /// The state that the person saw, where they were shown one: it must be the same when the request is sent.
    #[must_use]
    pub fn seen(&self) -> Option<&Mark> {
        self.seen.as_ref()
    }

    /// The same approval, for a request that is sent while its target is in this state.
    #[must_use]
    pub fn at(self, now: State) -> Self {
        Self { now: Some(now), ..self }
    }

    /// The state in which the target was found last.
    #[must_use]
    pub fn now(&self) -> Option<&State> {
        self.now.as_ref()
    }
}

/// What is kept of a state that a person saw: enough to tell whether it stands, and to one without the salt nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub(in crate::confirm) salt: [u8; 32],
    pub(in crate::confirm) digest: [u8; 32],
}

impl Mark {
    pub(in crate::confirm) fn new(salt: [u8; 32], state: &State) -> Self {
        let mut hash = Sha256::new_with_prefix(salt);
        hash.update(state.body);
        // Last, so that where it ends needs no mark; no tag is empty.
        hash.update(state.etag.as_deref().unwrap_or_default());
        Self { salt, digest: hash.finalize().into() }
    }

    /// Whether nothing changed: the entity tag is the same, where there is one, and so is every byte. An API may keep a tag
    /// while what it gives changes: a weak one may stand for several texts (RFC 9110, section 8.8.1).
    #[must_use]
    pub fn stands(&self, now: &State) -> bool {
        *self == Self::new(self.salt, now)
    }
}

/// The state of a target at one moment.
#[derive(Debug, Clone)]
pub struct State {
    etag: Option<Box<str>>,
    body: [u8; 32],
}

impl State {
    /// The state that an answer with this `etag` and this body shows. What is not exactly one entity tag is none.
    #[must_use]
    pub fn new(etag: Option<&str>, body: &[u8]) -> Self {
        Self { etag: etag.filter(|etag| is_entity_tag(etag)).map(Box::from), body: Sha256::digest(body).into() }
    }

    /// The value of `If-Match`, by which the API itself refuses where the state stands no more (RFC 9110, section
    /// 13.1.1). A weak tag never matches there.
    #[must_use]
    pub fn if_match(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| etag.starts_with('"'))
    }
}

/// Whether this is one entity tag, weak or strong, of visible ASCII (RFC 9110, section 8.8.3).
fn is_entity_tag(etag: &str) -> bool {
    let opaque = etag.strip_prefix("W/").unwrap_or(etag).strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    opaque.is_some_and(|opaque| opaque.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_exactly_one_strong_entity_tag_is_no_condition() {
        for (etag, sent) in [
            ("\"v1\"", Some("\"v1\"")),
            ("\"\"", Some("\"\"")),
            ("W/\"v1\"", None),
            ("w/\"v1\"", None),
            ("\"a\",\"b\"", None),
            ("\"a\", W/\"b\"", None),
            ("*", None),
            ("\"*", None),
            ("\"", None),
            ("v1", None),
            ("\"a b\"", None),
            ("\"a\u{1}\"", None),
            ("\"a\\x01\"", Some("\"a\\x01\"")),
            ("\"é\"", None),
            ("", None),
        ] {
            assert_eq!(State::new(Some(etag), b"").if_match(), sent, "{etag}");
        }
    }
}
