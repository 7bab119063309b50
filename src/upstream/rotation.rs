//! The credentials of one upstream: read at the start, and read again when they change.
//!
//! Promises that a call carries its credential as its source says now: files are looked at again at most once a second, and every
//! source but the environment is read again after a 401. Fails closed: when a source breaks, the calls that need it are refused until
//! it can be read again; the old value is not used on. Old values stay known to the redactor, for the upstream may still echo them.
//! A reading that began goes on when the call that asked for it is taken back. Trusts the clock it is given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Clock;
use crate::policy::UpstreamSpec;
use crate::upstream::credential::{Credential, Shown};
use crate::upstream::redact::Redactor;
use crate::upstream::source::{SourceError, Stamp, Surroundings};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How many replaced values are still taken out of answers.
const REMEMBERED: usize = 4;

/// The credentials of one upstream.
#[derive(Debug)]
pub(crate) struct Credentials {
    entries: Vec<Entry>,
    surroundings: Surroundings,
    clock: Arc<dyn Clock>,
    shared: Mutex<Shared>,
    /// Held while a source is read, so that one change is read once.
    reading: tokio::sync::Mutex<()>,
}

/// Which credential a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialChoice<'a> {
    /// The one that the policy gives to every rule that names none; nothing is sent when there is none.
    Default,
    /// One of `[upstream.credentials.NAME]`.
    Named(&'a str),
}

/// What is held for a credential: its header, or why there is none.
type Held = Result<Arc<Shown>, Arc<SourceError>>;

/// Why a call cannot carry its credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("credential `{}` is not defined", .0.escape_debug())]
    Unknown(String),
    #[error(transparent)]
    Source(#[from] Arc<SourceError>),
}

#[derive(Debug)]
struct Entry {
    /// `None` for the default one.
    name: Option<String>,
    credential: Credential,
}

#[derive(Debug)]
struct Shared {
    /// One for each entry.
    states: Vec<State>,
    redactor: Arc<Redactor>,
}

#[derive(Debug)]
struct State {
    held: Held,
    /// Values that were replaced; the upstream may still echo them.
    former: VecDeque<Arc<Shown>>,
    stamps: [Option<Stamp>; 2],
    /// When the sources were last looked at.
    looked: Duration,
    /// When they were last read.
    read: Duration,
    trust: Trust,
}

/// Whether the value at hand may still be what the source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Fresh,
    /// The upstream answered 401: read again, when enough time went by since the last reading.
    Doubted,
    /// The file changed, or the pause after a 401 or a failure is over: read again before the next call.
    Stale,
}

/// A credential that could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("credential {}: {cause}", name.as_deref().map_or("of the upstream".to_owned(), |name| format!("`{}`", name.escape_debug())))]
pub struct CredentialSetupError {
    /// `None` for the default one.
    pub name: Option<String>,
    /// Why its secret could not be read, or not be used.
    pub cause: Arc<SourceError>,
}

impl Credentials {
    /// Finds and reads every credential of the policy.
    ///
    /// # Errors
    /// The first one that cannot be read, or not be sent as a header.
    pub(crate) async fn open(
        spec: &UpstreamSpec,
        surroundings: Surroundings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CredentialSetupError> {
        let default = spec.credential.iter().map(|spec| (None, spec));
        let named = spec.credentials.iter().map(|(name, spec)| (Some(name.clone()), spec));
        let (mut entries, mut states) = (Vec::new(), Vec::new());
        for (name, spec) in default.chain(named) {
            let failed = |cause| CredentialSetupError { name: name.clone(), cause: Arc::new(cause) };
            let credential = Credential::find(spec, &surroundings).map_err(failed)?;
            let stamps = credential.stamps();
            let held = Ok(Arc::new(credential.read(&surroundings).await.map_err(failed)?));
            let now = clock.monotonic();
            states.push(State { held, former: VecDeque::new(), stamps, looked: now, read: now, trust: Trust::Fresh });
            entries.push(Entry { name, credential });
        }
        let redactor =
            redactor(&states).map_err(|cause| CredentialSetupError { name: None, cause: Arc::new(cause) })?;
        let shared = Mutex::new(Shared { states, redactor });
        Ok(Self { entries, surroundings, clock, shared, reading: tokio::sync::Mutex::new(()) })
    }

    /// The header of a call, or `None` where the policy has no default credential.
    ///
    /// # Errors
    /// There is no such credential, or its source is broken.
    pub(crate) async fn shown(
        self: &Arc<Self>,
        choice: CredentialChoice<'_>,
    ) -> Result<Option<Arc<Shown>>, CredentialError> {
        let Some((index, entry)) = self.find(choice)? else { return Ok(None) };
        if let Some(held) = self.look(index, entry)? {
            return Ok(Some(held?));
        }
        // A task of its own: a call that is taken back does not stop the reading, so the pause after it holds.
        let reading = tokio::spawn(Arc::clone(self).read_once(index));
        let held = reading.await.map_err(|_| poisoned())??;
        Ok(Some(held?))
    }

    /// The upstream answered 401: the value is read again for a later call.
    ///
    /// # Errors
    /// There is no such credential.
    pub(crate) fn doubt(&self, choice: CredentialChoice<'_>) -> Result<(), CredentialError> {
        if let Some((index, entry)) = self.find(choice)?
            && entry.credential.can_change()
            && let Some(state) = self.lock()?.states.get_mut(index)
            && state.trust == Trust::Fresh
        {
            state.trust = Trust::Doubted;
        }
        Ok(())
    }

    /// What takes every credential of this upstream out of an answer.
    ///
    /// # Errors
    /// Only after a panic.
    pub(crate) fn redactor(&self) -> Result<Arc<Redactor>, CredentialError> {
        Ok(Arc::clone(&self.lock()?.redactor))
    }

    fn find(&self, choice: CredentialChoice<'_>) -> Result<Option<(usize, &Entry)>, CredentialError> {
        let wanted = match choice {
            CredentialChoice::Default => None,
            CredentialChoice::Named(name) => Some(name),
        };
        let found = self.entries.iter().enumerate().find(|(_, entry)| entry.name.as_deref() == wanted);
        match (found, wanted) {
            (None, Some(name)) => Err(CredentialError::Unknown(name.to_owned())),
            (found, _) => Ok(found),
        }
    }

    /// What is held, or `None` when it has to be read again first.
    fn look(&self, index: usize, entry: &Entry) -> Result<Option<Held>, CredentialError> {
        let now = self.clock.monotonic();
        let mut shared = self.lock()?;
        let Some(state) = shared.states.get_mut(index) else { return Err(poisoned()) };
        if now.saturating_sub(state.looked) >= LOOK {
            state.looked = now;
            if entry.credential.stamps() != state.stamps {
                state.trust = Trust::Stale;
            }
        }
        let unsure = state.held.is_err() || state.trust == Trust::Doubted;
        if unsure && now.saturating_sub(state.read) >= entry.credential.pause() {
            state.trust = Trust::Stale;
        }
        Ok((state.trust != Trust::Stale).then(|| state.held.clone()))
    }

    async fn read_once(self: Arc<Self>, index: usize) -> Result<Held, CredentialError> {
        let Some(entry) = self.entries.get(index) else { return Err(poisoned()) };
        let one_at_a_time = self.reading.lock().await;
        // Whoever held the lock before may have read it already.
        let held = match self.look(index, entry)? {
            Some(held) => held,
            None => self.read(index, entry).await?,
        };
        drop(one_at_a_time);
        Ok(held)
    }

    async fn read(&self, index: usize, entry: &Entry) -> Result<Held, CredentialError> {
        let stamps = entry.credential.stamps();
        let read = entry.credential.read(&self.surroundings).await.map(Arc::new).map_err(Arc::new);
        let mut shared = self.lock()?;
        let Some(state) = shared.states.get_mut(index) else { return Err(poisoned()) };
        state.trust = Trust::Fresh;
        state.stamps = stamps;
        state.read = self.clock.monotonic();
        let before = std::mem::replace(&mut state.held, read);
        if let Ok(before) = before
            && !state.held.as_ref().is_ok_and(|now| now.value == before.value)
        {
            state.former.push_front(before);
            state.former.truncate(REMEMBERED);
        }
        let held = state.held.clone();
        match redactor(&shared.states) {
            Ok(redactor) => {
                shared.redactor = redactor;
                Ok(held)
            }
            Err(cause) => {
                let broken = Err(Arc::new(cause));
                if let Some(state) = shared.states.get_mut(index) {
                    state.held = broken.clone();
                }
                Ok(broken)
            }
        }
    }

    /// Leaves the credentials as a panic in another thread would.
    #[cfg(test)]
    pub(crate) fn poison(&self) {
        let panicked = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _held = self.shared.lock();
                std::panic::resume_unwind(Box::new(()));
            });
            thread.join().is_err()
        });
        assert!(panicked);
    }

    fn lock(&self) -> Result<MutexGuard<'_, Shared>, CredentialError> {
        self.shared.lock().map_err(|_| poisoned())
    }
}

fn redactor(states: &[State]) -> Result<Arc<Redactor>, SourceError> {
    let forms = states.iter().flat_map(|state| state.held.iter().chain(&state.former)).map(|shown| &shown.forms);
    Redactor::new(forms).map(Arc::new).map_err(|_| SourceError::Unsearchable)
}

fn poisoned() -> CredentialError {
    CredentialError::Source(Arc::new(SourceError::Poisoned))
}
