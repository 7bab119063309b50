//! One credential: from its secrets to the header that shows who sends a request.
//!
//! Promises that a value is a valid header, marked sensitive, and that every form in which it could be echoed is handed to redaction.
//! Refuses values that are not visible ASCII, and headers that are not a credential's to set. Nobody else looks into a [`Secret`]:
//! `expose` is called in this file alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::policy::{CredentialSpec, is_own_header};
use crate::secret::Secret;
use crate::upstream::redact::forms::{Forms, SHORTEST};
use crate::upstream::source::{SecretSource, SourceError, SourceFault, Stamp, Surroundings};

/// The longest header value a credential may make; servers commonly accept 8 KiB of headers.
pub(crate) const MAX_HEADER: usize = 8 * 1024;

/// How often a command may run, and how often any other source is tried again.
const COMMAND_PAUSE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// A kind of credential, with the places that its secrets come from.
#[derive(Debug)]
pub(crate) enum Credential {
    Bearer(SecretSource),
    Basic { username: SecretSource, password: SecretSource },
    Header { name: HeaderName, value: SecretSource },
}

/// A header that shows who sends a request.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) name: HeaderName,
    /// Marked sensitive: never printed, never indexed by HTTP/2's compression.
    pub(crate) value: HeaderValue,
    /// What to look for in answers.
    pub(crate) forms: Forms,
}

impl Credential {
    /// # Errors
    /// A source that leads nowhere, or a header that is not a credential's to set.
    pub(crate) fn find(spec: &CredentialSpec, surroundings: &Surroundings) -> Result<Self, SourceError> {
        let find = |secret| SecretSource::find(secret, surroundings);
        Ok(match spec {
            CredentialSpec::Bearer(secret) => Self::Bearer(find(secret)?),
            CredentialSpec::Basic { username, password } => {
                Self::Basic { username: find(username)?, password: find(password)? }
            }
            CredentialSpec::Header { name, value } => {
                let refused = || SourceError::HeaderName { name: name.clone() };
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
                if is_own_header(name.as_str()) {
                    return Err(refused());
                }
                Self::Header { name, value: find(value)? }
            }
        })
    }

    fn sources(&self) -> [Option<&SecretSource>; 2] {
        match self {
            Self::Bearer(source) | Self::Header { value: source, .. } => [Some(source), None],
            Self::Basic { username, password } => [Some(username), Some(password)],
        }
    }

    /// What its files look like now.
    pub(crate) fn stamps(&self) -> [Option<Stamp>; 2] {
        self.sources().map(|source| source?.stamp())
    }

    /// The environment of a running process does not change.
    pub(crate) fn can_change(&self) -> bool {
        self.sources().into_iter().flatten().any(|source| !matches!(source, SecretSource::Variable(_)))
    }

    /// How long to wait before reading again what was refused or could not be read.
    pub(crate) fn pause(&self) -> Duration {
        let command = self.sources().into_iter().flatten().any(|source| matches!(source, SecretSource::Command { .. }));
        if command { COMMAND_PAUSE } else { PAUSE }
    }

    /// # Errors
    /// A secret could not be read, or cannot be sent as a header.
    pub(crate) async fn read(&self, surroundings: &Surroundings) -> Result<Shown, SourceError> {
        match self {
            Self::Bearer(source) => {
                let token = source.read(surroundings).await?;
                bearer(&token).map_err(|fault| source.failed(fault))
            }
            Self::Basic { username, password } => {
                let (name, secret) = (username.read(surroundings).await?, password.read(surroundings).await?);
                basic(&name, &secret).map_err(|(half, fault)| match half {
                    Half::Username => username.failed(fault),
                    Half::Password => password.failed(fault),
                })
            }
            Self::Header { name, value } => {
                let secret = value.read(surroundings).await?;
                header(name, &secret).map_err(|fault| value.failed(fault))
            }
        }
    }
}

/// The key that signs what a webhook gets: symmetric, as Standard Webhooks has it.
pub(crate) struct SigningKey(Zeroizing<Vec<u8>>);

/// What a signing secret begins with, and how long the key behind it may be (Standard Webhooks, "Signature scheme").
const SIGNING_PREFIX: &[u8] = b"whsec_";
const SIGNING_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl SigningKey {
    /// # Errors
    /// The secret cannot be read, or is no `whsec_` and 24 to 64 bytes in base64.
    pub(crate) async fn read(source: &SecretSource, surroundings: &Surroundings) -> Result<Self, SourceError> {
        let secret = source.read(surroundings).await?;
        let encoded = secret.expose().strip_prefix(SIGNING_PREFIX);
        let key = encoded.and_then(|encoded| STANDARD.decode(encoded).ok()).map(Zeroizing::new);
        let key = key.filter(|key| SIGNING_BYTES.contains(&key.len()));
        key.map(Self).ok_or_else(|| source.failed(SourceFault::NotASigningSecret))
    }

    /// `v1,` and the HMAC-SHA256 of the parts in base64.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> String {
        // A key of any length is one for HMAC; an empty text is no signature and believed by nobody.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        parts.iter().for_each(|part| mac.update(part));
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// Which of the two sources of a basic credential.
#[derive(Clone, Copy)]
enum Half {
    Username,
    Password,
}

/// `authorization: Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(token: &Secret) -> Result<Shown, SourceFault> {
    let token = token.expose();
    check(token, Inner::Refused)?;
    let value = join(&[b"Bearer ", token]);
    let mut forms = Forms::default();
    forms.add(token);
    if is_short(token) {
        forms.add_exact(&value);
    }
    Ok(Shown { name: AUTHORIZATION, value: sensitive(&value)?, forms })
}

/// `authorization: Basic BASE64` (RFC 7617). Either half may be the secret, so both are taken out of answers.
fn basic(username: &Secret, password: &Secret) -> Result<Shown, (Half, SourceFault)> {
    let (username, password) = (username.expose(), password.expose());
    check(username, Inner::Allowed).map_err(|fault| (Half::Username, fault))?;
    check(password, Inner::Allowed).map_err(|fault| (Half::Password, fault))?;
    if username.contains(&b':') {
        return Err((Half::Username, SourceFault::Colon));
    }
    let pair = join(&[username, b":", password]);
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_slice()));
    let value = join(&[b"Basic ", encoded.as_bytes()]);
    let mut forms = Forms::default();
    forms.add(username);
    forms.add(password);
    forms.add(&pair);
    if is_short(&pair) {
        forms.add_exact(&value);
    } else {
        // What was sent may be echoed in yet another encoding.
        forms.add(encoded.as_bytes());
    }
    if is_short(password) {
        warn_short();
    }
    let longer = if username.len() > password.len() { Half::Username } else { Half::Password };
    let value = sensitive(&value).map_err(|fault| (longer, fault))?;
    Ok(Shown { name: AUTHORIZATION, value, forms })
}

/// A header of the API's own.
fn header(name: &HeaderName, value: &Secret) -> Result<Shown, SourceFault> {
    let value = value.expose();
    check(value, Inner::Allowed)?;
    let mut forms = Forms::default();
    forms.add(value);
    if is_short(value) {
        for name in [name.as_str().to_owned(), titled(name.as_str())] {
            for between in ["=", ":", ": ", "\":\"", "\": \""] {
                forms.add_exact(&join(&[name.as_bytes(), between.as_bytes(), value]));
            }
        }
    }
    Ok(Shown { name: name.clone(), value: sensitive(value)?, forms })
}

/// `x-api-key` as `X-Api-Key`, the other way in which echoes write it.
fn titled(name: &str) -> String {
    let mut titled = String::with_capacity(name.len());
    for letter in name.chars() {
        let starts = titled.is_empty() || titled.ends_with('-');
        titled.push(if starts { letter.to_ascii_uppercase() } else { letter });
    }
    titled
}

/// Whether a value may hold a space inside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inner {
    Allowed,
    Refused,
}

fn check(value: &[u8], space: Inner) -> Result<(), SourceFault> {
    let outer = value.first() == Some(&b' ') || value.last() == Some(&b' ');
    let fits = |byte: &u8| byte.is_ascii_graphic() || (*byte == b' ' && space == Inner::Allowed);
    if outer || !value.iter().all(fits) { Err(SourceFault::NotVisible) } else { Ok(()) }
}

fn is_short(value: &[u8]) -> bool {
    let short = value.len() < SHORTEST;
    if short {
        warn_short();
    }
    short
}

fn warn_short() {
    tracing::warn!(
        "a secret is shorter than {SHORTEST} bytes: it is easy to guess, and an echo of it is taken out of answers only where it \
         stands in its header"
    );
}

fn join(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut joined = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        joined.extend_from_slice(part);
    }
    joined
}

fn sensitive(value: &[u8]) -> Result<HeaderValue, SourceFault> {
    if value.len() > MAX_HEADER {
        return Err(SourceFault::HeaderTooLong);
    }
    let mut value = HeaderValue::from_bytes(value).map_err(|_| SourceFault::NotVisible)?;
    value.set_sensitive(true);
    Ok(value)
}
