//! Sends bytes to one fixed place over HTTP, again and again: what a sink of the log is made of.
//!
//! Promises that nothing but the place that the policy names is dialled, that no redirect is followed, and that the credential
//! is added here and nowhere else. A refused credential is read again before the next request. Trusts the caller for bytes that
//! may leave.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};

use crate::address::{Reach, Spelled};
use crate::clock::Clock;
use crate::policy::{Endpoint, SecretSpec, SinkSpec};
use crate::upstream::client::{Recipe, Reuse, authorities};
use crate::upstream::credential::{Credential, SigningKey};
use crate::upstream::error::{CertificateError, UpstreamError, UpstreamSetupError};
use crate::upstream::reply;
use crate::upstream::resolver::system_lookup;
use crate::upstream::source::{SecretSource, SourceError, Surroundings};

/// For one request and its whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is read of an answer.
const MOST_ANSWER: usize = 64 * 1024;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));

/// One place, with the credential that is shown there.
#[derive(Debug)]
pub struct Post {
    client: Client,
    reach: Reach,
    credential: Option<Credential>,
    shown: Option<(HeaderName, HeaderValue)>,
    surroundings: Arc<Surroundings>,
    clock: Arc<dyn Clock>,
    /// When the credential was read last.
    read: Duration,
}

/// What the place answered.
#[derive(Debug)]
pub struct Said {
    /// The status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The first bytes of the answer.
    pub body: Vec<u8>,
}

/// Why a sink cannot be set up; nothing starts then. For the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A file of certificates that cannot be used.
    #[error("`ca_file`: {0}")]
    Certificate(#[from] CertificateError),
    /// A secret that cannot be read.
    #[error(transparent)]
    Secret(#[from] SourceError),
    /// The HTTP client refused its settings.
    #[error(transparent)]
    Client(#[from] UpstreamSetupError),
    /// The TLS library found no roots, or refused the certificates.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
}

impl Post {
    /// Reads certificates and credential; nothing is dialled.
    ///
    /// # Errors
    /// The first thing that cannot be used.
    pub async fn open(
        sink: &SinkSpec,
        to: &Endpoint,
        surroundings: Arc<Surroundings>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PlaceError> {
        let reach = sink.reach();
        let roots = match &sink.ca_file {
            Some(path) => Some(authorities(&surroundings.path(path))?),
            None if reach == Reach::Loopback => Some(Vec::new()),
            None => None,
        };
        let client = Recipe::plain(reach, CONNECT_TIMEOUT, roots, system_lookup()).build(Reuse::Kept)?;
        let credential = to.credential.as_ref().map(|spec| Credential::find(spec, &surroundings)).transpose()?;
        let read = clock.monotonic();
        let mut post = Self { client, reach, credential, shown: None, surroundings, clock, read };
        post.read_credential().await?;
        Ok(post)
    }

    /// Sends one POST, once.
    ///
    /// # Errors
    /// No answer; whether the bytes arrived, nobody knows.
    pub async fn send(
        &mut self,
        url: &Url,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Vec<u8>,
    ) -> Result<Said, UpstreamError> {
        let said = self.letter(url, headers.into_iter().collect(), body).await?;
        self.heard(&said).await;
        Ok(said)
    }

    /// As [`Post::send`], for whoever does not wait: what is said is to be [heard](Post::heard).
    ///
    /// # Errors
    /// As there.
    pub fn letter(
        &self,
        url: &Url,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Said, UpstreamError>> + Send + use<> {
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = self.shown.iter().cloned().chain(headers).chain([(USER_AGENT, AGENT)]).collect();
        *request.body_mut() = Some(body.into());
        let exchange = exchange(self.client.clone(), self.reach, self.clock.clone(), request);
        async { tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| UpstreamError::Timeout)? }
    }

    /// Reads the credential again, where an answer says that it is refused, unless that was done a moment ago.
    pub async fn heard(&mut self, said: &Said) {
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].iter().any(|status| status.as_u16() == said.status) {
            self.doubt().await;
        }
    }

    /// Reads the credential again, unless that was tried a moment ago.
    async fn doubt(&mut self) {
        let Some(pause) = self.credential.as_ref().map(Credential::pause) else { return };
        if self.clock.monotonic().saturating_sub(self.read) < pause {
            return;
        }
        if let Err(error) = self.read_credential().await {
            tracing::error!(%error, "the refused credential of a sink could not be read again");
        }
    }

    async fn read_credential(&mut self) -> Result<(), SourceError> {
        self.read = self.clock.monotonic();
        if let Some(credential) = &self.credential {
            let shown = credential.read(&self.surroundings).await?;
            self.shown = Some((shown.name.clone(), shown.value.clone()));
        }
        Ok(())
    }
}

/// The key of a webhook, and where it comes from.
#[derive(Debug)]
pub struct Signature {
    source: SecretSource,
    surroundings: Arc<Surroundings>,
    key: SigningKey,
}

impl Signature {
    /// Reads the key.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub async fn open(secret: &SecretSpec, surroundings: Arc<Surroundings>) -> Result<Self, PlaceError> {
        let source = SecretSource::find(secret, &surroundings)?;
        let key = SigningKey::read(&source, &surroundings).await?;
        Ok(Self { source, surroundings, key })
    }

    /// `v1,` and the HMAC-SHA256 of the parts, one after the other (Standard Webhooks, "Signature scheme").
    pub fn of(&self, parts: &[&[u8]]) -> String {
        self.key.sign(parts)
    }

    /// Reads the key again: the receiver did not believe a signature.
    ///
    /// # Errors
    /// It cannot be read; the key at hand stays.
    pub async fn renew(&mut self) -> Result<(), PlaceError> {
        self.key = SigningKey::read(&self.source, &self.surroundings).await?;
        Ok(())
    }
}

async fn exchange(
    client: Client,
    reach: Reach,
    clock: Arc<dyn Clock>,
    request: Request,
) -> Result<Said, UpstreamError> {
    let response = client.execute(request).await.map_err(UpstreamError::before_answer)?;
    if let Some(peer) = response.remote_addr() {
        reach.judge(peer.ip(), Spelled::Literal).map_err(UpstreamError::PeerRefused)?;
    }
    let (status, retry_after) = (response.status(), reply::retry_after(response.headers(), clock.wall()));
    Ok(Said { status: status.as_u16(), retry_after, body: beginning(response).await? })
}

/// The first bytes of an answer. The rest is not waited for.
async fn beginning(mut response: Response) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    loop {
        let piece = response.chunk().await.map_err(|error| UpstreamError::within_answer(error, body.len()))?;
        let Some(piece) = piece else { return Ok(body) };
        body.extend_from_slice(piece.get(..piece.len().min(MOST_ANSWER - body.len())).unwrap_or_default());
        if body.len() >= MOST_ANSWER {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::policy::Destination;

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_gets_nothing_unless_the_policy_allows_it() {
        let url = Url::parse("https://localhost:1/").unwrap();
        for (allow_private, refused) in [(false, true), (true, false)] {
            let to = Endpoint { url: url.clone(), credential: None };
            let (name, to_sink) = ("a".to_owned(), Destination::Otlp(to.clone()));
            let sink = SinkSpec { name, to: to_sink, require: false, allow_private, ca_file: None };
            let surroundings = Surroundings::of([], std::path::Path::new("/"), &|_| None);
            let mut post = Post::open(&sink, &to, Arc::new(surroundings), Arc::new(SystemClock::new())).await.unwrap();
            let error = post.send(&url, [], Vec::new()).await.unwrap_err();
            assert_eq!(matches!(error, UpstreamError::AddressRefused(_)), refused, "{error:?}");
        }
    }
}
