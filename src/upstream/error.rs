//! What can go wrong between the gateway and its upstream: what the agent is told, and what the log is.
//!
//! Promises that [`UpstreamError`]'s `Display` names no host, address, path, header or credential; those may stand in
//! [`cause`](UpstreamError::cause), which is for the log. No text here holds a URL: its query is nobody's but the agent's and the API's.

use std::error::Error;
use std::io;

use crate::address::AddressRefused;
use crate::refusal::Code;
use crate::trust::TrustError;
use crate::upstream::resolver::Unresolved;
use crate::upstream::rotation::{CredentialError, CredentialSetupError};

/// Why a call brought no answer. The text is the agent's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// R9: the HTTP client's own URL is not base URL + canonical target, byte for byte.
    #[error("the request cannot be sent exactly as it was checked, so it was not sent")]
    TargetMismatch,
    /// The request is not the one that a person approved.
    #[error("the request is not the one that was approved, so it was not sent")]
    NotApproved,
    /// A header of the call is none to the HTTP client.
    #[error("the request's headers cannot be sent as they were checked, so it was not sent")]
    HeaderMismatch,
    /// The secret behind the credential is missing, changed its owner, or its command failed.
    #[error("the gateway cannot read its credential for this API, so nothing was sent; somebody has to repair that")]
    Credential(CredentialCause),
    /// The HTTP client that keeps no connection could not be set up.
    #[error("the gateway's HTTP client is broken, so nothing was sent; it has to be restarted")]
    Client,
    /// Another thread panicked while it changed the credentials, so nothing can take them out of the answer.
    #[error("the API answered, but its answer cannot be shown: the gateway is broken and has to be restarted")]
    Unredactable,
    /// The name leads nowhere.
    #[error("the API's name could not be resolved, so nothing was sent; try again later")]
    Unresolved(String),
    /// The name leads to an address that the policy does not allow.
    #[error("the API's name leads to an address that the policy does not allow, so nothing was sent")]
    AddressRefused(AddressRefused),
    /// Nobody answers there, or the TLS handshake failed.
    #[error("no connection to the API could be made, so nothing was sent; try again later")]
    Unreachable(String),
    /// Connecting took longer than `connect_timeout`.
    #[error("the API did not accept a connection in time, so nothing was sent; try again later")]
    ConnectTimeout,
    /// The call took longer than `timeout`, from connecting to the last byte of the answer.
    #[error("the API did not answer completely in time")]
    Timeout,
    /// The connection ended before an answer began.
    #[error("the connection to the API ended before an answer came")]
    Died(String),
    /// The answer is no HTTP, or its head is longer than the HTTP client reads.
    #[error("the API's answer is not valid HTTP, or its headers are too many or too long")]
    Malformed(String),
    /// The answer has a length and is chunked too, or has a body where none may be (RFC 9112, section 6.3).
    #[error("the API's answer says in two ways where it ends, so it was not read")]
    Framing,
    /// More than 64 KiB of headers.
    #[error("the API's answer has too many headers, or too long ones")]
    HeadersTooLarge,
    /// The answer came from an address that the policy does not allow.
    #[error("the answer came from an address that the policy does not allow, so it was not read")]
    PeerRefused(AddressRefused),
    /// The connection ended in the middle of the answer.
    #[error("answer cut short: the API's answer ended after {received} bytes, before its end")]
    CutShort {
        /// Bytes of body that had arrived, unpacked.
        received: usize,
        /// What the connection said.
        cause: String,
    },
    /// The answer is packed in a way that was not asked for.
    #[error("the API's answer is packed in a way that was not asked for")]
    Encoding,
    /// The packed answer is damaged, or ends before its end.
    #[error("answer cut short or damaged: the API's answer could be unpacked up to {received} bytes only")]
    Unpack {
        /// Bytes of body that had been unpacked.
        received: usize,
    },
    /// Too many large answers were being read or shaped.
    #[error(
        "the gateway holds as many large answers as it may, so this one was not read; try again later, or ask for less"
    )]
    Busy,
    /// The answer is longer than `read_max_bytes`.
    #[error(
        "the API's answer is too large: {received} bytes of it were read, {limit} are allowed; ask for less at once"
    )]
    TooLarge {
        /// Bytes of body that had been read, unpacked.
        received: usize,
        /// What the policy allows.
        limit: usize,
    },
}

/// Why a credential cannot be used; it prints for the log.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CredentialCause(#[from] pub(crate) CredentialError);

/// Whether a failed call may have reached the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Not a byte of the request was sent.
    NotSent,
    /// It was sent, or part of it: a write may have been carried out.
    Unknown,
}

impl UpstreamError {
    /// The code of `policy.md` for the agent.
    pub fn code(&self) -> Code {
        match self {
            Self::TargetMismatch | Self::NotApproved | Self::HeaderMismatch | Self::Client | Self::Unredactable => {
                Code::Internal
            }
            Self::Unresolved(_) | Self::AddressRefused(_) | Self::Unreachable(_) | Self::ConnectTimeout => {
                Code::UpstreamUnreachable
            }
            Self::Timeout => Code::UpstreamTimeout,
            Self::Busy => Code::Busy,
            Self::TooLarge { .. } => Code::ResponseTooLarge,
            Self::Credential(_)
            | Self::Died(_)
            | Self::Malformed(_)
            | Self::Framing
            | Self::HeadersTooLarge
            | Self::PeerRefused(_)
            | Self::CutShort { .. }
            | Self::Encoding
            | Self::Unpack { .. } => Code::UpstreamError,
        }
    }

    /// One word for the log, stable.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TargetMismatch => "target_mismatch",
            Self::NotApproved => "not_approved",
            Self::HeaderMismatch => "header_mismatch",
            Self::Credential(_) => "credential",
            Self::Client => "client",
            Self::Unredactable => "unredactable",
            Self::Unresolved(_) => "unresolved",
            Self::AddressRefused(_) => "address_refused",
            Self::Unreachable(_) => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Timeout => "timeout",
            Self::Died(_) => "died",
            Self::Malformed(_) => "malformed",
            Self::Framing => "framing",
            Self::HeadersTooLarge => "headers_too_large",
            Self::PeerRefused(_) => "peer_refused",
            Self::CutShort { .. } => "cut_short",
            Self::Encoding => "encoding",
            Self::Unpack { .. } => "unpack",
            Self::Busy => "busy",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// What happened, for the log: `name`, and what the system said. It may name hosts and addresses, never a credential.
    pub fn cause(&self) -> String {
        let detail = match self {
            Self::Credential(cause) => cause.to_string(),
            Self::AddressRefused(refused) | Self::PeerRefused(refused) => refused.to_string(),
            Self::Unresolved(cause)
            | Self::Unreachable(cause)
            | Self::Died(cause)
            | Self::Malformed(cause)
            | Self::CutShort { cause, .. } => cause.clone(),
            Self::TargetMismatch
            | Self::NotApproved
            | Self::HeaderMismatch
            | Self::Client
            | Self::Unredactable
            | Self::ConnectTimeout
            | Self::Timeout
            | Self::Framing
            | Self::HeadersTooLarge
            | Self::Encoding
            | Self::Unpack { .. }
            | Self::Busy
            | Self::TooLarge { .. } => return self.name().to_owned(),
        };
        format!("{}: {detail}", self.name())
    }

    /// Whether a write may have been carried out all the same.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::TargetMismatch
            | Self::NotApproved
            | Self::HeaderMismatch
            | Self::Credential(_)
            | Self::Client
            | Self::Unresolved(_)
            | Self::AddressRefused(_)
            | Self::Unreachable(_)
            | Self::ConnectTimeout => Delivery::NotSent,
            Self::Unredactable
            | Self::Timeout
            | Self::Died(_)
            | Self::Malformed(_)
            | Self::Framing
            | Self::HeadersTooLarge
            | Self::PeerRefused(_)
            | Self::CutShort { .. }
            | Self::Encoding
            | Self::Unpack { .. }
            | Self::Busy
            | Self::TooLarge { .. } => Delivery::Unknown,
        }
    }

    /// Reads an error that came in place of an answer's head.
    pub(crate) fn before_answer(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(refused) = find::<AddressRefused>(&error) {
            return Self::AddressRefused(*refused);
        }
        if find::<Unresolved>(&error).is_some() {
            return Self::Unresolved(chain(&error));
        }
        if error.is_connect() {
            return if error.is_timeout() { Self::ConnectTimeout } else { Self::Unreachable(chain(&error)) };
        }
        match find::<hyper::Error>(&error) {
            Some(http) if http.is_parse() => Self::Malformed(chain(&error)),
            Some(_) | None => Self::Died(chain(&error)),
        }
    }

    /// Reads an error that came in place of a piece of body.
    pub(crate) fn within_answer(error: reqwest::Error, received: usize) -> Self {
        Self::CutShort { received, cause: chain(&error.without_url()) }
    }
}

impl From<CredentialError> for UpstreamError {
    fn from(error: CredentialError) -> Self {
        Self::Credential(CredentialCause(error))
    }
}

/// Why an upstream could not be set up; nothing starts then. For the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamSetupError {
    /// `base_url` is no place to send requests to.
    #[error("`upstream.base_url` must be `https://HOST/PATH/`, without user, query or fragment")]
    BaseUrl,
    /// Plain HTTP where the policy or the address does not allow it.
    #[error("`upstream.base_url` is plain HTTP; that is for loopback alone, with `allow_http = true`")]
    PlainHttp,
    /// The address in `base_url` is not allowed.
    #[error("`upstream.base_url`: {0}; `allow_private = true` allows private addresses")]
    Address(#[from] AddressRefused),
    /// A fixed header that is none, or that the connection or another key owns.
    #[error("`upstream.headers`: `{}` cannot be sent as a fixed header", name.escape_debug())]
    Header {
        /// Its name.
        name: String,
    },
    /// `user_agent` is no header value.
    #[error("`upstream.user_agent` cannot be sent as a header")]
    UserAgent,
    /// A credential's secret cannot be read.
    #[error(transparent)]
    Credential(#[from] CredentialSetupError),
    /// A file of certificates that cannot be used.
    #[error("`upstream.{key}`: {cause}")]
    Certificate {
        /// The policy's key.
        key: &'static str,
        /// Why not.
        cause: CertificateError,
    },
    /// `proxy` is no address of an HTTP proxy.
    #[error("`upstream.proxy` must be `http://HOST:PORT` or `https://HOST:PORT`, without user and path")]
    Proxy,
    /// The HTTP client refused its settings.
    #[error("the HTTP client could not be set up: {0}")]
    Client(String),
}

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Others may change it, or read the key in it, or it is not there.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// It could be opened, not read.
    #[error("the file could not be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It holds none, or the TLS library refuses one.
    #[error("the file holds no certificate in PEM that can be used")]
    Unusable,
}

/// The first error of type `E` among an error and its sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    with_sources(error).find_map(|error| error.downcast_ref())
}

/// An error and its sources on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in with_sources(error) {
        let more = error.to_string();
        if text.ends_with(&more) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&more);
    }
    text
}

fn with_sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
