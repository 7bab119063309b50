//! A gate of the doctor's own: its log, its desk, its way to the API, as `serve` opens them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::report::About;
use crate::agent::Agent;
use crate::audit::{AuditLog, Place};
use crate::catalog::Catalog;
use crate::cli::load::Loaded;
use crate::cli::serve;
use crate::clock::{Clock, SystemClock};
use crate::config::Environment;
use crate::confirm::{Confirmer, SealError};
use crate::gateway::{Parts as PipelineParts, Pipeline};
use crate::limit::DailyError;
use crate::policy::{Parsed, Policy};
use crate::server::desk::Desk;
use crate::tools::Toolbox;
use crate::trust::quoted;
use crate::upstream::Upstream;
use crate::upstream::error::UpstreamSetupError;
use crate::upstream::source::{SourceError, Surroundings};

/// What could be opened on this machine alone.
pub(super) struct Parts {
    audit: Option<AuditLog>,
    directory: PathBuf,
    clock: Arc<dyn Clock>,
}

/// The runtime of everything that waits.
pub(super) fn runtime(about: &mut About<'_>) -> Option<Runtime> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            about.fail("program", &format!("no runtime: {error}"), "look at the limits of this user");
            None
        }
    }
}

impl Parts {
    /// Begins a log of its own, which takes all locks that a gate takes, and opens a desk.
    pub(super) fn open(loaded: &Loaded, directory: &Path, about: &mut About<'_>) -> Option<Self> {
        let policy = &loaded.policy;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let place = Place { directory, audit: policy.audit() };
        let audit = match AuditLog::open(&place, policy, clock.clone()) {
            Ok(audit) => audit,
            Err(error) => {
                about.fail("log", &error.to_string(), "no gate starts there");
                return None;
            }
        };
        about.good("log", &format!("can be written: `{}`", quoted(audit.path())));
        if let Some(runtime) = runtime(about) {
            match runtime.block_on(Desk::open(directory, clock.wall())) {
                Ok(_) => about.good("desk", "a socket for `portcullis approve` and `reload` can be opened"),
                Err(error) if !policy.could_hold() => {
                    about.warn("desk", &error.to_string(), "`portcullis reload` does not reach this gate without it");
                }
                Err(error) => about.fail("desk", &error.to_string(), "no gate starts there"),
            }
        }
        sinks(loaded, &clock, about);
        Some(Self { audit: Some(audit), directory: directory.to_owned(), clock })
    }

    /// The gate in front of the API. Reads each secret, and runs the commands that print one.
    pub(super) fn gateway(
        mut self,
        runtime: &Runtime,
        loaded: &Loaded,
        catalog: Option<Catalog>,
        about: &mut About<'_>,
    ) -> Option<Pipeline> {
        match self.assemble(runtime, loaded, catalog) {
            Ok(gateway) => gateway,
            Err(error) => {
                about.fail("secret", &error.to_string(), "`serve` does not start without it");
                None
            }
        }
    }

    fn assemble(
        &mut self,
        runtime: &Runtime,
        loaded: &Loaded,
        catalog: Option<Catalog>,
    ) -> Result<Option<Pipeline>, OpenError> {
        let Some(audit) = self.audit.clone() else { return Ok(None) };
        // Read again: the loaded policy stays for what is told of it.
        let Parsed { policy: Some(policy), .. } = Policy::parse(&loaded.file.name(), &loaded.file.text) else {
            return Ok(None);
        };
        let (directory, clock) = (&self.directory, &self.clock);
        let environment = Environment::process();
        let lookup = |name: &str| environment.get(name);
        let surroundings = Surroundings::collect(policy.upstream(), loaded.file.directory(), &lookup);
        let surroundings = surroundings.and(policy.confirm().key.as_ref(), &lookup);
        let key = match &policy.confirm().key {
            Some(spec) => Some(runtime.block_on(surroundings.read(spec))?),
            None => None,
        };
        let read_max = policy.response().read_max_bytes;
        let upstream = runtime.block_on(Upstream::open(policy.upstream(), read_max, surroundings, clock.clone()))?;
        let limiter = serve::limiter(&policy, directory, clock)?;
        let confirmer = Confirmer::new(policy.confirm().clone(), directory, clock.clone(), key.as_deref())?;
        let toolbox = Toolbox::new(&policy, catalog);
        let agent = Agent::doctor(rustix::process::geteuid().as_raw());
        let clock = clock.clone();
        // From here on the gateway ends the log.
        self.audit = None;
        let parts =
            PipelineParts { agent, policy, toolbox, limiter, confirmer, upstream, audit, clock, state_dir: None };
        Ok(Some(Pipeline::new(parts)))
    }
}

/// Whether the places where the log goes besides could be opened. None is dialled.
fn sinks(loaded: &Loaded, clock: &Arc<dyn Clock>, about: &mut About<'_>) {
    let count = loaded.policy.audit().sinks.len();
    if count == 0 {
        return;
    }
    let Some(runtime) = runtime(about) else { return };
    let environment = Environment::process();
    let opened = serve::sinks(&loaded.policy, &environment, loaded.file.directory(), clock);
    match runtime.block_on(opened) {
        Ok(_) => about.good("sinks", &format!("{count} can be opened; whether one takes the log, the log says")),
        Err(error) => about.fail("sinks", &error.to_string(), "`serve` does not start without it"),
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(audit) = &self.audit
            && let Err(error) = audit.stop("doctor", 0)
        {
            tracing::debug!(%error, "the doctor's log could not be ended");
        }
    }
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum OpenError {
    Upstream(#[from] UpstreamSetupError),
    Daily(#[from] DailyError),
    Confirm(#[from] SealError),
    Key(#[from] SourceError),
}
