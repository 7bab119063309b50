//! What the desk and a gateway say to each other over the socket in the state directory: one line of JSON each way.

pub mod reload;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::reload::{Change, Width};
use super::escape::{defused, shown};
use super::form::{self, Word};
use super::page::Folded;
use super::{MAX_PENDING, Question, REFUSALS, Ticket};
use crate::policy::diff::Rest;
use crate::request::MAX_TARGET;
use crate::request::body::MAX_BODY;
use crate::trust::quoted;

/// The longest line to a gateway, in bytes.
pub const MAX_REQUEST: usize = 4 << 10;
/// The longest line from a gateway, in bytes: as many questions as may wait, each with its message, or one with the longest
/// body.
pub const MAX_REPLY: usize = 5 << 20;
/// How long either side waits for the other's line.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// And for one about another policy, which is read and compared first.
pub const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// Names, digest, code, numbers and the JSON around them take less than this for each question.
const REST: usize = 1 << 10;
// In JSON a line end, a quotation mark or a backslash of a message takes two bytes; a target holds none of them.
const _: () = assert!(MAX_PENDING * (2 * form::MAX_BYTES + MAX_TARGET + REST) <= MAX_REPLY);
const _: () = assert!(2 * MAX_BODY + MAX_TARGET + MAX_HEADERS + REST <= MAX_REPLY);

/// Base URL and headers take less than this: a policy file is half as long at most, and a quotation mark takes two bytes.
const MAX_HEADERS: usize = 2 << 20;

/// What is shown of a client's name, in columns.
const NAME_COLUMNS: usize = 48;

const PREFIX: &str = "desk-";
const EXTENSION: &str = "sock";
/// What a socket is called until somebody listens at it.
pub const UNFINISHED: &str = "new";

/// The path of a gateway's socket; `id` is its own among those of the directory.
#[must_use]
pub fn socket(directory: &Path, id: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{id:08x}.{EXTENSION}"))
}

/// The files of a directory that are gateways' sockets by kind and name, in the order of their names; links are none.
///
/// # Errors
/// The directory cannot be read.
pub fn sockets(directory: &Path) -> io::Result<Vec<PathBuf>> {
    found(directory, EXTENSION)
}

/// The same, for sockets that are being made.
///
/// # Errors
/// The directory cannot be read.
pub fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    found(directory, UNFINISHED)
}

fn found(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let entries: Vec<_> = std::fs::read_dir(directory)?.collect::<io::Result<_>>()?;
    // One that is gone by now is none.
    let found = entries.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    let mut sockets: Vec<PathBuf> = found.map(|entry| entry.path()).filter(named(extension)).collect();
    sockets.sort();
    Ok(sockets)
}

fn named(extension: &str) -> impl Fn(&PathBuf) -> bool {
    move |path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX)) && path.extension().is_some_and(|last| last == extension)
    }
}

/// What the commands of the desk have to be told behind their own words, where gateways keep their state in `directory` and
/// not in the default place.
#[must_use]
pub fn place(directory: Option<&Path>) -> String {
    directory.map(|directory| format!(" --state-dir {}", quoted(directory))).unwrap_or_default()
}

/// What a person is told of writes that stay closed for so many seconds.
#[must_use]
pub fn closed(seconds: u64) -> String {
    let left = span(seconds);
    format!(
        "writes are closed for another {left}, because {REFUSALS} questions in a row were answered with no; `portcullis reopen` opens them"
    )
}

/// What a client calls itself, as a person sees it: one line, safe to print and not too long.
#[must_use]
pub fn name(name: &str) -> String {
    let Folded { head, left_out, .. } = Folded::new(name, NAME_COLUMNS, 1);
    let end = if left_out > 0 { "..." } else { "" };
    head.concat() + end
}

/// In how many things a policy is wider, where so many were found.
#[must_use]
pub fn things(count: usize, rest: Rest) -> String {
    let things = if count == 1 { "thing" } else { "things" };
    match rest {
        Rest::Nothing => format!("{count} {things}"),
        Rest::Unknown => format!("{count} {things} or more"),
    }
}

/// A span of time for a person, as `9m 57s`.
#[must_use]
pub fn span(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// What the desk asks a gateway. Braces without a field: serde lets unknown ones pass beside a bare name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// Every question that waits.
    Pending {},
    /// The whole of the request that the question with this code is about.
    Show {
        /// What names the question.
        code: String,
    },
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
    Reopen {},
    /// What the policy file would change.
    Compare {},
    /// Put the policy file in force.
    Reload {
        /// SHA-256 of the policy in force that it was compared with, 64 hexadecimal digits.
        before: String,
        /// SHA-256 of the file.
        now: String,
        /// What a person was told of it: consent to no more than that.
        consent: Width,
    },
}

impl Order {
    /// How long its answer may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self {
            Self::Pending {} | Self::Show { .. } | Self::Approve { .. } | Self::Decline { .. } | Self::Reopen {} => {
                PATIENCE
            }
            Self::Compare {} | Self::Reload { .. } => LONG_PATIENCE,
        }
    }
}

/// What a gateway answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "lowercase")]
pub enum Answer {
    /// What waits.
    Pending(Listing),
    /// What one of them is about.
    Whole(Whole),
    /// The question was answered.
    Decided {
        /// For how many seconds the answer waits for its call.
        expires_in_seconds: u64,
        /// Whether a call waits open for it, which goes on at once.
        call_waits: bool,
    },
    /// No question with that code can be answered so here.
    Gone,
    /// Writes are open.
    Open,
    /// What the policy file would change.
    Compared(Box<Change>),
    /// It is in force.
    Reloaded,
    /// It is not done, for this reason.
    Refused {
        /// One sentence.
        why: String,
    },
}

/// What waits at one gateway.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The API, by the name of its policy.
    pub api: String,
    /// The questions, oldest first.
    pub questions: Vec<Waiting>,
    /// For how many seconds writes stay closed; absent while they are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_seconds: Option<u64>,
}

impl Answer {
    /// The same, with whatever a terminal could act upon spelled out: who answers at a socket need not be a gateway.
    /// What a gateway says is left as it is.
    #[must_use]
    pub fn printable(self) -> Self {
        match self {
            Self::Pending(Listing { api, questions, closed_seconds }) => Self::Pending(Listing {
                api: shown(&api).into_owned(),
                questions: questions.into_iter().map(Waiting::printable).collect(),
                closed_seconds,
            }),
            Self::Refused { why } => Self::Refused { why: defused(&why) },
            Self::Compared(change) => Self::Compared(Box::new(change.printable())),
            // Printed as JSON in ASCII alone.
            Self::Whole(_) | Self::Decided { .. } | Self::Gone | Self::Open | Self::Reloaded => self,
        }
    }
}

/// A request, every byte of it: not safe to print.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whole {
    /// Where it goes.
    pub url: String,
    /// Its headers, those of the policy too, but for the credential's and those of HTTP itself.
    pub headers: Vec<(String, String)>,
    /// Its body, as it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
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
    /// What the client that asked first calls itself; safe to print, and no proof of who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The request's digest, 64 hexadecimal digits.
    pub digest: String,
    /// Seconds since it was asked.
    pub age_seconds: u64,
    /// Seconds until it ends unanswered.
    pub expires_in_seconds: u64,
    /// The request in words, in parts where it is long; safe to print.
    pub message: String,
    /// The request itself; only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Whole>,
    /// The word to type, where a yes is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

impl Waiting {
    /// What the desk may see of a question.
    #[must_use]
    pub fn new(ticket: &Ticket, age: Duration, left: Duration) -> Self {
        let Question { digest, form, api, method, target, rule, client, .. } = &*ticket.question;
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
            client: client.clone(),
            digest: digest.to_string(),
            age_seconds: age.as_secs(),
            expires_in_seconds: left.as_secs(),
            message: form.message.clone(),
            request: None,
            word,
        }
    }

    fn printable(self) -> Self {
        let line = |text: String| shown(&text).into_owned();
        Self {
            code: line(self.code),
            api: line(self.api),
            method: line(self.method),
            target: line(self.target),
            rule: line(self.rule),
            client: self.client.map(line),
            digest: line(self.digest),
            message: defused(&self.message),
            word: self.word.map(line),
            ..self
        }
    }
}
