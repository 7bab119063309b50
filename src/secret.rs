//! A secret value, and what keeps it inside this process.
//!
//! Promises that a [`Secret`] is never printed, serialized, compared or copied by accident, and that its bytes are overwritten when it
//! is dropped. Refuses nothing: what a secret must look like is judged where it is read. Trusts one file, `upstream/credential.rs`, to
//! look inside; a key that is made of a secret does not tell it. It cannot keep a secret out of swap, nor out of the HTTP client's own buffers once a header was made of it.

use std::{fmt, io};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A secret value: no `Display`, no `Serialize`, no `Clone`, no `PartialEq`; `Debug` shows a placeholder.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; they are overwritten when the secret is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A key made of it, which does not tell it.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        mac(&self.0, parts)
    }

    /// The bytes themselves. Called in `upstream/credential.rs` only.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// HMAC-SHA256 (RFC 2104), under the hash of a key, of a list of parts, each with its length before it.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // A key of any length is one: its hash, in a block of HMAC's own length.
    let mut block = Zeroizing::new([0; 64]);
    if let Some(first) = block.first_chunk_mut::<32>() {
        *first = Sha256::digest(key).into();
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Makes this process hard to look into: no core file, and on Linux no reading of its memory or environment by other processes of the
/// same user. For `main`, before the first secret is read. Best effort by nature: root still sees everything.
///
/// # Errors
/// What the kernel answered; to be logged, not to be died of.
pub fn shield_process() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new(b"hunter2-hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret([redacted])");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(Secret([redacted]))");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_shielded_process_is_not_dumpable() {
        shield_process().unwrap();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    }
}
