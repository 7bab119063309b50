//! The front door on standard input and output: MCP 2024-11-05 to 2026-07-28, spoken by rmcp behind our own transport.
//!
//! Promises: whatever arrives is answered, recorded or both; the only answers to tool calls are [`Answer`]s. Trusts
//! the process that started it to be the one agent on the other end.
//!
//! [`Answer`]: crate::audit::entry::Answer

mod apis;
mod caller;
mod calls;
pub mod desk;
pub mod frame;
mod handler;
mod lines;
mod outbox;
mod reply;
mod stdio;
pub mod tools;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use rmcp::service::{ServerInitializeError, ServiceExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use apis::Apis;
use desk::Desk;
use handler::Handler;
use outbox::Outbox;
use transport::Connection;

/// How long calls that are still running may take when the connection has ended, beyond rmcp's own 5 s.
const DRAIN: Duration = Duration::from_secs(30);

/// How often a timer fires that does nothing. While one is pending that is due before the timeouts of calls, tokio arms
/// theirs without a system call to wake its own thread, which is a tenth of the time of a small call.
const PULSE: Duration = Duration::from_secs(10);

/// Why the front door could not open.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The standard streams cannot be used.
    #[error("standard input and output cannot be used: {0}")]
    Streams(std::io::Error),
}

/// Serves one client on standard input and output until it hangs up or `stop` is cancelled, and lets running calls end.
/// The policies of the gateways have different names; `desks` are theirs, in the same order.
///
/// # Errors
/// [`ServerError`] when the streams cannot be used; a client that only hangs up or talks nonsense is not an error.
pub async fn serve(
    gateways: Arc<[Gateway]>,
    desks: Vec<Option<Desk>>,
    stop: CancellationToken,
) -> Result<(), ServerError> {
    let (input, output) = stdio::streams().map_err(ServerError::Streams)?;
    let outbox = Arc::new(Outbox::default());
    let pulse = tokio::spawn(async {
        let mut pulse = tokio::time::interval(PULSE);
        loop {
            pulse.tick().await;
        }
    });
    let mut open = JoinSet::new();
    for (place, desk) in desks.into_iter().enumerate().filter_map(|(place, desk)| Some((place, desk?))) {
        open.spawn(desk.serve(gateways.clone(), place));
    }
    let writer = outbox.clone();
    let writing = tokio::spawn(async move { writer.drain_into(output).await });
    let calls = Arc::new(calls::Calls::default());
    let apis = Apis::new(gateways);
    let ended = CancellationToken::new();
    let connection = Connection::new(input, outbox.clone(), calls.clone(), apis.clone(), stop, ended.clone());
    // Boxed by `into_dyn`: rmcp moves the future of a request eight times before and after it runs.
    let handler = Handler::new(apis.clone(), calls, outbox, ended);
    let initialized = handler.initialized();
    match handler.into_dyn().serve(connection).await {
        Ok(running) => {
            open.spawn(handler::announce(apis.clone(), running.peer().clone(), initialized));
            match running.waiting().await {
                Ok(reason) => tracing::debug!(?reason, "the connection ended"),
                Err(error) => tracing::error!(%error, "the connection ended by a fault"),
            }
        }
        Err(ServerInitializeError::ConnectionClosed(_)) => tracing::debug!("the client left before it began"),
        Err(error) => tracing::warn!(%error, "the client did not begin as MCP demands"),
    }
    if tokio::time::timeout(DRAIN, apis.idle()).await.is_err() {
        tracing::warn!("calls were still running at the end; their records say so");
    }
    open.shutdown().await;
    writing.abort();
    pulse.abort();
    Ok(())
}
