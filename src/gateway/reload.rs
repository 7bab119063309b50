//! A running gateway, and how the policy in force is exchanged for what its file says by now.
//!
//! Promises: nothing but an order of the desk or a signal looks at the file with intent; what `widening` finds wider, or
//! cannot tell, takes effect only by an order of the desk that names both policies, as they were shown to a person; a file
//! that is wrong changes nothing; the change is in the log, on disk, before anything is judged by the new policy; calls that
//! have begun end under the old one, except that no approval from before counts any more. No agent has a way here.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, watch};

use super::{Parts, Pipeline};
use crate::answer::Store;
use crate::audit::{AuditError, AuditLog, By};
use crate::confirm::desk::reload::{Change, Widened, Width};
use crate::confirm::desk::{Answer, MAX_REPLY, Order, things};
use crate::confirm::{Confirmer, SealError};
use crate::limit::DailyCount;
use crate::policy::diff::{Budget, Comparison, MOST_WIDENINGS, Rest, Widening, widening};
use crate::policy::{Policy, RuleInfo};
use crate::tools::Toolbox;
use crate::upstream::Upstream;

/// Characters of each of the three texts of a widening.
const MOST_SHOWN: usize = 400;
/// The other members of one, and the JSON around them, take less than this.
const REST: usize = 1 << 10;
// In JSON a character takes six bytes at most.
const _: () = assert!(MOST_WIDENINGS * (3 * 6 * MOST_SHOWN + REST) <= MAX_REPLY);

/// Why something outside of the gateway cannot be used, in one sentence.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The client of an API, being opened.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Upstream, Fault>> + Send + 'a>>;

/// What a policy file makes, but for the client of its API.
#[derive(Debug)]
pub struct Fresh {
    /// The compiled policy.
    pub policy: Policy,
    /// The tools that it leaves of the API's description.
    pub toolbox: Toolbox,
    /// The day's count under its limit.
    pub daily: DailyCount,
}

/// Where a gateway's policy comes from.
pub trait Source: Debug + Send + Sync {
    /// Reads the policy's file and what lies beside it, as they are now. May block.
    ///
    /// # Errors
    /// It cannot be used; whatever is wrong with it was said on standard error.
    fn read(&self) -> Result<Fresh, Fault>;

    /// Opens the client of a policy's API.
    fn upstream<'a>(&'a self, policy: &'a Policy) -> Opening<'a>;
}

/// The gate in front of one API, whatever its policy.
#[derive(Debug)]
pub struct Gateway {
    name: String,
    pipeline: RwLock<Arc<Pipeline>>,
    source: Arc<dyn Source>,
    /// One reload at a time.
    turn: Mutex<()>,
    /// How often the policy was exchanged.
    exchanged: watch::Sender<u64>,
}

/// Why the policy in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file, or something that it names, is wrong.
    #[error("{0}; the policy in force stays")]
    Unusable(Fault),
    /// Something that is fixed while the gateway runs.
    #[error("`{0}` cannot change while the gateway runs: restart it for that; the policy in force stays")]
    Fixed(&'static str),
    /// Nobody was shown in what it is wider.
    #[error(
        "the file is wider than the policy in force, in {0}: `portcullis reload --wider` shows that and asks; the policy in force stays"
    )]
    Wider(String),
    /// Nobody was told that it may be wider.
    #[error(
        "it cannot be told whether the file is wider than the policy in force: `portcullis reload --wider` asks; the policy in force stays"
    )]
    Undecided,
    /// It changed since it was compared, or the policy in force did.
    #[error("the file or the policy in force is another one than was compared: begin again; the policy in force stays")]
    Other,
    /// No new state of questions.
    #[error("{0}; the policy in force stays")]
    Confirm(#[from] SealError),
    /// The log cannot hold the change.
    #[error("the audit log cannot be written ({0}), so the policy in force stays; tell the operator")]
    Unrecorded(#[from] AuditError),
    /// The process ends.
    #[error("the gateway ended before the file was read")]
    Ended,
}

/// What came of reading the file beside the policy in force.
#[derive(Debug)]
enum Compared {
    /// It is the policy in force.
    Same,
    /// It is another one.
    Other(Box<Fresh>, Comparison),
}

impl Gateway {
    /// Puts the parts together; `source` says what its policy is later.
    #[must_use]
    pub fn new(parts: Parts, source: Arc<dyn Source>) -> Self {
        Self {
            name: parts.policy.name().to_owned(),
            pipeline: RwLock::new(Arc::new(Pipeline::new(parts))),
            source,
            turn: Mutex::default(),
            exchanged: watch::Sender::new(0),
        }
    }

    /// The API's name, which never changes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in force now. A call keeps what it found.
    #[must_use]
    pub fn now(&self) -> Arc<Pipeline> {
        // Nothing is done under the lock but the exchange of one pointer.
        Arc::clone(&self.pipeline.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells how often the policy was exchanged.
    #[must_use]
    pub fn exchanges(&self) -> watch::Receiver<u64> {
        self.exchanged.subscribe()
    }

    /// Carries out an order of the desk, given by the user `uid`, who may give it.
    #[must_use]
    pub async fn desk(&self, order: Order, uid: u32) -> Answer {
        let refused = |error: ReloadError| Answer::Refused { why: error.to_string() };
        match order {
            Order::Compare {} => self.compare().await.map_or_else(refused, |change| Answer::Compared(Box::new(change))),
            Order::Reload { before, now, consent } => {
                let shown = Shown { before, now, width: consent };
                self.reload(By::Desk(uid), Some(shown)).await.map_or_else(refused, |_| Answer::Reloaded)
            }
            order @ (Order::Pending {}
            | Order::Show { .. }
            | Order::Approve { .. }
            | Order::Decline { .. }
            | Order::Reopen {}) => self.now().desk(order, uid).await,
        }
    }

    /// SIGHUP: the file takes effect unless it is wider, which is said on standard error.
    pub async fn hang_up(&self) {
        let api = self.name();
        match self.reload(By::Signal, None).await {
            Ok(Reloaded::Same) => tracing::info!(api, "the policy file is the policy in force; nothing changed"),
            Ok(Reloaded::Changed) => {}
            Err(error) => tracing::error!(api, "{error}"),
        }
    }

    /// What the file would change.
    async fn compare(&self) -> Result<Change, ReloadError> {
        let current = self.now();
        let change = |now, width, widened, rest| Change {
            api: self.name.clone(),
            file: current.policy.file().to_owned(),
            before: hex(&current.policy),
            now,
            width,
            widened,
            rest,
        };
        let none = Vec::new;
        Ok(match self.read(&current).await? {
            Compared::Same => change(hex(&current.policy), Width::Same, none(), Rest::Nothing),
            Compared::Other(fresh, Comparison::NoWider) => {
                change(hex(&fresh.policy), Width::NoWider, none(), Rest::Nothing)
            }
            Compared::Other(fresh, Comparison::Undecided) => {
                change(hex(&fresh.policy), Width::Undecided, none(), Rest::Unknown)
            }
            Compared::Other(fresh, Comparison::Wider(found)) => {
                change(hex(&fresh.policy), Width::Wider, found.iter().map(widened).collect(), found.rest())
            }
        })
    }

    /// Puts in force what the file says; `shown` is what a person was told of it.
    async fn reload(&self, by: By, shown: Option<Shown>) -> Result<Reloaded, ReloadError> {
        let _turn = self.turn.lock().await;
        let current = self.now();
        let (fresh, comparison) = match self.read(&current).await? {
            Compared::Same => return Ok(Reloaded::Same),
            Compared::Other(fresh, comparison) => (fresh, comparison),
        };
        let same = |shown: &Shown| shown.before == hex(&current.policy) && shown.now == hex(&fresh.policy);
        if !shown.as_ref().is_none_or(same) {
            return Err(ReloadError::Other);
        }
        let consent = shown.map_or(Width::NoWider, |shown| shown.width);
        let wider = permitted(&comparison, consent)?;
        let upstream = self.upstream(&current, &fresh.policy).await?;
        let confirmer = current.confirmer.renewed(fresh.policy.confirm().clone())?;
        let audit = current.audit.reloaded(&fresh.policy, by, wider).await?;
        // From here on nothing is waited for, and nothing can fail.
        let (before, now) = (hex(&current.policy), hex(&fresh.policy));
        let next = current.succeeded(*fresh, upstream, confirmer, audit);
        *self.pipeline.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        current.confirmer.retire();
        self.exchanged.send_modify(|exchanges| *exchanges += 1);
        tracing::info!(api = self.name(), %before, %now, wider, "another policy is in force");
        Ok(Reloaded::Changed)
    }

    /// Reads the file and compares it with the policy in force, away from the event loop.
    async fn read(&self, current: &Arc<Pipeline>) -> Result<Compared, ReloadError> {
        let (source, current) = (Arc::clone(&self.source), Arc::clone(current));
        let reading = tokio::task::spawn_blocking(move || {
            let fresh = source.read().map_err(ReloadError::Unusable)?;
            if fresh.policy.hash() == current.policy.hash() {
                return Ok(Compared::Same);
            }
            stays(&current.policy, &fresh.policy)?;
            let comparison = widening(&current.policy, &fresh.policy, Budget::ORDINARY);
            Ok(Compared::Other(Box::new(fresh), comparison))
        });
        reading.await.map_err(|_| ReloadError::Ended)?
    }

    /// The client of the API: the one that is there, with its connections, where nothing of it changes.
    async fn upstream(&self, current: &Pipeline, policy: &Policy) -> Result<Arc<Upstream>, ReloadError> {
        let of = |policy: &Policy| (policy.upstream().clone(), policy.response().read_max_bytes);
        if of(&current.policy) == of(policy) {
            return Ok(Arc::clone(&current.upstream));
        }
        self.source.upstream(policy).await.map(Arc::new).map_err(ReloadError::Unusable)
    }
}

/// What a person was told of a reload.
#[derive(Debug)]
struct Shown {
    before: String,
    now: String,
    width: Width,
}

/// What came of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reloaded {
    /// The file is the policy in force.
    Same,
    /// Another policy is in force.
    Changed,
}

impl Pipeline {
    /// The same gate under another policy.
    fn succeeded(&self, fresh: Fresh, upstream: Arc<Upstream>, confirmer: Confirmer, audit: AuditLog) -> Self {
        let Fresh { policy, toolbox, daily } = fresh;
        let known: HashMap<_, _> =
            self.policy.rules().iter().enumerate().map(|(index, rule)| (rule.id(), (index, rule))).collect();
        let before = |rule: &RuleInfo| {
            let (index, before) = known.get(rule.id())?;
            is_about_the_same(before, rule).then_some(*index)
        };
        let rates: Vec<_> = policy.rules().iter().map(|rule| (rule.rate(), before(rule))).collect();
        let limiter = self.limiter.renewed(policy.limits(), &rates, policy.upstream().timeout, daily);
        Self {
            agent: self.agent.clone(),
            policy,
            toolbox,
            limiter,
            confirmer,
            upstream,
            audit,
            clock: Arc::clone(&self.clock),
            // What is left of answers was made for another policy.
            store: Store::new(Arc::clone(&self.clock)),
            shaping: self.shaping.clone(),
            tasks: self.tasks.clone(),
            lanes: Arc::clone(&self.lanes),
            frames: Arc::clone(&self.frames),
            state_dir: self.state_dir.clone(),
        }
    }
}

/// Whether two rules of one name are about the same requests: those that exchange their names keep no bucket.
fn is_about_the_same(before: &RuleInfo, rule: &RuleInfo) -> bool {
    let paths = |rule: &RuleInfo| rule.paths().iter().map(|path| path.text.clone()).collect::<Vec<_>>();
    before.methods().eq(rule.methods()) && paths(before) == paths(rule)
}

/// Refuses what only a start can change.
fn stays(current: &Policy, next: &Policy) -> Result<(), ReloadError> {
    let fixed = [
        ("name", current.name() == next.name()),
        ("[audit]", current.audit() == next.audit()),
        ("confirm.key", current.confirm().key == next.confirm().key),
    ];
    let changed = fixed.into_iter().find(|(_, same)| !same);
    changed.map_or(Ok(()), |(key, _)| Err(ReloadError::Fixed(key)))
}

/// Whether the policy may take effect by this consent, and is or may be wider.
fn permitted(comparison: &Comparison, consent: Width) -> Result<bool, ReloadError> {
    match (comparison, consent) {
        (Comparison::NoWider, _) => Ok(false),
        (Comparison::Wider(_) | Comparison::Undecided, Width::Wider | Width::Undecided) => Ok(true),
        (Comparison::Wider(found), Width::Same | Width::NoWider) => {
            Err(ReloadError::Wider(things(found.len(), found.rest())))
        }
        (Comparison::Undecided, Width::Same | Width::NoWider) => Err(ReloadError::Undecided),
    }
}

/// A widening in words; the desk makes them safe to print.
fn widened(widening: &Widening) -> Widened {
    let cut = |text: &str| -> String {
        let mut shown: String = text.chars().take(MOST_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        shown
    };
    let subject = widening.example.as_ref().map(ToString::to_string);
    let subject = subject.or_else(|| widening.key.map(str::to_owned)).unwrap_or_default();
    Widened {
        kind: widening.kind.as_str().to_owned(),
        subject: cut(&subject),
        rule: widening.rule.as_ref().map(|rule| rule.id().to_owned()),
        was: cut(&widening.was),
        is: cut(&widening.is),
    }
}

fn hex(policy: &Policy) -> String {
    crate::audit::hex(&policy.hash())
}
