//! rmcp's view of the gateway: the tool list, and calls that go through [`Pipeline::answer`] and nowhere else.
//!
//! [`Pipeline::answer`]: crate::gateway::Pipeline::answer

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    ElicitRequest, ErrorData, Implementation, InitializeRequestParams, InitializeResult, InputRequest,
    InputRequiredResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ResourceContents, ServerCapabilities, ServerConfig, ServerNotification,
    SubscriptionFilter, Tool as ToolEntry, ToolListChangedNotification,
};
use rmcp::service::{Peer, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::apis::Apis;
use super::caller::{self, Caller};
use super::calls::Calls;
use super::frame::RawArguments;
use super::outbox::Outbox;
use super::{reply, tools};
use crate::answer::Shaped;
use crate::audit::entry::Said;
use crate::confirm::person::{FIELD, Form, Unattended};
use crate::gateway::ToolCall;

/// Said to the model once, when the session begins.
const INSTRUCTIONS: &str = "Calls to this API pass a policy. A refusal is a JSON object with a code and one sentence; \
    `denied` will not change by trying again, `throttled` says when to. The argument `answer` of every tool shapes the \
    answer: `fields=id,owner.login` keeps those members (paths from the root, through arrays; `*` is one name, `**` any \
    depth), `as=toon` writes rows as a table, `from=100` begins at that element of the largest array; divide them by `;`. \
    A block with `cut` tells what is missing of an answer.";

/// Subscriptions that a client may have open at a time.
const MAX_LISTENING: usize = 8;

/// Characters of an unknown tool's name that are repeated.
const NAME_SHOWN: usize = 64;

/// One client's session.
#[derive(Debug)]
pub(super) struct Handler {
    apis: Apis,
    calls: Arc<Calls>,
    outbox: Arc<Outbox>,
    tools: Mutex<Listed>,
    /// Whether the client began with a handshake, and hears notifications without asking for them.
    initialized: Arc<AtomicBool>,
    listening: Semaphore,
    /// Cancelled when the client has hung up.
    ended: CancellationToken,
}

impl Handler {
    pub(super) fn new(apis: Apis, calls: Arc<Calls>, outbox: Arc<Outbox>, ended: CancellationToken) -> Self {
        let tools = Mutex::new(Listed::of(&apis));
        Self {
            apis,
            calls,
            outbox,
            tools,
            initialized: Arc::default(),
            listening: Semaphore::new(MAX_LISTENING),
            ended,
        }
    }

    /// The tools under the policies in force.
    fn tools(&self) -> Arc<[ToolEntry]> {
        let mut listed = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.exchanges != self.apis.exchanges() {
            *listed = Listed::of(&self.apis);
        }
        Arc::clone(&listed.tools)
    }

    /// Whether the client began with a handshake.
    pub(super) fn initialized(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.initialized)
    }
}

/// A list of tools, and how often policies had been exchanged when it was made.
#[derive(Debug)]
struct Listed {
    exchanges: u64,
    tools: Arc<[ToolEntry]>,
}

impl Listed {
    fn of(apis: &Apis) -> Self {
        Self { exchanges: apis.exchanges(), tools: tools::list(apis).into() }
    }
}

/// Tells a client that began with a handshake whenever its list of tools is another one.
pub(super) async fn announce(apis: Apis, peer: Peer<RoleServer>, initialized: Arc<AtomicBool>) {
    let mut changes = Changes::new(&apis);
    loop {
        changes.next(&apis).await;
        if initialized.load(Ordering::Relaxed) && peer.notify_tool_list_changed().await.is_err() {
            return;
        }
    }
}

/// The changes of a list of tools.
struct Changes {
    known: Listed,
}

impl Changes {
    fn new(apis: &Apis) -> Self {
        Self { known: Listed::of(apis) }
    }

    /// Resolves once the list is another one than it was last.
    async fn next(&mut self, apis: &Apis) {
        loop {
            apis.exchanged(self.known.exchanges).await;
            let before = std::mem::replace(&mut self.known, Listed::of(apis));
            if before.tools != self.known.tools {
                return;
            }
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().enable_resources().build(),
        )
        .with_server_info(Implementation::new("portcullis", env!("CARGO_PKG_VERSION")))
        .with_instructions(INSTRUCTIONS)
    }

    async fn initialize(
        &self,
        _: InitializeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        // A second one could raise what the client claims to be able to do.
        match self.initialized.swap(true, Ordering::Relaxed) {
            false => Ok(self.get_info()),
            true => Err(ErrorData::invalid_request("this connection is already initialized", None)),
        }
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools().to_vec()).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<ToolEntry> {
        let tools = self.tools();
        let place = tools.binary_search_by(|tool| tool.name.as_ref().cmp(name)).ok()?;
        tools.get(place).cloned()
    }

    fn accepted_subscription_filter(&self, _: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    /// MCP 2026-07-28: whoever wants to hear of changes asks for them, by a request that stays open.
    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        // Each takes one of the requests that may be open.
        let Ok(_seat) = self.listening.try_acquire() else {
            return Err(ErrorData::invalid_request("too many subscriptions are open", None));
        };
        if subscription.accepted().tools_list_changed != Some(true) {
            subscription.cancelled().await;
            return Ok(());
        }
        let mut changes = Changes::new(&self.apis);
        loop {
            tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                () = self.ended.cancelled() => return Ok(()),
                () = changes.next(&self.apis) => {}
            }
            let changed = ServerNotification::ToolListChangedNotification(ToolListChangedNotification::default());
            if subscription.sink().send(changed).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = tools::resources(&self.apis);
        Ok(ListResourcesResult::with_all_items(resources).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some((pipeline, tool)) = self.apis.resource(&request.uri) else {
            return Err(ErrorData::resource_not_found("there is no such resource", None));
        };
        let call = ToolCall { tool, arguments: "{}".into() };
        let said = pipeline.answer(&call, &Unattended, self.outbox.room(), &cx.ct).await.into_said();
        let Said::Result(shaped) = said else {
            return Err(ErrorData::internal_error("a resource asked a question", None));
        };
        let text = shaped.blocks.concat();
        match shaped.is_error {
            true => Err(ErrorData::internal_error(text, None)),
            false => {
                let contents = vec![ResourceContents::text(text, request.uri)];
                Ok(ReadResourceResult::new(contents).with_ttl_ms(0).with_cache_scope(CacheScope::Private).into())
            }
        }
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let running = self.calls.run(cx.id.clone());
        let Some((pipeline, tool)) = self.apis.find(&request.name) else {
            return Err(unknown_tool(&request.name));
        };
        let Some(RawArguments(arguments)) = cx.extensions.get::<RawArguments>().cloned() else {
            // Only a transport that skips the strict pass could bring such a call.
            return Err(ErrorData::invalid_params("the arguments did not arrive in one piece", None));
        };
        let caller = Caller::new(&cx, &self.ended);
        let call = ToolCall { tool, arguments };
        let answer = pipeline.answer(&call, &caller, self.outbox.room(), &cx.ct).await;
        let response = match answer.into_said() {
            Said::Result(shaped) => Ok(result(shaped).into()),
            Said::Unable(shaped) if !caller.is_modern() => Ok(result(shaped).into()),
            Said::Unable(_) => Err(missing_form()),
            Said::Ask(form, state) => question(&form, state),
            Said::BadState => Err(ErrorData::invalid_params(reply::BAD_STATE, None)),
        };
        if response.is_err() {
            running.recorded();
        }
        response
    }
}

/// The call, to be made again with what the person says.
fn question(form: &Form, state: String) -> Result<CallToolResponse, ErrorData> {
    let params = caller::params(form).map_err(|error| ErrorData::internal_error(error, None))?;
    let asked = InputRequest::Elicitation(ElicitRequest::new(params));
    Ok(InputRequiredResult::new(Some([(FIELD.to_owned(), asked)].into()), Some(state)).into())
}

fn missing_form() -> ErrorData {
    ErrorData::missing_required_client_capability(ClientCapabilities::builder().enable_elicitation().build())
}

/// The transport records it on its way out.
fn unknown_tool(name: &str) -> ErrorData {
    let name: String = name.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect();
    ErrorData::invalid_params(format!("unknown tool `{name}`"), None)
}

fn result(shaped: Shaped) -> CallToolResult {
    let content = shaped.blocks.into_iter().map(ContentBlock::text).collect();
    let mut result = match shaped.is_error {
        true => CallToolResult::error(content),
        false => CallToolResult::success(content),
    };
    // It was scanned: every number in it survives being read.
    result.structured_content = shaped.structured.and_then(|object| serde_json::from_str(&object).ok());
    result
}
