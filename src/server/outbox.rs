//! What waits to be written to the client: a queue, and one task that empties it with as few writes as it can.
//!
//! A large text is escaped as it is written, a slice at a time, so that an answer is held once and not twice.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Above this many waiting bytes no further message is read from the client.
pub(super) const MAX_WAITING: usize = 1 << 20;
/// Stands in a message for its large text. Private use characters, so that no text of our own holds it.
pub(super) const MARK: &str = "\u{f8ff}text\u{f8ff}";
/// How much of a large text is escaped at a time.
const SLICE: usize = 64 << 10;
/// Above this a buffer is given back after a write.
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
    queue: VecDeque<Piece>,
    /// What comes after the queue.
    tail: Vec<u8>,
    /// Bytes in queue, tail and the writer's hands.
    waiting: usize,
    /// The client's end is gone.
    closed: bool,
}

/// A part of the stream.
#[derive(Debug)]
enum Piece {
    /// Written as they are.
    Bytes(Vec<u8>),
    /// The inside of a JSON string, still to be escaped.
    Text(String),
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one message as one line; `text` is what its [`MARK`] stands for. JSON has no raw newline inside.
    pub(super) fn push(&self, message: &impl Serialize, text: Option<String>) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.add(message, text);
        drop(state);
        self.filled.notify_one();
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
        while !self.is_below(limit) {
            let emptied = self.emptied.notified();
            // Again: it may have been emptied before anybody listened.
            if !self.is_below(limit) {
                emptied.await;
            }
        }
    }

    fn is_below(&self, limit: usize) -> bool {
        let state = self.lock();
        state.closed || state.waiting < limit
    }

    /// Writes until the client's end is gone.
    pub(super) async fn drain_into(&self, mut writer: impl AsyncWrite + Unpin) {
        let mut spare = Vec::new();
        loop {
            let filled = self.filled.notified();
            let Some(piece) = self.lock().next(&mut spare) else {
                filled.await;
                continue;
            };
            let written = match &piece {
                Piece::Bytes(bytes) => writer.write_all(bytes).await,
                Piece::Text(text) => write_escaped(&mut writer, text).await,
            };
            let written = match written {
                Ok(()) => writer.flush().await,
                Err(error) => Err(error),
            };
            let mut state = self.lock();
            state.waiting = state.waiting.saturating_sub(piece.len());
            if let Err(error) = written {
                tracing::warn!(%error, "standard output cannot be written; the client is gone");
                *state = State { closed: true, ..State::default() };
            }
            let closed = state.closed;
            drop(state);
            self.emptied.notify_waiters();
            if closed {
                return;
            }
            spare = piece.into_spare();
        }
    }
}

impl State {
    fn add(&mut self, message: &impl Serialize, text: Option<String>) {
        let before = self.tail.len();
        if let Err(error) = serde_json::to_writer(&mut self.tail, message) {
            tracing::error!(%error, "a message could not be serialized");
            self.tail.truncate(before);
            return;
        }
        self.tail.push(b'\n');
        self.waiting += self.tail.len() - before;
        let Some(text) = text else { return };
        let line = self.tail.get(before..).unwrap_or_default();
        let Some(at) = memmem::find(line, MARK.as_bytes()) else {
            tracing::error!("a message lost the place of its text");
            return;
        };
        let rest = self.tail.split_off(before + at + MARK.len());
        self.tail.truncate(before + at);
        self.waiting = self.waiting - MARK.len() + text.len();
        self.queue.push_back(Piece::Bytes(std::mem::replace(&mut self.tail, rest)));
        self.queue.push_back(Piece::Text(text));
    }

    /// What is to be written next; `spare` takes the place of the tail when that is it.
    fn next(&mut self, spare: &mut Vec<u8>) -> Option<Piece> {
        if let Some(piece) = self.queue.pop_front() {
            return Some(piece);
        }
        (!self.tail.is_empty()).then(|| Piece::Bytes(std::mem::replace(&mut self.tail, std::mem::take(spare))))
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// The buffer for another use, unless it grew large.
    fn into_spare(self) -> Vec<u8> {
        match self {
            Self::Bytes(mut bytes) if bytes.capacity() <= KEEP => {
                bytes.clear();
                bytes
            }
            Self::Bytes(_) | Self::Text(_) => Vec::new(),
        }
    }
}

/// Writes a text as the inside of a JSON string.
async fn write_escaped(writer: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    let mut rest = text;
    let mut escaped = Vec::with_capacity(SLICE + SLICE / 4);
    while !rest.is_empty() {
        let (slice, after) = rest.split_at(rest.floor_char_boundary(SLICE));
        rest = after;
        escaped.clear();
        serde_json::to_writer(&mut escaped, slice)?;
        // Without the quotes around the slice.
        writer.write_all(escaped.get(1..escaped.len().saturating_sub(1)).unwrap_or_default()).await?;
    }
    Ok(())
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
        outbox.push(&message, None);
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
        outbox.push(&"lost", None);
        outbox.drain_into(ours).await;
        outbox.push(&"x".repeat(2 * MAX_WAITING), None);
        outbox.room().await;
        outbox.empty().await;
    }

    #[tokio::test]
    async fn a_large_text_comes_out_as_if_it_had_been_serialized_with_its_message() {
        let text = "a\"\\\n\u{1}é🦀 ".repeat(20_000);
        let outbox = Arc::new(Outbox::default());
        outbox.push(&"before", None);
        outbox.push(&serde_json::json!({"id": 1, "text": MARK, "more": [2]}), Some(text.clone()));
        outbox.push(&"after", None);
        let (mut client, ours) = tokio::io::duplex(4096);
        let theirs = outbox.clone();
        tokio::spawn(async move { theirs.drain_into(ours).await });
        let whole = serde_json::json!({"id": 1, "text": text, "more": [2]});
        let wanted = format!("\"before\"\n{whole}\n\"after\"\n");
        let mut read = vec![0; wanted.len()];
        client.read_exact(&mut read).await.unwrap();
        assert!(read == wanted.as_bytes());
        outbox.empty().await;
        assert_eq!(outbox.lock().waiting, 0);
    }
}
