//! `requestState`: what a client carries from a question to its answer (MCP 2026-07-28, multi round-trip requests).
//!
//! Promises that what opens was sealed by this process, for exactly this request of this agent under this policy, and
//! less than its lifetime ago. Readable by everybody, so it holds nothing but the question's number.

use std::time::Duration;

use rmcp::model::{RequestStateCodec, RequestStateError, SealOptions};

use super::approval::RequestDigest;
use super::table::Nonce;

/// The longest state that is looked at, in bytes; ours are about 100.
const MAX_STATE: usize = 1 << 10;

/// Why a state is refused; for the log alone, since the client is told one thing in every case.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Longer than any that was ever sealed.
    #[error("requestState: longer than {MAX_STATE} bytes")]
    TooLong,
    /// Forged, changed, too old, or of another request, agent, policy or process.
    #[error("requestState: {0}")]
    Seal(RequestStateError),
    /// Sealed by this process and holding something else than a question's number.
    #[error("requestState: not a question's number")]
    Content,
}

/// Why the gateway cannot seal.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No randomness for the key.
    #[error("the system gave no random bytes for the key of confirmations: {0}")]
    Random(getrandom::Error),
    /// The key is not accepted (never seen).
    #[error("the key of confirmations cannot be used: {0}")]
    Key(RequestStateError),
}

/// Seals and opens, under a key that lives and dies with the process.
#[derive(Debug)]
pub(super) struct Seal {
    codec: RequestStateCodec,
}

impl Seal {
    pub(super) fn new() -> Result<Self, SealError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(SealError::Random)?;
        Ok(Self { codec: RequestStateCodec::try_new(key).map_err(SealError::Key)? })
    }

    pub(super) fn seal(&self, nonce: Nonce, digest: RequestDigest, ttl: Duration) -> String {
        self.codec.seal_with(&nonce.0, &SealOptions::new().associated_data(digest.bytes()).ttl(ttl))
    }

    pub(super) fn open(&self, state: &str, digest: RequestDigest) -> Result<Nonce, StateError> {
        if state.len() > MAX_STATE {
            return Err(StateError::TooLong);
        }
        let opened = self.codec.open_with(state, digest.bytes()).map_err(StateError::Seal)?;
        opened.try_into().map(Nonce).map_err(|_| StateError::Content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_opens_for_its_request_alone_and_unchanged() {
        let (seal, other) = (Seal::new().unwrap(), Seal::new().unwrap());
        let (mine, yours) = (RequestDigest::new([1; 32]), RequestDigest::new([2; 32]));
        let nonce = Nonce([7; 16]);
        let state = seal.seal(nonce, mine, Duration::from_secs(60));
        assert_eq!(seal.open(&state, mine).unwrap(), nonce);
        assert!(seal.open(&state, yours).is_err(), "another request");
        assert!(other.open(&state, mine).is_err(), "another process");
        for at in 0..state.len() {
            let mut bytes = state.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last digit of base64 may hold bits that mean nothing.
            assert!(seal.open(&changed, mine).is_err() || at + 1 == state.len(), "changed at {at}");
        }
        for bad in ["", "AAAA", "rs1..", &"x".repeat(MAX_STATE + 1)] {
            assert!(seal.open(bad, mine).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn a_state_that_is_too_old_does_not_open() {
        let seal = Seal::new().unwrap();
        let digest = RequestDigest::new([1; 32]);
        let state = seal.seal(Nonce([7; 16]), digest, Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(20));
        assert!(seal.open(&state, digest).is_err());
    }
}
