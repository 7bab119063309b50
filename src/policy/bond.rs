//! What a person's answer is tied to: the digest of a held request and of everything that makes it this one.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::verdict::Grant;
use crate::agent::Agent;
use crate::confirm::approval::RequestDigest;
use crate::request::Request;
use crate::request::body::Body;

/// Begins what is digested; another one whenever the parts change.
const DOMAIN: &[u8] = b"portcullis held request 1";

/// Who asks, of which API, under which policy.
#[derive(Debug)]
pub(super) struct Bond {
    pub(super) agent: Agent,
    pub(super) api: Arc<str>,
    /// SHA-256 of the policy file: what the policy adds (base URL, fixed headers, secrets' places) is tied through it.
    pub(super) policy: [u8; 32],
}

impl Bond {
    /// Each part with its length before it, so that no two lists of parts are the same bytes.
    pub(super) fn digest(&self, request: &Request, grant: &Grant) -> RequestDigest {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(DOMAIN);
        part(self.agent.name().as_bytes());
        part(self.api.as_bytes());
        part(&self.policy);
        part(request.method().as_str().as_bytes());
        part(request.target().as_bytes());
        part(&(request.headers().iter().len() as u64).to_be_bytes());
        for (name, value) in request.headers().iter() {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        // Absent and empty are two things.
        for optional in [request.body().map(Body::bytes), grant.credential().map(str::as_bytes)] {
            part(if optional.is_some() { b"+" } else { b"-" });
            part(optional.unwrap_or_default());
        }
        RequestDigest::new(hash.finalize().into())
    }
}
