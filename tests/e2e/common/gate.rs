//! The real binary as a child, and a client that speaks lines with it.
//!
//! Every gate has a home of its own (policy file, state directory, credential), which a later
//! gate may be started on again. When a gate ends, whatever the test did, everything it said and
//! wrote is searched for its credential and every line of its stdout must be one JSON-RPC message.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::JoinHandle,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    PATIENCE,
    canary::{Canary, files},
    eventually,
    policy::TOKEN,
};

/// The request metadata of a 2026-07-28 client.
pub(crate) const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// The version without a handshake.
pub(crate) const MODERN: &str = "2026-07-28";

/// The versions that begin with a handshake.
pub(crate) const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What a client says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) version: &'static str,
    pub(crate) name: String,
    pub(crate) capabilities: Value,
}

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
}

/// Where a gate lives: its policy, its state, its credential.
#[derive(Debug)]
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) canary: Canary,
}

impl Home {
    pub(crate) fn new(policy: &str) -> Arc<Self> {
        let directory = tempfile::Builder::new().prefix("gate-").tempdir().expect("a temporary directory");
        let home = Self { directory, canary: Canary::hatch() };
        home.rewrite(policy);
        Arc::new(home)
    }

    pub(crate) fn rewrite(&self, policy: &str) {
        fs::write(self.policy(), policy).expect("the policy is written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.path().join("policy.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The log files, oldest name first.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        let mut logs = files(&self.state());
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        logs
    }

    /// Every complete record of every log, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.logs().iter().flat_map(|log| records(log)).collect()
    }

    /// `portcullis tools` on the policy.
    pub(crate) fn tools(&self, format: &str) -> Output {
        let mut command = binary();
        command.args(["tools", "--format", format]).arg(self.policy()).stdin(Stdio::null());
        let output = command.output().expect("the binary runs");
        self.canary.search("the output of tools", &[&*output.stdout, &*output.stderr].concat());
        output
    }

    /// `portcullis audit verify` on the state directory.
    pub(crate) fn verify(&self) -> Output {
        self.verify_log(&self.state())
    }

    /// `portcullis audit verify` on one log.
    pub(crate) fn verify_log(&self, path: &Path) -> Output {
        let mut command = binary();
        command.args(["audit", "verify"]).arg(path).stdin(Stdio::null());
        let output = command.output().expect("the binary runs");
        self.canary.search("the output of audit verify", &[&*output.stdout, &*output.stderr].concat());
        output
    }
}

/// Every complete record of one log. A line that is not JSON fails the test, unless it is a tail
/// without its line end (a gate was killed there, or writes right now).
pub(crate) fn records(log: &Path) -> Vec<Value> {
    let text = fs::read(log).unwrap_or_default();
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let record = |line| {
        serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
    };
    lines.map(record).collect()
}

/// Whether a log ended in order: with `stop`, and a checkpoint over all of it.
pub(crate) fn ended(records: &[Value]) -> bool {
    matches!(records, [.., stop, checkpoint] if stop["kind"] == "stop" && checkpoint["kind"] == "checkpoint")
}

/// How to start a gate.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) home: Arc<Home>,
    env: Vec<(String, String)>,
    more: Vec<PathBuf>,
    state: PathBuf,
    sockets: bool,
    deaf: bool,
    unread: bool,
    under: Option<String>,
}

impl Launch {
    pub(crate) fn new(home: &Arc<Home>) -> Self {
        let token = (TOKEN.to_owned(), home.canary.secret().to_owned());
        Self {
            home: Arc::clone(home),
            env: vec![token],
            more: Vec::new(),
            state: home.state(),
            sockets: false,
            deaf: false,
            unread: false,
            under: None,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(key, _)| key != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A further policy to serve.
    pub(crate) fn and(mut self, policy: &Path) -> Self {
        self.more.push(policy.to_owned());
        self
    }

    pub(crate) fn without_token(mut self) -> Self {
        self.env.retain(|(key, _)| key != TOKEN);
        self
    }

    pub(crate) fn state(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.state);
        self
    }

    /// Stdin and stdout are Unix sockets, as every Node client hands them over.
    pub(crate) fn sockets(mut self) -> Self {
        self.sockets = true;
        self
    }

    /// Nobody reads what it says on standard error.
    pub(crate) fn unread(mut self) -> Self {
        self.unread = true;
        self
    }

    /// The client reads nothing until [`Gate::listen`].
    pub(crate) fn deaf(mut self) -> Self {
        self.deaf = true;
        self
    }

    /// A line of shell that sets the scene in the process that becomes the gate.
    pub(crate) fn under(mut self, line: &str) -> Self {
        self.under = Some(line.to_owned());
        self
    }

    /// `portcullis serve` with this home, an environment of its own and nothing of ours.
    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.under {
            None => binary(),
            Some(line) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(format!("{line}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_portcullis"));
                shell
            }
        };
        command.arg("serve").arg("--policy").arg(self.home.policy()).arg("--state-dir").arg(&self.state);
        self.more.iter().for_each(|policy| {
            command.arg("--policy").arg(policy);
        });
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home.path());
        command.envs(self.env.iter().map(|(key, value)| (key, value))).current_dir(self.home.path());
        command
    }

    /// Runs a gate that must not start, to its end: stdin is empty.
    pub(crate) fn refused(&self) -> Output {
        let output = self.command().stdin(Stdio::null()).output().expect("the binary runs");
        self.home.canary.search("stdout", &output.stdout);
        self.home.canary.search("stderr", &output.stderr);
        output
    }

    pub(crate) fn start(self) -> Gate {
        let mut command = self.command();
        command.stderr(Stdio::piped());
        let (mut child, input, output) =
            if self.sockets { with_sockets(&mut command) } else { with_pipes(&mut command) };
        let pid = Pid::from_child(&child);
        let (said, complaints) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let (ears, hear) = mpsc::channel();
        let (tell, lines) = mpsc::channel();
        let (told, exit) = mpsc::channel();
        let stderr = child.stderr.take().filter(|_| !self.unread);
        let readers = vec![
            std::thread::spawn({
                let said = Arc::clone(&said);
                move || read_lines(output, &hear, &said, &tell)
            }),
            std::thread::spawn({
                let complaints = Arc::clone(&complaints);
                move || stderr.map_or((), |stderr| read_all(stderr, &complaints))
            }),
        ];
        std::thread::spawn(move || told.send(child.wait().expect("a child can be waited for")));
        let gate = Gate {
            home: self.home,
            pid,
            input: Some(input),
            ears: Some(ears),
            lines,
            early: VecDeque::new(),
            said,
            complaints,
            readers,
            exit,
            status: None,
            meta: Some(META.to_owned()),
            ids: 0,
            killed: false,
        };
        if self.deaf { gate } else { gate.listening() }
    }
}

type Spawned = (Child, Box<dyn Write + Send>, Box<dyn Read + Send>);

fn with_pipes(command: &mut Command) -> Spawned {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let input = child.stdin.take().expect("stdin is piped");
    let output = child.stdout.take().expect("stdout is piped");
    (child, Box::new(input), Box::new(output))
}

fn with_sockets(command: &mut Command) -> Spawned {
    let (input, its_input) = UnixStream::pair().expect("a socket pair");
    let (output, its_output) = UnixStream::pair().expect("a socket pair");
    command.stdin(Stdio::from(OwnedFd::from(its_input))).stdout(Stdio::from(OwnedFd::from(its_output)));
    let child = command.spawn().expect("the binary starts");
    // The command keeps its ends until it is told otherwise; ours must be the only other ones.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    (child, Box::new(input), Box::new(output))
}

fn read_lines(output: impl Read, hear: &Receiver<()>, said: &Mutex<Vec<u8>>, tell: &Sender<String>) {
    if hear.recv().is_err() {
        return;
    }
    let mut output = BufReader::with_capacity(1 << 16, output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        said.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&line);
        if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

fn read_all(mut stderr: impl Read, complaints: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut chunk) {
        let text = chunk.get(..length).unwrap_or_default();
        complaints.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
    }
}

/// A running gate and its client.
pub(crate) struct Gate {
    pub(crate) home: Arc<Home>,
    pub(crate) pid: Pid,
    input: Option<Box<dyn Write + Send>>,
    ears: Option<Sender<()>>,
    lines: Receiver<String>,
    early: VecDeque<Value>,
    said: Arc<Mutex<Vec<u8>>>,
    complaints: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
    exit: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
    /// What every request carries under `_meta`; a client of an older version says it once, in its handshake.
    meta: Option<String>,
    ids: u64,
    killed: bool,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gate").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate for a client of 2026-07-28 under `policy`, in a home of its own.
    pub(crate) fn start(policy: &str) -> Self {
        Launch::new(&Home::new(policy)).start()
    }

    /// A gate for a client of an older `version`, after its handshake.
    pub(crate) fn legacy(policy: &str, version: &str) -> Self {
        let mut gate = Self::start(policy);
        gate.initialize(version);
        gate
    }

    /// The handshake of a legacy client; from here on requests carry no metadata.
    pub(crate) fn initialize(&mut self, version: &str) -> Value {
        self.initialize_as(version, "t", &json!({}))
    }

    /// The same, by a client of that name with these capabilities.
    fn initialize_as(&mut self, version: &str, name: &str, capabilities: &Value) -> Value {
        self.meta = None;
        let id = self.id();
        self.send(&handshake(&id, version, name, capabilities));
        let answer = self.answer(&id);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        assert_eq!(answer.message["result"]["protocolVersion"], version, "{answer:?}");
        answer.message
    }

    /// Speaks as `client` from here on, with its handshake where its version has one.
    pub(crate) fn introduce(&mut self, client: &Client) {
        let Client { version, name, capabilities } = client;
        if *version != MODERN {
            self.initialize_as(version, name, capabilities);
            return;
        }
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": { "name": name, "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        });
        self.meta = Some(meta.to_string());
    }

    fn listening(mut self) -> Self {
        self.listen();
        self
    }

    /// Begins to read what the gate says.
    pub(crate) fn listen(&mut self) {
        let ears = self.ears.take().expect("it is not listening yet");
        ears.send(()).expect("the reader waits for this");
    }

    /// A request id that this client has not used.
    pub(crate) fn id(&mut self) -> String {
        self.ids += 1;
        format!("q{}", self.ids)
    }

    /// Writes these very bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("stdin is open");
        // A gate that has gone is found out by the one who waits for its answer.
        input.write_all(bytes).and_then(|()| input.flush()).ok();
    }

    /// Writes `line` and a line end.
    pub(crate) fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// The writing end, for a thread that may block on it.
    pub(crate) fn take_input(&mut self) -> Box<dyn Write + Send> {
        self.input.take().expect("stdin is open")
    }

    /// One request line of this client's era. `params` is JSON text of an object.
    pub(crate) fn line(&self, id: &str, method: &str, params: &str) -> String {
        let inner =
            params.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).expect("params is an object");
        let comma = if inner.trim().is_empty() { "" } else { "," };
        let meta = self.meta.as_ref().map(|meta| format!(r#"{comma}"_meta":{meta}"#)).unwrap_or_default();
        format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}","params":{{{inner}{meta}}}}}"#)
    }

    /// One `tools/call` line; `arguments` goes in as the text it is.
    pub(crate) fn call_line(&self, id: &str, tool: &str, arguments: &str) -> String {
        self.line(id, "tools/call", &format!(r#"{{"name":{},"arguments":{arguments}}}"#, json!(tool)))
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn request(&mut self, method: &str, params: &str) -> Answer {
        let id = self.id();
        self.send(&self.line(&id, method, params));
        self.answer(&id)
    }

    /// Calls a tool and waits for its answer.
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Answer {
        let id = self.begin(tool, &arguments.to_string());
        self.answer(&id)
    }

    /// Reads `path` through `api_get`.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.call("api_get", &json!({ "path": path }))
    }

    /// Sends a tool call without waiting: its id.
    pub(crate) fn begin(&mut self, tool: &str, arguments: &str) -> String {
        let id = self.id();
        self.send(&self.call_line(&id, tool, arguments));
        id
    }

    /// The answer to the request `id`; what comes before it is kept for whoever asks.
    pub(crate) fn answer(&mut self, id: &str) -> Answer {
        self.first(&format!("the answer to `{id}`"), |message| message["id"] == id)
    }

    /// The first message that `wanted` takes.
    pub(crate) fn first(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Answer {
        if let Some(index) = self.early.iter().position(&wanted) {
            return Answer { message: self.early.remove(index).expect("it was found there") };
        }
        loop {
            let Some(message) = self.next_message() else {
                panic!("{what} did not come; after {:?}; stderr: {}", self.early, self.stderr());
            };
            if wanted(&message) {
                return Answer { message };
            }
            self.early.push_back(message);
        }
    }

    /// The next message, or `None` at the end of stdout or of patience.
    fn next_message(&mut self) -> Option<Value> {
        let line = self.lines.recv_timeout(PATIENCE).ok()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("stdout: {error}: {line}")))
    }

    /// What came before the last answer that was waited for, and was not asked for.
    pub(crate) fn so_far(&mut self) -> Vec<Value> {
        self.early.drain(..).collect()
    }

    /// Everything that was said and not yet asked for, up to the end of stdout.
    pub(crate) fn rest(&mut self) -> Vec<Value> {
        while let Some(message) = self.next_message() {
            self.early.push_back(message);
        }
        self.early.drain(..).collect()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.complaints.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    pub(crate) fn close_stdin(&mut self) {
        self.input = None;
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.killed |= signal == Signal::KILL;
        if self.status.is_none() {
            kill_process(self.pid, signal).expect("the child is there");
        }
    }

    /// Waits until the process has ended.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        if self.status.is_none() {
            self.status = Some(self.exit.recv_timeout(PATIENCE).expect("the gate ends"));
        }
        self.status.expect("just set")
    }

    /// Waits until the process has died by SIGKILL, whoever sent it. What it said ends anywhere.
    pub(crate) fn expect_killed(&mut self) {
        self.killed = true;
        let status = self.exit();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}; stderr: {}", self.stderr());
    }

    /// The highest memory use so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|text| text.split_whitespace().next()?.parse().ok()).expect("a process that has not ended")
    }

    /// Waits until the log satisfies `done`, and returns its records.
    pub(crate) fn log_until(&self, what: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut records = Vec::new();
        eventually(what, || {
            records = self.home.records();
            done(&records)
        });
        records
    }

    /// Closes stdin, waits for a good end (exit 0), and returns what was not yet asked for. The
    /// log must verify.
    pub(crate) fn finish(mut self) -> Vec<Value> {
        self.home.canary.search_process(self.pid);
        self.close_stdin();
        let rest = self.rest();
        let status = self.exit();
        assert!(status.success(), "{status} at the end of stdin; stderr: {}", self.stderr());
        let verified = self.home.verify();
        assert!(verified.status.success(), "audit verify: {verified:?}");
        rest
    }

    /// Closes stdin and waits for a good end, whatever there is to say of other logs.
    pub(crate) fn leave(mut self) {
        self.close_stdin();
        let status = self.exit();
        assert!(status.success(), "{status} at the end of stdin; stderr: {}", self.stderr());
    }

    /// What must hold of every gate, whatever it went through.
    fn inspect(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader thread");
        }
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        let complaints = self.stderr();
        let canary = &self.home.canary;
        canary.search("stdout", &said);
        canary.search("stderr", complaints.as_bytes());
        canary.search_files(&self.home.state());
        assert!(!complaints.contains("panicked"), "the gate panicked: {complaints}");
        for line in said.split_inclusive(|byte| *byte == b'\n') {
            if self.killed && !line.ends_with(b"\n") {
                continue;
            }
            assert!(is_message(line), "not a JSON-RPC message on stdout: {}", String::from_utf8_lossy(line));
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.input = None;
        self.ears = None;
        if self.status.is_none() {
            if !std::thread::panicking() {
                self.home.canary.search_process(self.pid);
            }
            self.killed = true;
            kill_process(self.pid, Signal::KILL).ok();
            self.status = self.exit.recv_timeout(PATIENCE).ok();
        }
        if !std::thread::panicking() {
            self.inspect();
        }
    }
}

/// An `initialize` request line.
pub(crate) fn initialize(id: &str, version: &str, capabilities: &Value) -> String {
    handshake(id, version, "t", capabilities)
}

fn handshake(id: &str, version: &str, name: &str, capabilities: &Value) -> String {
    let params = json!({
        "protocolVersion": version, "capabilities": capabilities, "clientInfo": { "name": name, "version": "1" },
    });
    json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": params }).to_string()
}

/// A notification that takes the request `id` back.
pub(crate) fn cancel(id: &str) -> String {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } }).to_string()
}

fn is_message(line: &[u8]) -> bool {
    let Ok(Value::Object(message)) = serde_json::from_slice(line) else { return false };
    let has = |key: &str| message.contains_key(key);
    message.get("jsonrpc").is_some_and(|version| version == "2.0")
        && line.ends_with(b"\n")
        && (has("method") || (has("id") && has("result")) || has("error"))
}

/// One message from the gate.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) message: Value,
}

impl Answer {
    /// The code of a JSON-RPC error.
    pub(crate) fn rpc_error(&self) -> Option<i64> {
        self.message["error"]["code"].as_i64()
    }

    pub(crate) fn is_tool_error(&self) -> bool {
        self.message["result"]["isError"] == true
    }

    /// A result that is no tool error.
    pub(crate) fn is_success(&self) -> bool {
        self.message["result"].is_object() && !self.is_tool_error()
    }

    /// The texts of the content blocks of a result.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let blocks = self.message["result"]["content"].as_array().map_or(&[][..], Vec::as_slice);
        blocks.iter().map(|block| block["text"].as_str().unwrap_or_else(|| panic!("no text block: {block}"))).collect()
    }

    /// The text of the first block.
    pub(crate) fn text(&self) -> &str {
        self.texts().first().copied().unwrap_or_else(|| panic!("no content: {:?}", self.message))
    }

    /// The object of a refusal: one text block, which holds one JSON object, which holds this.
    pub(crate) fn refusal(&self) -> Value {
        assert!(self.is_tool_error(), "not a refusal: {:?}", self.message);
        assert_eq!(self.texts().len(), 1, "one block: {:?}", self.message);
        let object: Value =
            serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        assert!(object["error"]["message"].is_string(), "{object}");
        assert!(object["error"]["request_id"].is_string(), "{object}");
        object["error"].clone()
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.refusal()["code"].as_str().expect("a code").to_owned()
    }
}
