//! The thread that brings the log to disk, one sync for all who wait, and writes its checkpoints.
//!
//! What was written is synced within 100 ms; whoever waits is served at once. A sync that failed is final: the pages
//! may be lost and a second try would lie.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::AuditError;
use super::checkpoint::Keeper;
use super::tail::Tail;

/// Half of the promised 100 ms; the other half is left to the disk.
const LAZY: Duration = Duration::from_millis(50);

/// While old files are looked for, what was found is asked for so often.
const SEARCH: Duration = Duration::from_millis(200);

/// The running thread and what it shares with the writers.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// One more than the last sequence number in the file.
    written: u64,
    /// One more than the last sequence number on disk.
    synced: u64,
    urgent: bool,
    failed: bool,
    stop: bool,
    /// Who waits for the last checkpoint.
    closing: Option<oneshot::Sender<bool>>,
    waiters: Vec<(u64, oneshot::Sender<bool>)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, most: Option<Duration>) -> MutexGuard<'a, State> {
        match most {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(most) => self.wake.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0,
        }
    }
}

impl State {
    fn wrote(&mut self, seq: u64) {
        self.written = self.written.max(seq + 1);
    }

    /// Everything before this sequence number is on disk.
    fn reached(&mut self, target: u64) {
        self.synced = target;
        for (_, sender) in self.waiters.extract_if(.., |(seq, _)| *seq < target) {
            // The call that waited may have been given up; then nobody is there to be told.
            sender.send(true).ok();
        }
    }

    /// Nothing more will be on disk.
    fn fail(&mut self) {
        self.failed = true;
        self.closing = None;
        for (_, sender) in self.waiters.drain(..) {
            sender.send(false).ok();
        }
    }

    /// Whether somebody waits, or nobody will any more.
    fn pressed(&self) -> bool {
        self.urgent || self.stop || self.closing.is_some()
    }
}

impl Syncer {
    /// Starts the thread.
    pub(super) fn start(keeper: Keeper, tail: Tail) -> Result<Self, AuditError> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("audit-sync".into())
            .spawn(move || guarded(&theirs, |shared| run(shared, keeper, &tail)))
            .map_err(AuditError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A record was handed to the system.
    pub(super) fn wrote(&self, seq: u64) {
        let mut state = self.shared.lock();
        let idle = state.written == state.synced;
        state.wrote(seq);
        if idle && state.written > state.synced {
            self.shared.wake.notify_one();
        }
    }

    /// Whether a sync failed: nothing may be forwarded any more.
    pub(super) fn failed(&self) -> bool {
        self.shared.lock().failed
    }

    /// Resolves to true once record `seq` is on disk, to false when it never will be.
    pub(super) async fn wait(&self, seq: u64) -> bool {
        match self.enqueue(seq) {
            Ok(done) => done,
            Err(receiver) => receiver.await.unwrap_or(false),
        }
    }

    /// As [`Syncer::wait`], for the start and the end of the process, outside of the runtime.
    pub(super) fn wait_blocking(&self, seq: u64) -> bool {
        match self.enqueue(seq) {
            Ok(done) => done,
            Err(receiver) => receiver.blocking_recv().unwrap_or(false),
        }
    }

    /// Asks for a last checkpoint and waits until it is on disk; false when it never will be.
    pub(super) fn close_blocking(&self) -> bool {
        let mut state = self.shared.lock();
        if state.failed {
            return false;
        }
        let (sender, receiver) = oneshot::channel();
        state.closing = Some(sender);
        self.shared.wake.notify_one();
        drop(state);
        receiver.blocking_recv().unwrap_or(false)
    }

    fn enqueue(&self, seq: u64) -> Result<bool, oneshot::Receiver<bool>> {
        let mut state = self.shared.lock();
        if state.failed || state.synced > seq {
            return Ok(!state.failed);
        }
        let (sender, receiver) = oneshot::channel();
        state.waiters.push((seq, sender));
        state.urgent = true;
        self.shared.wake.notify_one();
        Err(receiver)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that syncs the audit log ended by a panic");
        }
    }
}

/// A fault in the thread is a log that cannot be written: nobody waits for it for ever.
fn guarded(shared: &Shared, work: impl FnOnce(&Shared)) {
    struct Guard<'a>(&'a Shared);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.lock().fail();
            }
        }
    }
    let guard = Guard(shared);
    work(guard.0);
}

fn run(shared: &Shared, mut keeper: Keeper, tail: &Tail) {
    let mut state = shared.lock();
    loop {
        let mut due = keeper.wait(state.written);
        while state.written == state.synced && !state.pressed() && due != Some(Duration::ZERO) {
            let searching = keeper.is_searching();
            state = shared.wait(state, if searching { Some(due.unwrap_or(SEARCH).min(SEARCH)) } else { due });
            due = keeper.wait(state.written);
            if searching {
                break;
            }
        }
        if state.stop && state.written == state.synced {
            return;
        }
        if !state.pressed() {
            state = match shared.wake.wait_timeout_while(state, LAZY, |state| !state.pressed()) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state.urgent = false;
        let closing = state.closing.take();
        let waited = keeper.wait(state.written) == Some(Duration::ZERO);
        drop(state);
        let due = match closing.is_some() {
            false if keeper.is_full() => Due::Turn,
            false if !waited => Due::Nothing,
            true | false => Due::Checkpoint,
        };
        let result = bring_to_disk(shared, &mut keeper, due).and_then(|target| {
            shared.lock().reached(target);
            tail.synced(target);
            afterwards(shared, &mut keeper, due, closing)
        });
        state = shared.lock();
        if let Err(error) = result {
            tracing::error!(%error, "the audit log could not be brought to disk; nothing is forwarded any more");
            return state.fail();
        }
    }
}

/// What there is to write beside what calls have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Checkpoint,
    /// The end of this file and the beginning of the next.
    Turn,
}

/// Writes what is due and syncs; one more than the last sequence number on disk.
fn bring_to_disk(shared: &Shared, keeper: &mut Keeper, due: Due) -> Result<u64, AuditError> {
    let seen = keeper.look_around()?;
    let written = match due {
        Due::Nothing => None,
        Due::Checkpoint => keeper.checkpoint()?,
        Due::Turn => keeper.turn()?,
    };
    for seq in [seen, written].into_iter().flatten() {
        shared.lock().wrote(seq);
    }
    let target = shared.lock().written;
    keeper.sync().map_err(AuditError::Write)?;
    Ok(target)
}

/// What nobody who waits for the disk has to wait for.
fn afterwards(
    shared: &Shared,
    keeper: &mut Keeper,
    due: Due,
    closing: Option<oneshot::Sender<bool>>,
) -> Result<(), AuditError> {
    if due != Due::Nothing {
        keeper.publish();
    }
    if let Some(sender) = closing {
        keeper.trim();
        // Whoever asked may have gone.
        sender.send(true).ok();
    } else if let Some(seq) = keeper.retire()? {
        shared.lock().wrote(seq);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_thread_that_ended_by_a_panic() {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let work = move |shared: &Shared| {
            wait.recv().unwrap();
            let _held = shared.lock();
            panic!("a fault on purpose");
        };
        let thread = std::thread::spawn(move || guarded(&theirs, work));
        let syncer = Syncer { shared, thread: Some(thread) };
        syncer.wrote(0);
        let Err(waits) = syncer.enqueue(0) else { panic!("it is not on disk") };
        go.send(()).unwrap();
        assert_eq!(waits.blocking_recv(), Ok(false));
        assert!(syncer.failed() && !syncer.wait_blocking(0) && !syncer.close_blocking());
    }
}
