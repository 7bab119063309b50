//! A policy's file while its gateway runs: read again where a reload asks for it, and looked at now and then to say that it
//! has changed. A look puts nothing in force.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::catalog;
use crate::cli::check::{self, Checked, Hints, Look};
use crate::clock::Clock;
use crate::config::{self, Environment};
use crate::confirm::desk;
use crate::gateway::{Fault, Fresh, Gateway, Opening, Source};
use crate::limit::DailyCount;
use crate::policy::{Parsed, Policy, Severity};
use crate::tools::Toolbox;
use crate::trust::quoted;
use crate::upstream::Upstream;
use crate::upstream::source::Surroundings;

/// The file is looked at so often.
const OFTEN: Duration = Duration::from_secs(5);

/// Where one gateway's policy comes from.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) path: PathBuf,
    /// The gateway's state directory.
    pub(super) directory: PathBuf,
    /// What commands have to be told of it.
    pub(super) root: Option<PathBuf>,
    pub(super) environment: Environment,
    pub(super) clock: Arc<dyn Clock>,
}

/// A policy with errors, whose findings were printed.
#[derive(Debug)]
struct Wrong {
    file: PathBuf,
    errors: usize,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, errors } = self;
        let s = if *errors == 1 { "" } else { "s" };
        write!(f, "`{}` has {errors} error{s}, which `portcullis check` shows", quoted(file))
    }
}

impl std::error::Error for Wrong {}

impl Source for Again {
    fn read(&self) -> Result<Fresh, Fault> {
        let file = config::read_policy(&self.path)?;
        let Parsed { policy, findings, hidden } = Policy::parse(&file.name(), &file.text);
        let Some(policy) = policy else {
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            let wrong = Checked { file: file.name(), text: file.text, findings, hidden };
            check::write_human(&mut io::stderr(), &[wrong], Look::Plain, Hints::Counted)?;
            return Err(Wrong { file: self.path.clone(), errors }.into());
        };
        let toolbox = Toolbox::new(&policy, catalog::of(&policy, file.directory())?);
        let daily = DailyCount::open(&self.directory, policy.limits().daily, Arc::clone(&self.clock))?;
        Ok(Fresh { policy, toolbox, daily })
    }

    fn upstream<'a>(&'a self, policy: &'a Policy) -> Opening<'a> {
        Box::pin(async move {
            let file = self.path.canonicalize()?;
            let beside = file.parent().unwrap_or(Path::new("/"));
            let surroundings = Surroundings::collect(policy.upstream(), beside, &|name| self.environment.get(name));
            let read_max = policy.response().read_max_bytes;
            Ok(Upstream::open(policy.upstream(), read_max, surroundings, Arc::clone(&self.clock)).await?)
        })
    }
}

/// What tells a file that was written from one that was not, nearly always.
type Stamp = Option<(SystemTime, u64)>;

impl Again {
    fn stamp(&self) -> Stamp {
        let metadata = self.path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    /// The file's hash, if it is another file than at the last look; a file that cannot be read is none.
    fn look(&self, last: &mut Stamp) -> Option<[u8; 32]> {
        let stamp = self.stamp();
        if std::mem::replace(last, stamp) == stamp && stamp.is_some() {
            return None;
        }
        let file = config::read_policy(&self.path).ok()?;
        Some(Sha256::digest(file.text.as_bytes()).into())
    }
}

/// Says once of each change of the file that it is not in force.
pub(super) async fn watch(again: Arc<Again>, gateways: Arc<[Gateway]>, place: usize) {
    let (mut last, mut told) = (None, None);
    loop {
        tokio::time::sleep(OFTEN).await;
        let looking = Arc::clone(&again);
        // Off the event loop: a file system may take its time.
        let look = tokio::task::spawn_blocking(move || {
            let found = looking.look(&mut last);
            (found, last)
        });
        let Ok((found, stamp)) = look.await else { return };
        last = stamp;
        let (Some(found), Some(gateway)) = (found, gateways.get(place)) else { continue };
        let changed = (found != gateway.now().policy().hash()).then_some(found);
        if changed.is_some() && changed != told {
            let (file, place) = (quoted(&again.path), desk::place(again.root.as_deref()));
            tracing::warn!("the policy file `{file}` was changed and is not in force: portcullis reload{place}");
        }
        told = changed;
    }
}
