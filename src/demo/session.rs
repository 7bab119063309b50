//! A small MCP client over the stdin and stdout of the gate: one JSON object a line (MCP 2025-06-18, basic/transports).
//!
//! Promises: one request at a time, and a deadline for each line of the gate; a question to the person is handed on and
//! answered as it is told to (client/elicitation); everything the gate wrote is kept, to be searched for the credential;
//! the child does not outlive the session.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::DemoError;
use super::scratch::{Scratch, VARIABLE};
use super::screen::{cut, escaped};

/// The longest wait for one answer: above the longest step, so that only a hanging gate meets it.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// A running gate and the conversation with it.
pub(super) struct Session {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
    asked: u64,
    heard: String,
    step: &'static str,
}

/// The result of one tool call, as the agent gets it.
pub(super) struct Told {
    /// The text blocks, in order.
    pub(super) texts: Vec<String>,
    is_error: bool,
}

impl Told {
    /// The `error` object of a refusal; `None` for the API's answer.
    pub(super) fn error(&self) -> Option<Value> {
        if !self.is_error {
            return None;
        }
        let object: Option<Value> = self.texts.first().and_then(|text| serde_json::from_str(text).ok());
        Some(object.and_then(|mut object| object.get_mut("error").map(Value::take)).unwrap_or_default())
    }
}

/// What the gate says while a call is open.
pub(super) enum Heard {
    /// The end of the call.
    Result(Told),
    /// The person is to be asked.
    Question(Question),
}

/// What the client is to show to its person, and how it takes the answer.
pub(super) struct Question {
    id: Value,
    /// The text of the form.
    pub(super) message: String,
    /// What the form calls its one field, a box to tick.
    pub(super) field: String,
}

/// Everything the gate wrote in its life.
pub(super) struct Spoken {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Session {
    /// Starts the gate and greets it; returns the session and the names of the tools on offer.
    pub(super) async fn start(
        exe: &Path,
        scratch: &Scratch,
        token: &str,
        step: &'static str,
    ) -> Result<(Self, Vec<String>), DemoError> {
        let mut child = Command::new(exe)
            .arg("serve")
            .arg("--policy")
            .arg(scratch.policy())
            .arg("--state-dir")
            .arg(scratch.state())
            .env(VARIABLE, token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| DemoError::Start { step, source })?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(DemoError::Silent { step, said: String::new() });
        };
        let stderr = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // What arrived before an error is all there is to say.
            drop(stderr.read_to_end(&mut bytes).await);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let lines = BufReader::new(stdout).lines();
        let mut session = Self { child, stdin, lines, stderr, asked: 0, heard: String::new(), step };
        let tools = session.greet().await?;
        Ok((session, tools))
    }

    /// Calls one tool; what comes of it is [heard](Self::hear).
    pub(super) async fn call(&mut self, step: &'static str, tool: &str, arguments: &Value) -> Result<(), DemoError> {
        self.step = step;
        self.request("tools/call", &json!({ "name": tool, "arguments": arguments })).await
    }

    /// Waits for what the gate says of the call.
    pub(super) async fn hear(&mut self) -> Result<Heard, DemoError> {
        let (line, mut message) = self.next().await?;
        if let Some(question) = question(&mut message) {
            return Ok(Heard::Question(question));
        }
        let Some(result) = message.get_mut("result").map(Value::take) else { return Err(self.garbled(&line)) };
        let texts =
            result.get("content").and_then(Value::as_array).map(|blocks| blocks.iter().filter_map(text).collect());
        Ok(Heard::Result(Told {
            texts: texts.unwrap_or_default(),
            is_error: result.get("isError").and_then(Value::as_bool).unwrap_or_default(),
        }))
    }

    /// The person accepts the form with its box ticked.
    pub(super) async fn accept(&mut self, question: &Question) -> Result<(), DemoError> {
        self.answer(question, &json!({ "action": "accept", "content": { "confirm": true } })).await
    }

    /// The person declines.
    pub(super) async fn decline(&mut self, question: &Question) -> Result<(), DemoError> {
        self.answer(question, &json!({ "action": "decline" })).await
    }

    async fn answer(&mut self, question: &Question, result: &Value) -> Result<(), DemoError> {
        self.write(&json!({ "jsonrpc": "2.0", "id": question.id, "result": result })).await
    }

    /// Closes the gate's stdin, waits for it to end, and hands over all that it wrote.
    pub(super) async fn close(mut self, step: &'static str) -> Result<Spoken, DemoError> {
        drop(self.stdin);
        // What nobody waited for was said all the same: a question that was taken back, for one.
        while let Ok(Ok(Some(line))) = timeout(PATIENCE, self.lines.next_line()).await {
            self.heard.push_str(&line);
            self.heard.push('\n');
        }
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let Ok(Ok(status)) = ended else {
            return Err(DemoError::Unexpected {
                step,
                wanted: "the gate to end".into(),
                got: "a gate that goes on".into(),
            });
        };
        let stderr = self.stderr.await.unwrap_or_default();
        if !status.success() {
            return Err(DemoError::Unexpected { step, wanted: "exit code 0".into(), got: last_words(&stderr) });
        }
        Ok(Spoken { stdout: self.heard, stderr })
    }

    async fn greet(&mut self) -> Result<Vec<String>, DemoError> {
        let client = json!({ "name": "portcullis-demo", "version": env!("CARGO_PKG_VERSION") });
        let hello =
            json!({ "protocolVersion": "2025-06-18", "capabilities": { "elicitation": {} }, "clientInfo": client });
        self.ask("initialize", &hello).await?;
        self.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        let list = self.ask("tools/list", &json!({})).await?;
        let tools = list.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(tools.iter().filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect())
    }

    /// Sends a request and returns its `result`.
    async fn ask(&mut self, method: &str, params: &Value) -> Result<Value, DemoError> {
        self.request(method, params).await?;
        let (line, mut message) = self.next().await?;
        message.get_mut("result").map(Value::take).ok_or_else(|| self.garbled(&line))
    }

    async fn request(&mut self, method: &str, params: &Value) -> Result<(), DemoError> {
        self.asked += 1;
        self.write(&json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params })).await
    }

    /// The next message about the open request: its answer, or a request of the gate's own. Others are passed over.
    async fn next(&mut self) -> Result<(String, Value), DemoError> {
        loop {
            let Ok(Ok(Some(line))) = timeout(PATIENCE, self.lines.next_line()).await else {
                return Err(self.silence().await);
            };
            self.heard.push_str(&line);
            self.heard.push('\n');
            let message: Value = serde_json::from_str(&line).map_err(|_| self.garbled(&line))?;
            let asks = message.get("method").is_some() && message.get("id").is_some();
            if asks || message.get("id").and_then(Value::as_u64) == Some(self.asked) {
                return Ok((line, message));
            }
        }
    }

    fn garbled(&self, line: &str) -> DemoError {
        DemoError::Garbled { step: self.step, line: cut(&escaped(line), 200) }
    }

    async fn write(&mut self, message: &Value) -> Result<(), DemoError> {
        let written = self.stdin.write_all(format!("{message}\n").as_bytes()).await;
        if written.is_err() {
            return Err(self.silence().await);
        }
        Ok(())
    }

    /// The error for a gate that is gone or hangs, with its last words.
    async fn silence(&mut self) -> DemoError {
        // A child that already ended cannot be killed again; either way its stderr closes now.
        drop(self.child.kill().await);
        let said = (&mut self.stderr).await.unwrap_or_default();
        DemoError::Silent { step: self.step, said: last_words(&said) }
    }
}

/// The message as a question to the person, if it is one.
fn question(message: &mut Value) -> Option<Question> {
    if message.get("method")?.as_str()? != "elicitation/create" {
        return None;
    }
    let text = |pointer: &str| Some(message.pointer(pointer)?.as_str()?.to_owned());
    let shown = text("/params/message")?;
    let field = text("/params/requestedSchema/properties/confirm/title")?;
    Some(Question { id: message.get_mut("id")?.take(), message: shown, field })
}

fn text(block: &Value) -> Option<String> {
    Some(block.get("text")?.as_str()?.to_owned())
}

fn last_words(stderr: &str) -> String {
    let words = stderr.trim_end().lines().rev().take(6).collect::<Vec<_>>();
    let words: Vec<&str> = words.into_iter().rev().collect();
    if words.is_empty() { "nothing".to_owned() } else { cut(&escaped(&words.join(" | ")), 600) }
}
