//! Some records of one log that follow each other, and what a sink has to know of each.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Whole lines of one log.
#[derive(Debug)]
pub(super) struct Batch {
    /// The file's name.
    pub(super) log: String,
    /// Of the first line.
    pub(super) first: u64,
    /// The lines, each with its end.
    pub(super) lines: String,
    /// What each of them says.
    pub(super) views: Vec<View>,
}

/// What a sink looks at in a record. The line itself is what it sends.
#[derive(Debug, Default, Deserialize)]
pub(super) struct View {
    pub(super) seq: u64,
    #[serde(default)]
    time: String,
    #[serde(default)]
    pub(super) kind: String,
    pub(super) call: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) verdict: Option<String>,
    code: Option<serde_json::Value>,
    pub(super) rule: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) duration_us: Option<u64>,
}

/// How much a record asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Info,
    /// A person is asked, or answered.
    Notice,
    /// A refusal, or a sink that is behind.
    Warning,
    /// A call that was let through and failed.
    Error,
}

impl Batch {
    /// One more than the last sequence number.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(self.views.len() as u64)
    }

    /// The lines without their ends, with what they say.
    pub(super) fn records(&self) -> impl Iterator<Item = (&str, &View)> {
        self.lines.lines().zip(&self.views)
    }
}

impl View {
    pub(super) fn of(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// Why a call was refused or failed; of other records, what is called a code there is none.
    pub(super) fn code(&self) -> Option<&str> {
        let call = matches!(self.kind.as_str(), "question" | "answer");
        self.code.as_ref().filter(|_| call)?.as_str()
    }

    pub(super) fn severity(&self) -> Severity {
        match (self.kind.as_str(), self.verdict.as_deref(), self.code()) {
            ("question", Some("allow"), _) | ("answer", _, None) => Severity::Info,
            ("question", Some("hold" | "report"), _) => Severity::Notice,
            ("question", ..) | ("frame" | "abandoned", ..) => Severity::Warning,
            ("answer", _, Some(code)) => match code {
                "denied" | "bad_request" | "declined" | "throttled" | "cancelled" | "busy" | "approval_expired" => {
                    Severity::Warning
                }
                "approval_required" => Severity::Notice,
                _ => Severity::Error,
            },
            ("ask" | "decision" | "policy" | "writes", ..) => Severity::Notice,
            ("sink", ..) => Severity::Warning,
            _ => Severity::Info,
        }
    }

    pub(super) fn time(&self) -> &str {
        &self.time
    }

    pub(super) fn nanos(&self) -> u128 {
        let time = humantime::parse_rfc3339(&self.time).unwrap_or(UNIX_EPOCH);
        nanos(time)
    }
}

pub(super) fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// What the next record of the log names as `prev`.
pub(super) fn hash(line: &str) -> String {
    crate::audit::hex(&Sha256::digest(line.as_bytes()))
}
