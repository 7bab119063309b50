//! `requestState`: what a client carries from a question to its answer (MCP 2026-07-28, multi round-trip requests).
//!
//! Promises that what opens was sealed by this process, or by one with the same key and state directory, for exactly this
//! request of this agent under this policy, and less than its lifetime ago. Readable by everybody, so it holds nothing but the
//! question's number, two times, and a salted digest of the state that the person saw.

use std::time::Duration;

use zeroize::Zeroizing;

use rmcp::model::{RequestStateCodec, RequestStateError, SealOptions};

use super::approval::{Mark, RequestDigest, State};
use super::table::Nonce;
use super::used::UsedError;
use crate::secret::{Secret, mac};

/// The longest state that is looked at, in bytes; ours are about 170.
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
    /// Sealed by this process and holding something else than a question.
    #[error("requestState: not about a question")]
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
    /// Somebody could guess the key.
    #[error("`confirm.key` has {0} bytes and needs {MIN_KEY} at least; `openssl rand -hex 32` makes a good one")]
    Short(usize),
    /// Nobody could tell which questions were answered in another process.
    #[error(transparent)]
    Used(#[from] UsedError),
}

/// Bytes of a configured key.
const MIN_KEY: usize = 32;

/// Keep what is made of one key for two purposes apart.
const STATES: &[u8] = b"portcullis states 1";
const MARKS: &[u8] = b"portcullis marks 1";

/// What a state says of its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) nonce: Nonce,
    /// Milliseconds since 1970.
    pub(super) asked: u64,
    /// Milliseconds since 1970.
    pub(super) end: u64,
    pub(super) seen: Option<Mark>,
}

/// Seals and opens, under a key that lives and dies with the process, or under the policy's.
#[derive(Debug)]
pub(super) struct Seal {
    codec: RequestStateCodec,
    marks: Zeroizing<[u8; 32]>,
}

impl Seal {
    pub(super) fn new() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(SealError::Random)?;
        Self::of(mac(&*key, &[STATES]), mac(&*key, &[MARKS]))
    }

    /// Under the policy's key, and for the gateways of one state directory alone: those of another one cannot know which
    /// questions were answered here.
    pub(super) fn shared(key: &Secret, directory: &str) -> Result<Self, SealError> {
        if key.len() < MIN_KEY {
            return Err(SealError::Short(key.len()));
        }
        let of = |purpose| key.mac(&[purpose, directory.as_bytes()]);
        Self::of(of(STATES), of(MARKS))
    }

    fn of(key: Zeroizing<[u8; 32]>, marks: Zeroizing<[u8; 32]>) -> Result<Self, SealError> {
        Ok(Self { codec: RequestStateCodec::try_new(*key).map_err(SealError::Key)?, marks })
    }

    /// What is kept of a state that the person who is asked this question saw.
    pub(super) fn mark(&self, nonce: Nonce, state: &State) -> Mark {
        Mark::new(self.salt(nonce), state)
    }

    fn salt(&self, nonce: Nonce) -> [u8; 32] {
        *mac(&*self.marks, &[&nonce.0])
    }

    pub(super) fn seal(&self, carried: &Carried, digest: RequestDigest, ttl: Duration) -> String {
        let Carried { nonce, asked, end, seen } = carried;
        let seen = seen.map(|mark| mark.digest);
        let seen = seen.as_ref().map_or(&[][..], <[u8; 32]>::as_slice);
        let text = [nonce.0.as_slice(), &asked.to_be_bytes(), &end.to_be_bytes(), seen].concat();
        self.codec.seal_with(&text, &SealOptions::new().associated_data(digest.bytes()).ttl(ttl))
    }

    pub(super) fn open(&self, state: &str, digest: RequestDigest) -> Result<Carried, StateError> {
        if state.len() > MAX_STATE {
            return Err(StateError::TooLong);
        }
        let opened = self.codec.open_with(state, digest.bytes()).map_err(StateError::Seal)?;
        self.carried(&opened).ok_or(StateError::Content)
    }

    fn carried(&self, text: &[u8]) -> Option<Carried> {
        let (nonce, rest) = text.split_first_chunk::<16>()?;
        let (asked, rest) = rest.split_first_chunk::<8>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let nonce = Nonce(*nonce);
        let seen = match rest {
            [] => None,
            digest => Some(Mark { salt: self.salt(nonce), digest: digest.try_into().ok()? }),
        };
        Some(Carried { nonce, asked: u64::from_be_bytes(*asked), end: u64::from_be_bytes(*end), seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_opens_for_its_request_alone_and_unchanged() {
        let (seal, other) = (Seal::new().unwrap(), Seal::new().unwrap());
        let (mine, yours) = (RequestDigest::new([1; 32]), RequestDigest::new([2; 32]));
        let seen = Some(seal.mark(Nonce([7; 16]), &State::new(None, b"{}")));
        for seen in [None, seen] {
            let carried = Carried { nonce: Nonce([7; 16]), asked: 1, end: 2, seen };
            let state = seal.seal(&carried, mine, Duration::from_secs(60));
            assert_eq!(seal.open(&state, mine).unwrap(), carried);
        }
        let carried = Carried { nonce: Nonce([7; 16]), asked: 1, end: 2, seen };
        let state = seal.seal(&carried, mine, Duration::from_secs(60));
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
        let carried = Carried { nonce: Nonce([7; 16]), asked: 1, end: 2, seen: None };
        let state = seal.seal(&carried, digest, Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(20));
        assert!(seal.open(&state, digest).is_err());
    }

    #[test]
    fn a_shared_key_opens_what_others_sealed_in_the_same_directory_alone() {
        let key = |byte| Secret::new(vec![byte; MIN_KEY]);
        let digest = RequestDigest::new([1; 32]);
        let carried = Carried { nonce: Nonce([7; 16]), asked: 1, end: 2, seen: None };
        let state = Seal::shared(&key(1), "a").unwrap().seal(&carried, digest, Duration::from_secs(60));
        assert_eq!(Seal::shared(&key(1), "a").unwrap().open(&state, digest).unwrap(), carried);
        for (other, directory) in [(1, "b"), (2, "a")] {
            assert!(Seal::shared(&key(other), directory).unwrap().open(&state, digest).is_err(), "{other} {directory}");
        }
        assert!(matches!(Seal::shared(&Secret::new(vec![1; MIN_KEY - 1]), "a"), Err(SealError::Short(31))));
    }

    #[test]
    fn a_mark_stands_while_both_the_tag_and_the_body_are_the_same() {
        let seal = Seal::new().unwrap();
        let nonce = Nonce([7; 16]);
        let states = [
            (Some("\"1\""), "a"),
            (Some("\"1\""), "b"),
            (Some("\"2\""), "a"),
            (Some("W/\"1\""), "a"),
            (Some("W/\"1\""), "b"),
            (None, "a"),
            (None, "b"),
        ];
        for (then, seen) in states.iter().enumerate() {
            let mark = seal.mark(nonce, &State::new(seen.0, seen.1.as_bytes()));
            assert_ne!(mark, seal.mark(Nonce([8; 16]), &State::new(seen.0, seen.1.as_bytes())));
            for (now, state) in states.iter().enumerate() {
                assert_eq!(mark.stands(&State::new(state.0, state.1.as_bytes())), then == now, "{seen:?} {state:?}");
            }
        }
    }
}
