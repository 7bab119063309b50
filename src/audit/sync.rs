//! The thread that brings the log to disk: one `fdatasync` for all who wait (on macOS `F_FULLFSYNC`, which std's
//! `sync_data` is there).
//!
//! What was written is synced within 100 ms; whoever waits is served at once. A sync that failed is final: the pages
//! may be lost and a second try would lie.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::AuditError;
use super::tail::Tail;

/// Half of the promised 100 ms; the other half is left to the disk.
const LAZY: Duration = Duration::from_millis(50);

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
    waiters: Vec<(u64, oneshot::Sender<bool>)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Syncer {
    /// Starts the thread for a file that lies at `path`.
    pub(super) fn start(file: File, path: PathBuf, tail: Tail) -> Result<Self, AuditError> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("audit-sync".into())
            .spawn(move || run(&theirs, &file, &path, &tail))
            .map_err(AuditError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A record was handed to the system.
    pub(super) fn wrote(&self, seq: u64) {
        let mut state = self.shared.lock();
        let idle = state.written == state.synced;
        state.written = state.written.max(seq + 1);
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

/// A log that was deleted or moved away holds what nobody will find.
fn still_there(file: &File, path: &Path) -> io::Result<()> {
    let (held, found) = (file.metadata()?, path.symlink_metadata()?);
    if (held.dev(), held.ino()) == (found.dev(), found.ino()) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted or moved away"))
}

fn run(shared: &Shared, file: &File, path: &Path, tail: &Tail) {
    let mut state = shared.lock();
    loop {
        while state.written == state.synced && !state.stop {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.written == state.synced {
            return;
        }
        if !state.urgent && !state.stop {
            state = match shared.wake.wait_timeout_while(state, LAZY, |s| !s.urgent && !s.stop) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state.urgent = false;
        let target = state.written;
        drop(state);
        let result = file.sync_data().and_then(|()| still_there(file, path));
        state = shared.lock();
        match result {
            Ok(()) => {
                state.synced = target;
                tail.synced(target);
            }
            Err(error) => {
                tracing::error!(%error, "the audit log could not be synced; nothing is forwarded any more");
                state.failed = true;
            }
        }
        let failed = state.failed;
        for (_, sender) in state.waiters.extract_if(.., |(seq, _)| failed || *seq < target) {
            // The call that waited may have been given up; then nobody is there to be told.
            sender.send(!failed).ok();
        }
        if failed {
            return;
        }
    }
}
