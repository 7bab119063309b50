//! rmcp's view of the gateway: the tool list, and calls that go through [`Gateway::answer`] and nowhere else.
//!
//! [`Gateway::answer`]: crate::gateway::Gateway::answer

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    ElicitRequest, ErrorData, Implementation, InitializeRequestParams, InitializeResult, InputRequest,
    InputRequiredResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ResourceContents, ServerCapabilities, ServerConfig, Tool as ToolEntry,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
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

/// Characters of an unknown tool's name that are repeated.
const NAME_SHOWN: usize = 64;

/// One client's session.
#[derive(Debug)]
pub(super) struct Handler {
    apis: Apis,
    calls: Arc<Calls>,
    outbox: Arc<Outbox>,
    tools: Vec<ToolEntry>,
    initialized: AtomicBool,
    /// Cancelled when the client has hung up.
    ended: CancellationToken,
}

impl Handler {
    pub(super) fn new(apis: Apis, calls: Arc<Calls>, outbox: Arc<Outbox>, ended: CancellationToken) -> Self {
        let tools = tools::list(&apis);
        Self { apis, calls, outbox, tools, initialized: AtomicBool::new(false), ended }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
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
        Ok(ListToolsResult::with_all_items(self.tools.clone()).with_ttl_ms(0).with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<ToolEntry> {
        let place = self.tools.binary_search_by(|tool| tool.name.as_ref().cmp(name)).ok()?;
        self.tools.get(place).cloned()
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
        let Some((gateway, tool)) = self.apis.resource(&request.uri) else {
            return Err(ErrorData::resource_not_found("there is no such resource", None));
        };
        let call = ToolCall { tool, arguments: "{}".into() };
        let said = gateway.answer(&call, &Unattended, self.outbox.room(), &cx.ct).await.into_said();
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
        let Some((gateway, tool)) = self.apis.find(&request.name) else {
            return Err(unknown_tool(&request.name));
        };
        let Some(RawArguments(arguments)) = cx.extensions.get::<RawArguments>().cloned() else {
            // Only a transport that skips the strict pass could bring such a call.
            return Err(ErrorData::invalid_params("the arguments did not arrive in one piece", None));
        };
        let caller = Caller::new(&cx, &self.ended);
        let call = ToolCall { tool, arguments };
        let answer = gateway.answer(&call, &caller, self.outbox.room(), &cx.ct).await;
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
