//! The person behind one call of this connection, reached through the client.

use rmcp::RoleServer;
use rmcp::model::{
    ClientCapabilities, ElicitRequest, ElicitRequestParams, ElicitationSchema, ProtocolVersion, ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext, RequestHandle};
use tokio_util::sync::CancellationToken;

use super::frame::Brought;
use super::reply;
use crate::confirm::form::Word;
use crate::confirm::person::{Asking, FIELD, Form, Gone, Person, Reach, Retry, Returned};

/// What the field is called on the form.
const YES: &str = "Yes, send this request";
const TYPE: &str = "To send this request, type";

/// One call, as far as its client can ask a person about it.
pub(super) struct Caller<'a> {
    cx: &'a RequestContext<RoleServer>,
    ended: &'a CancellationToken,
}

impl<'a> Caller<'a> {
    /// `ended` is cancelled when the client has hung up.
    pub(super) fn new(cx: &'a RequestContext<RoleServer>, ended: &'a CancellationToken) -> Self {
        Self { cx, ended }
    }

    /// Whether the call came with 2026-07-28's metadata, under which a server asks nothing while a call is open.
    pub(super) fn is_modern(&self) -> bool {
        self.cx.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
    }
}

impl Person for Caller<'_> {
    fn reach(&self) -> Reach {
        match (has_form(self.cx.client_capabilities()), self.is_modern()) {
            (false, _) => Reach::Nobody,
            (true, true) => Reach::Retry,
            (true, false) => Reach::Open,
        }
    }

    fn client(&self) -> Option<String> {
        self.cx.client_info().map(|info| format!("{} {}", info.name, info.version))
    }

    fn retry(&self) -> Option<&Retry> {
        self.cx.extensions.get::<Brought>().map(|Brought(retry)| retry)
    }

    fn ask<'a>(&'a self, form: &'a Form) -> Asking<'a> {
        Box::pin(async move {
            let Ok(params) = params(form) else { return Returned::Failed };
            let request = ServerRequest::ElicitRequest(ElicitRequest::new(params));
            let sent = self.cx.peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await;
            let Ok(handle) = sent else { return Returned::Failed };
            let mut open = OpenQuestion { handle: Some(handle) };
            let Some(handle) = open.handle.as_mut() else { return Returned::Failed };
            let answer = (&mut handle.rx).await;
            open.handle = None;
            answer.ok().and_then(Result::ok).and_then(reply::replied).map_or(Returned::Failed, Returned::Replied)
        })
    }

    fn gone(&self) -> Gone<'_> {
        Box::pin(self.ended.cancelled())
    }
}

/// A question that the client has not answered. Dropped, it is taken back.
struct OpenQuestion {
    handle: Option<RequestHandle<RoleServer>>,
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        tokio::spawn(async move {
            // A client that is gone needs no notice.
            handle.cancel(Some("the question is closed".to_owned())).await.ok();
        });
    }
}

/// Whether the client says that it shows forms; without a mode, elicitation is by form (MCP 2025-11-25, elicitation).
fn has_form(capabilities: Option<ClientCapabilities>) -> bool {
    let elicitation = capabilities.and_then(|capabilities| capabilities.elicitation);
    elicitation.is_some_and(|modes| modes.form.is_some() || modes.url.is_none())
}

/// The form in rmcp's words.
pub(super) fn params(form: &Form) -> Result<ElicitRequestParams, &'static str> {
    let schema = ElicitationSchema::builder();
    let schema = match &form.word {
        Word::Yes => schema.required_bool_with(FIELD, |field| field.title(YES)),
        Word::Typed(word) => schema.required_string_with(FIELD, |field| field.title(format!("{TYPE} {word}"))),
    };
    let requested_schema = schema.build()?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message: form.message.clone(), requested_schema })
}
