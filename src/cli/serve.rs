//! `portcullis serve`: everything is read and checked before the first byte is answered.

mod again;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::catalog::{self, CatalogError};
use super::check::{self, Checked, Hints, Look};
use super::load::Names;
use super::{FOUND, complain};
use crate::agent::Agent;
use crate::audit::{AuditError, AuditLog, Place};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Environment};
use crate::confirm::{Confirmer, SealError};
use crate::gateway::{Gateway, Parts, Source};
use crate::limit::{DailyCount, DailyError, Limiter};
use crate::policy::{Parsed, Policy, SinkSpec};
use crate::secret;
use crate::server;
use crate::server::desk::{Desk, DeskError};
use crate::sink::{Running, SinkError, Sinks};
use crate::tools::Toolbox;
use crate::upstream::Upstream;
use crate::upstream::error::UpstreamSetupError;
use crate::upstream::source::{SourceError, Surroundings};
use again::Again;

/// What is logged to standard error unless the environment says otherwise. rmcp logs whole messages below `warn`.
const LOG_FILTER: &str = "warn,portcullis=info";

/// What started gateways need to run.
struct Started {
    runtime: Runtime,
    signals: Signals,
    gateways: Arc<[Gateway]>,
    desks: Vec<Option<Desk>>,
    sinks: Vec<Option<Running>>,
    /// Where each gateway's policy comes from.
    files: Vec<Arc<Again>>,
}

/// One API to serve: its policy, where its file lies, and how many warnings it has.
struct Api {
    policy: Policy,
    path: PathBuf,
    beside: PathBuf,
    warnings: usize,
}

/// Runs until the client hangs up or the process is told to stop.
pub(super) fn run(policies: &[PathBuf], state_dir: Option<&Path>) -> ExitCode {
    match start(policies, state_dir) {
        Ok(started) => started.serve(),
        Err(code) => code,
    }
}

/// Reads and opens everything in the order in which a fault would be the operator's: the policies first.
fn start(paths: &[PathBuf], state_dir: Option<&Path>) -> Result<Started, ExitCode> {
    let environment = Environment::process();
    log_to_stderr(&environment).map_err(|error| complain(&error))?;
    if let Err(error) = secret::shield_process() {
        tracing::warn!(%error, "this process could not be made unreadable to others");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| complain(&error))?;
    // Before anything is opened: a signal from here on ends in order.
    let signals = Signals::listen(&runtime).map_err(|error| complain(&error))?;
    let apis = read(paths)?;
    let several = apis.len() > 1;
    let (mut gateways, mut desks, mut sinks, mut files) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let root = state_dir.map(std::path::absolute).transpose().map_err(|error| complain(&error))?;
    let root = root.as_deref();
    for Api { policy, path, beside, warnings } in apis {
        // A directory of its own for each: no log, lock or count is shared.
        let state_dir = state_dir.map(|directory| match several {
            true => directory.join(policy.name()),
            false => directory.to_owned(),
        });
        let file = policy.file().to_owned();
        let places = Places { path: &path, beside: &beside, root, state_dir: state_dir.as_deref() };
        let opened = open(&runtime, &environment, policy, &places, warnings);
        let Opened { gateway, desk, running, file } = opened.map_err(|error| match several {
            true => complain(&format!("{file}: {error}")),
            false => complain(&error),
        })?;
        gateways.push(gateway);
        desks.push(desk);
        sinks.push(running);
        files.push(file);
    }
    Ok(Started { runtime, signals, gateways: gateways.into(), desks, sinks, files })
}

/// Where the files of one API lie.
struct Places<'a> {
    /// Its policy.
    path: &'a Path,
    /// What the policy names by relative paths.
    beside: &'a Path,
    /// The state directory of all APIs, where one was given.
    root: Option<&'a Path>,
    /// Its own.
    state_dir: Option<&'a Path>,
}

/// Why one API cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum OpenError {
    State(#[from] config::ConfigError),
    Upstream(#[from] UpstreamSetupError),
    Daily(#[from] DailyError),
    Confirm(#[from] SealError),
    Key(SourceError),
    Desk(#[from] DeskError),
    Audit(#[from] AuditError),
    Sink(#[from] SinkError),
    Catalog(#[from] CatalogError),
}

/// One API that can be served.
struct Opened {
    gateway: Gateway,
    desk: Option<Desk>,
    running: Option<Running>,
    file: Arc<Again>,
}

fn open(
    runtime: &Runtime,
    environment: &Environment,
    policy: Policy,
    places: &Places<'_>,
    warnings: usize,
) -> Result<Opened, OpenError> {
    let Places { path: policy_path, beside, root, state_dir } = *places;
    let toolbox = Toolbox::new(&policy, catalog::of(&policy, beside)?);
    let directory = config::state_directory(state_dir, environment, policy.name())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let lookup = |name: &str| environment.get(name);
    let surroundings =
        Surroundings::collect(policy.upstream(), beside, &lookup).and(policy.confirm().key.as_ref(), &lookup);
    let key = match &policy.confirm().key {
        Some(spec) => Some(runtime.block_on(surroundings.read(spec)).map_err(OpenError::Key)?),
        None => None,
    };
    let read_max = policy.response().read_max_bytes;
    let upstream = runtime.block_on(Upstream::open(policy.upstream(), read_max, surroundings, clock.clone()))?;
    let sinks = runtime.block_on(sinks(&policy, environment, beside, &clock))?;
    let limiter = limiter(&policy, &directory, &clock)?;
    let confirmer = Confirmer::new(policy.confirm().clone(), &directory, clock.clone(), key.as_deref())?;
    let place = Place { directory: &directory, audit: policy.audit() };
    // Before the log is there: no crash may leave one that nobody brings to its sinks.
    let path = AuditLog::next(&place, &*clock);
    let ready = sinks.claim(&path)?;
    let audit = AuditLog::open_at(&path, &place, &policy, clock.clone())?;
    let running = ready.follow(&audit, &policy.audit().prefix)?;
    tracing::info!(api = policy.name(), log = %audit.path().display(), warnings, "ready");
    let agent = Agent::stdio(rustix::process::geteuid().as_raw());
    // Last: a gateway that does not start leaves no socket behind.
    let desk = desk(runtime, &policy, &directory, &*clock)?;
    let root = root.map(Path::to_owned);
    let file = Arc::new(Again {
        path: policy_path.to_owned(),
        directory,
        root: root.clone(),
        environment: environment.clone(),
        clock: Arc::clone(&clock),
    });
    let parts = Parts { agent, policy, toolbox, limiter, confirmer, upstream, audit, clock, state_dir: root };
    let gateway = Gateway::new(parts, Arc::clone(&file) as Arc<dyn Source>);
    Ok(Opened { gateway, desk, running, file })
}

/// The desk. Where no write could wait at it, only `portcullis reload` is lost without.
fn desk(runtime: &Runtime, policy: &Policy, directory: &Path, clock: &dyn Clock) -> Result<Option<Desk>, DeskError> {
    match runtime.block_on(Desk::open(directory, clock.wall())) {
        Ok(desk) => Ok(Some(desk)),
        Err(error) if policy.could_hold() => Err(error),
        Err(error) => {
            tracing::warn!("{error}; `portcullis reload` does not reach this gateway");
            Ok(None)
        }
    }
}

impl Started {
    fn serve(self) -> ExitCode {
        let Self { runtime, signals, gateways, desks, sinks, files } = self;
        let stop = CancellationToken::new();
        let served = runtime.block_on(async {
            let told = tokio::spawn(signals.obey(stop.clone(), gateways.clone()));
            for (place, file) in files.into_iter().enumerate() {
                tokio::spawn(again::watch(file, gateways.clone(), place));
            }
            let served = server::serve(gateways.clone(), desks, stop.clone()).await;
            told.abort();
            served
        });
        // Ends what still runs, whose records must come before the last one, and waits for no blocking read.
        runtime.shutdown_background();
        let reason = if stop.is_cancelled() { "signal" } else { "end of input" };
        let closed: Vec<_> = gateways.iter().filter_map(|gateway| gateway.now().close(reason).err()).collect();
        // All at once, then one after the other, so that none has to wait for another's end.
        sinks.iter().flatten().for_each(Running::stop);
        sinks.into_iter().flatten().for_each(Running::join);
        match (served, closed.first()) {
            (Ok(()), None) => ExitCode::SUCCESS,
            (Err(error), _) => complain(&error),
            (Ok(()), Some(error)) => complain(error),
        }
    }
}

/// SIGTERM and SIGINT, each of which ends the gateways in order, and SIGHUP, upon which they read their policies again.
struct Signals {
    stop: [Signal; 2],
    reload: Signal,
    /// Heard and ignored, so that a file size limit is an error of the write and not the end of the process.
    _size_limit: Signal,
}

impl Signals {
    fn listen(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.enter();
        let all = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let [terminate, interrupt, hangup] = all;
        let size_limit = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self { stop: [terminate?, interrupt?], reload: hangup?, _size_limit: size_limit })
    }

    async fn obey(self, stop: CancellationToken, gateways: Arc<[Gateway]>) {
        let Self { stop: [mut terminate, mut interrupt], mut reload, _size_limit } = self;
        let reloading = async {
            while reload.recv().await.is_some() {
                for gateway in &*gateways {
                    gateway.hang_up().await;
                }
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = reloading => {}
        }
        stop.cancel();
    }
}

/// The sinks of a policy, checked and not yet followed.
pub(super) async fn sinks(
    policy: &Policy,
    environment: &Environment,
    beside: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Sinks, SinkError> {
    let specs = &policy.audit().sinks;
    let secrets = specs.iter().flat_map(SinkSpec::secrets);
    Sinks::open(specs, Surroundings::of(secrets, beside, &|name| environment.get(name)), clock.clone()).await
}

/// The limits of a policy at work.
pub(super) fn limiter(policy: &Policy, directory: &Path, clock: &Arc<dyn Clock>) -> Result<Limiter, DailyError> {
    let daily = DailyCount::open(directory, policy.limits().daily, clock.clone())?;
    let rates: Vec<_> = policy.rules().iter().map(crate::policy::RuleInfo::rate).collect();
    Ok(Limiter::new(policy.limits(), &rates, policy.upstream().timeout, clock.clone(), daily))
}

/// The policies, or the findings of every wrong one on standard error and exit code 1.
fn read(paths: &[PathBuf]) -> Result<Vec<Api>, ExitCode> {
    let (mut apis, mut wrong) = (Vec::with_capacity(paths.len()), Vec::new());
    for path in paths {
        let file = config::read_policy(path).map_err(|error| complain(&error))?;
        let Parsed { policy, findings, hidden } = Policy::parse(&file.name(), &file.text);
        match policy {
            Some(policy) => {
                let (path, beside) = (path.clone(), file.directory().to_owned());
                apis.push(Api { policy, path, beside, warnings: findings.len() });
            }
            None => wrong.push(Checked { file: file.name(), text: file.text, findings, hidden }),
        }
    }
    if !wrong.is_empty() {
        if let Err(error) = check::write_human(&mut io::stderr(), &wrong, Look::Plain, Hints::Counted) {
            tracing::warn!(%error, "the findings could not be shown");
        }
        return Err(ExitCode::from(FOUND));
    }
    let mut names = Names::default();
    apis.iter().try_for_each(|api| names.add(&api.policy)).map_err(|error| complain(&error))?;
    Ok(apis)
}

fn log_to_stderr(environment: &Environment) -> Result<(), config::ConfigError> {
    let filter = environment.log_filter()?.unwrap_or_else(|| LOG_FILTER.to_owned());
    let messages = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    // A standard error that nobody reads leaves nobody to tell, and is no reason to end.
    messages.log_internal_errors(false).init();
    Ok(())
}
