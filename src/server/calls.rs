//! The requests that a client waits for: how many there are, and that no id is used twice at a time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio::sync::Notify;

/// Requests of one client that may run at a time; beyond, nothing is read.
const MAX_CALLS: usize = 256;
/// Bytes of their frames that may be held at a time; beyond, nothing is read.
const MAX_BYTES: usize = 4 << 20;

/// The table of running requests.
#[derive(Debug, Default)]
pub(super) struct Calls {
    table: Mutex<Table>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Table {
    running: HashMap<RequestId, Request>,
    /// Requests of ours that the client has not answered.
    asked: HashSet<RequestId>,
    bytes: usize,
}

#[derive(Debug)]
struct Request {
    stage: Stage,
    bytes: usize,
}

impl Table {
    fn remove(&mut self, id: &RequestId) {
        if let Some(request) = self.running.remove(id) {
            self.bytes = self.bytes.saturating_sub(request.bytes);
        }
    }

    fn stage(&mut self, id: &RequestId) -> Option<&mut Stage> {
        self.running.get_mut(id).map(|request| &mut request.stage)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// rmcp answers it itself, or drops the answer when it is cancelled.
    Plain,
    /// A handler of ours runs.
    Running,
    /// The handler is done; the answer is on its way.
    Done,
    /// The handler is done and its answer is in the log already, although it is an error of the protocol.
    Recorded,
    /// The client gave up while the handler ran: no answer will be sent, but the id stays taken until it is done.
    Cancelled,
}

/// Held by a handler while it runs.
#[derive(Debug)]
pub(super) struct Running {
    calls: Arc<Calls>,
    id: RequestId,
}

/// Who answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A handler of ours, which rmcp lets run to its end.
    Call,
    /// rmcp, at once.
    Plain,
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
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an id for a request whose frame has that many bytes.
    pub(super) fn begin(&self, id: &RequestId, kind: Kind, bytes: usize) -> Begin {
        let stage = match kind {
            Kind::Call => Stage::Running,
            Kind::Plain => Stage::Plain,
        };
        let mut table = self.lock();
        match table.running.entry(id.clone()) {
            Entry::Occupied(_) => Begin::Taken,
            Entry::Vacant(place) => {
                place.insert(Request { stage, bytes });
                table.bytes += bytes;
                Begin::Begun
            }
        }
    }

    /// The answer was handed to the writer; whether it is in the log already, although it is an error of the protocol.
    pub(super) fn answered(&self, id: &RequestId) -> bool {
        let mut table = self.lock();
        let recorded = table.stage(id).is_some_and(|stage| *stage == Stage::Recorded);
        table.remove(id);
        drop(table);
        self.left.notify_waiters();
        recorded
    }

    /// The client gave up: from here on no answer may be counted on.
    pub(super) fn cancelled(&self, id: &RequestId) {
        let mut table = self.lock();
        match table.stage(id) {
            Some(stage @ Stage::Running) => *stage = Stage::Cancelled,
            Some(Stage::Plain | Stage::Done | Stage::Recorded) => table.remove(id),
            Some(Stage::Cancelled) | None => {}
        }
        self.left.notify_waiters();
    }

    /// The client is asked something under this id.
    pub(super) fn asked(&self, id: &RequestId) {
        self.lock().asked.insert(id.clone());
    }

    /// The question is closed: no answer counts.
    pub(super) fn unasked(&self, id: &RequestId) {
        self.lock().asked.remove(id);
    }

    /// Whether the client was asked something under this id, which it is no more: the first answer is the last.
    pub(super) fn take_asked(&self, id: &RequestId) -> bool {
        self.lock().asked.remove(id)
    }

    /// To be held by the handler of `id`.
    pub(super) fn run(self: &Arc<Self>, id: RequestId) -> Running {
        Running { calls: self.clone(), id }
    }

    /// Resolves once there is room for one more request.
    pub(super) async fn room(&self) {
        while !self.has_room() {
            let left = self.left.notified();
            // Again: a call may have ended before anybody listened.
            if !self.has_room() {
                left.await;
            }
        }
    }

    fn has_room(&self) -> bool {
        let table = self.lock();
        table.running.len() < MAX_CALLS && table.bytes < MAX_BYTES
    }
}

impl Running {
    /// The answer, an error of the protocol, is in the log: it is not to be recorded once more.
    pub(super) fn recorded(self) {
        if let Some(stage @ Stage::Running) = self.calls.lock().stage(&self.id) {
            *stage = Stage::Recorded;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut table = self.calls.lock();
        match table.stage(&self.id) {
            Some(stage @ Stage::Running) => *stage = Stage::Done,
            Some(Stage::Cancelled) => {
                table.remove(&self.id);
                self.calls.left.notify_waiters();
            }
            Some(Stage::Plain | Stage::Done | Stage::Recorded) | None => {}
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
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Begun);
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Taken);
        let running = calls.run(id.clone());
        calls.cancelled(&id);
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Taken, "cancelled, but the handler still runs");
        drop(running);
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Begun, "cancelled, and the handler is done");
        drop(calls.run(id.clone()));
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Taken, "done, but not yet answered");
        calls.answered(&id);
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Begun);
        drop(calls.run(id.clone()));
        calls.cancelled(&id);
        assert_eq!(calls.begin(&id, Kind::Call, 10), Begin::Begun, "done, and the answer was cancelled");
    }

    #[test]
    fn a_request_without_a_handler_of_ours_frees_its_id_when_it_is_cancelled() {
        let calls = Arc::new(Calls::default());
        for number in 0..10_000 {
            let id = RequestId::Number(number % 3);
            assert_eq!(calls.begin(&id, Kind::Plain, 10), Begin::Begun, "{number}");
            calls.cancelled(&id);
        }
        let table = calls.lock();
        assert_eq!((table.running.len(), table.bytes), (0, 0));
    }

    #[tokio::test]
    async fn large_frames_leave_room_for_few_requests() {
        let calls = Calls::default();
        for number in 0..4 {
            calls.room().await;
            assert_eq!(calls.begin(&RequestId::Number(number), Kind::Call, 1 << 20), Begin::Begun);
        }
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), calls.room()).await;
        assert!(waiting.is_err());
        calls.answered(&RequestId::Number(2));
        calls.room().await;
    }
}
