//! What a record says, field by field. The chain's own members (`v`, `seq`, `time`, `prev`) stand before these.
//!
//! Values of queries and bodies are keyed digests; names, the method, the canonical path, rules and sizes are clear.

use std::borrow::Cow;

use serde::Serialize;

use super::capped;
use crate::confirm::{No, Place, Witness};

/// One record's own members, told apart by `kind`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Fact<'a> {
    /// The first record: whose log this is.
    Start(Start<'a>),
    /// What was asked and decided. For what is forwarded: the intent, in the file before anything is sent.
    Question(&'a Question<'a>),
    /// What came of it.
    Answer(Outcome<'a>),
    /// A person is about to be asked about a call.
    Ask(Ask<'a>),
    /// The desk answered a question.
    Decision(Decision<'a>),
    /// Another policy takes effect.
    Policy(PolicyChange<'a>),
    /// Writes were closed by refusals, or opened by a person.
    Writes(Writes),
    /// A call that ended without an answer, because the gateway was stopped or a handler failed.
    Abandoned(Abandoned<'a>),
    /// A message that never became a call.
    Frame(Frame<'a>),
    /// A sink fell behind, caught up, or will not have some records.
    Sink(&'a SinkState<'a>),
    /// How large the log is, what its Merkle root is, and a signature: a C2SP signed note.
    Checkpoint { note: &'a str },
    /// A key is another one than that of the log before.
    Key(Key<'a>),
    /// Half a record at the end of another log is set aside.
    Torn(Torn<'a>),
    /// A person knows that a log is bad, and why.
    Acknowledge(Acknowledged<'a>),
    /// The wall clock was set, or the machine slept.
    Clock { step_ms: i64 },
    /// The disk is full: nothing new is let through, and what has begun is ended.
    Full {},
    /// A file of an older log is about to be deleted, as the policy says.
    Retired { file: &'a str, size: u64, hash: &'a str },
    /// The file is full or old and followed by another; one checkpoint follows.
    Rotate { next: &'a str },
    /// The first record of a file that follows another.
    Continue(Continue<'a>),
    /// The end of an orderly end; one checkpoint follows.
    Stop(Stop),
}

impl Fact<'_> {
    /// Whether it begins something that is not let through on a full disk.
    pub(super) fn is_new(&self) -> bool {
        matches!(self, Self::Question(_) | Self::Ask(_) | Self::Decision(_) | Self::Policy(_) | Self::Frame(_))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Start<'a> {
    pub(super) log: &'a str,
    pub(super) version: &'a str,
    pub(super) policy: &'a str,
    pub(super) policy_hash: &'a str,
    /// The whole policy; the values of its fixed headers are covered.
    pub(super) policy_text: &'a str,
    /// Names the key of the digests.
    pub(super) key: &'a str,
    /// Names the key that signs checkpoints.
    pub(super) signer: &'a str,
    pub(super) pid: u32,
}

/// Enough to check the file alone: whose log it is, and how the tree stood.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Continue<'a> {
    pub(super) log: &'a str,
    pub(super) policy: &'a str,
    pub(super) policy_hash: &'a str,
    pub(super) key: &'a str,
    pub(super) signer: &'a str,
    /// Counted from 1.
    pub(super) segment: u32,
    /// The file before.
    pub(super) before: &'a str,
    /// The last checkpoint of the file before.
    pub(super) note: &'a str,
    /// The peaks of its tree.
    pub(super) peaks: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Key<'a> {
    /// `digests` or `checkpoints`.
    pub(super) of: &'a str,
    pub(super) before: &'a str,
    pub(super) now: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct Torn<'a> {
    pub(super) file: &'a str,
    /// Whole records that stand before it.
    pub(super) records: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Acknowledged<'a> {
    pub(super) file: &'a str,
    /// Of the file's content.
    pub(super) sha256: &'a str,
    pub(super) error: &'a str,
    pub(super) reason: &'a str,
    pub(super) uid: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Question<'a> {
    pub(super) call: &'a str,
    pub(super) agent: &'a str,
    pub(super) tool: &'a str,
    pub(super) verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rules: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) person: Option<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idempotency_key: Option<&'a str>,
    /// The operation that is described, or called by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'a str>,
    /// What a call without a request gives: its name and the digest of its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) argument: Option<(&'a str, &'a str)>,
    #[serde(flatten)]
    pub(super) request: Option<Subject<'a>>,
}

/// What a person said of the request.
#[derive(Debug, Serialize)]
pub(super) struct Person {
    pub(super) said: &'static str,
    pub(super) channel: &'static str,
    /// What the client calls itself; nobody vouches for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    /// The user at the desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    pub(super) took_ms: u64,
}

impl Person {
    /// What they said, and who they are.
    pub(super) fn new(no: Option<No>, witness: &Witness) -> Self {
        let said = match no {
            None => "approved",
            Some(No::Declined) => "declined",
            Some(No::Dismissed) => "dismissed",
            Some(No::Unconfirmed) => "unconfirmed",
        };
        let (client, uid) = match &witness.place {
            Place::Client(client) => (client.as_deref().map(capped), None),
            Place::Desk(uid) => (None, Some(*uid)),
        };
        let took_ms = u64::try_from(witness.took.as_millis()).unwrap_or(u64::MAX);
        Self { said, channel: witness.place.as_str(), client, uid, took_ms }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Ask<'a> {
    pub(super) call: &'a str,
    pub(super) agent: &'a str,
    pub(super) tool: &'a str,
    pub(super) rule: &'a str,
    pub(super) line: u32,
    pub(super) code: &'a str,
    /// Where it may be answered.
    pub(super) channels: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    #[serde(flatten)]
    pub(super) request: Subject<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Decision<'a> {
    /// The call that asked first.
    pub(super) call: &'a str,
    pub(super) code: &'a str,
    pub(super) said: &'static str,
    pub(super) uid: u32,
    pub(super) took_ms: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct PolicyChange<'a> {
    /// SHA-256 of the file that was in force.
    pub(super) before: &'a str,
    /// And of the one that is from here on.
    pub(super) now: &'a str,
    /// As in [`Start`].
    pub(super) policy_text: &'a str,
    /// `signal` or `desk`.
    pub(super) by: &'static str,
    /// The user at the desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    /// Whether a person was shown in what it is wider, or that nobody can tell.
    pub(super) wider: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Writes {
    pub(super) state: &'static str,
    /// For how long they are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<u64>,
    /// Who opened them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
}

/// The request, as far as one was understood.
#[derive(Debug, Serialize)]
pub(super) struct Subject<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) query: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) headers: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<SubjectBody<'a>>,
    pub(super) digest: String,
    /// Where values do not stand as digests: `names` or `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) values: Option<&'static str>,
}

/// The name of a value, and the value or its digest where that is told.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Pair<'a> {
    Name((&'a str,)),
    Value((&'a str, Cow<'a, str>)),
}

#[derive(Debug, Serialize)]
pub(super) struct SubjectBody<'a> {
    pub(super) bytes: usize,
    /// There where it is an array, of which no names are told; a body is an object otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) array: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<Pair<'a>>,
    /// In clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    pub(super) call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redacted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_seconds: Option<u64>,
    pub(super) duration_us: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Abandoned<'a> {
    pub(super) call: &'a str,
    pub(super) agent: &'a str,
    pub(super) tool: &'a str,
    /// Whether the question is in the log, so that the request may have been sent.
    pub(super) asked: bool,
    pub(super) duration_us: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Frame<'a> {
    pub(super) agent: &'a str,
    pub(super) code: i32,
    pub(super) cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    /// Frames refused since the last such record and, by the limit on refusals, not recorded one by one.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) unlogged: u64,
}

/// How a sink stands.
#[derive(Debug, Default, Serialize)]
pub struct SinkState<'a> {
    /// Its name.
    pub sink: &'a str,
    /// `behind`, `caught_up` or `refused`.
    pub state: &'static str,
    /// Records that it has not taken.
    pub waiting: u64,
    /// Records that it will not have, since the last such record.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// One word for what keeps it from taking them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Stop {
    pub(super) reason: &'static str,
    pub(super) calls: u64,
    /// As in [`Frame`].
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) unlogged: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
