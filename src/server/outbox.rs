//! What waits to be written to the client: one buffer, one task that empties it with as few writes as it can.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Above this many waiting bytes no further message is read from the client.
pub(super) const MAX_WAITING: usize = 1 << 20;
/// Above this the buffer is given back after a write.
const KEEP: usize = 256 << 10;

/// Messages on their way out, each one line.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Bytes taken by the writer and not yet written.
    writing: usize,
    /// The client's end is gone, or the gateway closed its own.
    closed: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one message as one line. JSON text has no raw newline inside.
    ///
    /// # Errors
    /// When it cannot be serialized; nothing of it is left in the buffer.
    pub(super) fn push(&self, message: &impl Serialize) -> Result<(), serde_json::Error> {
        let mut state = self.lock();
        if state.closed {
            return Ok(());
        }
        let before = state.buffer.len();
        let written = serde_json::to_writer(&mut state.buffer, message);
        match written {
            Ok(()) => state.buffer.push(b'\n'),
            Err(_) => state.buffer.truncate(before),
        }
        drop(state);
        self.filled.notify_one();
        written
    }

    /// Resolves once fewer than [`MAX_WAITING`] bytes wait.
    pub(super) async fn room(&self) {
        self.below(MAX_WAITING).await;
    }

    /// Resolves once everything is written or cannot be.
    pub(super) async fn empty(&self) {
        self.below(1).await;
    }

    async fn below(&self, limit: usize) {
        loop {
            let emptied = self.emptied.notified();
            {
                let state = self.lock();
                if state.closed || state.buffer.len() + state.writing < limit {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// Writes until the client's end is gone.
    pub(super) async fn drain_into(&self, mut writer: impl AsyncWrite + Unpin) {
        let mut batch = Vec::new();
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.lock();
                std::mem::swap(&mut batch, &mut state.buffer);
                state.writing = batch.len();
            }
            if batch.is_empty() {
                filled.await;
                continue;
            }
            let written = match writer.write_all(&batch).await {
                Ok(()) => writer.flush().await,
                Err(error) => Err(error),
            };
            if batch.capacity() > KEEP {
                batch = Vec::new();
            }
            batch.clear();
            let mut state = self.lock();
            state.writing = 0;
            if let Err(error) = written {
                tracing::warn!(%error, "standard output cannot be written; the client is gone");
                state.closed = true;
                state.buffer = Vec::new();
            }
            let closed = state.closed;
            drop(state);
            self.emptied.notify_waiters();
            if closed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_stops_the_intake_and_reading_opens_it_again() {
        let outbox = Arc::new(Outbox::default());
        let (mut client, ours) = tokio::io::duplex(1024);
        let theirs = outbox.clone();
        tokio::spawn(async move { theirs.drain_into(ours).await });
        let message = "x".repeat(MAX_WAITING);
        outbox.push(&message).unwrap();
        let mut room = Box::pin(outbox.room());
        assert!(still_pending(&mut room).await, "there is room while a whole buffer waits");
        let mut read = vec![0; message.len() + 3];
        client.read_exact(&mut read).await.unwrap();
        room.await;
        assert!(read.ends_with(b"x\"\n"));
    }

    /// Whether it is still pending after everything else had its turn.
    async fn still_pending(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_the_writing_and_blocks_nobody() {
        let outbox = Arc::new(Outbox::default());
        let (client, ours) = tokio::io::duplex(16);
        drop(client);
        outbox.push(&"lost").unwrap();
        outbox.drain_into(ours).await;
        outbox.push(&"x".repeat(2 * MAX_WAITING)).unwrap();
        outbox.room().await;
        outbox.empty().await;
    }
}
