//! What a policy says about everything but its rules, as plain values: no secret, no open file, no socket.
//!
//! Promises that every value is inside the range that the policy language gives it. A path is as written, so relative
//! to the policy file.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::field::FieldPath;
use super::sink::SinkSpec;
use super::tools::Openapi;

/// `[upstream]`: where requests go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSpec {
    /// Canonical, `https` (or `http` to a loopback address where `allow_http` is set); its path ends with `/`.
    pub base_url: Url,
    /// The API's description.
    pub openapi: Option<Openapi>,
    /// For the whole upstream call; 1 s to 10 min.
    pub timeout: Duration,
    /// For the connection alone; 100 ms to `timeout`.
    pub connect_timeout: Duration,
    /// Plain HTTP to a loopback address is accepted.
    pub allow_http: bool,
    /// Private, link-local and other special addresses are accepted.
    pub allow_private: bool,
    /// PEM certificates that the upstream's certificate is checked against instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate and private key that the gateway shows to the upstream.
    pub client_certificate: Option<PathBuf>,
    /// The HTTP proxy that every call goes through; without user name or password.
    pub proxy: Option<Url>,
    /// The value of `user-agent`.
    pub user_agent: String,
    /// Fixed headers, names in lower case; none of them is a credential, framing or hop-by-hop header.
    pub headers: Vec<(String, String)>,
    /// The credential of every rule that names none.
    pub credential: Option<CredentialSpec>,
    /// Credentials that rules choose by name.
    pub credentials: BTreeMap<String, CredentialSpec>,
}

/// How a request shows who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSpec {
    /// `authorization: Bearer …` (RFC 6750).
    Bearer(SecretSpec),
    /// `authorization: Basic …` (RFC 7617).
    Basic {
        /// The user name, which may be a secret as well.
        username: SecretSpec,
        /// The password.
        password: SecretSpec,
    },
    /// A header of the API's own.
    Header {
        /// Its name, in lower case.
        name: String,
        /// Its value.
        value: SecretSpec,
    },
}

impl CredentialSpec {
    /// Its one or two secrets.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretSpec> {
        let (first, second) = match self {
            Self::Bearer(secret) | Self::Header { value: secret, .. } => (secret, None),
            Self::Basic { username, password } => (username, Some(password)),
        };
        [Some(first), second].into_iter().flatten()
    }

    /// Its form and where it comes from, in words.
    pub(crate) fn origin(&self) -> String {
        match self {
            Self::Bearer(secret) => format!("Bearer, {}", secret.origin()),
            Self::Basic { username, password } => {
                format!("Basic, {} and {}", username.origin(), password.origin())
            }
            Self::Header { value, .. } => value.origin(),
        }
    }
}

/// Where a secret comes from; never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSpec {
    /// An environment variable.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// The standard output of a program, run without a shell; the first element is the program.
    Command(Vec<String>),
    /// A credential that systemd passes (`LoadCredential=`).
    Systemd(String),
}

impl SecretSpec {
    /// Where it comes from, in words; of a command the program alone, since its arguments may say too much.
    fn origin(&self) -> String {
        match self {
            Self::Env(name) => format!("from the environment variable {name}"),
            Self::File(path) => format!("from the file {}", path.display()),
            Self::Command(words) => format!("from the command {}", words.first().map_or("", String::as_str)),
            Self::Systemd(name) => format!("from the systemd credential {name}"),
        }
    }
}

/// A file or secret that the policy names, with the place that names it, so that what is found wrong with it can be
/// reported there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What is named.
    pub spec: SourceSpec,
    /// The key, as in `upstream.credential.bearer`.
    pub key: String,
    /// Where the value stands.
    pub place: Place,
}

/// What a [`Source`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// A secret: of a credential, or `confirm.key`.
    Secret(SecretSpec),
    /// `upstream.ca_file`, or that of a sink.
    CaFile(PathBuf),
    /// `upstream.client_certificate`, which holds a private key.
    ClientCertificate(PathBuf),
    /// `upstream.openapi`, where it names a file.
    Openapi(PathBuf),
}

/// A place in the policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In bytes from the start of the file.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSpec {
    /// All calls of one agent.
    pub rate: Rate,
    /// How many calls may come at once within `rate`; 1 to 1,000.
    pub burst: u32,
    /// Writes of one agent.
    pub writes: Rate,
    /// Refused calls of one agent.
    pub denials: Rate,
    /// Questions to a person about the writes of one agent.
    pub prompts: Rate,
    /// Calls under way at once; 1 to 1,024.
    pub concurrency: u32,
    /// Calls of one day; `None` is "unlimited", written out.
    pub daily: Option<u64>,
    /// How long a call may wait for its turn; up to 60 s.
    pub max_wait: Duration,
}

/// `[confirm]`: how long a write waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmSpec {
    /// How long a question in the client can be answered; 5 s to 1 h.
    pub ttl: Duration,
    /// How long a question at the desk can be answered; 10 s to 24 h.
    pub desk_ttl: Duration,
    /// How long a call waits for an answer from the desk before it is told to come back; up to 10 min.
    pub wait: Duration,
    /// How long a call stays open while its client asks; 1 s to 1 h, and never longer than `ttl`.
    pub client_wait: Duration,
    /// How long writes stay closed after a person has refused several in a row; 1 s to 24 h.
    pub cooldown: Duration,
    /// What gateways of one state directory seal with, so that each takes the answers to the others' questions; without it
    /// each has a key of its own.
    pub key: Option<SecretSpec>,
}

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// 1 to 1,000,000.
    pub count: NonZeroU32,
    /// One second, minute, hour or day.
    pub per: Duration,
}

/// `[response]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseSpec {
    /// What is read from the upstream at most, after unpacking.
    pub read_max_bytes: u64,
    /// What the agent sees at most.
    pub max_bytes: u64,
    /// How JSON is written for the agent that asks for nothing else.
    pub format: Format,
    /// The members of JSON whose values the agent never sees.
    pub redact: Vec<FieldPath>,
}

/// How JSON is written for the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Compact JSON as text.
    Json,
    /// A JSON object as structured content, anything else as text.
    Structured,
    /// Tables where the answer is made of rows, else compact JSON.
    Toon,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSpec {
    /// The log files' names begin with it.
    pub prefix: String,
    /// Which intents are on disk before anything is sent.
    pub sync: Sync,
    /// A file of this size is followed by another.
    pub max_bytes: u64,
    /// A file of this age is followed by another.
    pub max_age: Duration,
    /// For how long files that were followed by others are kept; `None` for ever.
    pub keep: Option<Duration>,
    /// Where its records go beside its file.
    pub sinks: Vec<SinkSpec>,
}

/// When a record has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Of writes before they are sent; of reads shortly after.
    Writes,
    /// Of every call before it is sent.
    Each,
}
