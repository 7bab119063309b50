//! The requests that a client waits for: how many there are, and that no id is used twice at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio::sync::Notify;

/// Requests of one client that may run at a time; beyond, nothing is read.
pub(super) const MAX_CALLS: usize = 256;

/// The table of running requests.
#[derive(Debug, Default)]
pub(super) struct Calls {
    table: Mutex<HashMap<RequestId, Stage>>,
    left: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The handler is done; the answer is on its way.
    Done,
    /// The client gave up while the handler ran: no answer will be sent, but the id stays taken until it is done.
    Cancelled,
}

/// Held by a handler while it runs.
#[derive(Debug)]
pub(super) struct Running {
    calls: Arc<Calls>,
    id: RequestId,
}

/// Whether an id may be used.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Begin {
    Begun,
    /// A request with this id is still running.
    Taken,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Stage>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an id for a request.
    pub(super) fn begin(&self, id: &RequestId) -> Begin {
        match self.lock().entry(id.clone()) {
            Entry::Occupied(_) => Begin::Taken,
            Entry::Vacant(place) => {
                place.insert(Stage::Running);
                Begin::Begun
            }
        }
    }

    /// The answer was handed to the writer.
    pub(super) fn answered(&self, id: &RequestId) {
        self.lock().remove(id);
        self.left.notify_waiters();
    }

    /// The client gave up: from here on no answer may be counted on.
    pub(super) fn cancelled(&self, id: &RequestId) {
        let mut table = self.lock();
        match table.get_mut(id) {
            Some(stage @ Stage::Running) => *stage = Stage::Cancelled,
            Some(Stage::Done) => {
                table.remove(id);
            }
            Some(Stage::Cancelled) | None => {}
        }
        self.left.notify_waiters();
    }

    /// To be held by the handler of `id`.
    pub(super) fn run(self: &Arc<Self>, id: RequestId) -> Running {
        Running { calls: self.clone(), id }
    }

    /// Resolves once fewer than [`MAX_CALLS`] run.
    pub(super) async fn room(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().len() < MAX_CALLS {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut table = self.calls.lock();
        match table.get_mut(&self.id) {
            Some(stage @ Stage::Running) => *stage = Stage::Done,
            Some(Stage::Cancelled) => {
                table.remove(&self.id);
                self.calls.left.notify_waiters();
            }
            Some(Stage::Done) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_until_its_call_has_ended_whatever_the_order_of_cancel_and_end() {
        let calls = Arc::new(Calls::default());
        let id = RequestId::Number(1);
        assert_eq!(calls.begin(&id), Begin::Begun);
        assert_eq!(calls.begin(&id), Begin::Taken);
        let running = calls.run(id.clone());
        calls.cancelled(&id);
        assert_eq!(calls.begin(&id), Begin::Taken, "cancelled, but the handler still runs");
        drop(running);
        assert_eq!(calls.begin(&id), Begin::Begun, "cancelled, and the handler is done");
        drop(calls.run(id.clone()));
        assert_eq!(calls.begin(&id), Begin::Taken, "done, but not yet answered");
        calls.answered(&id);
        assert_eq!(calls.begin(&id), Begin::Begun);
        drop(calls.run(id.clone()));
        calls.cancelled(&id);
        assert_eq!(calls.begin(&id), Begin::Begun, "done, and the answer was cancelled");
    }
}
