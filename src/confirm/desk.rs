//! What the desk and a gateway say to each other over the socket in the state directory: one line of JSON each way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::Word;
use super::{Question, Ticket};

/// The longest line to a gateway, in bytes.
pub const MAX_REQUEST: usize = 4 << 10;
/// The longest line from a gateway, in bytes: as many questions as may wait, each with its message.
pub const MAX_REPLY: usize = 2 << 20;
/// How long either side waits for the other's line.
pub const PATIENCE: Duration = Duration::from_secs(5);

const PREFIX: &str = "desk-";
const SUFFIX: &str = ".sock";

/// The socket of the gateway that runs as process `pid`.
#[must_use]
pub fn socket(directory: &Path, pid: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{pid}{SUFFIX}"))
}

/// The process whose socket this is, if it is called as one.
#[must_use]
pub fn pid_of(socket: &Path) -> Option<i32> {
    socket.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// What the desk asks a gateway.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// Every question that waits.
    Pending,
    /// Yes to the question with this code about the request with this digest; `typed` is the word, where one is asked for.
    Approve {
        /// What names the question.
        code: String,
        /// The request that the person saw, 64 hexadecimal digits.
        digest: String,
        /// What they typed.
        typed: Option<String>,
    },
    /// No to the question with this code.
    Decline {
        /// What names the question.
        code: String,
    },
    /// Open writes again.
    Reopen,
}

/// What a gateway answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "lowercase")]
pub enum Answer {
    /// The questions, oldest first.
    Pending {
        /// Each of them.
        questions: Vec<Waiting>,
        /// For how many seconds writes stay closed; absent while they are open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        closed_seconds: Option<u64>,
    },
    /// It is done.
    Done {
        /// For how many seconds the approval lives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_in_seconds: Option<u64>,
    },
    /// It is not, for this reason.
    Refused {
        /// One sentence.
        why: String,
    },
}

/// A question, as the desk sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// What names it.
    pub code: String,
    /// The API, by the name of its policy.
    pub api: String,
    /// The request's method.
    pub method: String,
    /// The request's canonical path and query.
    pub target: String,
    /// The rule that asks for a person.
    pub rule: String,
    /// The request's digest, 64 hexadecimal digits.
    pub digest: String,
    /// Seconds since it was asked.
    pub age_seconds: u64,
    /// Seconds until it ends unanswered.
    pub expires_in_seconds: u64,
    /// The whole of it, in words; safe to print.
    pub message: String,
    /// The word to type, where a yes is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

impl Waiting {
    /// What the desk may see of a question.
    #[must_use]
    pub fn new(ticket: &Ticket, age: Duration, left: Duration) -> Self {
        let Question { digest, form, api, method, target, rule, .. } = &*ticket.question;
        let word = match &form.word {
            Word::Yes => None,
            Word::Typed(word) => Some(word.clone()),
        };
        Self {
            code: ticket.code.clone(),
            api: api.clone(),
            method: method.as_str().to_owned(),
            target: target.clone(),
            rule: rule.clone(),
            digest: digest.to_string(),
            age_seconds: age.as_secs(),
            expires_in_seconds: left.as_secs(),
            message: form.message.clone(),
            word,
        }
    }
}
