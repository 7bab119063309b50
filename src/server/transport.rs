//! The transport that rmcp speaks through: strict lines in, whole lines out, everything bounded.
//!
//! Promises: a message reaches rmcp only after the strict pass; an id is never running twice; when the client does not
//! read, nothing more is read from it. Bad frames are answered here and logged.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ContentBlock, ErrorCode, JsonRpcMessage, JsonRpcRequest, RequestId,
    ServerJsonRpcMessage, ServerNotification, ServerResult,
};
use rmcp::transport::Transport;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::apis::Apis;
use super::calls::{Begin, Calls, Kind};
use super::frame::{self, Frame, Refused};
use super::lines::{Line, Lines};
use super::outbox::{MARK, Outbox};
use super::stdio::Input;

/// How long the last answers may take to leave when the connection ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// From this size on a text is queued as it is; below, copying it costs less than another write.
const LARGE: usize = 128 << 10;

/// One client's connection.
pub(super) struct Connection {
    lines: Lines<Input>,
    outbox: Arc<Outbox>,
    calls: Arc<Calls>,
    apis: Apis,
    /// Cancelled when the gateway is told to stop: from then on the input counts as ended.
    stop: CancellationToken,
    /// Cancelled at the end of the input.
    ended: CancellationToken,
}

/// A JSON-RPC error with the id that rmcp's own type leaves out where it is unknown (JSON-RPC 2.0, 5.1: then null).
#[derive(Serialize)]
struct FrameError<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RequestId>,
    error: FrameErrorBody,
}

#[derive(Serialize)]
struct FrameErrorBody {
    code: i32,
    message: &'static str,
}

impl Connection {
    pub(super) fn new(
        input: Input,
        outbox: Arc<Outbox>,
        calls: Arc<Calls>,
        apis: Apis,
        stop: CancellationToken,
        ended: CancellationToken,
    ) -> Self {
        Self { lines: Lines::new(input), outbox, calls, apis, stop, ended }
    }

    /// The next message that is worth an answer.
    async fn next(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.outbox.room().await;
            self.calls.room().await;
            let (frame, bytes) = match self.lines.next().await {
                Line::Whole([]) => continue,
                Line::Whole(line) => (frame::read(line), line.len()),
                Line::Cut(prefix) => (Frame::Refused(frame::read_cut(prefix)), 0),
                Line::End => return None,
            };
            match frame {
                Frame::Request(id, message) => match self.calls.begin(&id, kind(&message), bytes) {
                    Begin::Begun => return Some(message),
                    Begin::Taken => self.refuse(&Refused {
                        id: Some(id),
                        code: ErrorCode::INVALID_REQUEST,
                        message: "a request with this id is still running",
                        name: None,
                    }),
                },
                Frame::Cancel(id, message) => {
                    self.calls.cancelled(&id);
                    return Some(message);
                }
                Frame::Notification(message) => return Some(message),
                // What nobody waits for is ignored; of an answer in no known form, the question runs into its end.
                Frame::Answer(id, text) => {
                    if let Some(Ok(message)) = self.calls.take_asked(&id).then(|| serde_json::from_str(&text)) {
                        return Some(message);
                    }
                }
                Frame::Ignored => {}
                Frame::Refused(refused) => self.refuse(&refused),
            }
        }
    }

    fn refuse(&self, refused: &Refused) {
        let Refused { id, code, message, name } = refused;
        self.apis.refused_frame(code.0, message, name.as_deref());
        let error = FrameErrorBody { code: code.0, message };
        self.outbox.push(&FrameError { jsonrpc: "2.0", id: id.as_ref(), error }, None);
    }
}

impl Transport<RoleServer> for Connection {
    type Error = Infallible;

    fn send(
        &mut self,
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let text = take_large_text(&mut message);
        self.outbox.push(&message, text);
        match &message {
            JsonRpcMessage::Response(response) => {
                self.calls.answered(&response.id);
            }
            // rmcp's own errors and the handler's; those of frames and of calls are recorded where they are made.
            JsonRpcMessage::Error(answer) => {
                if !answer.id.as_ref().is_some_and(|id| self.calls.answered(id)) {
                    self.apis.refused_frame(answer.error.code.0, &answer.error.message, None);
                }
            }
            JsonRpcMessage::Request(question) => self.calls.asked(&question.id),
            JsonRpcMessage::Notification(notice) => {
                if let ServerNotification::CancelledNotification(cancelled) = &notice.notification {
                    cancelled.params.request_id.iter().for_each(|id| self.calls.unasked(id));
                }
            }
        }
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let stop = self.stop.clone();
        let message = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            message = self.next() => message,
        };
        if message.is_none() {
            self.ended.cancel();
        }
        message
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        if tokio::time::timeout(LAST_WORDS, self.outbox.empty()).await.is_err() {
            tracing::warn!("the client did not read the last answers");
        }
        Ok(())
    }
}

fn kind(message: &ClientJsonRpcMessage) -> Kind {
    match message {
        JsonRpcMessage::Request(JsonRpcRequest { request: ClientRequest::CallToolRequest(_), .. }) => Kind::Call,
        JsonRpcMessage::Request(_)
        | JsonRpcMessage::Response(_)
        | JsonRpcMessage::Notification(_)
        | JsonRpcMessage::Error(_) => Kind::Plain,
    }
}

/// Takes a tool result's first text out of its message when it is large, and leaves [`MARK`] in its place.
fn take_large_text(message: &mut ServerJsonRpcMessage) -> Option<String> {
    let JsonRpcMessage::Response(response) = message else { return None };
    // The only string of the client's in the message, and it stands before the text.
    if matches!(&response.id, RequestId::String(id) if id.contains(MARK)) {
        return None;
    }
    let ServerResult::CallToolResult(result) = &mut response.result else { return None };
    let Some(ContentBlock::Text(block)) = result.content.first_mut() else { return None };
    (block.text.len() >= LARGE).then(|| std::mem::replace(&mut block.text, MARK.to_owned()))
}
