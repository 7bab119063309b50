//! The official client in both of its lifecycles: what it makes of the tools and of a held write, with nothing of the
//! protocol written here by hand.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
        ElicitationAction, Implementation, ProtocolVersion,
    },
    service::{RequestContext, RunningService, ServiceError},
};
use serde_json::{Value, json};

use super::common::{
    PATIENCE,
    gate::{Home, Launch},
    person::{labels, target},
    policy,
    recorder::Recorder,
};

/// A person who answers every form the same way.
#[derive(Debug, Clone)]
struct Human {
    answer: Value,
    asked: Arc<AtomicUsize>,
    version: ProtocolVersion,
}

impl ClientHandler for Human {
    fn get_info(&self) -> ClientConfig {
        let mut config = ClientConfig::default();
        config.protocol_version = self.version.clone();
        config.client_info = Implementation::new("official", "3");
        config.capabilities = ClientCapabilities::builder().enable_elicitation().build();
        config
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Err(ErrorData::invalid_params("no form", None));
        };
        assert!(message.contains(&target(42)), "{message}");
        Ok(match self.answer.is_null() {
            true => ElicitResult::new(ElicitationAction::Decline),
            false => ElicitResult::new(ElicitationAction::Accept).with_content(self.answer.clone()),
        })
    }
}

fn lifecycles() -> [(ProtocolVersion, ClientLifecycleMode); 3] {
    let modern = ProtocolVersion::V_2026_07_28;
    [
        (ProtocolVersion::V_2025_06_18, ClientLifecycleMode::Initialize),
        (ProtocolVersion::V_2025_11_25, ClientLifecycleMode::Initialize),
        (modern.clone(), ClientLifecycleMode::Discover { preferred_versions: vec![modern] }),
    ]
}

type Client = RunningService<RoleClient, Human>;

async fn write(client: &Client) -> Result<CallToolResult, ServiceError> {
    let arguments: Value = serde_json::from_str(&labels(42)).expect("JSON");
    let arguments = arguments.as_object().expect("an object").clone();
    client.call_tool(CallToolRequestParams::new("api_send").with_arguments(arguments)).await
}

/// Lists the tools, makes the write once, and ends: what came of the write, and how often the person was asked.
async fn session(home: &Arc<Home>, human: Human, mode: ClientLifecycleMode) -> (CallToolResult, usize) {
    let mut command = tokio::process::Command::from(Launch::new(home).command());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut gate = command.spawn().expect("the binary starts");
    let streams = (gate.stdout.take().expect("a pipe"), gate.stdin.take().expect("a pipe"));
    let asked = Arc::clone(&human.asked);
    let client = human.serve_with_lifecycle(streams, mode).await.expect("a session");
    let tools = client.list_all_tools().await.expect("a list");
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, ["api_get", "api_send", "read_more"]);
    let result = write(&client).await.expect("a result");
    client.cancel().await.expect("an end");
    assert!(gate.wait().await.expect("it ends").success());
    (result, asked.load(Ordering::SeqCst))
}

#[test]
fn the_official_client_sends_a_held_write_when_its_person_accepts_and_only_then() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (version, mode) in lifecycles() {
        for (answer, sent) in
            [(json!({ "confirm": true }), 1), (json!({ "confirm": false }), 0), (json!({}), 0), (Value::Null, 0)]
        {
            let upstream = Recorder::plain();
            let home = Home::new(&policy::held(&upstream, "", r#"channel = "client""#));
            let human = Human { answer: answer.clone(), asked: Arc::default(), version: version.clone() };
            let session = async { tokio::time::timeout(PATIENCE, session(&home, human, mode.clone())).await };
            let (result, asked) = runtime.block_on(session).expect("it comes to an end");
            assert_eq!(asked, 1, "{version:?} {answer}: asked once");
            assert_eq!(result.is_error, Some(sent == 0), "{version:?} {answer}: {result:?}");
            assert_eq!(upstream.count(), sent, "{version:?} {answer}");
            assert!(home.verify().status.success(), "{version:?} {answer}");
        }
    }
}
