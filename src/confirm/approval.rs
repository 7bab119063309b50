//! The evidence that a person agreed to exactly one request.

use std::fmt;

/// SHA-256 over everything that a person's answer is about: who asks, of which API, under which policy, and every byte
/// that is sent. Two requests with the same digest are the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestDigest([u8; 32]);

impl RequestDigest {
    /// The digest of these bytes, as [`Sha256`](sha2::Sha256) gives it.
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
    if_match: Option<Box<str>>,
}

impl Approval {
    pub(in crate::confirm) fn new(digest: RequestDigest, if_match: Option<Box<str>>) -> Self {
        Self { digest, if_match }
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

    /// The entity tag of the state that the person saw; the request is sent on condition that it still stands
    /// (RFC 9110, section 13.1.1).
    #[must_use]
    pub fn if_match(&self) -> Option<&str> {
        self.if_match.as_deref()
    }
}
