//! Sends a checked request to the one upstream of a policy, and brings back what may be shown of the answer.
//!
//! Promises: the bytes on the wire are base URL + canonical target, or nothing is sent (R9); the base URL and the credential are added
//! here and nowhere else; no redirect is followed; a write is sent at most once, a GET or HEAD a second time only when its connection
//! died before the head of an answer was complete (the HTTP client does not tell that from no byte at all); nothing larger than the
//! policy's `read_max_bytes` is held; the credential is taken out of the answer as the last step. Refuses to dial what is not public unless the policy allows it. Trusts the caller for a request that the policy let
//! through, and nothing that the upstream says.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue,
    IF_MATCH, TRANSFER_ENCODING, USER_AGENT,
};
use reqwest::{Client, Request, Response, StatusCode, Url};
use tokio::sync::OnceCell;

use crate::address::Spelled;
use crate::clock::Clock;
use crate::policy::{Effect, UpstreamSpec, is_own_header};
use crate::request::method::Method;
use crate::upstream::client::{MAX_HEADER_BYTES, Recipe, Reuse};
pub(crate) use crate::upstream::client::{authorities, identity};
use crate::upstream::credential::Shown;
use crate::upstream::error::{Delivery, UpstreamError, UpstreamSetupError};
use crate::upstream::forward::Failed;
use crate::upstream::redact::Redactor;
use crate::upstream::reply::Reply;
use crate::upstream::resolver::Lookup;
use crate::upstream::room::{Held, Room};
use crate::upstream::rotation::{CredentialChoice, Credentials};
use crate::upstream::source::Surroundings;

mod body;
mod client;
mod credential;
pub mod error;
pub mod forward;
#[cfg(test)]
mod loopback;
pub mod outline;
pub mod post;
mod redact;
pub mod reply;
mod resolver;
pub mod room;
pub mod rotation;
pub mod source;
pub mod stream;
pub mod way;

/// What is asked for when the agent does not say.
const DEFAULT_ACCEPT: HeaderValue = HeaderValue::from_static("application/json, */*;q=0.5");
/// As APIs and the IETF's draft of it call it.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The upstream of one policy: its address, its connections and its credentials.
pub struct Upstream {
    /// Without its last `/`, so that a canonical target can follow it.
    base: String,
    base_url: Url,
    /// What every request carries.
    headers: HeaderMap,
    timeout: Duration,
    read_max_bytes: usize,
    room: Room,
    recipe: Arc<Recipe>,
    client: Client,
    /// Set once an answer was caught saying in two ways where it ends; from then on each call gets a connection of its own.
    ambiguous: AtomicBool,
    /// The client that keeps no connection; made when it is first needed.
    wary: OnceCell<Client>,
    credentials: Arc<Credentials>,
    clock: Arc<dyn Clock>,
}

/// A request that may be sent, as plain borrowed parts.
#[derive(Debug, Clone, Copy)]
struct Outgoing<'a> {
    /// As it was checked (R1).
    method: Method,
    /// Canonical path and query (R3, R6); begins with `/`.
    target: &'a str,
    /// The agent's own headers (R7), names in lower case.
    headers: &'a [(&'a str, &'a str)],
    /// JSON, as it was checked (R8).
    body: Option<&'a [u8]>,
    /// What the rule that granted the request says.
    credential: CredentialChoice<'a>,
    /// What the policy takes the request for.
    effect: Effect,
    /// The entity tag of the state that a person saw: the upstream is to refuse where it stands no more.
    if_match: Option<&'a str>,
    /// By which the upstream knows a repetition.
    idempotency_key: Option<&'a str>,
}

impl Upstream {
    /// Checks and reads everything the policy says of its upstream: addresses, certificates, secrets. Nothing is dialled.
    /// `read_max_bytes` is `[response] read_max_bytes`.
    ///
    /// # Errors
    /// The first thing that cannot be used; the gateway does not start then.
    pub async fn open(
        spec: &UpstreamSpec,
        read_max_bytes: u64,
        surroundings: Surroundings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UpstreamSetupError> {
        Self::open_with(spec, read_max_bytes, surroundings, clock, resolver::system_lookup()).await
    }

    async fn open_with(
        spec: &UpstreamSpec,
        read_max_bytes: u64,
        surroundings: Surroundings,
        clock: Arc<dyn Clock>,
        lookup: Lookup,
    ) -> Result<Self, UpstreamSetupError> {
        let recipe = Recipe::new(spec, &surroundings, lookup)?;
        let client = recipe.build(Reuse::Kept)?;
        let base = spec.base_url.as_str();
        Ok(Self {
            base: base.strip_suffix('/').unwrap_or(base).to_owned(),
            base_url: spec.base_url.clone(),
            headers: fixed_headers(spec)?,
            timeout: spec.timeout,
            read_max_bytes: usize::try_from(read_max_bytes).unwrap_or(usize::MAX),
            room: Room::default(),
            recipe: Arc::new(recipe),
            client,
            ambiguous: AtomicBool::new(false),
            wary: OnceCell::new(),
            credentials: Arc::new(Credentials::open(spec, surroundings, Arc::clone(&clock)).await?),
            clock,
        })
    }

    /// Sends one request and reads its whole answer, of whatever status. Takes at most the policy's `timeout`, and before that at most
    /// ten seconds where a command has to be asked for the credential again.
    ///
    /// # Errors
    /// No answer, or none that can be shown whole. [`UpstreamError::delivery`] tells whether the request may have been carried out.
    async fn send(&self, out: &Outgoing<'_>) -> Result<Reply, Failed> {
        let sent = AtomicU8::new(0);
        let result = self.converse(out, &sent).await;
        result.map_err(|error| Failed { error, attempts: sent.into_inner() })
    }

    /// Counts in `sent` how often the request was sent, or may have been.
    async fn converse(&self, out: &Outgoing<'_>, sent: &AtomicU8) -> Result<Reply, UpstreamError> {
        let shown = self.credentials.shown(out.credential).await?;
        // Boxed: moved as one pointer through the futures around it.
        let exchange = Box::pin(self.exchange(out, shown.as_deref(), sent));
        let answered = tokio::time::timeout(self.timeout, exchange).await;
        let reply = answered.map_err(|_| UpstreamError::Timeout)??;
        if reply.status == StatusCode::UNAUTHORIZED.as_u16()
            && let Err(error) = self.credentials.doubt(out.credential)
        {
            tracing::error!(%error, "a refused credential could not be marked to be read again");
        }
        let redactor = self.credentials.redactor().map_err(|_| UpstreamError::Unredactable)?;
        Ok(redact(reply, &redactor))
    }

    async fn exchange(
        &self,
        out: &Outgoing<'_>,
        shown: Option<&Shown>,
        sent: &AtomicU8,
    ) -> Result<Reply, UpstreamError> {
        let first = match self.attempt(out, shown, sent).await {
            Ok(response) => return self.read(response, out.method, 1).await,
            Err(error) => error,
        };
        let repeatable = out.effect == Effect::Read && matches!(out.method, Method::Get | Method::Head);
        if !(repeatable && matches!(first, UpstreamError::Died(_))) {
            return Err(first);
        }
        let response = self.attempt(out, shown, sent).await?;
        self.read(response, out.method, 2).await
    }

    async fn attempt(
        &self,
        out: &Outgoing<'_>,
        shown: Option<&Shown>,
        sent: &AtomicU8,
    ) -> Result<Response, UpstreamError> {
        let request = self.request(out, shown)?;
        let client = self.client().await?;
        // Before the wait, which the call's timeout may end.
        sent.fetch_add(1, Ordering::Relaxed);
        let error = match client.execute(request).await {
            Ok(response) => return Ok(response),
            Err(error) => UpstreamError::before_answer(error),
        };
        if error.delivery() == Delivery::NotSent {
            sent.fetch_sub(1, Ordering::Relaxed);
        }
        Err(error)
    }

    /// R9: the URL value that the HTTP client will use is base URL + canonical target, byte for byte, or nothing is sent.
    fn request(&self, out: &Outgoing<'_>, shown: Option<&Shown>) -> Result<Request, UpstreamError> {
        // Joined and not parsed whole: the host was judged when the policy was read.
        let base_path = self.base_url.path();
        let path = [base_path.strip_suffix('/').unwrap_or(base_path), out.target].concat();
        let url = self.base_url.join(&path).map_err(|_| UpstreamError::TargetMismatch)?;
        let mut request = Request::new(wire_method(out.method), url);
        let wire = request.url();
        let same = wire.as_str().strip_prefix(&self.base) == Some(out.target) && wire.fragment().is_none();
        if !(same && out.target.starts_with('/')) {
            return Err(UpstreamError::TargetMismatch);
        }
        *request.headers_mut() = self.headers(out, shown)?;
        *request.body_mut() = out.body.map(|body| body.to_vec().into());
        Ok(request)
    }

    /// The policy's fixed headers, then the agent's where they are not fixed, then the credential's.
    fn headers(&self, out: &Outgoing<'_>, shown: Option<&Shown>) -> Result<HeaderMap, UpstreamError> {
        let mut headers = self.headers.clone();
        for (name, value) in out.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| UpstreamError::HeaderMismatch)?;
            let value = HeaderValue::from_str(value).map_err(|_| UpstreamError::HeaderMismatch)?;
            if is_own_header(name.as_str()) || name == AUTHORIZATION {
                return Err(UpstreamError::HeaderMismatch);
            }
            headers.entry(name).or_insert(value);
        }
        for (name, value) in [(IF_MATCH, out.if_match), (IDEMPOTENCY_KEY, out.idempotency_key)] {
            let Some(value) = value else { continue };
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| UpstreamError::HeaderMismatch)?);
        }
        headers.entry(ACCEPT).or_insert(DEFAULT_ACCEPT);
        if out.body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        if let Some(shown) = shown {
            headers.insert(shown.name.clone(), shown.value.clone());
        }
        Ok(headers)
    }

    async fn read(&self, response: Response, method: Method, attempts: u8) -> Result<Reply, UpstreamError> {
        if let (Some(reach), Some(peer)) = (self.recipe.peer_reach(), response.remote_addr()) {
            reach.judge(peer.ip(), Spelled::Literal).map_err(UpstreamError::PeerRefused)?;
        }
        let (status, headers) = (response.status(), response.headers());
        self.check_framing(status, headers)?;
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if size > MAX_HEADER_BYTES {
            return Err(UpstreamError::HeadersTooLarge);
        }
        let mut reply = Reply {
            status: status.as_u16(),
            headers: reply::shown_headers(headers),
            body: Vec::new(),
            held: Held::default(),
            retry_after: reply::retry_after(headers, self.clock.wall()),
            date: reply::date(headers),
            location: reply::location(status, headers, response.url()),
            redacted: 0,
            attempts,
        };
        let bodiless = method == Method::Head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !bodiless {
            // So that a wait for room ends as that and not as one for the API.
            let patience = self.timeout / 2;
            let allowance = body::Allowance { limit: self.read_max_bytes, room: &self.room, patience };
            (reply.body, reply.held) = body::read(response, allowance).await?;
        }
        Ok(reply)
    }

    /// An answer whose end can be read in two ways: what follows it on the connection could be taken for the next answer. The
    /// connection is given up, with all others, since the HTTP client cannot drop a single one.
    fn check_framing(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), UpstreamError> {
        let sized = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
        let chunked = headers.contains_key(TRANSFER_ENCODING);
        if status.is_informational() {
            self.give_up_connections();
            return Err(UpstreamError::Malformed(format!("status {status} instead of an answer")));
        }
        if headers.contains_key(CONTENT_LENGTH) && chunked {
            self.give_up_connections();
            return Err(UpstreamError::Framing);
        }
        // There is no body to read; whatever comes instead is ignored.
        if status == StatusCode::NO_CONTENT && (sized || chunked) {
            self.give_up_connections();
        }
        Ok(())
    }

    /// Uses no connection a second time from here on; calls under way keep theirs until they end.
    fn give_up_connections(&self) {
        if !self.ambiguous.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "the upstream's answer says in two ways where it ends; from now on each call gets its own connection"
            );
        }
    }

    async fn client(&self) -> Result<Client, UpstreamError> {
        if !self.ambiguous.load(Ordering::Acquire) {
            return Ok(self.client.clone());
        }
        let recipe = &self.recipe;
        let made = self.wary.get_or_try_init(async || {
            let recipe = Arc::clone(recipe);
            // The system's roots are read from the disk.
            let made = tokio::task::spawn_blocking(move || recipe.build(Reuse::Never)).await;
            made.map_err(|_| UpstreamError::Client)?.map_err(|error| {
                tracing::error!(%error, "an HTTP client that keeps no connection could not be set up");
                UpstreamError::Client
            })
        });
        made.await.cloned()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("base", &self.base).field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

fn wire_method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// The headers that every request carries.
fn fixed_headers(spec: &UpstreamSpec) -> Result<HeaderMap, UpstreamSetupError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &spec.headers {
        let failed = || UpstreamSetupError::Header { name: name.clone() };
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| failed())?;
        if is_own_header(known.as_str()) || known == AUTHORIZATION || known == COOKIE {
            return Err(failed());
        }
        headers.insert(known, HeaderValue::from_str(value).map_err(|_| failed())?);
    }
    let agent = HeaderValue::from_str(&spec.user_agent).map_err(|_| UpstreamSetupError::UserAgent)?;
    headers.insert(USER_AGENT, agent);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(body::ACCEPTED));
    Ok(headers)
}

/// The last step: every credential of this upstream, present or former, is taken out of what will be shown.
fn redact(mut reply: Reply, redactor: &Redactor) -> Reply {
    let body = redactor.redact(std::mem::take(&mut reply.body));
    reply.body = body.bytes;
    let mut count = body.count;
    for text in reply.headers.iter_mut().map(|(_, value)| value).chain(&mut reply.location) {
        let (clean, found) = redactor.redact_text(std::mem::take(text));
        *text = clean;
        count = count.saturating_add(found);
    }
    reply.redacted = count;
    reply
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::clock::SystemClock;

    fn spec(base_url: &str) -> UpstreamSpec {
        UpstreamSpec {
            base_url: base_url.parse().unwrap(),
            openapi: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            allow_http: true,
            allow_private: false,
            ca_file: None,
            client_certificate: None,
            proxy: None,
            user_agent: "portcullis/test".to_owned(),
            headers: Vec::new(),
            credential: None,
            credentials: Default::default(),
        }
    }

    /// An upstream whose name resolves to one answer after the other (then to the last), and the number of look-ups.
    async fn resolving(base_url: &str, answers: &[&str]) -> (Upstream, Arc<AtomicUsize>) {
        let spec = spec(base_url);
        let answers: Vec<SocketAddr> = answers.iter().map(|address| format!("{address}:0").parse().unwrap()).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let lookup: Lookup = Arc::new(move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let answer = vec![answers[number]];
            Box::pin(async move { Ok(answer) })
        });
        let surroundings = Surroundings::collect(&spec, Path::new("/"), &|_| None);
        let upstream = Upstream::open_with(&spec, 1_000, surroundings, Arc::new(SystemClock::new()), lookup).await;
        (upstream.unwrap(), asked)
    }

    fn get() -> Outgoing<'static> {
        Outgoing {
            method: Method::Get,
            target: "/x",
            headers: &[],
            body: None,
            credential: CredentialChoice::Default,
            effect: Effect::Read,
            if_match: None,
            idempotency_key: None,
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_never_dialled() {
        for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "[64:ff9b::a9fe:a9fe]"] {
            let (upstream, asked) = resolving("https://api.example.test/", &[address]).await;
            let error = upstream.send(&get()).await.unwrap_err().error;
            assert_eq!((error.code().as_str(), error.name()), ("upstream_unreachable", "address_refused"), "{address}");
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            assert!(!error.to_string().contains(address), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_once_for_a_connection_and_judged_again_for_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (hang_up, told) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..5 {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            }
            told.recv().unwrap_err();
        });
        let (upstream, asked) = resolving(&format!("http://localhost:{port}/"), &["127.0.0.1", "10.0.0.1"]).await;
        for _ in 0..5 {
            assert_eq!(upstream.send(&get()).await.unwrap().status, 200);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        drop(hang_up);
        let error = upstream.send(&get()).await.unwrap_err().error;
        assert_eq!(error.name(), "address_refused", "{}", error.cause());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_is_unreachable() {
        let spec = spec("https://api.example.test/");
        let surroundings = Surroundings::collect(&spec, Path::new("/"), &|_| None);
        let lookup: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such host")) }));
        let clock = Arc::new(SystemClock::new());
        let upstream = Upstream::open_with(&spec, 1_000, surroundings, clock, lookup).await.unwrap();
        let error = upstream.send(&get()).await.unwrap_err().error;
        assert_eq!((error.code().as_str(), error.name()), ("upstream_unreachable", "unresolved"));
        assert!(error.cause().contains("no such host"), "{}", error.cause());
    }
}
