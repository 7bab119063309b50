//! The person at another terminal: the real `portcullis pending` and `portcullis approve`, each a process of its own.

use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::DemoError;
use super::session::PATIENCE;
use super::walk::unexpected;

/// The commands, against the gates of one state directory.
pub(super) struct Desk<'a> {
    pub(super) exe: &'a Path,
    pub(super) state: &'a Path,
    /// The step under way; errors name it.
    pub(super) step: &'static str,
}

/// What `portcullis pending --format json` says.
#[derive(Default, Deserialize)]
struct Pending {
    questions: Vec<Waiting>,
}

/// A question that waits.
#[derive(Deserialize)]
pub(super) struct Waiting {
    pub(super) code: String,
    pub(super) digest: String,
    pub(super) message: String,
}

impl Desk<'_> {
    /// The one question that waits.
    pub(super) async fn pending(&self) -> Result<Waiting, DemoError> {
        let said = self.run(&["pending", "--format", "json"]).await?;
        let pending: Pending = serde_json::from_str(&said).unwrap_or_default();
        let one: Result<[Waiting; 1], _> = pending.questions.try_into();
        one.map(|[waiting]| waiting).map_err(|_| unexpected(self.step, "one question that waits", &said))
    }

    /// Approves it without a terminal; returns what the command says.
    pub(super) async fn approve(&self, waiting: &Waiting) -> Result<String, DemoError> {
        self.run(&["approve", &waiting.code, "--yes", "--digest", &waiting.digest]).await
    }

    async fn run(&self, words: &[&str]) -> Result<String, DemoError> {
        let mut command = Command::new(self.exe);
        command.args(words).arg("--state-dir").arg(self.state).stdin(Stdio::null()).kill_on_drop(true);
        let Ok(output) = timeout(PATIENCE, command.output()).await else {
            return Err(unexpected(self.step, "the command to end", "a command that goes on"));
        };
        let output = output.map_err(|source| DemoError::Start { step: self.step, source })?;
        if !output.status.success() {
            return Err(unexpected(self.step, "exit code 0", &String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}
