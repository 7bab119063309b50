//! Keyed digests of values: two equal values show as equal in the log, and nobody without the key can guess one.
//!
//! HMAC-SHA256 (RFC 2104), cut to 128 bits, over length-prefixed parts, so that no two lists of parts collide.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{AuditError, hex, keys};
use crate::request::Request;
use crate::request::body::Body;

const KEY_FILE: &str = "digest.key";
/// Bytes of the digest that are kept.
const KEPT: usize = 16;

/// The key of one state directory, made at first use and shared by all its logs.
pub struct DigestKey {
    mac: Hmac<Sha256>,
    id: String,
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl DigestKey {
    /// Reads the key of `directory`, making one when there is none.
    pub(super) fn load(directory: &Path) -> Result<Self, AuditError> {
        Self::of_bytes(&keys::load(directory, KEY_FILE)?, directory)
    }

    /// Reads the key of `directory`, if there is one: for whoever has to find out what a digest is of.
    ///
    /// # Errors
    /// It is there and cannot be read, others may read it, or it is no key.
    pub fn find(directory: &Path) -> Result<Option<Self>, AuditError> {
        let path = directory.join(KEY_FILE);
        let is_there = path.try_exists().map_err(|source| AuditError::Open { path: path.clone(), source })?;
        is_there.then(|| Self::of_bytes(&keys::read(&path)?, directory)).transpose()
    }

    fn of_bytes(bytes: &[u8], directory: &Path) -> Result<Self, AuditError> {
        let mac = Hmac::new_from_slice(bytes).map_err(|_| AuditError::Key { path: directory.join(KEY_FILE) })?;
        let id = hex(Sha256::digest(bytes).get(..8).unwrap_or_default());
        Ok(Self { mac, id })
    }

    /// Names the key without telling it: the first 64 bits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The digest that a record has of a value in a query.
    #[must_use]
    pub fn of_query(&self, name: &str, value: &str) -> String {
        self.of(&[b"query", name.as_bytes(), value.as_bytes()])
    }

    /// The digest of a list of parts, 32 hex digits.
    pub(super) fn of(&self, parts: &[&[u8]]) -> String {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        hex(mac.finalize().into_bytes().get(..KEPT).unwrap_or_default())
    }

    /// The digest of everything the agent determined in a request.
    pub(super) fn of_request(&self, request: &Request) -> String {
        let mut parts: Vec<&[u8]> = vec![b"request", request.method().as_str().as_bytes(), request.target().as_bytes()];
        for (name, value) in request.headers().iter() {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        // Every part is prefixed with its length, and a marker stands before the body: no list reads like another.
        let body = request.body().map(Body::bytes);
        parts.extend([if body.is_some() { b"body".as_slice() } else { b"none" }, body.unwrap_or_default()]);
        self.of(&parts)
    }
}
