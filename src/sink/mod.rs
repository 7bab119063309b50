//! Where the log goes beside its file: syslog, OTLP, a webhook.
//!
//! Promises that every record which is on disk gets to every sink, in the order of its log, at least once: the file is the
//! queue, and a cursor in the state directory says how far a sink has it, also for the next process. A record that a sink refuses
//! for good is noted and counted. A sink that is dead holds nobody up, but for writes where the policy says `require`. Nothing is
//! kept in memory but one batch of each sink.
//!
//! Refuses to send a line that is no record of its place. Trusts the state directory, and a sink that says that it has a batch.

mod backoff;
mod batch;
mod claim;
mod course;
mod cursor;
mod follow;
mod otlp;
mod refused;
mod segment;
mod standing;
mod syslog;
mod webhook;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::audit::{AuditLog, SinkState};
use crate::clock::Clock;
use crate::policy::{Destination, SinkSpec};
use crate::upstream::error::UpstreamError;
use crate::upstream::post::{PlaceError, Post, Said, Signature};
use crate::upstream::source::Surroundings;
use crate::upstream::stream::Dialer;
use batch::Batch;
use claim::{Claim, Orphans};
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

/// Sinks that wait for a log which is about to begin: that they do is on disk.
#[derive(Debug)]
pub struct Ready {
    sinks: Sinks,
    own: Option<Claim>,
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
    /// The thread or its runtime could not be started.
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
    /// Less at once; of one record, it is that one which is refused.
    Less,
}

/// What became of a batch that arrived.
#[derive(Debug)]
enum Taken {
    All,
    /// All but so many records, which are not to be sent again, and what the sink says of it.
    Part {
        refused: u64,
        cause: String,
    },
}

/// What is counted of each sink.
#[derive(Debug)]
struct Counts(Vec<Count>);

#[derive(Debug)]
struct Count {
    sink: String,
    /// Records that it has not taken yet.
    waiting: AtomicU64,
    /// Records that it will not have.
    refused: AtomicU64,
}

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

    /// Puts beside a log that is about to begin what says that these sinks wait for it, so that no crash leaves it undelivered.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn claim(self, log: &Path) -> Result<Ready, SinkError> {
        let names: Vec<&str> = self.sinks.iter().map(|(_, name, _)| name.as_str()).collect();
        let own = match names.is_empty() {
            true => None,
            false => Some(Claim::begin(log, &names).map_err(SinkError::State)?),
        };
        Ok(Ready { sinks: self, own })
    }
}

impl Ready {
    /// Begins to follow the log, and takes over what other processes have left undelivered of logs with its prefix; `None` where
    /// there are no sinks.
    ///
    /// # Errors
    /// The state directory cannot be read, or no thread be started.
    pub fn follow(self, audit: &AuditLog, prefix: &str) -> Result<Option<Running>, SinkError> {
        let Self { sinks: Sinks { sinks, clock }, own } = self;
        let Some(own) = own.map(Arc::new) else { return Ok(None) };
        let names: Vec<&str> = sinks.iter().map(|(_, name, _)| name.as_str()).collect();
        let orphans = Arc::new(Orphans::find(&own, prefix, &names).map_err(SinkError::State)?);
        let counts = Arc::new(Counts::new(&names));
        let (stop, stopped) = watch::channel(false);
        let mut required = 0..;
        let followers = sinks.into_iter().enumerate().map(|(place, (sink, name, require))| {
            let required = if require { required.next() } else { None };
            let parts = follow::Parts {
                sink,
                name: name.clone(),
                place,
                required,
                audit: audit.clone(),
                own: own.clone(),
                orphans: orphans.clone(),
                counts: counts.clone(),
                stopped: stopped.clone(),
                clock: clock.clone(),
            };
            (name, Follower::new(parts))
        });
        let (followers, audit) = (followers.collect(), audit.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SinkError::Thread)?;
        let thread = std::thread::Builder::new().name("audit-sinks".into());
        let thread = thread.spawn(move || run(runtime, followers, &audit)).map_err(SinkError::Thread)?;
        Ok(Some(Running { stop, thread }))
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

    /// Brings a batch.
    async fn deliver(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        match self {
            Self::Syslog(syslog) => syslog.deliver(batch).await.map(|()| Taken::All),
            Self::Otlp(otlp) => otlp.deliver(batch).await,
            Self::Webhook(webhook) => webhook.deliver(batch).await.map(|()| Taken::All),
        }
    }

    /// Whether what it has taken is taken, and no connection may tell otherwise later.
    fn acknowledges(&self) -> bool {
        match self {
            Self::Syslog(syslog) => !syslog.is_connected(),
            Self::Otlp(_) | Self::Webhook(_) => true,
        }
    }

    /// Looks whether something that was sent is known to be lost by now.
    async fn look(&mut self) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) => syslog.tend().await,
            Self::Otlp(_) | Self::Webhook(_) => Ok(()),
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
    async fn tend(&mut self, counts: &Counts, end: bool) -> Result<(), Failure> {
        match self {
            Self::Syslog(syslog) if end => {
                syslog.tend().await?;
                syslog.end().await
            }
            Self::Syslog(syslog) => syslog.tend().await,
            Self::Otlp(otlp) => {
                otlp.tend(counts, end).await;
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

    /// The sink refuses what a batch holds.
    fn refused(detail: String) -> Self {
        Self { cause: "refused", detail, retry_after: None, then: Then::Less }
    }

    /// Reads an answer; any status of success is one.
    fn unless_taken(said: &Said) -> Result<(), Self> {
        let (cause, then) = match said.status {
            200..=299 => return Ok(()),
            401 | 403 => ("unauthorized", Then::Again),
            413 => ("too_large", Then::Less),
            // What these say is of the request's content. Other refusals are of the sink as a whole.
            400 | 422 => ("refused", Then::Less),
            429 | 503 => ("busy", Then::Again),
            _ => ("refused", Then::Again),
        };
        Err(Self { cause, detail: format!("status {}", said.status), retry_after: said.retry_after, then })
    }
}

impl Counts {
    fn new(sinks: &[&str]) -> Self {
        let count =
            |sink: &&str| Count { sink: (*sink).to_owned(), waiting: AtomicU64::new(0), refused: AtomicU64::new(0) };
        Self(sinks.iter().map(count).collect())
    }

    fn wait(&self, place: usize, records: u64) {
        if let Some(count) = self.0.get(place) {
            count.waiting.store(records, Ordering::Relaxed);
        }
    }

    fn waiting(&self, place: usize) -> u64 {
        self.0.get(place).map_or(0, |count| count.waiting.load(Ordering::Relaxed))
    }

    fn refuse(&self, place: usize, records: u64) {
        if let Some(count) = self.0.get(place) {
            count.refused.fetch_add(records, Ordering::Relaxed);
        }
    }
}

fn run(runtime: Runtime, followers: Vec<(String, Follower)>, audit: &AuditLog) {
    let served = followers.into_iter().map(|(sink, follower)| watched(sink, audit, follower.serve()));
    runtime.block_on(join_all(served));
    runtime.shutdown_background();
}

/// A fault in one sink ends none of the others, and is in the log.
async fn watched(sink: String, audit: &AuditLog, serving: impl Future<Output = ()>) {
    if AssertUnwindSafe(serving).catch_unwind().await.is_ok() {
        return;
    }
    tracing::error!(sink, "a sink of the audit log ended by a panic; the next process goes on where it was");
    let state = SinkState { sink: &sink, state: "behind", cause: Some("internal"), ..SinkState::default() };
    if let Err(error) = audit.sink(&state) {
        tracing::error!(%error, sink, "how a sink stands could not be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Place;
    use crate::clock::SystemClock;
    use crate::policy::Policy;

    const POLICY: &str = r#"
        version = 1
        name = "test"
        upstream = { base_url = "http://127.0.0.1:9/", allow_http = true }
    "#;

    #[test]
    fn a_fault_in_a_sink_ends_no_other_and_is_in_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let policy = Policy::parse("test.toml", POLICY).policy.unwrap();
        let place = Place { directory: directory.path(), audit: policy.audit() };
        let audit = AuditLog::open(&place, &policy, Arc::new(SystemClock::new())).unwrap();
        let other = std::sync::atomic::AtomicBool::new(false);
        let fault = watched("siem".into(), &audit, async { panic!("a fault on purpose") });
        let well = watched("other".into(), &audit, async { other.store(true, Ordering::Relaxed) });
        assert!(futures_util::future::join(fault, well).now_or_never().is_some());
        assert!(other.load(Ordering::Relaxed));
        let text = std::fs::read_to_string(audit.path()).unwrap();
        let told = r#""kind":"sink","sink":"siem","state":"behind","waiting":0,"cause":"internal"}"#;
        assert_eq!(text.matches(told).count(), 1, "{text}");
        assert!(!text.contains("other"), "{text}");
    }
}
