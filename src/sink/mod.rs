//! Where the log goes beside its file: syslog, OTLP, a webhook.
//!
//! Promises that every record which is on disk gets to every sink, in the order of its log, at least once: the file is the
//! queue, and a cursor in the state directory says how far a sink has it, also for the next process. A sink that is dead holds
//! nobody up, but for writes where the policy says `require`. Nothing is kept in memory but one batch of each sink.
//!
//! Refuses to send a line that is no record of its place. Trusts the state directory, and a sink that says that it has a batch.

mod backoff;
mod batch;
mod claim;
mod course;
mod cursor;
mod follow;
mod otlp;
mod segment;
mod standing;
mod syslog;
mod webhook;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::audit::AuditLog;
use crate::clock::Clock;
use crate::policy::{Destination, SinkSpec};
use crate::upstream::error::UpstreamError;
use crate::upstream::post::{PlaceError, Post, Said, Signature};
use crate::upstream::source::Surroundings;
use crate::upstream::stream::Dialer;
use batch::Batch;
use claim::Claim;
use follow::Follower;
use otlp::Otlp;
use syslog::Syslog;
use webhook::Webhook;

/// How long sinks may take for what is left when the process ends in order. The rest is for the next one.
const DRAIN: Duration = Duration::from_secs(5);

/// The sinks of one policy, checked and not yet at work.
#[derive(Debug)]
pub struct Sinks {
    sinks: Vec<(Sink, String, bool)>,
    clock: Arc<dyn Clock>,
}

/// Sinks at work, on a thread of their own.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

/// Why a sink cannot be set up; nothing starts then.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// One of the policy's cannot be used.
    #[error("sink `{name}`: {cause}")]
    Place {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: PlaceError,
    },
    /// How far sinks are cannot be kept.
    #[error("how far the sinks of the audit log are cannot be kept in the state directory: {0}")]
    State(std::io::Error),
    /// The thread could not be started.
    #[error("the thread of the sinks could not be started: {0}")]
    Thread(std::io::Error),
}

/// One place that records are brought to.
#[derive(Debug)]
enum Sink {
    Syslog(Syslog),
    Otlp(Box<Otlp>),
    Webhook(Box<Webhook>),
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Failure {
    /// One word, for the log.
    cause: &'static str,
    /// What happened, for the operator.
    detail: String,
    /// How long the sink asks to be left alone.
    retry_after: Option<Duration>,
    /// What to send next.
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The same batch.
    Again,
    /// The batch before it too: it may not have arrived.
    Before,
    /// Less at once.
    Less,
}

/// How many records each sink has not taken yet.
#[derive(Debug, Default)]
struct Waiting(Vec<(String, AtomicU64)>);

impl Sinks {
    /// Reads everything that the policy says of its sinks. Nothing is dialled.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub async fn open(
        specs: &[SinkSpec],
        surroundings: Surroundings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SinkError> {
        let surroundings = Arc::new(surroundings);
        let mut sinks = Vec::with_capacity(specs.len());
        for spec in specs {
            let sink = Sink::open(spec, &surroundings, &clock).await;
            let sink = sink.map_err(|cause| SinkError::Place { name: spec.name.clone(), cause })?;
            sinks.push((sink, spec.name.clone(), spec.require));
        }
        Ok(Self { sinks, clock })
    }

    /// Begins to follow a log, and takes over what other processes have left undelivered; `None` where there are no sinks.
    ///
    /// # Errors
    /// The state directory cannot be written, or no thread be started.
    pub fn follow(self, audit: &AuditLog, directory: &Path) -> Result<Option<Running>, SinkError> {
        if self.sinks.is_empty() {
            return Ok(None);
        }
        let Some(log) = audit.path().file_name().and_then(|name| name.to_str()) else { return Ok(None) };
        let names: Vec<&str> = self.sinks.iter().map(|(_, name, _)| name.as_str()).collect();
        let own = Arc::new(Claim::begin(directory, log, &names).map_err(SinkError::State)?);
        let orphans: Vec<_> =
            claim::orphans(&own, &names).map_err(SinkError::State)?.into_iter().map(Arc::new).collect();
        let waiting = names.iter().map(|name| ((*name).to_owned(), AtomicU64::new(0))).collect();
        let waiting = Arc::new(Waiting(waiting));
        let (stop, stopped) = watch::channel(false);
        let mut required = 0..;
        let followers = self.sinks.into_iter().enumerate().map(|(place, (sink, name, require))| {
            let required = if require { required.next() } else { None };
            let parts = follow::Parts {
                sink,
                name,
                place,
                required,
                audit: audit.clone(),
                own: own.clone(),
                orphans: orphans.clone(),
                waiting: waiting.clone(),
                stopped: stopped.clone(),
                clock: self.clock.clone(),
            };
            Follower::new(parts)
        });
        let followers = followers.collect();
        let thread = std::thread::Builder::new().name("audit-sinks".into()).spawn(move || run(followers));
        Ok(Some(Running { stop, thread: thread.map_err(SinkError::Thread)? }))
    }
}

impl Running {
    /// Tells the sinks that nothing more comes.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until they have taken everything, or had five seconds for it.
    pub fn join(self) {
        self.stop();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the audit log's sinks ended by a panic");
        }
    }
}

impl Sink {
    async fn open(
        spec: &SinkSpec,
        surroundings: &Arc<Surroundings>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, PlaceError> {
        let post = async |to| Post::open(spec, to, surroundings.clone(), clock.clone()).await;
        Ok(match &spec.to {
            Destination::SyslogUnix(path) => Self::Syslog(Syslog::datagram(path.clone())),
            Destination::SyslogTcp(target) => Self::Syslog(Syslog::stream(Dialer::plain(spec, target))),
            Destination::SyslogTls(target) => Self::Syslog(Syslog::stream(Dialer::tls(spec, target, surroundings)?)),
            Destination::Otlp(to) => Self::Otlp(Box::new(Otlp::new(post(to).await?, &to.url, clock.clone()))),
            Destination::Webhook(to, secret) => {
                let signature = Signature::open(secret, surroundings.clone()).await?;
                Self::Webhook(Box::new(Webhook::new(post(to).await?, to.url.clone(), signature, clock.clone())))
            }
        })
    }

    /// Brings a batch; when this returns well, the sink has it.
    async fn deliver(&mut self, batch: &Batch) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.deliver(batch).await,
            Self::Otlp(otlp) => otlp.deliver(batch).await,
            Self::Webhook(webhook) => webhook.deliver(batch).await,
        }
    }

    /// Counts a batch of this process's own log that was taken.
    fn count(&mut self, batch: &Batch) {
        match self {
            Self::Otlp(otlp) => otlp.count(batch),
            Self::Syslog(_) | Self::Webhook(_) => {}
        }
    }

    /// What is to be done from time to time, and at the end.
    async fn tend(&mut self, waiting: &Waiting, end: bool) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) if end => {
                syslog.tend().await?;
                syslog.end().await;
                Ok(())
            }
            Self::Syslog(syslog) => syslog.tend().await,
            Self::Otlp(otlp) => {
                otlp.tend(waiting, end).await;
                Ok(())
            }
            Self::Webhook(_) => Ok(()),
        }
    }

    /// Whether there is something to be done from time to time.
    fn needs_tending(&self) -> bool {
        match self {
            Self::Syslog(syslog) => syslog.is_connected(),
            Self::Otlp(_) => true,
            Self::Webhook(_) => false,
        }
    }
}

impl Failure {
    fn io(error: &std::io::Error) -> Self {
        Self { cause: "unreachable", detail: error.to_string(), retry_after: None, then: Then::Again }
    }

    fn http(error: &UpstreamError) -> Self {
        Self { cause: error.name(), detail: error.cause(), retry_after: None, then: Then::Again }
    }

    /// Reads an answer; any status of success is one.
    fn unless_taken(said: &Said) -> Result<(), Self> {
        let (cause, then) = match said.status {
            200..=299 => return Ok(()),
            401 | 403 => ("unauthorized", Then::Again),
            413 => ("too_large", Then::Less),
            429 | 503 => ("busy", Then::Again),
            _ => ("refused", Then::Again),
        };
        Err(Self { cause, detail: format!("status {}", said.status), retry_after: said.retry_after, then })
    }
}

impl Waiting {
    fn set(&self, place: usize, records: u64) {
        if let Some((_, waiting)) = self.0.get(place) {
            waiting.store(records, Ordering::Relaxed);
        }
    }
}

fn run(followers: Vec<Follower>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the sinks of the audit log could not be started"),
    };
    runtime.block_on(join_all(followers.into_iter().map(Follower::serve)));
    runtime.shutdown_background();
}
