//! The one place that makes an HTTP client.
//!
//! Promises a client that follows no redirect, reads no proxy from the environment, keeps no cookies, sends no referer, never sends a
//! request again by itself, speaks TLS 1.2 or later with certificates checked, and dials only what [`Guard`] lets through. Trusts
//! rustls with the system's roots, or with `ca_file`'s alone where the policy names one.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity, Proxy, Url, redirect, retry};
use url::Host;
use zeroize::Zeroizing;

use crate::address::Reach;
use crate::policy::UpstreamSpec;
use crate::trust;
use crate::upstream::error::{CertificateError, UpstreamSetupError, chain};
use crate::upstream::resolver::{Guard, Lookup};
use crate::upstream::source::Surroundings;

/// Limits on the head of an answer. HTTP/1 reads at most about 400 KiB of head before it gives up; [`MAX_HEADER_BYTES`] is checked
/// after that. HTTP/2 announces it.
pub(crate) const MAX_HEADERS: usize = 100;
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A file of certificates larger than this is no file of certificates.
const MAX_PEM: u64 = 4 * 1024 * 1024;

/// What becomes of a connection after its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// It is kept for later calls.
    Kept,
    /// It is closed.
    Never,
}

/// Everything a client is made of, so that a second one can be made.
pub(crate) struct Recipe {
    https_only: bool,
    reach: Reach,
    connect_timeout: Duration,
    proxy: Option<Proxy>,
    authorities: Option<Vec<Certificate>>,
    identity: Option<Identity>,
    lookup: Lookup,
}

impl Recipe {
    /// Checks `base_url` and reads the certificates.
    ///
    /// # Errors
    /// What of the policy cannot be done.
    pub(crate) fn new(
        spec: &UpstreamSpec,
        surroundings: &Surroundings,
        lookup: Lookup,
    ) -> Result<Self, UpstreamSetupError> {
        let failed = |key| move |cause| UpstreamSetupError::Certificate { key, cause };
        let reach = reach(spec)?;
        let proxy = spec.proxy.as_ref().map(proxy).transpose()?;
        let authorities = match &spec.ca_file {
            Some(path) => Some(authorities(&surroundings.path(path)).map_err(failed("ca_file"))?),
            // Plain HTTP on loopback needs no roots; reading the system's takes longer than all the rest of the start.
            None if reach == Reach::Loopback && proxy.is_none() => Some(Vec::new()),
            None => None,
        };
        let identity = spec.client_certificate.as_ref().map(|path| identity(&surroundings.path(path))).transpose();
        let identity = identity.map_err(failed("client_certificate"))?;
        let https_only = reach != Reach::Loopback;
        Ok(Self { https_only, reach, connect_timeout: spec.connect_timeout, proxy, authorities, identity, lookup })
    }

    /// A client for a place that was judged when the policy was read: no proxy, no certificate of its own.
    pub(crate) fn plain(
        reach: Reach,
        connect_timeout: Duration,
        authorities: Option<Vec<Certificate>>,
        lookup: Lookup,
    ) -> Self {
        let https_only = reach != Reach::Loopback;
        Self { https_only, reach, connect_timeout, proxy: None, authorities, identity: None, lookup }
    }

    /// # Errors
    /// The TLS library finds no roots, or refuses the certificates.
    #[expect(clippy::disallowed_methods, reason = "this is upstream/client.rs")]
    pub(crate) fn build(&self, reuse: Reuse) -> Result<Client, UpstreamSetupError> {
        // The proxy's own name is resolved here; the operator wrote it, so it may be private.
        let reach = if self.proxy.is_some() { Reach::Private } else { self.reach };
        let mut builder = Client::builder()
            .https_only(self.https_only)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // Its own retries would send a write twice; ours know what a write is. Zero spares a copy of every request.
            .retry(retry::never().max_retries_per_request(0))
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
            .dns_resolver(Arc::new(Guard::new(reach, Arc::clone(&self.lookup))));
        if reuse == Reuse::Never {
            builder = builder.pool_max_idle_per_host(0);
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.iter().cloned());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder.build().map_err(|error| UpstreamSetupError::Client(chain(&error)))
    }

    /// How far an answer's own address is judged; behind a proxy it is the proxy's.
    pub(crate) fn peer_reach(&self) -> Option<Reach> {
        self.proxy.is_none().then_some(self.reach)
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// Judges `base_url`.
pub(super) fn reach(spec: &UpstreamSpec) -> Result<Reach, UpstreamSetupError> {
    let url = &spec.base_url;
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let Some(host) = url.host().filter(|_| bare) else { return Err(UpstreamSetupError::BaseUrl) };
    let reach = match url.scheme() {
        "https" => Reach::over_https(spec.allow_private),
        "http" if spec.allow_http => Reach::Loopback,
        "http" => return Err(UpstreamSetupError::PlainHttp),
        _ => return Err(UpstreamSetupError::BaseUrl),
    };
    match (reach.judge_literal(url), reach, host) {
        (Err(_), Reach::Loopback, _) => Err(UpstreamSetupError::PlainHttp),
        (Err(refused), Reach::Public | Reach::Private, _) => Err(refused.into()),
        // Whatever `localhost` resolves to is judged when it is dialled; no other name is this machine by definition (RFC 6761).
        (Ok(()), Reach::Loopback, Host::Domain(name)) if name != "localhost" => Err(UpstreamSetupError::PlainHttp),
        (Ok(()), _, _) => Ok(reach),
    }
}

fn proxy(url: &Url) -> Result<Proxy, UpstreamSetupError> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.path().len() <= 1;
    if !plain {
        return Err(UpstreamSetupError::Proxy);
    }
    Proxy::all(url.clone()).map_err(|_| UpstreamSetupError::Proxy)
}

/// Reads `ca_file`, an absolute path.
///
/// # Errors
/// Why its certificates cannot be used.
pub(crate) fn authorities(path: &Path) -> Result<Vec<Certificate>, CertificateError> {
    let pem = read_authorities(path)?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|_| CertificateError::Unusable)?;
    if found.is_empty() {
        return Err(CertificateError::Unusable);
    }
    try_out(|builder| builder.tls_certs_only(found.iter().cloned()))?;
    Ok(found)
}

/// The bytes of a file of certificates, which nobody else may change.
///
/// # Errors
/// Why it is not believed, or cannot be read.
pub(crate) fn read_authorities(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    trust::check_ancestors(path)?;
    read(trust::open_file(path)?)
}

/// Reads `client_certificate`, an absolute path. The file holds a private key, so it is guarded like any secret.
///
/// # Errors
/// Why its certificate cannot be used.
pub(crate) fn identity(path: &Path) -> Result<Identity, CertificateError> {
    let pem = read_identity(path)?;
    let identity = Identity::from_pem(&pem).map_err(|_| CertificateError::Unusable)?;
    try_out(|builder| builder.tls_certs_only([]).identity(identity.clone()))?;
    Ok(identity)
}

/// The bytes of a certificate and its key, which nobody else may read.
///
/// # Errors
/// Why it is not believed, or cannot be read.
pub(super) fn read_identity(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    read(trust::open_private(path)?)
}

/// The TLS library looks inside a certificate only when a client is made.
#[expect(clippy::disallowed_methods, reason = "this is upstream/client.rs")]
fn try_out(with: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<(), CertificateError> {
    with(Client::builder()).build().map(drop).map_err(|_| CertificateError::Unusable)
}

fn read(file: std::fs::File) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let mut pem = Zeroizing::new(Vec::new());
    file.take(MAX_PEM).read_to_end(&mut pem).map_err(CertificateError::Unreadable)?;
    Ok(pem)
}
